"""Computations that continue with the other crystals if some are refused."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from skuae.crystals._crystals import Crystals
from skuae.crystals._reading import pack, rows_of


class Attempts(NamedTuple):
    """Results of a computation, and the crystals that were refused.

    Attributes
    ----------
    rows : ndarray of int64 of shape (n_done,)
        The crystals that have a result.
    results : list
        Their results, one for each slice, from first to last.
    reasons : dict of int to str
        Why the others were refused.
    """

    rows: np.ndarray
    results: list[Any]
    reasons: dict[int, str]


def attempt_rows(compute: Callable[[Crystals], Any], crystals: Crystals) -> Attempts:
    """Compute something for all crystals that are not refused.

    Slices that are refused are halved, down to single crystals.

    Parameters
    ----------
    compute : callable
        Takes crystals; a ValueError says that it refuses one of them.
    crystals : Crystals

    Returns
    -------
    Attempts
    """
    done: list[np.ndarray] = []
    results: list[Any] = []
    reasons: dict[int, str] = {}
    left = [range(len(crystals))]
    while left:
        rows = left.pop()
        part = crystals[rows.start : rows.stop]
        try:
            results.append(compute(part))
            done.append(np.array(rows))
        except ValueError as error:
            if len(rows) == 1:
                reasons[rows[0]] = str(error).removeprefix(f"{part.where(0)}: ")
            else:
                middle = len(rows) // 2
                left += [rows[middle:], rows[:middle]]
    return Attempts(np.concatenate(done or [np.empty(0, np.int64)]), results, reasons)


class ReadRows(NamedTuple):
    """What could be read of some rows.

    Attributes
    ----------
    crystals : Crystals
        Of the rows that could be read.
    rows : ndarray of int64 of shape (n_crystals,)
        Which ones these are.
    reasons : dict of int to str
        Why the others could not.
    ids : ndarray of str of shape (n_rows,), or None
        Names of all rows.
    """

    crystals: Crystals
    rows: np.ndarray
    reasons: dict[int, str]
    ids: np.ndarray | None


def read_readable(X: Any) -> ReadRows:
    """Read rows of structures; where one cannot be read, read the others.

    Parameters
    ----------
    X : list, Series, DataFrame with one column or other iterable
        As of `as_crystals`.

    Returns
    -------
    ReadRows

    Raises
    ------
    TypeError, ValueError
        If X is no collection of rows, or none of them can be read.
    """
    items, ids = rows_of(X)
    parts: list[Crystals] = []
    kept: list[np.ndarray] = []
    reasons: dict[int, str] = {}
    left = [range(len(items))]
    while left:
        rows = left.pop()
        own = None if ids is None else ids[rows.start : rows.stop]
        try:
            parts.append(pack(items[rows.start : rows.stop], own))
            kept.append(np.array(rows))
        except (TypeError, ValueError) as error:
            if len(rows) <= 1:
                if len(items) == len(reasons) + len(rows):  # none can be read
                    raise
                name = "row 0" if own is None else f"row 0 ({own[0]})"
                reasons[rows[0]] = str(error).removeprefix(f"{name}: ")
            else:
                middle = len(rows) // 2
                left += [rows[middle:], rows[:middle]]
    return ReadRows(Crystals.concatenate(parts), np.concatenate(kept), reasons, ids)
