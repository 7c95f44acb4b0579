"""Predictions of a CrystalBERT by space group, compared with the labels of these groups."""

from numbers import Integral

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from sklearn.base import is_regressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.utils import Bunch, check_random_state

from skuae.analysis._axes import take_ax
from skuae.analysis._style import COLORS, MARKERS
from skuae.analysis.models._networks import take_network
from skuae.analysis.models._tokens import token_contributions
from skuae.crystals import CRYSTAL_SYSTEMS, space_group_names
from skuae.training import check_rows, check_targets, library_defaults, read_labels

_SHUFFLES = 200
_WORDS = ["symbol", "point_group", "crystal_system", "laue_class", "symmetry_class"]


def space_group_values(estimator, X, y, *, min_count=20, random_state=0):
    """Compare the value of each space group in a CrystalBERT with the labels of its crystals.

    The value of a group is the mean contribution of the five words to the predictions of its
    crystals.

    Parameters
    ----------
    estimator : CrystalGNNRegressor, CrystalGNNClassifier or Pipeline that ends with one
        Fitted, with the back-end `CrystalBERT`, on one target or two classes.
    X : list, Series, DataFrame with one column, Crystals or StructureFeatures
        Structures, preferably not from the training set.
    y : array-like of shape (n_samples,)
        Targets, or labels.
    min_count : int, default=20
        Groups with fewer crystals are left out.
    random_state : int, RandomState instance or None, default=0
        Shuffles the labels of the control.

    Returns
    -------
    values : Bunch
        With the fields

        - ``groups`` : DataFrame indexed by space-group number, with ``symbol``, ``crystal_system``,
          ``n`` (crystals), ``value``, and ``label``: the mean of y, for a classifier the fraction
          of the second class.
        - ``spearman`` : dict of float, rank correlations over groups. ``"value"`` is that of value
          and label. Two controls stand beside it: ``"one-hot"``, where the values are the
          coefficients of a linear model on the groups alone, and ``"shuffled"``: with labels that
          were shuffled over the crystals, 95 % of 200 correlations are smaller. ``"number"`` is
          that of the number of the group and the label.
        - ``within`` : Series, the correlation of value and label within each crystal system that
          has three groups or more.

    Raises
    ------
    TypeError
        If there is no CrystalBERT.
    ValueError
        If the network does not see the space group, or has several targets or more than two
        classes, y does not fit, `min_count` is no positive integer, or fewer than three groups
        have so many crystals.

    Notes
    -----
    A network that reads the group of each crystal can learn the mean label of the group. A high
    correlation alone is therefore no insight; compare it with that of ``"one-hot"``.

    Examples
    --------
    >>> from skuae import CrystalGNNRegressor, models
    >>> from skuae.analysis import space_group_values
    >>> from skuae.datasets import make_toy_crystals
    >>> toy = make_toy_crystals(n_samples=16, random_state=0)
    >>> bert = models.CrystalBERT(d_model=16, n_layers=1, n_heads=1, d_ff=16)
    >>> gnn = CrystalGNNRegressor(bert, max_epochs=1, random_state=0)
    >>> gnn = gnn.fit(toy.structures, toy.target)
    >>> values = space_group_values(gnn, toy.structures, toy.target, min_count=2)
    >>> values.groups.index.tolist()
    [216, 221, 225]
    """
    if not isinstance(min_count, Integral) or isinstance(min_count, bool) or min_count < 1:
        raise ValueError(f"min_count must be an integer, at least 1; got {min_count!r}")
    with library_defaults():
        estimator, crystals = take_network(estimator, X)
        labels = _labels(estimator, y, crystals)
        contributions = token_contributions(estimator, crystals)
        if "symbol" not in contributions.tokens:
            raise ValueError('this CrystalBERT has no "space_group" among its tokens')
        numbers = crystals.symmetry(estimator.network_.backbone.symprec).space_groups
    value = contributions.tokens[_WORDS].sum(axis=1).to_numpy()
    groups = _by_group(numbers, value, labels, min_count)
    rng = check_random_state(random_state)
    shuffled = [
        _rank(
            groups["value"], _by_group(numbers, value, rng.permutation(labels), min_count)["label"]
        )
        for _ in range(_SHUFFLES)
    ]
    coefficients = _one_hot(numbers, labels, is_regressor(estimator)).loc[groups.index]
    spearman = {
        "value": _rank(groups["value"], groups["label"]),
        "one-hot": _rank(coefficients, groups["label"]),
        "shuffled": float(np.quantile(shuffled, 0.95)),
        "number": _rank(groups.index, groups["label"]),
    }
    within = {
        system: _rank(part["value"], part["label"])
        for system, part in groups.groupby("crystal_system")
        if len(part) >= 3
    }
    within = pd.Series({s: within[s] for s in CRYSTAL_SYSTEMS if s in within}, dtype=float)
    return Bunch(groups=groups, spearman=spearman, within=within)


