"""The edge-gated convolution of ALIGNN, in blocks of links that fit into a cache.

Written step by step for all links at once, the convolution would spend its time moving
(n_links, d) arrays. Here each block goes through all steps before the next one begins, and the
backward pass keeps the linear part alone. Vectors of links may have a shorter dtype than those of
nodes: sums, norms and gates are computed in the dtype of the nodes.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from skuae._ranks import are_together
from skuae.crystals import Links
from skuae.models._edges import add_product
from skuae.models._layers import CountedNormSiLU, over_ranks, summed_pair


def gated_conv(
    center: Tensor,
    neighbor: Tensor,
    values: Tensor,
    e: Tensor,
    weight: Tensor,
    norm: CountedNormSiLU,
    links: Links,
    n_links: Tensor | None,
    product: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Return gated means of nodes, and new vectors of links.

    With m_ij = center_i + neighbor_j + W e_ij, these are the mean of values_j over the links of
    node i, weighted by sigmoid(m_ij), and e_ij + SiLU(BN(m_ij)).

    Parameters
    ----------
    center, neighbor, values : Tensor of shape (n_nodes, d)
    e : Tensor of shape (n_links, d)
    weight : Tensor of shape (d, d)
    norm : CountedNormSiLU of width d
    links : Links
    n_links : Tensor of shape (n_links,), or None
        How many equal links of the batch each one stands for. None if nobody reads the new vectors
        of links: they are None, too.
    product : Tensor of shape (n_links, d), or None
        W e, if it is known; then `weight` is not read.

    Returns
    -------
    mean : Tensor of shape (n_nodes, d)
        0 where a node has no links.
    e : Tensor of shape (n_links, d), or None
    """
    shared = n_links is not None and norm.training and are_together()
    if not len(e) and not shared:  # there are no statistics of nothing
        return links.sum(e.to(values.dtype)), None if n_links is None else e
    return _GatedConv.apply(
        center, neighbor, values, e, weight, product, norm.weight, norm.bias, norm, links, n_links
    )


