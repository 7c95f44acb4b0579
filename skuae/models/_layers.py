"""Layers that several papers share."""

import torch
from torch import nn
from torch.nn import functional as F


def element_rows(weight, batch):
    """Look up the rows of a (n_elements, d) table: (N, d).

    Row ``Z - 1`` belongs to element Z; on a disordered site, rows are added up by occupancy.
    """
    rows = F.embedding(batch.numbers - 1, weight)
    if batch.occ_sites is None:
        return rows
    parts = F.embedding(batch.occ_numbers - 1, weight) * batch.occ_values[:, None]
    mixed = torch.zeros_like(rows).index_add(0, batch.occ_sites, parts)
    disordered = torch.zeros(len(rows), 1, dtype=torch.bool, device=rows.device)
    return torch.where(disordered.index_fill(0, batch.occ_sites, True), mixed, rows)


class ElementEmbedding(nn.Module):
    """One vector per element.

    Parameters
    ----------
    values : Tensor of shape (118, d)
        Row ``Z - 1`` is the vector of element Z; finite.
    frozen : bool
        A frozen table is a buffer: the optimiser does not see it.
    """

    def __init__(self, values, frozen):
        super().__init__()
        if frozen:
            self.register_buffer("weight", values.clone())
        else:
            self.weight = nn.Parameter(values.clone())

    def forward(self, batch):
        return element_rows(self.weight, batch)  # (N, d)


class GaussianBasis(nn.Module):
    """Expand distances in Gaussians, exp(-(r - center)² / width²).

    Parameters
    ----------
    stop : float
        Last center in Å; the first is 0.
    step : float
        Distance between centers (nearly, if it does not divide `stop`), and their width.
    """

    def __init__(self, stop, step):
        super().__init__()
        n_centers = round(stop / step) + 1
        centers = torch.linspace(0, stop, n_centers, dtype=torch.float64)
        self.register_buffer("centers", centers.to(torch.get_default_dtype()), persistent=False)
        self.width = step

    def __len__(self):
        return len(self.centers)

    def forward(self, distances, n_centers=None):
        scaled = (distances[..., None] - self.centers[:n_centers]) / self.width
        # exp(-40) is nothing beside 1; below exp(-87) come denormal numbers, ten times slower to
        # make and to multiply.
        return scaled.square_().clamp_(max=40).neg_().exp_()

    def n_reached(self, distances):
        """Count the centers from the first on that are not out of reach of all the distances."""
        if not distances.is_cpu or not len(distances):  # a GPU would have to wait for the answer
            return len(self)
        return min(len(self), int(distances.max() / self.width) + 8)  # exp(-7²) is nothing


def mean_over_sites(x, batch):
    """Average site vectors (N, d) over each crystal: (B, d)."""
    total = x.new_zeros(len(batch), x.shape[1]).index_add(0, batch.crystal, x)
    return total / batch.sizes[:, None]
