"""Symmetry-enhanced equivariance network, Liang et al., Nat. Commun. 14, 5198 (2023)."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skuae.crystals import CrystalBatch, Crystals, Links
from skuae.models._backbone import Backbone, CrystalModule, Inputs
from skuae.models._edges import counted_sum, linear_at_edges
from skuae.models._elements import Elements
from skuae.models._layers import GaussianBasis

POSES = ("affine", "tensor")
_ALPHA = 0.6  # share of what a block finds that is added
_N_GAUSSIANS = 32
_N_FEATURES = 16  # of a capsule
_NOISE = 2.0  # on the logits of presence, in training
_QUERY_SCALE = 0.3  # so that capsules attend to one another, and not each to itself alone
_N_NUMBERS = 120  # atomic numbers, and that of an occluded atom
_LEAST = 1e-30  # what may be divided by, or have its logarithm taken


class SEN(Backbone):
    """Specification of a SEN back-end: environments of atoms, gathered in capsules.

    Gated blocks compute a vector for every site, its environment. Learned queries attend over the
    environments of a crystal and fill a few capsules. A capsule has a pose, features and a
    presence, and contributes one number to the prediction, beside a vector of the crystal.

    Parameters
    ----------
    site_dim : int, default=192
        Width of the environments.
    bond_dim : int, default=64
        Width of the vectors of bonds. The paper has 192, which takes three times as long.
    n_blocks : int, default=3
        Blocks that update bonds and sites.
    n_capsules : int, default=16
    capsule_dim : int, default=128
        Width of a capsule before it is split into its parts.
    crystal_dim : int, default=256
        Width of the vector of the crystal.
    hidden_dim : int, default=64
        Width of the layer before the outputs.
    pose : {"affine", "tensor"}, default="affine"
        What the pose of a capsule is.

        - ``"affine"``: six numbers that are written as a 2-D affine map, as in the paper. They are
          invariant; no coordinate is ever mapped.
        - ``"tensor"``: a symmetric 3 x 3 tensor, the mean of ``r r^T`` over unit vectors r along
          bonds, with learned weights. It turns with the crystal. The prediction reads the traces of
          the tensors and of their products, which do not. It takes longer, since equal bonds in
          different directions cannot be merged.
    cutoff : float, default=5.0
        Radius in Å within which all neighbours count.

    Notes
    -----
    This network is written anew from the paper's intent. The released code predicts differently
    for a crystal alone and in a batch, draws random numbers at prediction, and probably leaves its
    convolutions untrained. The differences:

    - Nothing is random at prediction, and crystals do not attend to one another. Noise on the
      presence, uniform between -2 and 2, is drawn in training only.
    - Vectors are not reshaped to images. Queries that attend over the environments replace the
      convolutions that made capsules, and linear layers those inside the blocks.
    - Sites are pooled by means and softmax averages, so that a supercell changes nothing. The
      original pools by Set2Set and an LSTM.
    - The weights of sites in the vector of the crystal are a softmax over its sites. As in Roost,
      a learned power of the share of the site's element enters, so that composition counts; on
      shared sites, the share is averaged by occupancy. There are no messages between elements
      besides those along bonds.
    - Blocks have no vector of the crystal. Sites enter a block through a layer of `bond_dim`
      columns. Sites have gates of their own; a bond is its own gate (hard swish).
    - Distances are expanded in 32 Gaussians of the published width, 0.5 Å, over the published
      range. The 100 Gaussians of the original overlap so much that these span the same functions,
      to 1e-5.
    - Elements have vectors of width 128, as in the paper (the code has 80), or those of any table.

    Equal sites and bonds of a crystal are computed once and counted with ``pose="affine"``.

    References
    ----------
    C. Liang et al., "Material symmetry recognition and property prediction accomplished by crystal
    capsule representation", Nat. Commun. 14, 5198 (2023), doi:10.1038/s41467-023-40756-2.
    R. E. A. Goodall and A. A. Lee, Nat. Commun. 11, 6280 (2020): Roost.
    """

    native_table = "random"  # where its own element vectors start from
    native_frozen = False
    default_lr = 1e-3
    reads = "distances to all neighbours within 5 Å, and the composition"
    clip_norm = 5.0

    def __init__(
        self,
        site_dim: int = 192,
        bond_dim: int = 64,
        n_blocks: int = 3,
        n_capsules: int = 16,
        capsule_dim: int = 128,
        crystal_dim: int = 256,
        hidden_dim: int = 64,
        pose: str = "affine",
        *,
        cutoff: float = 5.0,
    ) -> None:
        self.site_dim = site_dim
        self.bond_dim = bond_dim
        self.n_blocks = n_blocks
        self.n_capsules = n_capsules
        self.capsule_dim = capsule_dim
        self.crystal_dim = crystal_dim
        self.hidden_dim = hidden_dim
        self.pose = pose
        self.cutoff = cutoff

    def check(self) -> None:
        self._check_at_least(1, "site_dim", "bond_dim", "n_blocks", "n_capsules", "capsule_dim")
        self._check_at_least(1, "crystal_dim", "hidden_dim")
        self._check_cutoff()
        if self.pose not in POSES:
            raise ValueError(f"pose must be one of {', '.join(POSES)}; got {self.pose!r}")

    def inputs(self, crystals: Crystals, *, merge: bool = True) -> Inputs:
        if self.pose == "tensor":  # equal bonds point in different directions
            return Inputs(crystals.graph(self.cutoff), coords="given")
        return Inputs(crystals.reduced_graph(self.cutoff, merge=merge))

    def build(self, elements: Elements, n_outputs: int) -> CrystalModule:
        return SENModule(self, elements, n_outputs)


class Parts(NamedTuple):
    """The parts of K capsules in B crystals.

    Attributes
    ----------
    pose : Tensor of shape (B, K, 2, 3) or (B, K, 3, 3)
        Affine maps, or symmetric tensors.
    features : Tensor of shape (B, K, 16)
    presence : Tensor of shape (B, K)
        They add up to 1 over the capsules of a crystal.
    """

    pose: Tensor
    features: Tensor
    presence: Tensor


class SENModule(CrystalModule):
    """The network; shapes with N sites, E bonds, B crystals, K capsules, d = site_dim."""

    def __init__(self, spec: SEN, elements: Elements, n_outputs: int) -> None:
        super().__init__()
        d, n_capsules = spec.site_dim, spec.n_capsules
        tensor = spec.pose == "tensor"
        self.elements = elements
        self.atoms = nn.Linear(elements.n_dims, d)
        self.basis = GaussianBasis(0.0, spec.cutoff + 1, _N_GAUSSIANS, width=0.5)
        self.bonds = nn.Linear(_N_GAUSSIANS, spec.bond_dim)
        self.blocks = nn.ModuleList(Block(d, spec.bond_dim) for _ in range(spec.n_blocks))
        self.stoichiometry = Stoichiometry(d)
        self.crystal = nn.Linear(2 * d, spec.crystal_dim)
        self.capsules = Capsules(d, n_capsules, spec.capsule_dim)
        self.tensors = Tensors(spec.bond_dim, n_capsules, spec.cutoff) if tensor else None
        self.n_pose = 0 if tensor else 6
        self.parts = nn.Linear(spec.capsule_dim, self.n_pose + _N_FEATURES + 1)
        n_read = _N_FEATURES + (1 + n_capsules if tensor else 6)
        self.number = nn.Linear(n_read, 1)
        self.hidden = nn.Linear(2 * n_capsules + spec.crystal_dim, spec.hidden_dim)
        self.width = spec.hidden_dim
        self.head = nn.Linear(self.width, n_outputs)

    @property
    def first_layer(self) -> nn.Module:
        return self.atoms

    def site_vectors(self, batch: CrystalBatch) -> Tensor:
        """Return the environments of the sites, (N, d)."""
        return self._perceive(batch)[1]

    def capsule_parts(self, batch: CrystalBatch) -> Parts:
        """Return pose, features and presence of the capsules.

        Parameters
        ----------
        batch : CrystalBatch

        Returns
        -------
        Parts
        """
        _, v, e = self._perceive(batch)
        return self._take_apart(v, e, batch)

    def embed(self, batch: CrystalBatch) -> Tensor:
        z, v, e = self._perceive(batch)
        shares = self.stoichiometry(z, batch)[:, None]  # (N, 1)
        pooled = z.new_zeros(len(batch), 2 * z.shape[1])
        pooled = pooled.index_add(0, batch.crystal, shares * torch.cat([z, v], dim=1))
        x = F.silu(self.crystal(pooled))  # (B, crystal_dim)
        parts = self._take_apart(v, e, batch)
        pose = parts.pose.flatten(2) if self.tensors is None else invariants(parts.pose)
        c = self.number(torch.cat([pose, parts.features], dim=2))[:, :, 0]  # (B, K)
        return F.silu(self.hidden(torch.cat([c, c * parts.presence, x], dim=1)))

    def _perceive(self, batch: CrystalBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Return sites (N, d) before and after the blocks, and bonds (E, bond_dim) after them."""
        z = v = F.silu(self.atoms(self.elements(batch)))
        u = self.basis(batch.distances)
        e = self.bonds(u)
        degrees = counted_sum(torch.ones_like(u[:, :1]), batch.bonds).clamp(min=1)
        for i, block in enumerate(self.blocks):
            # Before the first block, bonds are linear in the Gaussians, of which there are fewer.
            v, found = block(v, (e, None) if i else (u, self.bonds), batch, degrees)
            if i + 1 < len(self.blocks) or self.tensors is not None:  # else nobody reads them
                e = torch.add(e, found, alpha=_ALPHA)
        return z, v, e

    def _take_apart(self, v: Tensor, e: Tensor, batch: CrystalBatch) -> Parts:
        capsules, weights = self.capsules(v, batch)
        sizes = [self.n_pose, _N_FEATURES, 1]
        pose, features, logits = self.parts(capsules).split(sizes, dim=2)
        if self.training:
            logits = logits + torch.empty_like(logits).uniform_(-_NOISE, _NOISE)
        pose = affine(pose) if self.tensors is None else self.tensors(e, weights, batch)
        return Parts(pose, features, logits[:, :, 0].softmax(dim=1))


