"""Sums over the edges of a batch, with backward passes that touch memory as little as they can.

On a CPU, a graph convolution spends its time moving (n_edges, width) arrays. These functions are
the plain formulas in their first comment; written as autograd functions they keep fewer such
arrays and overwrite what nobody needs again.
"""

import torch
from torch.autograd.function import once_differentiable


def linear_at_edges(center, neighbor, edge, weight, batch):
    """Return center[i] + neighbor[j] + edge[ij] @ weight.T for every edge.

    Parameters
    ----------
    center, neighbor : Tensor of shape (N, w)
    edge : Tensor of shape (E, m)
    weight : Tensor of shape (w, m)
    batch : CrystalBatch

    Returns
    -------
    Tensor of shape (E, w)
    """
    return _LinearAtEdges.apply(center, neighbor, edge, weight, batch)


def gated_sum(s, norm, batch):
    """Return the sum over a site's edges of sigmoid(y[:, :d]) * softplus(y[:, d:]), y = norm(s).

    Parameters
    ----------
    s : Tensor of shape (E, 2d)
    norm : torch.nn.BatchNorm1d of width 2d
        In training, its statistics are those of the edges in the batch.
    batch : CrystalBatch

    Returns
    -------
    Tensor of shape (N, d)
    """
    if not len(s):  # no site has a neighbour, and there are no statistics of nothing
        return sum_over_edges(s.chunk(2, dim=1)[0], batch)
    return _GatedSum.apply(s, norm.weight, norm.bias, norm, batch)


def sum_over_edges(x, batch):
    """Sum edge vectors (E, w) over the edges that leave a site: (N, w)."""
    n_sites = len(batch.numbers)
    if batch.degree is not None:
        return x.view(n_sites, batch.degree, -1).sum(1)
    return x.new_zeros(n_sites, x.shape[1]).index_add_(0, batch.centers, x)


class _LinearAtEdges(torch.autograd.Function):
    @staticmethod
    def forward(ctx, center, neighbor, edge, weight, batch):
        out = neighbor.index_select(0, batch.neighbors)
        if batch.degree is not None:
            out.view(len(center), batch.degree, -1).add_(center[:, None])
        else:
            out += center.index_select(0, batch.centers)
        ctx.batch = batch
        ctx.save_for_backward(edge, weight)
        return out.addmm_(edge, weight.t())

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        edge, weight = ctx.saved_tensors
        to_neighbor = grad.new_zeros(len(ctx.batch.numbers), grad.shape[1])
        to_neighbor.index_add_(0, ctx.batch.neighbors, grad)
        to_edge = grad @ weight if ctx.needs_input_grad[2] else None
        to_weight = (edge.t() @ grad).t()  # faster than grad.t() @ edge
        return sum_over_edges(grad, ctx.batch), to_neighbor, to_edge, to_weight, None


class _GatedSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx, s, weight, bias, norm, batch):
        # With y = [gate, -core], one sigmoid serves both: softplus(c) = -log(sigmoid(-c)), and its
        # derivative is 1 - sigmoid(-c). That is cheaper than softplus and its backward pass.
        sign = torch.ones_like(weight)
        sign[len(sign) // 2 :] = -1
        weight = weight * sign
        y, mean, inv_std = torch.native_batch_norm(
            s, weight, bias * sign, norm.running_mean, norm.running_var, norm.training,
            norm.momentum, norm.eps,
        )  # fmt: skip
        if not norm.training:
            mean, inv_std = norm.running_mean, torch.rsqrt(norm.running_var + norm.eps)
        minus_core = y.chunk(2, dim=1)[1].clone(memory_format=torch.contiguous_format)
        sigmoids = y.sigmoid_()
        gate, complement = sigmoids.chunk(2, dim=1)
        # -softplus(c); where sigmoid(-c) underflows, c itself takes over.
        scratch = complement.clamp(min=1e-37).log_()
        torch.minimum(scratch, minus_core, out=minus_core)
        ctx.batch, ctx.training = batch, norm.training
        ctx.save_for_backward(s, weight, sign, mean, inv_std, sigmoids, minus_core)
        return sum_over_edges(torch.mul(gate, minus_core, out=scratch), batch).neg_()

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        s, weight, sign, mean, inv_std, sigmoids, minus_core = ctx.saved_tensors
        gate, _ = sigmoids.chunk(2, dim=1)
        n_edges, d = gate.shape
        # First the gradient of y, [gate (1 - gate) minus_core, gate (1 - complement)] times that of
        # the sum, then the gradient of s.
        if ctx.batch.degree is not None:
            grad = gate.view(len(grad), ctx.batch.degree, d) * grad.neg()[:, None]
        else:
            grad = gate * grad.neg().index_select(0, ctx.batch.centers)
        grad = grad.view(n_edges, 1, d)
        out = torch.addcmul(grad, grad, sigmoids.view(n_edges, 2, d), value=-1)
        out[:, 0] *= minus_core
        out = out.view(n_edges, 2 * d)

        to_bias = out.sum(0)
        scratch = grad.view(n_edges, d)
        halves = zip(out.chunk(2, dim=1), s.chunk(2, dim=1), strict=True)
        to_weight = torch.cat([torch.mul(a, b, out=scratch).sum(0) for a, b in halves])
        to_weight = (to_weight - mean * to_bias) * inv_std
        scale = weight * inv_std
        out *= scale
        if ctx.training:  # the statistics depend on s too
            slope = -scale * inv_std * to_weight / n_edges
            out.addcmul_(s, slope).sub_(mean * slope + scale * to_bias / n_edges)
        return out, to_weight * sign, to_bias * sign, None, None
