"""What goes wrong is said: which row, what about it, and the way out."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from skorch.callbacks import Callback

from skuae import CrystalGNNClassifier, ElementTable, models
from skuae._messages import such_rows
from skuae.analysis import LossCurveDisplay
from skuae.embedding import get_table


@pytest.fixture
def named(X):
    """Structures in a Series whose index names them."""
    return pd.Series(list(X), index=[f"mp-{i}" for i in range(len(X))])


# -- targets and weights --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda y: y[:-1], r"y has shape \(23,\) but X has 24 rows"),
        (lambda y: np.stack([y, y]), r"y has shape \(2, 24\) but X has 24 rows"),
        (lambda y: np.full(24, np.nan), r"y is NaN in all rows.*drop it"),
        (lambda y: pd.DataFrame({"gap": y, "e": np.nan}), "target e is NaN in all rows"),
        (lambda y: np.where(np.arange(24) == 5, np.inf, y), r"row 5 \(mp-5\): y is infinite; r"),
        (lambda y: np.array(["high"] * 24), r"y must hold numbers, NaN where unknown \(.*'high'"),
        (lambda y: None, "requires y to be passed, but the target y is None"),
    ],
)
def test_bad_targets(make, named, y, spoil, message):
    with pytest.raises(ValueError, match=message):
        make().fit(named, spoil(y))


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones(23), r"sample_weight has shape \(23,\) but X has 24 rows"),
        (np.where(np.arange(24) == 3, -1.0, 1.0), r"row 3 \(mp-3\): sample_weight is -1.0"),
        (np.where(np.arange(24) == 3, np.nan, 1.0), r"row 3 \(mp-3\): sample_weight is nan"),
        (np.zeros(24), "sample_weight is zero in all rows"),
    ],
)
def test_bad_weights(make, named, y, weight, message):
    with pytest.raises(ValueError, match=message):
        make().fit(named, y, sample_weight=weight)


def test_rows_in_another_order_are_refused(make, named, y):
    """What pandas calls by the names of the structures belongs to these."""
    turned = named.index[::-1]
    for wrong in (pd.Series(y, turned), pd.DataFrame({"a": y}, turned)):
        with pytest.raises(ValueError, match=r"row 0 of y is 'mp-23', that of .* is 'mp-0'.*\.loc"):
            make().fit(named, wrong)
        with pytest.raises(ValueError, match="row 0 of y is 'mp-23'"):
            make().fit(named.to_frame(), wrong)
    with pytest.raises(ValueError, match="row 0 of sample_weight is 'mp-23'"):
        make().fit(named, y, sample_weight=pd.Series(np.ones(24), turned))


@pytest.mark.parametrize(
    "index", [None, range(24), [f"mp-{i}" for i in range(24)], range(23, -1, -1), ["mp-1"] * 24]
)
def test_rows_belong_together_by_place_whatever_else_they_are_called(make, named, y, index):
    plain = make(max_epochs=1).fit(named, y).predict(named)
    pandas = make(max_epochs=1).fit(named, pd.Series(y, index)).predict(named)
    np.testing.assert_array_equal(plain, pandas)


def test_too_few_rows(make, X, y):
    with pytest.raises(ValueError, match="1 sample: at least 2"):
        make().fit(X[:1], y[:1])
    with pytest.raises(ValueError, match=r"2 samples leave fewer than 2.*early_stopping=False"):
        make(early_stopping=True).fit(X[:2], y[:2])
    with pytest.raises(ValueError, match="no structures"):
        make().fit([], [])
    assert make().fit(X[:2], y[:2]).predict(X[:1]).shape == (1,)


# -- structures -----------------------------------------------------------------------------------


def test_bad_structures(make, named, y):
    fitted = make().fit(named, y)
    for spoilt, message in (
        (named.where(named.index != "mp-4"), r"row 4 \(mp-4\): the structure is missing; drop"),
        (named.where(named.index != "mp-4", 3), r"row 4 \(mp-4\): got int, expected pymatgen"),
    ):
        with pytest.raises(TypeError, match=message):
            make().fit(spoilt, y)
        with pytest.raises(TypeError, match=message):
            fitted.predict(spoilt)
    with pytest.raises(TypeError, match=r"one Structure, not a collection.*\[structure\]"):
        fitted.predict(named.iloc[0])
    with pytest.raises(TypeError, match="2 columns"):
        fitted.predict(pd.DataFrame({"a": named, "b": named}))
    with pytest.raises(TypeError, match="matrix of features"):
        fitted.predict(np.ones((3, 4)))


def test_elements_that_the_front_end_has_not_seen(front_end, named, y):
    number = named.iloc[0].species[0]
    has = np.array([number in s.species for s in named])
    fitted = front_end(on_missing_element="raise").fit(named[~has], y[~has])
    message = rf"row 0 \(mp-0\): {number.symbol} was in none of the crystals.*{has.sum()} such rows"
    with pytest.raises(ValueError, match=message + '.*on_missing_element="mean"'):
        fitted.predict(named)
    lenient = front_end(on_missing_element="mean").fit(named[~has], y[~has])
    assert np.isfinite(lenient.predict(named)).all()
    np.testing.assert_array_equal(lenient.predict(named[~has]), fitted.predict(named[~has]))


def test_elements_beyond_the_rows_of_the_front_end(front_end, named, y):
    heavy = named.iloc[2].copy()
    heavy.replace(0, "Lr")  # Z = 103
    spoilt = named.copy()
    spoilt.iloc[2] = heavy
    with pytest.raises(ValueError, match=r"row 2 \(mp-2\).*up to Z=100.*Lr; drop the row"):
        front_end().fit(spoilt, y)
    with pytest.raises(ValueError, match=r"row 2 \(mp-2\).*up to Z=100.*Lr; drop"):
        front_end(on_missing_element="mean").fit(named, y).predict(spoilt)


def test_elements_that_the_table_lacks(gnn, named, y):
    symbol = named.iloc[3].species[0].symbol
    has = np.array([symbol in s.composition for s in named])
    part = ElementTable(get_table("magpie").to_frame().drop(index=symbol), name="part")
    first = int(np.flatnonzero(has)[0])
    message = rf"row {first} \(mp-{first}\): .*'part' has no vector for {symbol}"
    message += re.escape(such_rows(int(has.sum()))) + "; "
    with pytest.raises(ValueError, match=message):
        gnn(embedding=part).fit(named, y)
    fitted = gnn(embedding=part).fit(named[~has], y[~has])
    message += r"choose a table that has one \(ct-uae-mt has"
    with pytest.raises(ValueError, match=message):
        fitted.predict(named)


# -- parameters -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"lr": -0.1}, r"lr must be .*a number, at least 0; got -0\.1"),
        ({"lr": "high"}, "lr must be .*a number"),
        ({"lr": np.nan}, "lr must be .*a number"),
        ({"max_epochs": 0}, "max_epochs must be an integer, at least 1"),
        ({"max_epochs": 2.5}, "max_epochs must be an integer"),
        ({"batch_size": 1}, "batch_size must be an integer, at least 2"),
        ({"max_epochs": True}, "max_epochs must be an integer"),
        ({"weight_decay": -1}, "weight_decay must be"),
        ({"validation_fraction": 1.0}, "validation_fraction must lie between 0 and 1"),
        ({"optimizer": "lion"}, "optimizer must be one of adamw, adam, sgd; got 'lion'"),
        ({"loss": "mae"}, "loss must be one of"),
        ({"lr_schedule": None}, "lr_schedule must be one of"),
        ({"device": "quantum"}, "device must be .*quantum"),
        ({"random_state": "lucky"}, "random_state must be an integer .*; got 'lucky'"),
        ({"random_state": -1}, "random_state must be an integer .*; got -1"),
        ({"lr": np.inf}, "lr must be .*a number"),
        ({"verbose": "a"}, "verbose must be an integer, at least 0; got 'a'"),
    ],
)
def test_bad_parameters(make, X, y, params, message):
    estimator = make(**params)  # said in fit, so that clone and set_params never fail
    with pytest.raises(ValueError, match=message):
        estimator.fit(X, y)


def test_devices_that_are_not_there(make, X, y):
    import torch

    absent = "mps" if not torch.backends.mps.is_available() else "xpu"
    for device in (absent, "cuda:99"):
        with pytest.raises(ValueError, match=f'{device}.*no such device here; use device="auto"'):
            make(device=device).fit(X, y)


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"backbone": "cgnn"}, ValueError, "there is no backbone 'cgnn'; known are"),
        ({"backbone": models.CGCNN}, TypeError, "backbone must be a name"),
        ({"embedding": "magpy"}, ValueError, "no element table named 'magpy'; did you mean"),
        ({"embedding": np.eye(4)}, TypeError, "embedding is a ndarray.*ElementTable"),
        ({"embedding": "absent.csv"}, FileNotFoundError, r"absent\.csv"),
    ],
)
def test_bad_parameters_of_the_graph_network(gnn, X, y, params, error, message):
    with pytest.raises(error, match=message):
        gnn(**params).fit(X, y)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"readout": "last"}, "readout must be one of mean, cls, first"),
        ({"on_missing_element": "nan"}, "on_missing_element must be"),
        ({"d_model": 15}, "d_model must be even and a multiple of n_heads=2"),
        ({"task_weights": [1.0, 2.0]}, "task_weights must be a sequence of 1 numbers"),
        ({"task_weights": 1.0}, "task_weights must be a sequence of 1 numbers"),
        ({"task_weights": [np.inf]}, "task_weights must be finite"),
    ],
)
def test_bad_parameters_of_the_front_end(front_end, X, y, params, message):
    with pytest.raises(ValueError, match=message):
        front_end(**params).fit(X, y)


def test_bad_init_from(gnn, front_end, X, y, tmp_path):
    other = front_end().fit(X, y)
    message = r"a CrystalTransformerRegressor; CrystalGNNRegressor can start from a fitted Crys"
    with pytest.raises(TypeError, match="init_from is " + message):
        gnn(init_from=other).fit(X, y)
    other.save_pretrained(tmp_path / "other")
    with pytest.raises(TypeError, match="init_from=.* holds " + message):
        gnn(init_from=tmp_path / "other").fit(X, y)
    with pytest.raises(ValueError, match="not fitted"):
        gnn(init_from=gnn()).fit(X, y)
    with pytest.raises(FileNotFoundError, match="holds no model"):
        gnn(init_from=tmp_path).fit(X, y)
    wide = models.CGCNN(atom_dim=12, n_conv=1, hidden_dim=8, cutoff=5.0, max_neighbors=6)
    with pytest.raises(ValueError, match=r"atom_dim=12.*use the same, or start anew"):
        gnn(init_from=gnn(backbone=wide).fit(X, y)).fit(X, y)
    deep = front_end(n_layers=2).fit(X, y)
    with pytest.raises(ValueError, match="another architecture"):
        front_end(init_from=deep).fit(X, y)


def test_init_from_survives_clone(make, X, y, assert_same_weights):
    """Cross-validation and searches clone the estimator, and a clone is not fitted."""
    from sklearn.model_selection import GridSearchCV, cross_val_score

    source = make(random_state=5).fit(X, y)
    scores = cross_val_score(make(init_from=source), X, y, cv=2, error_score="raise")
    assert np.isfinite(scores).all()
    grid = {"init_from": [None, FrozenEstimator(source)]}
    search = GridSearchCV(make(), grid, cv=2, error_score="raise").fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert_same_weights(
        make(init_from=FrozenEstimator(source)).fit(X, y), make(init_from=source).fit(X, y)
    )


# -- while training -------------------------------------------------------------------------------


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("batch_size", [8, 100])
def test_a_fit_that_diverges_says_so(make, X, y, batch_size, early_stopping):
    """With one batch, no loss is taken after the step that was one too many."""
    estimator = make(
        lr=1e30, lr_schedule="constant", optimizer="sgd", max_epochs=1, batch_size=batch_size,
        early_stopping=early_stopping,
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"diverged.*lower lr"):
        estimator.fit(X, y)


class Spoiler(Callback):
    """Leave one weight behind that no crystal of the first batch reads."""

    def on_train_end(self, net, **kwargs):
        with torch.no_grad():
            net.module_.elements.weight[-1, 0] = np.nan


def test_weights_that_are_not_finite_are_no_model(gnn, X, y):
    with pytest.raises(ValueError, match="diverged"):
        gnn(callbacks=[Spoiler()]).fit(X, y)


class Impatient(Callback):
    """Stops in the middle of an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_batch_end(self, net, **kwargs):
        if len(net.history) == self.epoch:
            raise KeyboardInterrupt


