"""Sums over the edges of a batch, with backward passes that touch memory as little as they can.

On a CPU, a graph convolution spends its time moving (n_edges, width) arrays. These functions are
the plain formulas in their first comment; written as autograd functions they keep fewer such
arrays and overwrite what nobody needs again.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from skuae._ranks import are_together
from skuae.crystals import Links
from skuae.models._layers import TrackedNorm, counted_statistics, summed_pair


def linear_at_edges(
    center: Tensor, neighbor: Tensor, edge: Tensor, weight: Tensor, links: Links
) -> Tensor:
    """Return center[i] + neighbor[j] + edge[ij] @ weight.T for every edge.

    Parameters
    ----------
    center, neighbor : Tensor of shape (N, w)
    edge : Tensor of shape (E, m)
    weight : Tensor of shape (w, m)
    links : Links

    Returns
    -------
    Tensor of shape (E, w)
    """
    return _LinearAtEdges.apply(center, neighbor, edge, weight, links)


def add_product(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Add a @ b to x in place, and return it; the product is in the dtype of a."""
    return x.addmm_(a, b) if a.dtype == x.dtype else x.add_(a @ b.to(a.dtype))


def counted_sum(x: Tensor, links: Links) -> Tensor:
    """Return the sum of x over a node's links, each as often as it is there.

    Parameters
    ----------
    x : Tensor of shape (E, d)
    links : Links

    Returns
    -------
    Tensor of shape (N, d)
    """
    return _CountedSum.apply(x, links)


def gated_sum(s: Tensor, norm: TrackedNorm, links: Links, n_edges: Tensor | None = None) -> Tensor:
    """Return the sum over a site's edges of sigmoid(y[:, :d]) * softplus(y[:, d:]), y = norm(s).

    Parameters
    ----------
    s : Tensor of shape (E, 2d)
    norm : TrackedNorm of width 2d
        In training, its statistics are those of the edges in the batch.
    links : Links
    n_edges : Tensor of shape (E,), or None
        How many equal edges of the batch each one stands for; None for one.

    Returns
    -------
    Tensor of shape (N, d)
    """
    shared = norm.training and are_together()
    if not len(s) and not shared:  # no site has a neighbour, and nothing has no statistics
        return links.sum(s.chunk(2, dim=1)[0])
    if n_edges is None and shared:
        n_edges = s.new_ones(len(s))
    return _GatedSum.apply(s, norm.weight, norm.bias, norm, links, n_edges)


class _LinearAtEdges(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, center: Tensor, neighbor: Tensor, edge: Tensor, weight: Tensor, links: Links
    ) -> Tensor:
        out = neighbor.index_select(0, links.neighbors)
        if links.degree is not None:
            out.view(len(center), links.degree, -1).add_(center[:, None])
        else:
            out += center.index_select(0, links.centers)
        ctx.links = links
        ctx.save_for_backward(edge, weight)
        return out.addmm_(edge, weight.t())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        edge, weight = ctx.saved_tensors
        to_neighbor = ctx.links.sum_at_neighbors(grad)
        to_edge = grad @ weight if ctx.needs_input_grad[2] else None
        to_weight = (edge.t() @ grad).t()  # faster than grad.t() @ edge
        return ctx.links.sum(grad), to_neighbor, to_edge, to_weight, None


