"""What ends a training early: Ctrl-C ends all that is around it, a callback only this fit."""

import os
import pickle
import signal
import warnings

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV, cross_val_score
from skorch.callbacks import Callback, EarlyStopping

from skuae import (
    CrystalGNNClassifier,
    CrystalGNNRegressor,
    CrystalTransformerRegressor,
    UAETransformer,
)
from skuae.training import CrystalNet
from skuae.training._sensitivity import sensitivity

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are another matter on Windows")
KINDS = [CrystalGNNRegressor, CrystalGNNClassifier, CrystalTransformerRegressor]


@pytest.fixture
def press_ctrl_c(monkeypatch):
    """Send SIGINT in a method of the net, as the terminal does, when a condition holds."""

    def press(method, when):
        original = getattr(CrystalNet, method)

        def interrupted(net, *args, **kwargs):
            if when(net):
                signal.raise_signal(signal.SIGINT)
            return original(net, *args, **kwargs)

        monkeypatch.setattr(CrystalNet, method, interrupted)

    return press


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.mark.parametrize("early_stopping", [False, True])
def test_ctrl_c_leaves_the_model_and_is_raised(
    small, kind, X, target_of, press_ctrl_c, early_stopping
):
    """In the first of the trainings, if there are several."""
    press_ctrl_c("train_step", lambda net: len(net.history) == 3)
    model = small(kind, max_epochs=50, early_stopping=early_stopping)
    with (
        pytest.warns(UserWarning, match="^training interrupted; the model is as it was") as told,
        pytest.raises(KeyboardInterrupt),
    ):
        model.fit(X, target_of(model))
    assert told[0].filename == __file__
    assert model.n_iter_ == 2
    assert len(model.predict(X)) == len(X)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))


def test_the_model_is_as_it_was(gnn, X, y, press_ctrl_c, assert_same_weights):
    """Two of ten epochs with Ctrl-C are two of ten epochs that a callback ended."""
    params = {"max_epochs": 10, "lr_schedule": "constant"}
    with pytest.warns(UserWarning, match="by a callback"):
        stopped = gnn(callbacks=[Stop(3)], **params).fit(X, y)
    press_ctrl_c("train_step", lambda net: len(net.history) == 3)
    model = gnn(**params)
    with pytest.warns(UserWarning, match="interrupted"), pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert_same_weights(model, stopped)


def test_ctrl_c_while_norms_settle(gnn, X, y, press_ctrl_c):
    """Training was over: the model is there, its norms are as after training."""
    press_ctrl_c("infer", lambda net: len(net.history) == 3 and not torch.is_grad_enabled())
    model = gnn()
    with pytest.warns(UserWarning, match="interrupted"), pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    norms = [m for m in model.net_.module_.modules() if isinstance(m, torch.nn.BatchNorm1d)]
    assert {norm.momentum for norm in norms} == {0.1}
    assert model.n_iter_ == 3
    assert np.isfinite(model.predict(X)).all()


def test_ctrl_c_while_the_table_is_scaled(front_end, X, y, monkeypatch):
    """That comes after training, and is done once more."""
    calls = []

    def interrupted_once(*args):
        calls.append(1)
        if len(calls) == 1:
            signal.raise_signal(signal.SIGINT)
        return sensitivity(*args)

    monkeypatch.setattr("skuae.training._learned_input.sensitivity", interrupted_once)
    model = front_end()
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    whole = front_end().fit(X, y)
    np.testing.assert_array_equal(model.element_table_.values, whole.element_table_.values)


@pytest.mark.filterwarnings("ignore:training interrupted")
@pytest.mark.parametrize(
    "search",
    [
        lambda model, X, y: cross_val_score(model, X, y, cv=2),
        lambda model, X, y: GridSearchCV(model, {"lr": [0.01, 0.02]}, cv=2).fit(X, y),
        lambda model, X, y: UAETransformer(model).fit(X, y),
    ],
    ids=["cross_val_score", "GridSearchCV", "UAETransformer"],
)
def test_ctrl_c_ends_a_search(make, X, y, press_ctrl_c, search):
    fits = []
    press_ctrl_c("initialize", lambda net: fits.append(net))
    press_ctrl_c("train_step", lambda net: len(net.history) == 2)
    with pytest.raises(KeyboardInterrupt):
        search(make(), X, y)
    assert len(fits) == 1


class Stop(Callback):
    """Ends the training at the beginning of an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == self.epoch:
            raise KeyboardInterrupt


class Slow(Callback):
    """Is at work when the user presses Ctrl-C."""

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 2:
            signal.raise_signal(signal.SIGINT)


def test_a_stop_by_a_callback_is_no_interruption(make, X, y):
    with pytest.warns(UserWarning, match="interrupted by a callback"):
        assert make(max_epochs=9, callbacks=[Stop(3)]).fit(X, y).n_iter_ == 2
    own = EarlyStopping(monitor="train_loss", patience=2, threshold=1e9, sink=lambda text: None)
    with pytest.warns(UserWarning, match="interrupted by a callback"):
        assert make(max_epochs=9, callbacks=[own]).fit(X, y).n_iter_ < 9
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert len(cross_val_score(make(callbacks=[Stop(3)]), X, y, cv=2)) == 2


def test_ctrl_c_while_a_callback_runs(make, X, y):
    model = make(max_epochs=9, callbacks=[Slow()])
    with pytest.warns(UserWarning, match="interrupted;"), pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert model.n_iter_ == 2
