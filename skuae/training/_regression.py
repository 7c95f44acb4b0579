"""The task of predicting numbers, on standardised targets."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, Self

import numpy as np
import torch
from scipy.stats import norm
from torch import Tensor, nn

from skuae._cards import take, take_array
from skuae.crystals import Crystals
from skuae.training._loss import (
    LIKELIHOODS,
    MaskedLoss,
    mean_and_log_variance,
    negative_log_likelihood,
)
from skuae.training._targets import TargetScaler, check_targets
from skuae.training._task import Array, FittedTask, Targets, Task, mean_loss

_LARGEST_WEIGHTS = 1e18  # losses are float32
_SMALLEST_FACTOR = 1e-6  # logarithms of deviations stay finite


@dataclass(frozen=True)
class RegressionTask(Task):
    """Learn one or several numbers per crystal.

    Parameters
    ----------
    loss : {"squared_error", "absolute_error", "huber", "gaussian_nll", "laplace_nll"}
    task_weights : sequence of float of length n_targets, optional
        Weights of the targets in the loss; ones by default.
    log_targets : {"all"}, sequence of int or str, or None
        Targets of which the common logarithm is learned, by number or name.
    """

    loss: str = "squared_error"
    task_weights: Sequence[float] | None = None
    log_targets: Any = None

    def read(self, y: Any, crystals: Crystals) -> Targets:
        given, names, one_target = check_targets(y, crystals)
        self._check_task_weights(given.shape[1])
        values = given.copy()
        for column in find_log_targets(self.log_targets, given.shape[1], names):
            not_positive = np.flatnonzero(given[:, column] <= 0)
            if len(not_positive):
                row = int(not_positive[0])
                raise ValueError(
                    f"{crystals.where(row)}: the target {names[column] if names else column} is "
                    f"{given[row, column]:g}, which has no logarithm (log_targets); set it to NaN "
                    "to leave it out, or do not take logarithms of this target"
                )
            values[:, column] = np.log10(given[:, column])
        return Targets(values, given, names, one_target)

    def hold_back(self, targets: Targets, order: Array, n_valid: int) -> tuple[Array, Array]:
        return order[n_valid:], order[:n_valid]

    def fit(self, targets: Targets, rows: Array, weight: Array | None) -> "FittedRegression":
        scaler = TargetScaler().fit(targets.values[rows], weight)
        logs = find_log_targets(self.log_targets, targets.values.shape[1], targets.names)
        return FittedRegression(scaler, targets.form, self.loss, self.task_weights, logs)

    def resume(
        self, targets: Targets, rows: Array, weight: Array | None, before: "FittedRegression"
    ) -> "FittedRegression":
        n, n_before = targets.values.shape[1], len(before.scaler.mean_)
        if n != n_before:
            raise ValueError(
                f"y has {n} targets, the fit before had {n_before}; set warm_start=False to start "
                "anew"
            )
        if (self.loss in LIKELIHOODS) != (before.loss in LIKELIHOODS):
            raise ValueError(
                f"loss is {self.loss!r}, and was {before.loss!r} in the fit before, which has "
                "another head; set warm_start=False to start anew, and init_from to keep all but "
                "the head"
            )
        logs = find_log_targets(self.log_targets, n, targets.names)
        if logs != before.logs:
            raise ValueError(
                f"log_targets is {self.log_targets!r}, which are other targets than in the fit "
                "before; set warm_start=False to start anew"
            )
        scaler = before.scaler.resumed(TargetScaler().fit(targets.values[rows], weight))
        return FittedRegression(scaler, targets.form, self.loss, self.task_weights, logs)

    def load(self, config: dict, arrays: dict[str, Array]) -> "FittedRegression":
        scaler = TargetScaler()
        scaler.mean_ = take_array(arrays, "task.mean", np.float64, (None,))
        scaler.scale_ = take_array(arrays, "task.scale", np.float64, scaler.mean_.shape)
        one_target = take(config, "one_target", bool)
        n_targets = len(scaler.mean_)
        if n_targets == 0 or (one_target and n_targets > 1) or (scaler.scale_ < 0).any():
            raise ValueError(f"the scales {scaler.scale_} are not those of targets")
        self._check_task_weights(n_targets)
        logs = tuple(take(config, "logs", list))
        if any(type(log) is not int or not 0 <= log < n_targets for log in logs):
            raise ValueError(f"'logs' is {list(logs)!r:.80}, not numbers of targets")
        factors = tuple(take(config, "std_factors", list))
        if len(factors) not in (0, n_targets) or not all(_is_factor(f) for f in factors):
            raise ValueError(f"'std_factors' is {list(factors)!r:.80}, not factors of targets")
        return FittedRegression(scaler, one_target, self.loss, self.task_weights, logs, factors)

    def _check_task_weights(self, n_targets: int) -> None:
        if self.task_weights is None:
            return
        try:
            weights = np.asarray(self.task_weights, dtype=float)
        except (TypeError, ValueError):  # a dict, or a text, say
            weights = np.empty(())
        if weights.shape != (n_targets,):
            raise ValueError(
                f"task_weights must be a sequence of {n_targets} numbers, one for each "
                f"target; got {self.task_weights!r}"
            )
        if not (weights >= 0).all() or not 0 < weights.sum() <= _LARGEST_WEIGHTS:
            raise ValueError(
                "task_weights must be finite, not negative, not all 0, and at most "
                f"{_LARGEST_WEIGHTS:g} together; got {self.task_weights!r}"
            )


@dataclass(frozen=True, eq=False)
class FittedRegression(FittedTask):
    """Regression with known scales.

    Parameters
    ----------
    scaler : TargetScaler
        Mean and standard deviation of the targets in the training rows. A constant target is not
        learned: its mean is predicted, with a standard deviation of 0.
    one_target : bool
        Whether y was one-dimensional.
    loss : str
        As in `RegressionTask`.
    task_weights : sequence of float, optional
        As in `RegressionTask`.
    logs : tuple of int
        Targets of which the common logarithm is learned: the scaler knows it, and `error` is its.
    std_factors : tuple of float
        What the standard deviations of the network are multiplied with, by target; empty for ones.
    """

    scaler: TargetScaler
    one_target: bool
    loss: str = "squared_error"
    task_weights: Sequence[float] | None = None
    logs: tuple[int, ...] = ()
    std_factors: tuple[float, ...] = ()

    @property
    def n_outputs(self) -> int:
        return len(self.scaler.mean_) * (2 if self.has_std else 1)

    @property
    def has_std(self) -> bool:
        """Whether the network has learned standard deviations."""
        return self.loss in LIKELIHOODS

    @property
    def n_targets(self) -> int:
        return len(self.scaler.mean_)

    @property
    def n_predicted(self) -> int:
        return self.n_targets

    @property
    def target_weights(self) -> list[float]:
        weights = self.task_weights
        return [1.0] * len(self.scaler.mean_) if weights is None else list(weights)

    def encode(self, values: Array) -> Array:
        return self.scaler.transform(values)

    def weigh(self, values: Array, sample_weight: Array | None) -> Array | None:
        return sample_weight

    def criterion(self) -> nn.Module:
        return MaskedLoss(self.loss, self.task_weights)

    def decode(self, outputs: Array) -> Array:
        return self._formed(self._decode(outputs))

    def decode_std(self, outputs: Array) -> Array:
        """Return the predicted standard deviations, if `has_std`.

        Parameters
        ----------
        outputs : ndarray of shape (n_samples, n_outputs)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_targets)
            In units of y. Of a target with a logarithm, it is the prediction times the standard
            deviation of the natural logarithm.
        """
        _, log_variance = self._read(outputs)
        std = (log_variance / 2).exp().double().numpy() * self.scaler.scale_
        for column in self.logs:
            std[:, column] *= np.log(10) * self._decode(outputs)[:, column]
        return self._formed(std)

    def calibrated(self, outputs: Array, targets: Targets, level: float) -> Self:
        """Return the same with other `std_factors`, those that suit known values.

        Parameters
        ----------
        outputs : ndarray of shape (n_samples, n_outputs)
        targets : Targets
            Of the same rows.
        level : float
            Share of the values that the intervals of a normal distribution are to hold.

        Returns
        -------
        FittedRegression

        Raises
        ------
        ValueError
            If a target that is not constant has too few known values.
        """
        plain = replace(self, std_factors=())
        mean, log_variance = (part.double().numpy() for part in plain._read(outputs))
        distances = np.abs(mean - self.encode(targets.values)) * np.exp(-log_variance / 2)
        factors = []
        for column, distance in enumerate(distances.T):
            if self.scaler.scale_[column] == 0:  # its deviation is 0, whatever the factor
                factors.append(1.0)
                continue
            known = np.sort(distance[~np.isnan(distance)])
            rank = _ceil((len(known) + 1) * level)  # as in split conformal prediction
            if rank > len(known):
                name = targets.names[column] if targets.names else column
                raise ValueError(
                    f"target {name} has {len(known)} known values; intervals of {level:g} need "
                    f"{_ceil(level / (1 - level))} or more"
                )
            factor = float(known[rank - 1] / norm.ppf(0.5 + level / 2))
            factors.append(max(factor, _SMALLEST_FACTOR))
        return replace(self, std_factors=tuple(factors))

    def _decode(self, outputs: Array) -> Array:
        mean, _ = self._read(outputs)
        y = self.scaler.inverse_transform(mean.numpy())
        for column in self.logs:
            y[:, column] = 10.0 ** y[:, column]
        return y

    def error(self, outputs: Array, values: Array, sample_weight: Array | None) -> float:
        mean, log_variance = (part.double() for part in self._read(outputs))
        true = self.encode(values)
        losses = np.abs(mean.numpy() - true)  # in standard deviations
        if self.has_std:  # a model that is to know its errors is judged by its likelihood
            off = torch.from_numpy(losses)
            losses = negative_log_likelihood(self.loss, off, log_variance).numpy()
        weights = ~np.isnan(true) * (1.0 if sample_weight is None else sample_weight[:, None])
        error = np.average(mean_loss(losses, weights), weights=self.target_weights)
        in_units = self.n_targets == 1 and not self.has_std
        return float(error * self.scaler.scale_[0] if in_units else error)

    def _read(self, outputs: Array) -> tuple[Tensor, Tensor]:
        """Return means, and log-variances if there are any."""
        tensor = torch.from_numpy(outputs)
        if not self.has_std:
            return tensor, tensor
        mean, log_variance = mean_and_log_variance(tensor)
        if self.std_factors:
            log_variance = log_variance + 2 * torch.tensor(self.std_factors).log()
        return mean, log_variance

    def _formed(self, y: Array) -> Array:
        return y[:, 0] if self.one_target else y

    def state(self) -> tuple[dict, dict[str, Array]]:
        arrays = {"task.mean": self.scaler.mean_, "task.scale": self.scaler.scale_}
        config = {
            "one_target": self.one_target,
            "logs": list(self.logs),
            "std_factors": list(self.std_factors),
        }
        return config, arrays


def _ceil(number: float) -> int:
    """Round up, but ignore rounding errors above a whole number."""
    return math.ceil(round(number, 9))


def _is_factor(value: Any) -> bool:
    return type(value) is float and 0 < value < math.inf


def find_log_targets(log_targets: Any, n_targets: int, names: list[str] | None) -> tuple[int, ...]:
    """Return the numbers of the targets of which the logarithm is learned.

    Parameters
    ----------
    log_targets : {"all"}, sequence of int or str, or None
    n_targets : int
    names : list of str or None
        Names of the targets.

    Returns
    -------
    tuple of int
        Ascending.

    Raises
    ------
    ValueError
        If there is no such target.
    """
    if log_targets is None:
        return ()
    if isinstance(log_targets, str) and log_targets == "all":
        return tuple(range(n_targets))
    known: list[int | str] = [*range(n_targets), *(names or [])]
    if isinstance(log_targets, str) or not isinstance(log_targets, (Sequence, np.ndarray)):
        raise ValueError(
            f'log_targets must be "all", None or a list of targets; got {log_targets!r}'
        )
    columns = set()
    for target in log_targets:
        is_number = isinstance(target, Integral) and not isinstance(target, bool)
        if not (is_number or isinstance(target, str)) or target not in known:
            raise ValueError(
                f"log_targets has {target!r}, but y has {n_targets} column{'s' * (n_targets > 1)}; "
                f"targets are {', '.join(map(repr, known))}"
            )
        columns.add((names or []).index(target) if isinstance(target, str) else int(target))
    return tuple(sorted(columns))
