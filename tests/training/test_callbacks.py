"""Callbacks of the user: what is refused before training, and what cannot be copied."""

import threading

import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    Freezer,
    InputShapeSetter,
    LoadInitState,
    PrintLog,
    ProgressBar,
    TensorBoard,
    WandbLogger,
)

from skuae import CrystalGNNClassifier, CrystalGNNRegressor, CrystalTransformerRegressor
from skuae.training import check_training_params

KINDS = [CrystalGNNRegressor, CrystalGNNClassifier, CrystalTransformerRegressor]


class Run:
    """What TensorBoard and Weights & Biases hand out: something with a lock and a connection."""

    def __init__(self):
        self.lock = threading.Lock()


class Recorder(Callback):
    """May record anything."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("callback", "message"),
    [
        (WandbLogger(Run()), "WandbLogger looks at 'valid_loss_best'.* save_model=False of the"),
        (Checkpoint(), "Checkpoint looks at 'valid_loss_best'.*monitor=\"train_loss_best\""),
        (Checkpoint, "Checkpoint looks at 'valid_loss_best'"),
        (("saver", Checkpoint()), "Checkpoint looks at 'valid_loss_best'"),
        (
            EarlyStopping(),
            "EarlyStopping looks at 'valid_loss'.*monitor=\"train_loss\", or early_s",
        ),
        (EarlyStopping, "EarlyStopping looks at 'valid_loss'"),
    ],
)
def test_what_needs_a_validation_loss(kind, callback, message):
    for early_stopping in (False, True):
        with pytest.raises(ValueError, match=message):
            check_training_params(kind(callbacks=[callback], early_stopping=early_stopping))


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        (WandbLogger, "WandbLogger cannot be made without arguments .*pass an object"),
        (EarlyStopping(monitor="val_loss"), "looks at 'val_loss', which nothing records"),
        (Checkpoint(monitor="mae_best"), "looks at 'mae_best', which nothing records"),
        (LoadInitState(Checkpoint()), "LoadInitState does not work.*init_from"),
        (InputShapeSetter(), "InputShapeSetter does not work"),
        (Run(), "must be skorch callbacks"),
        (Run, "must be skorch callbacks"),
    ],
)
def test_what_cannot_work(callback, message):
    for early_stopping in (False, True):
        with pytest.raises(ValueError, match=message):
            check_training_params(
                CrystalGNNRegressor(callbacks=[callback], early_stopping=early_stopping)
            )


@pytest.mark.parametrize(
    "callbacks",
    [
        None,
        [WandbLogger(Run(), save_model=False)],
        [Checkpoint(monitor="train_loss_best"), Checkpoint(monitor=None)],
        [Checkpoint(monitor=lambda net: True)],
        [EarlyStopping(monitor="train_loss"), PrintLog, ProgressBar()],
        [Recorder(), EarlyStopping(monitor="mae")],
        [Checkpoint(monitor=None, event_name="event_1"), Checkpoint(monitor="event_1")],
    ],
)
def test_what_works(callbacks):
    check_training_params(CrystalGNNRegressor(callbacks=callbacks))


class Memory(Callback):
    """Has an attribute that is no parameter: scikit-learn cannot clone it."""

    def __init__(self):
        self.weights = []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "copy",
    [
        lambda model: clone(model),
        lambda model: cross_val_score(model, [1, 2], [1, 2], cv=KFold(2)),
        lambda model: GridSearchCV(model, {"lr": [0.1]}, cv=KFold(2)).fit([1, 2], [1, 2]),
    ],
    ids=["clone", "cross_val_score", "GridSearchCV"],
)
def test_what_cannot_be_copied_is_named(kind, copy):
    for callbacks, name in (
        ([Freezer("head*"), TensorBoard(Run())], "TensorBoard"),
        ([("run", WandbLogger(Run()))], "WandbLogger"),
        ([Memory()], "Memory"),
    ):
        with pytest.raises(TypeError, match=f"^callbacks: {name} cannot be copied .*on_train_beg"):
            copy(kind(callbacks=callbacks))


def test_other_parameters_keep_their_own_errors():
    with pytest.raises(TypeError, match="cannot pickle"):
        clone(CrystalGNNRegressor(embedding=Run(), callbacks=[Freezer("head*")]))


def test_a_copy_has_copies():
    model = CrystalGNNRegressor(callbacks=[EarlyStopping(monitor="train_loss"), PrintLog])
    copy = clone(model)
    assert copy.callbacks[0] is not model.callbacks[0]
    assert copy.callbacks[0].monitor == "train_loss"
    assert copy.callbacks[1] is PrintLog
