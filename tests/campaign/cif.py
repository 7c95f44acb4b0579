"""CIF files whose atoms are known, and mutations of them."""

from dataclasses import dataclass, field

import numpy as np

from campaign import symbols
from campaign.case import Case, Verdict
from campaign.damage import damage
from campaign.doors import enter, names_of
from campaign.layout import lay_out
from campaign.mutate import Mutations, pick
from campaign.sample import Atoms, Sample, draw, orbit, total

FILE = "a.cif"
MUTATIONS = Mutations()
_CELL = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")


@dataclass
class Row:
    """A site as it stands in the file, and the atoms that it means."""

    label: str
    symbol: str
    xyz: list[str]
    occupancy: str
    atoms: Atoms
    place: np.ndarray
    amount: float = 1.0

    def cells(self) -> dict[str, str]:
        """Return what stands in the columns."""
        x, y, z = self.xyz
        return {"type_symbol": self.symbol, "label": self.label, "fract_x": x, "fract_y": y,
                "fract_z": z, "occupancy": self.occupancy}  # fmt: skip


@dataclass
class Cif:
    """A file before it is written."""

    cell: list[str]
    operations: list[str]
    rows: list[Row]
    meant: tuple[str, ...]  # operations by which sites are multiplied
    columns: list[str] = field(default_factory=list)
    more: dict[str, str] = field(default_factory=dict)  # columns with the same in every row
    head: str = "data_x"
    symmetry_tag: str = "_symmetry_equiv_pos_as_xyz"
    tail: str = ""

    @classmethod
    def of(cls, sample: Sample) -> "Cif":
        """Write a crystal down."""
        rows = [
            Row(f"{s}{i + 1}", s, [f"{x:.4f}" for x in place], "1", {s: 1.0}, place)
            for i, (s, place) in enumerate(zip(sample.symbols, sample.coords, strict=True))
        ]
        operations = [f"'{name}'" for name in sample.operations]
        new = cls([f"{v:g}" for v in sample.cell], operations, rows, sample.operations)
        new.columns = list(rows[0].cells())
        return new

    def atoms(self) -> Atoms:
        """Return the atoms that the file means."""
        return total([(r.atoms, r.amount * len(orbit(r.place, self.meant))) for r in self.rows])

    def text(self) -> str:
        """Return the file."""
        lines = [self.head]
        tags = zip(_CELL, self.cell, strict=True)
        lines += [f"_cell_{name} {value}" for name, value in tags if value]
        if self.operations:
            lines += ["loop_", self.symmetry_tag, *self.operations]
        columns = [*self.columns, *self.more]
        lines += ["loop_", *(f"_atom_site_{name}" for name in columns)]
        for row in self.rows:
            cells = {**row.cells(), **self.more}
            lines.append(" ".join(cells[name] for name in columns))
        return "\n".join(lines) + f"\n{self.tail}"


def make(rng: np.random.Generator) -> Case:
    """Make a mutated CIF file.

    Parameters
    ----------
    rng : Generator

    Returns
    -------
    Case
    """
    cif = Cif.of(draw(rng))
    names, verdict = MUTATIONS.apply(cif, rng)
    content = cif.text().encode()
    atoms: Atoms | None = cif.atoms()
    if rng.random() < 0.5:
        name, content, must = lay_out(content, rng, more=_ways(content))
        names, verdict = (*names, name), verdict if must or verdict == "refuse" else "either"
    elif rng.random() < 0.3:
        name, content = damage(content, rng)
        names, verdict, atoms = (*names, name), "either", None
    expected = None if verdict == "refuse" else atoms
    return Case(names, {FILE: content}, verdict, enter(FILE, expected, rng), names_of(FILE))


