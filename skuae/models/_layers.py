"""Layers that several papers share."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from skuae._ranks import are_together, gathered, summed
from skuae.crystals import CrystalBatch


class GaussianBasis(nn.Module):
    """Expand numbers in Gaussians, exp(-(x - center)² / width²).

    Parameters
    ----------
    start, stop : float
        First and last center.
    n_centers : int
    width : float
    """

    centers: Tensor

    def __init__(self, start: float, stop: float, n_centers: int, width: float) -> None:
        super().__init__()
        centers = torch.linspace(start, stop, n_centers, dtype=torch.float64)
        self.register_buffer("centers", centers.to(torch.get_default_dtype()), persistent=False)
        self.width = width

    def __len__(self) -> int:
        return len(self.centers)

    def forward(self, x: Tensor, n_centers: int | None = None) -> Tensor:
        scaled = (x[..., None] - self.centers[:n_centers]) / self.width
        # exp(-40) is nothing beside 1; below exp(-87) come denormal numbers, ten times slower to
        # make and to multiply.
        return scaled.square_().clamp_(max=40).neg_().exp_()

    def n_reached(self, x: Tensor) -> int:
        """Count the centers from the first on that are not out of reach of all the numbers."""
        if not x.is_cpu or not len(x):  # a GPU would have to wait for the answer
            return len(self)
        reach = x.max() + 7 * self.width  # exp(-7²) is nothing
        return min(len(self), int(torch.searchsorted(self.centers, reach)) + 1)


class TrackedNorm(nn.BatchNorm1d):
    """Batch normalisation, where statistics are tracked: none of these is None."""

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float
    knows_ranks = True  # its statistics are those of all ranks

    @torch.no_grad()
    def update(self, mean: Tensor, variance: Tensor, total: Tensor) -> None:
        """Move the running statistics towards those of a batch of `total` rows, if above 1.

        The variance that one row is drawn from is unknown.
        """
        self.num_batches_tracked += total > 0  # all ranks may have none
        unbiased = variance * (total / (total - 1).clamp(min=1))
        for running, new in ((self.running_mean, mean), (self.running_var, unbiased)):
            running.lerp_(torch.where(total > 1, new, running), self.momentum)


class CountedNorm(TrackedNorm):
    """Batch normalisation of rows that may stand for several equal ones each."""

    def forward(self, x: Tensor, counts: Tensor | None = None) -> Tensor:
        """Return BN(x) for x (n, d) whose row ``i`` occurs ``counts[i]`` times; None for once."""
        if not self.training or (counts is None and len(x) > 1 and not are_together()):
            return super().forward(x)
        if counts is None:
            counts = x.new_ones(len(x))  # torch refuses to normalise one row
        total = counts.sum()
        shares = counts / total
        mean = shares @ x
        centered = x - mean
        variance = shares @ centered.square()
        if are_together():
            total, mean, variance = over_ranks(total, mean, variance)
            centered = x - mean
        self.update(mean.detach(), variance.detach(), total)
        return torch.addcmul(self.bias, centered, self.weight * torch.rsqrt(variance + self.eps))


class CountedNormSiLU(TrackedNorm):
    """SiLU of batch normalisation, over rows that stand for several equal ones each."""

    def forward(self, x: Tensor, counts: Tensor) -> Tensor:  # type: ignore[override]  # counts, too
        """Return SiLU(BN(x)) for x (n, d) whose row ``i`` occurs ``counts[i]`` times."""
        if not len(x) and not (self.training and are_together()):
            return x  # there are no statistics of nothing
        if not self.training:
            scale = self.weight * torch.rsqrt(self.running_var + self.eps)
            return F.silu(torch.addcmul(self.bias - self.running_mean * scale, x, scale))
        return _CountedNormSiLU.apply(x, self.weight, self.bias, counts, self)


class _CountedNormSiLU(torch.autograd.Function):
    """Has its own backward pass, which keeps x only; autograd keeps five arrays of its size."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, counts: Tensor, norm: CountedNormSiLU
    ) -> Tensor:
        shares, mean, inv_std = counted_statistics(x, counts, norm)
        scale = weight * inv_std
        shift = bias - mean * scale
        ctx.save_for_backward(x, shares, mean, inv_std, scale, shift)
        return F.silu(torch.addcmul(shift, x, scale), inplace=True)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, shares, mean, inv_std, scale, shift = ctx.saved_tensors
        if shares is None:
            return grad, None, None, None, None
        to_y = torch.addcmul(shift, x, scale)
        torch.ops.aten.silu_backward.grad_input(grad, to_y, grad_input=to_y)
        scratch = torch.mul(to_y, x)
        to_bias = to_y.sum(0)
        to_weight = (scratch.sum(0) - mean * to_bias) * inv_std
        # The statistics depend on x too.
        of_weight, of_bias = summed_pair(to_weight, to_bias)
        slope = scale * inv_std * of_weight
        torch.addcmul(scale * of_bias - mean * slope, x, slope, out=scratch)
        to_x = to_y.mul_(scale).addcmul_(scratch, shares[:, None], value=-1)
        return to_x, to_weight, to_bias, None, None


def counted_statistics(
    x: Tensor, counts: Tensor, norm: TrackedNorm
) -> tuple[Tensor | None, Tensor, Tensor]:
    """Return shares (n,), mean (d,) and 1 / std of rows x (n, d) that occur so many times.

    The running statistics of the norm move towards these. There are no gradients. Shares are None
    where several ranks have not a single row: as in one process, the norm is then not trained.
    """
    total = counts.sum()
    shares = counts / total
    mean = shares @ x
    variance = shares @ (x - mean).square_()
    if are_together():
        total, mean, variance = over_ranks(total, mean, variance)
        shares = counts / total
    norm.update(mean, variance, total)
    is_empty = are_together() and not len(x) and not total > 0
    return None if is_empty else shares, mean, torch.rsqrt(variance + norm.eps)


def over_ranks(total: Tensor, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return number (), mean (d,) and variance (d,) of the rows of all ranks, for those of one.

    A rank without rows has the number 0, and any finite mean and variance.
    """
    parts = gathered(torch.cat([total.to(mean.dtype)[None], mean, variance]))
    totals, means, variances = parts.split([1, len(mean), len(mean)], dim=1)
    total = totals.sum()
    shares = totals / total.clamp(min=1)
    mean = (shares * means).sum(0)
    return total, mean, (shares * (variances + (means - mean).square())).sum(0)


def summed_pair(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sums of two vectors (d,) over all ranks; in a single process, the vectors."""
    if not are_together():
        return a, b
    first, second = summed(torch.stack([a, b]))
    return first, second


def widened(x: Tensor) -> Tensor:
    """Return bfloat16 as float32, for sums of many; all else as it is."""
    return x.float() if x.dtype == torch.bfloat16 else x


def pooled_layers(vectors: Iterable[Tensor], batch: CrystalBatch) -> dict[str, Tensor]:
    """Average the site vectors (N, any) of several layers over each crystal.

    Their names are layer0, layer1 and so on.
    """
    return {f"layer{i}": mean_over_sites(x, batch) for i, x in enumerate(vectors)}


def mean_over_sites(x: Tensor, batch: CrystalBatch) -> Tensor:
    """Average site vectors (N, d) over each crystal: (B, d)."""
    if batch.site_counts is not None:
        x = x * batch.site_counts[:, None]
    total = x.new_zeros(len(batch), x.shape[1]).index_add(0, batch.crystal, x)
    return total / batch.sizes[:, None]
