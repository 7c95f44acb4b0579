"""Targets of which the logarithm is learned."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from skuae import CrystalGNNRegressor
from skuae.models import CGCNN

SMALL = {"backbone": CGCNN(8, 1), "max_epochs": 3, "random_state": 0, "device": "cpu"}


def gnn(**params):
    return CrystalGNNRegressor(**{**SMALL, **params})


@pytest.mark.parametrize("logs", ["all", [0], np.array([0])])
def test_is_a_fit_to_the_logarithm(X, y, logs):
    y = 10**y
    model = gnn(log_targets=logs).fit(X, y)
    plain = gnn().fit(X, np.log10(y))
    assert_allclose(np.log10(model.predict(X)), plain.predict(X), rtol=1e-6)
    assert model.history_[-1]["train_loss"] == plain.history_[-1]["train_loss"]


def test_one_of_several_with_gaps_and_names(X, y, tmp_path):
    table = pd.DataFrame({"gap": y, "K_VRH": 10**y})
    table.loc[:3, "K_VRH"] = np.nan
    model = gnn(log_targets=["K_VRH"], loss="gaussian_nll").fit(X, table)
    plain = gnn(loss="gaussian_nll").fit(X, table.assign(K_VRH=np.log10(table["K_VRH"])))
    (mean, std), (m, s) = (e.predict(X, return_std=True) for e in (model, plain))
    assert_allclose(mean[:, 0], m[:, 0], rtol=1e-6)
    assert_allclose(std[:, 0], s[:, 0], rtol=1e-6)
    assert_allclose(mean[:, 1], 10 ** m[:, 1], rtol=1e-5)
    assert_allclose(std[:, 1], np.log(10) * mean[:, 1] * s[:, 1], rtol=1e-5)
    model.save_pretrained(tmp_path)
    again = CrystalGNNRegressor.from_pretrained(tmp_path, device="cpu")
    np.testing.assert_array_equal(again.predict(X), mean)
    assert again.log_targets == ["K_VRH"]


def test_early_stopping_judges_by_the_logarithm(X, y):
    model = gnn(log_targets="all", early_stopping=True).fit(X, 10**y)
    plain = gnn(early_stopping=True).fit(X, np.log10(10**y))
    assert_allclose(
        [entry["error"] for entry in model.epochs_tried_],
        [entry["error"] for entry in plain.epochs_tried_],
        rtol=1e-6,
    )


@pytest.mark.parametrize("bad", [0.0, -3.0])
def test_what_has_no_logarithm_is_named(X, y, bad):
    y = y.copy()
    y[5] = bad
    with pytest.raises(ValueError, match=rf"row 5 .*: the target 0 is {bad:g}, which"):
        gnn(log_targets="all").fit(X, y)
    with pytest.raises(ValueError, match="the target K is"):
        gnn(log_targets=["K"]).fit(X, pd.Series(y, name="K"))
    gnn(log_targets=[]).fit(X, y)


@pytest.mark.parametrize("logs", ["gap", 0, {"gap": 1}])
def test_log_targets_that_are_no_list(X, y, logs):
    with pytest.raises(ValueError, match='log_targets must be "all", None or a list of targets'):
        gnn(log_targets=logs).fit(X, y)


@pytest.mark.parametrize("logs", [[1], ["gap"], [True], [0.0], [-1], [None], [np.array([0])], [{}]])
def test_log_targets_that_there_are_not(X, y, logs):
    with pytest.raises(ValueError, match=r"log_targets has .*, but y has 1 column; targets are 0"):
        gnn(log_targets=logs).fit(X, y)


def test_warm_start_keeps_to_the_logarithms(X, y):
    model = gnn(warm_start=True).fit(X, y)
    model.log_targets = "all"
    with pytest.raises(ValueError, match="other targets than in the fit before"):
        model.fit(X, y)
