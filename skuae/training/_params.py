"""Training parameters, checked once at the start of fit."""

import math
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state

from skuae._numbers import is_real
from skuae._ranks import local_device, rank_and_size
from skuae.training._callbacks import check_callbacks
from skuae.training._loss import LOSSES
from skuae.training._net import OPTIMIZERS
from skuae.training._precision import PRECISIONS
from skuae.training._schedule import SCHEDULES

_CHOICES = {
    "loss": LOSSES,
    "optimizer": tuple(OPTIMIZERS),
    "lr_schedule": SCHEDULES,
    "precision": PRECISIONS,
}
_AT_LEAST: dict[str, tuple[type, int]] = {
    "max_epochs": (Integral, 1),
    "batch_size": (Integral, 2),
    "lr": (Real, 0),
    "weight_decay": (Real, 0),
    "embedding_lr_ratio": (Real, 0),
}


def check_training_params(estimator: Any) -> None:
    """Raise ValueError at the first training parameter that makes no sense.

    Parameters
    ----------
    estimator : CrystalGNNRegressor, CrystalGNNClassifier or CrystalTransformerRegressor
    """
    for name, choices in _CHOICES.items():
        value: Any = getattr(estimator, name, choices[0])  # a classifier has one loss only
        if value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(choices)}; got {value!r}")
    for name, (kind, least) in _AT_LEAST.items():
        value = getattr(estimator, name, least)
        auto = name == "lr" and hasattr(estimator, "backbone")
        if auto and isinstance(value, str) and value == "auto":
            continue
        fits = isinstance(value, kind) and not isinstance(value, bool)
        if not fits or not least <= value < math.inf:
            what = "an integer" if kind is Integral else "a number"
            what = f'"auto" or {what}' if auto else what
            raise ValueError(f"{name} must be {what}, at least {least}; got {value!r}")
    for name in ("early_stopping", "refit", "warm_start"):
        if not isinstance(getattr(estimator, name), (bool, np.bool_)):
            raise ValueError(f"{name} must be True or False; got {getattr(estimator, name)!r}")
    if not isinstance(estimator.verbose, Integral) or estimator.verbose < 0:
        raise ValueError(f"verbose must be an integer, at least 0; got {estimator.verbose!r}")
    fraction = estimator.validation_fraction
    if not is_real(fraction) or not 0 < fraction < 1:
        raise ValueError(
            "validation_fraction must lie between 0 and 1, exclusive; "
            f"got {estimator.validation_fraction!r}"
        )
    check_callbacks(estimator.callbacks)


def seed_of(random_state: Any) -> int:
    """Return the seed of a fit.

    Parameters
    ----------
    random_state : int, RandomState or None

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If it is none of these.
    """
    try:
        return int(check_random_state(random_state).randint(2**31 - 1))
    except ValueError as error:
        raise ValueError(
            f"random_state must be an integer from 0 to {2**32 - 1}, a RandomState or None; got "
            f"{random_state!r}"
        ) from error


def resolve_device(device: str | torch.device) -> torch.device:
    """Return the torch device; "auto" takes CUDA, then MPS, then the CPU.

    Parameters
    ----------
    device : str or torch.device

    Returns
    -------
    torch.device
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", local_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f'device must be "auto" or a torch device; got {device!r}') from error
    if resolved == torch.device("cuda") and rank_and_size()[1] > 1:
        resolved = torch.device("cuda", local_device())
    try:
        torch.empty(1, device=resolved).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f'device={device!r}: torch has no such device here; use device="auto"'
        ) from error
    return resolved
