"""Learning curves of several estimators on the same rows with the same seeds."""

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import ShuffleSplit, learning_curve
from sklearn.utils import Bunch

from skuae.analysis._axes import take_panels, with_unit
from skuae.analysis._style import color_of, marker_of


def compare_learning_curves(
    estimators,
    X,
    y,
    *,
    train_sizes=(0.1, 0.33, 1.0),
    test_size=0.2,
    seeds=(0, 1, 2),
    scoring="neg_mean_absolute_error",
    n_jobs=None,
):
    """Compare learning curves of several estimators, seed by seed.

    scikit-learn's `learning_curve` runs for each estimator on the same splits. A seed sets the test
    rows, the order of the training rows, and every `random_state` of the estimators. All estimators
    share the hard and the easy splits, so that differences within a seed are more precise than the
    spread between seeds.

    Parameters
    ----------
    estimators : dict of str to estimator
        Names and estimators, not fitted; such as the same pipeline with several element tables. The
        first is what the others are compared with. The table "random" is one draw, the same for all
        seeds.
    X : array-like of structures, or whatever the estimators take
    y : array-like of shape (n_samples,)
    train_sizes : array-like, default=(0.1, 0.33, 1.0)
        Numbers of rows to train on, or fractions of all that are not for testing. Larger sets
        contain the smaller ones.
    test_size : float or int, default=0.2
        Rows to test on.
    seeds : sequence of int, default=(0, 1, 2)
    scoring : str or callable, default="neg_mean_absolute_error"
        As in scikit-learn: higher is better.
    n_jobs : int, optional
        Training sizes that are run at once.

    Returns
    -------
    comparison : Bunch
        With the fields

        - ``scores`` : DataFrame with columns ``name``, ``n_train``, ``seed``, ``train_score``,
          ``test_score``.
        - ``gains`` : DataFrame indexed by ``(name, n_train)`` without the first estimator: ``mean``
          and ``std`` over the seeds of test score minus that of the first, the number of seeds
          ``n_better`` where this is above zero, and the number ``n`` of all (std is NaN for one).
        - ``scoring`` : as given.

    Raises
    ------
    ValueError
        If there are no estimators or seeds; whatever an estimator raises in fit.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> from skuae import UAETransformer
    >>> from skuae.analysis import compare_learning_curves
    >>> from skuae.datasets import make_toy_crystals
    >>> toy = make_toy_crystals(n_samples=40, random_state=0)
    >>> tables = ["random", "magpie"]
    >>> estimators = {table: make_pipeline(UAETransformer(table), Ridge()) for table in tables}
    >>> comparison = compare_learning_curves(estimators, toy.structures, toy.target)
    >>> int(comparison.gains.loc[("magpie", 32), "n_better"])  # seeds of three, with 32 rows
    3
    """
    estimators, seeds = dict(estimators), list(seeds)
    if not estimators or not seeds:
        raise ValueError("give at least one estimator and one seed")
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds={seeds} has one twice; each is one split")
    rows: list[tuple] = []
    for seed in seeds:
        split = ShuffleSplit(n_splits=1, test_size=test_size, random_state=seed)
        for name, estimator in estimators.items():
            sizes, train, test = learning_curve(
                _seeded(estimator, seed), X, y, train_sizes=np.asarray(train_sizes), cv=split,
                scoring=scoring, n_jobs=n_jobs, error_score="raise",
            )  # fmt: skip
            rows += zip([name] * len(sizes), sizes, [seed] * len(sizes), train[:, 0], test[:, 0],
                        strict=True)  # fmt: skip
    columns = ["name", "n_train", "seed", "train_score", "test_score"]
    scores = pd.DataFrame(rows, columns=columns)
    return Bunch(scores=scores, gains=_gains(scores), scoring=scoring)


def _seeded(estimator, seed):
    """Return a clone with every `random_state`, including those of its parts, set to the seed.

    A fitted model to start from keeps its own, since clones share that model.
    """
    estimator = clone(estimator)
    names = [
        name
        for name in estimator.get_params()
        if name.rpartition("__")[2] == "random_state" and "init_from" not in name.split("__")
    ]
    return estimator.set_params(**dict.fromkeys(names, seed))


def _differences(scores):
    """Return test scores minus those of the first estimator: (name, n_train) by seed."""
    table = scores.pivot(index=["name", "n_train"], columns="seed", values="test_score")
    names = scores["name"].unique()
    others = table.loc[names[1:].tolist()]
    first = table.loc[names[0]].loc[others.index.get_level_values("n_train")]
    return others - first.to_numpy()


