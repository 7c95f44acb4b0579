"""Targets that are constant, tiny or huge."""

import numpy as np
import pytest
from small_backbones import SMALL

from skuae import CrystalGNNRegressor


@pytest.mark.parametrize("value", [0.0, 3.0, 1e-6, 0.1, -3.7e8, 1e300, 1e-300, 5e-324])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_constant_is_predicted(make, X, value, early_stopping):
    y = np.full(len(X), value)
    model = make(loss="gaussian_nll", early_stopping=early_stopping, max_epochs=2).fit(X, y)
    mean, std = model.predict(X, return_std=True)
    np.testing.assert_array_equal(mean, y)
    np.testing.assert_array_equal(std, 0)
    assert model.score(X, y) == 1


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("loss", ["squared_error", "gaussian_nll"])
def test_a_constant_beside_others(X, y, name, loss, tmp_path):
    both = np.c_[y, np.full(len(y), 1e-6)]
    params = {"max_epochs": 2, "batch_size": 8, "random_state": 0, "device": "cpu", "loss": loss}
    model = CrystalGNNRegressor(SMALL[name], **params).fit(X, both)
    model.save_pretrained(tmp_path)
    for fitted in (model, CrystalGNNRegressor.from_pretrained(tmp_path, device="cpu")):
        np.testing.assert_array_equal(fitted.predict(X)[:, 1], 1e-6)
        assert np.ptp(fitted.predict(X)[:, 0]) > 0
        if loss == "gaussian_nll":
            _, std = fitted.predict(X, return_std=True)
            np.testing.assert_array_equal(std[:, 1], 0)
            assert (std[:, 0] > 0).all()


def test_a_constant_up_to_rounding(make, X):
    noise = np.where(np.arange(len(X)) % 2, 0.3, 0.1 + 0.2)
    assert noise.std() > 0
    assert np.ptp(make(max_epochs=1).fit(X, noise).predict(X)) == 0


@pytest.fixture
def last_six_validate(monkeypatch):
    split = np.arange(18), np.arange(18, 24)
    monkeypatch.setattr("skuae.estimators._base.split_validation", lambda *args: split)


def test_a_constant_in_the_training_rows_alone(make, X, y, last_six_validate):
    """The error of the rows held back does not count it: no model could do better."""
    rows = np.arange(len(y))
    losses = []
    for value in (1.0, 1e30):
        both = np.c_[y, np.where(rows < 18, 1.0, value)]
        model = make(early_stopping=True, max_epochs=2).fit(X, both)
        np.testing.assert_array_equal(model.predict(X)[:, 1], 1.0)
        losses.append(model.epochs_tried_)
    assert losses[0] == losses[1]


@pytest.mark.parametrize("unit", [1e-300, 1e-170, 1e-155, 1e155, 1e300])
def test_units_far_from_one(make, X, y, unit):
    plain = make().fit(X, y).predict(X)
    np.testing.assert_allclose(make().fit(X, y * unit).predict(X) / unit, plain, rtol=1e-6)


def test_more_than_float64_holds(make, X, y):
    with pytest.raises(ValueError, match="too large to take its standard deviation; use other"):
        make().fit(X, np.where(np.arange(len(y)) % 2, 1.7e308, -1.7e308))


def test_a_validation_row_beyond_float32_is_named(make, X, y, last_six_validate):
    wild = np.where(np.arange(len(y)) == 20, -1e30, y)
    with pytest.raises(ValueError, match=r"^row 20 .*y is -1e\+30, more than 1e\+18 standard dev"):
        make(early_stopping=True).fit(X, wild)


def test_warm_start_learns_what_was_constant(make, X, y):
    model = make(warm_start=True, max_epochs=1).fit(X, np.c_[y, np.full(len(y), 2.0)])
    before = model.task_.scaler.scale_
    model.set_params(max_epochs=30, lr=0.02).fit(X, np.c_[2 * y, y])
    assert before[1] == 0
    assert model.task_.scaler.scale_[0] == before[0]  # of the first fit, as ever
    assert model.task_.scaler.scale_[1] == pytest.approx(y.std())
    assert np.corrcoef(model.predict(X)[:, 1], y)[0, 1] > 0.5
