"""Predictions as a table, with what the model has not seen, and a reason where there is none."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from skuae._elements import SYMBOLS
from skuae.crystals import Crystals, attempt_rows
from skuae.embedding import crystals_and_table

UNSEEN = "unseen_elements"
ERROR = "error"


def predict_frame(model: Any, X: Any) -> pd.DataFrame:
    """Predict crystals row by row, as a table that also says what the model has not seen.

    A row that cannot be predicted does not stop the others: it has a reason instead of numbers.

    Parameters
    ----------
    model : CrystalGNNRegressor, CrystalGNNClassifier or CrystalTransformerRegressor
        Fitted.
    X : list, Series, DataFrame with one column, Crystals or StructureFeatures
        Structures; see :func:`skuae.as_crystals`.

    Returns
    -------
    DataFrame of shape (n_crystals, n_columns)
        The index holds the ids, or counts the rows. The columns are

        - ``<target>_predicted`` for each target ("target" if it has no name): a number, or a class;
        - ``<target>_std``, if the model has learned standard deviations, in the units of y;
        - ``<target>_p_<class>`` for each class of a classifier: its probability;
        - ``unseen_elements``: elements of the row that were in none of the training crystals,
          such as ``"Xe Kr"``; empty if there are none;
        - ``error``: why a row has no prediction; missing in all others.

    Examples
    --------
    >>> from skuae import CrystalGNNRegressor
    >>> from skuae.datasets import make_toy_crystals
    >>> from skuae.estimators import predict_frame
    >>> toy = make_toy_crystals(n_samples=16, random_state=0, as_frame=True)
    >>> gnn = CrystalGNNRegressor(max_epochs=2, random_state=0).fit(toy.structures, toy.target)
    >>> list(predict_frame(gnn, toy.structures))
    ['electronegativity_predicted', 'unseen_elements', 'error']
    """
    check_is_fitted(model)
    crystals, _ = crystals_and_table(X)
    done = attempt_rows(lambda part: _predict(model, part), crystals)
    frame = pd.concat(done.results) if done.results else pd.DataFrame(columns=_outputs(model))
    frame = frame.set_axis(done.rows).reindex(range(len(crystals)))
    frame[UNSEEN] = _unseen(model, crystals)
    frame[ERROR] = pd.Series(done.reasons, dtype=object).reindex(frame.index)
    if crystals.ids is not None:
        frame.index = pd.Index(crystals.ids, name="id")
    return frame


def _predict(model: Any, crystals: Crystals) -> pd.DataFrame:
    if is_classifier(model):
        probabilities = model.predict_proba(crystals)
        predicted = model.classes_[probabilities.argmax(axis=1)].astype(object)
        columns = [predicted, *probabilities.T]
    elif model.task_.has_std:
        both = [_wide(values) for values in model.predict(crystals, return_std=True)]
        columns = [column for pair in zip(*both, strict=True) for column in pair]
    else:
        columns = list(_wide(model.predict(crystals)))
    return pd.DataFrame(dict(enumerate(columns))).set_axis(_outputs(model), axis=1)


def _wide(values: np.ndarray) -> np.ndarray:
    """Return predictions as (n_targets, n_samples)."""
    return np.atleast_2d(values.T)


def prediction_columns(model: Any) -> list[str]:
    """Return the names of the columns that `predict_frame` gives.

    Parameters
    ----------
    model : CrystalGNNRegressor, CrystalGNNClassifier or CrystalTransformerRegressor
        Fitted.

    Returns
    -------
    list of str
    """
    return [*_outputs(model), UNSEEN, ERROR]


def _outputs(model: Any) -> list[str]:
    """Return the names of the columns of `_predict`."""
    names = model.target_names_
    if names is None:
        n = model.task_.n_targets
        names = ["target"] if n == 1 else [f"target_{i}" for i in range(n)]
    if is_classifier(model):
        return [f"{names[0]}_predicted", *(f"{names[0]}_p_{label}" for label in model.classes_)]
    more = ["std"] if model.task_.has_std else []
    return [f"{name}_{what}" for name in names for what in ("predicted", *more)]


def _unseen(model: Any, crystals: Crystals) -> list[str]:
    """Return the elements of each row that no training crystal had."""
    rows, numbers, _ = crystals.composition()
    new = ~model.network_.elements.seen[numbers - 1]
    found: list[list[str]] = [[] for _ in range(len(crystals))]
    for row, number in zip(rows[new].tolist(), numbers[new].tolist(), strict=True):
        found[row].append(SYMBOLS[number - 1])
    return [" ".join(symbols) for symbols in found]
