"""Neighbours of every site, packed: searched crystal by crystal, selected all at once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np

from skuae._progress import progress_bar
from skuae._warnings import warn
from skuae.crystals._levels import Column, Levels, offsets_of
from skuae.crystals._packing import offsets_from_sizes
from skuae.crystals._search import MAX_CUTOFF, Search

if TYPE_CHECKING:
    from skuae.crystals._crystals import Crystals

SHELL_TOLERANCE = 1e-3  # Å; neighbours this close in distance belong to one shell
_MAX_IMAGE = np.iinfo(np.int16).max
_DISTANCE_QUANTUM = 5e-6  # Å; closer distances than this are a tie
_MOST_NAMED = 5
CHUNK_SITES = 2_000  # of one vectorised selection: bounds its memory, and fits a cache
_NOTHING_FOUND = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, 3)), np.empty(0))


@dataclass(frozen=True, eq=False, kw_only=True)
class Neighbors(Levels):
    """What all graphs have: the neighbours of sites, and how they were searched."""

    edge_offsets: Annotated[np.ndarray, offsets_of("edges")]
    neighbors: Annotated[np.ndarray, Column("edges", np.int32, refers_to="sites")]
    distances: Annotated[np.ndarray, Column("edges", np.float32)]
    cutoff: float
    max_neighbors: int | None
    whole_shell: bool


IMAGES = Column("edges", np.int16, (3,), real=True, unwrapped=True)


@dataclass(frozen=True, eq=False, kw_only=True)
class CrystalGraphs(Neighbors):
    """Packed neighbour lists of packed crystals.

    Attributes
    ----------
    offsets : ndarray of int64 of shape (n_crystals + 1,)
        As in `Crystals`: crystal ``i`` owns the sites ``offsets[i]:offsets[i + 1]``.
    edge_offsets : ndarray of int64 of shape (n_sites + 1,)
        Site ``s`` owns the edges ``edge_offsets[s]:edge_offsets[s + 1]``, nearest first.
    neighbors : ndarray of int32 of shape (n_edges,)
        Index of the neighbour within its crystal.
    distances : ndarray of float32 of shape (n_edges,)
        In Å.
    images : ndarray of int16 of shape (n_edges, 3)
        Lattice translation of the neighbour: the edge is
        ``(frac_coords[neighbor] + image - frac_coords[site]) @ lattice``, with the `frac_coords` of
        the crystals, which need not lie in the cell.
    cutoff : float
        Radius in Å within which neighbours were searched.
    max_neighbors : int or None
    whole_shell : bool
    """

    images: Annotated[np.ndarray, IMAGES]


def build_graphs(
    crystals: Crystals, cutoff: float, max_neighbors: int | None = None, whole_shell: bool = False
) -> CrystalGraphs:
    """Find the neighbours of every site; see :meth:`Crystals.graph`.

    For the k nearest, a small sphere is searched first, sized by the density of the crystal, and
    widened only for crystals where some site has fewer than k inside: the answer is the same.
    Among neighbours at equal distance (5e-6 Å) the lighter element comes first.
    """
    check_setting(cutoff, max_neighbors)
    parts = searched(crystals, cutoff, max_neighbors, whole_shell)
    return CrystalGraphs.concatenate([graph for _, graph in parts])


def searched(
    crystals: Crystals, cutoff: float, max_neighbors: int | None, whole_shell: bool
) -> Iterator[tuple[range, CrystalGraphs]]:
    """Yield consecutive rows and their graphs, part by part, and show how far that is."""
    with progress_bar(len(crystals), "graphs", "crystals") as bar:
        for rows in chunks(crystals, CHUNK_SITES):
            yield rows, _search(crystals, rows, cutoff, max_neighbors, whole_shell)
            bar.update(len(rows))


def chunks(crystals: Crystals, n_sites: int) -> Iterator[range]:
    """Split crystals into consecutive rows of about `n_sites` sites; at least one chunk."""
    if not len(crystals):
        yield range(0)
    starts = np.searchsorted(crystals.offsets, np.arange(0, crystals.n_sites, n_sites))
    for first, last in itertools.pairwise(np.unique(np.append(starts, len(crystals)))):
        yield range(first, last)


def check_setting(cutoff: float, max_neighbors: int | None) -> None:
    """Raise ValueError if no neighbours can be found with these."""
    if not cutoff > 0:
        raise ValueError(f"cutoff must be a positive number of Å, got {cutoff}")
    if cutoff > MAX_CUTOFF:
        raise ValueError(f"cutoff must be at most {MAX_CUTOFF} Å, got {cutoff}")
    if max_neighbors is not None and max_neighbors < 1:
        raise ValueError(f"max_neighbors must be at least 1 or None, got {max_neighbors}")


def warn_of_isolated(crystals: Crystals, graphs: Neighbors) -> None:
    """Warn of crystals in which no atom has a neighbour.

    Parameters
    ----------
    crystals : Crystals
    graphs : CrystalGraphs or ReducedGraphs
        Of these crystals.
    """
    first_edges = graphs.edge_offsets[graphs.offsets]
    rows = np.flatnonzero(first_edges[1:] == first_edges[:-1])
    if len(rows):
        warn(
            f"{named_rows(crystals, rows)}: no atom has a neighbour within {graphs.cutoff:g} Å, so "
            "a network sees only the elements; check that cells are in Å, or choose a larger cutoff"
        )


def named_rows(crystals: Crystals, rows: np.ndarray) -> str:
    """Return how messages call several crystals: the first five by name."""
    named = ", ".join(crystals.where(int(row)) for row in rows[:_MOST_NAMED])
    return named + (f" and {len(rows) - _MOST_NAMED} more" if len(rows) > _MOST_NAMED else "")


def _search(
    crystals: Crystals, rows: range, cutoff: float, max_neighbors: int | None, whole_shell: bool
) -> CrystalGraphs:
    """Return the graphs of consecutive crystals."""
    search = Search(crystals, rows, cutoff)
    offsets = search.offsets
    center, neighbor, image, distance = _find_points(search, cutoff, max_neighbors)
    others = np.flatnonzero(distance > 1e-6)  # each site finds itself, too
    center, neighbor, distance = (a.take(others) for a in (center, neighbor, distance))
    site = neighbor + np.repeat(offsets[:-1], np.diff(offsets))[center]
    tie_break = crystals.numbers[crystals.offsets[rows.start] :][site].astype(np.int64)
    quantum = (distance / _DISTANCE_QUANTUM).astype(np.int64)
    # One sort of one integer, site | distance | element, is much faster than a lexsort. It is
    # stable, so that which of equal neighbours stay does not depend on the crystals around.
    order = np.argsort((center << 40) | (quantum << 7) | tie_break, kind="stable")
    degrees = np.bincount(center, minlength=int(offsets[-1]))
    if max_neighbors is not None:
        order = order[_nearest(distance[order], degrees, max_neighbors, whole_shell)]
        degrees = np.bincount(center[order], minlength=len(degrees))
    image = image.take(others[order], axis=0)
    if search.cells.any():
        image += search.cells[center[order]] - search.cells[site[order]]
    _check_images(crystals, rows, offsets, center[order], image)
    return CrystalGraphs(
        offsets=offsets,
        edge_offsets=offsets_from_sizes(degrees),
        neighbors=neighbor[order],
        distances=distance[order],
        images=image,
        cutoff=cutoff,
        max_neighbors=max_neighbors,
        whole_shell=whole_shell,
    )


def _check_images(
    crystals: Crystals, rows: range, offsets: np.ndarray, center: np.ndarray, image: np.ndarray
) -> None:
    """Raise ValueError if images do not fit into 16 bits."""
    if np.abs(image).max(initial=0) > _MAX_IMAGE:
        far = (np.abs(image) > _MAX_IMAGE).any(axis=1)
        crystal = np.searchsorted(offsets, center[far][0], side="right") - 1
        raise ValueError(
            f"{crystals.where(rows[crystal])}: the cell is so skewed that neighbours lie thousands "
            "of cells away; reduce it (structure.get_reduced_structure())"
        )


def _find_points(
    search: Search, cutoff: float, max_neighbors: int | None
) -> tuple[np.ndarray, ...]:
    """Return centers, neighbors within the crystal, images and distances, crystal by crystal."""
    sizes = np.diff(search.offsets)
    radius = np.full(len(search), float(cutoff))
    if max_neighbors is not None:
        expected = 2 * max_neighbors * search.volumes / sizes * 3 / (4 * np.pi)
        radius = np.minimum(cutoff, np.cbrt(expected))

    found = [_NOTHING_FOUND] * len(search)
    pending = np.arange(len(search))
    while len(pending):
        short = []
        for i, r in zip(pending.tolist(), radius[pending].tolist(), strict=True):
            center, neighbor, image, distance = search.find(i, r)
            if max_neighbors is not None and r < cutoff:
                # Farther ones may belong to a shell that the sphere cuts; each site finds itself.
                inside = np.bincount(center[distance < r - SHELL_TOLERANCE])
                if len(inside) < sizes[i] or inside.min() <= max_neighbors:
                    short.append(i)
                    continue
            found[i] = (center + search.offsets[i], neighbor, image, distance)
        pending = np.array(short, dtype=np.int64)
        radius[pending] = np.minimum(cutoff, 1.4 * radius[pending])
    return tuple(np.concatenate(c) for c in zip(_NOTHING_FOUND, *found, strict=True))


def _nearest(
    distances: np.ndarray, degrees: np.ndarray, max_neighbors: int, whole_shell: bool
) -> np.ndarray:
    """Mark the nearest edges; edges are sorted by center and distance."""
    starts = offsets_from_sizes(degrees)[:-1]
    rank = np.arange(len(distances)) - np.repeat(starts, degrees)
    keep = rank < max_neighbors
    if whole_shell:
        last = np.full(len(degrees), np.inf)
        full = degrees >= max_neighbors
        last[full] = distances[starts[full] + max_neighbors - 1]
        keep |= distances < np.repeat(last, degrees) + SHELL_TOLERANCE
    return keep
