"""Targets and weights: checked against the rows, scaled for training."""

from datetime import date, timedelta
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy.sparse import issparse
from torch import Tensor, bfloat16

from skuae._messages import such_rows
from skuae._numbers import as_floats
from skuae.crystals import Crystals, check_same_order

_NO_NUMBERS = TypeError, ValueError, OverflowError, RuntimeError  # the last from torch
# Weights count by their ratios; within these bounds no sum or product of them is out of range.
_LEAST_WEIGHT, LARGEST_WEIGHT = 1e-100, 1e100


def check_targets(
    y: Any, crystals: Crystals, *, need_all: bool = True
) -> tuple[np.ndarray, list[str] | None, bool]:
    """Return y as a float64 matrix.

    Parameters
    ----------
    y : array-like of shape (n_samples,) or (n_samples, n_targets)
        NaN where unknown.
    crystals : Crystals
        The rows it belongs to.
    need_all : bool, default=True
        Refuse targets that are unknown in all rows; if False, only if all of them are.

    Returns
    -------
    y : ndarray of shape (n_samples, n_targets)
    names : list of str or None
        Column names of a DataFrame, name of a Series.
    one_target : bool
        Whether y was one-dimensional.

    Raises
    ------
    ValueError
        If y has another length, is not numeric, is infinite, or a target or everything is unknown.
    """
    if y is None:
        raise ValueError("the regressor requires y to be passed, but the target y is None")
    names = names_of(y)
    try:
        values = read_numbers(y)
    except _NO_NUMBERS as error:
        raise ValueError(f"y must hold numbers, NaN where unknown ({error})") from error
    if values.ndim not in (1, 2) or len(values) != len(crystals):
        raise ValueError(
            f"y has shape {values.shape} but X has {len(crystals)} rows; "
            "give one target, or one row of targets, per structure"
        )
    one_target = values.ndim == 1
    values = values.reshape(len(values), -1)
    if not values.shape[1]:
        raise ValueError("y has no columns; give at least one target")
    infinite = np.flatnonzero(np.isinf(values).any(axis=1))
    if len(infinite):
        raise ValueError(
            f"{crystals.where(int(infinite[0]))}: y is infinite{such_rows(len(infinite))}; "
            "repair it, or set it to NaN to leave it out"
        )
    unknown = np.isnan(values).all(axis=0)
    if unknown.any() if need_all else unknown.all():
        column = int(np.flatnonzero(unknown)[0])
        which = "y" if one_target else f"target {names[column] if names else column}"
        raise ValueError(f"{which} is NaN in all rows: there is nothing to learn; drop it")
    return values, names, one_target


def read_numbers(values: Any) -> np.ndarray:
    """Return numbers as a float64 array, NaN where they are masked or missing.

    Parameters
    ----------
    values : array-like
        Of numpy, pandas, torch or Python.

    Raises
    ------
    TypeError, ValueError, OverflowError, RuntimeError
        If something is no real number: dates, complex or nested values, text that is no number.
    """
    if issparse(values):
        raise TypeError("got a sparse matrix: pass its toarray()")
    values = detached(values)
    given = np.asarray(values)
    if given.dtype.kind == "V":
        raise TypeError(f"got records of fields {given.dtype.names}: pass one array")
    dates = given.dtype if given.dtype.kind in "mM" else _dates_among(given)
    if dates is not None:  # numpy would count nanoseconds
        raise TypeError(f"got {dates}: make numbers of dates and times, in a unit of your choice")
    if isinstance(values, np.ma.MaskedArray):
        given = np.where(np.ma.getmaskarray(values), np.nan, given)
    if given.dtype == object:
        given = np.where(pd.isna(given), np.nan, given)  # numpy knows no pd.NA
    return as_floats(given)


def _dates_among(given: np.ndarray) -> str | None:
    """Return the type of dates among objects, if there are any."""
    for value in given.ravel() if given.dtype == object else ():
        if isinstance(value, (np.datetime64, np.timedelta64, date, timedelta)):
            return type(value).__name__
    return None


def detached(values: Any) -> Any:
    """Return tensors, and lists of them, as arrays, whatever their device; all else as it is."""
    if isinstance(values, (list, tuple)) and any(isinstance(value, Tensor) for value in values):
        return [detached(value) for value in values]
    if not isinstance(values, Tensor):
        return values
    values = values.detach().cpu()
    return (values.float() if values.dtype == bfloat16 else values).numpy()  # numpy has none


def check_rows(given: Any, crystals: Crystals, what: str) -> None:
    """Raise ValueError if a pandas object names the rows like the crystals, in another order.

    Rows belong together by their place, as in scikit-learn: other names, and names that occur
    twice, say nothing.

    Parameters
    ----------
    given : object
        Targets or weights of `fit`.
    crystals : Crystals
    what : str
        How the message calls them.
    """
    if not isinstance(given, (pd.Series, pd.DataFrame)) or crystals.ids is None:
        return
    names = given.index.map(str).to_numpy(dtype=str)
    ids = np.unique(crystals.ids)
    if len(ids) == len(crystals) and np.array_equal(np.sort(names), ids):
        check_same_order(given.index, crystals, what)


def names_of(y: Any) -> list[str] | None:
    """Return the column names of a data frame, the name of a Series in a list, or None."""
    of_polars = type(y).__module__.partition(".")[0] == "polars"
    if isinstance(y, pd.DataFrame) or (of_polars and hasattr(y, "columns")):
        names = [str(c) for c in y.columns]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"y has two columns {twice!r}; rename one, or leave it out")
        return names
    if isinstance(y, pd.Series) and y.name is not None:
        return [str(y.name)]
    if of_polars and hasattr(y, "name"):
        return [y.name] if y.name else None  # a Series without a name has an empty one
    return None


