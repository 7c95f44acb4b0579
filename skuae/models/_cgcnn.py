"""Crystal graph convolutional neural network, Xie and Grossman, PRL 120, 145301 (2018)."""

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skuae.crystals import CrystalBatch, Crystals, Links
from skuae.models._backbone import Backbone, CrystalModule, Inputs
from skuae.models._edges import gated_sum, linear_at_edges
from skuae.models._elements import Elements
from skuae.models._layers import (
    CountedNorm,
    GaussianBasis,
    TrackedNorm,
    mean_over_sites,
    pooled_layers,
)


class CGCNN(Backbone):
    """Specification of a CGCNN back-end.

    Parameters
    ----------
    atom_dim : int, default=64
        Width of the site vectors.
    n_conv : int, default=3
        Graph convolutions.
    hidden_dim : int, default=128
        Width of the layers after pooling.
    n_hidden : int, default=1
        Number of layers after pooling. With 0, the head reads the mean over sites.
    cutoff : float, default=8.0
        Radius in Å within which neighbours are searched.
    max_neighbors : int, default=12
        Nearest neighbours that are kept.
    whole_shell : bool, default=False
        Keep the whole shell of the last neighbour. The published graph cuts it at twelve
        neighbours; which of the equally distant ones stay then depends on their elements and on the
        last digit of the coordinates.

    Notes
    -----
    Equal sites and edges of a crystal are computed once and counted, also in the batch statistics;
    the result stays the same. Missing neighbours (fewer than `max_neighbors` within `cutoff`) are
    masked, also in the batch statistics. In the reference code they point to atom 0 of the batch.
    """

    native_table = "cgcnn"  # features of atoms, not trained
    native_frozen = True
    default_lr = 5e-3
    reads = "distances to the 12 nearest neighbours within 8 Å"

    def __init__(
        self,
        atom_dim: int = 64,
        n_conv: int = 3,
        hidden_dim: int = 128,
        n_hidden: int = 1,
        *,
        cutoff: float = 8.0,
        max_neighbors: int = 12,
        whole_shell: bool = False,
    ) -> None:
        self.atom_dim = atom_dim
        self.n_conv = n_conv
        self.hidden_dim = hidden_dim
        self.n_hidden = n_hidden
        self.cutoff = cutoff
        self.max_neighbors = max_neighbors
        self.whole_shell = whole_shell

    def check(self) -> None:
        self._check_at_least(1, "atom_dim", "n_conv", "hidden_dim", "max_neighbors")
        self._check_at_least(0, "n_hidden")
        self._check_cutoff()

    def inputs(self, crystals: Crystals, *, merge: bool = True) -> Inputs:
        find = crystals.merged_graph if merge else crystals.graph
        return Inputs(find(self.cutoff, self.max_neighbors, self.whole_shell))

    def build(self, elements: Elements, n_outputs: int) -> CrystalModule:
        return CGCNNModule(self, elements, n_outputs)


class CGCNNModule(CrystalModule):
    """The network; shapes with N sites, E edges, B crystals, d = atom_dim."""

    def __init__(self, spec: CGCNN, elements: Elements, n_outputs: int) -> None:
        super().__init__()
        d = spec.atom_dim
        self.elements = elements
        self.project = nn.Linear(elements.n_dims, d)
        self.basis = GaussianBasis(0.0, spec.cutoff, round(spec.cutoff / 0.2) + 1, width=0.2)
        self.convs = nn.ModuleList(CGConv(d, len(self.basis)) for _ in range(spec.n_conv))
        widths = [d] + [spec.hidden_dim] * spec.n_hidden
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))
        self.width = widths[-1]
        self.head = nn.Linear(self.width, n_outputs)

    @property
    def first_layer(self) -> nn.Module:
        return self.project

    def site_vectors(self, batch: CrystalBatch) -> Tensor:
        *_, v = self.site_layers(batch)
        return v

    def embed(self, batch: CrystalBatch) -> Tensor:
        return self.read_out(self.site_vectors(batch), batch)

    def layer_vectors(self, batch: CrystalBatch) -> dict[str, Tensor]:
        vectors = list(self.site_layers(batch))
        return {**pooled_layers(vectors, batch), "embed": self.read_out(vectors[-1], batch)}

    def site_layers(self, batch: CrystalBatch) -> Iterator[Tensor]:
        """Yield vectors of sites (N, d): those of the elements, then after each convolution."""
        v = self.project(self.elements(batch))
        yield v
        # Twelve neighbours are rarely as far as the cutoff: centers beyond them would only add 0.
        u = self.basis(batch.distances, self.basis.n_reached(batch.distances))  # (E, m), m <= 41
        n_sites, n_bonds = batch.site_counts, None
        if n_sites is not None:
            n_bonds = batch.edge_counts * n_sites.index_select(0, batch.centers)
        for conv in self.convs:
            v = conv(v, u, batch.bonds, n_sites, n_bonds)
            yield v

    def read_out(self, v: Tensor, batch: CrystalBatch) -> Tensor:
        """Return vectors of crystals (B, width) for those of sites (N, d)."""
        h = mean_over_sites(v, batch)  # (B, d)
        if self.hidden:
            h = F.softplus(h)
        for layer in self.hidden:
            h = F.softplus(layer(h))
        return h


class CGConv(nn.Module):
    """v_i' = softplus(v_i + BN(sum_j sigmoid(s_f) softplus(s_c))), s = BN(W [v_i, v_j, u_ij] + b).

    W acts on v_i, v_j and u_ij apart, so the products with v_i and v_j are taken once per site and
    not once per edge.
    """

    def __init__(self, d: int, n_basis: int) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * d + n_basis, 2 * d)
        self.edge_norm = TrackedNorm(2 * d)
        self.site_norm = CountedNorm(d)

    def forward(
        self,
        v: Tensor,
        u: Tensor,
        bonds: Links,
        n_sites: Tensor | None = None,
        n_bonds: Tensor | None = None,
    ) -> Tensor:
        """Return new vectors of sites v (N, d) that, like bonds, occur so many times.

        u (E, m) are the Gaussians of the bonds. Counts are None where all occur once.
        """
        d = v.shape[1]
        w_center, w_neighbor, w_edge = self.linear.weight.tensor_split([d, 2 * d], dim=1)
        ends = F.linear(v, torch.cat([w_center, w_neighbor]))  # (N, 4d)
        center, neighbor = ends.split(2 * d, dim=1)
        center = center + self.linear.bias
        s = linear_at_edges(center, neighbor, u, w_edge[:, : u.shape[1]], bonds)  # (E, 2d)
        message = gated_sum(s, self.edge_norm, bonds, n_bonds)  # (N, d)
        return F.softplus(v + self.site_norm(message, n_sites))
