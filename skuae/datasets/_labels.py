"""Label columns: numbers with gaps, or names of classes, which are never confused."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd

from skuae._cells import number_in, says_unknown, short_repr, why_no_number
from skuae._warnings import warn


def as_labels(cells: Sequence[Any], where: Callable[[int], str]) -> np.ndarray | list[str | None]:
    """Return a label column as numbers, or as the names of classes if it holds no number.

    Parameters
    ----------
    cells : sequence of length n_rows
    where : callable
        From a row to what messages call its cell, such as ``"id_prop.csv line 2, column 'gap'"``.

    Returns
    -------
    ndarray of float64 of shape (n_rows,), or list of str
        NaN, or None, where a cell is empty or says that nothing is known.

    Raises
    ------
    ValueError
        If a cell among numbers is none, or not finite, or most cells of a column without numbers
        were meant as numbers, such as ``1,5``.

    Warns
    -----
    UserWarning
        Few cells of a column of classes were meant as numbers, or are signs only, such as ``-``.
    """
    known = [cell for cell in cells if not is_unknown(cell)]
    if not known or not all(isinstance(cell, str) and number_in(cell) is None for cell in known):
        return as_numbers(cells, where)
    _check_classes(cells, where)
    return [None if is_unknown(cell) else cell.strip() for cell in cells]


def as_numbers(cells: Sequence[Any], where: Callable[[int], str]) -> np.ndarray:
    """Return a label column as numbers.

    Parameters
    ----------
    cells : sequence of length n_rows
        Booleans are 0 and 1 if they are not among numbers.
    where : callable
        From a row to what messages call its cell.

    Returns
    -------
    ndarray of float64 of shape (n_rows,)
        NaN where a cell is empty or says that nothing is known.

    Raises
    ------
    ValueError
        If a cell is no number, or not finite.
    """
    known = [cell for cell in cells if not is_unknown(cell)]
    booleans = all(isinstance(cell, (bool, np.bool_)) for cell in known)
    values = np.array([_number(cell, booleans) for cell in cells], dtype=float)
    not_finite = np.flatnonzero(~np.isfinite(values)).tolist()
    wrong = [row for row in not_finite if not is_unknown(cells[row])]
    if wrong:
        cell = cells[wrong[0]]
        raise ValueError(
            f"{where(wrong[0])} is {short_repr(cell)}, no finite number{_reason(cell)}"
            f"{_times(wrong)}; leave the cell empty where the label is unknown"
        )
    return values


def is_unknown(cell: Any) -> bool:
    """Return whether a cell is empty, or says that nothing is known."""
    if isinstance(cell, str):
        return says_unknown(cell)
    if isinstance(cell, Integral):  # pandas cannot tell of huge ones
        return False
    return pd.api.types.is_scalar(cell) and bool(pd.isna(cell))


def _number(cell: Any, booleans: bool) -> float:
    """Return a cell as a number, NaN if it is none."""
    if isinstance(cell, str):
        number = number_in(cell)
        return np.nan if number is None else number
    if isinstance(cell, (bool, np.bool_)):
        return float(cell) if booleans else np.nan
    if not isinstance(cell, (Real, Decimal)) or _loses_digits(cell):
        return np.nan
    return float(cell)


def _loses_digits(cell: Any) -> bool:
    """Return whether float64 cannot hold an integer to its last digit."""
    return isinstance(cell, Integral) and number_in(str(cell)) is None


def _reason(cell: Any) -> str:
    if isinstance(cell, (bool, np.bool_)):
        return ": a boolean among numbers"
    text = str(cell) if isinstance(cell, Integral) else cell
    why = why_no_number(text) if isinstance(text, str) and number_in(text) is None else None
    return f": it {why}" if why else ""


def _check_classes(cells: Sequence[Any], where: Callable[[int], str]) -> None:
    """Refuse class columns that were meant as numbers, and warn of single such cells."""
    names = {row: cell for row, cell in enumerate(cells) if not is_unknown(cell)}
    meant = [row for row, name in names.items() if why_no_number(name)]
    signs = [row for row, name in names.items() if not any(c.isalnum() for c in name)]
    if meant:
        name = names[meant[0]]
        text = f"{where(meant[0])} is {short_repr(name)}, no number{_reason(name)}{_times(meant)}"
        if 2 * len(meant) >= len(names):
            raise ValueError(
                f"{text}; leave the cell empty where the label is unknown. If these are names of "
                "classes, begin them with a letter"
            )
        warn(f"{text}; it is taken for the name of a class")
    if signs and (len(signs) < len(names) or len({names[row] for row in signs}) == 1):
        warn(
            f"{where(signs[0])} is {short_repr(names[signs[0]])}, which is taken for the name of a "
            f"class{_times(signs)}; leave the cell empty where the label is unknown"
        )


def _times(rows: Sequence[int]) -> str:
    return f" ({len(rows)} such cell{'s' if len(rows) > 1 else ''})"
