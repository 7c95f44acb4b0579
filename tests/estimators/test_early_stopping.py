"""How fit finds the number of epochs, and that nothing gets lost on the way."""

import pickle
import signal
from unittest import mock

import numpy as np
import pytest
from sklearn.base import clone
from skorch.callbacks import Callback, EarlyStopping

from skuae import CrystalGNNClassifier, CrystalGNNRegressor, CrystalTransformerRegressor
from skuae.analysis import LossCurveDisplay
from skuae.training import CrystalNet


class Spy(Callback):
    """Notes how long every training was."""

    def initialize(self):
        self.seen_ = getattr(self, "seen_", [])
        return self

    def on_train_end(self, net, **kwargs):
        self.seen_.append(len(net.history))


def error_of(model, X, y, max_epochs):
    """Return the error that a training of so many epochs leaves on the rows held back."""
    once = clone(model).set_params(callbacks=None, refit=False, max_epochs=max_epochs)
    with mock.patch("skuae.training._search._HALVINGS", 0):
        (entry,) = once.fit(X, y).epochs_tried_
    assert entry["epochs"] == max_epochs
    return entry["error"]


def test_early_stopping_trains_longer_and_longer_then_on_all_rows(make, X, y, assert_same_weights):
    spy = Spy()
    model = make(
        early_stopping=True, max_epochs=64, lr=0.05, validation_fraction=0.25,
        callbacks=[("spy", spy)],
    ).fit(X, y)  # fmt: skip
    tried, errors = zip(*(entry.values() for entry in model.epochs_tried_), strict=True)
    assert tried == (4, 8, 16, 32, 64)[: len(tried)]
    assert len(tried) > 1
    assert spy.seen_ == [*tried, model.n_iter_]
    for n, error in zip(tried, errors, strict=True):
        assert error_of(model, X, y, n) == error
    assert model.n_iter_ == len(model.history_)
    assert model.n_iter_ in tried
    plain = clone(model).set_params(callbacks=None, early_stopping=False, max_epochs=model.n_iter_)
    assert_same_weights(model, plain.fit(X, y))


def test_without_refit_the_best_network_is_kept(make, X, y):
    params = {"early_stopping": True, "max_epochs": 64, "lr": 0.05, "validation_fraction": 0.25}
    model = make(**params, refit=False).fit(X, y)
    (kept,) = (e["error"] for e in model.epochs_tried_ if e["epochs"] == model.n_iter_)
    seed = np.random.RandomState(0).randint(2**31 - 1)
    held_back = np.random.default_rng(seed).permutation(24)[:6]
    error = np.abs(model.predict(X)[held_back] - y[held_back]).mean()
    assert error == pytest.approx(kept, rel=1e-6)
    again = make(**params).fit(X, y)
    assert again.epochs_tried_ == model.epochs_tried_
    assert again.n_iter_ == model.n_iter_
    assert again.task_.scaler.mean_ != model.task_.scaler.mean_


def test_validation_rows_are_held_back_and_seeded(make, X, y, assert_same_weights):
    one, other = (make(early_stopping=True).fit(X, y) for _ in range(2))
    assert_same_weights(one, other)
    assert one.epochs_tried_ == other.epochs_tried_
    # the scale of the targets is that of the training rows: others may be as wild as they like
    means = []
    for row in range(len(y)):
        wild = np.where(np.arange(len(y)) == row, y + 100.0, y)
        model = make(early_stopping=True, max_epochs=1, refit=False).fit(X, wild)
        means.append(model.task_.scaler.mean_[0])
    held_back = np.abs(np.array(means) - np.median(means)) > 1
    assert held_back.sum() == round(0.2 * len(y)) == 5


def test_trainings_share_rows_and_table(gnn, front_end, X, y):
    """Or the errors would compare tables, where these are learned."""
    tables = []
    plain = CrystalTransformerRegressor.fit

    def spied(self, *args, **kwargs):
        tables.append(len(args[0]))
        return plain(self, *args, **kwargs)

    learner = front_end(max_epochs=1, random_state=None)
    with mock.patch.object(CrystalTransformerRegressor, "fit", spied):
        model = gnn(embedding=learner, early_stopping=True, max_epochs=8).fit(X, y)
    assert len(model.epochs_tried_) > 2
    assert tables == [19, 24]


def test_classifiers_stop_early_unless_told_otherwise(small, X, y):
    labels = y > np.median(y)
    model = small(CrystalGNNClassifier, max_epochs=8).fit(X, labels)
    assert [entry["epochs"] for entry in model.epochs_tried_] == [1, 2, 4, 8]
    plain = small(CrystalGNNClassifier, max_epochs=8, early_stopping=False).fit(X, labels)
    assert plain.n_iter_ == 8 and not plain.epochs_tried_


def test_classes_of_weight_0_are_not_held_back(small, X):
    y = np.where(np.arange(24) < 16, "a", np.where(np.arange(24) % 2, "b", "c"))
    weights = {"a": 0.0, "b": 1.0, "c": 1.0}
    model = small(CrystalGNNClassifier, max_epochs=8, class_weight=weights).fit(X, y)
    assert min(entry["error"] for entry in model.epochs_tried_) > 0
    y = np.where(np.arange(24) < 1, "b", "a")  # the only row that counts is needed to train on
    with pytest.raises(ValueError, match="set early_stopping=False"):
        small(CrystalGNNClassifier, class_weight={"a": 0.0, "b": 1.0}).fit(X, y)


