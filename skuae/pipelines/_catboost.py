"""Models of CatBoost among the parts of a saved one, in CatBoost's own format."""

import sys
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from skuae._cards import check_all_taken, take
from skuae.models import decode_params, encode_params

_CLASSES = ("CatBoostClassifier", "CatBoostRegressor")
_MODEL = "catboost"  # name of the array


def is_catboost(item: Any) -> bool:
    """Tell whether an object is a model of CatBoost that can be saved.

    Parameters
    ----------
    item : Any

    Returns
    -------
    bool
    """
    catboost = sys.modules.get("catboost")
    return catboost is not None and type(item) in [getattr(catboost, name) for name in _CLASSES]


def encode_catboost(model: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return what a file holds of a model, fitted or not; see `decode_catboost`.

    Parameters
    ----------
    model : CatBoostRegressor or CatBoostClassifier

    Returns
    -------
    config : dict
        What JSON can hold.
    tensors : dict of ndarray

    Raises
    ------
    TypeError
        If a parameter is no data, such as a loss of your own.
    """
    params = model.get_params()
    encoded = encode_params(params)
    for name, value in params.items():
        if value is not None and encoded[name] is None:
            raise TypeError(
                f"{type(model).__name__} has {name}={value!r:.60}, which cannot be saved without "
                "pickle; use what CatBoost has a name for"
            )
    config = {"class": type(model).__name__, "params": encoded}
    if not model.is_fitted():
        return config, {}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.cbm"
        model.save_model(str(path))
        return config, {_MODEL: np.frombuffer(path.read_bytes(), dtype=np.uint8)}


def decode_catboost(config: dict[str, Any], tensors: dict[str, np.ndarray]) -> Any:
    """Return the model that `encode_catboost` has taken apart.

    Parameters
    ----------
    config : dict
    tensors : dict of ndarray

    Returns
    -------
    CatBoostRegressor or CatBoostClassifier

    Raises
    ------
    ImportError
        If CatBoost is not installed.
    ValueError
        If the content makes no sense.
    """
    try:
        catboost = import_module("catboost")
    except ImportError as error:
        raise ImportError(
            'this model has trees of CatBoost: pip install "skuae[analysis]"'
        ) from error
    kind = getattr(catboost, take(config, "class", str, among=_CLASSES))
    params = decode_params(take(config, "params", dict))
    try:
        model = kind(**params)
        if _MODEL in tensors:
            model.load_model(blob=tensors.pop(_MODEL).tobytes())
    except (catboost.CatBoostError, TypeError) as error:
        raise ValueError(f"CatBoost cannot read it: {error}") from error
    check_all_taken(tensors)
    return model
