"""Facts in the file of a saved model: targets, units and training elements."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import Pipeline

from skuae._elements import SYMBOLS
from skuae.crystals import as_contents
from skuae.estimators import (
    CrystalEstimator,
    CrystalStackingClassifier,
    CrystalStackingRegressor,
)
from skuae.potentials import CrystalPotential

_OF_ONE = (CrystalStackingClassifier, CrystalStackingRegressor)  # they have one target


def about(
    model: Any, units: Mapping[str, str] | Sequence[str] | None, trained_on: Any
) -> dict[str, list[str] | None]:
    """Return the targets, their units and the training elements of a model, as far as known.

    Parameters
    ----------
    model : estimator
        Fitted, of several parts.
    units : dict of str by target name, list of str or None
    trained_on : array-like of structures or formulas, or None

    Returns
    -------
    dict
        The entries ``targets``, ``units`` and ``elements`` are lists of texts, or None.

    Raises
    ------
    ValueError
        If units do not fit the targets, or a row of `trained_on` cannot be read.
    """
    end = end_of(model)
    targets: list[str] | None = getattr(end, "target_names_", None)
    texts: Any = units
    if isinstance(units, Mapping):
        targets = list(units) if targets is None else targets
        unknown = [name for name in units if name not in targets]
        if unknown:
            raise ValueError(f"units has {unknown[0]!r}; targets are {targets}")
        texts = [units.get(name, "") for name in targets]
    elif units is None:
        texts = getattr(end, "target_units_", None)
    elif isinstance(units, tuple):
        texts = list(units)
    if texts is not None and not (
        isinstance(texts, list) and all(isinstance(text, str) for text in texts)
    ):
        raise ValueError(f"units must be texts, one per target; got {units!r}")
    n_targets = len(targets) if targets is not None else 1 if isinstance(end, _OF_ONE) else None
    if texts is not None and n_targets is not None and len(texts) != n_targets:
        raise ValueError(f"units has {len(texts)} entries for {n_targets} targets")
    return {
        "targets": targets,
        "units": texts,
        "elements": _elements(model) if trained_on is None else _elements_in(trained_on),
    }


def end_of(model: Any) -> Any:
    """Return what predicts in a pipeline, perhaps of pipelines: its last step.

    Parameters
    ----------
    model : estimator

    Returns
    -------
    estimator
        The model itself if it is no pipeline.
    """
    while isinstance(model, Pipeline):
        model = model.steps[-1][1]
    return model


def _elements_in(X: Any) -> list[str]:
    _, numbers, _ = as_contents(X).composition()
    return [SYMBOLS[z - 1] for z in np.unique(numbers)]


def _elements(model: Any) -> list[str] | None:
    """Return the elements of the training set, as the fitted networks list them."""
    model = end_of(model)
    if isinstance(model, CrystalPotential):
        return [*model.reference_energies_]
    if isinstance(model, CrystalEstimator):
        return [SYMBOLS[i] for i in np.flatnonzero(model.network_.elements.seen)]
    inner = getattr(model, "estimators_", [])
    members = [model.regressor_] if isinstance(model, TransformedTargetRegressor) else inner
    known = [found for member in members if (found := _elements(member)) is not None]
    symbols = {symbol for found in known for symbol in found}
    return [symbol for symbol in SYMBOLS if symbol in symbols] if known else None