def _ways(content: bytes) -> dict[str, tuple[bytes, bool]]:
    lines = content.split(b"\n")
    capitals = b"\n".join(x.upper() if x.startswith(b"_atom") else x for x in lines)
    return {
        "comments": (b"# comment\n" + content.replace(b"\nloop_", b"\n# here\nloop_"), True),
        "Latin-1 comment": (content + b"# 3 \xc5\n", False),
        "blank lines": (content.replace(b"loop_", b"\n\nloop_"), True),
        "capital tags": (capitals, True),
    }


# -- what a site is -------------------------------------------------------------------------------


def _replace(cif: Cif, rng: np.random.Generator, meaning: symbols.Meaning) -> Verdict:
    row = pick(rng, *cif.rows)
    row.symbol, atoms, verdict = meaning
    row.atoms = atoms or {}
    row.label = pick(rng, "Q1", row.label) if atoms is None else row.label
    return verdict


for _meaning in symbols.MEANINGS:

    def _mutation(cif, rng, meaning=_meaning):
        return _replace(cif, rng, meaning(rng))

    _mutation.__name__ = _meaning.__name__
    MUTATIONS.of("symbol")(_mutation)


@MUTATIONS.of("symbol")
def labels_only(cif: Cif, rng: np.random.Generator) -> Verdict:
    cif.columns.remove("type_symbol")
    return "read"


@MUTATIONS.of("symbol")
def labels_of_no_element(cif: Cif, rng: np.random.Generator) -> Verdict:
    cif.columns.remove("type_symbol")
    pick(rng, *cif.rows).label = pick(rng, "T1", "M1", "A2", "X1", "Wat", "O-H", "Q", "Z9")
    return "refuse"


@MUTATIONS.of("symbol")
def attached_hydrogens(cif: Cif, rng: np.random.Generator) -> Verdict:
    n = int(rng.integers(1, 4))
    cif.more["attached_hydrogens"] = str(n)
    for row in cif.rows:
        row.atoms = total([(row.atoms, 1.0), ({"H": 1.0}, n)])
    return "either"


# -- how much of it there is ----------------------------------------------------------------------


def _occupy(cif: Cif, rng: np.random.Generator, text: str, amount: float) -> None:
    row = pick(rng, *cif.rows)
    row.occupancy, row.amount = text, amount


@MUTATIONS.of("occupancy")
def partly_occupied(cif: Cif, rng: np.random.Generator) -> Verdict:
    amount = round(float(rng.uniform(0.05, 0.95)), 2)
    text = pick(rng, f"{amount:.2f}", f"{amount:.2f}(3)", f"{amount:.3f}", f"{amount:.2e}")
    _occupy(cif, rng, text, amount)
    return "read"


@MUTATIONS.of("occupancy")
def occupancy_of_default(cif: Cif, rng: np.random.Generator) -> Verdict:
    _occupy(cif, rng, ".", 1.0)
    return "read"


@MUTATIONS.of("occupancy")
def occupancy_unknown(cif: Cif, rng: np.random.Generator) -> Verdict:
    _occupy(cif, rng, "?", 1.0)
    return "either"


@MUTATIONS.of("occupancy")
def occupancy_zero(cif: Cif, rng: np.random.Generator) -> Verdict:
    _occupy(cif, rng, pick(rng, "0", "0.0"), 0.0)
    return "either"


@MUTATIONS.of("occupancy")
def occupancy_impossible(cif: Cif, rng: np.random.Generator) -> Verdict:
    _occupy(cif, rng, pick(rng, "1.5", "2.0", "-0.5", "nan", "inf", "abc", "1e400"), 1.0)
    return "refuse"


@MUTATIONS.of("occupancy")
def no_occupancies(cif: Cif, rng: np.random.Generator) -> Verdict:
    cif.columns.remove("occupancy")
    return "read"


