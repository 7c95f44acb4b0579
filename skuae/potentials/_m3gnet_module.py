"""The network of M3GNet."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skuae.crystals import CrystalBatch
from skuae.models import Elements
from skuae.potentials._basis import envelope
from skuae.potentials._bessel import LegendreSums, SmoothBessel, SphericalBessel
from skuae.potentials._chgnet_module import Gate
from skuae.potentials._contract import PotentialModule, SiteOutputs, element_layer
from skuae.potentials._geometry import Neighborhood, neighborhood


class DeepGate(Gate):
    """A gated perceptron of edges with several layers. Inputs: center, neighbour, edge.

    Parameters
    ----------
    dim : int
    n_layers : int
        At least 1.
    """

    def __init__(self, dim: int, n_layers: int) -> None:
        super().__init__(3, dim, hidden=n_layers > 1, norm=False)
        self.core_between, self.gate_between = (
            nn.ModuleList(nn.Linear(dim, dim) for _ in range(n_layers - 2)) for _ in range(2)
        )

    def forward(self, x: Tensor, edges: Tensor, near: Neighborhood) -> Tensor:
        """Return messages (E, dim) from sites (N, dim) and edges (E, dim)."""
        inputs = near.ends.take(self.project(0, x), self.project(1, x)) + self.project(2, edges)
        for to_core, to_gate in zip(self.core_between, self.gate_between, strict=True):
            core, gate = F.silu(inputs).split(self.dim, dim=1)
            inputs = torch.cat([to_core(core), to_gate(gate)], dim=1)
        return self.combine(inputs)


class ThreeBody(nn.Module):
    """What angles tell a bond: a sum over the other bonds of its center.

    Parameters
    ----------
    dim : int
    n_functions : int
        Of a distance and an angle.
    """

    def __init__(self, dim: int, n_functions: int) -> None:
        super().__init__()
        self.site = nn.Linear(dim, n_functions)
        self.bond = nn.Linear(n_functions, 2 * dim, bias=False)  # core beside gate

    def forward(
        self, x: Tensor, radial: Tensor, ends: Tensor, sums: LegendreSums,
        monomials: list[tuple[Tensor, Tensor]], near: Neighborhood,
    ) -> Tensor:  # fmt: skip
        """Return what bonds gain (S, dim).

        Parameters
        ----------
        x : Tensor of shape (N, dim)
            Sites.
        radial : Tensor of shape (S, n_functions)
            Functions of the lengths of bonds, with the envelope.
        ends : Tensor of shape (S, 1)
            The envelope.
        sums : LegendreSums
        monomials : list of tuple of Tensor
        near : Neighborhood
        """
        gates = near.bonds.take(near.neighbors.take(torch.sigmoid(self.site(x))))
        found = sums(radial * gates, monomials, near.bond_centers) * ends
        core, gate = self.bond(found).chunk(2, dim=1)
        return F.silu(core) * torch.sigmoid(gate)


class EdgeUpdate(nn.Module):
    """Updates of edges and then of sites, weighted by functions of distances.

    Parameters
    ----------
    dim, n_radial, n_layers : int
    activated : bool
        Whether the weights of messages to sites pass through silu.
    """

    def __init__(self, dim: int, n_radial: int, n_layers: int, *, activated: bool) -> None:
        super().__init__()
        self.activated = activated
        self.edge_gate = DeepGate(dim, n_layers)
        self.edge_weights = nn.Linear(n_radial, dim, bias=False)
        self.site_gate = DeepGate(dim, n_layers)
        self.site_weights = nn.Linear(n_radial, dim, bias=False)

    def forward(
        self, x: Tensor, edges: Tensor, basis: Tensor, near: Neighborhood
    ) -> tuple[Tensor, Tensor]:
        """Return sites (N, dim) and edges (E, dim) from these and functions of pairs."""
        weights = near.pairs.take(self.edge_weights(basis))
        edges = edges + self.edge_gate(x, edges, near) * weights
        weights = self.site_weights(basis)
        weights = near.pairs.take(F.silu(weights) if self.activated else weights)
        return x + near.centers.sum(self.site_gate(x, edges, near) * weights), edges


class GatedReadout(nn.Module):
    """Energies of sites: a perceptron times a gate.

    Parameters
    ----------
    dim : int
    n_hidden : int
        Hidden layers.
    """

    def __init__(self, dim: int, n_hidden: int) -> None:
        super().__init__()
        self.core, self.gate = (_perceptron(dim, n_hidden) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, 1) from sites (N, dim)."""
        return self.core(x) * torch.sigmoid(self.gate(x))


def _perceptron(dim: int, n_hidden: int) -> nn.Sequential:
    hidden = [nn.Sequential(nn.Linear(dim, dim), nn.SiLU()) for _ in range(n_hidden)]
    return nn.Sequential(*hidden, nn.Linear(dim, 1))


class M3GNetModule(PotentialModule):
    """The network that `M3GNet` builds.

    Parameters
    ----------
    elements : Elements
        A layer brings its vectors to `dim` columns, unless they have so many.
    dim, n_blocks, max_n, max_l, n_layers, n_readout, cutoff, bond_cutoff, smooth, edge_bias
        As of `M3GNet`.
    activated_weights
        As of `M3GNet`.
    """

    def __init__(
        self, elements: Elements, dim: int, n_blocks: int, max_n: int, max_l: int, n_layers: int,
        n_readout: int, *, cutoff: float, bond_cutoff: float, smooth: bool, edge_bias: bool,
        activated_weights: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.bond_cutoff = bond_cutoff
        self.elements = elements
        self.embedding = element_layer(elements, dim)
        self.bessel = SphericalBessel(max_l, max_n, cutoff)
        self.radial = SmoothBessel(max_n, cutoff) if smooth else self.bessel
        self.sums = LegendreSums(max_l)
        width = self.radial.width
        self.edge_embedding = nn.Linear(width, dim, bias=edge_bias)
        self.three_body = nn.ModuleList(ThreeBody(dim, self.bessel.width) for _ in range(n_blocks))
        self.updates = nn.ModuleList(
            EdgeUpdate(dim, width, n_layers, activated=activated_weights) for _ in range(n_blocks)
        )
        self.readout = GatedReadout(dim, n_readout)

    def forward(self, batch: CrystalBatch, vectors: Tensor) -> SiteOutputs:
        near = neighborhood(batch, vectors, self.bond_cutoff)
        x = self.embedding(self.elements(batch))
        basis = self.radial(near.distances)
        edges = near.pairs.take(F.silu(self.edge_embedding(basis)))
        short = near.distances[: near.n_short]
        ends = near.bond_pairs.take(envelope(short / self.bond_cutoff, 3)[:, None])
        radial = near.bond_pairs.take(self.bessel(short)) * ends
        monomials = self.sums.monomials(near.directions)
        for three_body, update in zip(self.three_body, self.updates, strict=True):
            gains = three_body(x, radial, ends, self.sums, monomials, near)
            x, edges = update(x, edges + near.bonds.sum(gains), basis, near)
        return SiteOutputs(self.readout(x)[:, 0], None, x)
