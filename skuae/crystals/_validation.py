"""Checks of packed crystals, all rows at once; the first offending row is named."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from pymatgen.optimization.neighbors import find_points_in_spheres

from skuae._elements import N_ELEMENTS
from skuae.crystals._graphs import chunks

if TYPE_CHECKING:
    from skuae.crystals._crystals import Crystals

Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]

_CHUNK_SITES = 50_000  # bounds the memory of one grid, and fits a cache
_GOLDEN_RATIO = np.uint64(0x9E3779B97F4A7C15)  # of 2**64; multiples of it spread evenly
MIN_DISTANCE = 0.5  # Å; the shortest real distance, H-H, is 0.74
_NO_VOLUME = "the cell has no volume (a lattice vector is zero or all lie in a plane)"


def check_geometry(crystals: Crystals) -> None:
    """Raise ValueError at the first crystal that cannot be one.

    Parameters
    ----------
    crystals : Crystals

    Raises
    ------
    ValueError
        No sites, coordinates or cell not finite, a cell without volume, or two atoms closer than
        0.5 Å.
    """
    volumes = _checked_volumes(crystals)
    lengths = np.linalg.norm(crystals.lattices, axis=2)
    flat = volumes < 1e-3 * lengths.prod(axis=1)
    _refuse(
        crystals,
        flat | (lengths.min(axis=1) < MIN_DISTANCE),
        f"{_NO_VOLUME}, or a lattice vector is shorter than {MIN_DISTANCE} Å; repair the lattice",
    )
    first, second, distance = close_pairs(crystals)
    if len(first):
        rows = _row_of_site(crystals)[first]
        pair = rows.argmin()
        a, b = (
            first[pair] - crystals.offsets[rows[pair]],
            second[pair] - crystals.offsets[rows[pair]],
        )
        if a == b:
            what, way_out = f"site {a} and its own periodic image are", "repair the lattice"
        else:
            what = f"sites {a} and {b} are"
            way_out = 'merge duplicate sites (structure.merge_sites(mode="delete"))'
        message = (
            f"{what} {distance[pair]:.3f} Å apart, closer than {MIN_DISTANCE} Å; {way_out} or drop "
            "the structure"
        )
        _refuse(crystals, np.isin(np.arange(len(crystals)), rows), message)


def check_finite(crystals: Crystals) -> None:
    """Raise ValueError at the first crystal that no graph or symmetry could be found of.

    Published sets have such rows, and keep them; what is only odd passes.

    Parameters
    ----------
    crystals : Crystals

    Raises
    ------
    ValueError
        No sites, coordinates or cell not finite, or a cell without volume.
    """
    _checked_volumes(crystals)


def _checked_volumes(crystals: Crystals) -> np.ndarray:
    """Return the volumes; raise as `check_finite` does."""
    _refuse(crystals, crystals.sizes == 0, "the structure has no sites; drop the row")
    finite = np.ones(len(crystals), dtype=bool)
    finite[_row_of_site(crystals)[~np.isfinite(crystals.frac_coords).all(axis=1)]] = False
    finite &= np.isfinite(crystals.lattices).all(axis=(1, 2))
    _refuse(
        crystals,
        ~finite,
        "coordinates or lattice are NaN or infinite; repair or drop the structure",
    )
    volumes = crystals.volumes
    _refuse(crystals, ~(volumes > 0), f"{_NO_VOLUME}; repair the lattice")
    return volumes


def close_pairs(crystals: Crystals) -> Pairs:
    """Find pairs of fully occupied sites closer than 0.5 Å, periodic images included.

    Sites are put on a grid of bins at least 1 Å wide, and on the seven grids shifted by half a bin
    in some directions: a close pair shares a bin of at least one of them. That is linear in the
    number of sites and has no loop over single crystals. Cells so skewed that they are less than
    1 Å high are searched one by one; a site may be close to its own image there.

    Parameters
    ----------
    crystals : Crystals

    Returns
    -------
    first, second : ndarray of int64
        Site indices.
    distance : ndarray of float64
        In Å.
    """
    whole = np.ones(crystals.n_sites, dtype=bool)
    if crystals.occ_sites is not None:
        whole[crystals.occ_sites] = False  # split positions may lie close to one another
    heights = 1.0 / np.linalg.norm(np.linalg.inv(crystals.lattices), axis=1)  # of the cell, (n, 3)
    flat = (heights < 1.0).any(axis=1)
    rows = _row_of_site(crystals)
    on_grid = np.flatnonzero(whole & ~flat[rows])
    starts = [crystals.offsets[part.start] for part in chunks(crystals, _CHUNK_SITES)]
    found = [
        _close_on_grid(crystals, sites, rows[sites], heights)
        for sites in np.split(on_grid, np.searchsorted(on_grid, starts[1:]))
    ]
    found += [
        _close_in_crystal(crystals, int(row), np.flatnonzero(whole & (rows == row)))
        for row in np.flatnonzero(flat)
    ]
    first, second, distance = (np.concatenate(column) for column in zip(*found, strict=True))
    return first, second, distance


def _close_on_grid(
    crystals: Crystals, sites: np.ndarray, rows: np.ndarray, heights: np.ndarray
) -> Pairs:
    empty = np.empty(0, dtype=np.int64)
    wrapped = crystals.frac_coords[sites] % 1.0
    bins = np.clip(np.floor(heights), 1, 1000).astype(np.int64)[rows]
    # A bin is known by one number, the sum of these; twice per axis, as it is and shifted.
    along = [
        [1000 ** (2 - axis) * _bins_along(wrapped[:, axis], bins[:, axis], s) for s in (0.0, 0.5)]
        for axis in range(3)
    ]
    along[0] = [rows * 1000**3 + part for part in along[0]]
    pairs = []
    for a, b, c in product(*along):
        key = a + b + c
        order = _possibly_equal(key)
        order = order[np.argsort(key[order], kind="stable")]
        key = key[order]
        step = 1
        same = key[1:] == key[:-1]
        # Not even 256 sites fit into a bin (2 Å at most) without a close pair among them.
        while same.any() and step <= 256:
            at = np.flatnonzero(same)
            pairs.append(np.stack([order[at], order[at + step]]))
            step += 1
            same = key[step:] == key[:-step]
    if not pairs:
        return empty, empty, np.empty(0)
    first, second = np.concatenate(pairs, axis=1)
    delta = wrapped[first] - wrapped[second]
    delta -= np.round(delta)
    distance = np.linalg.norm(
        np.einsum("pi,pij->pj", delta, crystals.lattices[rows[first]]), axis=1
    )
    close = distance < MIN_DISTANCE
    return sites[first[close]], sites[second[close]], distance[close]


def _bins_along(wrapped: np.ndarray, bins: np.ndarray, shift: float) -> np.ndarray:
    found = np.floor(wrapped * bins + shift).astype(np.int64)
    found[found == bins] = 0  # the last boundary is the first one
    return found


def _possibly_equal(keys: np.ndarray) -> np.ndarray:
    """Return, in order, where keys are that may be equal to others.

    Keys are scattered over many slots and counted. A key alone in its slot has no equal; few are
    left for a sort, which takes much longer.
    """
    bits = (4 * len(keys)).bit_length()
    scattered = keys.view(np.uint64) * _GOLDEN_RATIO >> np.uint64(64 - bits)
    slots = scattered.view(np.int64)
    return np.flatnonzero(np.bincount(slots)[slots] > 1)


def _close_in_crystal(crystals: Crystals, row: int, sites: np.ndarray) -> Pairs:
    lattice = np.array(crystals.lattices[row])
    points = crystals.frac_coords[sites] @ lattice
    first, second, image, distance = find_points_in_spheres(
        points, points, r=MIN_DISTANCE, pbc=np.ones(3, dtype=np.int64), lattice=lattice, tol=1e-8
    )
    close = (first < second) | ((first == second) & (image != 0).any(axis=1))
    return sites[first[close]], sites[second[close]], distance[close]


def _row_of_site(crystals: Crystals) -> np.ndarray:
    return np.repeat(np.arange(len(crystals)), crystals.sizes)


def _refuse(crystals: Crystals, bad: np.ndarray, message: str) -> None:
    rows = np.flatnonzero(bad)
    if len(rows):
        more = f" ({len(rows)} such rows)" if len(rows) > 1 else ""
        raise ValueError(f"{crystals.where(int(rows[0]))}: {message}{more}")


def check_occupancies(crystals: Crystals, numbers: ArrayLike | None) -> None:
    """Raise ValueError unless the entries of disordered sites fit together and the sites.

    Parameters
    ----------
    crystals : Crystals
    numbers : array-like of shape (n_entries,)
        Atomic numbers as they were given, before they became small integers.
    """
    numbers, sites, values = np.asarray(numbers), crystals.occ_sites, crystals.occ_values
    if (
        sites is None
        or not sites.shape == numbers.shape == values.shape == (len(sites),)
        or not 0 <= sites[0] <= sites[-1] < crystals.n_sites
        or np.any(np.diff(sites) < 0)
        or not 1 <= numbers.min() <= numbers.max() <= N_ELEMENTS
        or np.any(numbers != crystals.occ_numbers)
        or not (values > 0).all()
        or not np.bincount(sites, values).max() < 1.001
    ):
        raise ValueError(
            "occ_sites, occ_numbers and occ_values do not describe disordered sites: expected "
            "three arrays of one length, sites sorted and below n_sites, numbers 1 to 118, "
            "occupancies above 0 and, on a site, up to 1 together. Build Crystals from structures "
            "with as_crystals(X)."
        )


def check_same_order(index: pd.Index, crystals: Crystals, what: str) -> None:
    """Raise ValueError if a table names its rows like the crystals, but in another order.

    Rows belong together by their place. An index that is none (0, 1, 2, ...), or names other
    things, says nothing against that.

    Parameters
    ----------
    index : Index of shape (n_crystals,)
    crystals : Crystals
    what : str
        How the message calls the table.
    """
    if crystals.ids is None or index.equals(pd.RangeIndex(len(index))):
        return
    names = index.map(str).to_numpy(dtype=str)
    moved = np.flatnonzero((names != crystals.ids) & np.isin(names, crystals.ids))
    if len(moved):
        row = int(moved[0])
        raise ValueError(
            f"row {row} of {what} is {str(names[row])!r}, that of the structures is "
            f"{str(crystals.ids[row])!r}: {what} has their ids in another order. Sort it, "
            f"{what} = {what}.loc[ids of the structures]; or take the index away if the rows are "
            f"right as they are, {what}.reset_index(drop=True)"
        )
