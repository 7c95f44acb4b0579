"""Safe calls of pymatgen's compiled neighbour search, which does not check its input.

That search takes time and memory by the box around the sites and by the images of the cell that
reach into it, and overflows beyond 7e8 pairs. So coordinates are wrapped, skewed cells are reduced,
sites are gathered where the cell is wide, and a search that might find too much is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core import Lattice
from pymatgen.optimization.neighbors import find_points_in_spheres

if TYPE_CHECKING:
    from skuae.crystals._crystals import Crystals

Found = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]

MAX_CUTOFF = 250  # Å; a distance in steps of `_colors` takes 32 bits
_WIDE = 100.0  # Å; sites in a longer box are gathered
_MAX_CUBES = 60  # along the box; each takes 216 bytes
_MAX_WORK = 1_000_000  # images of sites; a cell with more of them is reduced
_MAX_PAIRS = 200_000_000
_PERIODIC = np.ones(3, dtype=np.int64)


def wrap(frac_coords: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Move sites into the cell.

    Parameters
    ----------
    frac_coords : ndarray of shape (n_sites, 3)

    Returns
    -------
    wrapped : ndarray of shape (n_sites, 3)
        From 0 up to, but not including, 1.
    cells : ndarray of float64 of shape (n_sites, 3)
        Whole numbers; ``wrapped + cells`` are the coordinates that were given.
    """
    cells = np.floor(frac_coords)
    wrapped = frac_coords - cells
    rounded_up = wrapped >= 1.0  # -1e-17 is 1 - 1e-17, which no float is
    wrapped[rounded_up] = 0.0
    cells[rounded_up] += 1.0
    return wrapped, cells


class Search:
    """Search for neighbours in consecutive crystals.

    Parameters
    ----------
    crystals : Crystals
    rows : range
    cutoff : float
        The largest radius in Å that will be asked for.

    Attributes
    ----------
    offsets : ndarray of int64 of shape (len(rows) + 1,)
        Crystal ``rows[i]`` owns the sites ``offsets[i]:offsets[i + 1]`` of these crystals.
    cells : ndarray of shape (n_sites, 3)
        The cell in which a site was given. Images that are found go with wrapped coordinates.
    volumes : ndarray of shape (len(rows),)
        In Å³.
    """

    def __init__(self, crystals: Crystals, rows: range, cutoff: float) -> None:
        self._crystals, self._rows = crystals, rows
        first, last = crystals.offsets[rows.start], crystals.offsets[rows.stop]
        self.offsets = crystals.offsets[rows.start : rows.stop + 1] - first
        sizes = np.diff(self.offsets)
        self._lattices = np.array(crystals.lattices[rows.start : rows.stop])
        self._wrapped, self.cells = wrap(crystals.frac_coords[first:last])
        self._coords = _cartesian(self._wrapped, np.repeat(self._lattices, sizes, axis=0))
        self.volumes = np.abs(np.linalg.det(self._lattices))
        least = _least_radii(self._coords, self.offsets)
        widest = np.maximum(cutoff, least)[:, None]
        images = (2 * widest / heights_of(self._lattices) + 3).prod(axis=1)
        hard = (sizes * images > _MAX_WORK) | (sizes**2 * images > _MAX_PAIRS)
        hard |= least > _WIDE / _MAX_CUBES
        # Lists, since one by one they are read faster than arrays.
        self._bounds, self._least, self._hard = self.offsets.tolist(), least.tolist(), hard.tolist()

    def __len__(self) -> int:
        return len(self._lattices)

    def find(self, i: int, radius: float) -> Found:
        """Find all pairs of sites within a radius; each site finds itself, too.

        Parameters
        ----------
        i : int
            Place among the crystals.
        radius : float
            In Å.

        Returns
        -------
        centers, neighbors : ndarray of int64 of shape (n_pairs,)
            Sites, counted from the first one of the crystal; centers ascend.
        images : ndarray of float64 of shape (n_pairs, 3)
            Lattice translation of the neighbour, for wrapped coordinates.
        distances : ndarray of float64 of shape (n_pairs,)
            In Å.

        Raises
        ------
        ValueError
            If there may be more than 200 million pairs.
        """
        sites = slice(self._bounds[i], self._bounds[i + 1])
        if self._hard[i]:
            return self._find_hard(i, self._wrapped[sites], radius)
        return _find(self._coords[sites], self._lattices[i], radius, self._least[i])

    def _find_hard(self, i: int, wrapped: np.ndarray, radius: float) -> Found:
        mapping = np.rint(Lattice(self._lattices[i]).lll_mapping)
        lattice = mapping @ self._lattices[i]
        wrapped, cells = _gather(wrapped @ np.rint(np.linalg.inv(mapping)))
        coords = _cartesian(wrapped, lattice[None])
        (least,) = _least_radii(coords, np.array([0, len(coords)]))
        n_pairs = _most_pairs(wrapped, lattice, max(radius, least))
        if n_pairs > _MAX_PAIRS:
            where = self._crystals.where(self._rows[i])
            raise ValueError(
                f"{where}: {len(coords)} sites may have more than {_MAX_PAIRS:.0e} neighbours "
                f"within {radius:.3g} Å; choose a smaller cutoff, or drop the structure"
            )
        center, neighbor, image, distance = _find(coords, lattice, radius, least)
        image = (image + cells[center] - cells[neighbor]) @ mapping
        return center, neighbor, image, distance


def _find(coords: np.ndarray, lattice: np.ndarray, radius: float, least: float) -> Found:
    center, neighbor, image, distance = find_points_in_spheres(
        coords, coords, r=max(radius, least), pbc=_PERIODIC, lattice=lattice, tol=1e-8
    )
    if radius < least:
        near = distance <= radius
        center, neighbor, image, distance = (
            center[near],
            neighbor[near],
            image[near],
            distance[near],
        )
    return center, neighbor, image, distance


def _gather(frac_coords: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wrap sites into a cell whose origin lies in its largest gap; see `wrap`."""
    ordered = np.sort(wrap(frac_coords)[0], axis=0)
    gaps = ordered - np.roll(ordered, 1, axis=0)
    gaps[0] += 1.0
    return wrap(frac_coords - ordered[gaps.argmax(axis=0), np.arange(3)])


def _cartesian(frac_coords: np.ndarray, lattices: np.ndarray) -> np.ndarray:
    return np.einsum("si,sij->sj", frac_coords, lattices)


def heights_of(lattices: np.ndarray) -> np.ndarray:
    """Return the distances in Å between opposite faces of cells, shape (n_crystals, 3)."""
    return 1.0 / np.linalg.norm(np.linalg.inv(lattices), axis=1)


def _least_radii(coords: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return the radius per crystal below which the search grid has too many cubes."""
    if not len(coords):
        return np.zeros(len(offsets) - 1)
    starts = offsets[:-1]
    box = np.maximum.reduceat(coords, starts) - np.minimum.reduceat(coords, starts)
    return box.max(axis=1) / _MAX_CUBES


def _most_pairs(wrapped: np.ndarray, lattice: np.ndarray, radius: float) -> float:
    """Return an upper bound on the pairs within a radius, at least six times too large.

    Sites are counted in bins that are at least as wide as the radius, where the cell is.
    """
    heights = heights_of(lattice[None])[0]
    bins = np.clip(heights // radius, 1, 1000)
    reached = (2 * np.ceil(radius * bins / heights) + 1).prod()  # bins around one, images counted
    place = np.floor(wrapped * bins) @ [1e6, 1e3, 1.0]
    _, counts = np.unique(place, return_counts=True)
    return reached * float((counts.astype(np.float64) ** 2).sum())
