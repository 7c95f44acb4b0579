"""The atoms that the rows of a CIF name: their elements, occupancies and places."""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from skuae._elements import SYMBOLS
from skuae.crystals._cif_text import CANONICAL, Block, Loop, Span
from skuae.crystals._limits import Limits
from skuae.crystals._symbols import element_of_label, element_of_symbol, elements_in

ATOM_LOOP = "_atom_site_fract_x"
_ELEMENTS = frozenset(SYMBOLS)
UNKNOWN = {"?", ".", ""}
# As in check_occupancies; pymatgen scales what lies between 1 and this down to 1.
MOST = 1.001
AXES = ("_atom_site_fract_x", "_atom_site_fract_y", "_atom_site_fract_z")
_MARKS = (
    "_atom_site_attached_hydrogens",
    "_atom_site_calc_flag",
    "_atom_site_disorder_group",
)
_FORMULAS = ("_chemical_formula_sum", "_chemical_formula_structural")
_NUMBER = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?:\(\d+\)?)?", re.ASCII)
_SHARE = re.compile(r"(\d*\.?\d+)(?:\(\d+\))?([A-Z][a-z]?)")


class Row(NamedTuple):
    """One atom of one row; a row may hold several."""

    name: str
    element: str
    occupancy: float
    position: tuple[float, ...]
    row: int


def rows_of(block: Block, limits: Limits, edits: dict[Span, str]) -> Iterator[Row]:
    """Yield the atoms that the rows name; fill `edits` with what pymatgen would misread."""
    loop = block.columns[ATOM_LOOP]
    for name in ("_atom_site_type_symbol", "_atom_site_occupancy", "_atom_site_label", *AXES):
        if name in block.columns and block.columns[name] is not loop:
            raise ValueError(f"{name} stands in another loop than {ATOM_LOOP}; join the loops")
    for name in ("_atom_site_label", *AXES):
        if name not in loop.names:
            raise ValueError(f"the loop of its atoms has no {name}")
    if repeated := [name for name in block.repeated if name in CANONICAL]:
        raise ValueError(f"{repeated[0]} is given twice; keep one")
    if not loop.is_complete or not loop.values:
        raise ValueError(
            f"the loop of its atoms has {len(loop.values)} values for {len(loop.names)} columns; "
            "complete its rows"
        )
    limits.check("sites", len(loop), "rows of atoms")
    formula = _formula(block)
    full_groups: dict[str, tuple[str, str]] = {}
    is_marked = any(name in loop.names for name in _MARKS)
    has_occupancies = "_atom_site_occupancy" in loop.names
    occupancies = loop.column("_atom_site_occupancy") if has_occupancies else ["1"] * len(loop)
    axes = [loop.column(axis) for axis in AXES]
    for row, label in enumerate(loop.column("_atom_site_label")):
        name = f"atom {row + 1} ({label!r})"
        try:
            occupancy = _occupancy(occupancies[row])
            if occupancies[row] == ".":  # pymatgen takes 0 for it
                edits[loop.span("_atom_site_occupancy", row)] = "1"
            position = tuple(map(number, [axis[row] for axis in axes], AXES))
            if is_marked:
                _check_single_atom(loop, row, occupancy, full_groups, edits)
            for element, part in _elements(loop, row, label, occupancy, formula, edits):
                if occupancy * part > 0:
                    yield Row(name, element, occupancy * part, position, row)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error


def _formula(block: Block) -> frozenset[str]:
    texts = [block.value(name) for name in _FORMULAS]
    return next((elements_in(text) for text in texts if text not in UNKNOWN), frozenset())


def _occupancy(text: str) -> float:
    occupancy = 1.0 if text == "." else number(text, "occupancy")
    if not 0 <= occupancy < MOST:
        raise ValueError(f"occupancy {text}, expected 0 to 1")
    return occupancy


