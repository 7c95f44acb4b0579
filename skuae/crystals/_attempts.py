"""Computations that skip refused crystals and continue with the others."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from skuae._row_names import row_name
from skuae.crystals._crystals import Crystals
from skuae.crystals._reading import pack, parse_row, rows_of
from skuae.crystals._remarks import warn_remarks


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
    left = [range(len(crystals))] if len(crystals) else []
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
    TypeError
        If X is no collection of rows.
    """
    items, ids = rows_of(X)
    read: dict[int, Any] = {}
    reasons: dict[int, str] = {}
    remarks: dict[str, list[str]] = {}

    def where(row: int) -> str:
        return row_name(row, ids)

    for row, item in enumerate(items):  # files and texts take long, and are read once
        try:
            read[row], said = parse_row(item)
        except (TypeError, ValueError) as error:
            reasons[row] = str(error)
        else:
            remarks |= {where(row): said} if said else {}
    try:
        crystals = _pack(read, ids)
    except (TypeError, ValueError):  # which names the first row only
        for row, item in list(read.items()):
            try:
                pack([item], None)
            except (TypeError, ValueError) as error:
                reasons[row] = str(error).removeprefix("row 0: ")
                del read[row]
                remarks.pop(where(row), None)
        crystals = _pack(read, ids)
    warn_remarks(remarks)
    return ReadRows(crystals, np.array(list(read), dtype=np.int64), reasons, ids)


def _pack(read: dict[int, Any], ids: np.ndarray | None) -> Crystals:
    if not read:
        return Crystals([], np.empty((0, 3)), np.empty((0, 3, 3)), [0])
    return pack(list(read.values()), None if ids is None else ids[list(read)])
