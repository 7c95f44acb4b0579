"""Gaussian processes on activations."""

import numpy as np
import pytest
from sklearn.gaussian_process.kernels import RBF
from sklearn.utils.estimator_checks import parametrize_with_checks

from skuae.pipelines import ActivationGPClassifier, ActivationGPRegressor


@parametrize_with_checks(
    [
        ActivationGPRegressor(max_tuned=50, random_state=0),
        ActivationGPClassifier(max_tuned=50, random_state=0),
    ]
)
def test_checks_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 6))
    return X, X[:, 0] + np.sin(2 * X[:, 1]) + 0.05 * rng.normal(size=80)


def test_it_learns_and_knows_its_error(data):
    X, y = data
    mean, std = ActivationGPRegressor().fit(X[:60], y[:60]).predict(X[60:], return_std=True)
    error = np.abs(mean - y[60:])
    assert error.mean() < 0.5 * np.abs(y[60:] - y[:60].mean()).mean()
    assert (error < 2.5 * std).mean() > 0.9


def test_features_are_clipped_and_constant_ones_dropped(data):
    X, y = data
    silent = np.column_stack([X, np.full(len(X), 3.0), 1 + 1e-8 * X[:, 0]])
    model = ActivationGPRegressor(random_state=0).fit(silent, y)
    plain = ActivationGPRegressor(random_state=0).fit(X, y)
    np.testing.assert_allclose(model.predict(silent), plain.predict(X), rtol=1e-6)
    loud = np.column_stack([X, np.full((len(X), 2), 1e6)])
    np.testing.assert_array_equal(model.predict(loud), model.predict(silent))
    farthest = np.clip(X * 1e9, X.min(axis=0), X.max(axis=0))
    np.testing.assert_allclose(plain.predict(X * 1e9), plain.predict(farthest))


def test_more_rows_than_it_takes_are_drawn(data):
    X, y = data
    model = ActivationGPRegressor(max_rows=30, max_tuned=20, random_state=0).fit(X, y)
    (process,) = model.processes_
    assert process.X_train_.shape == (30, 6)
    tuned = ActivationGPRegressor(max_rows=20, max_tuned=20, random_state=0).fit(X, y)
    np.testing.assert_allclose(process.kernel_.theta, tuned.processes_[0].kernel_.theta)
    other = ActivationGPRegressor(max_rows=30, max_tuned=20, random_state=1).fit(X, y)
    assert not np.array_equal(other.predict(X), model.predict(X))


def test_predictions_do_not_depend_on_blocks(data, monkeypatch):
    X, y = data
    model = ActivationGPRegressor().fit(X, y)
    whole = model.predict(X, return_std=True)
    monkeypatch.setattr("skuae.pipelines._gp._BLOCK", 7)
    np.testing.assert_allclose(model.predict(X, return_std=True), whole)


def test_several_targets_with_unknown_values(data):
    X, y = data
    both = np.column_stack([y, -2 * y])
    both[::3, 0] = np.nan
    model = ActivationGPRegressor().fit(X, both)
    mean, std = model.predict(X, return_std=True)
    assert mean.shape == std.shape == (80, 2)
    known = ~np.isnan(both[:, 0])
    scaled = model.scaler_.transform(X)
    assert len(model.processes_[0].X_train_) == known.sum()
    np.testing.assert_allclose(mean[:, 1], model.processes_[1].predict(scaled))


def test_another_kernel(data):
    X, y = data
    model = ActivationGPRegressor(RBF()).fit(X, y)
    assert isinstance(model.processes_[0].kernel_.k1, RBF)


@pytest.mark.parametrize(
    ("params", "X", "y", "message"),
    [
        ({}, np.ones((4, 2)), np.arange(4.0), "all features are constant"),
        ({}, np.eye(4), np.full(4, np.nan), "y is NaN in all rows of column 0"),
        ({}, np.eye(4), [0, 1, np.inf, 2], "y contains infinity"),
        ({}, np.eye(4), [0, 1, 2], "inconsistent numbers of samples"),
        ({"max_rows": 1}, np.eye(4), np.arange(4.0), "max_rows must be an integer, at least 2"),
        ({"max_rows": True}, np.eye(4), np.arange(4.0), "max_rows must be an integer, at least 2"),
        ({"max_tuned": "all"}, np.eye(4), np.arange(4.0), "max_tuned must be an integer"),
    ],
)
def test_bad_input(params, X, y, message):
    with pytest.raises(ValueError, match=message):
        ActivationGPRegressor(**params).fit(X, y)


def test_a_kernel_is_no_name():
    with pytest.raises(TypeError, match="kernel must be one of sklearn"):
        ActivationGPRegressor("rbf").fit(np.eye(4), np.arange(4.0))


def test_classes(data):
    X, y = data
    for labels in (np.where(y > 0, "high", "low"), np.digitize(y, [-0.5, 0.5])):
        model = ActivationGPClassifier(random_state=0).fit(X[:60], labels[:60])
        p = model.predict_proba(X)
        np.testing.assert_allclose(p.sum(axis=1), 1)
        np.testing.assert_array_equal(model.classes_[p.argmax(axis=1)], model.predict(X))
        assert model.score(X[60:], labels[60:]) > 0.6


def test_each_class_is_drawn(data):
    X, _ = data
    labels = np.zeros(len(X), dtype=int)
    labels[7], labels[9] = 1, 2
    model = ActivationGPClassifier(max_rows=2, max_tuned=2, random_state=0).fit(X, labels)
    assert model.predict_proba(X).shape == (80, 3)


def test_one_class_is_refused(data):
    with pytest.raises(ValueError, match="y has one class only"):
        ActivationGPClassifier().fit(data[0], np.ones(80))
