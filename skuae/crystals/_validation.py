"""Checks of packed crystals, all rows at once; the first offending row is named."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from skuae._messages import such_rows
from skuae.crystals._graphs import chunks
from skuae.crystals._search import Search, heights_of, wrap

if TYPE_CHECKING:
    from skuae.crystals._crystals import Crystals

Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]

_CHUNK_SITES = 50_000  # bounds the memory of one grid, and fits a cache
_GOLDEN_RATIO = np.uint64(0x9E3779B97F4A7C15)  # of 2**64; multiples of it spread evenly
MIN_DISTANCE = 0.5  # Å; the shortest real distance, H-H, is 0.74
# Of 250,000 published crystals, the longest lattice vector is 211 Å (long polytypes reach 990 Å,
# molecules are put into boxes of 500 Å) and the densest has 4.4 Å³ per site (hydrogen at 500 GPa
# has 1). A cell in pm, or multiplied by 1000, is beyond these.
MAX_LENGTH = 1000.0  # Å
MIN_VOLUME = 0.5  # Å³ per site
_FAR = 10  # cells; batches hold coordinates as float32
_MAX_LOSS = 1e-3  # Å
_WIDE = 50.0  # Å³; bins of skewed cells reach far
_MOST_IN_BIN = 128
_FULL = 1.001  # the most occupancy at one point, as of one site


def check_cells(crystals: Crystals) -> None:
    """Raise ValueError at the first crystal whose cell or coordinates cannot be searched.

    Every way to make `Crystals` comes through here.

    Parameters
    ----------
    crystals : Crystals

    Raises
    ------
    ValueError
        No sites, coordinates or cell not finite, a cell without volume, a lattice vector shorter
        than 0.5 Å or longer than 1000 Å, or less than 0.5 Å³ per site.
    """
    _refuse(crystals, crystals.sizes == 0, "the structure has no sites; drop the row")
    finite = np.isfinite(crystals.lattices).all(axis=(1, 2))
    if not np.isfinite(crystals.frac_coords).all():
        finite[_row_of_site(crystals)[~np.isfinite(crystals.frac_coords).all(axis=1)]] = False
    _refuse(
        crystals,
        ~finite,
        "coordinates or lattice are NaN or infinite; repair or drop the structure",
    )
    with np.errstate(over="ignore"):
        lengths = np.linalg.norm(crystals.lattices, axis=2)
    _refuse(
        crystals,
        lengths.max(axis=1, initial=0) > MAX_LENGTH,
        f"a lattice vector is longer than {MAX_LENGTH:g} Å, as in no crystal; repair the lattice "
        "(lengths are in Å)",
    )
    volumes = crystals.volumes
    flat = ~(volumes > 0) | (volumes < 1e-3 * lengths.prod(axis=1))
    _refuse(
        crystals,
        flat | (lengths.min(axis=1, initial=MAX_LENGTH) < MIN_DISTANCE),
        "the cell has no volume (a lattice vector is zero or all lie in a plane), or a lattice "
        f"vector is shorter than {MIN_DISTANCE} Å; repair the lattice",
    )
    _refuse(
        crystals,
        volumes < MIN_VOLUME * crystals.sizes,
        f"the cell has less than {MIN_VOLUME} Å³ per site, denser than any crystal; repair the "
        "lattice (lengths are in Å)",
    )


def moved_near(crystals: Crystals, precision: float) -> np.ndarray:
    """Return the coordinates, those more than ten cells away moved into the cell.

    Parameters
    ----------
    crystals : Crystals
        Which have passed `check_cells`.
    precision : float
        Relative precision of the numbers that the coordinates were given in.

    Returns
    -------
    ndarray of float64 of shape (n_sites, 3)

    Raises
    ------
    ValueError
        If coordinates are so large that the place in the cell is lost: rounded by 0.001 Å or more.
    """
    coords = crystals.frac_coords
    far = np.abs(coords) > _FAR
    exact = precision <= np.finfo(np.float64).eps
    if exact and not far.any():
        return coords
    rows = _row_of_site(crystals)
    loss = np.abs(coords) * precision * np.linalg.norm(crystals.lattices, axis=2)[rows]
    lost = np.zeros(len(crystals), dtype=bool)
    lost[rows[(loss > _MAX_LOSS).any(axis=1)]] = True
    _refuse(
        crystals,
        lost,
        f"fractional coordinates are rounded to steps of more than {_MAX_LOSS:g} Å, so that places "
        "in the cell are lost; wrap them into the cell where they come from, and keep them as "
        "float64",
    )
    coords = np.where(far, wrap(coords)[0], coords)
    coords.flags.writeable = False
    return coords


def check_geometry(crystals: Crystals) -> None:
    """Raise ValueError at the first crystal with atoms that are too close to one another.

    Cells are checked when `Crystals` are made. This takes longer; published sets have such rows,
    and keep them.

    Parameters
    ----------
    crystals : Crystals

    Raises
    ------
    ValueError
        If two sites are closer than 0.5 Å and hold more than one atom together, or several sites
        within 0.25 Å of one do.
    """
    first, second, distance = close_pairs(crystals)
    occupancy = _occupancies(crystals)
    together = occupancy[first] + occupancy[second]
    near = np.flatnonzero((distance < MIN_DISTANCE / 2) & (first != second))
    if len(near):
        # All sites this close to one are close to each other: their occupancies add up.
        pairs = np.unique(np.stack([first[near], second[near]]), axis=1)
        around = occupancy.copy()
        for here, there in (pairs, pairs[::-1]):
            around += np.bincount(here, occupancy[there], minlength=len(occupancy))
        together[near] = np.maximum(around[first[near]], around[second[near]])
    bad = np.flatnonzero(together > _FULL)
    if len(bad):
        rows = _row_of_site(crystals)[first[bad]]
        pair = bad[rows.argmin()]
        message = _too_close(crystals, first[pair], second[pair], distance[pair], together[pair])
        _refuse(crystals, np.isin(np.arange(len(crystals)), rows), message)


def _too_close(crystals: Crystals, first: int, second: int, distance: float, atoms: float) -> str:
    start = crystals.offsets[np.searchsorted(crystals.offsets, first, side="right") - 1]
    if first == second:
        what, way_out = f"site {first - start} and its own periodic image are", "repair the lattice"
    else:
        what = f"sites {first - start} and {second - start} are"
        way_out = 'merge duplicate sites (structure.merge_sites(mode="delete"))'
    whole = f"closer than {MIN_DISTANCE} Å"
    if _occupancies(crystals)[[first, second]].min() < 1:
        whole += f", and occupancies there add up to {atoms:.4g}"
        way_out = "correct the occupancies (at most 1 together)"
    return f"{what} {distance:.3f} Å apart, {whole}; {way_out} or drop the structure"


def _occupancies(crystals: Crystals) -> np.ndarray:
    """Return the atoms per site, shape (n_sites,)."""
    if crystals.occ_sites is None:
        return np.ones(crystals.n_sites)
    amounts = np.bincount(crystals.occ_sites, crystals.occ_values, minlength=crystals.n_sites)
    return np.where(amounts > 0, amounts, 1.0)


def close_pairs(crystals: Crystals) -> Pairs:
    """Find pairs of sites closer than 0.5 Å, periodic images included.

    Sites are put on a grid of bins at least 1 Å wide, and on the seven grids shifted by half a bin
    in some directions: a close pair shares a bin of at least one of them. That is linear in the
    number of sites and has no loop over single crystals. Cells so skewed that they are less than
    1 Å high, or that their bins are large, are searched one by one; a site may be close to its own
    image there.

    Parameters
    ----------
    crystals : Crystals

    Returns
    -------
    first, second : ndarray of int64
        Site indices.
    distance : ndarray of float64
        In Å.

    Raises
    ------
    ValueError
        If more than 128 sites lie in one bin.
    """
    heights = heights_of(crystals.lattices)
    bins = np.maximum(np.floor(heights), 1).astype(np.int64)
    flat = (heights < 1.0).any(axis=1) | (crystals.volumes > _WIDE * bins.prod(axis=1))
    rows = _row_of_site(crystals)
    on_grid = np.flatnonzero(~flat[rows])
    starts = [crystals.offsets[part.start] for part in chunks(crystals, _CHUNK_SITES)]
    found = [
        _close_on_grid(crystals, sites, rows[sites], bins[rows[sites]])
        for sites in np.split(on_grid, np.searchsorted(on_grid, starts[1:]))
    ]
    found += [_close_in_crystal(crystals, int(row)) for row in np.flatnonzero(flat)]
    first, second, distance = (np.concatenate(column) for column in zip(*found, strict=True))
    return first, second, distance


def _close_on_grid(
    crystals: Crystals, sites: np.ndarray, rows: np.ndarray, bins: np.ndarray
) -> Pairs:
    empty = np.empty(0, dtype=np.int64)
    wrapped, _ = wrap(crystals.frac_coords[sites])
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
        _check_crowd(crystals, rows[order], key)
        step = 1
        same = key[1:] == key[:-1]
        while same.any():
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


def _check_crowd(crystals: Crystals, rows: np.ndarray, keys: np.ndarray) -> None:
    """Raise ValueError if too many of the sorted keys are equal."""
    equal = keys[_MOST_IN_BIN:] == keys[:-_MOST_IN_BIN]
    if equal.any():
        bad = np.isin(np.arange(len(crystals)), rows[_MOST_IN_BIN:][equal])
        message = (
            f"more than {_MOST_IN_BIN} sites lie within some {_WIDE:g} Å³; merge duplicate sites"
        )
        _refuse(crystals, bad, message)


def _bins_along(wrapped: np.ndarray, bins: np.ndarray, shift: float) -> np.ndarray:
    found = np.floor(wrapped * bins + shift).astype(np.int64)
    found[found == bins] = 0  # the last boundary is the first one
    return found


def _possibly_equal(keys: np.ndarray) -> np.ndarray:
    """Return the sorted places of keys that may have an equal.

    Keys are scattered over many slots and counted. A key alone in its slot has no equal; few are
    left for a sort, which takes much longer.
    """
    bits = (4 * len(keys)).bit_length()
    scattered = keys.view(np.uint64) * _GOLDEN_RATIO >> np.uint64(64 - bits)
    slots = scattered.view(np.int64)
    return np.flatnonzero(np.bincount(slots)[slots] > 1)


def _close_in_crystal(crystals: Crystals, row: int) -> Pairs:
    search = Search(crystals, range(row, row + 1), MIN_DISTANCE)
    first, second, image, distance = search.find(0, MIN_DISTANCE)
    close = (first < second) | ((first == second) & (image != 0).any(axis=1))
    start = crystals.offsets[row]
    return start + first[close], start + second[close], distance[close]


def _row_of_site(crystals: Crystals) -> np.ndarray:
    return np.repeat(np.arange(len(crystals)), crystals.sizes)


def _refuse(crystals: Crystals, bad: np.ndarray, message: str) -> None:
    rows = np.flatnonzero(bad)
    if len(rows):
        raise ValueError(f"{crystals.where(int(rows[0]))}: {message}{such_rows(len(rows))}")


def check_same_order(index: pd.Index, crystals: Crystals, what: str) -> None:
    """Raise ValueError if a table names its rows like the crystals, but in another order.

    Rows are matched by position. An index that only counts (0, 1, 2, ...) or has other names is no
    contradiction.

    Parameters
    ----------
    index : Index of shape (n_crystals,)
    crystals : Crystals
    what : str
        Name of the table in the message.
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
