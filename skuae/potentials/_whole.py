"""Fitted potentials as parts of other files, with their parameters."""

from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from skuae._cards import take
from skuae.potentials._potential import CrystalPotential
from skuae.potentials._saving import decode_fitted, encode_fitted
from skuae.training import library_defaults, resolve_device

# What is fitted says these, or they are of the machine and the run of the fit.
_NOT_KEPT = {
    "backbone", "checkpoint_dir", "device", "dtype", "embedding", "freeze_embedding", "init_from",
    "random_state", "verbose",
}  # fmt: skip
_SIMPLE = (bool, int, float, str, type(None))


def encode_potential(potential: CrystalPotential) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return what a file holds of a fitted potential; see `decode_potential`.

    Parameters
    ----------
    potential : CrystalPotential
        Fitted. Its parameters are kept but for `embedding`, `init_from`, `checkpoint_dir`,
        `random_state` and `verbose`, and what JSON cannot hold.

    Returns
    -------
    card : dict
        What JSON can hold.
    arrays : dict of ndarray
    """
    check_is_fitted(potential)
    card, arrays = encode_fitted(potential.fitted_, potential.history_)
    params = potential.get_params(deep=False)
    card["estimator"] = {
        name: value
        for name, value in params.items()
        if name not in _NOT_KEPT and type(value) in _SIMPLE
    }
    return card, arrays


def decode_potential(
    card: dict[str, Any], arrays: dict[str, np.ndarray], device: str | torch.device
) -> CrystalPotential:
    """Return the potential that `encode_potential` encoded.

    Parameters
    ----------
    card : dict
    arrays : dict of ndarray
        What is taken is removed.
    device : str or torch.device

    Returns
    -------
    CrystalPotential
        Fitted.

    Raises
    ------
    KeyError, TypeError, ValueError
        If they hold something else.
    """
    with library_defaults():
        fitted, history = decode_fitted(card, arrays)
        fitted.module.to(resolve_device(device))
    params = take(card, "estimator", dict)
    for name, value in params.items():
        if name in _NOT_KEPT or type(value) not in _SIMPLE:
            raise ValueError(f"the parameter {name!r} is {value!r:.80}")
    dtype = str(fitted.dtype).removeprefix("torch.")
    potential = CrystalPotential(
        fitted.backbone, freeze_embedding=fitted.frozen, dtype=dtype, device=str(device)
    ).set_params(**params)
    potential.fitted_, potential.history_ = fitted, history
    return potential
