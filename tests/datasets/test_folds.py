"""Splits that keep formulas together."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline

from skuae import UAETransformer
from skuae.datasets import (
    FormulaKFold,
    StratifiedFormulaKFold,
    formula_groups,
    make_toy_crystals,
)


@pytest.fixture(scope="module")
def toy():
    toy = make_toy_crystals(30, random_state=0)
    rows = np.r_[:30, :10, :10]  # twenty rows have the formula of another one
    return toy.structures[rows], toy.target[rows]


@pytest.mark.parametrize("kind", [FormulaKFold, StratifiedFormulaKFold])
def test_formulas_stay_together(toy, kind):
    X, y = toy
    labels = y > np.median(y)
    groups = formula_groups(X)
    folds = list(kind(3).split(list(X), labels))
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(50))
    for train, test in folds:
        assert not set(groups[train]) & set(groups[test])
    again = list(kind(3).split(X, labels))
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(folds, again, strict=True))


def test_they_are_those_of_scikit_learn(toy):
    X, y = toy
    ours = FormulaKFold(3, random_state=4).split(X, y)
    theirs = GroupKFold(3, shuffle=True, random_state=4).split(X, y, formula_groups(X))
    for (train, test), (train_2, test_2) in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(train, train_2)
        np.testing.assert_array_equal(test, test_2)


def test_in_searches(toy):
    X, y = toy
    pipe = make_pipeline(UAETransformer("magpie"), Ridge())
    search = GridSearchCV(pipe, {"ridge__alpha": [1.0]}, cv=FormulaKFold(2)).fit(list(X), y)
    assert search.n_splits_ == 2
    assert cross_val_score(pipe, X, y, cv=FormulaKFold(4)).shape == (4,)


def test_more_folds_than_formulas(toy):
    X, y = toy
    with pytest.raises(ValueError, match="n_splits=3 greater than the number of groups: 1"):
        list(FormulaKFold(3).split(X[[0, 30, 40]], y[:3]))
