"""Stacks: combinations that are learned on inner folds."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble import StackingClassifier, StackingRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline

from skuae import (
    Crystals,
    CrystalStackingClassifier,
    CrystalStackingRegressor,
    UAETransformer,
)


@pytest.fixture
def members(gnn):
    return [("network", gnn()), ("ridge", make_pipeline(UAETransformer("magpie"), Ridge()))]


def test_predictions_are_those_of_scikit_learn(members, X, y):
    blend = LinearRegression(positive=True)
    ours = CrystalStackingRegressor(members, blend, cv=2).fit(list(X), y)
    theirs = StackingRegressor(members, blend, cv=2).fit(list(X), y)
    np.testing.assert_allclose(ours.predict(list(X)), theirs.predict(list(X)), rtol=1e-5)
    np.testing.assert_allclose(ours.transform(list(X)), theirs.transform(list(X)), rtol=1e-5)


class Reader(RegressorMixin, BaseEstimator):
    """Keeps what it is given."""

    seen: list = []  # noqa: RUF012

    def fit(self, X, y):
        self.seen.append(X)
        self.fitted_ = True
        return self

    def predict(self, X):
        self.seen.append(X)
        return np.zeros(len(X))


def test_structures_are_read_once(X, y):
    Reader.seen.clear()
    model = CrystalStackingRegressor([("reader", Reader())], cv=2).fit(list(X), y)
    model.predict(list(X))
    assert len(Reader.seen) == 1 + 2 * 2 + 1
    assert all(isinstance(given, Crystals) for given in Reader.seen)


@pytest.mark.filterwarnings("ignore:X has feature names")  # of scikit-learn's own stacks, too
def test_names_and_frames(members, X, y):
    model = CrystalStackingRegressor([*members, ("none", "drop")], cv=2).fit(X, y)
    names = ["crystalstackingregressor_network", "crystalstackingregressor_ridge"]
    assert model.get_feature_names_out().tolist() == names
    with sklearn.config_context(transform_output="pandas"):
        again = CrystalStackingRegressor(members, cv=2).fit(X, y)
        assert list(again.transform(X).columns) == names
        predicted = again.predict(X)
    np.testing.assert_allclose(predicted, model.predict(X), rtol=1e-5)


def test_classes(X, y):
    tables = ("magpie", "cgcnn")
    members = [(t, make_pipeline(UAETransformer(t), LogisticRegression())) for t in tables]
    labels = np.digitize(y, np.quantile(y, [0.3, 0.7]))
    model = CrystalStackingClassifier(members, cv=2).fit(list(X), labels)
    assert model.transform(X).shape == (len(y), 6)
    assert model.get_feature_names_out()[1] == "crystalstackingclassifier_magpie1"
    np.testing.assert_allclose(model.predict_proba(list(X)).sum(axis=1), 1, rtol=1e-6)
    theirs = StackingClassifier(members, cv=2).fit(list(X), labels)
    np.testing.assert_array_equal(model.predict(list(X)), theirs.predict(list(X)))


def test_y_in_another_order(members, X, y):
    series = pd.Series(list(X), index=[f"c{i}" for i in range(len(y))], dtype=object)
    with pytest.raises(ValueError, match="y"):
        CrystalStackingRegressor(members, cv=2).fit(series, pd.Series(y, index=series.index)[::-1])
