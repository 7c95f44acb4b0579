"""Index arithmetic on ragged rows that are stored end to end, and files of packed arrays."""

import io
from collections.abc import Callable
from os import PathLike
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from skuae._files import write_bytes

T = TypeVar("T")


def offsets_from_sizes(sizes: ArrayLike) -> np.ndarray:
    """Return the offsets of rows that are stored end to end.

    Parameters
    ----------
    sizes : array-like of int of shape (n,)

    Returns
    -------
    ndarray of int64 of shape (n + 1,)
        Row ``r`` holds the elements ``offsets[r]:offsets[r + 1]``.
    """
    sizes = np.asarray(sizes)
    offsets = np.zeros(len(sizes) + 1, dtype=np.int64)
    np.cumsum(sizes, out=offsets[1:])
    return offsets


def take_rows(offsets: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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


def frozen(array: Any, dtype: DTypeLike) -> np.ndarray:
    """Return ``array`` as a contiguous, read-only array of ``dtype``."""
    array = np.ascontiguousarray(array, dtype=dtype)
    if array.flags.writeable:
        array = array.view()
        array.flags.writeable = False
    return array


def write_npz(path: str | PathLike, format: str, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays to one compressed ``.npz`` file, all or nothing.

    Parameters
    ----------
    path : str or path-like
    format : str
        What kind of file it is, and in which version.
    arrays : dict of ndarray
    """
    buffer = io.BytesIO()
    content: dict = {"format": np.array(format), **arrays}
    np.savez_compressed(buffer, **content)
    write_bytes(path, buffer.getvalue())


def read_npz(
    path: str | PathLike, format: str, build: Callable[[dict], T], *, what: str, cls: str
) -> T:
    """Build an object from a file that `write_npz` wrote. Nothing is unpickled.

    Parameters
    ----------
    path : str or path-like
    format : str
        As when it was written.
    build : callable
        From the arrays of the file to the object; raises if they do not make one.
    what, cls : str
        What the file should hold, and the class that writes it, for the message.

    Returns
    -------
    object

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is of another kind or version, or is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        if str(arrays.pop("format")) != format:
            raise ValueError("unknown format")
        return build(arrays)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(
            f"{path} is not a file of {what} that skuae can read ({error}); "
            f"write one with {cls}.save"
        ) from error
