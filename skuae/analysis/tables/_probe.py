"""Probes: measured properties of the elements predicted from their vectors."""

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.metrics import r2_score
from sklearn.model_selection import RepeatedKFold
from sklearn.utils import Bunch
from tqdm import tqdm

from skuae.analysis._inputs import check_seed, check_table, check_tables
from skuae.analysis.tables._properties import read_properties

_N_ITERATIONS = 300
_DEPTH = 3
_LEAST = 10  # elements with a value: fewer leave one or none to test on


def probe_elements(
    table,
    properties=None,
    *,
    controls=("random", "onehot"),
    cv=None,
    random_state=0,
    n_jobs=None,
    verbose=0,
):
    """Predict properties of elements from their vectors and from control vectors.

    Gradient-boosted trees (CatBoost) are trained on some elements and tested on others, in many
    splits ([1]_, Table 4). All tables share the same elements and splits.

    Parameters
    ----------
    table : str, path, ElementTable or DataFrame
        What `skuae.embedding.resolve_table` takes, other than an estimator.
    properties : list of str, Series, DataFrame or mapping, optional
        Names out of `element_properties`, by default all of them; or your own, indexed by symbol or
        atomic number, NaN where not known. Of each property, the elements are used that have a
        value and a vector in all tables.
    controls : one or a sequence of str, path, ElementTable or DataFrame, \
            default=("random", "onehot")
        Tables to compare with: random vectors and vectors that only name the element, as well as
        any other. ``"random"`` is one draw, the same on every call: the spread of its scores is
        over splits, not over draws. To see that as well, pass random tables of your own.
    cv : scikit-learn splitter, optional
        By default ``RepeatedKFold(n_splits=5, n_repeats=4)`` with `random_state`: 20 splits into
        80 and 20 %. The elements of one test part are so few that R² differs widely from part to
        part: look at mean and spread, never at the best. A test part has at least two elements.
    random_state : int, default=0
        Seeds the splits and the trees.
    n_jobs : int, default=None
        Processes.
    verbose : int, default=0
        Above 0, show a progress bar.

    Returns
    -------
    Bunch
        - ``summary``: DataFrame indexed by (property, table): number of elements that `cv` held
          out (all of them, unless it draws at random), mean, standard deviation and best of R² over
          the splits, and ``r2_pooled``, the R² of the mean held-out prediction of each of these
          elements, over all of them at once: one number.
        - ``scores``: DataFrame with the R² of every split.
        - ``predictions``: DataFrame indexed by (property, table, element): value and mean held-out
          prediction.
        - ``importances``: DataFrame of shape (n_dims, n_properties) for `table`: mean absolute SHAP
          value of each dimension over elements and splits, in the unit of the property.
        - ``top_dims``: DataFrame, for each property the five most important dimensions, their share
          of the whole importance, and the share of splits in which each is the first.

    Raises
    ------
    ImportError
        Without catboost.
    ValueError
        If fewer than ten elements have a value and a vector, or `cv` tests on fewer than two
        elements at a time.

    Notes
    -----
    There are 300 trees of depth 3; each split chooses from a random 1/√n_dims of the dimensions.
    This is better here than CatBoost's defaults, and thirty times faster.

    The meaning of a dimension is that of one trained table; in another training, others are
    important.

    References
    ----------
    .. [1] Jin et al., Nature Communications 16, 1210 (2025).

    Examples
    --------
    >>> from sklearn.model_selection import RepeatedKFold
    >>> from skuae.analysis import probe_elements
    >>> probe = probe_elements("megnet16", ["melting_point"], controls=["random16"],
    ...                        cv=RepeatedKFold(n_splits=5, n_repeats=1, random_state=0))
    >>> probe.summary["r2_mean"].idxmax()
    ('melting_point', 'megnet16')
    """
    _import_catboost()
    check_seed(random_state)
    tables = [check_table(table), *check_tables(controls)]
    names = [one.name for one in tables]
    if len(set(names)) < len(names):
        raise ValueError(f"two tables of one name: {', '.join(names)}; rename or leave out one")
    targets = read_properties(properties)
    covered = np.logical_and.reduce([one.seen for one in tables])
    if cv is None:
        cv = RepeatedKFold(n_splits=5, n_repeats=4, random_state=random_state)
    tasks = []
    for name in targets:
        elements = np.flatnonzero(covered & targets[name].notna().to_numpy())
        if len(elements) < _LEAST:
            raise ValueError(
                f"{len(elements)} elements have a value of {name!r} and a vector in all of "
                f"{', '.join(names)}; at least {_LEAST} are needed"
            )
        y = targets[name].to_numpy()[elements]
        if np.ptp(y) == 0:
            raise ValueError(f"{name!r} is the same for all elements: there is nothing to predict")
        for split, (train, test) in enumerate(cv.split(elements)):
            if len(test) < 2:
                raise ValueError(
                    f"split {split} of {name!r} tests on {len(test)} of {len(elements)} elements; "
                    "R² needs two: give cv fewer splits or a larger test part"
                )
            if np.ptp(y[train]) == 0:
                raise ValueError(
                    f"split {split} of {name!r} trains on elements of one value, {y[train][0]}; "
                    "shuffle the elements in cv, or leave the property out"
                )
            for one in tables:
                explain = one is tables[0]
                seed = random_state + split
                X = one.values[elements]
                tasks.append((name, one.name, split, elements, (X, y, train, test, seed, explain)))
    # Trees of one fit are grown one after the other: fits side by side use the cores better.
    run = Parallel(n_jobs=n_jobs, return_as="generator")(delayed(_fit)(*task[-1]) for task in tasks)
    results = list(tqdm(run, total=len(tasks), unit="fit", disable=not verbose))
    return _collect(tasks, results, targets, tables[0])


