"""Packed crystals as tensors on a device, and batches of them by index arithmetic."""

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class CrystalBatch:
    """Some crystals as tensors. N sites, B crystals, E edges, M entries.

    Attributes
    ----------
    numbers : (N,) int64
        Atomic numbers.
    sizes : (B,) int64
        Sites per crystal.
    crystal : (N,) int64
        Which crystal a site belongs to.
    frac_coords : (N, 3) float, or None
    lattices : (B, 3, 3) float, or None
        Rows a, b, c in Å.
    centers, neighbors : (E,) int64, or None
        Sites at the two ends of an edge; edges are sorted by center, nearest neighbour first.
    distances : (E,) float, or None
        In Å.
    degree : int or None
        Edges per site if all sites have the same number, so that (E, ...) may be seen as
        (N, degree, ...); else None.
    occ_sites, occ_numbers, occ_values : (M,) int64, int64, float, or None
        Species of disordered sites, as in `Crystals`.
    """

    numbers: Tensor
    sizes: Tensor
    crystal: Tensor
    frac_coords: Tensor | None = None
    lattices: Tensor | None = None
    centers: Tensor | None = None
    neighbors: Tensor | None = None
    distances: Tensor | None = None
    degree: int | None = None
    occ_sites: Tensor | None = None
    occ_numbers: Tensor | None = None
    occ_values: Tensor | None = None

    def __len__(self):
        return len(self.sizes)

    def to(self, device):
        """Return the batch on another device.

        Parameters
        ----------
        device : torch.device or str

        Returns
        -------
        CrystalBatch
        """
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        tensors = {k: v for k, v in values.items() if isinstance(v, Tensor)}
        return replace(self, **{k: v.to(device, non_blocking=True) for k, v in tensors.items()})


class PackedTensors:
    """Crystals (and their graphs) on a device, ready to be cut into batches.

    Parameters
    ----------
    crystals : Crystals
    graphs : CrystalGraphs or None
        Without graphs, batches carry coordinates and lattices instead of neighbours.
    device : torch.device or str, default="cpu"
    dtype : torch.dtype, default=torch.float32
    """

    def __init__(self, crystals, graphs=None, device="cpu", dtype=torch.float32):
        def put(array, dtype=None):
            return torch.tensor(np.asarray(array), device=device, dtype=dtype)

        self.numbers = put(crystals.numbers, torch.int64)
        self.offsets = put(crystals.offsets)
        self.occupancies = None
        if crystals.occ_sites is not None:
            bounds = np.searchsorted(crystals.occ_sites, np.arange(crystals.n_sites + 1))
            self.occupancies = (
                put(bounds),
                put(crystals.occ_numbers, torch.int64),
                put(crystals.occ_values, dtype),
            )
        self.graphs = graphs
        if graphs is None:
            self.frac_coords = put(crystals.frac_coords % 1.0, dtype)
            self.lattices = put(crystals.lattices, dtype)
        else:
            degrees = np.diff(graphs.edge_offsets)
            self.edge_offsets = put(graphs.edge_offsets)
            self.neighbors = put(graphs.neighbors)
            self.distances = put(graphs.distances, dtype)
            same = len(degrees) > 0 and degrees[0] > 0 and np.ptp(degrees) == 0
            self.degree = int(degrees[0]) if same else None
            self._columns = torch.arange(self.degree or 0, device=device)

    def __len__(self):
        return len(self.offsets) - 1

    def batch(self, rows) -> CrystalBatch:
        """Cut out some crystals.

        Parameters
        ----------
        rows : array-like of int of shape (B,)

        Returns
        -------
        CrystalBatch
        """
        rows = torch.as_tensor(rows, device=self.offsets.device)
        sites, offsets = _take_rows(self.offsets, rows)
        sizes = offsets.diff()
        crystal = torch.repeat_interleave(sizes, output_size=len(sites))
        parts: dict = {}
        if self.occupancies is not None:
            bounds, numbers, values = self.occupancies
            entries, entry_offsets = _take_rows(bounds, sites)
            if len(entries):
                parts["occ_sites"] = torch.repeat_interleave(entry_offsets.diff())
                parts["occ_numbers"] = numbers[entries]
                parts["occ_values"] = values[entries]
        if self.graphs is None:
            parts["frac_coords"] = self.frac_coords[sites]
            parts["lattices"] = self.lattices[rows]
        else:
            parts.update(self._edges_of(sites, offsets[:-1][crystal]))
        return CrystalBatch(self.numbers[sites], sizes, crystal, **parts)

    def _edges_of(self, sites, first_site):
        """Edges of some sites; `first_site` is where the crystal of a site starts in the batch."""
        if self.degree is not None:  # rows of a matrix are all that is read
            edges = (sites[:, None] * self.degree + self._columns).flatten()
            degrees = self.degree
        else:
            edges, edge_offsets = _take_rows(self.edge_offsets, sites)
            degrees = edge_offsets.diff()
        centers = torch.arange(len(sites), device=sites.device).repeat_interleave(
            degrees, output_size=len(edges)
        )
        return {
            "centers": centers,
            "neighbors": self.neighbors[edges] + first_site[centers],
            "distances": self.distances[edges],
            "degree": self.degree,
        }


def _take_rows(offsets, rows):
    """As `skuae.crystals._packing.take_rows`, in torch."""
    starts = offsets[rows]
    sizes = offsets[rows + 1] - starts
    new_offsets = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    total = int(new_offsets[-1])
    index = torch.arange(total, device=offsets.device)
    index = index + torch.repeat_interleave(starts - new_offsets[:-1], sizes, output_size=total)
    return index, new_offsets
