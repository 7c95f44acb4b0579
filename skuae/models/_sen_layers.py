"""Layers of SEN: blocks, weights of sites, capsules and their poses."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skuae.crystals import CrystalBatch, Links
from skuae.models._edges import counted_sum, linear_at_edges

ALPHA = 0.6  # share of what a block finds that is added
_QUERY_SCALE = 0.3  # so that capsules attend to one another, and not each to itself alone
_N_NUMBERS = 120  # atomic numbers, and that of an occluded atom
_LEAST = 1e-30  # what may be divided by, or have its logarithm taken


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
        return torch.add(v, h, alpha=ALPHA), found


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

    places: Tensor

    def __init__(self, m: int, n_capsules: int, cutoff: float) -> None:
        super().__init__()
        self.weights = nn.Linear(m, n_capsules)
        self.cutoff = cutoff
        places = torch.tensor([0, 1, 2, 1, 3, 4, 2, 4, 5])  # of six numbers in a matrix
        self.register_buffer("places", places, persistent=False)

    def forward(self, e: Tensor, weights: Tensor, batch: CrystalBatch) -> Tensor:
        """Return symmetric tensors (B, K, 3, 3) from bonds e (E, m) and weights of sites (N, K)."""
        # 1/2 + 1/2 cos(pi d / cutoff), which does not round to 0 before the cutoff.
        damping = torch.sin(math.pi / 2 * (1 - batch.distances / self.cutoff)).square()
        products = batch.moments * damping[:, None]  # (E, 6)
        a = self.weights(e)  # (E, K)
        of_sites = counted_sum((a[:, :, None] * products[:, None]).flatten(1), batch.bonds)
        total = counted_sum(damping[:, None], batch.bonds).clamp(min=_LEAST)
        of_sites = (of_sites / total).view(len(weights), -1, 6) * weights[:, :, None]
        p = e.new_zeros(len(batch), of_sites[0].numel())
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