def _gains(scores):
    gains = _differences(scores)
    return pd.DataFrame(
        {
            "mean": gains.mean(axis=1),
            "std": gains.std(axis=1),
            "n_better": (gains > 0).sum(axis=1),
            "n": gains.notna().sum(axis=1),
        }
    )


class LearningCurvesDisplay:
    """Errors of several estimators against the number of training rows, and their gains.

    The left panel shows mean and standard deviation over the seeds. The right panel shows the gain
    over the first estimator on the same rows, one point per seed; above zero is better.

    Parameters
    ----------
    comparison : Bunch
        As returned by `compare_learning_curves`.

    Attributes
    ----------
    ax_ : ndarray of matplotlib Axes of shape (2,)
    figure_ : matplotlib Figure

    See Also
    --------
    sklearn.model_selection.LearningCurveDisplay : One estimator, training scores too.

    Examples
    --------
    >>> from sklearn.dummy import DummyRegressor
    >>> from sklearn.linear_model import Ridge
    >>> from skuae.analysis import LearningCurvesDisplay
    >>> X, y = [[i] for i in range(40)], range(40)
    >>> models = {"mean": DummyRegressor(), "Ridge": Ridge()}
    >>> display = LearningCurvesDisplay.from_estimators(models, X, y)
    >>> display.plot(unit="eV").ax_[0].get_ylabel()
    'mean absolute error (eV)'
    """

    def __init__(self, comparison):
        self.comparison = comparison

    @classmethod
    def from_estimators(cls, estimators, X, y, **options):
        """Fit and compare.

        Parameters
        ----------
        estimators : dict of str to estimator
        X : array-like of structures, or whatever the estimators take
        y : array-like of shape (n_samples,)
        **options : dict
            As in `compare_learning_curves`.

        Returns
        -------
        display : LearningCurvesDisplay
        """
        return cls(compare_learning_curves(estimators, X, y, **options))

    @classmethod
    def from_comparison(cls, comparison):
        """Make a display of a result of `compare_learning_curves`.

        Parameters
        ----------
        comparison : Bunch
            As returned by `compare_learning_curves`.

        Returns
        -------
        display : LearningCurvesDisplay
        """
        return cls(comparison)

    def plot(self, ax=None, *, unit=None):
        """Draw.

        Parameters
        ----------
        ax : sequence of two matplotlib Axes, optional
            Axes to draw on; a new figure by default.
        unit : str, optional
            Unit of the score, e.g. ``"eV/atom"``.

        Returns
        -------
        self : object
        """
        axes, figure = take_panels(ax, 2, (9.5, 4))
        left, right = axes
        scores = self.comparison.scores
        name, is_error = _score_name(self.comparison.scoring)
        sign = -1 if is_error else 1
        names = scores["name"].unique()
        sizes = np.sort(scores["n_train"].unique())
        for i, estimator in enumerate(names):
            curve = sign * scores[scores["name"] == estimator].pivot(
                index="n_train", columns="seed", values="test_score"
            )
            left.errorbar(
                sizes, curve.mean(axis=1), curve.std(axis=1, ddof=0), marker=marker_of(i),
                color=color_of(i), capsize=3, label=estimator,
            )  # fmt: skip
        if len(names) > 1:
            differences = _differences(scores)
            for i, estimator in enumerate(names[1:], start=1):
                gains = differences.loc[estimator]
                right.plot(sizes, gains.mean(axis=1), color=color_of(i), label=estimator)
                for seed in gains:
                    right.plot(
                        sizes, gains[seed], marker_of(i), color=color_of(i), alpha=0.5, markersize=5
                    )
        right.axhline(
            0, color=color_of(0), linewidth=1, linestyle="--", label=f"{names[0]} (reference)"
        )
        left.set(ylabel=with_unit(name, unit))
        gain = "smaller by" if is_error else "larger by"
        right.set(ylabel=with_unit(f"{name} {gain}", unit))
        right.set(title=f"gain over {names[0]}, each seed")
        left.set(title="mean and standard deviation of the seeds")
        for panel in axes:
            panel.set(xlabel="crystals to train on", xscale="log")
            panel.set_xticks(sizes, [f"{n:,}" for n in sizes])
            panel.minorticks_off()
        left.legend(fontsize="small")
        self.ax_, self.figure_ = axes, figure
        return self


def _score_name(scoring):
    """Return the name of a score for an axis, and whether it is a negated error."""
    if not isinstance(scoring, str):
        return "score", False
    is_error = scoring.startswith("neg_")
    words = scoring.removeprefix("neg_").replace("_", " ")
    return {"r2": "R²"}.get(words, words), is_error
