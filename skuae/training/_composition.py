"""Elements of rows, for checks that name the first faulty row."""

from typing import NamedTuple

import numpy as np

from skuae._elements import N_ELEMENTS, SYMBOLS
from skuae.crystals import Crystals


class Found(NamedTuple):
    """The first row that has one of some elements.

    Attributes
    ----------
    where : str
        What messages call the row.
    symbol : str
        The element.
    n_rows : int
        How many rows have any of them.
    """

    where: str
    symbol: str
    n_rows: int


def first_with(
    crystals: Crystals, elements: np.ndarray, among: np.ndarray | None = None
) -> Found | None:
    """Find the first row that has one of some elements.

    Parameters
    ----------
    crystals : Crystals
    elements : ndarray of bool of shape (118,)
    among : ndarray of int, optional
        The rows that count; all by default.

    Returns
    -------
    Found or None
    """
    rows, numbers, _ = crystals.composition()
    found = np.flatnonzero(elements[numbers - 1])
    if among is not None:
        found = found[np.isin(rows[found], among)]
    if not len(found):
        return None
    symbol = SYMBOLS[numbers[found[0]] - 1]
    return Found(crystals.where(int(rows[found[0]])), symbol, len(np.unique(rows[found])))


def seen_elements(crystals: Crystals, rows: np.ndarray) -> np.ndarray:
    """Return which elements are in some of the crystals.

    Parameters
    ----------
    crystals : Crystals
    rows : ndarray of int

    Returns
    -------
    ndarray of bool of shape (118,)
    """
    of, numbers, _ = crystals.composition()
    seen = np.zeros(N_ELEMENTS, dtype=bool)
    seen[numbers[np.isin(of, rows)] - 1] = True
    return seen