def number(text: str, what: str) -> float:
    """Return a number of a CIF, such as ``0.25(3)``; raise ValueError if it is none."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise ValueError(f"{what} is {text!r}, no number")
    return float(match[1])


def _check_single_atom(
    loop: Loop, row: int, occupancy: float, full_groups: dict, edits: dict[Span, str]
) -> None:
    """Raise ValueError unless the row stands for exactly one atom."""
    hydrogens = loop.value("_atom_site_attached_hydrogens", row, ".")
    if hydrogens == "?":
        edits[loop.span("_atom_site_attached_hydrogens", row)] = "."
    elif hydrogens != "." and number(hydrogens, "_atom_site_attached_hydrogens"):
        raise ValueError(f"{hydrogens} attached hydrogens without positions; add rows for them")
    if loop.value("_atom_site_calc_flag", row, ".").lower() in ("dum", "dummy"):
        raise ValueError("a dummy site, not an atom; delete the row")
    group = loop.value("_atom_site_disorder_group", row, ".")
    if group not in (".", "?", "0") and occupancy > 0.999:
        assembly = loop.value("_atom_site_disorder_assembly", row, ".")
        label = loop.value("_atom_site_label", row)
        other, first = full_groups.setdefault(assembly, (group, label))
        if other != group:
            raise ValueError(
                f"fully occupied in disorder group {group}, as {first!r} is in group {other}: only "
                "one of them can be there; write the occupancies, or keep one group"
            )


def _elements(
    loop: Loop,
    row: int,
    label: str,
    occupancy: float,
    formula: frozenset[str],
    edits: dict[Span, str],
) -> list[tuple[str, float]]:
    """Return the elements of a row and their shares of its occupancy."""
    try:
        if "_atom_site_type_symbol" not in loop.names:
            return [(_mend(loop, "_atom_site_label", row, edits, element_of_label, formula), 1.0)]
        symbol = loop.value("_atom_site_type_symbol", row)
        if symbol in _ELEMENTS:
            return [(symbol, 1.0)]
        if " + " in symbol and "_atom_site_occupancy" in loop.names:
            return _shares(loop, row, symbol, occupancy, edits)

        def meaning(text: str, known: frozenset[str]) -> str:
            return element_of_symbol(text, label, known)

        return [(_mend(loop, "_atom_site_type_symbol", row, edits, meaning, formula), 1.0)]
    except ValueError as error:
        raise ValueError(
            f"{error}; write one row for each atom of a group, delete rows of vacancies, and name "
            "elements by their symbols in _atom_site_type_symbol"
        ) from error


def _mend(
    loop: Loop,
    column: str,
    row: int,
    edits: dict[Span, str],
    meaning: Callable[[str, frozenset[str]], str],
    formula: frozenset[str],
) -> str:
    """Return the element that a cell means, and write it there if pymatgen may misread the cell."""
    text = loop.value(column, row)
    element = meaning(text, formula)
    if text != element and not re.fullmatch(rf"({element}|D|T)(?![A-Za-z])[-+.\d]*", text):
        edits[loop.span(column, row)] = element
    return element


def _shares(
    loop: Loop, row: int, symbol: str, occupancy: float, edits: dict[Span, str]
) -> list[tuple[str, float]]:
    """Return the shares in ``0.8Nb + 0.2Zr`` (Pauling file), and write a row for each element."""
    found = [_SHARE.fullmatch(part.strip()) for part in symbol.split(" + ")]
    if not all(found):
        raise ValueError(f"{symbol!r} is no element")
    shares = [(element_of_symbol(m[2]), float(m[1])) for m in found if m]
    lines = []
    for element, share in shares:
        words = loop.row(row)
        words[loop.names["_atom_site_type_symbol"]] = element
        words[loop.names["_atom_site_occupancy"]] = str(occupancy * share)
        lines.append(" ".join(words))
    edits.pop(loop.span("_atom_site_occupancy", row), None)
    edits[loop.span_of_row(row)] = "\n".join(lines)
    return shares


def check_sums(rows: list[Row]) -> None:
    """Raise ValueError if the rows of one place add up to more than one atom."""
    places: dict[tuple, list[Row]] = {}
    for row in rows:
        places.setdefault(row.position, []).append(row)
    for place in places.values():
        whole = sum(row.occupancy for row in place)
        if not whole < MOST:
            names = ", ".join(row.name for row in place)
            raise ValueError(f"{names} share one place, but their occupancies add up to {whole:g}")
