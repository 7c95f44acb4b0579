"""Connectivity optimized graph network, Ruff et al., Digital Discovery 3, 594 (2024)."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from skuae.crystals import CrystalBatch, Crystals, Links
from skuae.models._backbone import Backbone, CrystalModule, Inputs
from skuae.models._edges import linear_at_edges
from skuae.models._elements import Elements
from skuae.models._layers import GaussianBasis, mean_over_sites, pooled_layers, widened

_FARTHEST = 8.0  # Å, the last Gaussian of distances


class CoGN(Backbone):
    """Specification of a coGN back-end.

    A deep perceptron computes a message for every edge from the two sites and their distance. Each
    site sums its messages. Messages pass along distances only: there are no angles.

    Parameters
    ----------
    hidden_dim : int, default=128
        Width of the vectors of sites and edges.
    n_blocks : int, default=5
        Blocks that update the sites. Each has weights of its own.
    n_edge_layers : int, default=5
        Layers of the perceptron that computes the messages of a block.
    n_bins : int, default=32
        Gaussians in which a distance is expanded, evenly spaced up to 8 Å.
    cutoff : float, default=12.0
        Radius in Å within which neighbours are searched. Sites of dense crystals find 24 neighbours
        within 8.3 Å; a larger cutoff costs nothing there.
    max_neighbors : int, default=24
        Number of nearest neighbours. If A is a neighbour of B, B becomes a neighbour of A.
    whole_shell : bool, default=True
        Also take all neighbours at the distance of the last one, as published. If False, shells are
        cut. A cut shell is not symmetric, and the prediction depends on which neighbours were kept.

    Notes
    -----
    The layers follow the reference code, kgcnn 3: the Gaussians' standard deviation is the root of
    their spacing, inputs have a linear layer without an activation, weights start from Glorot's
    distribution and biases from zero, and nothing is normalised. There are three differences:

    - The element table is the only input of a site. The reference code reads 18 features (mass,
      radius, electronegativity, ionisation energy, oxidation states) and a trained vector of width
      128 for each element.
    - Edges run both ways. In the reference code, a site receives messages only from its own nearest
      neighbours. On the bundled crystals, both directions are 5 % more edges.
    - The search ends at `cutoff`. The reference code searches until it has found enough neighbours.

    An edge much longer than 8 Å lies beyond all Gaussians. Its message depends on the two sites
    only.

    The reference code merges symmetry-equivalent sites. Here, equal sites and edges of a crystal
    are computed once and counted; the result stays the same.

    The published training minimises the absolute error of standardised targets for 800 epochs in
    batches of 64, by Adam with a learning rate that falls linearly from 5e-4 to 1e-5.
    """

    native_table = "cgcnn"  # features of atoms, not trained
    native_frozen = True
    default_lr = 1e-3
    has_bf16 = True
    reads = "distances to the 24 nearest neighbours, whole shells"
    clip_norm = 5.0  # without it, squared errors diverge at twice this learning rate

    def __init__(
        self,
        hidden_dim: int = 128,
        n_blocks: int = 5,
        n_edge_layers: int = 5,
        n_bins: int = 32,
        *,
        cutoff: float = 12.0,
        max_neighbors: int = 24,
        whole_shell: bool = True,
    ) -> None:
        self.hidden_dim = hidden_dim
        self.n_blocks = n_blocks
        self.n_edge_layers = n_edge_layers
        self.n_bins = n_bins
        self.cutoff = cutoff
        self.max_neighbors = max_neighbors
        self.whole_shell = whole_shell

    def check(self) -> None:
        self._check_at_least(
            1, "hidden_dim", "n_blocks", "n_edge_layers", "n_bins", "max_neighbors"
        )
        self._check_cutoff()

    def inputs(self, crystals: Crystals, *, merge: bool = True) -> Inputs:
        return Inputs(
            crystals.reduced_graph(self.cutoff, self.max_neighbors, self.whole_shell, merge=merge)
        )

    def build(self, elements: Elements, n_outputs: int) -> CrystalModule:
        return CoGNModule(self, elements, n_outputs)


class CoGNModule(CrystalModule):
    """The network; shapes with N sites, E edges, m = n_bins, d = hidden_dim."""

    def __init__(self, spec: CoGN, elements: Elements, n_outputs: int) -> None:
        super().__init__()
        d = self.width = spec.hidden_dim
        step = _FARTHEST / spec.n_bins  # Å
        self.elements = elements
        self.atoms = nn.Linear(elements.n_dims, d)
        # The Gaussians' standard deviation is the root of their spacing.
        self.basis = GaussianBasis(step, _FARTHEST, spec.n_bins, width=(2 * step) ** 0.5)
        self.bonds = nn.Linear(spec.n_bins, d)
        self.blocks = nn.ModuleList(Block(d, spec.n_edge_layers) for _ in range(spec.n_blocks))
        self.head = nn.Linear(d, n_outputs)
        for layer in [self.atoms, self.bonds, *self.blocks.modules(), self.head]:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def site_vectors(self, batch: CrystalBatch) -> Tensor:
        *_, h = self.site_layers(batch)
        return h

    def layer_vectors(self, batch: CrystalBatch) -> dict[str, Tensor]:
        *inner, last = self.site_layers(batch)
        return {**pooled_layers(inner, batch), "embed": mean_over_sites(last, batch)}

    def site_layers(self, batch: CrystalBatch) -> Iterator[Tensor]:
        """Yield vectors of sites (N, d): those of the elements, then after each block."""
        h = self.atoms(self.elements(batch))
        yield h
        u = self.basis(batch.distances)  # (E, m)
        for block in self.blocks:
            h = block(h, u, self.bonds, batch.bonds, self.edge_dtype)
            yield h

    @property
    def first_layer(self) -> nn.Module:
        return self.atoms


class Block(nn.Module):
    """h_i' = h_i + SiLU(W sum_j m_ij + b),  m_ij = MLP([e_ij, h_i, h_j]).

    All layers of the MLP end in SiLU. The first one acts on its three inputs apart: products with
    sites are taken once per site. The vectors of edges are linear in the Gaussians, e = B u + c, so
    that the first layer is one product with u, and e itself is never computed.
    """

    def __init__(self, d: int, n_edge_layers: int) -> None:
        super().__init__()
        self.first = nn.Linear(3 * d, d)
        self.others = nn.ModuleList(nn.Linear(d, d) for _ in range(n_edge_layers - 1))
        self.node = nn.Linear(d, d)

    def forward(
        self, h: Tensor, u: Tensor, to_edge: nn.Linear, links: Links, edge_dtype: torch.dtype | None
    ) -> Tensor:
        """Return new vectors of sites h (N, d), for Gaussians u (E, m) of the distances."""
        w_edge, w_center, w_neighbor = self.first.weight.chunk(3, dim=1)
        center = F.linear(h, w_center, self.first.bias + w_edge @ to_edge.bias)
        x = linear_at_edges(center, h @ w_neighbor.t(), u, w_edge @ to_edge.weight, links)  # (E, d)
        x = x.to(edge_dtype or x.dtype)
        return h + F.silu(self.node(sum_of_messages(x, self.others, links)))


def sum_of_messages(x: Tensor, layers: Iterable[nn.Module], links: Links) -> Tensor:
    """Return the counted sum over a site's edges of SiLU(L_n(... SiLU(L_1(SiLU(x))))).

    Parameters
    ----------
    x : Tensor of shape (E, d)
        Its dtype is that of the layers; sums of bfloat16 are float32.
    layers : iterable of torch.nn.Linear
        L_1 to L_n, from d to d columns.
    links : Links

    Returns
    -------
    Tensor of shape (N, d)
    """
    parameters = [(layer.weight, layer.bias) for layer in layers]
    return _SumOfMessages.apply(x, links, *itertools.chain(*zip(*parameters, strict=True)))


class _SumOfMessages(torch.autograd.Function):
    """Has its own backward pass, which keeps one (E, d) array per layer; autograd keeps two."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, links: Links, *parameters: Tensor) -> Tensor:
        n = len(parameters) // 2
        inputs = [x]  # of the activations
        scratch = torch.empty_like(x)
        for weight, bias in zip(parameters[:n], parameters[n:], strict=True):
            torch.ops.aten.silu.out(inputs[-1], out=scratch)
            inputs.append(torch.addmm(bias.to(x.dtype), scratch, weight.t().to(x.dtype)))
        ctx.links = links
        ctx.save_for_backward(*inputs, *parameters[:n])
        messages = torch.ops.aten.silu.out(inputs[-1], out=scratch)
        return links.sum(widened(messages), links.counts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        n = len(ctx.saved_tensors) // 2
        inputs, weights = ctx.saved_tensors[: n + 1], ctx.saved_tensors[n + 1 :]
        grad = grad.index_select(0, ctx.links.centers)
        if ctx.links.counts is not None:
            grad *= ctx.links.counts[:, None]
        grad = grad.to(inputs[0].dtype)
        torch.ops.aten.silu_backward.grad_input(grad, inputs[n], grad_input=grad)
        scratch, to_x = torch.empty_like(grad), torch.empty_like(grad)
        to_weights, to_biases = [], []
        for x, weight in zip(reversed(inputs[:n]), reversed(weights), strict=True):
            torch.ops.aten.silu.out(x, out=scratch)
            to_weights.append((scratch.t() @ grad).t())  # faster than grad.t() @ scratch
            to_biases.append(grad.sum(0))
            torch.mm(grad, weight.to(x.dtype), out=to_x)
            torch.ops.aten.silu_backward.grad_input(to_x, x, grad_input=to_x)
            grad, to_x = to_x, grad
        return grad, None, *reversed(to_weights), *reversed(to_biases)
