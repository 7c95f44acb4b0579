"""Crystals in a file: their packed arrays, checked before they are taken for crystals."""

from os import PathLike
from typing import Any, TypeVar

import numpy as np

from skuae.crystals._levels import Arrays, schema_of
from skuae.crystals._packing import read_npz, write_npz

C = TypeVar("C")
_FORMAT = "skuae-crystals-1"
_OF_DISORDERED = ("occ_sites", "occ_numbers", "occ_values")


def write_crystals(crystals: Any, path: str | PathLike) -> None:
    """Write crystals to a file, all or nothing.

    Parameters
    ----------
    crystals : Crystals
    path : str or path-like
    """
    values = {name: getattr(crystals, name) for name in (*schema_of(type(crystals)), "occ_sites")}
    write_npz(path, _FORMAT, {k: v for k, v in values.items() if v is not None})


def read_crystals(cls: type[C], path: str | PathLike) -> C:
    """Read what `write_crystals` wrote. Nothing is unpickled.

    Parameters
    ----------
    cls : type
        Crystals.
    path : str or path-like

    Returns
    -------
    Crystals

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not one that `write_crystals` wrote, or is damaged.
    """

    def build(arrays: Arrays) -> C:
        _check_dtypes(cls, arrays)
        return cls(**arrays)

    return read_npz(path, _FORMAT, build, what="crystals", cls="Crystals")


def _check_dtypes(cls: type, arrays: Arrays) -> None:
    """Raise ValueError unless the arrays have the dtypes that they were written with."""
    dtypes = {name: np.dtype(column.dtype) for name, column in schema_of(cls).items()}
    dtypes["occ_sites"] = np.dtype(np.int64)
    for name, array in arrays.items():
        if name not in dtypes:
            raise ValueError(f"{name!r} is no array of crystals")
        same = array.dtype == dtypes[name]
        if name == "ids":  # as wide as the longest
            same = array.dtype.kind == "U"
        if not same:
            raise ValueError(f"{name} is {array.dtype}, expected {dtypes[name]}")
    lengths = {arrays[name].size if name in arrays else -1 for name in _OF_DISORDERED}
    if len(lengths) > 1 or 0 in lengths:
        raise ValueError(f"{', '.join(_OF_DISORDERED)} go together: some are missing")