def _labels(estimator, y, crystals):
    """Return one number per crystal, 0 and 1 for two classes."""
    check_rows(y, crystals, "y")
    if is_regressor(estimator):
        values, _, _ = check_targets(y, crystals)
        if values.shape[1] != 1:
            raise ValueError(f"y has {values.shape[1]} targets; this needs one")
        unknown = np.flatnonzero(np.isnan(values[:, 0]))
        if len(unknown):
            raise ValueError(f"{crystals.where(unknown[0])}: the target is NaN; leave the row out")
        _check_differ(values[:, 0])
        return values[:, 0]
    known = estimator.classes_.tolist()
    if len(known) != 2:
        raise ValueError(f"the model has {len(known)} classes; this needs two")
    classes, codes, _ = read_labels(y, crystals)
    for label in classes.tolist():
        if label not in known:
            raise ValueError(f"y has the label {label!r}; the model knows {known}")
    second = (classes[codes] == estimator.classes_[1]).astype(float)
    _check_differ(second)
    return second


def _check_differ(labels):
    if not np.ptp(labels):
        raise ValueError("all of y is the same, so that no group differs; pass other crystals")


def _by_group(numbers, value, labels, min_count):
    """Return count, value and label of the groups that have enough crystals."""
    frame = pd.DataFrame({"number": numbers, "value": value, "label": labels})
    groups = frame.groupby("number").agg(
        n=("label", "size"), value=("value", "mean"), label=("label", "mean")
    )
    groups = groups[groups["n"] >= min_count]
    if len(groups) < 3:
        raise ValueError(
            f"{len(groups)} space groups have at least min_count={min_count} crystals; three are "
            "needed: pass more crystals or a smaller min_count"
        )
    names = space_group_names()
    for column in ("crystal_system", "symbol"):
        groups.insert(0, column, names[column][groups.index - 1])
    return groups


def _one_hot(numbers, labels, regressor):
    """Return the coefficients, by group, of a linear model on the space groups only."""
    known, codes = np.unique(numbers, return_inverse=True)
    X = np.eye(len(known))[codes]
    model = Ridge(alpha=1.0) if regressor else LogisticRegression(max_iter=1000)
    return pd.Series(np.ravel(model.fit(X, labels).coef_), index=known)


def _rank(a, b):
    """Return the rank correlation of two columns; NaN where one is constant."""
    a, b = np.asarray(a), np.asarray(b)
    return float(spearmanr(a, b).statistic) if np.ptp(a) and np.ptp(b) else float("nan")


class SpaceGroupValuesDisplay:
    """The value of each space group in a CrystalBERT against the mean label of its crystals.

    Parameters
    ----------
    groups : DataFrame
        As `space_group_values` returns it.
    spearman : dict of float
    label : str, default="mean of the labels"

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from skuae import CrystalGNNRegressor, models
    >>> from skuae.analysis import SpaceGroupValuesDisplay
    >>> from skuae.datasets import make_toy_crystals
    >>> toy = make_toy_crystals(n_samples=16, random_state=0)
    >>> bert = models.CrystalBERT(d_model=16, n_layers=1, n_heads=1, d_ff=16)
    >>> gnn = CrystalGNNRegressor(bert, max_epochs=1, random_state=0)
    >>> gnn = gnn.fit(toy.structures, toy.target)
    >>> display = SpaceGroupValuesDisplay.from_estimator(
    ...     gnn, toy.structures, toy.target, min_count=2
    ... ).plot()
    """

    def __init__(self, *, groups, spearman, label="mean of the labels"):
        self.groups = groups
        self.spearman = spearman
        self.label = label

    @classmethod
    def from_estimator(cls, estimator, X, y, *, label="mean of the labels", **options):
        """Compute the values.

        Parameters
        ----------
        estimator : CrystalGNNRegressor, CrystalGNNClassifier or Pipeline that ends with one
            Fitted, with the back-end `CrystalBERT`.
        X : list, Series, DataFrame with one column, Crystals or StructureFeatures
        y : array-like of shape (n_samples,)
        label : str, default="mean of the labels"
            What the horizontal axis is called.
        **options : dict
            As in `space_group_values`.

        Returns
        -------
        display : SpaceGroupValuesDisplay
        """
        values = space_group_values(estimator, X, y, **options)
        return cls(groups=values.groups, spearman=values.spearman, label=label)

    def plot(self, ax=None):
        """Draw; the area of a marker grows with the number of crystals.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Drawn into a new figure if None.

        Returns
        -------
        self : object
        """
        ax, figure = take_ax(ax, (6.2, 4.2))
        systems = [s for s in CRYSTAL_SYSTEMS if s in set(self.groups["crystal_system"])]
        for system in systems:
            part, i = (
                self.groups[self.groups["crystal_system"] == system],
                CRYSTAL_SYSTEMS.index(system),
            )
            size = 60 * np.sqrt(part["n"] / self.groups["n"].max()) + 8
            style = {"color": COLORS[i], "marker": MARKERS[i], "alpha": 0.75, "linewidths": 0}
            ax.scatter(part["label"], part["value"], s=size, label=system, **style)
        ax.set_xlabel(self.label)
        ax.set_ylabel("value of the space group")
        numbers = [f"{name} {self.spearman[name]:.2f}" for name in self.spearman]
        title = "rank correlations with the labels:\n" + ", ".join(numbers)
        ax.set_title(title, fontsize="small")
        ax.grid(alpha=0.3)
        ax.set_axisbelow(True)
        if ax.get_legend_handles_labels()[0]:
            ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
        self.ax_, self.figure_ = ax, figure
        return self
