"""Graphs of nearest neighbours with one site and one edge of every kind.

Where the list of nearest neighbours cuts a shell, equal sites have unequal neighbours: the graph is
less symmetric than the crystal. Colour refinement along its edges, without their reverse, merges
exactly what message passing along them cannot tell apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from skuae.crystals._colors import (
    STEPS,
    TOLERANCE,
    count_distinct,
    element_colors,
    kinds_of,
    mix,
    starts_of,
    sum_rows,
)
from skuae.crystals._graphs import CrystalGraphs, build_graphs, check_setting, searched
from skuae.crystals._levels import Arrays
from skuae.crystals._packing import offsets_from_sizes, take_rows
from skuae.crystals._reduced import ReducedGraphs

if TYPE_CHECKING:
    from skuae.crystals._crystals import Crystals

# One crystal in so many tells how many edges would be left. Sums over a fixed number of edges are
# so fast that with more than this share of the edges left, training would take longer.
_SAMPLE = 50
_WORTHWHILE = 0.75


def build_merged_graphs(
    crystals: Crystals, cutoff: float, max_neighbors: int, whole_shell: bool
) -> CrystalGraphs | ReducedGraphs:
    """Find neighbours, and merge equal sites and edges; see :meth:`Crystals.merged_graph`."""
    check_setting(cutoff, max_neighbors)
    setting = cutoff, max_neighbors, whole_shell
    sample = crystals[::_SAMPLE]
    kept, counted = _merged(sample, *setting).neighbors, build_graphs(sample, *setting).neighbors
    if len(kept) > _WORTHWHILE * len(counted):
        return build_graphs(crystals, *setting)
    return _merged(crystals, *setting)


def _merged(
    crystals: Crystals, cutoff: float, max_neighbors: int, whole_shell: bool
) -> ReducedGraphs:
    parts = []
    for rows, graph in searched(crystals, cutoff, max_neighbors, whole_shell):
        elements = element_colors(crystals, crystals.offsets[rows.start], graph.offsets[-1])
        fields: dict[str, Any] = {**_merge(graph, elements), **graph.settings()}
        parts.append(ReducedGraphs(**fields))
    return ReducedGraphs.concatenate(parts)


def _merge(graph: CrystalGraphs, elements: np.ndarray) -> Arrays:
    """Return the arrays of `ReducedGraphs` for whole graphs and the colours of the elements."""
    offsets, edge_offsets = graph.offsets, graph.edge_offsets
    degrees = np.diff(edge_offsets)
    crystal = np.repeat(np.arange(len(graph)), np.diff(offsets))
    neighbors = graph.neighbors + np.repeat(offsets[crystal], degrees)
    shells = _shells(graph.distances, edge_offsets)
    colors = mix(crystal.astype(np.uint64), elements)
    colors = mix(colors, _number_equal_rows(graph.distances, edge_offsets, colors))
    n, n_before = count_distinct(colors), 0
    while n > n_before:
        # Sites of one colour have equal distances, and edges of one place among these are equal.
        around = sum_rows(mix(shells, colors[neighbors]), edge_offsets)
        colors = mix(colors, around)
        n, n_before = count_distinct(colors), n
    sites = kinds_of(colors)

    # Edges of the first site of each kind, sorted by site, shell and kind of the neighbour.
    edges, bounds = take_rows(edge_offsets, sites.first)
    places = np.repeat(bounds[sites.of], degrees) + shells.astype(np.int64)  # a shell of a kind
    distances = np.bincount(places, graph.distances) / np.bincount(places).clip(min=1)
    keys = places[edges] * len(sites.first) + sites.of[neighbors[edges]]
    order = np.argsort(keys, kind="stable")  # which is fast if they are nearly sorted
    starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
    counts = np.diff(starts, append=len(edges))
    centers = np.repeat(np.arange(len(sites.first)), np.diff(bounds))[order[starts]]
    edges = edges[order[starts]]
    kind_offsets = np.searchsorted(sites.first, offsets)
    return {
        "offsets": kind_offsets,
        "sites": sites.first - offsets[crystal[sites.first]],
        "site_counts": sites.counts,
        "edge_offsets": offsets_from_sizes(np.bincount(centers, minlength=len(sites.first))),
        "neighbors": sites.of[neighbors[edges]] - kind_offsets[crystal[sites.first[centers]]],
        "distances": distances[places[edges]],
        "edge_counts": counts,
    }


def _shells(distances: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Count the distinct distances of a site: 0 for its nearest edges, 1 for the next."""
    degrees = np.diff(offsets)
    rows = offsets[:-1][degrees > 0]
    steps = (distances * np.float64(STEPS)).astype(np.int64)
    numbers = np.zeros(len(distances), dtype=np.uint64)
    numbers[starts_of(steps, rows)] = 1
    numbers = np.cumsum(numbers, dtype=np.uint64)
    return numbers - np.repeat(numbers[rows], degrees[degrees > 0])


def _number_equal_rows(
    distances: np.ndarray, offsets: np.ndarray, groups: np.ndarray
) -> np.ndarray:
    """Give sites of one group the same number if all their distances are equal."""
    degrees = np.diff(offsets)
    rows = np.zeros((len(degrees), degrees.max(initial=0)), dtype=np.float32)
    rows[np.arange(rows.shape[1]) < degrees[:, None]] = distances
    groups = mix(groups, degrees.astype(np.uint64))
    # Sites with equal distances come one after the other if sorted by group and mean.
    means = rows.sum(axis=1, dtype=np.float64) / degrees.clip(min=1)
    keys = ((groups >> np.uint64(33)) << np.uint64(32)).astype(np.int64)
    order = np.argsort(keys + (means * STEPS).astype(np.int64))
    rows, groups = rows[order], groups[order]
    unlike = np.ones(len(order), dtype=bool)
    unlike[1:] = groups[1:] != groups[:-1]
    unlike[1:] |= (np.abs(rows[1:] - rows[:-1]) > TOLERANCE).any(axis=1)
    while True:
        # Small steps may add up: all are compared with the first of their number, too.
        first = np.maximum.accumulate(np.where(unlike, np.arange(len(order)), 0))
        far = (np.abs(rows - rows[first]) > TOLERANCE).any(axis=1)
        if not far.any():
            break
        unlike |= far & np.diff(far, prepend=False)
    numbers = np.empty(len(order), dtype=np.uint64)
    numbers[order] = np.cumsum(unlike)
    return numbers
