"""Displays of models: parity, losses, learning curves, uncertainties, attributions."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils import Bunch

from skuae import CrystalGNNRegressor, UAETransformer, models
from skuae.analysis import (
    AtomAttributionDisplay,
    LearningCurvesDisplay,
    LossCurveDisplay,
    ParityDisplay,
    UncertaintyCalibrationDisplay,
    attribute_atoms,
    compare_learning_curves,
)
from skuae.datasets import make_toy_crystals


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def toy():
    return make_toy_crystals(20, prototypes="perovskite", random_state=0)


@pytest.fixture(scope="module")
def gnn(toy):
    small = models.ALIGNN(hidden_dim=8, n_alignn=1, n_gcn=1, expansion_dim=8)
    gnn = CrystalGNNRegressor(small, max_epochs=4, early_stopping=True, random_state=0)
    return gnn.fit(toy.structures, toy.target)


def texts(ax):
    return " ".join(t.get_text() for t in ax.texts)


def test_parity_metrics_units_and_equal_scales():
    y = pd.Series([1.0, 2.0, 3.0, 4.0], name="band_gap")
    display = ParityDisplay.from_predictions(y, y + np.array([1, -1, 1, -1]), unit="eV").plot(
        name="model"
    )
    assert display.metrics_ == pytest.approx({"MAE": 1.0, "RMSE": 1.0, "R2": 0.2})
    ax = display.ax_
    assert texts(ax) == "MAE 1.00 eV\nRMSE 1.00 eV\nR² 0.200, n = 4"
    assert (ax.get_xlabel(), ax.get_title()) == ("true band_gap (eV)", "model")
    assert ax.get_xlim() == ax.get_ylim()
    np.testing.assert_array_equal(ax.get_xticks(), ax.get_yticks())
    np.testing.assert_array_equal(display.points_.get_offsets()[0], [1.0, 2.0])  # true, predicted


def test_parity_draws_all_of_many_rows():
    y = np.random.default_rng(0).normal(size=5000)
    display = ParityDisplay.from_predictions(y, y + 0.1).plot()
    assert display.points_.get_array().sum() == 5000
    assert len(display.figure_.axes) == 2  # with a colour bar
    scatter = ParityDisplay.from_predictions(y, y).plot(kind="scatter")
    assert len(scatter.points_.get_offsets()) == 5000


def test_parity_of_an_estimator_on_given_axes(gnn, toy):
    _, ax = plt.subplots()
    display = ParityDisplay.from_estimator(gnn, toy.structures, toy.target).plot(ax)
    assert display.ax_ is ax
    assert display.metrics_["R2"] == pytest.approx(gnn.score(toy.structures, toy.target))


@pytest.mark.parametrize(
    "y_true, y_pred, message",
    [
        ([1.0, np.nan], [1.0, 2.0], "y_true is nan in row 1"),
        (["a", "b"], [1.0, 2.0], "y_true: row 0: 'a' is no number"),
        ([1.0, 2.0], [1.0, 2.0 + 1j], "y_pred: got complex numbers"),
        ([1.0], [1.0, 2.0], "y_pred has 2 rows, and y_true has 1"),
        ([[1.0, 2.0]], [[1.0, 2.0]], "choose a column"),
        ([], [], "at least one row"),
    ],
)
def test_parity_refuses(y_true, y_pred, message):
    with pytest.raises(ValueError, match=message):
        ParityDisplay.from_predictions(y_true, y_pred)


def test_loss_curve_reads_the_history(gnn):
    display = LossCurveDisplay.from_estimator(gnn).plot(name="small")
    np.testing.assert_array_equal(display.epochs, np.arange(gnn.n_iter_) + 1)
    np.testing.assert_array_equal(display.train_loss, [e["train_loss"] for e in gnn.history_])
    drawn = display.lines_[1].get_xydata()
    np.testing.assert_array_equal(drawn, [list(e.values()) for e in gnn.epochs_tried_])
    assert [t.get_text() for t in display.ax_.get_legend().get_texts()] == [
        "small, training", "small, rows held back",
    ]  # fmt: skip
    assert display.ax_.get_yscale() == "log"
    other = LossCurveDisplay.from_estimator(gnn).plot(display.ax_, name="other")
    assert other.errors_ax_ is display.errors_ax_
    assert len(display.ax_.get_legend().get_texts()) == 4
    piped = LossCurveDisplay.from_estimator(make_pipeline(UAETransformer(), gnn))
    np.testing.assert_array_equal(piped.train_loss, display.train_loss)
    np.testing.assert_array_equal(piped.errors, display.errors)


def test_loss_curve_of_likelihoods_that_may_be_negative():
    fitted = DummyRegressor().fit([[0]], [0])
    fitted.history_ = [{"epoch": 1, "train_loss": 0.5}, {"epoch": 2, "train_loss": -0.5}]
    display = LossCurveDisplay.from_estimator(fitted).plot()
    assert display.ax_.get_yscale() == "linear"
    assert display.errors is None and display.errors_ax_ is None and len(display.lines_) == 1
    with pytest.raises(TypeError, match="DummyRegressor has no history_"):
        LossCurveDisplay.from_estimator(DummyRegressor().fit([[0]], [0]))


def test_loss_curve_of_a_training_interrupted_in_its_first_epoch():
    fitted = DummyRegressor().fit([[0]], [0])
    fitted.history_ = []
    assert not len(LossCurveDisplay.from_estimator(fitted).plot().epochs)


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_calibration_of_normal_errors(factor):
    rng = np.random.default_rng(0)
    std = rng.uniform(0.5, 2.0, size=20_000)
    error = rng.normal(size=20_000) * std
    display = UncertaintyCalibrationDisplay.from_predictions(error, 0 * error, factor * std)
    assert display.rms_z == pytest.approx(1 / factor, rel=0.02)
    gap = display.coverage - display.levels
    if factor == 1:
        assert np.abs(gap).max() < 0.02
        assert display.miscalibration_area_ < 0.01
    else:
        assert np.all(np.sign(factor - 1) * gap > 0)
        assert display.miscalibration_area_ > 0.1


def test_calibration_area_is_the_one_known():
    display = UncertaintyCalibrationDisplay(levels=np.array([0.5]), coverage=np.array([0.0]))
    assert display.miscalibration_area_ == pytest.approx(0.25, abs=1e-3)


def test_calibration_of_an_estimator_and_of_intervals():
    X, y = np.arange(30.0)[:, None], np.zeros(30)
    gpr = GaussianProcessRegressor(alpha=1.0, optimizer=None).fit(X, y)
    first = UncertaintyCalibrationDisplay.from_estimator(gpr, X, y).plot(name="GP")
    assert np.all(first.coverage == 1)
    half = np.array([1.0, 3.0])
    lower, upper = np.tile(-half, (30, 1)), np.tile(half, (30, 1))
    second = UncertaintyCalibrationDisplay.from_intervals(
        np.linspace(-2, 2, 30), lower, upper, [0.5, 0.9]
    ).plot(first.ax_, color="k")
    assert second.coverage.tolist() == pytest.approx([14 / 30, 1.0])
    labels = [t.get_text() for t in second.ax_.get_legend().get_texts()]
    assert labels[0] == "as promised" and len(labels) == 3
    with pytest.raises(ValueError, match=r"levels must rise .* got \[0.9, 0.5\]"):
        UncertaintyCalibrationDisplay.from_intervals(y, lower, upper, [0.9, 0.5])
    with pytest.raises(ValueError, match=r"lower has shape \(30, 2\).*\(30, 1\) expected"):
        UncertaintyCalibrationDisplay.from_intervals(y, lower, upper, [0.9])
    with pytest.raises(ValueError, match=r"y_std is 0.0 in row 0 \(30 such rows\)"):
        UncertaintyCalibrationDisplay.from_predictions(y, y, y)


SEEN: list = []


class Recorder(LinearRegression):
    """Note which rows it was fitted on."""

    def __init__(self, random_state=None, noise=0.0):
        super().__init__()
        self.random_state = random_state
        self.noise = noise

    def fit(self, X, y):
        SEEN.append((self.random_state, self.noise, tuple(np.ravel(X))))
        return super().fit(X, y)

    def predict(self, X):
        return super().predict(X) + self.noise


def test_learning_curves_are_paired():
    SEEN.clear()
    X, y = np.arange(50.0)[:, None], np.arange(50.0)
    pair = {"good": Recorder(), "bad": make_pipeline(Recorder(noise=1.0))}
    options = {"train_sizes": [5, 20], "seeds": [3, 4]}
    found = compare_learning_curves(pair, X, y, **options)
    rows = {noise: [(s, r) for s, n, r in SEEN if n == noise] for noise in (0.0, 1.0)}
    assert rows[0.0] == rows[1.0]
    assert [s for s, _ in rows[0.0]] == [3, 3, 4, 4]
    (_, small), (_, large), (_, other), _ = rows[0.0]
    assert set(small) < set(large) and set(small) != set(other)
    np.testing.assert_allclose(found.gains["mean"], -1.0)
    np.testing.assert_allclose(found.gains["std"], 0.0, atol=1e-9)
    assert found.gains["n_better"].tolist() == [0, 0] and found.gains["n"].tolist() == [2, 2]
    assert len(found.scores) == 8
    pd.testing.assert_frame_equal(
        found.scores, compare_learning_curves(pair, X, y, **options).scores
    )
    assert pair["good"].random_state is None
    with pytest.raises(ValueError, match="at least one estimator"):
        compare_learning_curves({}, X, y)


def test_learning_curves_leave_a_model_to_start_from_alone(toy):
    small = models.CGCNN(atom_dim=4, n_conv=1, hidden_dim=4, max_neighbors=4)
    gnn = CrystalGNNRegressor(small, max_epochs=1, random_state=0, device="cpu")
    source = gnn.fit(toy.structures, toy.target)
    start = CrystalGNNRegressor(small, max_epochs=1, init_from=source, device="cpu")
    compare_learning_curves(
        {"start": start}, toy.structures, toy.target, train_sizes=[0.5], seeds=[7]
    )
    assert source.random_state == 0
    with pytest.raises(ValueError, match=r"seeds=\[7, 7\] has one twice"):
        compare_learning_curves({"start": start}, toy.structures, toy.target, seeds=[7, 7])


def test_learning_curves_of_crystals(toy):
    tables = {
        name: make_pipeline(UAETransformer(name), RandomForestRegressor(5))
        for name in ("onehot", "magpie", "random")
    }
    display = LearningCurvesDisplay.from_estimators(
        tables, toy.structures, toy.target, train_sizes=[0.5, 1.0], seeds=range(2)
    ).plot()
    left, right = display.ax_
    assert [t.get_text() for t in left.get_legend().get_texts()] == list(tables)
    assert left.get_ylabel() == "mean absolute error"
    means = display.comparison.gains["mean"]
    drawn = next(line for line in right.lines if line.get_label() == "random")
    np.testing.assert_allclose(drawn.get_ydata(), means.loc["random"])
    again = LearningCurvesDisplay.from_comparison(
        Bunch(**{**display.comparison, "scoring": "r2"})
    ).plot(plt.subplots(1, 2)[1])
    assert again.ax_[0].get_ylabel() == "R²"


def test_attribution_bars(gnn, toy):
    found = attribute_atoms(gnn, toy.structures)
    display = AtomAttributionDisplay.from_attribution(found, 2, unit="eV").plot()
    widths = [bar.get_width() for bar in display.bars_]
    np.testing.assert_array_equal(widths, found.sites.loc[2, "contribution"])
    assert sum(widths) + display.baseline == pytest.approx(display.prediction)
    with pytest.raises(ValueError, match="row=20: the attribution has rows 0 to 19"):
        AtomAttributionDisplay.from_attribution(found, 20)
    species = [str(site.specie) for site in toy.structures[2]]
    labels = [t.get_text().split()[0] for t in display.ax_.get_yticklabels()]
    assert labels == species
    same = AtomAttributionDisplay.from_estimator(gnn, toy.structures[2]).plot()
    np.testing.assert_allclose([b.get_width() for b in same.bars_], widths, atol=1e-6)
    assert "mean of training" in same.ax_.get_title()
    occluded = AtomAttributionDisplay.from_estimator(
        gnn, toy.structures[2], method="occlusion"
    ).plot()
    assert "average atom" in occluded.ax_.get_xlabel()
