"""CSV files of element tables whose values are known, and mutations of them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from campaign.case import Case, Fault, Verdict
from campaign.damage import damage
from campaign.layout import lay_out
from campaign.mutate import Mutations, pick
from skuae import ElementTable, UAETransformer
from skuae.datasets import make_toy_crystals

FILE = "table.csv"
MUTATIONS = Mutations()


@dataclass
class Csv:
    """A table before it is written: elements as they stand and as they are meant, and values."""

    names: list[str]
    symbols: list[str]
    columns: list[str]
    texts: list[list[str]]
    values: np.ndarray
    corner: str = "element"
    separator: str = ","
    head: bool = True

    def content(self) -> bytes:
        """Return the file."""
        lines = [[self.corner, *self.columns]] if self.head else []
        lines += [[name, *row] for name, row in zip(self.names, self.texts, strict=True)]
        return ("\n".join(self.separator.join(line) for line in lines) + "\n").encode()


def make(rng: np.random.Generator) -> Case:
    """Make a mutated CSV file of an element table.

    Parameters
    ----------
    rng : Generator

    Returns
    -------
    Case
    """
    symbols = ["Li", "O", "Na", "Cl", "Fe", "Cs"]
    values = np.round(rng.normal(size=(len(symbols), 3)), 3)
    texts = [[str(value) for value in row] for row in values]
    csv = Csv(list(symbols), symbols, ["a", "b", "c"], texts, values)
    names, verdict = MUTATIONS.apply(csv, rng)
    content, known = csv.content(), verdict != "refuse"
    if rng.random() < 0.3:
        name, content, must = lay_out(content, rng)
        names, verdict = (*names, name), verdict if must or not known else "either"
    elif rng.random() < 0.3:
        name, content = damage(content, rng)
        names, verdict, known = (*names, name), "either", False

    def check(folder: Path) -> None:
        table = ElementTable.load(folder / FILE)
        if known:
            _check(table, csv)
        features = UAETransformer(table, on_missing_element="mean").fit_transform(
            make_toy_crystals(4, random_state=0).structures
        )
        if not np.isfinite(features).all():
            raise Fault("not finite", "features")

    said = (FILE, "table 'table'", *(repr(name.strip('"')) for name in csv.names))
    return Case(names, {FILE: content}, verdict, check, said)


def _check(table: ElementTable, csv: Csv) -> None:
    frame = table.to_frame()
    if sorted(frame.columns) != sorted(csv.columns) or set(frame.index) != set(csv.symbols):
        raise Fault("changed", f"{list(frame.columns)} of {list(frame.index)}")
    for symbol, row in zip(csv.symbols, csv.values, strict=True):
        if not np.array_equal(frame.loc[symbol, csv.columns], row.astype(np.float32)):
            raise Fault("changed", f"{symbol} is {frame.loc[symbol].tolist()}, not {row.tolist()}")


def _element(csv: Csv, rng: np.random.Generator, name: str, symbol: str) -> None:
    row = int(rng.integers(len(csv.names)))
    csv.names[row] = name
    csv.symbols = [symbol if i == row else s for i, s in enumerate(csv.symbols)]


@MUTATIONS.of("elements")
def atomic_numbers(csv: Csv, rng: np.random.Generator) -> Verdict:
    numbers = {"Li": 3, "O": 8, "Na": 11, "Cl": 17, "Fe": 26, "Cs": 55}
    csv.names = [str(numbers[symbol]) for symbol in csv.symbols]
    return "read"


@MUTATIONS.of("elements")
def other_element(csv: Csv, rng: np.random.Generator) -> Verdict:
    symbol = pick(rng, "H", "N", "Og", "U", "Mn")
    _element(csv, rng, symbol, symbol)
    return "read"


@MUTATIONS.of("elements")
def no_element(csv: Csv, rng: np.random.Generator) -> Verdict:
    _element(csv, rng, pick(rng, "", "X", "Uut", "Fe2+", "119", "0", "-1", "2.5", "OH"), "")
    return "refuse"


@MUTATIONS.of("elements")
def isotope_or_odd_case(csv: Csv, rng: np.random.Generator) -> Verdict:
    _element(csv, rng, *pick(rng, ("D", "H"), ("mn", "Mn"), ("MN", "Mn"), ("Manganese", "Mn")))
    return "either"


@MUTATIONS.of("elements")
def blanks_around_or_quotes(csv: Csv, rng: np.random.Generator) -> Verdict:
    form = pick(rng, '"{}"', " {}", "{} ")
    csv.names = [form.format(name) for name in csv.names]
    return "read" if '"' in form else "either"


@MUTATIONS.of("elements")
def element_twice(csv: Csv, rng: np.random.Generator) -> Verdict:
    csv.names[0] = csv.names[1]
    return "refuse"


@MUTATIONS.of("values")
def no_number(csv: Csv, rng: np.random.Generator) -> Verdict:
    bad = pick(
        rng, "", "nan", "inf", "1e400", "x", '"1,5"', "1.5 eV", "?", "1_0", "\N{MINUS SIGN}1"
    )
    csv.texts[int(rng.integers(len(csv.texts)))][int(rng.integers(3))] = bad
    return "refuse"


@MUTATIONS.of("values")
def written_otherwise(csv: Csv, rng: np.random.Generator) -> Verdict:
    form = pick(rng, "{:.6e}", "{:+.4f}", '"{:.4f}"', " {:.3f}")
    csv.texts = [[form.format(value) for value in row] for row in csv.values]
    return "read"


@MUTATIONS.of("values")
def row_longer_or_shorter(csv: Csv, rng: np.random.Generator) -> Verdict:
    row = csv.texts[int(rng.integers(len(csv.texts)))]
    row[:] = pick(rng, [*row, "1.0"], row[:-1])
    return "refuse"


@MUTATIONS.of("columns")
def column_twice(csv: Csv, rng: np.random.Generator) -> Verdict:
    csv.columns[0] = csv.columns[1]
    return "refuse"


@MUTATIONS.of("columns")
def corner_otherwise(csv: Csv, rng: np.random.Generator) -> Verdict:
    csv.corner = pick(rng, "", "symbol", "Z", '"the element"')
    return "read"


@MUTATIONS.of("columns")
def no_header(csv: Csv, rng: np.random.Generator) -> Verdict:
    csv.head = False
    return "refuse"


@MUTATIONS.of("columns")
def separator(csv: Csv, rng: np.random.Generator) -> Verdict:
    csv.separator = pick(rng, ";", "\t", "|", " ")
    return "refuse"