class Block(nn.Module):
    """Messages along bonds, and what sites make of their mean; m = bond_dim.

    p_i = SiLU(W v_i),  f_ij = hardswish(phi_e[p_i, p_j, e_ij]),  v_i' = v_i + 0.6 h_i with
    h_i = phi_v[mean f_ij, p_i] * sigmoid(gate(mean f_ij)).
    """

    def __init__(self, d: int, m: int) -> None:
        super().__init__()
        self.dense = nn.Linear(d, m)
        self.phi_e = nn.Linear(3 * m, m)
        self.phi_v = nn.Linear(2 * m, d)
        self.gate = nn.Linear(m, d)

    def forward(
        self,
        v: Tensor,
        bonds: tuple[Tensor, nn.Linear | None],
        batch: CrystalBatch,
        degrees: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return new vectors of sites v (N, d), and the messages (E, m).

        Bonds come as their vectors, or as what a linear layer makes these of.
        """
        p = F.silu(self.dense(v))
        w_center, w_neighbor, w_bond = self.phi_e.weight.chunk(3, dim=1)
        e, layer = bonds
        bias: Tensor = self.phi_e.bias
        if layer is not None:
            bias, w_bond = bias + w_bond @ layer.bias, w_bond @ layer.weight
        center, neighbor = F.linear(p, w_center, bias), F.linear(p, w_neighbor)
        # Of all activations, this one is the fastest; there are many bonds.
        found = F.hardswish(linear_at_edges(center, neighbor, e, w_bond, batch.bonds))
        around = counted_sum(found, batch.bonds) / degrees
        h = self.phi_v(torch.cat([around, p], dim=1)) * torch.sigmoid(self.gate(around))
        return torch.add(v, h, alpha=_ALPHA), found


class Stoichiometry(nn.Module):
    """Weights of sites: softmax of gate(z) + log(filled) + (power - 1) log(share) over a crystal.

    With one site per atom, the weights of an element add up to share^power exp(gate).
    """

    def __init__(self, d: int) -> None:
        super().__init__()
        self.gate = nn.Linear(d, 1, bias=False)
        self.power = nn.Parameter(torch.ones(1))

    def forward(self, z: Tensor, batch: CrystalBatch) -> Tensor:
        """Return weights (N,) that add up to 1 in each crystal, for sites z (N, d)."""
        filled, shares = element_shares(batch)
        logits = self.gate(z)[:, 0] + filled.log() + (self.power - 1) * shares.log()
        return softmax_over_sites(logits[:, None], batch)[:, 0]


class Capsules(nn.Module):
    """Queries that attend over the sites of a crystal, and then to one another."""

    def __init__(self, d: int, n_capsules: int, width: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(_QUERY_SCALE * torch.randn(n_capsules, width))
        self.keys = nn.Linear(d, width, bias=False)
        self.values = nn.Linear(d, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, v: Tensor, batch: CrystalBatch) -> tuple[Tensor, Tensor]:
        """Return capsules (B, K, width), and the weights (N, K) with which they see sites v."""
        n_capsules, width = self.queries.shape
        keys = self.queries @ self.keys.weight / math.sqrt(width)  # (K, d)
        weights = softmax_over_sites(F.linear(v, keys), batch)
        seen = sum_over_sites(weights, self.values(v), batch)
        x = self.queries + seen.view(len(batch), n_capsules, width)
        y = x[:, None]  # one head; query, key and value are the same, as in the paper
        return self.norm(x + F.scaled_dot_product_attention(y, y, y)[:, 0]), weights


class Tensors(nn.Module):
    """Poses that turn with the crystal: means of r r^T over unit vectors r along bonds."""

    rows: Tensor
    columns: Tensor
    places: Tensor

    def __init__(self, m: int, n_capsules: int, cutoff: float) -> None:
        super().__init__()
        self.weights = nn.Linear(m, n_capsules)
        self.cutoff = cutoff
        rows, columns = torch.triu_indices(3, 3)  # six numbers, and their places in a matrix
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("columns", columns, persistent=False)
        places = torch.tensor([0, 1, 2, 1, 3, 4, 2, 4, 5])
        self.register_buffer("places", places, persistent=False)

    def forward(self, e: Tensor, weights: Tensor, batch: CrystalBatch) -> Tensor:
        """Return symmetric tensors (B, K, 3, 3) from bonds e (E, m) and weights of sites (N, K)."""
        r = batch.frac_coords.index_select(0, batch.neighbors) + batch.images
        r = r - batch.frac_coords.index_select(0, batch.centers)
        lattices = batch.lattices.index_select(0, batch.crystal.index_select(0, batch.centers))
        r = F.normalize(torch.einsum("ei,eij->ej", r, lattices), dim=1)
        damping = 0.5 + 0.5 * torch.cos(math.pi / self.cutoff * batch.distances)
        products = r.index_select(1, self.rows) * r.index_select(1, self.columns)
        products = products * damping[:, None]  # (E, 6)
        a = self.weights(e)  # (E, K)
        of_sites = counted_sum((a[:, :, None] * products[:, None]).flatten(1), batch.bonds)
        total = counted_sum(damping[:, None], batch.bonds).clamp(min=_LEAST)
        of_sites = (of_sites / total).view(len(weights), -1, 6) * weights[:, :, None]
        p = r.new_zeros(len(batch), of_sites[0].numel())
        p = p.index_add(0, batch.crystal, of_sites.flatten(1)).view(len(batch), -1, 6)
        return p.index_select(2, self.places).unflatten(2, (3, 3))


def invariants(p: Tensor) -> Tensor:
    """Return tr(P_k) and tr(P_k P_l) of symmetric tensors (B, K, 3, 3): (B, K, 1 + K)."""
    rows = p.flatten(2)
    traces = p.diagonal(dim1=2, dim2=3).sum(2, keepdim=True)
    return torch.cat([traces, rows @ rows.transpose(1, 2)], dim=2)


def affine(pose: Tensor) -> Tensor:
    """Return the 2-D affine maps (..., 2, 3) of six numbers each.

    They are two scales s, an angle t, a shear k and two shifts, in this order, before scaling:

        s_x cos t + k s_y sin t    -s_x sin t + k s_y cos t    t_x
        s_y sin t                   s_y cos t                  t_y
    """
    scales = F.selu(pose[..., :2]) + 0.01
    angle = 2 * math.pi * pose[..., 2:3]
    shifts = torch.tanh(5 * pose[..., 3:])  # shear, t_x, t_y
    first, second = scales.split(1, dim=-1)
    cos, sin = angle.cos(), angle.sin()
    second = second * torch.cat([sin, cos], dim=-1)
    first = first * torch.cat([cos, -sin], dim=-1) + shifts[..., :1] * second
    return torch.stack(
        [
            torch.cat([first, shifts[..., 1:2]], dim=-1),
            torch.cat([second, shifts[..., 2:]], dim=-1),
        ],
        dim=-2,
    )


def softmax_over_sites(logits: Tensor, batch: CrystalBatch) -> Tensor:
    """Return the softmax of columns (N, k) over the sites of each crystal.

    A site that stands for several equal ones has the share of all of them.
    """
    crystal, largest = batch.crystal, logits.new_zeros(len(batch), logits.shape[1])
    index = crystal[:, None].expand_as(logits)
    largest = largest.scatter_reduce(0, index, logits.detach(), "amax", include_self=False)
    weights = (logits - largest.index_select(0, crystal)).exp()
    if batch.site_counts is not None:
        weights = weights * batch.site_counts[:, None]
    total = torch.zeros_like(largest).index_add(0, crystal, weights)
    return weights / total.index_select(0, crystal)


def sum_over_sites(weights: Tensor, x: Tensor, batch: CrystalBatch) -> Tensor:
    """Sum x (N, c) over the sites of each crystal with each of k weights (N, k): (B, k * c)."""
    products = torch.bmm(weights[:, :, None], x[:, None])  # (N, k, c)
    members = Links(batch.crystal, batch.crystal, len(batch))
    return counted_sum(products.flatten(1), members)


def element_shares(batch: CrystalBatch) -> tuple[Tensor, Tensor]:
    """Return how far each site is filled, (N,), and the share of its element in the crystal, (N,).

    On a shared site, the share is the mean of those of its elements, weighted by occupancy.
    """
    numbers, counts = batch.numbers, batch.site_counts
    sites = torch.arange(len(numbers), device=numbers.device)
    amounts = batch.distances.new_ones(len(numbers))
    if batch.occ_sites is not None:
        whole = amounts.index_fill(0, batch.occ_sites, 0)
        amounts = torch.cat([whole, batch.occ_values])
        sites = torch.cat([sites, batch.occ_sites])
        numbers = torch.cat([numbers, batch.occ_numbers])
    atoms = amounts if counts is None else amounts * counts.index_select(0, sites)
    key = batch.crystal.index_select(0, sites) * _N_NUMBERS + numbers
    totals = atoms.new_zeros(len(batch) * _N_NUMBERS).index_add(0, key, atoms)
    totals = totals.view(len(batch), _N_NUMBERS)
    shares = (totals / totals.sum(1, keepdim=True).clamp(min=_LEAST)).view(-1)
    filled = amounts.new_zeros(len(batch.numbers)).index_add(0, sites, amounts).clamp(min=_LEAST)
    shares = amounts * shares.index_select(0, key) / filled.index_select(0, sites)
    return filled, torch.zeros_like(filled).index_add(0, sites, shares).clamp(min=_LEAST)
