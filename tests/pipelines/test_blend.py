"""Weights of models in a blend."""

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import LinearRegression
from sklearn.utils.estimator_checks import parametrize_with_checks

from skuae.pipelines import AbsoluteErrorBlend


@parametrize_with_checks([AbsoluteErrorBlend()])
def test_conventions_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture
def predictions():
    """Three models: a good one, one that is right about the sign only, and noise."""
    rng = np.random.default_rng(0)
    y = rng.standard_t(2, size=200)
    return np.column_stack([y + rng.normal(size=200), np.sign(y), rng.normal(size=200)]), y


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_no_other_weights_have_a_smaller_error(predictions, unit):
    X, y = predictions[0] * unit, predictions[1] * unit
    blend = AbsoluteErrorBlend().fit(X, y)
    assert (blend.coef_ >= 0).all() and blend.coef_[0] > 0.1

    def error(weights):
        return np.abs(y - X @ np.abs(weights)).mean() / unit

    best = min(
        minimize(error, start, method="Nelder-Mead", options={"maxiter": 2000}).fun
        for start in np.eye(3)
    )
    assert error(blend.coef_) <= best + 1e-6
    np.testing.assert_array_equal(blend.predict(X), X @ blend.coef_)


def test_a_model_that_misleads_is_left_out(predictions):
    X, y = predictions
    assert AbsoluteErrorBlend().fit(np.column_stack([X[:, 0], -y]), y).coef_[1] == 0


def test_large_errors_of_few_rows_decide_nothing():
    """Of least squares they do: that blend is worse than one of the models alone."""
    y = np.zeros(100)
    y[:5] = 50.0
    X = np.column_stack([np.zeros(100), np.where(y > 0, 40.0, 4.0)])
    squares = LinearRegression(positive=True, fit_intercept=False).fit(X, y).predict(X)
    found = AbsoluteErrorBlend().fit(X, y).predict(X)
    alone = np.abs(y[:, None] - X).mean(axis=0).min()
    assert np.abs(y - found).mean() <= alone < np.abs(y - squares).mean()


def test_nothing_but_zeros():
    blend = AbsoluteErrorBlend().fit([[0.0], [1.0]], [0.0, 0.0])
    assert blend.coef_.tolist() == [0.0]


@pytest.mark.parametrize("size", [1e30, 1e300])
def test_columns_of_any_size(predictions, size):
    X, y = predictions
    expected = AbsoluteErrorBlend().fit(X, y).coef_
    found = AbsoluteErrorBlend().fit(X * [1.0, 1.0, size], y).coef_
    np.testing.assert_allclose(found * [1.0, 1.0, size], expected, atol=1e-9)


def test_one_label_of_another_size_changes_little(predictions):
    X, y = predictions
    wrong = np.where(np.arange(200) == 3, 1e12, y)
    expected = AbsoluteErrorBlend().fit(X, y).coef_
    np.testing.assert_allclose(AbsoluteErrorBlend().fit(X, wrong).coef_, expected, atol=0.05)
