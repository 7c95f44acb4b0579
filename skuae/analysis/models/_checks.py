"""Checks of columns of numbers."""

import numpy as np

from skuae._messages import such_rows
from skuae._numbers import as_floats


def check_rows(**columns):
    """Return columns of numbers, one per row each, as float64.

    Parameters
    ----------
    **columns : array-like of shape (n_samples,)
        Named as messages should call them.

    Returns
    -------
    list of ndarray of shape (n_samples,)

    Raises
    ------
    TypeError, ValueError
        If one has something else than numbers, is not one-dimensional, empty, of another length
        than the first, or not finite.
    """
    arrays = {name: _numbers(name, column) for name, column in columns.items()}
    n = None
    for name, array in arrays.items():
        if array.ndim != 1 or not len(array):
            raise ValueError(
                f"{name} has shape {array.shape}: expected (n_samples,), one target of at least "
                "one row; choose a column of several"
            )
        n = len(array) if n is None else n
        if len(array) != n:
            raise ValueError(f"{name} has {len(array)} rows, and {next(iter(arrays))} has {n}")
        bad = np.flatnonzero(~np.isfinite(array))
        if len(bad):
            raise ValueError(
                f"{name} is {array[bad[0]]} in row {bad[0]}{such_rows(len(bad))}; leave rows out "
                "that are not known"
            )
    return list(arrays.values())


def _numbers(name, column):
    try:
        return as_floats(column)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from error
