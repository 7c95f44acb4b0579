"""Fits that are made in one process and by two ranks, to be compared.

As a script, `torchrun fits_on_ranks.py FOLDER NAME ...` makes them and writes what each rank found
to `FOLDER/NAME-RANK.json`.
"""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from pymatgen.core import Lattice, Structure
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback
from small_backbones import SMALL

from skuae import CrystalGNNClassifier, CrystalGNNRegressor, CrystalTransformerRegressor
from skuae.datasets import make_toy_crystals, open_shards, write_shards
from skuae.potentials import CrystalPotential
from skuae.pretraining import pretrain
from skuae.training import _checkpoint

RANK = int(os.environ.get("RANK", "0"))
TOY = make_toy_crystals(24, prototypes=("rocksalt", "perovskite"), random_state=0)
X, Y = TOY.structures, np.stack([TOY.target, TOY.target**2], axis=1)
Y[[3, 4, 11], 0] = Y[[4, 17], 1] = np.nan  # of 23 rows, batches have 7 or 8


class Regressor(CrystalGNNRegressor):
    _dtype = torch.float64  # in which rounding does not grow, as Adam makes it do in float32


class Classifier(CrystalGNNClassifier):
    _dtype = torch.float64


class FrontEnd(CrystalTransformerRegressor):
    _dtype = torch.float64


class AtEnd(Callback):
    """Does something at the end of the second epoch, in the ranks of a list."""

    def __init__(self, ranks, act):
        self.ranks, self.act = ranks, act

    def on_epoch_end(self, net, **kwargs):
        if RANK in self.ranks and len(net.history) == 2:
            self.act()


class Count(Callback):
    def __init__(self):
        self.epochs = []

    def on_epoch_begin(self, net, **kwargs):
        self.epochs.append(len(net.history))


def stop():
    raise KeyboardInterrupt


def fail():
    raise ArithmeticError("the second epoch is cursed")


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def gnn(kind=Regressor, backbone=SMALL["cgcnn"], **params):
    fixed = {"max_epochs": 3, "batch_size": 8, "lr": 0.01, "device": "cpu", "random_state": 0}
    return kind(backbone, **{**fixed, **params})


def front_end(**params):
    small = {"d_model": 8, "n_layers": 1, "n_heads": 2, "dim_feedforward": 8, "max_epochs": 3}
    fixed = {"batch_size": 8, "device": "cpu", "random_state": 0, "on_missing_element": "mean"}
    return FrontEnd(**{**small, **fixed, **params})


def cubes(*lengths):
    """Crystals of one atom; those with a cell of 9 Å have no bonds."""
    symbols = ("Na", "K", "Fe", "Cu", "Al", "Si")
    return [
        Structure(Lattice.cubic(length), [symbols[i % 6]], [[0, 0, 0]])
        for i, length in enumerate(lengths)
    ]


def lone(backbone, batch_size):
    """Fit on bonds that are in the part of one rank, or in one of two batches.

    With this seed, one of the two batches has no bonds in the second and in the third epoch.
    """
    crystals = cubes(9, 9, 3.2, 9, 9, 3.5)
    model = gnn(backbone=backbone, batch_size=batch_size, random_state=3)
    return found(model.fit(crystals, range(6)), crystals)


def found(model, crystals=X):
    return {
        "losses": [epoch["train_loss"] for epoch in model.history_],
        "tried": [[tried["epochs"], tried["error"]] for tried in model.epochs_tried_],
        "predicted": model.predict(crystals[:6]).tolist(),
        "weights": {k: v.tolist() for k, v in model.net_.module_.state_dict().items()},
        "bar": "progress" in dict(model.net_.callbacks_),
    }


def of_backbone(name):
    params = {"dropout": 0.0, "augment": False, "noise": 0.0}
    backbone = SMALL[name]
    known = backbone.get_params()
    backbone = type(backbone)(**{**backbone.get_params(deep=False),
                                 **{k: v for k, v in params.items() if k in known}})  # fmt: skip
    return found(gnn(backbone=backbone).fit(X, Y))


def by_sgd(backbone):
    return found(gnn(backbone=backbone, optimizer="sgd").fit(X, Y))


def classes(folder):
    names = TOY.labels["prototype"].to_numpy()
    model = gnn(Classifier).fit(X, names, sample_weight=np.arange(24) % 5)
    return {**found(model), "predicted": model.predict_proba(X).tolist()}


def learned(folder):
    """Fit a front-end within a fit, whose coordinates forbid to merge sites."""
    inner = front_end(dropout=0.0, augment=False)
    return found(gnn(embedding=inner, coords=True).fit(X, Y[:, 1]))


