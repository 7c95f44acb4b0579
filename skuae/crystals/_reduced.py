"""Graphs of crystals with one site, one bond and one angle of every kind.

Crystals are symmetric: of the bonds in a typical one, three in four are copies of another. An
invariant network gives equal sites and equal bonds equal vectors, so one of each kind will do, with
a count of how often it occurs. What is equal is found by colour refinement (Weisfeiler and Leman,
1968), which merges exactly what message passing cannot tell apart: at least the orbits of the space
group, and the copies in a supercell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np

from skuae.crystals._colors import (
    EQUAL,
    STEPS,
    Kinds,
    count_distinct,
    element_colors,
    kinds_of,
    mix,
    number_equal,
    starts_of,
    sum_rows,
)
from skuae.crystals._graphs import IMAGES, CrystalGraphs, Neighbors, check_setting, searched
from skuae.crystals._levels import Arrays, Column, offsets_of
from skuae.crystals._packing import offsets_from_sizes, take_rows

if TYPE_CHECKING:
    from skuae.crystals._crystals import Crystals

_BITS = 26  # of a cosine, from 0 to 2, in steps
_COSINE = (1 << _BITS) - 1


@dataclass(frozen=True, eq=False, kw_only=True)
class ReducedGraphs(Neighbors):
    """Packed graphs of packed crystals, equal parts merged. S sites, E edges, A angles.

    The center and the neighbor of an edge are as in `CrystalGraphs`. The graphs of
    `Crystals.reduced_graph` have every edge in both directions, those of `Crystals.merged_graph`
    have the edges of `Crystals.graph`.

    Attributes
    ----------
    offsets : ndarray of int64 of shape (n_crystals + 1,)
        Crystal ``i`` owns the sites ``offsets[i]:offsets[i + 1]`` of this graph.
    sites : ndarray of int32 of shape (S,)
        Which site of its crystal it is: the first of its kind.
    site_counts : ndarray of int32 of shape (S,)
        Sites of this kind in the crystal.
    edge_offsets : ndarray of int64 of shape (S + 1,)
        Site ``s`` owns the edges ``edge_offsets[s]:edge_offsets[s + 1]``.
    neighbors : ndarray of int32 of shape (E,)
        Neighbour, counted from the first site of the crystal in this graph.
    distances : ndarray of float32 of shape (E,)
        In Å.
    images : ndarray of int16 of shape (E, 3), or None
        Lattice translation of the neighbour in the first edge of this kind, as in `CrystalGraphs`.
        None if sites are merged: the neighbour of that edge may then be another site than the one
        that stands for its kind.
    edge_counts : ndarray of int32 of shape (E,)
        Edges of this kind that its center has.
    moments : ndarray of float32 of shape (E, 6), or None
        Where the edges of this kind point: the mean of ``r r^T`` over all of them in the crystal,
        with unit vectors r from the center to the neighbor; xx, xy, xz, yy, yz, zz. It is not that
        of the one site that stands for its kind, since equal sites may be turned.
    angle_offsets : ndarray of int64 of shape (E + 1,), or None
        Edge ``e`` owns the angles ``angle_offsets[e]:angle_offsets[e + 1]``, between itself and the
        edges whose center is its neighbour.
    others : ndarray of int32 of shape (A,), or None
        The other edge, counted from the first edge of the crystal in this graph.
    cosines : ndarray of float32 of shape (A,), or None
        Cosine of the angle at the site that both edges share.
    angle_counts : ndarray of int32 of shape (A,), or None
        Angles of this kind that its edge has.
    cutoff, max_neighbors, whole_shell : float, int or None, bool
        As in `CrystalGraphs`.
    """

    sites: Annotated[np.ndarray, Column("sites", np.int32, in_batch=False)]
    site_counts: Annotated[np.ndarray, Column("sites", np.int32, real=True)]
    images: Annotated[np.ndarray | None, IMAGES] = None
    edge_counts: Annotated[np.ndarray, Column("edges", np.int32, real=True)]
    moments: Annotated[np.ndarray | None, Column("edges", np.float32, (6,))] = None
    angle_offsets: Annotated[np.ndarray | None, offsets_of("angles")] = None
    others: Annotated[np.ndarray | None, Column("angles", np.int32, refers_to="edges")] = None
    cosines: Annotated[np.ndarray | None, Column("angles", np.float32)] = None
    angle_counts: Annotated[np.ndarray | None, Column("angles", np.int32, real=True)] = None


def build_reduced_graphs(
    crystals: Crystals,
    cutoff: float,
    max_neighbors: int | None,
    whole_shell: bool,
    angles: bool,
    merge: bool,
    moments: bool,
) -> ReducedGraphs:
    """Find neighbours and angles and merge equal ones; see :meth:`Crystals.reduced_graph`."""
    check_setting(cutoff, max_neighbors)
    parts = []
    for rows, graph in searched(crystals, cutoff, max_neighbors, whole_shell):
        fields: dict[str, Any] = {**_reduce(crystals, rows, graph, angles, merge, moments)}
        parts.append(ReducedGraphs(**fields, **graph.settings()))
    return ReducedGraphs.concatenate(parts)


class _Whole(NamedTuple):
    """All sites and edges of some crystals, counted from the first of them; edges by center."""

    offsets: np.ndarray  # crystal i owns the sites offsets[i]:offsets[i + 1]
    crystal: np.ndarray  # of each site
    edge_offsets: np.ndarray
    centers: np.ndarray
    neighbors: np.ndarray
    images: np.ndarray
    vectors: np.ndarray  # in Å
    distances: np.ndarray


def _reduce(
    crystals: Crystals, rows: range, graph: CrystalGraphs, angles: bool, merge: bool, moments: bool
) -> Arrays:
    """Return the arrays of `ReducedGraphs` for consecutive crystals and their graphs."""
    whole = _whole_graph(crystals, rows, graph)
    colors = element_colors(crystals, crystals.offsets[rows.start], len(whole.crystal))
    site_colors, edge_colors = _first_colors(colors, whole, merge)
    site_colors, edge_colors = _refine(site_colors, edge_colors, whole)
    if angles:
        sites, edges, values, offsets = _refine_by_angles(site_colors, edge_colors, whole)
        columns = _angle_columns(whole, sites, edges, values, offsets)
    else:
        sites, edges, columns = kinds_of(site_colors), kinds_of(edge_colors), {}
    if moments:
        columns["moments"] = _moments(whole, edges)
    return {**_site_and_edge_columns(whole, sites, edges, merge), **columns}


def _site_and_edge_columns(whole: _Whole, sites: Kinds, edges: Kinds, merge: bool) -> Arrays:
    # First sites and edges come in the order of their kinds, and first edges belong to first sites.
    center_kind = sites.of[whole.centers[edges.first]]
    kind_offsets = np.searchsorted(sites.first, whole.offsets)
    first_of_crystal = kind_offsets[whole.crystal[whole.centers[edges.first]]]
    columns = {
        "offsets": kind_offsets,
        "sites": sites.first - whole.offsets[whole.crystal[sites.first]],
        "site_counts": sites.counts,
        "edge_offsets": offsets_from_sizes(np.bincount(center_kind, minlength=len(sites.first))),
        "neighbors": sites.of[whole.neighbors[edges.first]] - first_of_crystal,
        "distances": np.bincount(edges.of, whole.distances) / edges.counts,
        "edge_counts": edges.counts // sites.counts[center_kind],
    }
    if not merge:
        columns["images"] = whole.images[edges.first]
    return columns


def _moments(whole: _Whole, edges: Kinds) -> np.ndarray:
    """Return the mean of r r^T over the edges of each kind, (E, 6)."""
    units = whole.vectors / whole.distances[:, None]
    rows, columns = np.triu_indices(3)
    products = units[:, rows] * units[:, columns]
    sums = [np.bincount(edges.of, product, minlength=len(edges.first)) for product in products.T]
    return np.stack(sums, axis=1) / edges.counts[:, None]


def _angle_columns(
    whole: _Whole, sites: Kinds, edges: Kinds, values: np.ndarray, offsets: np.ndarray
) -> Arrays:
    """Return the columns of angles; `values` in rows of `offsets` are those of all edges."""
    firsts, angle_offsets = take_rows(offsets, edges.first)
    starts = starts_of(values[firsts], angle_offsets[:-1])
    edge = np.searchsorted(angle_offsets, starts, side="right") - 1
    counts = np.diff(starts, append=len(firsts))
    leader_rows, _ = take_rows(offsets, edges.first[edges.of])
    sums = np.bincount(leader_rows, values & _COSINE, minlength=len(values))[firsts]
    others = edges.of[values[firsts[starts]] >> _BITS]
    centers = whole.centers[edges.first]
    first_edges = np.searchsorted(sites.of[centers], np.searchsorted(sites.first, whole.offsets))
    return {
        "angle_offsets": offsets_from_sizes(np.bincount(edge, minlength=len(edges.first))),
        "others": others - first_edges[whole.crystal[centers[edge]]],
        "cosines": np.add.reduceat(sums, starts) / (counts * edges.counts[edge] * STEPS) - 1,
        "angle_counts": counts,
    }


def _whole_graph(crystals: Crystals, rows: range, graph: CrystalGraphs) -> _Whole:
    """Add the reverse of every edge that has none, and compute the vectors of all edges."""
    first, offsets = crystals.offsets[rows.start], graph.offsets
    crystal = np.repeat(np.arange(len(rows)), np.diff(offsets))
    centers = np.repeat(np.arange(len(crystal)), np.diff(graph.edge_offsets))
    neighbors = graph.neighbors + offsets[crystal[centers]]
    centers, neighbors, images = _both_ways(centers, neighbors, graph.images)
    frac_coords = crystals.frac_coords[first : first + len(crystal)]
    lattices = np.asarray(crystals.lattices[rows.start : rows.stop])
    vectors = np.einsum(
        "ei,eij->ej",
        frac_coords[neighbors] + images - frac_coords[centers],
        lattices[crystal[centers]],
    )
    edge_offsets = offsets_from_sizes(np.bincount(centers, minlength=len(crystal)))
    distances = np.linalg.norm(vectors, axis=1)
    return _Whole(offsets, crystal, edge_offsets, centers, neighbors, images, vectors, distances)


def _both_ways(
    centers: np.ndarray, neighbors: np.ndarray, images: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Add the reverse of every edge that has none; sort by center."""
    centers, neighbors = np.append(centers, neighbors), np.append(neighbors, centers)
    images = np.concatenate([images, -images]).astype(np.int64)
    half = np.abs(images).max(initial=0)
    x, y, z = images.T + half
    # One integer per edge; the images are numbered first, so that it cannot overflow.
    _, image = np.unique((x * (2 * half + 1) + y) * (2 * half + 1) + z, return_inverse=True)
    edge = (centers * (centers.max(initial=0) + 1) + neighbors) * (image.max(initial=0) + 1) + image
    _, keep = np.unique(edge, return_index=True)
    return centers[keep], neighbors[keep], images[keep]