@MUTATIONS.of("occupancy")
def shared_site(cif: Cif, rng: np.random.Generator) -> Verdict:
    row = pick(rng, *cif.rows)
    amount, rest = round(float(rng.uniform(0.1, 0.9)), 2), pick(rng, 0.0, 0.05)
    row.occupancy, row.amount = f"{amount:.2f}", amount
    left = 1 - amount - rest
    cif.rows.append(Row("Mn9", "Mn", list(row.xyz), f"{left:.2f}", {"Mn": 1.0}, row.place, left))
    return "read"


@MUTATIONS.of("occupancy")
def overfull_shared_site(cif: Cif, rng: np.random.Generator) -> Verdict:
    row = pick(rng, *cif.rows)
    cif.rows.append(Row("Mn9", "Mn", list(row.xyz), "0.9", {"Mn": 1.0}, row.place, 0.9))
    return "refuse"


@MUTATIONS.of("occupancy")
def two_atoms_at_one_point(cif: Cif, rng: np.random.Generator) -> Verdict:
    row = pick(rng, *cif.rows)
    cif.rows.append(Row("Mn9", "Mn", list(row.xyz), "1", {"Mn": 1.0}, row.place))
    return "refuse"


@MUTATIONS.of("occupancy")
def row_twice(cif: Cif, rng: np.random.Generator) -> Verdict:
    row = pick(rng, *cif.rows)
    cif.rows.append(Row(row.label, row.symbol, list(row.xyz), "1", {}, row.place))
    return "either"


# -- where it is ----------------------------------------------------------------------------------


@MUTATIONS.of("coordinates")
def shifted(cif: Cif, rng: np.random.Generator) -> Verdict:
    size = pick(rng, 1, 3, 40, 1000, 40_000, 10**6, 10**9, 10**15, 10**30)
    row, axis = pick(rng, *cif.rows), int(rng.integers(3))
    row.xyz[axis] = f"{pick(rng, -1, 1) * size + float(row.xyz[axis]):.4f}"
    return "read" if size <= 10**6 else "either"


@MUTATIONS.of("coordinates")
def written_otherwise(cif: Cif, rng: np.random.Generator) -> Verdict:
    for row in cif.rows:
        text = pick(rng, "{:.4f}(3)", "{:.6e}", "+{:.4f}", "{:.7f}(12)", "'{:.4f}'", '"{:.4f}"')
        row.xyz = [text.format(float(x)) for x in row.xyz]
    return "read"


@MUTATIONS.of("coordinates")
def without_leading_zero(cif: Cif, rng: np.random.Generator) -> Verdict:
    for row in cif.rows:
        row.xyz = [x.replace("0.", ".", 1) for x in row.xyz]
    return "read"


@MUTATIONS.of("coordinates")
def no_number(cif: Cif, rng: np.random.Generator) -> Verdict:
    junk = pick(rng, "?", ".", "nan", "inf", "x", "0,25", "1e400", "--1", "0.2.5")
    pick(rng, *cif.rows).xyz[int(rng.integers(3))] = junk
    return "refuse"


@MUTATIONS.of("coordinates")
def cell_missing_in_a_row(cif: Cif, rng: np.random.Generator) -> Verdict:
    pick(rng, *cif.rows).xyz[int(rng.integers(3))] = ""
    return "refuse"


# -- the cell -------------------------------------------------------------------------------------


@MUTATIONS.of("cell")
def scaled(cif: Cif, rng: np.random.Generator) -> Verdict:
    factor = pick(rng, 1e-6, 1e-3, 0.05, 10.0, 1e3, 1e10, 1e38, 1e200)
    cif.cell[:3] = [f"{float(x) * factor:g}" for x in cif.cell[:3]]
    return "either" if factor == 10 else "refuse"


@MUTATIONS.of("cell")
def with_uncertainties(cif: Cif, rng: np.random.Generator) -> Verdict:
    cif.cell = [f"{float(x):.3f}({rng.integers(1, 20)})" for x in cif.cell]
    return "read"


