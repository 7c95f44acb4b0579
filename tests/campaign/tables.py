"""Folders with an ``id_prop.csv`` whose labels are known, and mutations of the table."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from campaign.case import Case, Fault, Verdict
from campaign.cif import Cif
from campaign.damage import damage
from campaign.mutate import Mutations, pick
from campaign.sample import Atoms, draw
from campaign.use import check_atoms
from skuae.datasets import read_folder

TABLE = "id_prop.csv"
MUTATIONS = Mutations()


@dataclass
class Table:
    """A table before it is written: ids, labels as they stand and as they are meant."""

    ids: list[str]
    texts: list[str]
    labels: list[float]
    separator: str = ","
    head: str = ""
    tail: str = ""
    end: str = "\n"
    mark: bytes = b""

    def content(self) -> bytes:
        """Return the file."""
        rows = zip(self.ids, self.texts, strict=True)
        lines = [self.head] * bool(self.head)
        lines += [f"{name}{self.separator}{text}" for name, text in rows]
        return self.mark + (self.end.join(lines) + self.end + self.tail).encode()


def make(rng: np.random.Generator) -> Case:
    """Make a folder of three CIF files with a mutated table.

    Parameters
    ----------
    rng : Generator

    Returns
    -------
    Case
    """
    labels = [round(float(x), 3) for x in rng.normal(size=3)]
    table = Table(["a", "b", "c"], [str(x) for x in labels], labels)
    files, atoms = {}, {}
    for name in table.ids:
        cif = Cif.of(draw(rng))
        files[f"{name}.cif"], atoms[name] = cif.text().encode(), cif.atoms()
    names, verdict = MUTATIONS.apply(table, rng)
    content = table.content()
    known = True
    if rng.random() < 0.25:
        name, content = damage(content, rng)
        names, verdict, known = (*names, name), "either", False
    expected = dict(zip(table.ids, table.labels, strict=True)) if known else None

    def check(folder: Path) -> None:
        _check(folder, expected if verdict != "refuse" else None, atoms)

    said = (TABLE, "were not read", "are the same file")
    return Case(names, {**files, TABLE: content}, verdict, check, said)


def _check(folder: Path, expected: dict[str, float] | None, atoms: dict[str, Atoms]) -> None:
    data = read_folder(folder)
    if expected is None:
        return
    names = [name.removesuffix(".cif") for name in data.ids]
    if names != [name.removesuffix(".cif") for name in expected]:
        raise Fault("rows", f"{names} instead of {list(expected)}")
    for row, (name, label) in enumerate(zip(names, expected.values(), strict=True)):
        found = data.target[row]
        unknown = math.isnan(label)
        same = isinstance(found, float) and (math.isnan(found) if unknown else found == label)
        if not same:
            raise Fault("labels", f"{found!r} instead of {label!r}")
        check_atoms(data.structures, row, atoms[name])


# -- labels ---------------------------------------------------------------------------------------


def _label(table: Table, rng: np.random.Generator, text: str, label: float) -> None:
    row = int(rng.integers(len(table.ids) - 1))  # the last may be left out
    table.texts[row], table.labels[row] = text, label


@MUTATIONS.of("labels")
def written_otherwise(table: Table, rng: np.random.Generator) -> Verdict:
    text, value = pick(
        rng, ("1e3", 1e3), ("+1.5", 1.5), (" 2.5 ", 2.5), ('"2.5"', 2.5), ("-.5", -0.5),
        ("1E-300", 1e-300), ("0x10", None), ("1_000", None), ("1.5D+00", None), ("1.5 eV", None),
        ("50%", None), ("\N{MINUS SIGN}1.5", None), ('"1,5"', None), ("1.5(3)", None),
        ("inf", None), ("1e400", None), ("\N{ARABIC-INDIC DIGIT ONE}", None), ("metal", None),
    )  # fmt: skip
    _label(table, rng, text, value if value is not None else 0.0)
    return "read" if value is not None else "refuse"


@MUTATIONS.of("labels")
def all_written_otherwise(table: Table, rng: np.random.Generator) -> Verdict:
    form = pick(rng, '"{:.2f}"', "{:.2f} eV", "{:.2f}%", "{:.2f}(3)", "~{:.2f}", "{:.2f}D+00")
    point = pick(rng, ".", ",")
    table.texts = [form.format(x).replace(".", point) for x in table.labels]
    table.labels = [round(x, 2) for x in table.labels]
    if "," in "".join(table.texts) or form != '"{:.2f}"':
        return "refuse"
    return "read"


@MUTATIONS.of("labels")
def unknown(table: Table, rng: np.random.Generator) -> Verdict:
    _label(table, rng, pick(rng, "", "nan", "NaN", "NA", "null", " "), math.nan)
    return "read"


# -- rows -----------------------------------------------------------------------------------------


@MUTATIONS.of("rows")
def in_another_order(table: Table, rng: np.random.Generator) -> Verdict:
    order = [int(i) for i in rng.permutation(len(table.ids))]
    table.ids = [table.ids[i] for i in order]
    table.texts = [table.texts[i] for i in order]
    table.labels = [table.labels[i] for i in order]
    return "read"


@MUTATIONS.of("rows")
def one_left_out(table: Table, rng: np.random.Generator) -> Verdict:
    for column in (table.ids, table.texts, table.labels):
        column.pop()
    return "read"


@MUTATIONS.of("rows")
def one_twice(table: Table, rng: np.random.Generator) -> Verdict:
    table.ids.append(table.ids[0] + pick(rng, "", ".cif"))
    table.texts.append(table.texts[0])
    table.labels.append(table.labels[0])
    return "refuse"


@MUTATIONS.of("rows")
def no_such_file(table: Table, rng: np.random.Generator) -> Verdict:
    table.ids[-1] = pick(rng, "z", "A/b", "a\0b", "x" * 300, "*", "~", ".", "..")
    return "refuse"


@MUTATIONS.of("rows")
def names_with_ending(table: Table, rng: np.random.Generator) -> Verdict:
    table.ids = [f"{name}.cif" for name in table.ids]
    return "read"


@MUTATIONS.of("rows")
def one_outside_the_folder(table: Table, rng: np.random.Generator) -> Verdict:
    table.ids[0] = pick(rng, "/etc/passwd", "../../../etc/passwd", "/dev/zero")
    return "refuse"


# -- layout ---------------------------------------------------------------------------------------


@MUTATIONS.of("layout")
def separator(table: Table, rng: np.random.Generator) -> Verdict:
    table.separator = pick(rng, ";", "\t", " ", "|", ", ", " , ")
    return "read" if "," in table.separator else "refuse"


@MUTATIONS.of("layout")
def header(table: Table, rng: np.random.Generator) -> Verdict:
    table.head = pick(rng, "id{}gap", "file{}band gap", "name{}target").format(table.separator)
    return "read"


@MUTATIONS.of("layout")
def byte_order_mark(table: Table, rng: np.random.Generator) -> Verdict:
    table.mark = b"\xef\xbb\xbf"
    return "read"


@MUTATIONS.of("layout")
def ends_of_lines(table: Table, rng: np.random.Generator) -> Verdict:
    table.end = pick(rng, "\r\n", "\r", "\n\n")
    return "read"


@MUTATIONS.of("layout")
def empty_lines_at_the_end(table: Table, rng: np.random.Generator) -> Verdict:
    table.tail = pick(rng, "\n\n", "  \n", ",\n")
    return "read"


@MUTATIONS.of("layout")
def more_columns_in_one_row(table: Table, rng: np.random.Generator) -> Verdict:
    table.tail = pick(rng, "a,1,2\n", "d\n", '"open\n')
    return "refuse"
