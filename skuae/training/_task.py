"""The contract of a task: what a network learns, from y to outputs and back."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from skuae.crystals import Crystals

Array = np.ndarray


class Targets(NamedTuple):
    """What `fit` was given to learn, checked.

    Attributes
    ----------
    values : ndarray of float64 of shape (n_samples, n_columns)
        Numbers, NaN where unknown; or one column with the codes of classes.
    given : ndarray of length n_samples
        Numbers or labels, for an estimator that learns an element table from them.
    names : list of str or None
    form : object
        What the task has to know to give predictions the form of y: whether y was one-dimensional,
        or the classes.
    """

    values: Array
    given: Array
    names: list[str] | None
    form: Any


@dataclass(frozen=True, eq=False)
class FitData:
    """The rows that `fit` was given, checked.

    Attributes
    ----------
    crystals : Crystals or Shards
        Shards have all of what is read of crystals here but the packed arrays.
    targets : Targets
    sample_weight : ndarray of shape (n_samples,) or None
    train, valid : ndarray of int
        Rows to train on, and rows held back that tell how many epochs are best; often none.
    """

    crystals: Any
    targets: Targets
    sample_weight: Array | None
    train: Array
    valid: Array

    @property
    def train_weight(self) -> Array | None:
        """The weights of the training rows."""
        return None if self.sample_weight is None else self.sample_weight[self.train]


def mean_loss(losses: Array, weights: Array) -> Array:
    """Return the weighted means of the columns, 0 where all weights are 0.

    Parameters
    ----------
    losses : ndarray of shape (n_samples, n_targets)
    weights : ndarray of the same shape
        Losses of weight 0 may be NaN.

    Returns
    -------
    ndarray of shape (n_targets,)
    """
    totals = weights.sum(axis=0)
    counted = np.where(weights > 0, losses * weights, 0.0)
    return counted.sum(axis=0) / np.where(totals > 0, totals, 1.0)


class FittedTask(ABC):
    """A task whose scaling or classes are known: from targets to outputs and back."""

    @property
    @abstractmethod
    def n_outputs(self) -> int:
        """Columns of the network's output."""

    @property
    def n_predicted(self) -> int:
        """Columns of it that predictions are made of; further ones say how uncertain they are."""
        return self.n_outputs

    @property
    @abstractmethod
    def n_targets(self) -> int:
        """Columns of `y`."""

    @property
    @abstractmethod
    def target_weights(self) -> list[float]:
        """How much each target counts in the loss."""

    @abstractmethod
    def encode(self, values: Array) -> Array:
        """Return targets as the criterion compares them with outputs.

        Parameters
        ----------
        values : ndarray of shape (n_samples, n_columns)

        Returns
        -------
        ndarray of the same shape
        """

    @abstractmethod
    def weigh(self, values: Array, sample_weight: Array | None) -> Array | None:
        """Return the weights of the rows in the loss.

        Parameters
        ----------
        values : ndarray of shape (n_samples, n_columns)
        sample_weight : ndarray of shape (n_samples,) or None

        Returns
        -------
        ndarray of shape (n_samples,), or None for ones
        """

    @abstractmethod
    def criterion(self) -> nn.Module:
        """Return the loss, from outputs and ``(targets, weights)`` of a batch to a number.

        Returns
        -------
        torch.nn.Module
        """

    @abstractmethod
    def decode(self, outputs: Array) -> Array:
        """Return predictions.

        Parameters
        ----------
        outputs : ndarray of shape (n_samples, n_outputs)
            Those of the network.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_targets)
            In the form and units of y.
        """

    @abstractmethod
    def error(self, outputs: Array, values: Array, sample_weight: Array | None) -> float:
        """Return the error of rows that were held back; smaller is better.

        Parameters
        ----------
        outputs : ndarray of shape (n_samples, n_outputs)
            Those of the network.
        values : ndarray of shape (n_samples, n_columns)
            The targets.
        sample_weight : ndarray of shape (n_samples,) or None
            As `weigh` returns them.

        Returns
        -------
        float
            0 if nothing is known of these rows; NaN or infinite if an output is.
        """

    @abstractmethod
    def state(self) -> tuple[dict, dict[str, Array]]:
        """Return what a saved model needs.

        Returns
        -------
        config : dict
            What JSON can hold.
        arrays : dict of str to ndarray
        """


class Task(ABC):
    """What is to be learned, before any y is seen."""

    @abstractmethod
    def read(self, y: Any, crystals: Crystals) -> Targets:
        """Check y against the rows.

        Parameters
        ----------
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        crystals : Crystals

        Returns
        -------
        Targets

        Raises
        ------
        ValueError
            If y makes no sense; the message names the row.
        """

    @abstractmethod
    def hold_back(self, targets: Targets, order: Array, n_valid: int) -> tuple[Array, Array]:
        """Split rows into those to train on and those to validate with.

        Parameters
        ----------
        targets : Targets
        order : ndarray of int
            Rows in random order.
        n_valid : int
            How many to validate with.

        Returns
        -------
        train, valid : ndarray of int
        """

    @abstractmethod
    def fit(self, targets: Targets, rows: Array, weight: Array | None) -> FittedTask:
        """Learn scaling or classes.

        Parameters
        ----------
        targets : Targets
        rows : ndarray of int
            The training rows.
        weight : ndarray or None
            Weights of these rows.

        Returns
        -------
        FittedTask
        """

    @abstractmethod
    def resume(
        self, targets: Targets, rows: Array, weight: Array | None, before: Any
    ) -> FittedTask:
        """Return the task of a fit that goes on from another.

        Parameters
        ----------
        targets : Targets
        rows : ndarray of int
            The training rows.
        weight : ndarray or None
            Weights of these rows.
        before : FittedTask

        Returns
        -------
        FittedTask

        Raises
        ------
        ValueError
            If the network would need other outputs.
        """

    @abstractmethod
    def load(self, config: dict, arrays: dict[str, Array]) -> FittedTask:
        """Return the fitted task of a saved model.

        Parameters
        ----------
        config : dict
        arrays : dict of str to ndarray
            What `FittedTask.state` returned, and others; those of the task are removed.

        Returns
        -------
        FittedTask
        """
