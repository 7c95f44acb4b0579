"""Class labels: checked against the rows, turned into numbers for training."""

from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn.utils import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from skuae._cards import take
from skuae._cells import says_unknown
from skuae._messages import such_rows
from skuae._warnings import warn
from skuae.crystals import Crystals
from skuae.training._targets import LARGEST_WEIGHT, detached, names_of

# What labels may be in a file: the dtype of the classes, and the type that JSON gives for it.
_KINDS: dict[str, type] = {"bool": bool, "object": str, "str": str}
_KINDS |= {f"{sign}int{bits}": int for sign in ("", "u") for bits in (8, 16, 32, 64)}
_KINDS |= {f"float{bits}": float for bits in (16, 32, 64)}


def read_labels(y: Any, crystals: Crystals) -> tuple[np.ndarray, np.ndarray, list[str] | None]:
    """Return the classes in y, and which of them each row has.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels: strings, numbers or booleans.
    crystals : Crystals
        The rows it belongs to.

    Returns
    -------
    classes : ndarray of shape (n_classes,)
        Sorted, of the dtype of y.
    codes : ndarray of int of shape (n_samples,)
        Positions in `classes`.
    names : list of str or None
        The name of a Series or of the column of a DataFrame.

    Raises
    ------
    ValueError
        If y has another length, a label is missing or is no label, or all are the same.

    Warns
    -----
    UserWarning
        A label is a text such as ``"nan"``.
    """
    if y is None:
        raise ValueError("the classifier requires y to be passed, but the target y is None")
    names = names_of(y)
    try:
        labels = _as_column(y)
    except (TypeError, OverflowError, RuntimeError) as error:  # the last from torch
        raise ValueError(f"y must hold one label per structure ({error})") from error
    if len(labels) != len(crystals):
        raise ValueError(
            f"y has shape {labels.shape} but X has {len(crystals)} rows; give one label per "
            "structure"
        )
    missing = np.flatnonzero(pd.isna(labels))
    if len(missing):
        raise ValueError(
            f"{crystals.where(int(missing[0]))}: the label is {labels[missing[0]]}"
            f"{such_rows(len(missing))}; a classifier needs them all: drop the rows"
        )
    if labels.dtype.kind not in "biufU" and not all(isinstance(label, str) for label in labels):
        kinds = sorted({type(label).__name__ for label in labels})
        raise ValueError(
            "Unknown label type: y must hold strings, or numbers, or booleans; got "
            f"{', '.join(kinds)}; turn the labels into strings"
        )
    if labels.dtype.kind == "f":
        infinite = np.flatnonzero(np.isinf(labels))
        if len(infinite):
            raise ValueError(f"{crystals.where(int(infinite[0]))}: the label is infinite")
        labels = labels.astype(np.float64) if labels.itemsize > 8 else labels  # JSON has no more
    check_classification_targets(labels)
    classes, codes = np.unique(labels, return_inverse=True)
    unknown = [label for label in classes if isinstance(label, str) and says_unknown(label)]
    if unknown:
        row = int(np.flatnonzero(labels == unknown[0])[0])
        warn(
            f"{crystals.where(row)}: the label {str(unknown[0])!r}, which in files means unknown, "
            "is taken for the name of a class; drop such rows, or give the class another name"
        )
    return classes, codes, names


def _as_column(y: Any) -> np.ndarray:
    """Return labels of any container as a vector; masked and missing ones stay so."""
    if issparse(y):
        raise TypeError("got a sparse matrix: pass its toarray().ravel()")
    y = detached(y)
    if isinstance(y, pd.DataFrame) and y.shape[1] == 1:
        y = y.iloc[:, 0]
    kind = getattr(y, "dtype", None)
    if isinstance(kind, np.dtype) and kind.kind == "V":
        raise TypeError(f"got records of fields {kind.names}: pass one array")
    if isinstance(y, np.ma.MaskedArray):
        masked, y = np.ma.getmaskarray(y), y.data.astype(object)
        y[masked] = None
    elif isinstance(kind, pd.api.extensions.ExtensionDtype):  # scikit-learn would make floats
        y = np.asarray(y, dtype=object)
    elif isinstance(y, (list, tuple)) and len({isinstance(label, str) for label in y}) > 1:
        y = np.array(y, dtype=object)  # numpy would make texts of numbers and NaN
    labels = column_or_1d(y, warn=True)
    if labels.dtype == object:  # as pandas gives nullable booleans and integers
        labels = pd.Series(labels).infer_objects().to_numpy()
    return labels


