"""Index arithmetic on ragged rows that are stored end to end, and files of packed arrays."""

import io
import zipfile
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from skuae._files import write_bytes

T = TypeVar("T")
# A file that expands to more than 1 GB, and to more than 500 times its size, holds zeros only.
_LARGE, _RATIO = 1 << 30, 500


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
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {path}")
    with open(path, "rb") as stream:  # a file that may not be read is not a damaged one
        try:
            _check_size(stream)
            with np.load(stream, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            found = str(arrays.pop("format"))
            if found != format:
                raise ValueError(f"its format is {found!r:.80}, expected {format!r}")
            return build(arrays)
        except Exception as error:  # damage gives a dozen kinds, from zlib.error to KeyError
            kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
            raise ValueError(
                f"{path} is not a file of {what} that skuae can read ({kind}{error}); "
                f"write one with {cls}.save"
            ) from error


def _check_size(stream: IO[bytes]) -> None:
    """Raise ValueError if compressed arrays would expand further than those of crystals do."""
    with zipfile.ZipFile(stream) as archive:
        members = archive.infolist()
    size, packed = (sum(getattr(m, k) for m in members) for k in ("file_size", "compress_size"))
    if size > max(_LARGE, _RATIO * packed):
        raise ValueError(f"{packed} bytes would expand to {size}, which no crystals do")
    stream.seek(0)
