"""How a network is trained: the parameters of an estimator, checked, as one object."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass(frozen=True)
class Settings:
    """Parameters of training, as the estimators document them.

    Attributes
    ----------
    lr, element_lr_ratio : float
        With "auto" and exceptions for single element tables resolved.
    clip_norm : float or None
        Largest norm of the gradient.
    seed : int
        All randomness of the fit follows from it.
    params : dict
        The estimator's parameters, by which checkpoints are told apart.
    """

    max_epochs: int
    batch_size: int
    lr: float
    element_lr_ratio: float
    weight_decay: float
    clip_norm: float | None
    optimizer: str
    lr_schedule: str
    device: torch.device
    seed: int
    verbose: int = 0
    callbacks: Sequence[Any] = ()
    checkpoint_dir: Any = None
    params: dict[str, Any] = field(default_factory=dict)
