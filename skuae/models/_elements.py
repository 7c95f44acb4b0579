"""Element vectors of networks: from a table, or learned by the network."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skuae.crystals import CrystalBatch
from skuae.models._layers import mean_over_sites

N_LEARNED = 100  # elements that the one-hot input of CrystalTransformer has room for
_SCALE = 0.02  # small compared with what training adds, so that rows move together


def element_rows(weight: Tensor, batch: CrystalBatch) -> Tensor:
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


class Elements(nn.Module):
    """Base class of modules from a batch to the element vectors of its sites, (N, n_dims).

    Attributes
    ----------
    n_dims : int
        Columns of the vectors.
    """

    n_dims: int

    def table(self) -> Tensor:
        """Return the vectors of the elements as the network sees them.

        Returns
        -------
        Tensor of shape (n_elements, n_columns)
            Row ``Z - 1`` is that of element Z.
        """
        raise NotImplementedError


class ElementEmbedding(Elements):
    """One vector per element, and, if asked for, what a linear map makes of the coordinates.

    Parameters
    ----------
    values : Tensor of shape (118, d)
        Row ``Z - 1`` is the vector of element Z; finite.
    frozen : bool
        What is frozen is a buffer: the optimiser does not see it.
    coords : tuple of Tensor of shape (c, 3) and (c,), or None
        Weight and bias of a map of Cartesian coordinates, in Å from the center of the sites.
    """

    weight: Tensor
    coords_weight: Tensor
    coords_bias: Tensor

    def __init__(
        self, values: Tensor, frozen: bool, coords: tuple[Tensor, Tensor] | None = None
    ) -> None:
        super().__init__()
        parts = {"weight": values}
        if coords is not None:
            parts["coords_weight"], parts["coords_bias"] = coords
        for name, part in parts.items():
            if frozen:
                self.register_buffer(name, part.clone())
            else:
                self.register_parameter(name, nn.Parameter(part.clone()))
        self.n_dims = values.shape[1] + (0 if coords is None else len(coords[1]))

    def forward(self, batch: CrystalBatch) -> Tensor:
        rows = element_rows(self.weight, batch)  # (N, d)
        if self.n_dims == rows.shape[1]:
            return rows
        x = torch.einsum("ni,nij->nj", batch.frac_coords, batch.lattices[batch.crystal])
        x = x - mean_over_sites(x, batch)[batch.crystal]
        x = F.linear(x, self.coords_weight, self.coords_bias)
        return torch.cat([rows, x], dim=1)  # (N, d + c)

    def table(self) -> Tensor:
        """Return the vectors of the elements, (118, d): the very tensor that is looked up."""
        return self.weight


class LearnedElements(Elements):
    """Element vectors that are learned at the width that the network asks for.

    A' = A (W + F V) + b for one-hot rows A of 100 elements, occupancies on disordered sites. With
    features F, similar elements start with similar vectors: crystals of one element train V, and
    with it the vectors of its relatives. W holds what belongs to one element alone.

    Parameters
    ----------
    dim : int
    norm : bool
        Start small and normalise the vectors; False is the published input.
    features : Tensor of shape (100, n_features), or None
    """

    features: Tensor  # if there are any

    def __init__(self, dim: int, norm: bool, features: Tensor | None) -> None:
        super().__init__()
        self.n_dims = dim
        self.linear = nn.Linear(N_LEARNED, dim)
        self.norm = norm
        if norm:
            nn.init.normal_(self.linear.weight, std=_SCALE)
            nn.init.zeros_(self.linear.bias)
        self.of_features: nn.Linear | None = None
        if features is not None:
            self.register_buffer("features", features)
            self.of_features = nn.Linear(features.shape[1], dim, bias=False)
            nn.init.normal_(self.of_features.weight, std=_SCALE)

    def forward(self, batch: CrystalBatch) -> Tensor:
        return self._finish(element_rows(self._rows(), batch))

    def table(self) -> Tensor:
        """Return the vectors of the elements 1 to 100 as the network sees them, (100, dim)."""
        return self._finish(self._rows())

    def _rows(self) -> Tensor:
        rows = self.linear.weight.t()
        return rows if self.of_features is None else rows + self.of_features(self.features)

    def _finish(self, rows: Tensor) -> Tensor:
        rows = rows + self.linear.bias
        return F.layer_norm(rows, rows.shape[-1:]) if self.norm else rows
