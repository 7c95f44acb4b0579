"""Structures of ensembles, read once for all members."""

from inspect import signature
from typing import Any

import pandas as pd
from sklearn.pipeline import Pipeline

from skuae.crystals import Crystals
from skuae.estimators._rows import rows_and_table
from skuae.training import check_rows, library_defaults


def read_once(X: Any) -> Any:
    """Return structures as crystals; frames and what carries an element table stay as they are."""
    if isinstance(X, pd.DataFrame):  # a member may choose its columns
        return X
    with library_defaults():
        crystals, table = rows_and_table(X)
    return crystals if table is None else X


def read_labelled(X: Any, y: Any, sample_weight: Any) -> tuple[Any, Crystals | None]:
    """Return what `read_once` does, and the crystals in it; None for a frame of several columns.

    Raises ValueError if y or the weights name them in another order.
    """
    X = read_once(X)
    if isinstance(X, pd.DataFrame) and X.shape[1] != 1:
        return X, None
    with library_defaults():
        crystals, _ = rows_and_table(X)
    check_rows(y, crystals, "y")
    check_rows(sample_weight, crystals, "sample_weight")
    return X, crystals


def has_std(model: Any) -> bool:
    """Return whether `predict` of a fitted regressor gives standard deviations."""
    if isinstance(model, Pipeline):
        model = model[-1]
    if hasattr(model, "task_"):
        return bool(getattr(model.task_, "has_std", False))
    if hasattr(model, "_has_std"):  # an ensemble whose weights tell
        return bool(model._has_std)
    return "return_std" in signature(model.predict).parameters