@pytest.mark.parametrize("epoch", [1, 3])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_interrupted_by_a_callback(make, X, y, epoch, early_stopping, tmp_path):
    estimator = make(
        max_epochs=50, callbacks=[("user", Impatient(epoch))], early_stopping=early_stopping,
        warm_start=True, verbose=1,
    )  # fmt: skip
    with pytest.warns(UserWarning, match="interrupted.*as it was then") as told:
        estimator.fit(X, y)
    assert told[0].filename == __file__
    LossCurveDisplay.from_estimator(estimator)
    assert estimator.n_iter_ == len(estimator.history_) == epoch - 1
    assert all("train_loss" in epoch for epoch in estimator.history_)
    assert np.isfinite(estimator.predict(X)).all()
    estimator.save_pretrained(tmp_path)
    again = type(estimator).from_pretrained(tmp_path, device="cpu")
    np.testing.assert_array_equal(again.predict(X), estimator.predict(X))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimator.set_params(callbacks=None, max_epochs=2).fit(X, y)
    assert estimator.n_iter_ == 2


class Protocol(Callback):
    """Takes what skorch hands to its callbacks, by position and by name."""

    def __init__(self):
        self.seen = set()

    def on_train_begin(self, net, X, y, **kwargs):
        self.seen.add("train")

    def on_epoch_begin(self, net, dataset_train, dataset_valid, **kwargs):
        self.seen.add("begin")

    def on_epoch_end(self, net, dataset_train, dataset_valid, **kwargs):
        self.seen.add(dataset_valid)

    def on_train_end(self, net, X, y, **kwargs):
        self.seen.add("end")


