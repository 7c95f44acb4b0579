"""The update of bonds and the attention of MEGNet, written out to be fast on a CPU.

The plain formulas spend half of their time on torch's softplus and on moving (E, width) arrays.
Here, rows are processed in blocks that stay in the cache, and softplus is computed by exp2 and
log2, which are faster. With y = softplus(x) - ln 2 and z = x / ln 2 - 1,

    y / ln 2 = log2(1/2 + 2^z),    dy / dx = sigmoid(x) = 1 - 1 / (2 * 2^(y / ln 2)),

so that the backward pass needs y only, which is kept for the next product anyway. Layers work in
units of ln 2: their weights stay the same, and shifted biases turn x into z.

Vectors of bonds may have a shorter dtype than the weights. A block is computed in that of the
weights; what is kept, and the factors of products, are short.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from skuae.crystals import Links
from skuae.models._edges import add_product, counted_sum, linear_at_edges
from skuae.models._layers import widened

_LN2 = math.log(2)
_ROWS = 4096  # of a block


def activate(x: Tensor) -> Tensor:
    """softplus(x) - ln 2."""
    return F.softplus(x).sub_(_LN2)


def update_bonds(
    e: Tensor,
    center: Tensor,
    neighbor: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    links: Links,
) -> tuple[Tensor, Tensor]:
    """Return e + y_n, and the counted sum of y_n over the links of each site.

    y_k = softplus(W_k y_(k-1) + b_k) - ln 2, starting from y_0 = e. Instead of a bias, the third
    layer from the end has center[i] + neighbor[j].

    Parameters
    ----------
    e : Tensor of shape (E, d)
        In the dtype of all others, or a shorter one.
    center, neighbor : Tensor of shape (N, w)
    weights : sequence of n Tensors
        W_1 to W_n, at least three.
    biases : sequence of n - 1 Tensors
    links : Links

    Returns
    -------
    Tensor of shape (E, d), Tensor of shape (N, d)
    """
    if e.is_cpu or e.dtype != center.dtype:
        keep = torch.is_grad_enabled()
        return _UpdateBonds.apply(e, center, neighbor, links, keep, *weights, *biases)
    y = e
    for weight, bias in zip(weights, _insert_none(biases), strict=True):
        if bias is None:
            y = activate(linear_at_edges(center, neighbor, y, weight, links))
        else:
            y = activate(F.linear(y, weight, bias))
    return e + y, counted_sum(y, links)


def attend(x: Tensor, query: Tensor, members: Links, counts: Tensor) -> Tensor:
    """Return the mean of the rows x of a set, weighted by counts * exp(x . query).

    Parameters
    ----------
    x : Tensor of shape (n, d)
        Members of all sets, each there `counts` times.
    query : Tensor of shape (B, d)
    members : Links
        Their centers are the sets, sorted.
    counts : Tensor of shape (n,)

    Returns
    -------
    Tensor of shape (B, d)
        0 for a set without members.
    """
    return _Attend.apply(x, query, members, counts)


class _UpdateBonds(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        e: Tensor,
        center: Tensor,
        neighbor: Tensor,
        links: Links,
        keep: bool,
        *parameters: Tensor,
    ) -> tuple[Tensor, Tensor]:
        n = len(parameters) // 2 + 1
        weights, biases = parameters[:n], parameters[n:]
        scaled = [weights[0] / _LN2, *weights[1:]]  # all but e are in units of ln 2
        shifts = _insert_none([b / _LN2 - 1 for b in biases])
        center, neighbor = center / _LN2 - 1, neighbor / _LN2
        # Without gradients, hidden vectors of one block are enough.
        n_kept = len(e) if keep else _block_size(e)
        ys = [e.new_empty(n_kept, len(w)) for w in weights[:-1]]
        ys.append(torch.empty_like(e))
        out = torch.empty_like(e)
        half = center.new_tensor(0.5)
        first, second = (_Scratch(center, e, weights) for _ in range(2))
        for rows in _blocks(e):
            x = e[rows]
            for y, weight, shift in zip(ys, scaled, shifts, strict=True):
                kept = y[rows] if len(y) == len(e) else y[: len(x)]
                z = kept if kept.dtype == center.dtype else first(kept)
                y = second(kept)
                if shift is not None:
                    z.copy_(shift)
                else:
                    torch.index_select(neighbor, 0, links.neighbors[rows], out=z)
                    z += torch.index_select(center, 0, links.centers[rows], out=y)
                add_product(z, x, weight.t())
                # 2^128 is infinite in float32; long before, log2(1/2 + 2^z) is z.
                torch.clamp_max(z, 100, out=y).exp2_().add_(half).log2_()
                x = torch.maximum(y, z, out=kept)
            torch.add(e[rows], x, alpha=_LN2, out=out[rows])
        ctx.links = links
        ctx.save_for_backward(e, *ys, *weights)
        return out, links.sum(widened(ys[-1]), links.counts).mul_(_LN2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, to_sums: Tensor) -> tuple[Tensor | None, ...]:
        n = len(ctx.saved_tensors) // 2
        ys, weights = ctx.saved_tensors[: n + 1], ctx.saved_tensors[n + 1 :]
        links, at = ctx.links, n - 3
        to_e = torch.empty_like(ys[0])
        to_weights = [torch.zeros_like(w.t()) for w in weights]
        to_biases = [w.new_zeros(len(w)) for w in weights]
        at_edges = torch.empty_like(ys[at + 1])
        first, second, third = (_Scratch(to_sums, grad, weights) for _ in range(3))
        for rows in _blocks(grad):
            g = first(grad[rows])
            torch.index_select(to_sums, 0, links.centers[rows], out=g)
            if links.counts is not None:
                g *= links.counts[rows, None]
            g += grad[rows]
            for i in reversed(range(n)):
                y = ys[i + 1][rows]
                s = torch.exp2(y.to(to_sums.dtype), out=third(y))
                to_z = at_edges[rows] if i == at else second(y, y.dtype)
                torch.addcdiv(g, g, s, value=-0.5, out=to_z)
                add_product(to_weights[i], ys[i][rows].t(), to_z)  # faster than to_z.t() @ y
                if i != at:
                    to_biases[i] += to_z.sum(0, dtype=to_sums.dtype)
                if i > 0:
                    x = ys[i][rows]
                    g = torch.mm(to_z, weights[i].to(x.dtype), out=first(x, x.dtype))
            torch.addmm(grad[rows], to_z, weights[0].to(grad.dtype), out=to_e[rows])
        for to_weight in to_weights[1:]:
            to_weight *= _LN2
        del to_biases[at]
        return (
            to_e,
            links.sum(widened(at_edges)),
            links.sum_at_neighbors(widened(at_edges)),
            None,
            None,
            *(w.t() for w in to_weights),
            *to_biases,
        )


class _Attend(torch.autograd.Function):
    """Has its own backward pass, which keeps x only; autograd keeps four (n, d) arrays."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, query: Tensor, members: Links, counts: Tensor) -> Tensor:
        sets, n_sets = members.centers, members.n_nodes
        score = _dot(x, query, sets)
        largest = score.new_zeros(n_sets).scatter_reduce(0, sets, score, "amax", include_self=False)
        weight = counts * torch.exp(score - largest[sets])
        total = weight.new_zeros(n_sets).index_add(0, sets, weight)
        share = weight / total[sets]
        mean = members.sum(x, share)
        ctx.members = members
        ctx.save_for_backward(x, query, share, mean)
        return mean

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, query, share, mean = ctx.saved_tensors
        sets = ctx.members.centers
        to_score = share * (_dot(x, grad, sets) - (mean * grad).sum(1)[sets])
        to_x = torch.empty_like(x)
        for rows in _blocks(x):
            of_x, some = to_x[rows], sets[rows]
            torch.index_select(grad, 0, some, out=of_x)
            of_x *= share[rows, None]
            of_x.addcmul_(query.index_select(0, some), to_score[rows, None])
        return to_x, ctx.members.sum(x, to_score), None, None


