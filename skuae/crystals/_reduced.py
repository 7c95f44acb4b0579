"""Graphs of crystals with one site, one bond and one angle of every kind.

Crystals are symmetric: of the bonds in a typical one, three in four are copies of another. An
invariant network gives equal sites and equal bonds equal vectors, so one of each kind will do, with
a count of how often it occurs. What is equal is found by colour refinement (Weisfeiler and Leman,
1968), which merges exactly what message passing cannot tell apart: at least the orbits of the space
group, and the copies in a supercell.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from skuae.crystals._graphs import search
from skuae.crystals._packing import frozen, offsets_from_sizes, take_rows

TOLERANCE = 1e-4  # Å, and of cosines; closer than this is equal
_CHUNK_SITES = 10_000  # bounds the memory of one refinement


@dataclass(frozen=True, eq=False)
class ReducedGraphs:
    """Packed graphs of packed crystals, equal parts merged. S sites, E edges, A angles.

    Edges run both ways: if a site has a neighbour, the neighbour has the site. What is said below
    of an edge, "center" and "neighbor", is as in `CrystalGraphs`.

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
    edge_counts : ndarray of int32 of shape (E,)
        Edges of this kind that its center has.
    angle_offsets : ndarray of int64 of shape (E + 1,), or None
        Edge ``e`` owns the angles ``angle_offsets[e]:angle_offsets[e + 1]``, between itself and the
        edges whose center is its neighbour.
    others : ndarray of int32 of shape (A,), or None
        The other edge, counted from the first edge of the crystal in this graph.
    cosines : ndarray of float32 of shape (A,), or None
        Cosine of the angle at the site that both edges share.
    angle_counts : ndarray of int32 of shape (A,), or None
        Angles of this kind that its edge has.
    """

    offsets: np.ndarray
    sites: np.ndarray
    site_counts: np.ndarray
    edge_offsets: np.ndarray
    neighbors: np.ndarray
    distances: np.ndarray
    edge_counts: np.ndarray
    angle_offsets: np.ndarray | None = None
    others: np.ndarray | None = None
    cosines: np.ndarray | None = None
    angle_counts: np.ndarray | None = None

    def __len__(self):
        return len(self.offsets) - 1

    @property
    def nbytes(self):
        """Memory of the packed arrays in bytes."""
        return sum(array.nbytes for array in self.__dict__.values() if array is not None)

    def take(self, rows):
        """Return the graphs of some crystals.

        Parameters
        ----------
        rows : array-like of int

        Returns
        -------
        ReducedGraphs
            In the order of `rows`.
        """
        sites, offsets = take_rows(self.offsets, np.asarray(rows))
        edges, edge_offsets = take_rows(self.edge_offsets, sites)
        angles = ()
        if self.angle_offsets is not None:
            index, angle_offsets = take_rows(self.angle_offsets, edges)
            angles = (angle_offsets, self.others[index], self.cosines[index],
                      self.angle_counts[index])  # fmt: skip
        return ReducedGraphs(
            offsets,
            self.sites[sites],
            self.site_counts[sites],
            edge_offsets,
            self.neighbors[edges],
            self.distances[edges],
            self.edge_counts[edges],
            *angles,
        )


def build_reduced_graphs(crystals, cutoff, max_neighbors, whole_shell, angles, merge):
    """Find neighbours and angles and merge equal ones; see :meth:`Crystals.reduced_graph`."""
    starts = np.arange(0, crystals.n_sites, _CHUNK_SITES)
    bounds = np.unique(np.append(np.searchsorted(crystals.offsets, starts), len(crystals)))
    parts = [
        _reduce(crystals, range(a, b), cutoff, max_neighbors, whole_shell, angles, merge)
        for a, b in itertools.pairwise(bounds)
    ] or [[np.empty(0)] * (11 if angles else 7)]
    sizes, sites, site_counts, degrees, *edges = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    neighbors, distances, edge_counts, *rest = edges
    packed = [
        frozen(offsets_from_sizes(sizes), np.int64),
        frozen(sites, np.int32),
        frozen(site_counts, np.int32),
        frozen(offsets_from_sizes(degrees), np.int64),
        frozen(neighbors, np.int32),
        frozen(distances, np.float32),
        frozen(edge_counts, np.int32),
    ]
    if angles:
        n_angles, others, cosines, angle_counts = rest
        packed += [
            frozen(offsets_from_sizes(n_angles), np.int64),
            frozen(others, np.int32),
            frozen(cosines, np.float32),
            frozen(angle_counts, np.int32),
        ]
    return ReducedGraphs(*packed)


def _reduce(crystals, rows, cutoff, max_neighbors, whole_shell, angles, merge):
    """Return the columns of `ReducedGraphs`, sizes for offsets, of consecutive crystals."""
    first = crystals.offsets[rows.start]
    offsets = crystals.offsets[rows.start : rows.stop + 1] - first
    sizes = np.diff(offsets)
    crystal = np.repeat(np.arange(len(rows)), sizes)
    degrees, neighbors, _, images = search(crystals, rows, cutoff, max_neighbors, whole_shell)
    centers = np.repeat(np.arange(len(degrees)), degrees)
    centers, neighbors, images = _both_ways(centers, neighbors + offsets[crystal[centers]], images)
    edge_offsets = offsets_from_sizes(np.bincount(centers, minlength=len(crystal)))
    frac_coords = crystals.frac_coords[first : first + len(crystal)]
    lattices = np.asarray(crystals.lattices[rows.start : rows.stop])
    vectors = np.einsum(
        "ei,eij->ej",
        frac_coords[neighbors] + images - frac_coords[centers],
        lattices[crystal[centers]],
    )
    distances = np.linalg.norm(vectors, axis=1)

    site_colors = _mix(crystal.astype(np.uint64), _first_colors(crystals, first, len(crystal)))
    if not merge:
        site_colors = _mix(site_colors, np.arange(len(crystal), dtype=np.uint64))
    ends = _mix(site_colors[centers], site_colors[neighbors])
    edge_colors = _mix(ends, _number_equal(distances, ends))
    graph = (centers, neighbors, edge_offsets)
    site_colors, edge_colors = _refine(site_colors, edge_colors, graph)
    if angles:
        # The edges whose center is the neighbour of an edge: all of a row of the graph.
        others, angle_offsets = take_rows(edge_offsets, neighbors)
        edges = np.repeat(np.arange(len(neighbors)), np.diff(angle_offsets))
        cosines = -np.einsum("ai,ai->a", vectors[edges], vectors[others])
        cosines = np.clip(cosines / (distances[edges] * distances[others]), -1, 1)
        sides = _mix(edge_colors[edges], edge_colors[others])
        angle_colors = _mix(sides, _number_equal(1 + cosines, sides))
        site_colors, edge_colors = _refine(
            site_colors, edge_colors, graph, (others, angle_colors, angle_offsets)
        )

    site_kind, first_site, n_sites = _kinds(site_colors)
    edge_kind, first_edge, n_edges = _kinds(edge_colors)
    # Kinds of edges in the order of their centers.
    order = np.argsort(site_kind[centers[first_edge]], kind="stable")
    edge_kind, first_edge, n_edges = np.argsort(order)[edge_kind], first_edge[order], n_edges[order]
    kind_crystal = crystal[first_site]
    center_kind = site_kind[centers[first_edge]]
    kind_offsets = offsets_from_sizes(np.bincount(kind_crystal, minlength=len(rows)))
    columns = [
        np.diff(kind_offsets),
        first_site - offsets[kind_crystal],
        n_sites,
        np.bincount(center_kind, minlength=len(first_site)),
        site_kind[neighbors[first_edge]] - kind_offsets[kind_crystal[center_kind]],
        np.bincount(edge_kind, distances) / n_edges,
        n_edges // n_sites[center_kind],
    ]
    if angles:
        first_of_crystal = np.searchsorted(center_kind, kind_offsets)
        angle_kind, first_angle, n_angles = _kinds(
            _mix(_mix(edge_colors[edges], edge_colors[others]), angle_colors)
        )
        order = np.argsort(edge_kind[edges[first_angle]], kind="stable")
        edge = edge_kind[edges[first_angle]][order]
        mean_cosines = np.bincount(angle_kind, cosines) / n_angles
        columns += [
            np.bincount(edge, minlength=len(first_edge)),
            edge_kind[others[first_angle]][order]
            - first_of_crystal[kind_crystal[center_kind[edge]]],
            mean_cosines[order],
            n_angles[order] // n_edges[edge],
        ]
    return columns


def _both_ways(centers, neighbors, images):
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


def _first_colors(crystals, first, n_sites):
    """Colour sites by element, disordered ones by all their species."""
    colors = crystals.numbers[first : first + n_sites].astype(np.uint64)
    if crystals.occ_sites is not None:
        entries = slice(*np.searchsorted(crystals.occ_sites, [first, first + n_sites]))
        amounts = np.round(crystals.occ_values[entries] * 1e6).astype(np.uint64)
        species = _mix(crystals.occ_numbers[entries].astype(np.uint64), amounts)
        np.add.at(colors, crystals.occ_sites[entries] - first, species)
    return colors


def _number_equal(values, groups):
    """Give the distinct values (0 to 250) within groups, known by their hashes, a number each.

    Group and value share one integer: to sort by one key is much faster than by two. The 36 bits of
    the hash may send two groups to the same place; values that differ stay distinct there.
    """
    levels = np.uint64(1 << 28)
    key = groups // levels * levels + (values * (1 << 20)).astype(np.uint64)
    order = np.argsort(key)
    gaps = np.diff(key[order], prepend=key[order][:1])
    numbers = np.empty(len(order), dtype=np.uint64)
    numbers[order] = np.cumsum(gaps > np.uint64(TOLERANCE * (1 << 20)))
    return numbers


def _refine(sites, edges, graph, angles=None):
    """Give sites and edges new colours until no two of a colour differ in what is around them."""
    centers, neighbors, edge_offsets = graph
    n_before = 0
    while True:
        sites = _mix(sites, _sum_rows(_mix(edges, edges), edge_offsets))
        around = _mix(sites[centers], sites[neighbors])
        if angles is not None:
            others, angle_colors, angle_offsets = angles
            around = _mix(around, _sum_rows(_mix(edges[others], angle_colors), angle_offsets))
        edges = _mix(edges, around)
        n = len(np.unique(sites)) + len(np.unique(edges))
        if n == n_before:
            return sites, edges
        n_before = n


def _sum_rows(values, offsets):
    """Sum the rows of a ragged array of uint64, modulo 2^64."""
    total = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(values, dtype=np.uint64)])
    return total[offsets[1:]] - total[offsets[:-1]]


def _mix(a, b):
    """Hash pairs of uint64 (splitmix64's finaliser); not symmetric in a and b."""
    x = a * np.uint64(0x9E3779B97F4A7C15) + (b ^ (b >> np.uint64(29)))
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _kinds(colors):
    """Return the kind of each, numbered in order of appearance, the first and number of each."""
    _, first, inverse, counts = np.unique(
        colors, return_index=True, return_inverse=True, return_counts=True
    )
    order = np.argsort(first)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank[inverse], first[order], counts[order]