@MUTATIONS.of("cell")
def cell_no_number(cif: Cif, rng: np.random.Generator) -> Verdict:
    cif.cell[int(rng.integers(6))] = pick(rng, "?", ".", "nan", "inf", "0", "-0", "x", "")
    return "refuse"


@MUTATIONS.of("cell")
def impossible_angles(cif: Cif, rng: np.random.Generator) -> Verdict:
    cif.cell[3:] = pick(rng, ["20", "20", "100"], ["0", "90", "90"], ["180", "90", "90"])
    return "refuse"


# -- symmetry -------------------------------------------------------------------------------------


@MUTATIONS.of("symmetry")
def operations_dropped(cif: Cif, rng: np.random.Generator) -> Verdict:
    cif.operations, cif.meant = [], ("x, y, z",)
    return "either"


@MUTATIONS.of("symmetry")
def operations_twice(cif: Cif, rng: np.random.Generator) -> Verdict:
    cif.operations *= 2
    return "read"


@MUTATIONS.of("symmetry")
def operations_written_otherwise(cif: Cif, rng: np.random.Generator) -> Verdict:
    write = pick(
        rng, str.upper, lambda s: s.replace(" ", ""), lambda s: s.replace("1/2", "0.5"),
        lambda s: s.replace("x+1/2", "1/2+x"), lambda s: s.replace("'", '"'),
    )  # fmt: skip
    cif.operations = [write(name) for name in cif.operations]
    return "read"


@MUTATIONS.of("symmetry")
def newer_tag(cif: Cif, rng: np.random.Generator) -> Verdict:
    cif.symmetry_tag = "_space_group_symop_operation_xyz"
    return "read"


@MUTATIONS.of("symmetry")
def numbered_operations(cif: Cif, rng: np.random.Generator) -> Verdict:
    cif.symmetry_tag = "_symmetry_equiv_pos_site_id\n_symmetry_equiv_pos_as_xyz"
    cif.operations = [f"{i + 1} {name}" for i, name in enumerate(cif.operations)]
    return "read"


@MUTATIONS.of("symmetry")
def operations_no_operations(cif: Cif, rng: np.random.Generator) -> Verdict:
    cif.operations = pick(rng, ["'x, y'"], ["'a, b, c'"], ["?"], ["'x, y, z, w'"])
    return "refuse"


# -- the rest -------------------------------------------------------------------------------------


@MUTATIONS.of("file")
def more_columns(cif: Cif, rng: np.random.Generator) -> Verdict:
    cif.more |= {"U_iso_or_equiv": "0.012(3)", "adp_type": "Uiso", "calc_flag": "?"}
    return "read"


@MUTATIONS.of("file")
def columns_in_another_order(cif: Cif, rng: np.random.Generator) -> Verdict:
    rng.shuffle(cif.columns)
    return "read"


@MUTATIONS.of("file")
def rows_in_another_order(cif: Cif, rng: np.random.Generator) -> Verdict:
    cif.rows = [cif.rows[i] for i in rng.permutation(len(cif.rows))]
    return "read"


@MUTATIONS.of("file")
def text_field(cif: Cif, rng: np.random.Generator) -> Verdict:
    cif.tail = "_publ_section_title\n;\n A title, 'quoted', with data_y and loop_ in it\n;\n"
    return "read"


@MUTATIONS.of("file")
def no_sites(cif: Cif, rng: np.random.Generator) -> Verdict:
    cif.rows = []
    return "refuse"


@MUTATIONS.of("file")
def second_block(cif: Cif, rng: np.random.Generator) -> Verdict:
    cif.tail = "\n" + Cif.of(draw(rng)).text().replace("data_x", "data_second")
    return "either"


@MUTATIONS.of("file")
def strange_name_of_block(cif: Cif, rng: np.random.Generator) -> Verdict:
    cif.head = pick(rng, "data_", "DATA_x", "data_\N{GREEK SMALL LETTER ALPHA}", "data_global")
    return "either" if cif.head == "data_" else "read"
