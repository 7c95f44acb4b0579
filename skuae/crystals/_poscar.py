"""POSCAR texts: pymatgen reads them after their element line and their counts are checked."""

import re

import numpy as np
from pymatgen.core import Structure

from skuae.crystals._limits import Limits
from skuae.crystals._remarks import remarks_caught
from skuae.crystals._symbols import element_of_symbol

_MOST_LINES = 20  # that the elements of one crystal may be written on


def read_poscar(text: str, limits: Limits) -> tuple[Structure, list[str]]:
    """Read the structure at the start of a POSCAR, CONTCAR, CHGCAR or LOCPOT text.

    Parameters
    ----------
    text : str
    limits : Limits

    Returns
    -------
    structure : Structure
    remarks : list of str
        What pymatgen remarked.

    Raises
    ------
    ValueError
        If no line names the elements, one of them is no element, or counts and lines do not fit.
    """
    lines = _lines_of_structure(text)
    counts, symbols, at = _counts_and_symbols(lines)
    limits.check("sites", sum(counts), "sites")
    has_flags = lines[at : at + 1] != [] and lines[at][:1] in ("s", "S")
    first = at + has_flags + 1
    mode = lines[first - 1] if first <= len(lines) else ""
    if not mode[:1].isalpha():
        raise ValueError(f"line {first} is {mode[:40]!r}, expected Direct or Cartesian")
    _check_number_of_lines(lines, first, sum(counts))
    if symbols is None:
        atoms = lines[first : first + sum(counts)]
        symbols = _symbols_behind(atoms, counts, 6 if has_flags else 3)
    elements = [element_of_symbol(symbol) for symbol in symbols]
    head = [
        "POSCAR", _scale(lines), *lines[2:5], " ".join(elements), " ".join(map(str, counts)),
    ]  # fmt: skip
    return _parse([*head, *lines[at:]], np.repeat(elements, counts).tolist())


def _lines_of_structure(text: str) -> list[str]:
    """Return the lines up to velocities or a grid, which follow an empty line."""
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
    beyond = lines[first + n_sites].split() if first + n_sites < len(lines) else []
    if len(beyond) >= 3 and all(re.fullmatch(r"[-+.\deE]+", word) for word in beyond[:3]):
        raise ValueError(f"{n_sites} atoms are counted, but more lines of atoms follow")


def _symbols_behind(lines: list[str], counts: list[int], column: int) -> list[str]:
    """Return the symbol of each group of atoms, where each line of an atom ends with it."""
    words = [line.split() for line in lines]
    last = {line[-1] for line in words if len(line) == column + 1}
    if any(len(line) != column + 1 for line in words) or last <= {"T", "F"}:  # flags, may be
        raise ValueError(
            "it has no line of elements (it is a file of VASP 4); write their symbols above the "
            "counts of atoms, for example: Na Cl"
        )
    groups = np.split([line[column] for line in words], np.cumsum(counts)[:-1])
    if any(len(set(group)) != 1 for group in groups):
        raise ValueError("the atoms of one count have several symbols; write a line of elements")
    return [str(group[0]) for group in groups]


def _scale(lines: list[str]) -> str:
    """Return the scale of cell and Cartesian coordinates, where a negative one is a volume."""
    scale = _numbers(lines, 1, 1)[0]
    cell = np.array([_numbers(lines, at, 3) for at in (2, 3, 4)])
    if scale >= 0:
        return lines[1]
    volume = abs(np.linalg.det(cell))
    if not volume > 0:
        raise ValueError("the cell has no volume")
    return repr(float((-scale / volume) ** (1 / 3)))


def _numbers(lines: list[str], at: int, count: int) -> list[float]:
    try:
        numbers = [float(word) for word in lines[at].split()]
    except ValueError:
        numbers = []
    if len(numbers) != count:
        what = "the scale, one number" if count == 1 else "a lattice vector, three numbers"
        raise ValueError(f"line {at + 1} is {lines[at][:40]!r}, expected {what}")
    return numbers


def _parse(lines: list[str], elements: list[str]) -> tuple[Structure, list[str]]:
    from pymatgen.io.vasp.inputs import Poscar  # slow to import, and imports ASE

    with remarks_caught() as remarks:
        structure = Poscar.from_str("\n".join(lines), read_velocities=False).structure
    if [next(iter(site.species)).symbol for site in structure] != elements:
        raise ValueError("pymatgen reads other elements than its line of elements names")
    return structure, remarks
