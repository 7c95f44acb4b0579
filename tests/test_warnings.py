"""Warnings name the user's line, whatever lies between it and skuae."""

import warnings

import pytest
from sklearn.base import BaseEstimator
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from skuae import CrystalGNNRegressor, UAETransformer, _warnings
from skuae.datasets import make_toy_crystals


@pytest.fixture(scope="module")
def toy():
    return make_toy_crystals(8, random_state=0)


@pytest.mark.parametrize("depth", [1, 3])
def test_the_first_line_outside_is_named(depth):
    """The helper itself is inside, and so is a caller that pretends to be a file of skuae."""
    code = "def call(n):\n    warn('told') if n == 1 else call(n - 1)\n"
    names = {"warn": _warnings.warn}
    exec(compile(code, _warnings.__file__, "exec"), names)
    with pytest.warns(UserWarning, match="told") as told:
        names["call"](depth)
    assert told[0].filename == __file__


def test_behind_a_pipeline(toy):
    gnn = CrystalGNNRegressor(embedding="magpie", max_epochs=1, random_state=0)
    pipe = make_pipeline(UAETransformer("onehot"), gnn)
    with pytest.warns(UserWarning, match="not the table 'onehot'") as told:
        pipe.fit(toy.structures, toy.target)
    assert {w.filename for w in told} == {__file__}


def test_behind_a_cross_validation(toy):
    class Warns(BaseEstimator):
        def fit(self, X, y):
            return self

        def score(self, X, y):
            _warnings.warn("told")
            return 0.0

    with pytest.warns(UserWarning, match="told") as told:
        cross_val_score(Warns(), toy.structures, toy.target, cv=2)
    assert {w.filename for w in told} == {__file__}


def test_categories_and_filters_work():
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        with pytest.raises(FutureWarning, match="soon"):
            _warnings.warn("soon", FutureWarning)
