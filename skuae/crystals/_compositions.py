"""Formulas: the content of crystals without the positions of the atoms."""

import re
from typing import Any

import numpy as np
from pymatgen.core import Composition

from skuae._elements import atomic_number
from skuae._row_names import row_name
from skuae.crystals._crystals import Crystals
from skuae.crystals._reading import as_crystals, is_missing, pack, rows_of
from skuae.crystals._symbols import is_formula, without_subscripts

_HYDRATE = re.compile(r"[·•∙⋅*]|\d\.\d*\s*H2O$")  # CuSO4.5H2O would have 4.5 atoms of oxygen
_BRACKETS = {")": "(", "]": "["}


class Compositions:
    """Elements of crystals and their amounts, without positions.

    Made by `as_contents`. It has the methods of `Crystals` that need no positions of atoms.

    Parameters
    ----------
    rows : ndarray of int64 of shape (n_entries,)
        Row of the entry; ascending, and every row has one.
    numbers : ndarray of int64 of shape (n_entries,)
        Atomic number; ascending within a row.
    amounts : ndarray of float64 of shape (n_entries,)
        Atoms per formula; fractions are fine.
    ids : ndarray of str of shape (n,) or None
        Names of the rows, for messages.
    """

    def __init__(
        self, rows: np.ndarray, numbers: np.ndarray, amounts: np.ndarray, ids: np.ndarray | None
    ) -> None:
        self._entries = rows, numbers, amounts
        self.ids = ids

    def __len__(self) -> int:
        return int(self._entries[0][-1]) + 1

    def __repr__(self) -> str:
        return f"Compositions(n={len(self)})"

    def composition(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Count the atoms of each element in each row, as `Crystals.composition` does."""
        return self._entries

    def where(self, row: int) -> str:
        """Return the name of a row for messages.

        Parameters
        ----------
        row : int

        Returns
        -------
        str
        """
        return row_name(row, self.ids)


def as_contents(X: Any) -> Crystals | Compositions:
    """Read structures as `as_crystals` does, or formulas.

    Parameters
    ----------
    X : array-like of shape (n_samples,)
        Structures; or pymatgen Compositions and formulas such as ``"Li0.5CoO2"``.

    Returns
    -------
    Crystals or Compositions

    Raises
    ------
    TypeError
        If X or one of its rows is neither, or X mixes structures with formulas.
    ValueError
        If a row cannot be read: row and reason are named.
    """
    if isinstance(X, Crystals) or isinstance(getattr(X, "crystals", None), Crystals):
        return as_crystals(X)
    texts = isinstance(X, np.ndarray) and X.dtype.kind in "UT"
    texts = texts and any(map(is_formula, X.ravel().tolist()))
    rows, index = rows_of(X.astype(object) if texts else X)
    if any(isinstance(row, Composition) or is_formula(row) for row in rows):
        return _as_compositions(rows, index)
    return pack(rows, index)


def _as_compositions(items: list, ids: np.ndarray | None) -> Compositions:
    rows: list[int] = []
    numbers: list[int] = []
    amounts: list[float] = []
    for row, item in enumerate(items):
        where = row_name(row, ids)
        try:
            found = _amounts(item)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{where}: {error}") from error
        rows += [row] * len(found)
        numbers += sorted(found)
        amounts += [found[z] for z in sorted(found)]
    return Compositions(np.array(rows), np.array(numbers), np.array(amounts), ids)


def _amounts(item: Any) -> dict[int, float]:
    """Return the atoms in a formula by atomic number; ions and isotopes are their elements."""
    composition = _composition(item)
    found: dict[int, float] = {}
    for species, amount in composition.items():
        if not 0 < amount < 1e30:
            raise ValueError(f"{item} has {amount} atoms of {species}; amounts are above 0")
        try:
            z = atomic_number(species)
        except ValueError:  # a dummy species
            raise ValueError(f"{species} is not a chemical element; remove it") from None
        found[z] = found.get(z, 0.0) + float(amount)
    if not found:
        raise ValueError(f"the formula {str(item)!r} has no atoms")
    return found


def _composition(item: Any) -> Composition:
    if isinstance(item, Composition):
        return item
    if is_missing(item):
        raise TypeError("the formula is missing; drop such rows, e.g. df.dropna(subset=[...])")
    if not isinstance(item, str):
        raise TypeError(
            f"got {type(item).__name__} among formulas; pass formulas alone, or structures alone"
        )
    text = without_subscripts(item)
    if _HYDRATE.search(text.strip()):
        raise ValueError(f"{item!r} seems to be a hydrate; write it with brackets: CuSO4(H2O)5")
    try:
        if not (is_formula(text) and _is_balanced(text)):
            raise ValueError(
                "it has other signs than symbols, numbers and brackets in pairs; write the formula "
                "of neutral elements, such as Li0.5CoO2 or Ca(OH)2"
            )
        return Composition(text)
    except ValueError as error:
        raise ValueError(f"cannot read {item[:80]!r} as a formula: {error}") from error


def _is_balanced(text: str) -> bool:
    stack: list[str] = []
    for sign in text:
        if sign in "([":
            stack.append(sign)
        elif sign in ")]" and (not stack or stack.pop() != _BRACKETS[sign]):
            return False
    return not stack
