"""The state of training: weights, their exponential mean, the best ones, and the epochs done."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from skuae.potentials._contract import PotentialModule

History = list[dict[str, Any]]


class TrainingState:
    """All that changes while a network is trained.

    Parameters
    ----------
    module : PotentialModule
    optimizer : torch.optim.Optimizer
        Of the weights that are trained.
    max_epochs : int
    ema_decay : float or None
        Share of the exponential mean of weights that a step keeps; None for no mean.
    patience : int or None
        Epochs without a smaller loss of the rows held back after which training ends; None if no
        rows are held back.

    Attributes
    ----------
    history : list of dict
        Number, losses and seconds of the epochs that are done.
    mean : list of Tensor or None
        Exponential means of the weights that are trained.
    best : list of Tensor or None
        What these weights (or means) were after the best epoch.
    """

    def __init__(
        self, module: PotentialModule, optimizer: torch.optim.Optimizer, max_epochs: int,
        ema_decay: float | None, patience: int | None,
    ) -> None:  # fmt: skip
        self.module, self.optimizer = module, optimizer
        self.max_epochs, self.ema_decay, self.patience = max_epochs, ema_decay, patience
        self.history: History = []
        self.mean = None if ema_decay is None else self._copied()
        self.best = None if patience is None else self._copied()

    @property
    def weights(self) -> list[Tensor]:
        """The weights that are trained, detached."""
        return [p.detach() for group in self.optimizer.param_groups for p in group["params"]]

    @property
    def is_done(self) -> bool:
        """Whether there is no epoch to come."""
        if len(self.history) >= self.max_epochs:
            return True
        if self.patience is None or not self.history:
            return False
        losses = [epoch["valid_loss"] for epoch in self.history]
        return len(losses) - 1 - losses.index(min(losses)) >= self.patience

    def average(self, step: int) -> None:
        """Let the weights after a step enter their mean.

        Parameters
        ----------
        step : int
            Steps before this one. The mean of a few steps forgets the first weights sooner.
        """
        if self.mean is not None and self.ema_decay is not None:
            share = 1 - min(self.ema_decay, (1 + step) / (10 + step))
            for mean, weight in zip(self.mean, self.weights, strict=True):
                mean.lerp_(weight, share)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Put the means, if there are any, in place of the weights for a while.

        Yields
        ------
        None
        """
        own = self._copied()
        self._put(self.mean)
        try:
            yield
        finally:
            self._put(own)

    def end_epoch(self, epoch: dict[str, Any]) -> None:
        """Append an epoch to the history, and keep its weights if they are the best so far.

        Parameters
        ----------
        epoch : dict
            With ``"valid_loss"`` if rows are held back.
        """
        if self.best is not None:
            before = (done["valid_loss"] for done in self.history)
            if epoch["valid_loss"] < min(before, default=float("inf")):
                source = self.weights if self.mean is None else self.mean
                self.best = [weight.clone() for weight in source]
        self.history.append(epoch)

    def finish(self) -> None:
        """Leave the best weights in the module, or their mean, or those of the last step."""
        self._put(self.mean if self.best is None else self.best)

    def _copied(self) -> list[Tensor]:
        return [weight.clone() for weight in self.weights]

    def _put(self, values: list[Tensor] | None) -> None:
        for weight, value in zip(self.weights, values or self.weights, strict=True):
            weight.copy_(value)
