"""Loading of saved estimators, whose file names their class."""

from os import PathLike
from typing import Any

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from skuae._files import checked_content
from skuae.estimators._base import CrystalEstimator
from skuae.estimators._reading import read_model_folder


def load_pretrained(
    folder: str | PathLike[str], *, device: str | torch.device = "auto"
) -> CrystalEstimator:
    """Read an estimator of any class that `save_pretrained` wrote.

    Parameters
    ----------
    folder : str or path-like
        As in `from_pretrained`.
    device : str or torch.device, default="auto"

    Returns
    -------
    estimator : CrystalGNNRegressor, CrystalGNNClassifier or CrystalTransformerRegressor
        Fitted.

    Raises
    ------
    FileNotFoundError
        If the folder holds no model.
    ValueError
        If the file was changed or cut short, or this version cannot read it.

    Examples
    --------
    >>> from skuae.estimators import load_pretrained
    >>> model = load_pretrained("my_model")  # doctest: +SKIP
    """
    config, tensors = read_model_folder(folder)
    if "parts" in config:
        raise ValueError(
            f"{folder} holds a {config.get('class')!r:.80} with estimators in it; read it with "
            "skuae.load"
        )
    return decode_whole(folder, config, tensors, device)


def decode_whole(
    folder: str | PathLike[str],
    config: dict[str, Any],
    tensors: dict[str, np.ndarray],
    device: str | torch.device,
) -> CrystalEstimator:
    """Return the estimator that `encode_whole` has taken apart.

    Parameters
    ----------
    folder : str or path-like
        What messages name.
    config : dict
    tensors : dict of ndarray
    device : str or torch.device

    Returns
    -------
    estimator : CrystalGNNRegressor, CrystalGNNClassifier or CrystalTransformerRegressor

    Raises
    ------
    ValueError
        If the content makes no sense to this version.
    """
    kind = CrystalEstimator._kinds.get(str(config.get("class")))
    if kind is None:
        raise ValueError(
            f"{folder} holds a {config.get('class')!r:.80}, which this version of skuae does not "
            "know; use the version that wrote it"
        )
    if "network" in config:
        return kind._restore(folder, config, tensors, device)
    with checked_content(folder, f"a {kind.__name__}"):
        return kind._unfitted(config, device)


def unwrapped(model: Any) -> Any:
    """Return the estimator inside of a frozen one, and the last step of a pipeline.

    Parameters
    ----------
    model : estimator

    Returns
    -------
    estimator
    """
    if isinstance(model, FrozenEstimator):
        model = model.estimator
    return model[-1] if isinstance(model, Pipeline) else model