class _GatedConv(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        center: Tensor,
        neighbor: Tensor,
        values: Tensor,
        e: Tensor,
        weight: Tensor,
        product: Tensor | None,
        norm_weight: Tensor,
        norm_bias: Tensor,
        norm: CountedNormSiLU,
        links: Links,
        n_links: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        m, total, mean = torch.empty_like(e), torch.empty_like(values), torch.empty_like(values)
        dtype = values.dtype
        shares = n_links / n_links.sum() if n_links is not None and norm.training else None
        moments = _Moments(norm)
        for nodes, rows, own in links.blocks:
            x = _memory(m[rows], dtype)
            torch.index_select(neighbor, 0, own.neighbors, out=x)
            gate = center[nodes].index_select(0, own.centers)
            x += gate
            if product is None:
                add_product(x, e[rows], weight.t())
            else:
                x += product[rows]
            m[rows] = x  # no copy if x is there already
            if shares is not None:
                moments.add(x, shares[rows])
            torch.sigmoid(x, out=gate)
            total[nodes] = own.sum(gate, own.counts).add_(1e-6)
            gate *= values.index_select(0, own.neighbors)
            mean[nodes] = own.sum(gate, own.counts)
        mean /= total
        ctx.links, ctx.multiplies, ctx.is_empty = links, product is None, False
        saved = values, e, weight, m, total, mean
        if n_links is None:
            ctx.save_for_backward(*saved)
            return mean, None

        center_m, variance = norm.running_mean, norm.running_var
        if shares is not None:
            n_all, center_m, variance = n_links.sum(), moments.mean, moments.squares
            if are_together():
                n_all, center_m, variance = over_ranks(n_all, center_m, variance)
                shares = n_links / n_all
                ctx.is_empty = not len(e) and not n_all > 0  # in all ranks
            norm.update(center_m, variance, n_all)
        inv_std = torch.rsqrt(variance + norm.eps)
        scale = norm_weight * inv_std
        shift = norm_bias - center_m * scale
        new = torch.empty_like(e)
        for _, rows, _ in links.blocks:
            x = torch.addcmul(shift, m[rows].to(dtype), scale, out=_memory(new[rows], dtype))
            new[rows] = F.silu(x, inplace=True).add_(e[rows])
        ctx.save_for_backward(*saved, center_m, inv_std, scale, shift, shares)
        return mean, new

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_mean: Tensor, to_new: Tensor | None) -> tuple[Tensor | None, ...]:
        if ctx.is_empty:  # as in one process, nothing is trained
            return None, None, None, to_new, *[None] * 7
        values, e, weight, m, total, mean, *statistics = ctx.saved_tensors
        links: Links = ctx.links
        dtype = values.dtype
        to_m, to_values = torch.empty_like(m), torch.empty_like(m)
        to_e = torch.empty_like(m if ctx.multiplies else m[:0])
        to_norm_weight = to_norm_bias = None
        if to_new is not None:
            center_m, inv_std, scale, shift, shares = statistics
            to_norm_bias, products = torch.zeros_like(scale), torch.zeros_like(scale)
            for _, rows, _ in links.blocks:
                x = m[rows].to(dtype)
                y = torch.addcmul(shift, x, scale)
                to_y = to_new[rows].to(dtype)
                torch.ops.aten.silu_backward.grad_input(to_y, y, grad_input=y)
                torch.mul(y, scale, out=to_m[rows])
                to_norm_bias += y.sum(0)
                products += y.mul_(x).sum(0)
            to_norm_weight = (products - center_m * to_norm_bias) * inv_std
            # The statistics depend on m too.
            of_weight, of_bias = to_norm_weight, to_norm_bias
            if shares is not None:
                of_weight, of_bias = summed_pair(of_weight, of_bias)
            slope = scale * inv_std * of_weight
            constant = scale * of_bias - center_m * slope

        to_center, to_weight = torch.empty_like(values), torch.zeros_like(weight.t())
        to_mean = to_mean / total
        for nodes, rows, own in links.blocks:
            x = m[rows].to(dtype)
            difference = values.index_select(0, own.neighbors)
            grad = mean[nodes].index_select(0, own.centers)
            difference -= grad
            torch.index_select(to_mean[nodes], 0, own.centers, out=grad)
            if own.counts is not None:
                grad *= own.counts[:, None]
            gate = torch.sigmoid(x)
            of_values = torch.mul(grad, gate, out=to_values[rows])
            torch.addcmul(of_values, of_values, gate, value=-1, out=grad)
            if to_new is None:
                grad = torch.mul(grad, difference, out=_memory(to_m[rows], dtype))
            else:
                grad = to_m[rows].to(dtype).addcmul_(grad, difference)
                if shares is not None:
                    through_statistics = torch.addcmul(constant, x, slope, out=difference)
                    grad.addcmul_(through_statistics, shares[rows, None], value=-1)
            to_m[rows] = grad
            to_center[nodes] = own.sum(grad)
            if not ctx.multiplies:
                continue
            short = to_m[rows]
            add_product(to_weight, e[rows].t(), short)  # faster than short.t() @ e
            if to_new is None:
                torch.mm(short, weight.to(e.dtype), out=to_e[rows])
            else:
                torch.addmm(to_new[rows], short, weight.to(e.dtype), out=to_e[rows])
        to_neighbor, to_values = links.sum_at_neighbors(to_m), links.sum_at_neighbors(to_values)
        to_nodes = to_center, to_neighbor.to(dtype), to_values.to(dtype)
        to_norm = to_norm_weight, to_norm_bias
        if ctx.multiplies:
            return *to_nodes, to_e, to_weight.t(), None, *to_norm, None, None, None
        return *to_nodes, to_new, None, to_m, *to_norm, None, None, None


class _Moments:
    """Weighted mean and mean square deviation of rows, from those of blocks.

    Chan, Golub and LeVeque, The American Statistician 37, 242 (1983).
    """

    def __init__(self, norm: CountedNormSiLU) -> None:
        self.mean, self.squares = norm.running_mean, norm.running_var  # as long as there are none
        self.weight: Tensor | None = None

    def add(self, rows: Tensor, weights: Tensor) -> None:
        """Take in a block, (n, d) with weights (n,) that add up to 1 over all blocks."""
        if not len(rows):
            return
        weight = weights.sum()
        mean = weights @ rows / weight
        squares = weights @ (rows - mean).square_()
        if self.weight is None:
            self.mean, self.squares, self.weight = mean, squares, weight
            return
        step, both = mean - self.mean, self.weight + weight
        self.squares = self.squares + squares + step.square() * (self.weight * weight / both)
        self.mean = self.mean + step * (weight / both)
        self.weight = both


def _memory(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return memory of the shape of x, to overwrite: x itself, unless its dtype differs."""
    return x if x.dtype == dtype else x.new_empty(x.shape, dtype=dtype)
