"""Errors by crystal system."""

import numpy as np
import pandas as pd

from skuae.analysis._axes import name_rows, take_ax, with_unit
from skuae.analysis._style import COLORS
from skuae.analysis.models._checks import check_rows
from skuae.crystals import CRYSTAL_SYSTEMS, as_crystals


def errors_by_crystal_system(y_true, y_pred, X, *, symprec=0.1, n_jobs=None):
    """Summarise absolute errors by crystal system, from triclinic to cubic.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
    y_pred : array-like of shape (n_samples,)
    X : list, Series, DataFrame with one column or Crystals
        The structures; see :func:`skuae.as_crystals`.
    symprec : float, default=0.1
        Tolerance in Å within which the space group is found.
    n_jobs : int, optional
        Processes that look for symmetry.

    Returns
    -------
    errors : DataFrame
        Indexed by the crystal systems in X, with ``n`` (crystals), ``mae`` and ``median_error`` of
        the predictions, and ``constant_mae``, the error of the median of all y_true. Errors of a
        system may be large only because its targets are far from that median.

    Raises
    ------
    ValueError
        If lengths differ, or a value is not finite.

    Examples
    --------
    >>> from skuae.analysis import errors_by_crystal_system
    >>> from skuae.datasets import make_toy_crystals
    >>> toy = make_toy_crystals(n_samples=16, random_state=0)
    >>> errors = errors_by_crystal_system(toy.target, toy.target + 0.1, toy.structures)
    >>> errors.index.tolist(), errors["mae"].round(3).tolist()
    (['cubic'], [0.1])
    """
    crystals = as_crystals(X)
    y_true, y_pred = check_rows(y_true=y_true, y_pred=y_pred)
    if len(crystals) != len(y_true):
        raise ValueError(f"X has {len(crystals)} rows, and y_true has {len(y_true)}")
    frame = pd.DataFrame({
        "system": crystals.symmetry(symprec, n_jobs=n_jobs).crystal_systems,
        "error": np.abs(y_pred - y_true),
        "constant": np.abs(np.median(y_true) - y_true),
    })  # fmt: skip
    found = frame.groupby("system").agg(
        n=("error", "size"),
        mae=("error", "mean"),
        median_error=("error", "median"),
        constant_mae=("constant", "mean"),
    )
    return found.reindex([name for name in CRYSTAL_SYSTEMS if name in found.index])


class CrystalSystemErrorDisplay:
    """Mean absolute errors by crystal system, compared with those of a constant.

    Parameters
    ----------
    errors : DataFrame
        As `errors_by_crystal_system` returns it.
    unit : str or None
        Unit of the target.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from skuae.analysis import CrystalSystemErrorDisplay, errors_by_crystal_system
    >>> from skuae.datasets import make_toy_crystals
    >>> toy = make_toy_crystals(n_samples=16, random_state=0)
    >>> errors = errors_by_crystal_system(toy.target, toy.target + 0.1, toy.structures)
    >>> display = CrystalSystemErrorDisplay(errors=errors, unit="eV").plot()
    """

    def __init__(self, *, errors, unit=None):
        self.errors = errors
        self.unit = unit

    @classmethod
    def from_estimator(cls, estimator, X, y, *, unit=None, symprec=0.1, n_jobs=None):
        """Predict, and compare with y.

        Parameters
        ----------
        estimator : object
            Fitted regressor on crystals.
        X : list, Series, DataFrame with one column or Crystals
        y : array-like of shape (n_samples,)
        unit : str, optional
            Unit of the target.
        symprec : float, default=0.1
            Tolerance in Å within which the space group is found.
        n_jobs : int, optional
            Processes that look for symmetry.

        Returns
        -------
        display : CrystalSystemErrorDisplay
        """
        errors = errors_by_crystal_system(
            y, estimator.predict(X), X, symprec=symprec, n_jobs=n_jobs
        )
        return cls(errors=errors, unit=unit)

    def plot(self, ax=None):
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Drawn into a new figure if None.

        Returns
        -------
        self : object
        """
        n = len(self.errors)
        ax, figure = take_ax(ax, (5.5, 1.4 + 0.4 * n))
        rows = np.arange(n)
        ax.barh(rows, self.errors["constant_mae"], color="0.85", label="median of all targets")
        ax.barh(rows, self.errors["mae"], height=0.5, color=COLORS[0], label="predictions")
        labels = [f"{s} ({k})" for s, k in zip(self.errors.index, self.errors["n"], strict=True)]
        name_rows(ax, labels)
        ax.set_xlabel(with_unit("mean absolute error", self.unit))
        ax.grid(axis="x", alpha=0.3)
        ax.set_axisbelow(True)
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False)
        self.ax_, self.figure_ = ax, figure
        return self
