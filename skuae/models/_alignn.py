"""Atomistic line graph neural network, Choudhary and DeCost, npj Comput. Mater. 7, 185 (2021)."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skuae._ranks import are_together
from skuae.crystals import CrystalBatch, Crystals, Links
from skuae.models._backbone import Backbone, CrystalModule, Inputs
from skuae.models._elements import Elements
from skuae.models._gated_conv import gated_conv
from skuae.models._interpolation import Tabulated, interpolate, is_exact, spread
from skuae.models._layers import CountedNormSiLU, GaussianBasis, mean_over_sites, pooled_layers

FARTHEST = 8.0  # Å, the last Gaussian of bond lengths


class ALIGNN(Backbone):
    """Specification of an ALIGNN back-end.

    Messages pass along bonds, and along the angles between bonds that share an atom. Bonds are the
    nodes of a second graph, the line graph.

    Parameters
    ----------
    hidden_dim : int, default=256
        Width of the vectors of atoms, bonds and angles.
    n_alignn : int, default=4
        Layers that update atoms, bonds and angles.
    n_gcn : int, default=4
        Further layers that update atoms and bonds.
    expansion_dim : int, default=64
        Width of the layer between the Gaussians of a length or angle and its vector.
    cutoff : float, default=8.0
        Radius in Å within which neighbours are searched; 8 at most, where the Gaussians end.
    max_neighbors : int, default=12
        Number of nearest neighbours. If A is a neighbour of B, B becomes a neighbour of A.
    whole_shell : bool, default=True
        Also take all neighbours at the distance of the last one, as published.

    Notes
    -----
    Equal sites, bonds and angles of a crystal are computed once and counted, also in the batch
    statistics; the result stays the same. An atom with fewer than `max_neighbors` neighbours within
    `cutoff` keeps those. The reference code widens the cutoff until it has enough, at distances
    beyond its Gaussians (up to 8 Å).
    """

    native_table = "cgcnn"  # features of atoms, not trained
    native_frozen = True
    default_lr = 3e-3
    has_bf16 = True
    reads = (
        "distances to the 12 nearest neighbours within 8 Å, whole shells, and angles between "
        "these bonds"
    )

    def __init__(
        self,
        hidden_dim: int = 256,
        n_alignn: int = 4,
        n_gcn: int = 4,
        expansion_dim: int = 64,
        *,
        cutoff: float = 8.0,
        max_neighbors: int = 12,
        whole_shell: bool = True,
    ) -> None:
        self.hidden_dim = hidden_dim
        self.n_alignn = n_alignn
        self.n_gcn = n_gcn
        self.expansion_dim = expansion_dim
        self.cutoff = cutoff
        self.max_neighbors = max_neighbors
        self.whole_shell = whole_shell

    def check(self) -> None:
        self._check_at_least(1, "hidden_dim", "expansion_dim", "max_neighbors")
        self._check_at_least(0, "n_alignn", "n_gcn")
        self._check_cutoff()
        if self.cutoff > FARTHEST:
            raise ValueError(
                f"cutoff must be at most {FARTHEST} Å: the Gaussians of bond lengths see no "
                f"farther; got {self.cutoff!r}"
            )

    def inputs(self, crystals: Crystals, *, merge: bool = True) -> Inputs:
        angles = self.n_alignn > 0
        return Inputs(
            crystals.reduced_graph(
                self.cutoff, self.max_neighbors, self.whole_shell, angles=angles, merge=merge
            )
        )

    def build(self, elements: Elements, n_outputs: int) -> CrystalModule:
        return ALIGNNModule(self, elements, n_outputs)


class ALIGNNModule(CrystalModule):
    """The network; shapes with N sites, E bonds, A angles, B crystals, d = hidden_dim."""

    grid: Tensor

    def __init__(self, spec: ALIGNN, elements: Elements, n_outputs: int) -> None:
        super().__init__()
        d = self.width = spec.hidden_dim
        self.elements = elements
        self.atoms = Layer(elements.n_dims, d)
        # The Gaussians' width is the root of their distance, as in the reference code.
        self.bond_basis = GaussianBasis(0.0, FARTHEST, 80, width=(FARTHEST / 79) ** 0.5)
        self.bonds = nn.ModuleList([Layer(80, spec.expansion_dim), Layer(spec.expansion_dim, d)])
        if spec.n_alignn:
            self.angle_basis = GaussianBasis(-1.0, 1.0, 40, width=(2 / 39) ** 0.5)
            # The Gaussians are 0.23 wide, 57 steps of this grid.
            self.register_buffer("grid", torch.linspace(-1, 1, 513), persistent=False)
            layers = Layer(40, spec.expansion_dim), Layer(spec.expansion_dim, d)
            self.angles = nn.ModuleList(layers)
        self.bond_convs = nn.ModuleList(GatedConv(d) for _ in range(spec.n_alignn + spec.n_gcn))
        self.angle_convs = nn.ModuleList(GatedConv(d) for _ in range(spec.n_alignn))
        self.head = nn.Linear(d, n_outputs)

    def site_vectors(self, batch: CrystalBatch) -> Tensor:
        *_, x = self.site_layers(batch)
        return x

    def layer_vectors(self, batch: CrystalBatch) -> dict[str, Tensor]:
        *inner, last = self.site_layers(batch)
        return {**pooled_layers(inner, batch), "embed": mean_over_sites(last, batch)}

    def site_layers(self, batch: CrystalBatch) -> Iterator[Tensor]:
        """Yield vectors of sites (N, d): those of the elements, then after each bond layer."""
        n_sites = batch.site_counts
        n_bonds = batch.edge_counts * n_sites[batch.centers]
        x = self.atoms(self.elements(batch), n_sites)
        yield x
        y = self.bond_basis(batch.distances)
        for layer in self.bonds:
            y = layer(y, n_bonds)
        y = y.to(self.edge_dtype or y.dtype)  # (E, d)
        if self.angle_convs:
            n_angles = batch.angle_counts * n_bonds[batch.edges]
            z = self.angle_vectors(batch.cosines, n_angles)
        n_convs, n_angle_convs = len(self.bond_convs), len(self.angle_convs)
        for i, conv in enumerate(self.bond_convs):
            # Bonds after the last convolution, and angles after their last, are read by nobody.
            x, y = conv(x, y, batch.bonds, n_sites, n_bonds if i + 1 < n_convs else None)
            yield x
            if i < n_angle_convs and y is not None:
                counts = n_angles if i + 1 < n_angle_convs else None
                y, z = self.angle_convs[i](y, z, batch.angles, n_bonds, counts)

    def angle_vectors(self, cosines: Tensor, counts: Tensor) -> "Tensor | Tabulated":
        """Return vectors (A, d) of angles that occur so many times.

        They are functions of one number. With many angles on a CPU, these are computed on a grid,
        where that is exact: a norm over few different cosines makes them too steep.
        """
        many = len(cosines) >= 4 * len(self.grid) and cosines.dtype != torch.float64
        many = many and not (self.training and are_together())  # all ranks have to take one way
        if many and cosines.is_cpu:
            positions = (cosines + 1) * ((len(self.grid) - 1) / 2)
            statistics = [buffer.clone() for buffer in self.angles.buffers()]
            shares = spread(counts, positions, len(self.grid))
            table = self._embed_angles(self.grid, shares)
            if is_exact(table):
                return Tabulated(table, positions)
            for buffer, before in zip(self.angles.buffers(), statistics, strict=True):
                buffer.copy_(before)
        return self._embed_angles(cosines, counts).to(self.edge_dtype or cosines.dtype)

    def _embed_angles(self, cosines: Tensor, counts: Tensor) -> Tensor:
        z = self.angle_basis(cosines)
        for layer in self.angles:
            z = layer(z, counts)
        return z

    @property
    def first_layer(self) -> nn.Module:
        return self.atoms.linear


class Layer(nn.Module):
    """Linear, batch norm, SiLU."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(n_in, n_out)
        self.norm = CountedNormSiLU(n_out)

    def forward(self, x: Tensor, counts: Tensor) -> Tensor:
        return self.norm(self.linear(x), counts)


