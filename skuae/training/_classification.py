"""The task of predicting classes: one output per class, also for two of them."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from skuae._cards import take
from skuae.crystals import Crystals
from skuae.training._labels import (
    check_two_classes,
    class_weights,
    decode_classes,
    encode_classes,
    read_labels,
)
from skuae.training._loss import LogLoss
from skuae.training._task import Array, FittedTask, Targets, Task, mean_loss


@dataclass(frozen=True)
class ClassificationTask(Task):
    """Learn the class of a crystal.

    Parameters
    ----------
    class_weight : dict, "balanced" or None
        Weights of the classes in the loss.
    """

    class_weight: Any = None

    def read(self, y: Any, crystals: Crystals) -> Targets:
        classes, codes, names = read_labels(y, crystals)
        return Targets(codes[:, None].astype(float), classes[codes], names, classes)

    def hold_back(self, targets: Targets, order: Array, n_valid: int) -> tuple[Array, Array]:
        # One row of each class stays in training. The others are laid out class by class, and
        # every so many of them one is taken: each class gives its share.
        codes = targets.values[order, 0]
        kept = np.unique(codes, return_index=True)[1]
        free = np.delete(np.arange(len(order)), kept)
        free = free[np.argsort(codes[free], kind="stable")]
        weights = self._weights_of(targets)
        if weights is not None:  # rows that do not count say nothing
            free = free[weights[order[free]] > 0]
            n_valid = max(1, min(n_valid, len(free)))
        if len(free) < n_valid:
            raise ValueError(
                f"{len(order)} rows of {len(kept)} classes leave {len(free)} to validate with if "
                "each class keeps one to train on; set early_stopping=False"
            )
        taken = free[((np.arange(n_valid) + 0.5) * len(free) / n_valid).astype(int)]
        return np.delete(order, taken), order[taken]

    def _weights_of(self, targets: Targets) -> Array | None:
        """Return the weights that rows have by their classes."""
        codes = targets.values[:, 0].astype(int)
        counted = np.ones(len(codes), dtype=bool)
        return class_weights(self.class_weight, targets.form, codes, counted)

    def fit(self, targets: Targets, rows: Array, weight: Array | None) -> "FittedClassification":
        check_two_classes(np.unique(targets.given[rows]))
        return FittedClassification(targets.form, self.class_weight)

    def resume(
        self, targets: Targets, rows: Array, weight: Array | None, before: "FittedClassification"
    ) -> "FittedClassification":
        if not np.array_equal(targets.form, before.classes):
            raise ValueError(
                f"y has the classes {targets.form.tolist()}, the fit before had "
                f"{before.classes.tolist()}; set warm_start=False to start anew"
            )
        return replace(before, classes=targets.form, class_weight=self.class_weight)

    def load(self, config: dict, arrays: dict[str, Array]) -> "FittedClassification":
        return FittedClassification(
            decode_classes(take(config, "classes", dict)), self.class_weight
        )


@dataclass(frozen=True, eq=False)
class FittedClassification(FittedTask):
    """Classification with known classes.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        Sorted labels.
    class_weight : dict, "balanced" or None
        As in `ClassificationTask`.
    """

    classes: Array
    class_weight: Any = None

    @property
    def n_outputs(self) -> int:
        return len(self.classes)

    @property
    def n_targets(self) -> int:
        return 1

    @property
    def target_weights(self) -> list[float]:
        return [1.0] * len(self.classes)

    def encode(self, values: Array) -> Array:
        return values

    def weigh(self, values: Array, sample_weight: Array | None) -> Array | None:
        codes = values[:, 0].astype(int)
        counted = np.ones(len(codes), dtype=bool) if sample_weight is None else sample_weight > 0
        weight = class_weights(self.class_weight, self.classes, codes, counted)
        if weight is None or sample_weight is None:
            return sample_weight if weight is None else weight
        return weight * sample_weight

    def criterion(self) -> nn.Module:
        return LogLoss()

    def decode(self, outputs: Array) -> Array:
        return self.classes[outputs.argmax(axis=1)]

    def error(self, outputs: Array, values: Array, sample_weight: Array | None) -> float:
        logits = torch.from_numpy(outputs).double()
        codes = torch.from_numpy(values[:, 0]).long()
        losses = F.cross_entropy(logits, codes, reduction="none").numpy()
        weights = np.ones(len(losses)) if sample_weight is None else sample_weight
        return float(mean_loss(losses, weights))

    def state(self) -> tuple[dict, dict[str, Array]]:
        return {"classes": encode_classes(self.classes)}, {}
