"""POSCAR texts: their numbers, elements and counts, each checked against the others."""

import math
import re
from collections.abc import Sequence

import numpy as np
from pymatgen.core import Lattice, Structure

from skuae._cells import number_in
from skuae.crystals._limits import Limits
from skuae.crystals._symbols import element_of_symbol

_MOST_LINES = 20  # that the elements of one crystal may be written on
_FORTRAN = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))[dD]([+-]?[0-9]+)")
_FLAG = re.compile(r"\.?[TF](RUE|ALSE)?\.?", re.IGNORECASE)


def read_poscar(text: str, limits: Limits) -> Structure:
    """Read the structure at the start of a POSCAR, CONTCAR, CHGCAR or LOCPOT text.

    As in VASP, text may follow the numbers of a line, and exponents may be Fortran's ``d``.

    Parameters
    ----------
    text : str
    limits : Limits

    Returns
    -------
    Structure
        With ``"selective_dynamics"``, where the text has it.

    Raises
    ------
    ValueError
        If no line names the elements, one of them is no element, counts and lines do not fit, an
        atom is named otherwise than its element, or the text holds several frames.
    """
    lines = _lines_of_structure(text)
    scale, cell = _scale_and_cell(lines)
    counts, symbols, at = _counts_and_symbols(lines)
    limits.check("sites", sum(counts), "sites")
    has_flags = lines[at : at + 1] != [] and lines[at][:1] in ("s", "S")
    first = at + has_flags + 1
    mode = lines[first - 1] if first <= len(lines) else ""
    if not mode[:1].isalpha():
        raise ValueError(f"line {first} is {mode[:40]!r}, expected Direct or Cartesian")
    _check_number_of_lines(lines, first, sum(counts))
    _check_one_frame(text, first + sum(counts))
    atoms = range(first, first + sum(counts))
    coords = np.array([_numbers(lines, line, 3, "the coordinates of an atom") for line in atoms])
    names = [_name_behind(lines, line) for line in atoms]
    if symbols is None:
        counts = [count for count in counts if count]
        symbols = _symbols_behind(names, counts)
    elements = np.repeat([element_of_symbol(symbol) for symbol in symbols], counts).tolist()
    _check_names(names, elements, first)
    cartesian = mode[0] in "cCkK"
    coords = coords * scale if cartesian else coords
    moves = {"selective_dynamics": [_moves(lines[line]) for line in atoms]} if has_flags else None
    return Structure(
        Lattice(cell * scale), elements, coords, coords_are_cartesian=cartesian,
        site_properties=moves,
    )  # fmt: skip


def is_poscar(text: str) -> bool:
    """Tell whether a text begins as a POSCAR does.

    Parameters
    ----------
    text : str

    Returns
    -------
    bool
    """
    return _is_head(text.split("\n", 7)[:7])


def _lines_of_structure(text: str) -> list[str]:
    """Return the lines before the empty line that precedes velocities or a grid."""
    comment, _, rest = text.partition("\n")
    lines = re.split(r"\n[^\S\n]*(?:\n|$)", rest, maxsplit=1)[0].split("\n")
    lines = [comment, *(line.partition("#")[0].partition("!")[0].strip() for line in lines)]
    if len(lines) < 8:
        raise ValueError(f"it has {len(lines)} lines up to the first empty one, too few")
    return lines


def _counts_and_symbols(lines: list[str]) -> tuple[list[int], list[str] | None, int]:
    """Return the counts, the symbols (None if no line has them) and the line that follows."""
    at = 5
    words: list[str] = []
    while at < min(len(lines), 5 + _MOST_LINES) and not _are_counts(lines[at]):
        words += lines[at].split()
        at += 1
    n_lines = max(at - 5, 1)
    found = [line.split() for line in lines[at : at + n_lines] if _are_counts(line)]
    counts = [int(word) for line in found for word in line]
    if not sum(counts):
        raise ValueError("no line counts the atoms of each element")
    symbols = [word.split("/")[0].split("_")[0] for word in words]
    if symbols and len(symbols) != len(counts):
        raise ValueError(
            f"{len(symbols)} elements ({' '.join(symbols)}), but {len(counts)} counts of atoms "
            f"({' '.join(map(str, counts))})"
        )
    return counts, symbols or None, at + n_lines


def _are_counts(line: str) -> bool:
    words = line.split()
    return bool(words) and all(re.fullmatch("[0-9]{1,12}", word) for word in words)


def _check_number_of_lines(lines: list[str], first: int, n_sites: int) -> None:
    found = [line.split() for line in lines[first : first + n_sites]]
    if len(found) < n_sites:
        raise ValueError(f"{n_sites} atoms are counted, but {len(found)} lines of them follow")
    if first + n_sites < len(lines) and len(_leading(lines[first + n_sites])) >= 3:
        raise ValueError(f"{n_sites} atoms are counted, but more lines of atoms follow")


