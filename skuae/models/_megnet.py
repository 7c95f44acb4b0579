"""MatErials Graph Network, Chen, Ye, Zuo, Zheng and Ong, Chem. Mater. 31, 3564 (2019)."""

import itertools
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skuae.crystals import CrystalBatch, Crystals, Links
from skuae.models._backbone import Backbone, CrystalModule, Inputs
from skuae.models._edges import counted_sum
from skuae.models._elements import Elements
from skuae.models._interpolation import interpolate, is_exact
from skuae.models._layers import GaussianBasis, mean_over_sites, widened
from skuae.models._megnet_layers import activate, attend, update_bonds

_STEP = 0.01  # Å, between the lengths for which vectors of bonds are computed


class MEGNet(Backbone):
    """Specification of a MEGNet back-end.

    Atoms, bonds and the crystal as a whole have vectors; a block updates the bonds from all three,
    the atoms from their bonds, and the crystal from the means of both.

    Parameters
    ----------
    n_blocks : int, default=3
    hidden_dim : int, default=64
        Width of the layers inside a block and before it.
    block_dim : int, default=32
        Width of the vectors between blocks.
    set2set_steps : int, default=2
        Passes of the read-out over the atoms, and over the bonds.
    cutoff : float, default=4.0
        Radius in Å within which all neighbours count.
    max_neighbors : int or None, default=None
        Take the nearest only, and those that are as far as the last of them.

    Notes
    -----
    The widths are those of matgl; the first implementation had 16 instead of 32 columns, and three
    steps, in the read-out. The Gaussians are those of the first, ``exp(-(d - c)**2 / 0.5**2)``;
    matgl has ``exp(-0.5 * (d - c)**2)``. The vector of the crystal starts from two zeros. Without
    ``embedding=``, elements have 16 numbers each, drawn at random and trained with all else. Equal
    sites and bonds of a crystal are computed once and counted. The first vector of a bond depends
    on its length alone; it is interpolated between lengths 0.01 Å apart, as accurately as single
    precision allows. An atom without neighbours, an error in the reference code, has 0 for the mean
    of its bonds.
    """

    native_table = "random16"  # where its own element vectors start from
    native_frozen = False
    default_lr = 5e-3
    reads = "distances to all neighbours within 4 Å, and the crystal as a whole"
    has_bf16 = True
    clip_norm = 0.2  # longer steps can end in layers that are dead

    def __init__(
        self,
        n_blocks: int = 3,
        hidden_dim: int = 64,
        block_dim: int = 32,
        set2set_steps: int = 2,
        *,
        cutoff: float = 4.0,
        max_neighbors: int | None = None,
    ) -> None:
        self.n_blocks = n_blocks
        self.hidden_dim = hidden_dim
        self.block_dim = block_dim
        self.set2set_steps = set2set_steps
        self.cutoff = cutoff
        self.max_neighbors = max_neighbors

    def check(self) -> None:
        self._check_at_least(1, "n_blocks", "hidden_dim", "block_dim")
        self._check_at_least(1, "set2set_steps", most=100)
        if self.max_neighbors is not None:
            self._check_at_least(1, "max_neighbors")
        self._check_cutoff()

    def inputs(self, crystals: Crystals, *, merge: bool = True) -> Inputs:
        return Inputs(crystals.reduced_graph(self.cutoff, self.max_neighbors, merge=merge))

    def build(self, elements: Elements, n_outputs: int) -> CrystalModule:
        return MEGNetModule(self, elements, n_outputs)


