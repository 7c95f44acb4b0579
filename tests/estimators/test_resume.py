"""A fit that was killed goes on where it was, and ends where it would have ended."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback

from skuae import CrystalGNNRegressor, CrystalTransformerRegressor
from skuae._files import read_safetensors, write_safetensors
from skuae.embedding import get_table
from skuae.training import _checkpoint

CASES = {
    "gnn": (CrystalGNNRegressor, {"embedding": "magpie"}),
    "gnn_stops_early": (
        CrystalGNNRegressor,
        {"early_stopping": True, "lr": 0.03, "validation_fraction": 0.3},
    ),
    "front_end": (  # random turns of the crystals and dropout
        CrystalTransformerRegressor,
        {"dropout": 0.3, "coord_noise": 0.05},
    ),
    "front_end_stops_early": (
        CrystalTransformerRegressor,
        {"early_stopping": True, "lr": 0.003, "validation_fraction": 0.3},
    ),
    "momentum": (CrystalGNNRegressor, {"optimizer": "sgd", "lr_schedule": "cosine"}),
}


class Killed(Exception):
    pass


class Kill(Callback):
    """Ends the fit in the middle of the n-th epoch that it sees."""

    def __init__(self, n):
        self.n = n

    def on_epoch_begin(self, net, **kwargs):
        self.n -= 1

    def on_batch_end(self, net, **kwargs):
        if self.n == 0 and len(net.history[-1]["batches"]) == 2:
            raise Killed


class Count(Callback):
    def __init__(self):
        self.epochs = []

    def on_epoch_begin(self, net, **kwargs):
        self.epochs.append(len(net.history))


@pytest.fixture(autouse=True)
def every_epoch(monkeypatch):
    """Checkpoints are written every ten seconds; these fits take less than one."""
    monkeypatch.setattr(_checkpoint, "SECONDS_BETWEEN", 0.0)


@pytest.fixture
def assert_ends_the_same(X, assert_same_weights):
    def check(resumed, whole):
        assert_same_weights(resumed, whole)
        np.testing.assert_array_equal(resumed.predict(X), whole.predict(X))
        assert resumed.n_iter_ == whole.n_iter_
        assert resumed.epochs_tried_ == whole.epochs_tried_
        without_time = [
            [{k: v for k, v in e.items() if k != "dur"} for e in fitted.history_]
            for fitted in (resumed, whole)
        ]
        assert without_time[0] == without_time[1]

    return check


@pytest.mark.parametrize("case", CASES)
def test_resumed_fit_ends_as_if_it_had_never_stopped(
    small, X, y, case, tmp_path, assert_ends_the_same
):
    kind, params = CASES[case]
    params = {"max_epochs": 8, **params}
    total = Count()
    whole = small(kind, **params, callbacks=[total]).fit(X, y)
    for n in (2, 4):  # killed, resumed, killed again
        with pytest.raises(Killed):
            small(kind, **params, checkpoint_dir=tmp_path, callbacks=[Kill(n)]).fit(X, y)
    count = Count()
    resumed = small(kind, **params, checkpoint_dir=tmp_path, callbacks=[count]).fit(X, y)
    assert_ends_the_same(resumed, whole)
    assert count.epochs == total.epochs[1 + 3 :]
    # one that had ended has nothing left to do
    again = Count()
    finished = small(kind, **params, checkpoint_dir=tmp_path, callbacks=[again]).fit(X, y)
    assert_ends_the_same(finished, whole)
    assert again.epochs == []


SCRIPT = """
import json, os, signal, sys
import torch
from skorch.callbacks import Callback
import skuae
from skuae.datasets import make_toy_crystals
from skuae.training import _checkpoint

class Kill(Callback):
    def on_batch_end(self, net, training=False, **kwargs):
        if len(net.history) == 4 and len(net.history[-1]["batches"]) == 2:
            os.kill(os.getpid(), signal.SIGKILL)

