"""Interpolation in a table of vectors.

A network that reads one number only is evaluated on a fine grid if a batch has more numbers than
the grid has points.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


def interpolate(table: Tensor, positions: Tensor) -> Tensor:
    """Interpolate between rows of a table by cubic polynomials through the nearest four.

    The result is continuous in the positions. For a smooth function that was tabulated at steps of
    h, the error is at most 3/128 h⁴ times the largest fourth derivative, except in the first and
    last step.

    Parameters
    ----------
    table : Tensor of shape (m, d)
        Values at positions 0 to m - 1; m is at least 4.
    positions : Tensor of shape (n,)
        In steps of the grid. There is no gradient with respect to them. Those outside the grid are
        extrapolated.

    Returns
    -------
    Tensor of shape (n, d)
    """
    return _Interpolate.apply(table, positions)


class _Interpolate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, positions: Tensor) -> Tensor:
        first, weights = _stencil(positions, len(table))
        ctx.n_rows = len(table)
        ctx.save_for_backward(first, weights)
        if not table.is_cpu:
            out = table.new_zeros(len(positions), table.shape[1])
            for i, weight in enumerate(weights.unbind(1)):
                out.addcmul_(table.index_select(0, first + i), weight[:, None])
            return out
        rows = first[:, None] + torch.arange(4)
        return F.embedding_bag(rows, table, mode="sum", per_sample_weights=weights)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        first, weights = ctx.saved_tensors
        to_table = grad.new_zeros(ctx.n_rows, grad.shape[1])
        if not grad.is_cpu:
            for i, weight in enumerate(weights.unbind(1)):
                to_table.index_add_(0, first + i, grad * weight[:, None])
            return to_table, None
        # Sorted by cell, sums of rows take a third of the time.
        order = torch.argsort(first)
        weights = weights[order]
        sizes = torch.bincount(first, minlength=ctx.n_rows - 3)
        offsets = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
        grad = grad.contiguous()
        for i, weight in enumerate(weights.unbind(1)):
            to_table[i : i + len(sizes)] += F.embedding_bag(
                order, grad, offsets, mode="sum", include_last_offset=True,
                per_sample_weights=weight.contiguous(),
            )  # fmt: skip
        return to_table, None


def _stencil(positions: Tensor, n_rows: int) -> tuple[Tensor, Tensor]:
    """Return the first of the four rows that matter, (n,), and their weights, (n, 4)."""
    first = positions.floor().sub_(1).clamp_(0, n_rows - 4)
    return first.long(), _lagrange(positions - first)


def _lagrange(t: Tensor) -> Tensor:
    """Return the weights (n, 4) of values at 0, 1, 2, 3 in a cubic polynomial at t (n,)."""
    a, b, c = t - 1, t - 2, t - 3
    return torch.stack([a * b * c / -6, t * b * c / 2, t * a * c / -2, t * a * b / 6], dim=1)


def spread(counts: Tensor, positions: Tensor, n_rows: int) -> Tensor:
    """Return how much each row of a table weighs in rows that are interpolated from it.

    The weighted sum of interpolated rows, ``counts @ interpolate(table, positions)``, is
    ``spread(counts, positions, len(table)) @ table``.

    Parameters
    ----------
    counts : Tensor of shape (n,)
        Weights of the interpolated rows.
    positions : Tensor of shape (n,)
    n_rows : int

    Returns
    -------
    Tensor of shape (n_rows,)
    """
    first, weights = _stencil(positions, n_rows)
    rows = first[:, None] + torch.arange(4, device=first.device)
    total = counts.new_zeros(n_rows)
    return total.index_add_(0, rows.flatten(), (weights * counts[:, None]).flatten())


class Tabulated(NamedTuple):
    """Rows that lie between those of a table.

    Attributes
    ----------
    table : Tensor of shape (m, d)
    positions : Tensor of shape (n,)
        In steps of the grid.
    """

    table: Tensor
    positions: Tensor