def test_callbacks_are_called_as_skorch_does(make, X, y):
    callback = Protocol()
    make(callbacks=[callback]).fit(X, y)
    assert callback.seen == {"train", "begin", None, "end"}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"coord_noise": -5.0}, "coord_noise must be a number of Å, at least 0; got -5.0"),
        ({"coord_noise": np.nan}, "coord_noise must be"),
        ({"coord_noise": "a"}, "coord_noise must be"),
        ({"dropout": "a"}, "dropout must be at least 0 and below 1; got 'a'"),
        ({"task_weights": {"a": 1}}, "task_weights must be a sequence of 1 numbers"),
        ({"task_weights": "ab"}, "task_weights must be a sequence of 1 numbers"),
        ({"task_weights": [1e308]}, r"task_weights must be finite, .* at most 1e\+18 together"),
    ],
)
def test_parameters_of_the_front_end(front_end, X, y, params, message):
    with pytest.raises(ValueError, match=message):
        front_end(**params).fit(X, y)


def test_verbose(make, X, y, capfd):
    make(verbose=0, early_stopping=True).fit(X, y).predict(X)
    assert capfd.readouterr() == ("", "")
    make(verbose=1, early_stopping=True).fit(X, y).predict(X)
    shown = capfd.readouterr().err
    assert "epoch=1/1, loss=" in shown and "epoch=2/2, loss=" in shown  # two of the trainings
    assert "6/6" in shown  # steps: two epochs of three batches


def test_a_classifier_cannot_learn_a_table_from_numbers(gnn, X, y):
    with pytest.raises(ValueError, match="learns from classes, and y holds numbers"):
        gnn(embedding=CrystalGNNClassifier()).fit(X, y)


def test_a_name_has_no_parameters(gnn, X, y):
    for part in (gnn(backbone="cgcnn"), models.CrystalBERT(gnn="cgcnn")):
        name = "backbone" if hasattr(part, "backbone") else "gnn"
        with pytest.raises(ValueError, match=f"{name}__n_conv cannot be set: {name}='cgcnn' has"):
            part.set_params(**{f"{name}__n_conv": 2})
    with pytest.raises(ValueError, match="embedding__lr cannot be set: embedding=None has no"):
        gnn().set_params(embedding__lr=1)
    with pytest.raises(ValueError, match="Invalid parameter 'nothing'"):
        gnn().set_params(nothing__lr=1)
    both = gnn(backbone="cgcnn").set_params(backbone=models.CGCNN(), backbone__n_conv=2)
    assert both.backbone.n_conv == 2
