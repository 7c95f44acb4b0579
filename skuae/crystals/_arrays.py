"""The arrays that `Crystals` are made from: converted, copied, checked and joined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from skuae._elements import N_ELEMENTS
from skuae._numbers import as_floats
from skuae.crystals._levels import Arrays, Schema, join_levels, schema_of
from skuae.crystals._packing import frozen

if TYPE_CHECKING:
    from skuae.crystals._crystals import Crystals

_WAY_OUT = "Build Crystals from structures with as_crystals(X)."


def packed(
    numbers: ArrayLike,
    frac_coords: ArrayLike,
    lattices: ArrayLike,
    offsets: ArrayLike,
    ids: ArrayLike | None,
) -> dict[str, Any]:
    """Return the arrays of crystals by name, read-only; see `Crystals`.

    Raises
    ------
    ValueError
        If they do not describe packed crystals.
    """
    try:
        arrays: dict[str, Any] = {
            "numbers": _integers(numbers, np.uint8),
            "frac_coords": _own(frac_coords, np.float64),
            "lattices": _own(lattices, np.float64),
            "offsets": _integers(offsets, np.int64),
            "ids": None if ids is None else _own(ids, np.str_),
        }
        _check_shapes(**arrays)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            "arrays do not describe packed crystals: expected numbers (n_sites,), each an "
            "integer from 1 to 118, frac_coords (n_sites, 3), lattices (n, 3, 3), offsets "
            f"(n + 1,) from 0 to n_sites, ids (n,); {error}. {_WAY_OUT}"
        ) from error
    return arrays


def packed_entries(
    occ_sites: ArrayLike | None,
    occ_numbers: ArrayLike | None,
    occ_values: ArrayLike | None,
    crystals: Crystals,
) -> dict[str, Any]:
    """Return the arrays of disordered sites by name, read-only, or None for each if there are none.

    `crystals` hold their other arrays already.

    Raises
    ------
    ValueError
        If they do not describe disordered sites.
    """
    if occ_sites is None or np.size(occ_sites) == 0:
        return {"occ_sites": None, "occ_numbers": None, "occ_values": None}
    try:
        entries = {
            "occ_sites": _integers(occ_sites, np.int64),
            "occ_numbers": _integers(occ_numbers, np.uint8),
            "occ_values": _own(occ_values, np.float64),
        }
        _check_entries(**entries, crystals=crystals)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            "occ_sites, occ_numbers and occ_values do not describe disordered sites: expected "
            "three arrays of one length, sites sorted and below n_sites, numbers 1 to 118, "
            f"occupancies above 0 and, on a site, up to 1 together; {error}. {_WAY_OUT}"
        ) from error
    return entries


def precision_of(values: ArrayLike) -> float:
    """Return the relative precision of numbers as they were given, at best that of float64."""
    dtype, best = np.asarray(values).dtype, float(np.finfo(np.float64).eps)
    return max(float(np.finfo(dtype).eps), best) if dtype.kind == "f" else best


def arrays_by_level(crystals: Crystals) -> Arrays:
    """Return the arrays of crystals by name, the sites of disordered entries as offsets."""
    values = {name: getattr(crystals, name) for name in schema_of(type(crystals))}
    if crystals.occ_sites is not None:
        sites = np.arange(crystals.n_sites + 1)
        values["occ_offsets"] = np.searchsorted(crystals.occ_sites, sites)
    return {name: value for name, value in values.items() if value is not None}


def arrays_of_crystals(arrays: Arrays, schema: Schema) -> dict[str, Any]:
    """Return what `arrays_by_level` was made of, read-only; None for what there is not."""
    values: dict[str, Any] = dict.fromkeys([*schema, "occ_sites"])
    values |= {n: frozen(a, schema[n].dtype) for n, a in arrays.items() if n != "occ_offsets"}
    if values["occ_values"] is None or not len(values["occ_values"]):
        return values | {"occ_numbers": None, "occ_values": None}
    offsets = arrays["occ_offsets"]
    values["occ_sites"] = frozen(np.repeat(np.arange(len(offsets) - 1), np.diff(offsets)), np.int64)
    return values


def joined_arrays(parts: Sequence[Arrays]) -> Arrays:
    """Join the arrays of crystals by level end to end; ids only if all have them."""
    if any("ids" not in part for part in parts):
        parts = [{name: a for name, a in part.items() if name != "ids"} for part in parts]
    if any("occ_offsets" in part for part in parts):
        empty: Arrays = {"occ_numbers": np.empty(0, np.uint8), "occ_values": np.empty(0)}
        parts = [
            {"occ_offsets": np.zeros(len(part["numbers"]) + 1, np.int64), **empty, **part}
            for part in parts
        ]
    return join_levels(parts)


def _check_shapes(
    numbers: np.ndarray,
    frac_coords: np.ndarray,
    lattices: np.ndarray,
    offsets: np.ndarray,
    ids: np.ndarray | None,
) -> None:
    n, n_sites = len(lattices), len(numbers)
    if (
        numbers.shape != (n_sites,)
        or lattices.shape != (n, 3, 3)
        or frac_coords.shape != (n_sites, 3)
        or offsets.shape != (n + 1,)
        or (ids is not None and ids.shape != (n,))
    ):
        shapes = ", ".join(str(a.shape) for a in (numbers, frac_coords, lattices, offsets))
        more = "" if ids is None else f", {ids.shape}"
        raise ValueError(f"got {shapes}{more}")
    if offsets[0] != 0 or offsets[-1] != n_sites or np.any(np.diff(offsets) < 0):
        raise ValueError("got offsets that do not rise from 0 to n_sites")
    _check_elements(numbers)


def _check_entries(
    occ_sites: np.ndarray, occ_numbers: np.ndarray, occ_values: np.ndarray, crystals: Crystals
) -> None:
    if not occ_sites.shape == occ_numbers.shape == occ_values.shape == (len(occ_sites),):
        raise ValueError(f"got {occ_sites.shape}, {occ_numbers.shape} and {occ_values.shape}")
    if not 0 <= occ_sites[0] <= occ_sites[-1] < crystals.n_sites or np.any(np.diff(occ_sites) < 0):
        raise ValueError("got sites that are not sorted, or not below n_sites")
    _check_elements(occ_numbers)
    wrong = occ_sites[~(occ_values > 0)]
    if not len(wrong):
        wrong = np.flatnonzero(~(np.bincount(occ_sites, occ_values) < 1.001))
    if len(wrong):
        values = occ_values[occ_sites == wrong[0]]
        row = int(np.searchsorted(crystals.offsets, wrong[0], side="right")) - 1
        site = wrong[0] - crystals.offsets[row]
        got = ", ".join(map(str, values.tolist()))
        raise ValueError(f"got {got} on site {site} of {crystals.where(row)}")


def _check_elements(numbers: np.ndarray) -> None:
    if len(numbers) and not 1 <= numbers.min() <= numbers.max() <= N_ELEMENTS:
        raise ValueError(f"got numbers from {numbers.min()} to {numbers.max()}")


def _integers(values: Any, dtype: DTypeLike) -> np.ndarray:
    given = np.asarray(values)
    if given.dtype.kind not in "iu" or np.ma.is_masked(values):
        given = as_floats(values)
        if np.any(np.mod(given, 1) != 0):
            raise ValueError("got numbers that are no integers")
    limits = np.iinfo(np.dtype(dtype))
    if given.size and not limits.min <= given.min() <= given.max() <= limits.max:
        raise ValueError(f"got numbers from {given.min()} to {given.max()}")
    return _own(given, dtype)


def _own(values: Any, dtype: DTypeLike) -> np.ndarray:
    """Return a read-only copy."""
    if np.dtype(dtype).kind == "f":
        values = as_floats(values)
    with np.errstate(over="ignore"):  # what is infinite is refused later, by row
        return frozen(np.array(values, dtype=dtype, order="C"), dtype)
