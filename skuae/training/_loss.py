"""Losses over batches with unknown targets and weights."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LIKELIHOODS = ("gaussian_nll", "laplace_nll")  # losses that learn standard deviations
LOSSES = ("squared_error", "absolute_error", "huber", *LIKELIHOODS)
_BETA = 0.5
_BOUND = 12.0  # of log-variances: standard deviations of 0.0025 to 400 times that of the targets


class MaskedLoss(nn.Module):
    """Sum over targets of the mean of the losses, each times its weight.

    Weights are (B, n_targets); see `loss_weights`. Unknown targets, NaN, have loss 0.

    Parameters
    ----------
    loss : {"squared_error", "absolute_error", "huber", "gaussian_nll", "laplace_nll"}
        With the last two, there are two outputs per target; see `mean_and_log_variance`.
    task_weights : sequence of float of length n_targets, or None
    """

    task_weights: Tensor | None

    def __init__(self, loss: str, task_weights: Sequence[float] | None = None) -> None:
        super().__init__()
        self.loss = loss
        weights = None if task_weights is None else torch.tensor(task_weights, dtype=torch.float32)
        self.register_buffer("task_weights", weights)

    def forward(self, predicted: Tensor, targets: tuple[Tensor, Tensor | None]) -> Tensor:
        true, weights = targets
        unknown = torch.isnan(true)
        log_variance = None
        if self.loss in LIKELIHOODS:
            predicted, log_variance = mean_and_log_variance(predicted)
        error = torch.where(unknown, 0, predicted - true)  # (B, n_targets)
        losses = self._losses(error, log_variance)
        losses = torch.where(unknown, 0, losses if weights is None else losses * weights)
        per_task = losses.mean(0)
        return (per_task if self.task_weights is None else per_task * self.task_weights).sum()

    def _losses(self, error: Tensor, log_variance: Tensor | None) -> Tensor:
        if log_variance is not None:
            return self._likelihood(error, log_variance)
        if self.loss == "squared_error":
            return error.square()
        if self.loss == "absolute_error":
            return error.abs()
        return F.huber_loss(error, torch.zeros_like(error), reduction="none")

    def _likelihood(self, error: Tensor, log_variance: Tensor) -> Tensor:
        nll = negative_log_likelihood(self.loss, error, log_variance)
        if not self.training:  # a proper score, which epochs can be compared by
            return nll
        # The likelihood pulls at the mean with error / variance: rows that are predicted badly are
        # soon called noisy and then ignored. A weight of variance ** beta, itself not trained,
        # leaves error / std (Seitzer et al., ICLR 2022: beta-NLL), with Laplace's distribution the
        # sign of the error; what is fitted stays the same.
        return nll * (_BETA * log_variance.detach()).exp()


def negative_log_likelihood(loss: str, error: Tensor, log_variance: Tensor) -> Tensor:
    """Return the negative logarithms of the likelihoods of errors, without constants.

    Parameters
    ----------
    loss : {"gaussian_nll", "laplace_nll"}
        A normal distribution, or Laplace's: the larger an error, the less a further one counts.
    error, log_variance : Tensor of shape (B, n_targets)

    Returns
    -------
    Tensor of shape (B, n_targets)
    """
    if loss == "gaussian_nll":
        return (error.square() * (-log_variance).exp() + log_variance) / 2
    # The variance of Laplace's distribution is twice the square of its scale.
    return 2**0.5 * error.abs() * (-log_variance / 2).exp() + log_variance / 2


def mean_and_log_variance(outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Read the outputs of a mean-variance head.

    Parameters
    ----------
    outputs : Tensor of shape (B, 2 * n_targets)
        Means of all targets, then what their log-variances are made of.

    Returns
    -------
    mean, log_variance : Tensor of shape (B, n_targets)
        Log-variances are kept within bounds, along a tanh: no error, however large, is divided by
        next to nothing.
    """
    mean, raw = outputs.chunk(2, dim=1)
    return mean, _BOUND * torch.tanh(raw / _BOUND)


class LogLoss(nn.Module):
    """Mean of the cross-entropies of classes, each times its weight; weights are (B, 1)."""

    def forward(self, logits: Tensor, targets: tuple[Tensor, Tensor | None]) -> Tensor:
        codes, weights = targets  # (B, 1)
        losses = F.cross_entropy(logits, codes[:, 0].long(), reduction="none")
        return (losses if weights is None else losses * weights[:, 0]).mean()
