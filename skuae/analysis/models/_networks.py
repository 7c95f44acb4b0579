"""Fitted graph networks, and crystals for them."""

from numbers import Integral

import numpy as np
import pandas as pd
from sklearn.base import is_regressor
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skuae.embedding import crystals_and_table


def take_network(estimator, X, *, regressor=False):
    """Return the fitted graph network that an argument stands for, and the crystals it is given.

    Parameters
    ----------
    estimator : CrystalGNNRegressor, CrystalGNNClassifier or Pipeline that ends with one
        Fitted.
    X : list, Series, DataFrame with one column, Crystals or StructureFeatures
        For a pipeline, what its first step takes.
    regressor : bool, default=False
        Refuse classifiers.

    Returns
    -------
    estimator : CrystalGNNRegressor or CrystalGNNClassifier
    crystals : Crystals
        The network knows their elements.

    Raises
    ------
    TypeError
        If there is no graph network, or a classifier where none is wanted.
    ValueError
        If the network knows nothing of an element.
    """
    if isinstance(estimator, Pipeline):
        if len(estimator) > 1:
            X = estimator[:-1].transform(X)
        estimator = estimator[-1]
    if not hasattr(estimator, "backbone") or (regressor and not is_regressor(estimator)):
        wanted = "CrystalGNNRegressor" + ("" if regressor else " or CrystalGNNClassifier")
        raise TypeError(
            f"{type(estimator).__name__} is not a {wanted}, or a Pipeline that ends with one; of a "
            "search, pass its best_estimator_"
        )
    check_is_fitted(estimator)
    crystals, _ = crystals_and_table(X)
    estimator.network_.check(crystals)
    return estimator, crystals


def unit_of(estimator, column):
    """Return the unit of the numbers that a network learns for a target.

    Parameters
    ----------
    estimator : CrystalGNNRegressor
        Fitted.
    column : int

    Returns
    -------
    str
        Empty if it is not known.
    """
    unit = (estimator.target_units_ or {column: ""})[column]
    if column not in estimator.task_.logs:
        return unit
    return f"log10({unit})" if unit else "log10"


def find_target(estimator, target):
    """Return the number of the target to explain.

    Parameters
    ----------
    estimator : CrystalGNNRegressor
        Fitted.
    target : int, str or None
        Number or name; None stands for the only one.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If there is no such target, or several and none is chosen.
    """
    n, names = len(estimator.task_.scaler.mean_), estimator.target_names_
    if target is None and n == 1:
        return 0
    known = [*range(n), *(names or [])]
    if isinstance(target, bool) or not isinstance(target, (Integral, str)) or target not in known:
        raise ValueError(
            f"target={target!r}: the model has {n} targets; choose one of "
            + ", ".join(map(repr, known))
        )
    return names.index(target) if isinstance(target, str) else int(target)


def batches(rows, size):
    """Cut rows into parts of about equal size, `size` at most."""
    return np.array_split(rows, -(-len(rows) // size))


def site_index(crystals, **levels):
    """Return the index of all sites: row of the crystal, number of the site, and further levels."""
    rows = np.repeat(np.arange(len(crystals)), crystals.sizes)
    sites = np.arange(crystals.n_sites) - np.repeat(crystals.offsets[:-1], crystals.sizes)
    return pd.MultiIndex.from_arrays(
        [rows, sites, *levels.values()], names=["row", "site", *levels]
    )
