"""Files of crystals: packed arrays, which are checked before use."""

from collections.abc import Callable
from os import PathLike
from typing import Any, TypeVar

import numpy as np

from skuae.crystals._derived import Symmetries, setting_of
from skuae.crystals._levels import Arrays, check_levels, schema_of
from skuae.crystals._packing import read_npz, write_npz
from skuae.crystals._symmetry import CrystalSymmetry

C = TypeVar("C")
_FORMAT = "skuae-crystals-1"
_OF_DISORDERED = ("occ_sites", "occ_numbers", "occ_values")
_OF_SYMMETRY = tuple(name for name in schema_of(CrystalSymmetry) if name != "offsets")


def write_crystals(crystals: Any, path: str | PathLike) -> None:
    """Write crystals and their symmetry to a file, all or nothing.

    Parameters
    ----------
    crystals : Crystals
    path : str or path-like
    """
    values = {name: getattr(crystals, name) for name in (*schema_of(type(crystals)), "occ_sites")}
    symmetries = list(crystals._derived.symmetries().values())
    if symmetries:
        values["symprecs"] = np.array([symmetry.symprec for symmetry in symmetries])
    for number, symmetry in enumerate(symmetries):
        values |= {_member(number, name): getattr(symmetry, name) for name in _OF_SYMMETRY}
    write_npz(path, _FORMAT, {k: v for k, v in values.items() if v is not None})


def read_crystals(
    cls: type[C], path: str | PathLike, rebuild: Callable[[type[C], Arrays, Symmetries], C]
) -> C:
    """Read what `write_crystals` wrote. Nothing is unpickled.

    Parameters
    ----------
    cls : type
        Crystals.
    path : str or path-like
    rebuild : callable
        Makes crystals from their class, their arrays and their symmetry.

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
        symmetries = _take_symmetries(arrays)
        _check_dtypes(cls, arrays)
        return rebuild(cls, arrays, symmetries)

    return read_npz(path, _FORMAT, build, what="crystals", cls="Crystals")


def _take_symmetries(arrays: Arrays) -> Symmetries:
    """Take the arrays of symmetry out of those of a file."""
    symmetries = {}
    for number, symprec in enumerate(arrays.pop("symprecs", np.empty(0)).tolist()):
        columns = {name: arrays.pop(_member(number, name)) for name in _OF_SYMMETRY}
        columns["offsets"] = arrays["offsets"]
        check_levels(columns, schema_of(CrystalSymmetry))
        symmetries[setting_of(symprec)] = CrystalSymmetry(symprec=symprec, **columns)
    return symmetries


def _member(number: int, name: str) -> str:
    return f"symmetry_{number}_{name}"


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
