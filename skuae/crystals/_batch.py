"""Packed crystals as tensors on a device, and batches of them by index arithmetic."""

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class CrystalBatch:
    """Some crystals as tensors. N sites, B crystals, k neighbours, M entries.

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
    neighbors : (N, k) int64, or None
        Index of the neighbour within the batch; 0 where masked.
    distances : (N, k) float, or None
        In Å; 0 where masked.
    mask : (N, k) bool, or None
        False where a site has fewer than k neighbours; None if no site has.
    occ_sites, occ_numbers, occ_values : (M,) int64, int64, float, or None
        Species of disordered sites, as in `Crystals`.
    """

    numbers: Tensor
    sizes: Tensor
    crystal: Tensor
    frac_coords: Tensor | None = None
    lattices: Tensor | None = None
    neighbors: Tensor | None = None
    distances: Tensor | None = None
    mask: Tensor | None = None
    occ_sites: Tensor | None = None
    occ_numbers: Tensor | None = None
    occ_values: Tensor | None = None

    def __len__(self):
        return len(self.sizes)

    def to(self, device):
        """Return the batch on another device."""
        tensors = {f.name: getattr(self, f.name) for f in fields(self)}
        moved = {k: v.to(device, non_blocking=True) for k, v in tensors.items() if v is not None}
        return replace(self, **moved)


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
            # With the same number of neighbours everywhere, rows of a matrix are all that is read.
            self.degree = int(degrees[0]) if len(degrees) and np.ptp(degrees) == 0 else None

    def __len__(self):
        return len(self.offsets) - 1

    def batch(self, rows) -> CrystalBatch:
        """Cut out some crystals.

        Parameters
        ----------
        rows : array-like of int of shape (B,)
        """
        rows = torch.as_tensor(rows, device=self.offsets.device)
        sites, offsets = _take_rows(self.offsets, rows)
        sizes = offsets.diff()
        crystal = torch.repeat_interleave(sizes, output_size=len(sites))
        parts = {}
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
            parts.update(self._neighbors_of(sites, offsets[:-1][crystal]))
        return CrystalBatch(self.numbers[sites], sizes, crystal, **parts)

    def _neighbors_of(self, sites, first_site):
        if self.degree is not None:
            neighbors = self.neighbors.view(-1, self.degree)[sites]
            distances = self.distances.view(-1, self.degree)[sites]
            return {"neighbors": neighbors + first_site[:, None], "distances": distances}
        starts = self.edge_offsets[sites]
        degrees = self.edge_offsets[sites + 1] - starts
        columns = torch.arange(int(degrees.max()), device=sites.device)
        mask = columns < degrees[:, None]
        edges = torch.where(mask, starts[:, None] + columns, 0)
        if not len(self.neighbors):  # only isolated atoms
            shape, device = mask.shape, sites.device
            return {
                "neighbors": torch.zeros(shape, dtype=torch.int64, device=device),
                "distances": self.distances.new_zeros(shape),
                "mask": mask,
            }
        neighbors = torch.where(mask, self.neighbors[edges] + first_site[:, None], 0)
        distances = torch.where(mask, self.distances[edges], 0)
        full = bool(mask.all())
        return {"neighbors": neighbors, "distances": distances, "mask": None if full else mask}


def _take_rows(offsets, rows):
    """As `skuae.crystals._packing.take_rows`, in torch."""
    starts = offsets[rows]
    sizes = offsets[rows + 1] - starts
    new_offsets = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    total = int(new_offsets[-1])
    index = torch.arange(total, device=offsets.device)
    index = index + torch.repeat_interleave(starts - new_offsets[:-1], sizes, output_size=total)
    return index, new_offsets