def check_two_classes(classes: np.ndarray) -> None:
    """Raise ValueError if these, of the rows to learn from, are fewer than two.

    Parameters
    ----------
    classes : ndarray
    """
    if len(classes) < 2:
        raise ValueError(
            f"y has only one class, {classes.tolist()[0]!r}: a classifier needs rows of at least 2 "
            "classes"
        )


def class_weights(
    class_weight: Any, classes: np.ndarray, codes: np.ndarray, counted: np.ndarray
) -> np.ndarray | None:
    """Return the weight of every row's class.

    Parameters
    ----------
    class_weight : None, "balanced" or dict from label to weight
        As everywhere in scikit-learn; balanced weights are inverse to the numbers of rows.
    classes : ndarray of shape (n_classes,)
    codes : ndarray of int of shape (n_samples,)
    counted : ndarray of bool of shape (n_samples,)
        Rows that count for the balance: those with a weight.

    Returns
    -------
    ndarray of shape (n_samples,), or None for ones

    Raises
    ------
    ValueError
        If a weight is negative, not finite or out of any reasonable range, or given for a class
        that is not there, or no row has any.
    """
    if class_weight is None:
        return None
    if class_weight != "balanced" and not isinstance(class_weight, dict):
        raise ValueError(
            'class_weight must be "balanced", a dict from label to weight or None; '
            f"got {class_weight!r}"
        )
    if isinstance(class_weight, dict):
        unknown = [label for label in class_weight if label not in classes.tolist()]
        if unknown:
            raise ValueError(
                f"class_weight names {unknown[0]!r}, but y has the classes {classes.tolist()}"
            )
    if len(np.unique(codes[counted])) < len(classes):
        counted = np.full(len(codes), True)  # a class without any weight cannot be balanced
    weights = compute_class_weight(class_weight, classes=classes, y=classes[codes[counted]])
    bad = np.flatnonzero(~((weights >= 0) & (weights <= LARGEST_WEIGHT)))
    if len(bad):
        raise ValueError(
            f"class_weight of {classes.tolist()[bad[0]]!r} is {weights[bad[0]]}; weights must be "
            f"finite, at most {LARGEST_WEIGHT:g}, and not negative"
        )
    if not weights[codes[counted]].any():
        raise ValueError(
            f"class_weight={class_weight!r} leaves no row a weight: there is nothing to learn"
        )
    return weights[codes]


def encode_classes(classes: np.ndarray) -> dict[str, Any]:
    """Return classes as something JSON can hold."""
    kind = {"O": "object", "U": "str", "T": "str"}.get(classes.dtype.kind, classes.dtype.name)
    return {"dtype": kind, "labels": classes.tolist()}


def decode_classes(saved: dict[str, Any]) -> np.ndarray:
    """Return what `encode_classes` was given; raise ValueError if that cannot be."""
    labels = take(saved, "labels", list)
    kind = take(saved, "dtype", str, among=_KINDS)
    wanted = _KINDS[kind]
    if not all(type(label) is wanted for label in labels):
        raise ValueError(f"'labels' are {labels!r:.80}, expected a list of {kind}")
    classes = np.array(labels, dtype=kind)
    if len(classes) < 2 or classes.tolist() != labels or (classes[1:] <= classes[:-1]).any():
        raise ValueError(f"'labels' are {labels!r:.80}, expected several, sorted, each once")
    return classes