def test_outputs_that_are_not_finite_are_no_small_error(make, X, y, monkeypatch):
    def broken(net, loader, method="__call__"):
        return np.full((len(loader.dataset), 1), np.nan, np.float32)

    monkeypatch.setattr("skuae.training._net.CrystalNet.outputs", broken)
    with pytest.raises(ValueError, match="diverged: the error of the rows held back"):
        make(early_stopping=True).fit(X, y)


@pytest.mark.parametrize("unit", [1e-170, 1e160])
def test_units_do_not_matter(make, X, y, unit):
    params = {"early_stopping": True, "max_epochs": 8}
    plain, scaled = (make(**params).fit(X, values) for values in (y, y * unit))
    assert plain.n_iter_ == scaled.n_iter_
    errors = [[entry["error"] for entry in model.epochs_tried_] for model in (plain, scaled)]
    np.testing.assert_allclose(np.array(errors[1]) / unit, errors[0], rtol=1e-4)


# -- stopped on the way ---------------------------------------------------------------------------


def interrupted_in(name, n, run):
    """Press Ctrl-C in the n-th call of a method of the net."""
    calls = []
    plain = getattr(CrystalNet, name)

    def pressed(self, *args, **kwargs):
        calls.append(name)
        if len(calls) == n:
            signal.raise_signal(signal.SIGINT)
        return plain(self, *args, **kwargs)

    with (
        mock.patch.object(CrystalNet, name, pressed),
        pytest.warns(UserWarning, match="^training interrupted") as told,
        pytest.raises(KeyboardInterrupt),
    ):
        run()
    return str(told[0].message)


@pytest.mark.parametrize("name", ["initialize", "fit_loop", "settle", "check_outputs", "outputs"])
def test_ctrl_c_keeps_the_best_so_far(make, X, y, name):
    model = make(max_epochs=8, early_stopping=True)
    whole = clone(model).set_params(refit=False).fit(X, y)
    message = interrupted_in(name, 3, lambda: model.fit(X, y))
    assert model.epochs_tried_ == whole.epochs_tried_[:2]
    best = min(model.epochs_tried_, key=lambda entry: entry["error"])
    assert model.n_iter_ == best["epochs"]
    assert f"the best so far, after {best['epochs']} epochs without the rows held" in message
    assert pickle.loads(pickle.dumps(model)).predict(X).tolist() == model.predict(X).tolist()


def test_ctrl_c_while_all_rows_are_trained_on(make, X, y):
    model = make(max_epochs=8, early_stopping=True)
    whole = clone(model).set_params(refit=False).fit(X, y)
    interrupted_in("fit_loop", len(whole.epochs_tried_) + 1, lambda: model.fit(X, y))
    assert model.epochs_tried_ == whole.epochs_tried_
    np.testing.assert_array_equal(model.predict(X), whole.predict(X))


@pytest.mark.parametrize("name", ["settle", "outputs"])
def test_ctrl_c_in_the_first_training(make, X, y, name):
    model = make(max_epochs=8, early_stopping=True)
    message = interrupted_in(name, 1, lambda: model.fit(X, y))
    assert message.endswith("the model is as it was then")
    assert model.epochs_tried_ == [] and model.n_iter_ == 1
    assert np.isfinite(model.predict(X)).all()


def test_a_callback_that_ends_a_training_ends_the_search(make, X, y):
    callback = EarlyStopping(monitor="train_loss", patience=2, threshold=10.0)  # in epoch 3
    model = make(max_epochs=64, early_stopping=True, callbacks=[callback])
    with pytest.warns(UserWarning, match="interrupted by a callback") as told:
        model.fit(X, y)
    assert len(told) == 1
    assert [entry["epochs"] for entry in model.epochs_tried_] == [3]
    assert model.n_iter_ == 3
    LossCurveDisplay.from_estimator(model).plot()


@pytest.mark.parametrize("kind", ["regressor", "classifier"])
def test_a_search_that_was_over_is_resumed(small, X, y, kind, tmp_path, assert_same_weights):
    """Trainings that are read whole from their checkpoints end the search where it ended."""
    params = {"max_epochs": 400, "batch_size": 8, "lr": 0.05, "random_state": 0}
    if kind == "classifier":
        y = np.random.default_rng(0).permutation(y > np.median(y))
    estimator = CrystalGNNClassifier if kind == "classifier" else CrystalGNNRegressor
    model = small(estimator, early_stopping=True, checkpoint_dir=tmp_path, **params)
    first = clone(model).fit(X, y)
    assert len(first.epochs_tried_) < 5  # it was patience that ended it
    again = clone(model).fit(X, y)
    assert again.epochs_tried_ == first.epochs_tried_
    assert_same_weights(again, first)


def test_weights_that_know_all_rows_are_not_judged_by_some_of_them(small, X, y):
    labels = np.random.default_rng(0).permutation(y > np.median(y))
    model = small(CrystalGNNClassifier, max_epochs=8, warm_start=True).fit(X, labels)
    assert len(model.epochs_tried_) == 4
    model.fit(X, labels)
    assert model.epochs_tried_ == [] and model.n_iter_ == 8
