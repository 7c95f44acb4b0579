"""Look-ups and sums of rows by index, differentiable to any order."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


class Incidence:
    """An index of rows, and the sums over rows of one index.

    Looking up and summing are linear, and each is the derivative of the other. So both have
    derivatives of any order, and on a CPU both take the fastest kernel of torch: sums take half the
    time of ``index_add``.

    Parameters
    ----------
    index : Tensor of int64 of shape (n,)
        Rows of the other array.
    n_rows : int
        Length of the other array.
    """

    def __init__(self, index: Tensor, n_rows: int) -> None:
        self.index, self.n_rows = index, n_rows

    def __len__(self) -> int:
        return len(self.index)

    def take(self, x: Tensor) -> Tensor:
        """Look up rows.

        Parameters
        ----------
        x : Tensor of shape (n_rows, d)

        Returns
        -------
        Tensor of shape (n, d)
            ``x[index]``.
        """
        return _Take.apply(x, self)

    def sum(self, x: Tensor) -> Tensor:
        """Sum rows of one index.

        Parameters
        ----------
        x : Tensor of shape (n, d)

        Returns
        -------
        Tensor of shape (n_rows, d)
            Row ``r`` is the sum of the rows of x whose index is ``r``.
        """
        return _Sum.apply(x, self)

    @cached_property
    def bags(self) -> tuple[Tensor, Tensor]:
        """The rows ordered by their index, and the offsets of each index among them."""
        sizes = torch.bincount(self.index, minlength=self.n_rows)
        return torch.argsort(self.index), torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])


class Incidences:
    """Several indices of the same rows, each into an array of its own.

    Look-ups in all of them are added in one step: writing each and adding it takes twice the time.

    Parameters
    ----------
    parts : sequence of Incidence
        All of one length n.
    """

    def __init__(self, parts: Sequence[Incidence]) -> None:
        self.parts = parts

    def take(self, *arrays: Tensor) -> Tensor:
        """Look up rows in all arrays, and add them.

        Parameters
        ----------
        *arrays : Tensor of shape (n_rows of the part, d)

        Returns
        -------
        Tensor of shape (n, d)
            ``sum(x[part.index] for x, part in zip(arrays, parts))``.
        """
        return _TakeAll.apply(self, *arrays)

    @cached_property
    def joined(self) -> Tensor:
        """The indices of each row (n, n_parts) into the arrays one after the other."""
        start, columns = 0, []
        for part in self.parts:
            columns.append(part.index + start)
            start += part.n_rows
        return torch.stack(columns, dim=1)


class _Take(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, incidence: Incidence) -> Tensor:
        ctx.incidence = incidence
        return x.index_select(0, incidence.index)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _Sum.apply(grad, ctx.incidence), None


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, incidence: Incidence) -> Tensor:
        ctx.incidence = incidence
        if not x.is_cpu or not len(x):
            return x.new_zeros(incidence.n_rows, x.shape[1]).index_add_(0, incidence.index, x)
        rows, offsets = incidence.bags
        return F.embedding_bag(rows, x.contiguous(), offsets, mode="sum", include_last_offset=True)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _Take.apply(grad, ctx.incidence), None


class _TakeAll(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, incidences: Incidences, *arrays: Tensor) -> Tensor:
        ctx.incidences = incidences
        if not arrays[0].is_cpu:
            pairs = zip(arrays, incidences.parts, strict=True)
            return torch.stack([x.index_select(0, part.index) for x, part in pairs]).sum(0)
        return F.embedding_bag(incidences.joined, torch.cat(arrays), mode="sum")

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return None, *_SumAll.apply(grad, ctx.incidences)


class _SumAll(torch.autograd.Function):
    """Sums by each of several indices."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, incidences: Incidences) -> tuple[Tensor, ...]:
        ctx.incidences = incidences
        return tuple(part.sum(x) for part in incidences.parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return ctx.incidences.take(*grads), None
