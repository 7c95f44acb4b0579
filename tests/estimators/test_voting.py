"""Ensembles: the mean of several models, and how far they are apart."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestRegressor, VotingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import BayesianRidge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skuae import Crystals, CrystalVotingRegressor, UAETransformer, as_crystals
from skuae.analysis import UncertaintyCalibrationDisplay


@pytest.fixture
def members(gnn):
    return [
        ("one", gnn(random_state=1)),
        ("other", gnn(random_state=2, embedding="cgcnn")),
        (
            "forest",
            make_pipeline(UAETransformer("magpie"), RandomForestRegressor(3, random_state=0)),
        ),
    ]


def test_predictions_are_those_of_scikit_learn(members, X, y):
    weight = np.linspace(1, 2, len(y))
    for weights in (None, [1, 2]):
        ours = CrystalVotingRegressor(members[:2], weights=weights)
        theirs = VotingRegressor(members[:2], weights=weights)
        ours.fit(list(X), y, sample_weight=weight)
        theirs.fit(list(X), y, sample_weight=weight)
        np.testing.assert_array_equal(ours.predict(list(X)), theirs.predict(list(X)))
        np.testing.assert_array_equal(ours.transform(list(X)), theirs.transform(list(X)))


def test_the_spread(members, X, y):
    model = CrystalVotingRegressor(members).fit(list(X), y)
    mean, std = model.predict(list(X), return_std=True)
    each = model.transform(list(X))
    np.testing.assert_allclose(mean, model.predict(X))
    np.testing.assert_allclose(std, each.std(axis=1, ddof=1))
    # two thirds and one third: the variance is p (1 - p) d², divided by 1 - p² - (1 - p)²
    weighted = clone(model).set_params(weights=[2.0, 1.0, 0.0]).fit(list(X), y)
    _, std = weighted.predict(X, return_std=True)
    expected = np.abs(each[:, 0] - each[:, 1]) / np.sqrt(2)
    np.testing.assert_allclose(std, expected)


def test_noise_that_members_know_of_is_added(gnn, X, y):
    noisy = [(str(i), gnn(loss="gaussian_nll", random_state=i)) for i in range(3)]
    model = CrystalVotingRegressor([*noisy, ("plain", gnn())]).fit(X, y)
    _, std = model.predict(X, return_std=True)
    own = [member.predict(X, return_std=True)[1] for member in model.estimators_[:3]]
    spread = model.transform(X).std(axis=1, ddof=1)
    np.testing.assert_allclose(std, np.sqrt(spread**2 + np.mean(np.square(own), axis=0)))
    piped = [(name, make_pipeline(UAETransformer("magpie"), member)) for name, member in noisy]
    _, std = CrystalVotingRegressor(piped).fit(X, y).predict(X, return_std=True)
    assert (std > 0).all()
    UncertaintyCalibrationDisplay.from_estimator(model, X, y)


class Reader(RegressorMixin, BaseEstimator):
    """Keeps what it is given."""

    def fit(self, X, y):
        self.seen_ = [X]
        return self

    def predict(self, X):
        self.seen_.append(X)
        return np.zeros(len(X))


def test_regressors_of_scikit_learn_give_their_own(gnn, X, y):
    bayes = make_pipeline(UAETransformer("magpie"), BayesianRidge())
    model = CrystalVotingRegressor([("bayes", bayes), ("gnn", gnn())]).fit(X, y)
    _, std = model.predict(X, return_std=True)
    _, own = model.estimators_[0].predict(X, return_std=True)
    np.testing.assert_allclose(std**2, model.transform(X).var(axis=1, ddof=1) + own**2)


@pytest.mark.parametrize("what", ["y", "sample_weight"])
def test_rows_in_another_order_are_refused(gnn, X, y, what):
    named = as_crystals(pd.Series(list(X), index=[f"id{i}" for i in range(len(X))]))
    shuffled = pd.Series(y, index=named.ids)[::-1]
    given = (shuffled, None) if what == "y" else (y, shuffled)
    with pytest.raises(ValueError, match="another order"):
        CrystalVotingRegressor([("one", gnn())]).fit(named, *given)


def test_names_of_columns(members, X, y):
    model = CrystalVotingRegressor(members).set_params(other="drop").fit(X, y)
    names = ["crystalvotingregressor_one", "crystalvotingregressor_forest"]
    assert model.get_feature_names_out().tolist() == names
    assert list(model.set_output(transform="pandas").transform(X)) == names


def test_structures_are_read_once(X, y):
    model = CrystalVotingRegressor([("one", Reader()), ("other", Reader())]).fit(list(X), y)
    model.predict(list(X))
    one, other = (member.seen_ for member in model.estimators_)
    assert all(isinstance(seen, Crystals) for seen in one)
    assert one[0] is other[0] and one[1] is other[1]  # and with them, graphs


def test_processes_give_the_same(members, X, y):
    one = CrystalVotingRegressor(members).fit(X, y).predict(X)
    np.testing.assert_array_equal(
        CrystalVotingRegressor(members, n_jobs=2).fit(X, y).predict(X), one
    )


def test_searches_and_frames(members, X, y):
    model = CrystalVotingRegressor(members[:2])
    assert np.isfinite(cross_val_score(model, list(X), y, cv=2)).all()
    search = GridSearchCV(model, {"one__lr": [0.01, 0.02]}, cv=2).fit(list(X), y)
    assert "one__lr" in search.best_params_
    frame = pd.DataFrame({"structure": list(X)})
    np.testing.assert_array_equal(model.fit(frame, y).predict(frame), model.fit(X, y).predict(X))


def test_a_member_may_choose_its_columns(gnn, X, y):
    frame = pd.DataFrame({"structure": list(X), "size": X.sizes})
    chosen = make_pipeline(
        ColumnTransformer([("of", UAETransformer("magpie"), "structure")]), BayesianRidge()
    )
    structures = FunctionTransformer(lambda frame: frame["structure"])
    models = [("chosen", chosen), ("gnn", make_pipeline(structures, gnn()))]
    voting = CrystalVotingRegressor(models).fit(frame, y)
    members = [clone(model).fit(frame, y).predict(frame) for _, model in models]
    np.testing.assert_allclose(voting.predict(frame), np.mean(members, axis=0))


def test_what_cannot_be(members, X, y):
    with pytest.raises(NotFittedError):
        CrystalVotingRegressor(members).predict(X, return_std=True)
    alone = CrystalVotingRegressor(members[:1]).fit(X, y)
    with pytest.raises(ValueError, match=r"at least two members.* for 1 members"):
        alone.predict(X, return_std=True)
    model = CrystalVotingRegressor(members, weights=[3, 3, -5]).fit(X, y)
    with pytest.raises(ValueError, match=r"none below 0; got weights=\[3, 3, -5\]"):
        model.predict(X, return_std=True)