def _dot(x: Tensor, vectors: Tensor, sets: Tensor) -> Tensor:
    """Return the products (n,) of x (n, d) and the vector (B, d) of its set."""
    parts = [vectors.index_select(0, sets[rows]).mul_(x[rows]).sum(1) for rows in _blocks(x)]
    return torch.cat(parts) if parts else x.new_zeros(0)


def _insert_none(biases: Sequence[Tensor]) -> list[Tensor | None]:
    """Return n biases; the third from the end is None."""
    return [*biases[:-2], None, *biases[-2:]]


class _Scratch:
    """Memory for one array of the rows of a block, overwritten from layer to layer."""

    def __init__(self, like: Tensor, x: Tensor, weights: Sequence[Tensor]) -> None:
        self.memory = like.new_empty(_block_size(x) * max(max(w.shape) for w in weights))

    def __call__(self, x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Return an array of the shape of x; its dtype may be shorter than that of the memory."""
        memory = self.memory if dtype is None else self.memory.view(dtype)
        return memory[: x.numel()].view(x.shape)


def _blocks(x: Tensor) -> Iterator[slice]:
    """Cut rows into blocks that stay in the cache; a GPU takes all at once."""
    size = max(_block_size(x), 1)
    return (slice(i, i + size) for i in range(0, len(x), size))


def _block_size(x: Tensor) -> int:
    return min(_ROWS, len(x)) if x.is_cpu else len(x)
