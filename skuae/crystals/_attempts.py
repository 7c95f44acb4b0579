"""Computations that continue with the other crystals if some are refused."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from skuae.crystals._crystals import Crystals


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
