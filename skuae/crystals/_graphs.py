"""Neighbours of every site, packed: searched crystal by crystal, selected all at once."""

import itertools
from dataclasses import dataclass

import numpy as np
from pymatgen.optimization.neighbors import find_points_in_spheres

from skuae.crystals._packing import frozen, offsets_from_sizes, take_rows

SHELL_TOLERANCE = 1e-3  # Å; neighbours this close in distance belong to one shell
_DISTANCE_QUANTUM = 5e-6  # Å; closer distances than this are a tie
_CHUNK_SITES = 50_000  # bounds the memory of one vectorised selection
_PERIODIC = np.ones(3, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class CrystalGraphs:
    """Packed neighbour lists of packed crystals.

    Attributes
    ----------
    offsets : ndarray of shape (n_crystals + 1,)
        As in `Crystals`: crystal ``i`` owns the sites ``offsets[i]:offsets[i + 1]``.
    edge_offsets : ndarray of int64 of shape (n_sites + 1,)
        Site ``s`` owns the edges ``edge_offsets[s]:edge_offsets[s + 1]``, nearest first.
    neighbors : ndarray of int32 of shape (n_edges,)
        Index of the neighbour within its crystal.
    distances : ndarray of float32 of shape (n_edges,)
        In Å.
    images : ndarray of int16 of shape (n_edges, 3)
        Lattice translation of the neighbour: the edge is
        ``(frac_coords[neighbor] + image - frac_coords[site]) @ lattice``.
    cutoff : float
        Radius in Å within which neighbours were searched.
    max_neighbors : int or None
    whole_shell : bool
    """

    offsets: np.ndarray
    edge_offsets: np.ndarray
    neighbors: np.ndarray
    distances: np.ndarray
    images: np.ndarray
    cutoff: float
    max_neighbors: int | None
    whole_shell: bool

    def __len__(self):
        return len(self.offsets) - 1

    @property
    def nbytes(self):
        """Memory of the packed arrays in bytes."""
        arrays = (self.edge_offsets, self.neighbors, self.distances, self.images)
        return sum(array.nbytes for array in arrays)

    def take(self, rows):
        """Return the graphs of some crystals.

        Parameters
        ----------
        rows : array-like of int

        Returns
        -------
        CrystalGraphs
            In the order of `rows`.
        """
        sites, offsets = take_rows(self.offsets, np.asarray(rows))
        edges, edge_offsets = take_rows(self.edge_offsets, sites)
        return CrystalGraphs(
            offsets,
            edge_offsets,
            self.neighbors[edges],
            self.distances[edges],
            self.images[edges],
            self.cutoff,
            self.max_neighbors,
            self.whole_shell,
        )


def build_graphs(crystals, cutoff, max_neighbors=None, whole_shell=False):
    """Find the neighbours of every site; see :meth:`Crystals.graph`.

    For the k nearest, a small sphere is searched first, sized by the density of the crystal, and
    widened only for crystals where some site has fewer than k inside: the answer is the same.
    Among neighbours at equal distance (5e-6 Å) the lighter element comes first.
    """
    check_setting(cutoff, max_neighbors)
    chunk = np.searchsorted(
        crystals.offsets, np.arange(0, crystals.n_sites, _CHUNK_SITES), side="left"
    )
    bounds = np.unique(np.append(chunk, len(crystals)))
    parts = [
        search(crystals, range(first, last), cutoff, max_neighbors, whole_shell)
        for first, last in itertools.pairwise(bounds)
    ]
    degrees, neighbors, distances, images = (
        [np.concatenate(column) for column in zip(*parts, strict=True)]
        if parts
        else [np.empty(0), np.empty(0), np.empty(0), np.empty((0, 3))]
    )
    return CrystalGraphs(
        crystals.offsets,
        frozen(offsets_from_sizes(degrees), np.int64),
        frozen(neighbors, np.int32),
        frozen(distances, np.float32),
        frozen(images, np.int16),
        cutoff,
        max_neighbors,
        whole_shell,
    )


def check_setting(cutoff, max_neighbors):
    """Raise ValueError if no neighbours can be found with these."""
    if not cutoff > 0:
        raise ValueError(f"cutoff must be a positive number of Å, got {cutoff}")
    if max_neighbors is not None and max_neighbors < 1:
        raise ValueError(f"max_neighbors must be at least 1 or None, got {max_neighbors}")


def search(crystals, rows, cutoff, max_neighbors, whole_shell):
    """Return degrees, neighbors, distances and images of the sites of consecutive crystals."""
    first = crystals.offsets[rows.start]
    sites = slice(first, crystals.offsets[rows.stop])
    offsets = crystals.offsets[rows.start : rows.stop + 1] - first
    sizes = np.diff(offsets)
    lattices = np.array(crystals.lattices[rows.start : rows.stop])
    coords = np.einsum(
        "si,sij->sj", crystals.frac_coords[sites], np.repeat(lattices, sizes, axis=0)
    )
    radius = np.full(len(rows), float(cutoff))
    if max_neighbors is not None:
        volume_per_site = np.abs(np.linalg.det(lattices)) / sizes
        expected = 2 * max_neighbors * volume_per_site * 3 / (4 * np.pi)
        radius = np.minimum(cutoff, np.cbrt(expected))

    found = [None] * len(rows)
    pending = np.arange(len(rows))
    while len(pending):
        short = []
        for i in pending:
            points = coords[offsets[i] : offsets[i + 1]]
            center, neighbor, image, distance = find_points_in_spheres(
                points, points, r=radius[i], pbc=_PERIODIC, lattice=lattices[i], tol=1e-8
            )
            if radius[i] < cutoff:
                # Farther ones may belong to a shell that the sphere cuts; each site finds itself.
                inside = np.bincount(center[distance < radius[i] - SHELL_TOLERANCE])
                if len(inside) < len(points) or inside.min() <= max_neighbors:
                    short.append(i)
                    continue
            found[i] = (center + offsets[i], neighbor, image, distance)
        pending = np.array(short, dtype=np.int64)
        radius[pending] = np.minimum(cutoff, 1.4 * radius[pending])

    center, neighbor, image, distance = (np.concatenate(c) for c in zip(*found, strict=True))
    other = distance > 1e-6
    center, neighbor, image, distance = (a[other] for a in (center, neighbor, image, distance))
    shift = np.repeat(offsets[:-1], sizes)[center]
    tie_break = crystals.numbers[sites][neighbor + shift].astype(np.int64)
    quantum = (distance / _DISTANCE_QUANTUM).astype(np.int64)
    # One sort of one integer, site | distance | element, is much faster than a lexsort. It is
    # stable, so that which of equal neighbours stay does not depend on the crystals around.
    order = np.argsort((center << 40) | (quantum << 7) | tie_break, kind="stable")
    degrees = np.bincount(center, minlength=int(offsets[-1]))
    if max_neighbors is not None:
        starts = offsets_from_sizes(degrees)[:-1]
        rank = np.arange(len(order)) - np.repeat(starts, degrees)
        keep = rank < max_neighbors
        if whole_shell:
            last = np.full(len(degrees), np.inf)
            full = degrees >= max_neighbors
            last[full] = distance[order[starts[full] + max_neighbors - 1]]
            keep |= distance[order] < last[center[order]] + SHELL_TOLERANCE
        order = order[keep]
        degrees = np.bincount(center[order], minlength=len(degrees))
    image = image[order]
    if np.abs(image).max(initial=0) > np.iinfo(np.int16).max:
        raise ValueError(
            "fractional coordinates lie thousands of cells away; wrap them into the cell "
            "(frac_coords % 1)"
        )
    return (
        degrees,
        neighbor[order].astype(np.int32),
        distance[order].astype(np.float32),
        image.astype(np.int16),
    )