def _first_colors(
    elements: np.ndarray, whole: _Whole, merge: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Colour sites by crystal and element, edges by their ends and distance."""
    sites = mix(whole.crystal.astype(np.uint64), elements)
    if not merge:
        sites = mix(sites, np.arange(len(sites), dtype=np.uint64))
    ends = mix(sites[whole.centers], sites[whole.neighbors])
    steps = (whole.distances * STEPS).astype(np.int64)
    return sites, mix(ends, number_equal(steps, ends))


def _refine(sites: np.ndarray, edges: np.ndarray, whole: _Whole) -> tuple[np.ndarray, np.ndarray]:
    """Refine colours until sites and edges of one colour have equal surroundings."""
    n, n_before = count_distinct(sites), 0
    while n > n_before:
        sites = mix(sites, sum_rows(mix(edges, edges), whole.edge_offsets))
        edges = mix(edges, mix(sites[whole.centers], sites[whole.neighbors]))
        n, n_before = count_distinct(sites), n
    return sites, edges


def _refine_by_angles(
    site_colors: np.ndarray, edge_colors: np.ndarray, whole: _Whole
) -> tuple[Kinds, Kinds, np.ndarray, np.ndarray]:
    """Refine until edges of one colour have equal angles, too.

    Returns the kinds of sites and of edges, and the angles of all edges: values and offsets.
    """
    units = whole.vectors / whole.distances[:, None]
    offsets = offsets_from_sizes(np.diff(whole.edge_offsets)[whole.neighbors])
    values = np.empty(offsets[-1], dtype=np.int64)
    todo = np.arange(len(whole.centers))
    while True:
        edges = kinds_of(edge_colors)
        leaders = edges.first[edges.of]
        _write_angles(values, offsets, todo, leaders, whole, units)
        split = _split_colors(edge_colors, todo, leaders, values, offsets)
        if len(split) == 0:
            return kinds_of(site_colors), edges, values, offsets
        site_colors, edge_colors = _refine(site_colors, edge_colors, whole)
        crystals = whole.crystal[whole.centers[split]]
        todo = np.flatnonzero(np.isin(whole.crystal, crystals)[whole.centers])


def _write_angles(
    values: np.ndarray,
    offsets: np.ndarray,
    edges: np.ndarray,
    leaders: np.ndarray,
    whole: _Whole,
    units: np.ndarray,
) -> None:
    """Write the angles of edges, sorted, into their rows: leader of the other edge, then cosine."""
    degrees = np.diff(offsets)[edges]
    for degree in np.unique(degrees):  # short rows of one length are sorted much faster
        own = edges[degrees == degree, None]
        columns = np.arange(degree)
        others = whole.edge_offsets[whole.neighbors[own]] + columns
        cosines = -np.einsum("aoi,ai->ao", units[others], units[own[:, 0]])
        steps = ((1 + cosines) * STEPS + 0.5).astype(np.int64)
        values[offsets[own] + columns] = np.sort((leaders[others] << _BITS) + steps, axis=1)


def _split_colors(
    colors: np.ndarray,
    edges: np.ndarray,
    leaders: np.ndarray,
    values: np.ndarray,
    offsets: np.ndarray,
) -> np.ndarray:
    """Give edges of one colour with different angles new colours, in place; return the colours.

    The first edge of a colour, its leader, is what the others are compared with.
    """
    rows, ends = take_rows(offsets, edges)
    leader_rows, _ = take_rows(offsets, leaders[edges])
    unlike = np.flatnonzero(np.abs(values[rows] - values[leader_rows]) > EQUAL)
    unlike = leaders[edges[np.searchsorted(ends, unlike, side="right") - 1]]
    edges = edges[np.isin(leaders[edges], unlike)]
    rows, offsets = take_rows(offsets, edges)
    sides = mix(np.repeat(colors[edges], np.diff(offsets)), colors[values[rows] >> _BITS])
    angles = mix(sides, number_equal(values[rows] & _COSINE, sides))
    colors[edges] = mix(colors[edges], sum_rows(angles, offsets))
    return edges
