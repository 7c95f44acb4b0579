"""Index arithmetic on ragged rows that are stored end to end."""

import numpy as np


def offsets_from_sizes(sizes):
    """Return the offsets of rows that are stored end to end.

    Parameters
    ----------
    sizes : array-like of int of shape (n,)

    Returns
    -------
    ndarray of int64 of shape (n + 1,)
        Row ``r`` holds the elements ``offsets[r]:offsets[r + 1]``.
    """
    offsets = np.zeros(len(sizes) + 1, dtype=np.int64)
    np.cumsum(sizes, out=offsets[1:])
    return offsets


def take_rows(offsets, rows):
    """Find the elements of some rows of a ragged array.

    Parameters
    ----------
    offsets : ndarray of shape (n + 1,)
        Row ``r`` holds the elements ``offsets[r]:offsets[r + 1]``.
    rows : ndarray of int of shape (m,)
        The rows wanted, in any order.

    Returns
    -------
    index : ndarray of int64
        Positions of their elements, row after row.
    new_offsets : ndarray of shape (m + 1,)
        Offsets of the rows within ``index``.
    """
    starts = offsets[rows]
    sizes = offsets[rows + 1] - starts
    new_offsets = offsets_from_sizes(sizes)
    index = np.arange(new_offsets[-1]) + np.repeat(starts - new_offsets[:-1], sizes)
    return index, new_offsets


def frozen(array, dtype):
    """Return ``array`` as a contiguous, read-only array of ``dtype``."""
    array = np.ascontiguousarray(array, dtype=dtype)
    if array.flags.writeable:
        array = array.view()
        array.flags.writeable = False
    return array