class _CountedSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, links: Links) -> Tensor:
        ctx.links = links
        return links.sum(x, links.counts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad = grad.index_select(0, ctx.links.centers)
        if ctx.links.counts is not None:
            grad *= ctx.links.counts[:, None]
        return grad, None


class _GatedSum(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        s: Tensor,
        weight: Tensor,
        bias: Tensor,
        norm: TrackedNorm,
        links: Links,
        n_edges: Tensor | None,
    ) -> Tensor:
        # With y = [gate, -core], one sigmoid serves both: softplus(c) = -log(sigmoid(-c)), and its
        # derivative is 1 - sigmoid(-c). That is cheaper than softplus and its backward pass.
        sign = torch.ones_like(weight)
        sign[len(sign) // 2 :] = -1
        weight = weight * sign
        y, mean, inv_std, shares = _normalise(s, weight, bias * sign, norm, n_edges)
        minus_core = y.chunk(2, dim=1)[1].clone(memory_format=torch.contiguous_format)
        sigmoids = y.sigmoid_()
        gate, complement = sigmoids.chunk(2, dim=1)
        # -softplus(c); where sigmoid(-c) underflows, c itself takes over.
        scratch = complement.clamp(min=1e-37).log_()
        torch.minimum(scratch, minus_core, out=minus_core)
        ctx.links, ctx.training = links, norm.training
        ctx.save_for_backward(s, weight, sign, mean, inv_std, sigmoids, minus_core, shares)
        return links.sum(torch.mul(gate, minus_core, out=scratch), links.counts).neg_()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        s, weight, sign, mean, inv_std, sigmoids, minus_core, shares = ctx.saved_tensors
        gate, _ = sigmoids.chunk(2, dim=1)
        # First the gradient of y, [gate (1 - gate) minus_core, gate (1 - complement)] times that of
        # the sum, then the gradient of s.
        n, d = gate.shape
        grad = _times(gate, grad.neg(), ctx.links).view(n, 1, d)
        out = torch.addcmul(grad, grad, sigmoids.view(n, 2, d), value=-1)
        out[:, 0] *= minus_core
        out = out.view(n, 2 * d)

        to_bias = out.sum(0)
        scratch = grad.view(n, d)
        halves = zip(out.chunk(2, dim=1), s.chunk(2, dim=1), strict=True)
        to_weight = torch.cat([torch.mul(a, b, out=scratch).sum(0) for a, b in halves])
        to_weight = (to_weight - mean * to_bias) * inv_std
        scale = weight * inv_std
        out *= scale
        if ctx.training and not n and shares is None:  # no rank has an edge
            return out, None, None, None, None, None
        if ctx.training:  # the statistics depend on s too
            of_weight, of_bias = summed_pair(to_weight, to_bias)
            slope = scale * inv_std * of_weight
            shift = scale * of_bias - mean * slope
            if shares is None:
                out.addcmul_(s, slope / -n).sub_(shift / n)
            else:
                out.addcmul_(torch.addcmul(shift, s, slope), shares[:, None], value=-1)
        return out, to_weight * sign, to_bias * sign, None, None, None


def _normalise(
    s: Tensor, weight: Tensor, bias: Tensor, norm: TrackedNorm, n_edges: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Return batch-normalised rows of s, each there `n_edges` times, their mean and 1 / std.

    The last is each row's share (E,) in the statistics; None if all have the same, or none.
    """
    shares = None
    if not norm.training:
        mean, inv_std = norm.running_mean, torch.rsqrt(norm.running_var + norm.eps)
    elif n_edges is None and len(s) > 1:
        norm.num_batches_tracked += 1
        running = norm.running_mean, norm.running_var
        normed = torch.native_batch_norm(s, weight, bias, *running, True, norm.momentum, norm.eps)
        return *normed, None
    elif n_edges is None:
        _, mean, inv_std = counted_statistics(s, s.new_ones(1), norm)
    else:
        shares, mean, inv_std = counted_statistics(s, n_edges, norm)
    scale = weight * inv_std
    return torch.addcmul(bias - mean * scale, s, scale), mean, inv_std, shares


def _times(y: Tensor, x: Tensor, links: Links) -> Tensor:
    """Multiply each link's row of y with that of x (N, d) of its center, and with its count."""
    if links.degree is not None and links.counts is None:
        return y.view(len(x), links.degree, -1) * x[:, None]
    x = x.index_select(0, links.centers)
    if links.counts is not None:
        x *= links.counts[:, None]
    return x.mul_(y)