class GatedConv(nn.Module):
    """Edge-gated graph convolution (Bresson and Laurent, arXiv:1711.07553).

    m_ij = A h_j + B h_i + C e_ij,  g_ij = sigmoid(m_ij)
    h_i' = h_i + SiLU(BN(D h_i + sum_j g_ij E h_j / sum_j g_ij)),  e_ij' = e_ij + SiLU(BN(m_ij))
    """

    def __init__(self, d: int) -> None:
        super().__init__()
        self.nodes = nn.Linear(d, 4 * d)  # A, B, D, E
        self.edges = nn.Linear(d, d)  # C
        self.node_norm = CountedNormSiLU(d)
        self.edge_norm = CountedNormSiLU(d)

    def forward(
        self,
        h: Tensor,
        e: Tensor | Tabulated,
        links: Links,
        n_nodes: Tensor,
        n_edges: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        """Return new vectors of nodes h (n, d) and edges e (m, d) that occur so many times.

        Without `n_edges`, there are no new edges: None.
        """
        weight, bias = (parameter.to(h.dtype) for parameter in self.nodes.parameters())
        of_nodes = F.linear(h, weight, bias).to(self.nodes.weight.dtype)
        neighbor, center, own, values = of_nodes.chunk(4, dim=1)
        product = None
        if isinstance(e, Tabulated):
            product = interpolate(F.linear(e.table, self.edges.weight), e.positions)
            e = interpolate(e.table, e.positions).to(h.dtype)
        mean, e_new = gated_conv(
            center + self.edges.bias, neighbor, values, e, self.edges.weight, self.edge_norm,
            links, n_edges, product,
        )  # fmt: skip
        return h + self.node_norm(own + mean, n_nodes).to(h.dtype), e_new