def check_sample_weight(sample_weight: Any, crystals: Crystals) -> np.ndarray | None:
    """Return the weights as a float64 vector, or None.

    Parameters
    ----------
    sample_weight : array-like of shape (n_samples,) or None
    crystals : Crystals

    Returns
    -------
    ndarray of shape (n_samples,) or None

    Raises
    ------
    ValueError
        If they are no real numbers, have another length, or one is negative, infinite, masked or
        NaN, or all are zero, or the largest is out of any reasonable range.
    """
    if sample_weight is None:
        return None
    try:
        weight = read_numbers(sample_weight)
    except _NO_NUMBERS as error:
        raise ValueError(f"sample_weight must hold numbers ({error})") from error
    if weight.shape != (len(crystals),):
        raise ValueError(f"sample_weight has shape {weight.shape} but X has {len(crystals)} rows")
    bad = np.flatnonzero(~(np.isfinite(weight) & (weight >= 0)))
    if len(bad):
        raise ValueError(
            f"{crystals.where(int(bad[0]))}: sample_weight is {weight[bad[0]]}; "
            "weights must be finite and not negative"
        )
    if not weight.any():
        raise ValueError("sample_weight is zero in all rows; at least one must count")
    if not _LEAST_WEIGHT <= weight.max() <= LARGEST_WEIGHT:
        raise ValueError(
            f"{crystals.where(int(weight.argmax()))}: sample_weight is {weight.max():g}, and is "
            "the largest; only ratios of weights count: divide them all by this one"
        )
    return weight


def loss_weights(
    y: np.ndarray, sample_weight: np.ndarray | None, train: np.ndarray
) -> np.ndarray | None:
    """Weigh the losses of single targets, so that their plain mean is what is to be minimised.

    The weights are 0 where a target is unknown, proportional to the sample weights elsewhere, and
    over all targets of the training rows 1 on average. So all labels of a row count the same, in
    whatever batch it comes. If rare targets counted as much in total as the others, each of their
    labels would shake the network.

    Parameters
    ----------
    y : ndarray of shape (n_samples, n_targets)
        NaN where unknown.
    sample_weight : ndarray of shape (n_samples,) or None
    train : ndarray of int
        The training rows.

    Returns
    -------
    ndarray of shape (n_samples, n_targets), or None if all are 1
    """
    known = ~np.isnan(y)
    if sample_weight is None and known.all():
        return None
    weights = known * (1.0 if sample_weight is None else sample_weight[:, None])
    mean = weights[train].mean()
    return weights / (mean if mean > 0 else 1.0)


class TargetScaler:
    """Scale every target to mean 0 and standard deviation 1, over its known values.

    Attributes
    ----------
    mean_ : ndarray of shape (n_targets,)
        A value of the target itself if that is constant.
    scale_ : ndarray of shape (n_targets,)
        Standard deviations; 0 for a target that is constant up to rounding.
    """

    mean_: np.ndarray
    scale_: np.ndarray

    def fit(self, y: np.ndarray, sample_weight: np.ndarray | None = None) -> Self:
        """Learn mean and standard deviation of the columns of y (n, n_targets).

        Raises
        ------
        ValueError
            If the values of a target add up to more than float64 holds.
        """
        weight = (~np.isnan(y)).astype(np.float64)
        if sample_weight is not None:
            weight *= np.reshape(sample_weight, (-1, 1))
        counts = weight > 0
        total = np.where(counts.any(axis=0), weight.sum(axis=0), 1)
        with np.errstate(over="ignore", invalid="ignore"):
            mean = np.where(counts, y * weight, 0).sum(axis=0) / total
            deviation = np.where(counts, y - mean, 0)
            # By powers of two, which is exact: squares neither underflow nor overflow.
            exponent = np.frexp(np.abs(deviation).max(axis=0, initial=0))[1]
            squares = np.ldexp(deviation, -exponent) ** 2
            scale = np.ldexp(np.sqrt((squares * weight).sum(axis=0) / total), exponent)
        if not (np.isfinite(mean) & np.isfinite(scale)).all():
            raise ValueError("y is too large to take its standard deviation; use other units")
        low, high = (
            pick(np.where(counts, y, mean), axis=0) for pick in (np.min, np.max)
        )  # the mean of equal values may differ from them by rounding
        self.mean_ = mean.clip(low, high)
        self.scale_ = np.where(scale <= 1e-12 * np.abs(mean), 0.0, scale)
        return self

    def resumed(self, other: Self) -> Self:
        """Return this scaler, with constant targets scaled as by another: these were not learned.

        Parameters
        ----------
        other : TargetScaler
            Of the rows of the next fit.
        """
        resumed = type(self)()
        resumed.mean_ = np.where(self.scale_ > 0, self.mean_, other.mean_)
        resumed.scale_ = np.where(self.scale_ > 0, self.scale_, other.scale_)
        return resumed

    def transform(self, y: np.ndarray) -> np.ndarray:
        """Return the scaled targets; NaN, as if unknown, for constant ones."""
        varies = self.scale_ > 0
        with np.errstate(over="ignore"):  # of rows that do not count
            scaled = (y - self.mean_) / np.where(varies, self.scale_, 1)
        return np.where(varies, scaled, np.nan)

    def inverse_transform(self, y: np.ndarray) -> np.ndarray:
        """Return targets in their own units."""
        return y * self.scale_ + self.mean_