def _import_catboost():
    try:
        import catboost
    except ImportError as error:
        raise ImportError('probe_elements needs catboost: pip install "skuae[analysis]"') from error
    return catboost


def _fit(X, y, train, test, seed, explain):
    """Return R² and predictions on the test rows, and mean |SHAP| over all rows or None."""
    model = _import_catboost().CatBoostRegressor(
        iterations=_N_ITERATIONS,
        depth=_DEPTH,
        rsm=1.0 / np.sqrt(X.shape[1]),
        random_seed=seed,
        thread_count=1,
        allow_writing_files=False,
        verbose=False,
    )
    model.fit(X[train], y[train])
    predicted = model.predict(X[test])
    importance = np.abs(explain_model(model, X)[0]).mean(axis=0) if explain else None
    return r2_score(y[test], predicted), predicted, importance


def explain_model(model, X):
    """Return the SHAP values of a CatBoost model.

    Parameters
    ----------
    model : catboost.CatBoostRegressor
        Fitted.
    X : ndarray of shape (n_samples, n_dims)

    Returns
    -------
    values : ndarray of shape (n_samples, n_dims)
    base : float
        What the values of a row add to, to give its prediction.
    """
    # The package shap would call this as well.
    values = model.get_feature_importance(_import_catboost().Pool(X), type="ShapValues")
    return values[:, :-1], float(values[0, -1])


def _collect(tasks, results, targets, table):
    scores, held_out = [], []
    importances: dict = {}
    for (prop, name, split, elements, (_, y, _, test, _, _)), result in zip(
        tasks, results, strict=True
    ):
        r2, predicted, importance = result
        scores.append((prop, name, split, len(y) - len(test), len(test), r2))
        symbols = targets.index[elements[test]]
        held_out.append(
            pd.DataFrame({"property": prop, "table": name, "element": symbols,
                          "value": y[test], "predicted": predicted})
        )  # fmt: skip
        if importance is not None:
            importances.setdefault(prop, []).append(importance)
    scores = pd.DataFrame(scores, columns=["property", "table", "split", "n_train", "n_test", "r2"])
    keys = ["property", "table"]
    predictions = pd.concat(held_out).groupby([*keys, "element"]).mean()
    by_table = scores.groupby(keys, sort=False)["r2"]
    pooled = predictions.groupby(keys)
    summary = pd.DataFrame(
        {
            "n_elements": pooled.size(),
            "r2_mean": by_table.mean(),
            "r2_std": by_table.std(),
            "r2_best": by_table.max(),
            "r2_pooled": pooled.apply(lambda rows: r2_score(rows["value"], rows["predicted"])),
        },
        index=by_table.size().index,  # in the order of the tables given
    )
    mean = pd.DataFrame({prop: np.mean(rows, axis=0) for prop, rows in importances.items()})
    mean.index = pd.Index(table.columns, name="dim")
    return Bunch(
        table=table.name,
        summary=summary,
        scores=scores,
        predictions=predictions,
        importances=mean,
        top_dims=_rank(mean, importances),
    )


def _rank(mean, importances, n_top=5):
    rows = []
    for prop, column in mean.items():
        first = np.argmax(importances[prop], axis=1)
        for rank, place in enumerate(np.argsort(-column.to_numpy(), kind="stable")[:n_top]):
            share = column.iloc[place] / max(column.sum(), np.finfo(float).tiny)
            rows.append((prop, rank + 1, mean.index[place], share, np.mean(first == place)))
    names = ["property", "rank", "dim", "share", "share_first"]
    return pd.DataFrame(rows, columns=names).set_index(["property", "rank"])