def _check_one_frame(text: str, end: int) -> None:
    """Raise ValueError if a second frame follows the atoms of the first."""
    rest = [line for line in text.split("\n")[end:] if line.strip()][:7]
    again = re.match(r"\s*(direct|cartesian) config", rest[0], re.IGNORECASE) if rest else None
    if again or _is_head(rest):
        raise ValueError("it holds several structures, one after the other; give each its own file")


def _is_head(lines: Sequence[str]) -> bool:
    """Tell whether lines are a comment, a scale, a cell, and counts of atoms."""
    return (
        len(lines) == 7
        and _scale_in(lines[1]) not in (None, 0)
        and all(len(_leading(line)) == 3 for line in lines[2:5])
        and any(_are_counts(line) for line in lines[5:])
    )


def _name_behind(lines: Sequence[str], at: int) -> str | None:
    """Return the text after the coordinates of an atom and VASP's flags."""
    words = lines[at].split()[3:]
    if len(words) >= 3 and all(_FLAG.fullmatch(word) for word in words[:3]):
        words = words[3:]
    return words[0] if words else None


def _moves(line: str) -> list[bool]:
    """Return along which lattice vectors an atom may move, by VASP's flags behind its numbers."""
    flags = line.split()[3:6]
    if len(flags) < 3 or not all(_FLAG.fullmatch(flag) for flag in flags):
        return [True] * 3
    return [flag.strip(".")[0] in "tT" for flag in flags]


def _symbols_behind(names: Sequence[str | None], counts: Sequence[int]) -> list[str]:
    """Return the symbol of each group of atoms, from the ends of the lines of atoms."""
    known = [name for name in names if name is not None]
    if len(known) < len(names) or set(known) <= {"T", "F"}:  # flags, may be
        raise ValueError(
            "it has no line of elements (it is a file of VASP 4); write their symbols above the "
            "counts of atoms, for example: Na Cl"
        )
    groups = np.split(known, np.cumsum(counts)[:-1])
    if any(len(set(group)) > 1 for group in groups):
        raise ValueError("the atoms of one count have several symbols; write a line of elements")
    return [str(group[0]) for group in groups]


def _check_names(names: Sequence[str | None], elements: Sequence[str], first: int) -> None:
    """Raise ValueError if the name of an atom contradicts the line of elements."""
    for at, (name, element) in enumerate(zip(names, elements, strict=True), start=first + 1):
        if name is not None and _element_in(name) not in (None, element):
            raise ValueError(
                f"line {at} names its atom {name!r}, but is one of {element} by the line of "
                "elements and the counts; sort the atoms, or correct that line"
            )


def _element_in(name: str) -> str | None:
    """Return the element that a name such as Na, Na1 or Na_pv begins with, or None."""
    symbol = re.split("[/_]", name)[0]
    try:
        return element_of_symbol(symbol, symbol) if symbol[:1].isupper() else None
    except ValueError:
        return None


def _scale_and_cell(lines: Sequence[str]) -> tuple[float, np.ndarray]:
    """Return the scale of cell and Cartesian coordinates, and the unscaled cell."""
    scale = _scale_in(lines[1])
    if scale is None:
        raise ValueError(f"line 2 is {lines[1][:40]!r}, expected the scale, one number")
    cell = np.array([_numbers(lines, at, 3, "a lattice vector") for at in (2, 3, 4)])
    if scale >= 0:
        return scale, cell
    volume = abs(np.linalg.det(cell))
    if not volume > 0:
        raise ValueError("the cell has no volume")
    return float((-scale / volume) ** (1 / 3)), cell  # a negative scale is a volume


def _scale_in(line: str) -> float | None:
    """Return the scale in a line, given once or three times equal; else None."""
    found = _leading(line)
    return found[0] if len(found) in (1, 3) and len(set(found)) == 1 else None


def _numbers(lines: Sequence[str], at: int, count: int, what: str) -> list[float]:
    """Return the numbers at the start of a line; text may follow, but no other number."""
    found = _leading(lines[at])
    if len(found) < count:
        raise ValueError(f"line {at + 1} is {lines[at][:40]!r}, expected {what}, three numbers")
    if len(found) > count:
        raise ValueError(
            f"line {at + 1} is {lines[at][:40]!r}, expected {what}, three numbers, but more "
            "numbers follow; take out columns such as row numbers"
        )
    return found


def _leading(line: str) -> list[float]:
    """Return the finite numbers at the start of a line."""
    numbers = []
    for word in line.split():
        number = number_in(word)
        if number is None and (exponent := _FORTRAN.fullmatch(word)):
            number = number_in(f"{exponent[1]}e{exponent[2]}")
        if number is None or not math.isfinite(number):
            break
        numbers.append(number)
    return numbers
