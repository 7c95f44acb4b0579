"""The network of CHGNet."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skuae.crystals import CrystalBatch
from skuae.models import Elements
from skuae.potentials._basis import AngularBasis, RadialBasis
from skuae.potentials._contract import PotentialModule, SiteOutputs, element_layer
from skuae.potentials._geometry import Neighborhood, neighborhood


class Gate(nn.Module):
    """A gated perceptron over several inputs: silu(core) times sigmoid(gate).

    The first layer is linear in its inputs, so each input is multiplied where there are few rows of
    it, and the products are looked up and added.

    Parameters
    ----------
    n_inputs, dim : int
        Inputs, each with `dim` columns.
    hidden : bool
        Whether there is a hidden layer.
    norm : bool
        Whether core and gate are normalised.
    """

    def __init__(self, n_inputs: int, dim: int, *, hidden: bool, norm: bool) -> None:
        super().__init__()
        self.dim = dim
        self.first = nn.Linear(n_inputs * dim, 2 * dim)  # core beside gate
        self.core = nn.Linear(dim, dim) if hidden else None
        self.gate = nn.Linear(dim, dim) if hidden else None
        self.core_norm = nn.LayerNorm(dim) if norm else None
        self.gate_norm = nn.LayerNorm(dim) if norm else None

    def project(self, place: int, x: Tensor) -> Tensor:
        """Multiply an input (n, dim) with its part of the first layer: (n, 2 dim).

        The first input brings the bias.
        """
        weight = self.first.weight[:, place * self.dim : (place + 1) * self.dim]
        return F.linear(x, weight, self.first.bias if place == 0 else None)

    def combine(self, x: Tensor) -> Tensor:
        """Return the outputs (n, dim) for sums (n, 2 dim) of projected inputs."""
        core, gate = (x if self.core is None else F.silu(x)).split(self.dim, dim=1)
        if self.core is not None and self.gate is not None:
            core, gate = self.core(core), self.gate(gate)
        if self.core_norm is not None and self.gate_norm is not None:
            core, gate = self.core_norm(core), self.gate_norm(gate)
        return F.silu(core) * torch.sigmoid(gate)


class AtomUpdate(nn.Module):
    """Messages along all edges to their centers. Inputs: center, pair, neighbour."""

    def __init__(self, dim: int, *, norm: bool, bias: bool) -> None:
        super().__init__()
        self.message = Gate(3, dim, hidden=True, norm=norm)
        self.out = nn.Linear(dim, dim, bias=bias)

    def forward(self, x: Tensor, pairs: Tensor, weights: Tensor, near: Neighborhood) -> Tensor:
        """Return sites (N, dim) from sites, pairs (P, dim) and weights of edges (E, dim)."""
        project = self.message.project
        inputs = near.ends_and_pairs.take(project(0, x), project(2, x), project(1, pairs))
        messages = self.message.combine(inputs) * weights
        return x + self.out(near.centers.sum(messages))


class AngleGate(Gate):
    """A gated perceptron of angles. Inputs: own bond, other bond, angle, site."""

    def forward(self, x: Tensor, bonds: Tensor, angles: Tensor, near: Neighborhood) -> Tensor:
        """Return (2 T, dim): each angle as one bond sees it, then as the other one does.

        Angles are (2, T, dim), or (1, T, dim) while both bonds still see the same.
        """
        own = near.bond_pairs_and_centers.take(self.project(0, bonds), self.project(3, x))
        inputs = near.legs.take(own, near.bond_pairs.take(self.project(1, bonds)))
        # In place: fresh memory costs as much as the sums.
        inputs.view(2, -1, 2 * self.dim).add_(self.project(2, angles))
        return self.combine(inputs)


class BondUpdate(nn.Module):
    """Messages along all angles to their bonds."""

    def __init__(self, dim: int, *, norm: bool, bias: bool) -> None:
        super().__init__()
        self.message = AngleGate(4, dim, hidden=True, norm=norm)
        self.out = nn.Linear(dim, dim, bias=bias)

    def forward(
        self, x: Tensor, pairs: Tensor, angles: Tensor, weights: Tensor, leg_weights: Tensor,
        near: Neighborhood,
    ) -> Tensor:  # fmt: skip
        """Return pairs (P, dim).

        Weights are those of short pairs (n_short, dim), and of the other leg of angles (2 T, dim).
        """
        bonds, others = pairs[: near.n_short], pairs[near.n_short :]
        sums = near.own_legs.sum(self.message(x, bonds, angles, near) * leg_weights)
        bonds = bonds + self.out(near.bond_pairs.sum(sums) * weights)
        if self.out.bias is not None:
            others = others + self.out.bias
        return torch.cat([bonds, others])


class CHGNetModule(PotentialModule):
    """The network that `CHGNet` builds.

    Parameters
    ----------
    elements : Elements
        A layer brings its vectors to `dim` columns, unless they have so many.
    dim, n_blocks, n_radial, n_angular, n_readout, cutoff, bond_cutoff, exponent, norm, message_bias
        As of `CHGNet`.
    """

    def __init__(
        self, elements: Elements, dim: int, n_blocks: int, n_radial: int, n_angular: int,
        n_readout: int, *, cutoff: float, bond_cutoff: float, exponent: int, norm: bool,
        message_bias: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.bond_cutoff = bond_cutoff
        self.elements = elements
        self.embedding = element_layer(elements, dim)
        self.radial = RadialBasis(n_radial, cutoff, exponent)
        self.bond_radial = RadialBasis(n_radial, bond_cutoff, exponent)
        self.angular = AngularBasis(n_angular)
        self.pair_embedding = nn.Linear(n_radial, dim, bias=False)
        self.edge_weights = nn.Linear(n_radial, dim, bias=False)
        self.bond_weights = nn.Linear(n_radial, dim, bias=False)
        self.angle_embedding = nn.Linear(n_angular, dim, bias=False)
        between = range(n_blocks - 1)
        self.atom_updates = nn.ModuleList(
            AtomUpdate(dim, norm=norm, bias=message_bias) for _ in range(n_blocks)
        )
        self.bond_updates = nn.ModuleList(
            BondUpdate(dim, norm=norm, bias=message_bias) for _ in between
        )
        self.angle_updates = nn.ModuleList(
            AngleGate(4, dim, hidden=False, norm=norm) for _ in between
        )
        self.magmom = nn.Linear(dim, 1)
        self.readout_norm = nn.LayerNorm(dim) if norm else nn.Identity()
        layers: list[nn.Module] = []
        for _ in range(n_readout):
            layers += [nn.Linear(dim, dim), nn.SiLU()]
        self.readout = nn.Sequential(*layers, nn.Linear(dim, 1))

    def forward(self, batch: CrystalBatch, vectors: Tensor) -> SiteOutputs:
        near = neighborhood(batch, vectors, self.bond_cutoff)
        x = self.embedding(self.elements(batch))
        basis = self.radial(near.distances)
        pairs = self.pair_embedding(basis)
        edge_weights = near.pairs.take(self.edge_weights(basis))
        bond_weights = self.bond_weights(self.bond_radial(near.distances[: near.n_short]))
        leg_weights = near.other_legs.take(near.bond_pairs.take(bond_weights))
        angles = self.angle_embedding(self.angular(near.cosines()))[None]
        last = len(self.bond_updates) - 1
        for i, (atoms, bonds) in enumerate(zip(self.atom_updates, self.bond_updates, strict=False)):
            x = atoms(x, pairs, edge_weights, near)
            pairs = bonds(x, pairs, angles, bond_weights, leg_weights, near)
            if i < last:  # nothing reads the angles after
                new = self.angle_updates[i](x, pairs[: near.n_short], angles, near)
                angles = new.view(2, -1, new.shape[1]) + angles
        magmoms = self.magmom(x).abs()[:, 0]
        x = self.readout_norm(self.atom_updates[-1](x, pairs, edge_weights, near))
        return SiteOutputs(self.readout(x)[:, 0], magmoms, x)