torch.set_num_threads(1)
_checkpoint.SECONDS_BETWEEN = 0.0
kind, params = sys.argv[1], json.loads(sys.argv[2])
toy = make_toy_crystals(24, prototypes=("rocksalt", "perovskite"), random_state=0)
getattr(skuae, kind)(**params, callbacks=[Kill()]).fit(toy.structures, toy.target)
"""


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
@pytest.mark.parametrize(
    ("kind", "params"),
    [
        (CrystalGNNRegressor, {"embedding": "magpie"}),
        (
            CrystalTransformerRegressor,
            {
                "d_model": 16,
                "n_layers": 1,
                "early_stopping": True,
                "on_missing_element": "mean",  # some are in validation rows alone
            },
        ),
    ],
)
def test_a_process_that_was_killed(kind, params, X, y, tmp_path, one_thread, assert_ends_the_same):
    params = {**params, "max_epochs": 8, "batch_size": 8, "random_state": 3, "device": "cpu"}
    resumable = {**params, "checkpoint_dir": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, kind.__name__, json.dumps(resumable)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    trainings = (1, 2, 4) if params.get("early_stopping") else (8,)
    assert len(list(tmp_path.glob("*.safetensors"))) == len(trainings)
    count = Count()
    resumed = kind(**resumable, callbacks=[count]).fit(X, y)
    assert count.epochs[0] == 4  # the epoch in which it was killed
    assert_ends_the_same(resumed, kind(**params).fit(X, y))


# -- one folder for many fits ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"lr": 0.01}, {"lr": 0.02}),
        ({"random_state": 1}, {"random_state": 2}),
        ({"max_epochs": 3}, {"max_epochs": 4}),
        ({"backbone__max_neighbors": 6}, {"backbone__max_neighbors": 4}),
        ({"backbone__cutoff": 5.0}, {"backbone__cutoff": 4.99}),
        ({"embedding": "cgcnn"}, {"embedding": None}),  # the same vectors, tuned and not
        ({"embedding": "cgcnn"}, {"embedding": get_table("cgcnn").permute(0)}),
        ({"embedding": "cgcnn"}, {"embedding": "cgcnn", "freeze_embedding": True}),
    ],
)
def test_fits_that_differ_do_not_find_each_others_checkpoints(
    gnn, X, y, one, other, tmp_path, assert_same_weights
):
    gnn(checkpoint_dir=tmp_path).set_params(**one).fit(X, y)
    beside = gnn(checkpoint_dir=tmp_path).set_params(**other).fit(X, y)
    assert len(list(tmp_path.iterdir())) == 2
    assert_same_weights(beside, gnn().set_params(**other).fit(X, y))


def test_every_training_of_early_stopping_has_its_own(gnn, X, y, tmp_path, assert_same_weights):
    for refit in (False, True):  # the second time, the same trainings are there
        stopped = gnn(checkpoint_dir=tmp_path, early_stopping=True, refit=refit).fit(X, y)
        n_trainings = len(stopped.epochs_tried_) + refit
        assert n_trainings > 2
        assert len(list(tmp_path.iterdir())) == n_trainings
    assert_same_weights(stopped, gnn(early_stopping=True).fit(X, y))
    plain = gnn(checkpoint_dir=tmp_path, max_epochs=stopped.n_iter_).fit(X, y)  # is there, too
    assert len(list(tmp_path.iterdir())) == n_trainings
    assert_same_weights(stopped, plain)


def test_other_data_do_not_find_the_checkpoint(make, X, y, tmp_path, assert_same_weights):
    make(checkpoint_dir=tmp_path).fit(X, y)
    weight = np.linspace(1, 2, len(y))
    fits = [
        (X[:-1], y[:-1], None), (X, y + 0.1, None), (X, y, weight),
        (X, np.where(y == y[0], np.nan, y), None),
    ]  # fmt: skip
    for n, (held, target, sample_weight) in enumerate(fits, start=2):
        beside = make(checkpoint_dir=tmp_path).fit(held, target, sample_weight)
        assert len(list(tmp_path.iterdir())) == n
        assert_same_weights(beside, make().fit(held, target, sample_weight))


def test_one_folder_serves_a_search(gnn, X, y, tmp_path):
    grid = {"lr": [0.01, 0.02], "backbone__max_neighbors": [4, 6]}
    plain = GridSearchCV(gnn(), grid, cv=2).fit(X, y).cv_results_["mean_test_score"]
    for _ in range(2):  # the second time all fits are there
        search = GridSearchCV(gnn(checkpoint_dir=tmp_path), grid, cv=2).fit(X, y)
        np.testing.assert_array_equal(search.cv_results_["mean_test_score"], plain)
        assert len(list(tmp_path.iterdir())) == 4 * 2 + 1


# -- what can go wrong ----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [None, np.random.RandomState(0)])
def test_a_fit_that_cannot_be_found_again_is_refused(make, X, y, seed, tmp_path):
    with pytest.raises(ValueError, match="checkpoint_dir needs random_state to be an int"):
        make(checkpoint_dir=tmp_path, random_state=seed).fit(X, y)


@pytest.mark.parametrize(
    "damage",
    [lambda content: content[: len(content) // 2], lambda content: b"", lambda content: b"x" * 99],
)
def test_a_damaged_checkpoint_is_named(make, X, y, tmp_path, damage):
    make(checkpoint_dir=tmp_path).fit(X, y)
    (path,) = tmp_path.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=rf"{path.name}.*damaged.*Delete the file"):
        make(checkpoint_dir=tmp_path).fit(X, y)


def test_a_changed_checkpoint_is_named(make, X, y, tmp_path):
    make(checkpoint_dir=tmp_path).fit(X, y)
    (path,) = tmp_path.iterdir()
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match=rf"{path.name} was changed.*Delete the file"):
        make(checkpoint_dir=tmp_path).fit(X, y)


def forged(path, change):
    tensors, card = read_safetensors(path, format=_checkpoint.FORMAT)
    change(card, tensors)
    write_safetensors(path, tensors, card, format=_checkpoint.FORMAT)


@pytest.mark.parametrize(
    "change",
    [
        lambda card, tensors: card.pop("history"),
        lambda card, tensors: card.update(history=[]),
        lambda card, tensors: card.update(history=card["history"] * 5),
        lambda card, tensors: card["history"][0].update(epoch=2),
        lambda card, tensors: card["history"][0].update(batches=3),
        lambda card, tensors: card["history"][0].update(train_loss=np.nan),
        lambda card, tensors: card["trained"].pop(),
        lambda card, tensors: tensors.pop("module/head.bias"),
        lambda card, tensors: tensors.pop("optimizer/0/exp_avg"),
        lambda card, tensors: tensors.update({"module/more": np.zeros(1)}),
        lambda card, tensors: tensors.update({"optimizer/0/more": np.zeros(1)}),
        lambda card, tensors: tensors.update({"optimizer/x/step": np.zeros(1)}),
        lambda card, tensors: tensors.update({"optimizer/0/step": np.zeros(2, np.float32)}),
        lambda card, tensors: tensors.update({"module/head.bias": np.full(1, np.nan, np.float32)}),
        lambda card, tensors: tensors.update({"module/head.bias": np.zeros(1)}),
    ],
)
def test_a_forged_checkpoint_is_named(gnn, X, y, tmp_path, change):
    fit = gnn(checkpoint_dir=tmp_path).fit(X, y)
    (path,) = tmp_path.iterdir()
    forged(path, change)
    with pytest.raises(ValueError, match=rf"{path} does not hold a checkpoint .*Delete the file"):
        fit.fit(X, y)


def test_a_checkpoint_that_leads_nowhere_is_named(gnn, X, y, tmp_path):
    fit = gnn(checkpoint_dir=tmp_path).fit(X, y)
    (path,) = tmp_path.iterdir()
    forged(path, lambda card, tensors: tensors.update({"module/head.bias": np.float32([3e38])}))
    fit.fit(X, y)  # finite
    forged(path, lambda card, tensors: tensors["module/head.weight"].fill(3e38))
    with pytest.raises(ValueError, match=rf"not finite.* went on from {path}: delete the file"):
        fit.fit(X, y)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (TypeError("must fit into JSON"), "must fit into JSON"),
    ],
)
def test_a_checkpoint_that_cannot_be_written_does_not_end_the_fit(
    make, X, y, tmp_path, monkeypatch, error, said, assert_same_weights
):
    def full(*args, **kwargs):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(_checkpoint, "write_safetensors", full)
        with pytest.warns(
            UserWarning, match=f"no checkpoint could be .*{said}.*the fit goes on"
        ) as w:
            fitted = make(checkpoint_dir=tmp_path).fit(X, y)
    assert len([one for one in w if "no checkpoint" in str(one.message)]) == 1  # of three epochs
    assert not list(tmp_path.iterdir())
    assert_same_weights(fitted, make().fit(X, y))


def test_checkpoints_are_not_written_all_the_time(make, X, y, tmp_path, monkeypatch):
    monkeypatch.setattr(_checkpoint, "SECONDS_BETWEEN", 1e6)
    written = []
    write = _checkpoint.Checkpoint._write
    monkeypatch.setattr(
        _checkpoint.Checkpoint, "_write", lambda self, net: (written.append(1), write(self, net))
    )
    make(checkpoint_dir=tmp_path).fit(X, y)
    assert len(written) == 1  # at the end, so that a search finds what it has done
    assert list(tmp_path.iterdir())


def test_checkpoints_change_nothing(make, X, y, tmp_path, assert_same_weights):
    assert_same_weights(make(checkpoint_dir=tmp_path).fit(X, y), make().fit(X, y))