class MEGNetModule(CrystalModule):
    """The network; shapes with N sites, E bonds, B crystals, d = block_dim."""

    def __init__(self, spec: MEGNet, elements: Elements, n_outputs: int) -> None:
        super().__init__()
        hidden, d = spec.hidden_dim, spec.block_dim
        self.elements = elements
        self.basis = GaussianBasis(0.0, spec.cutoff + 1, 100, width=0.5)
        self.n_steps = math.ceil(spec.cutoff / _STEP) + 3
        self.atoms = MLP(elements.n_dims, hidden, d)
        self.bonds = MLP(len(self.basis), hidden, d)
        self.state = MLP(2, hidden, d)
        self.blocks = nn.ModuleList(Block(d, hidden, i > 0) for i in range(spec.n_blocks))
        self.read_atoms = Set2Set(d, spec.set2set_steps)
        self.read_bonds = Set2Set(d, spec.set2set_steps)
        self.width = 16
        self.hidden = MLP(5 * d, 32, self.width)
        self.head = nn.Linear(self.width, n_outputs)

    def site_vectors(self, batch: CrystalBatch) -> Tensor:
        return self.last_state(batch)[0]

    def embed(self, batch: CrystalBatch) -> Tensor:
        return self.read_out(*self.last_state(batch), batch)

    def layer_vectors(self, batch: CrystalBatch) -> dict[str, Tensor]:
        """Return the mean over the sites and the vector of the crystal after each block."""
        pooled = {}
        for i, last in enumerate(self.states(batch)):
            v, _, u = last
            pooled[f"layer{i}"] = torch.cat([mean_over_sites(v, batch), u], dim=1)  # (B, 2d)
        return {**pooled, "embed": self.read_out(*last, batch)}

    def last_state(self, batch: CrystalBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Return vectors of sites (N, d), bonds (E, d) and crystals (B, d) after all blocks."""
        for state in self.states(batch):
            last = state  # one at a time: the vectors of bonds take much memory
        return last

    def states(self, batch: CrystalBatch) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield vectors of sites (N, d), bonds (E, d) and crystals (B, d), first and after each."""
        v = self.atoms(self.elements(batch))
        e = self.bond_vectors(batch.distances)
        e = e.to(self.edge_dtype or e.dtype)
        u = self.state(v.new_zeros(len(batch), 2))
        yield v, e, u
        degrees = counted_sum(torch.ones_like(batch.distances)[:, None], batch.bonds)  # (N, 1)
        for block in self.blocks:
            v, e, u = block(v, e, u, batch, degrees)
            yield v, e, u

    def read_out(self, v: Tensor, e: Tensor, u: Tensor, batch: CrystalBatch) -> Tensor:
        """Return vectors of crystals (B, 16) for those after the last block."""
        crystal = batch.crystal[batch.centers]
        n_bonds = batch.edge_counts * batch.site_counts[batch.centers]
        atoms = self.read_atoms(v, batch.crystal, batch.site_counts, len(batch))  # (B, 2d)
        bonds = self.read_bonds(widened(e), crystal, n_bonds, len(batch))  # (B, 2d)
        return self.hidden(torch.cat([atoms, bonds, u], dim=1))

    def bond_vectors(self, distances: Tensor) -> Tensor:
        """Return the vectors (E, d) of bonds with these lengths (E,) before the first block.

        They are functions of one number. With many bonds on a CPU, these are computed on a grid,
        where interpolation in it is as exact as single precision.
        """
        many = len(distances) > 2 * self.n_steps and distances.dtype != torch.float64
        if many and distances.is_cpu:
            steps = torch.arange(self.n_steps, dtype=distances.dtype)
            table = self.bonds(self.basis(steps * _STEP))
            if is_exact(table):
                return interpolate(table, distances / _STEP)
        return self.bonds(self.basis(distances))

    @property
    def first_layer(self) -> nn.Module:
        return self.atoms[0]


class MLP(nn.ModuleList):
    """Linear layers, each followed by softplus(x) - ln 2."""

    def __init__(self, *widths: int) -> None:
        super().__init__(nn.Linear(a, b) for a, b in itertools.pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self:
            x = activate(layer(x))
        return x


class Block(nn.Module):
    """e' = e + phi_e[v_i, v_j, e, u],  v' = v + phi_v[mean e', v, u],  u' = u + phi_u[means].

    All but the first block have layers of their own before these.
    """

    def __init__(self, d: int, hidden: int, dense: bool) -> None:
        super().__init__()
        self.dense = nn.ModuleList(MLP(d, hidden, d) for _ in range(3)) if dense else None
        self.phi_e = MLP(4 * d, hidden, hidden, d)
        self.phi_v = MLP(3 * d, hidden, hidden, d)
        self.phi_u = MLP(3 * d, hidden, hidden, d)

    def forward(
        self, v0: Tensor, e0: Tensor, u0: Tensor, batch: CrystalBatch, degrees: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        v, u = v0, u0
        of_dense: list[Tensor] = []
        if self.dense is not None:
            v, u = self.dense[0](v), self.dense[2](u)
            of_dense = list(self.dense[1].parameters())  # weight, bias, weight, bias
        weight, bias, *others = self.phi_e.parameters()
        w_center, w_neighbor, w_bond, w_state = weight.chunk(4, dim=1)
        center = v @ w_center.t() + F.linear(u, w_state, bias).index_select(0, batch.crystal)
        weights = [*of_dense[::2], w_bond, *others[::2]]
        biases = [*of_dense[1::2], *others[1::2]]
        e, around = update_bonds(e0, center, v @ w_neighbor.t(), weights, biases, batch.bonds)

        around = around / degrees.clamp(min=1)
        v = self.phi_v(torch.cat([around, v, u.index_select(0, batch.crystal)], dim=1))  # (N, d)

        # The mean over the bonds of a crystal, from the means over those of its sites.
        n_bonds = degrees[:, 0] * batch.site_counts
        e_mean = mean_over_crystals(around, batch.crystal, n_bonds, len(u))
        u = self.phi_u(torch.cat([e_mean, mean_over_sites(v, batch), u], dim=1))  # (B, d)
        return v0 + v, e, u0 + u


class Set2Set(nn.Module):
    """Attention to the members of a set, steered by an LSTM (Vinyals et al., ICLR 2016)."""

    def __init__(self, d: int, steps: int) -> None:
        super().__init__()
        self.lstm = nn.LSTMCell(2 * d, d)
        self.steps = steps

    def forward(self, x: Tensor, crystal: Tensor, counts: Tensor, n_crystals: int) -> Tensor:
        """Read sets of vectors x (n, d), each there counts (n,) times: (B, 2d)."""
        d = x.shape[1]
        members = Links(crystal, crystal, n_crystals)
        read = x.new_zeros(n_crystals, 2 * d)
        state = x.new_zeros(n_crystals, d), x.new_zeros(n_crystals, d)
        for _ in range(self.steps):
            state = self.lstm(read, state)
            query = state[0]
            read = torch.cat([query, attend(x, query, members, counts)], dim=1)
        return read


def mean_over_crystals(x: Tensor, crystal: Tensor, weights: Tensor, n_crystals: int) -> Tensor:
    """Average rows of x (n, d) over the crystals they belong to: (B, d); 0 for no rows."""
    total = x.new_zeros(n_crystals, x.shape[1]).index_add(0, crystal, x * weights[:, None])
    weight = weights.new_zeros(n_crystals).index_add(0, crystal, weights)
    return total / torch.where(weight > 0, weight, 1)[:, None]
