"""Warnings name the user's line, whatever lies between it and skuae."""

import warnings

import pytest
from joblib import Parallel, delayed
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


def test_names_that_begin_alike_are_outside(tmp_path):
    """A script in a folder skuae_scripts beside the package is the user's."""
    file = f"{_warnings._HERE.rstrip('/')}_scripts/train.py"
    names = {"warn": _warnings.warn}
    exec(compile("def call():\n    warn('told')\n", file, "exec"), names)
    with pytest.warns(UserWarning, match="told") as told:
        names["call"]()
    assert told[0].filename == file


def test_in_a_worker_the_line_that_called_skuae_is_named():
    found = Parallel(n_jobs=2)(delayed(_warned_in)(i) for i in range(2))
    assert all("sklearn" in name or name.endswith("test_warnings.py") for name in found), found


def _warned_in(_):
    from sklearn.model_selection import cross_val_score

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        cross_val_score(_Warns(), [[0.0]] * 4, [0, 1, 0, 1], cv=2)
    return told[0].filename


class _Warns(BaseEstimator):
    def fit(self, X, y):
        return self

    def score(self, X, y):
        from skuae._warnings import warn

        warn("told")
        return 0.0


def test_categories_and_filters_work():
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        with pytest.raises(FutureWarning, match="soon"):
            _warnings.warn("soon", FutureWarning)
