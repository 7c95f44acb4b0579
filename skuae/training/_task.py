"""The contract of a task: what a network learns, from y to outputs and back."""

from typing import Any, NamedTuple, Protocol

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
    shape : object
        What the task has to know to give predictions the form of y.
    """

    values: Array
    given: Array
    names: list[str] | None
    shape: Any


class FittedTask(Protocol):
    """A task whose scaling or classes are known: from targets to outputs of the network and back.

    Attributes
    ----------
    n_outputs : int
        Columns of the network's output.
    target_weights : sequence of float
        How much each target counts in the loss.
    """

    @property
    def n_outputs(self) -> int: ...

    @property
    def target_weights(self) -> list[float]: ...

    def encode(self, values: Array) -> Array:
        """Return targets as the criterion compares them with outputs, of the same shape."""

    def weigh(self, values: Array, sample_weight: Array | None) -> Array | None:
        """Return the weights of the rows in the loss, (n_samples,), or None for ones."""

    def criterion(self) -> nn.Module:
        """Return the loss, from outputs and ``(targets, weights)`` of a batch to a number."""

    def decode(self, outputs: Array) -> Any:
        """Return predictions from the outputs of the network, (n_samples, n_outputs)."""

    def state(self) -> tuple[dict, dict[str, Array]]:
        """Return what a saved model needs: what JSON can hold, and arrays."""


class Task(Protocol):
    """What is to be learned, before any y is seen."""

    def read(self, y: Any, crystals: Crystals) -> Targets:
        """Check y against the rows; the error names the row."""

    def hold_back(self, targets: Targets, order: Array, n_valid: int) -> tuple[Array, Array]:
        """Split rows, given in random order, into those to train on and `n_valid` others."""

    def fit(self, targets: Targets, rows: Array, weight: Array | None) -> FittedTask:
        """Learn scaling or classes from the training rows, which have these weights."""

    def resume(self, targets: Targets, before: Any) -> FittedTask:
        """Return the task of a fit that goes on from another; raise if their outputs differ."""

    def load(self, config: dict, arrays: dict[str, Array]) -> FittedTask:
        """Return the fitted task that a saved model has, from what `state` returned."""
