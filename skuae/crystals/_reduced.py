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

from skuae.crystals._graphs import check_setting, search
from skuae.crystals._packing import frozen, offsets_from_sizes, take_rows

TOLERANCE = 1e-4  # Å, and of cosines; closer than this is equal
MAX_CUTOFF = 250  # Å; a distance in steps takes 32 bits
_STEPS = 1 << 24  # of an Å, or of a cosine; both are compared as integers
_EQUAL = int(TOLERANCE * _STEPS)
_BITS = 26  # of a cosine, from 0 to 2, in steps
_COSINE = (1 << _BITS) - 1
_FAR = 1 << 62
# What the columns of a chunk become in ReducedGraphs; None for sizes, which become offsets.
_COLUMNS = (None, np.int32, np.int32, *(None, np.int32, np.float32, np.int32) * 2)
_CHUNK_SITES = 2_000  # bounds the memory of one refinement, and fits a cache


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
    check_setting(cutoff, max_neighbors)
    if cutoff > MAX_CUTOFF:
        raise ValueError(f"cutoff must be at most {MAX_CUTOFF} Å, got {cutoff}")
    starts = np.arange(0, crystals.n_sites, _CHUNK_SITES)
    bounds = np.unique(np.append(np.searchsorted(crystals.offsets, starts), len(crystals)))
    parts = [
        _reduce(crystals, range(a, b), cutoff, max_neighbors, whole_shell, angles, merge)
        for a, b in itertools.pairwise(bounds)
    ] or [[np.empty(0)] * len(_COLUMNS[: None if angles else 7])]
    columns = (np.concatenate(column) for column in zip(*parts, strict=True))
    packed = [
        frozen(offsets_from_sizes(column), np.int64) if dtype is None else frozen(column, dtype)
        for column, dtype in zip(columns, _COLUMNS, strict=False)
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
    edge_colors = _mix(ends, _number_equal((distances * _STEPS).astype(np.int64), ends))
    graph = (centers, neighbors, edge_offsets)
    site_colors, edge_colors = _refine(site_colors, edge_colors, graph)
    edge_kind, first_edge, n_edges = _kinds(edge_colors)
    if angles:
        units = vectors / distances[:, None]
        row_offsets = offsets_from_sizes(np.diff(edge_offsets)[neighbors])
        values = np.empty(row_offsets[-1], dtype=np.int64)
        todo = np.arange(len(centers))
        while True:
            leaders = first_edge[edge_kind]
            _write_angles(values, row_offsets, todo, leaders, graph, units)
            split = _split_colors(edge_colors, todo, leaders, values, row_offsets)
            if len(split) == 0:
                break
            site_colors, edge_colors = _refine(site_colors, edge_colors, graph)
            edge_kind, first_edge, n_edges = _kinds(edge_colors)
            todo = np.flatnonzero(np.isin(crystal, crystal[centers[split]])[centers])

    # First sites and edges come in the order of their kinds, and first edges belong to first sites.
    site_kind, first_site, n_sites = _kinds(site_colors)
    center_kind = site_kind[centers[first_edge]]
    kind_offsets = np.searchsorted(first_site, offsets)
    columns = [
        np.diff(kind_offsets),
        first_site - offsets[crystal[first_site]],
        n_sites,
        np.bincount(center_kind, minlength=len(first_site)),
        site_kind[neighbors[first_edge]] - kind_offsets[crystal[centers[first_edge]]],
        np.bincount(edge_kind, distances) / n_edges,
        n_edges // n_sites[center_kind],
    ]
    if angles:
        firsts, angle_offsets = take_rows(row_offsets, first_edge)
        starts = _starts(values[firsts], angle_offsets[:-1])
        edge = np.searchsorted(angle_offsets, starts, side="right") - 1
        n_angles = np.diff(starts, append=len(firsts))
        rows, _ = take_rows(row_offsets, leaders)
        sums = np.bincount(rows, values & _COSINE, minlength=len(values))[firsts]
        others = edge_kind[values[firsts[starts]] >> _BITS]
        first_of_crystal = np.searchsorted(center_kind, kind_offsets)
        columns += [
            np.bincount(edge, minlength=len(first_edge)),
            others - first_of_crystal[crystal[centers[first_edge[edge]]]],
            np.add.reduceat(sums, starts) / (n_angles * n_edges[edge] * _STEPS) - 1,
            n_angles,
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
    """Give the distinct values (integers below 2^32) within groups, known by hashes, a number each.

    Group and value share one integer: to sort by one key is much faster than by two. The 31 bits of
    the hash may send two groups to the same place; values that differ stay distinct there.
    """
    key = ((groups >> np.uint64(33)) << np.uint64(32)).astype(np.int64) + values
    order = np.argsort(key)
    starts = _starts(key[order])
    numbers = np.empty(len(order), dtype=np.uint64)
    numbers[order] = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(order)))
    return numbers


def _starts(values, rows=slice(1)):
    """Find where, in sorted integers, the next value begins; and, if there are many, the next row.

    Values that lie close together are one, unless a chain of them gets longer than the tolerance:
    such a chain is cut at smaller gaps.
    """
    gaps = np.diff(values, prepend=values[:1])
    gaps[rows] = _FAR
    limits = np.full(len(values), _EQUAL)
    while True:
        starts = np.flatnonzero(gaps > limits)
        sizes = np.diff(starts, append=len(values))
        too_long = values[starts + sizes - 1] - values[starts] > _EQUAL
        if not too_long.any():
            return starts
        limits[np.repeat(too_long, sizes)] //= 10


def _refine(sites, edges, graph):
    """Give sites and edges new colours until no two of a colour differ in what is around them."""
    centers, neighbors, edge_offsets = graph
    n, n_before = len(np.unique(sites)), 0
    while n > n_before:
        sites = _mix(sites, _sum_rows(_mix(edges, edges), edge_offsets))
        edges = _mix(edges, _mix(sites[centers], sites[neighbors]))
        n, n_before = len(np.unique(sites)), n
    return sites, edges


def _write_angles(values, offsets, edges, leaders, graph, units):
    """Write the angles of edges, sorted, into their rows: leader of the other edge, then cosine."""
    _, neighbors, edge_offsets = graph
    degrees = np.diff(offsets)[edges]
    for degree in np.unique(degrees):  # short rows of one length are sorted much faster
        own = edges[degrees == degree, None]
        columns = np.arange(degree)
        others = edge_offsets[neighbors[own]] + columns
        cosines = -np.einsum("aoi,ai->ao", units[others], units[own[:, 0]])
        steps = ((1 + cosines) * _STEPS + 0.5).astype(np.int64)
        values[offsets[own] + columns] = np.sort((leaders[others] << _BITS) + steps, axis=1)


def _split_colors(colors, edges, leaders, values, offsets):
    """Give edges of one colour that differ in their angles new colours, in place; return them.

    The first edge of a colour, its leader, is what the others are compared with.
    """
    rows, ends = take_rows(offsets, edges)
    leader_rows, _ = take_rows(offsets, leaders[edges])
    unlike = np.flatnonzero(np.abs(values[rows] - values[leader_rows]) > _EQUAL)
    unlike = leaders[edges[np.searchsorted(ends, unlike, side="right") - 1]]
    edges = edges[np.isin(leaders[edges], unlike)]
    rows, offsets = take_rows(offsets, edges)
    sides = _mix(np.repeat(colors[edges], np.diff(offsets)), colors[values[rows] >> _BITS])
    angles = _mix(sides, _number_equal(values[rows] & _COSINE, sides))
    colors[edges] = _mix(colors[edges], _sum_rows(angles, offsets))
    return edges


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
