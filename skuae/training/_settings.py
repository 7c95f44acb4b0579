"""How a network is trained: the parameters of an estimator, checked, as one object."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from skuae.training._network import Network


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
    early_stopping: bool
    n_iter_no_change: int
    device: torch.device
    seed: int
    verbose: int = 0
    callbacks: Sequence[Any] = ()
    checkpoint_dir: Any = None
    params: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, estimator: Any, network: Network, device: torch.device, seed: int) -> "Settings":
        """Return the settings of an estimator whose parameters are checked, for its network.

        Parameters
        ----------
        estimator : CrystalGNNRegressor, CrystalGNNClassifier or CrystalTransformerRegressor
        network : Network
        device : torch.device
        seed : int

        Returns
        -------
        Settings
        """
        backbone = network.backbone
        return cls(
            max_epochs=estimator.max_epochs,
            batch_size=estimator.batch_size,
            lr=backbone.default_lr if estimator.lr == "auto" else estimator.lr,
            element_lr_ratio=network.elements.lr_ratio(estimator.embedding_lr_ratio),
            weight_decay=estimator.weight_decay,
            clip_norm=backbone.clip_norm,
            optimizer=estimator.optimizer,
            lr_schedule=estimator.lr_schedule,
            early_stopping=estimator.early_stopping,
            n_iter_no_change=estimator.n_iter_no_change,
            device=device,
            seed=seed,
            verbose=estimator.verbose,
            callbacks=list(estimator.callbacks or []),
            checkpoint_dir=estimator.checkpoint_dir,
            params=estimator.get_params(deep=False),
        )
