"""Predictions as a table, with unseen elements and reasons for failures."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from skuae._elements import SYMBOLS, atomic_number
from skuae.crystals import Crystals, attempt_rows, read_readable
from skuae.estimators._members import has_std
from skuae.estimators._rows import rows_and_table

UNSEEN = "unseen_elements"
ERROR = "error"


def predict_frame(
    model: Any,
    X: Any,
    *,
    target_names: Sequence[str] | None = None,
    training_elements: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Predict crystals row by row, and return a table.

    A row that cannot be read or predicted has a reason instead of numbers. It does not stop the
    others.

    Parameters
    ----------
    model : estimator
        A fitted regressor or classifier that reads structures: a network, or a pipeline or an
        ensemble, as `skuae.load` returns it.
    X : list, Series, DataFrame with one column, Crystals, Shards or StructureFeatures
        Structures; see :func:`skuae.as_crystals`.
    target_names : list of str, optional
        Names of the targets. The default is the model's `target_names_`, or ``"target"``.
    training_elements : list of str, optional
        Symbols of the elements in the training set. A network knows them.

    Returns
    -------
    DataFrame of shape (n_crystals, n_columns)
        The index holds the ids, or counts the rows. Names and types of the columns are those of
        the model, also if there are no rows or none of them can be predicted. The columns are

        - ``<target>_predicted`` for each target: a float64, or a class;
        - ``<target>_std``, if the model predicts standard deviations, in the units of y;
        - ``<target>_p_<class>`` for each class of a classifier: its probability;
        - ``unseen_elements``, if the training elements are known: elements of the row that no
          training crystal has, such as ``"Xe Kr"``; empty if there are none, missing if the row
          cannot be read;
        - ``error``: why a row has no prediction; missing in all others.

    Raises
    ------
    TypeError, ValueError
        If X is no collection of structures, there are more or fewer `target_names` than targets, or
        a symbol is no element.

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
    seen = _seen(model, training_elements)
    if not hasattr(X, "__len__"):
        X = list(X)  # of a generator, which can be read once
    try:
        crystals, _ = rows_and_table(X)
    except (TypeError, ValueError) as error:
        try:
            read = read_readable(X)
        except TypeError:  # X is no collection, as the first error says
            raise error from None
        frame = _frame(model, read.crystals, target_names, seen).set_axis(read.rows)
        frame = frame.reindex(range(len(read.rows) + len(read.reasons)))
        frame[ERROR] = frame[ERROR].fillna(pd.Series(read.reasons, dtype=object))
        return frame if read.ids is None else frame.set_axis(pd.Index(read.ids, name="id"))
    return _frame(model, crystals, target_names, seen)


def _frame(
    model: Any, crystals: Any, target_names: Sequence[str] | None, seen: np.ndarray | None
) -> pd.DataFrame:
    """Return the predictions for crystals, or shards of them."""
    done = attempt_rows(lambda part: _predict(model, part), crystals)
    n_targets = _n_targets(model, target_names)
    if done.results and not is_classifier(model):
        n_targets = done.results[0].shape[1] // (2 if has_std(model) else 1)
    names = _outputs(model, _names(model, target_names, n_targets))
    frame = pd.DataFrame(columns=names)
    if done.results:
        frame = pd.concat(done.results).set_axis(names, axis=1)
    classes = names[:1] if is_classifier(model) else []
    frame = frame.astype({name: object if name in classes else float for name in names})
    frame = frame.set_axis(done.rows).reindex(range(len(crystals)))
    if seen is not None:
        frame[UNSEEN] = pd.Series(_unseen(seen, crystals), dtype=object)
    frame[ERROR] = pd.Series(done.reasons, dtype=object).reindex(frame.index)
    if crystals.ids is not None:
        frame.index = pd.Index(crystals.ids, name="id")
    return frame


def _predict(model: Any, crystals: Crystals) -> pd.DataFrame:
    if is_classifier(model):
        if not hasattr(model, "predict_proba"):
            return pd.DataFrame({0: np.asarray(model.predict(crystals)).astype(object)})
        probabilities = model.predict_proba(crystals)
        predicted = model.classes_[probabilities.argmax(axis=1)].astype(object)
        columns = [predicted, *probabilities.T]
    elif has_std(model):
        both = [_wide(values) for values in model.predict(crystals, return_std=True)]
        columns = [column for pair in zip(*both, strict=True) for column in pair]
    else:
        columns = list(_wide(model.predict(crystals)))
    return pd.DataFrame(dict(enumerate(columns)))


def _wide(values: np.ndarray) -> np.ndarray:
    """Return predictions as (n_targets, n_samples)."""
    return np.atleast_2d(values.T)


def _n_targets(model: Any, names: Sequence[str] | None) -> int:
    """Return the number of targets, if it is known without a prediction."""
    if hasattr(model, "task_"):
        return int(model.task_.n_targets)
    return 1 if names is None else len(names)


def _names(model: Any, given: Sequence[str] | None, n: int) -> list[str]:
    """Return the names of the targets."""
    if given is None:
        given = getattr(model, "target_names_", None)
    if given is None:
        return ["target"] if n == 1 else [f"target_{i}" for i in range(n)]
    if len(given) != n:
        raise ValueError(f"{len(given)} names for a model with {n} targets")
    return list(given)


def _outputs(model: Any, names: list[str]) -> list[str]:
    """Return the names of the columns of `_predict`."""
    if is_classifier(model):
        labels = model.classes_ if hasattr(model, "predict_proba") else ()
        return [f"{names[0]}_predicted", *(f"{names[0]}_p_{label}" for label in labels)]
    more = ["std"] if has_std(model) else []
    return [f"{name}_{what}" for name in names for what in ("predicted", *more)]


def _seen(model: Any, elements: Sequence[str] | None) -> np.ndarray | None:
    """Return which elements were in training crystals, by atomic number - 1; None if unknown."""
    if elements is None:
        return model.network_.elements.seen if hasattr(model, "network_") else None
    seen = np.zeros(len(SYMBOLS), dtype=bool)
    seen[[atomic_number(symbol) - 1 for symbol in elements]] = True
    return seen


def _unseen(seen: np.ndarray, crystals: Crystals) -> list[str]:
    """Return the elements of each row that no training crystal had."""
    rows, numbers, _ = crystals.composition()
    new = ~seen[numbers - 1]
    found: list[list[str]] = [[] for _ in range(len(crystals))]
    for row, number in zip(rows[new].tolist(), numbers[new].tolist(), strict=True):
        found[row].append(SYMBOLS[number - 1])
    return [" ".join(symbols) for symbols in found]
