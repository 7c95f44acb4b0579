"""Interpolation in a table of vectors.

A network that reads one number only is evaluated on a fine grid if a batch has more numbers than
the grid has points.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

_ROUNDED = 2e-6  # relative to the largest value: an error like that of rounding


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
        rows = first[:, None] + torch.arange(4)
        return F.embedding_bag(rows, table, mode="sum", per_sample_weights=weights)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        first, weights = ctx.saved_tensors
        to_table = grad.new_zeros(ctx.n_rows, grad.shape[1])
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
    rows = first[:, None] + torch.arange(4)
    total = counts.new_zeros(n_rows)
    return total.index_add_(0, rows.flatten(), (weights * counts[:, None]).flatten())


def is_exact(table: Tensor) -> bool:
    """Return whether rows interpolated from a table are exact in single precision.

    Every other row is interpolated from the rest. With steps half as long, the error of cubic
    polynomials is a sixteenth.

    Parameters
    ----------
    table : Tensor of shape (m, d)
        On the CPU: the answer is waited for.

    Returns
    -------
    bool
        False also for values that are not finite.
    """
    table = table.detach()
    between = table[1 : len(table) - 1 : 2]
    positions = torch.arange(len(between), dtype=table.dtype) + 0.5
    error = (interpolate(table[::2], positions) - between).abs().max() / 16
    return bool(error < _ROUNDED * table.abs().max())


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