def random_draws(folder):
    """Fit with dropout and turned crystals, and without a seed."""
    return found(front_end(dropout=0.5, random_state=None, verbose=1).fit(X, Y))


def searched(folder):
    search = GridSearchCV(gnn(), {"lr": [0.001, 0.01]}, cv=3).fit(X, TOY.target)
    return {"scores": search.cv_results_["mean_test_score"].tolist(),
            **found(search.best_estimator_)}  # fmt: skip


def in_workers(folder):
    search = GridSearchCV(gnn(), {"lr": [0.001, 0.01]}, cv=2, n_jobs=2)
    try:
        search.fit(X, TOY.target)
    except ValueError as error:
        return {"error": str(error)}


def resumed(folder):
    """Fit twice: the first fit fails in all ranks, after the checkpoint of the first epoch."""
    _checkpoint.SECONDS_BETWEEN, before = 0.0, _checkpoint.SECONDS_BETWEEN
    params = {"checkpoint_dir": folder / "checkpoints", "max_epochs": 5}
    try:
        gnn(**params, callbacks=[AtEnd([0, 1], fail)]).fit(X, Y)
    except ArithmeticError:
        files = [path.name for path in (folder / "checkpoints").iterdir()]
        count = Count()
        again = found(gnn(**params, callbacks=[count]).fit(X, Y))
        whole = found(gnn(max_epochs=5).fit(X, Y))["weights"]
        return {**again, "files": files, "epochs": count.epochs, "whole": whole}
    finally:
        _checkpoint.SECONDS_BETWEEN = before


def caught(fit):
    """Return the error of a fit, and what the next one finds."""
    try:
        fit()
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}", **found(gnn().fit(X, Y))}


def pretrained(folder):
    """Learn a table; the folder is looked at by the rank that writes it."""
    y = pd.DataFrame({"one": TOY.target})
    small = CrystalTransformerRegressor(**front_end().get_params(deep=False))
    run = pretrain(X, y, folder / "table", front_end=small, units={"one": "eV"}, verbose=0)
    files = sorted(path.name for path in run.folder.iterdir()) if RANK == 0 else []
    return {"table": run.table.values.tolist(), "files": files}


def on_shards(folder):
    """Fit on three shards, of which two are in memory at a time; rank 0 writes them."""
    path = folder / "shards"
    if RANK == 0:
        write_shards(X, TOY.target, path, shard_size=8)
    while not (path / "done").exists() and RANK:
        pass
    (path / "done").touch()
    shards = open_shards(path, buffer=16)
    return found(gnn(batch_size=4).fit(shards, shards.target))


FITS = {
    **{name: lambda _, name=name: of_backbone(name) for name in SMALL},
    "cgcnn by sgd": lambda _: by_sgd(SMALL["cgcnn"]),
    "alignn by sgd": lambda _: by_sgd(SMALL["alignn"]),
    "one rank without bonds": lambda _: lone(SMALL["cgcnn"], 6),
    "a batch without bonds": lambda _: lone(SMALL["cgcnn"], 3),
    "one rank without angles": lambda _: lone(SMALL["alignn"], 6),
    "a batch without angles": lambda _: lone(SMALL["alignn"], 3),
    "likelihood": lambda _: found(gnn(loss="gaussian_nll").fit(X, Y)),
    "classes": classes,
    "learned": learned,
    "stops early": lambda _: found(gnn(early_stopping=True, max_epochs=8).fit(X, Y)),
    "searched": searched,
    "on shards": on_shards,
}  # the same in one process
OTHERS = {
    "random draws": random_draws,
    "resumed": resumed,
    "pretrained": pretrained,
    "stopped": lambda _: found(gnn(callbacks=[AtEnd([0], stop)]).fit(X, Y)),
    "stopped by rank 1": lambda _: found(gnn(callbacks=[AtEnd([1], stop)]).fit(X, Y)),
    "failed": lambda _: caught(lambda: gnn(callbacks=[AtEnd([1], fail)]).fit(X, Y)),
    "other rows": lambda _: caught(lambda: gnn().fit(X, Y[:: 1 - 2 * RANK])),
    "potential": lambda _: caught(lambda: CrystalPotential().fit(X, None)),
    "in workers": in_workers,
    "died": lambda _: found(gnn(callbacks=[AtEnd([1], die)]).fit(X, Y)),
    "not caught": lambda _: found(gnn(callbacks=[AtEnd([1], fail)]).fit(X, Y)),
}


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    for name in sys.argv[2:]:
        result = {**FITS, **OTHERS}[name](folder)
        (folder / f"{name}-{RANK}.json").write_text(json.dumps(result))
