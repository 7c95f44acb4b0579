"""Parameters of an estimator as the settings of its training."""

from typing import Any

import torch

from skuae.training import Network, Settings


def settings_of(
    estimator: Any, network: Network, device: torch.device, seed: int, max_epochs: int
) -> Settings:
    """Return the settings of an estimator whose parameters are checked, for its network.

    Parameters
    ----------
    estimator : CrystalGNNRegressor, CrystalGNNClassifier or CrystalTransformerRegressor
    network : Network
    device : torch.device
    seed : int
    max_epochs : int
        That of the estimator, or fewer.

    Returns
    -------
    Settings
    """
    backbone = network.backbone
    return Settings(
        max_epochs=max_epochs,
        batch_size=estimator.batch_size,
        lr=backbone.default_lr if estimator.lr == "auto" else estimator.lr,
        element_lr_ratio=network.elements.lr_ratio(estimator.embedding_lr_ratio),
        weight_decay=estimator.weight_decay,
        clip_norm=backbone.clip_norm,
        optimizer=estimator.optimizer,
        lr_schedule=estimator.lr_schedule,
        device=device,
        seed=seed,
        verbose=estimator.verbose,
        callbacks=list(estimator.callbacks or []),
        checkpoint_dir=estimator.checkpoint_dir,
        params=estimator.get_params(deep=False),
    )
