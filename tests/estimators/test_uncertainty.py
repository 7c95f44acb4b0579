"""Means with standard deviations: what they are worth, and that all else goes on working."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import BaggingRegressor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skuae import CrystalGNNRegressor, UAETransformer, models
from skuae.datasets import make_toy_crystals

NOISE = {"rocksalt": 0.02, "cscl": 0.1, "zincblende": 0.4}
BACKBONE = models.CGCNN(atom_dim=32, n_conv=2, hidden_dim=32, cutoff=6.0)


@pytest.fixture(scope="module")
def noisy():
    """Crystals, their labels, the labels without noise, and how much noise each has."""
    toy = make_toy_crystals(2800, random_state=0)
    clean = toy.target
    noise = toy.labels["prototype"].map(NOISE).to_numpy()
    y = clean + noise * np.random.default_rng(0).normal(size=len(clean))
    return toy.structures, y, clean, noise


@pytest.fixture(scope="module")
def fitted(noisy):
    X, y, _, _ = noisy
    gnn = CrystalGNNRegressor(BACKBONE, loss="gaussian_nll", max_epochs=15, random_state=0)
    return gnn.fit(X[:2400], y[:2400])


def test_deviations_follow_the_noise(fitted, noisy):
    X, y, _, noise = (part[2400:] for part in noisy)
    mean, std = fitted.predict(X, return_std=True)
    assert mean.shape == std.shape == (400,)
    assert mean.dtype == std.dtype == np.float64
    assert (std > 0).all()
    assert spearmanr(std, noise)[0] > 0.6
    # of the labels, noise and all, about as many as there should be lie within
    for width, share in ((0.674, 0.5), (1.0, 0.683), (1.96, 0.95)):
        assert abs(np.mean(np.abs(y - mean) < width * std) - share) < 0.15
    assert std[noise == 0.4].mean() == pytest.approx(0.4, rel=0.3)


def test_the_mean_is_not_shifted(fitted, noisy):
    """The mean is as good as that of a fit to squared errors, or better."""
    X, y, clean, _ = noisy
    test = slice(2400, None)
    mean = fitted.predict(X[test])
    plain = CrystalGNNRegressor(BACKBONE, max_epochs=15, random_state=0).fit(X[:2400], y[:2400])
    error, plain_error = mean - clean[test], plain.predict(X[test]) - clean[test]
    assert abs(error.mean()) < 0.02
    assert np.sqrt(np.mean(error**2)) < 1.1 * np.sqrt(np.mean(plain_error**2))
    np.testing.assert_array_equal(fitted.predict(X[test], return_std=True)[0], mean)
    assert fitted.score(X[test], clean[test]) > 0.95


def test_outliers_move_medians_less_than_means(noisy):
    """One label in ten is wrong by five standard deviations, always upward."""
    X, y, clean = noisy[0], noisy[1][:400], noisy[1]
    wrong = y + 5 * y.std() * (np.arange(400) % 10 == 0)
    errors = {}
    for loss in ("gaussian_nll", "laplace_nll"):
        model = CrystalGNNRegressor(BACKBONE, loss=loss, max_epochs=15, random_state=0)
        mean, std = model.fit(X[:400], wrong).predict(X[400:], return_std=True)
        errors[loss] = np.abs(mean - clean[400:]).mean()
        assert (std > 0).all()
    assert errors["laplace_nll"] < 0.7 * errors["gaussian_nll"]


def test_early_stopping_goes_by_the_likelihood(front_end, noisy):
    """A plain one, by which models compare; the loss of training is none."""
    X, y = noisy[0][:400], noisy[1][:400]
    model = front_end(loss="gaussian_nll", early_stopping=True, refit=False).fit(X, y)
    seed = np.random.RandomState(0).randint(2**31 - 1)
    valid = np.random.default_rng(seed).permutation(400)[:80]
    mean, std = model.predict(X[valid], return_std=True)
    error, std = (y[valid] - mean) / model.task_.scaler.scale_, std / model.task_.scaler.scale_
    nll = np.mean(error**2 / (2 * std**2) + np.log(std))
    assert nll == pytest.approx(min(entry["error"] for entry in model.epochs_tried_), rel=1e-5)


# -- calibration ----------------------------------------------------------------------------------


def covered(model, X, y, width=1.6449):
    mean, std = model.predict(X, return_std=True)
    return (np.abs(mean - y) <= width * std).mean(axis=0)


def test_calibration_makes_intervals_hold(noisy):
    """A network that has learned 60 labels by heart is far too sure; of new crystals, it is not."""
    X, y = noisy[0], np.column_stack([noisy[1], np.exp(noisy[2])])
    params = {"loss": "gaussian_nll", "log_targets": [1], "max_epochs": 60, "random_state": 0}
    model = CrystalGNNRegressor(BACKBONE, **params).fit(X[:60], y[:60])
    held, new = slice(60, 460), slice(460, 2460)
    before = model.predict(X[new])
    assert (covered(model, X[new], y[new]) < 0.8).any()
    assert model.calibrate_std(X[held], y[held]) is model
    np.testing.assert_allclose(covered(model, X[new], y[new])[0], 0.9, atol=0.04)
    mean, std = model.predict(X[held], return_std=True)
    z = np.log10(mean[:, 1] / y[held, 1]) / (std / mean / np.log(10))[:, 1]  # in logarithms
    # 401 places, of which the new crystal is in one of the first 361 with 90 %
    assert (np.abs(z) <= 1.64486).sum() == 361
    assert (np.abs(mean[:, 0] - y[held, 0]) <= 1.64486 * std[:, 0]).sum() == 361
    np.testing.assert_array_equal(model.predict(X[new]), before)
    model.calibrate_std(X[held], y[held], level=0.5)
    assert (np.abs(model.predict(X[held], True)[0] - y[held])[:, 0]
            <= 0.67449 * model.predict(X[held], True)[1][:, 0]).sum() == 201  # fmt: skip


def test_calibration_is_kept_and_forgotten(make, X, y, tmp_path):
    model = make(loss="gaussian_nll").fit(X, y)
    plain = model.predict(X, return_std=True)[1]
    model.calibrate_std(X[:12], y[:12])
    factor = model.task_.std_factors[0]
    std = model.predict(X, return_std=True)[1]
    np.testing.assert_allclose(std, factor * plain, rtol=1e-5)
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path, device="cpu")
    np.testing.assert_array_equal(again.predict(X, return_std=True)[1], std)
    np.testing.assert_array_equal(model.fit(X, y).predict(X, return_std=True)[1], plain)


def test_calibration_leaves_constant_targets_as_they_are(make, X, y):
    """Their standard deviation is 0; they do not stop the calibration of the others."""
    both = np.column_stack([y, np.full(len(y), 3.0)])
    model = make(loss="gaussian_nll").fit(X, both).calibrate_std(X, both)
    alone = make(loss="gaussian_nll").fit(X, both[:, :1]).calibrate_std(X, both[:, :1])
    assert model.task_.std_factors[0] != 1 != alone.task_.std_factors[0]
    assert model.task_.std_factors[1] == 1
    mean, std = model.predict(X, return_std=True)
    assert (mean[:, 1] == 3).all() and (std[:, 1] == 0).all()
    assert np.isfinite(std).all() and (std[:, 0] > 0).all()


def test_calibration_says_what_is_wrong(make, X, y):
    with pytest.raises(ValueError, match=r'"laplace_nll" \(it was \'huber\'\)'):
        make(loss="huber").fit(X, y).calibrate_std(X, y)
    model = make(loss="gaussian_nll").fit(X, pd.Series(y, name="gap"))
    few = np.where(np.arange(24) < 8, y, np.nan)
    with pytest.raises(
        ValueError, match=r"target gap has 8 known values; intervals of 0\.9 need 9 "
    ):
        model.calibrate_std(X, pd.Series(few, name="gap"))
    with pytest.raises(ValueError, match=r"y has targets \['other'\], the model \['gap'\]"):
        model.calibrate_std(X, pd.Series(y, name="other"))
    with pytest.raises(ValueError, match="y has 2 targets, the model 1"):
        model.calibrate_std(X, np.column_stack([y, y]))
    for level in (0, 1, 90, "0.9", np.nan):
        with pytest.raises(ValueError, match="level must be between 0 and 1; got"):
            model.calibrate_std(X, y, level=level)


# -- shapes, units, what is refused ---------------------------------------------------------------


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "huber"])
def test_other_losses_have_no_deviations(make, X, y, loss):
    with pytest.raises(ValueError, match=rf'"laplace_nll" \(it was \'{loss}\'\)'):
        make(loss=loss).fit(X, y).predict(X, return_std=True)


def test_shapes_and_units(make, X, y):
    model = make(loss="gaussian_nll").fit(X, y)
    mean, std = model.predict(X, return_std=True)
    assert mean.shape == std.shape == (24,)
    column = make(loss="gaussian_nll").fit(X, y[:, None]).predict(X, return_std=True)
    np.testing.assert_array_equal(column[0][:, 0], mean)
    np.testing.assert_array_equal(column[1][:, 0], std)
    scaled = make(loss="gaussian_nll").fit(X, 1e-3 * y + 7).predict(X, return_std=True)
    np.testing.assert_allclose((scaled[0] - 7) * 1e3, mean, rtol=1e-3)
    np.testing.assert_allclose(scaled[1] * 1e3, std, rtol=1e-3)


def test_several_targets_unknown_ones_and_weights(make, X, toy):
    y = toy.labels[["electronegativity", "volume_per_atom"]].to_numpy().copy()
    y[::3, 1] = np.nan
    model = make(loss="gaussian_nll").fit(X, y)
    mean, std = model.predict(X, return_std=True)
    assert mean.shape == std.shape == (24, 2)
    assert (std > 0).all()
    # volumes are a hundred times as large as electronegativities, and so are their deviations
    np.testing.assert_array_less(std[:, 0], std[:, 1])
    assert np.isfinite(model.score(X, y))
    weight = (~np.isnan(y[:, 1])).astype(float)
    masked = make(loss="gaussian_nll").fit(X, y[:, 1])
    weighted = make(loss="gaussian_nll").fit(X, np.nan_to_num(y[:, 1], nan=1e6), weight)
    for one, other in zip(
        masked.predict(X, return_std=True), weighted.predict(X, return_std=True), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_task_weights(front_end, X, toy):
    y = toy.labels[["electronegativity", "volume_per_atom"]].to_numpy()
    other = np.column_stack([y[:, 0], np.random.default_rng(0).normal(size=24)])
    params = {"loss": "gaussian_nll", "task_weights": [1.0, 0.0]}
    one, same = (front_end(**params).fit(X, v).predict(X, return_std=True) for v in (y, other))
    np.testing.assert_array_equal(one[0][:, 0], same[0][:, 0])
    np.testing.assert_array_equal(one[1][:, 0], same[1][:, 0])


def test_constant_targets(make, X):
    mean, std = make(loss="gaussian_nll", max_epochs=20).fit(X, np.full(24, 3.0)).predict(X, True)
    assert np.isfinite(mean).all() and np.isfinite(std).all()


def test_large_steps_do_not_explode(gnn, X, y):
    wild = np.where(np.arange(24) == 3, 1e4, y)  # one label in the wrong unit
    model = gnn(loss="gaussian_nll", lr=0.3, max_epochs=30).fit(X, wild)
    mean, std = model.predict(X, return_std=True)
    assert np.isfinite(mean).all() and np.isfinite(std).all()


# -- inside what is built around it ---------------------------------------------------------------


def test_saved_and_copied(make, X, y, tmp_path):
    model = make(loss="gaussian_nll").fit(X, y)
    expected = model.predict(X, return_std=True)
    model.set_params(loss="huber")  # what was fitted counts
    model.save_pretrained(tmp_path)
    for again in (
        type(model).from_pretrained(tmp_path, device="cpu"),
        pickle.loads(pickle.dumps(model)),
    ):
        for one, other in zip(again.predict(X, return_std=True), expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_checkpoints(make, X, y, tmp_path, assert_same_weights):
    params = {"loss": "gaussian_nll", "checkpoint_dir": tmp_path}
    first, second = (make(**params).fit(X, y) for _ in range(2))
    assert_same_weights(first, second)
    assert_same_weights(first, make(loss="gaussian_nll").fit(X, y))


def test_warm_start(make, X, y):
    model = make(loss="gaussian_nll", warm_start=True, max_epochs=1).fit(X, y)
    before = {k: v.clone() for k, v in model.net_.module_.named_parameters()}
    model.set_params(lr=0.0).fit(X, y)
    assert all(v.equal(before[k]) for k, v in model.net_.module_.named_parameters())
    with pytest.raises(ValueError, match=r"loss is 'huber', and was 'gaussian_nll'.*warm_start=F"):
        model.set_params(loss="huber").fit(X, y)
    assert model.predict(X, return_std=True)[1].shape == (24,)
    other = make(warm_start=True, max_epochs=1).fit(X, y)
    assert other.set_params(loss="huber").fit(X, y).predict(X).shape == (24,)


def test_pipelines_and_searches(gnn, X, y):
    pipe = make_pipeline(UAETransformer("magpie"), gnn(loss="gaussian_nll")).fit(X, y)
    _, std = pipe.predict(list(X), return_std=True)
    alone = gnn(loss="gaussian_nll", embedding="magpie").fit(X, y)
    np.testing.assert_array_equal(std, alone.predict(X, return_std=True)[1])
    grid = {"loss": ["squared_error", "gaussian_nll"]}
    search = GridSearchCV(gnn(), grid, cv=2, error_score="raise").fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_an_ensemble_is_one_line(gnn, X, y):
    """Its members differ by their seeds."""
    frame = pd.DataFrame({"structure": list(X)})
    ensemble = BaggingRegressor(gnn(), n_estimators=3, bootstrap=False, random_state=0)
    members = [e.predict(frame) for e in ensemble.fit(frame, y).estimators_]
    assert np.std(members, axis=0).min() > 0
    np.testing.assert_allclose(ensemble.predict(frame), np.mean(members, axis=0), rtol=1e-6)


def test_mapie_sees_that_a_model_is_fitted(gnn, X, y):
    regression = pytest.importorskip("mapie.regression")
    model = gnn()
    assert not model.is_fitted
    assert model.fit(X, y).is_fitted
    frame = pd.DataFrame({"structure": list(X)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # "does not appear fitted", it said
        wrapped = regression.SplitConformalRegressor(model, confidence_level=0.8, prefit=True)
        _, intervals = wrapped.conformalize(frame, y).predict_interval(frame)
    assert intervals.shape == (len(X), 2, 1)


def test_standard_deviations_behind_a_transformed_target(gnn, X, y):
    """The guide says so."""
    outer = TransformedTargetRegressor(
        gnn(loss="gaussian_nll"), func=np.log1p, inverse_func=np.expm1
    ).fit(X, y)
    mean, std = outer.regressor_.predict(X, return_std=True)
    np.testing.assert_allclose(np.expm1(mean), outer.predict(X))
    assert (std > 0).all()
