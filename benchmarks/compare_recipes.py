"""Errors of recipes of training on six tasks, on rows of other formulas.

    python benchmarks/compare_recipes.py --data ../shared/data --n 400
    python benchmarks/compare_recipes.py --data ../shared/data --n 3000 --recipes "100 epochs" huber
    python benchmarks/compare_recipes.py --report

Each recipe changes one or two parameters of `CrystalGNNRegressor` or `CrystalGNNClassifier`; all
else is at its default, with the table ct-uae-mt, and 100 epochs. The seed draws the training rows,
the weights and the order. Runs that are done are kept in `docs/compare_recipes.csv`. `--report`
prints the change of the error against the first recipe, its geometric mean over seeds.
"""

import argparse
import csv
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _tasks import UNITS, read_task
from sklearn.metrics import accuracy_score, log_loss, mean_absolute_error
from skorch.callbacks import Callback

from skuae import CrystalGNNClassifier, CrystalGNNRegressor, models
from skuae.embedding import join_tables

DOCS = Path(__file__).parents[1] / "docs"
KEYS = ["backbone", "n_train", "task", "recipe", "seed"]
COLUMNS = [*KEYS, "n_epochs", "error", "accuracy", "fit_s"]


class MeanWeights(Callback):
    """End a training with a mean of the weights along its steps.

    Parameters
    ----------
    decay : float or None
        Of an exponential mean, corrected for its start; None for the mean of the last quarter.
    """

    def __init__(self, decay):
        self.decay = decay

    def on_train_begin(self, net, **kwargs):
        """Forget the mean of an earlier training."""
        self.mean_, self.n_ = None, 0

    def on_batch_end(self, net, **kwargs):
        """Take in the weights of a step."""
        if self.decay is None and net.step_ <= 0.75 * net.n_steps_:
            return
        self.n_ += 1
        share = 1 / self.n_
        if self.decay is not None:
            share = (1 - self.decay) / (1 - self.decay**self.n_)
        state = net.module_.state_dict()
        weights = {name: v for name, v in state.items() if v.is_floating_point()}
        if self.mean_ is None:
            self.mean_ = {name: v.clone() for name, v in weights.items()}
        for name, v in weights.items():
            self.mean_[name].lerp_(v, share)

    def on_train_end(self, net, **kwargs):
        """Put the mean in place; the statistics of batch norms are taken afterwards."""
        net.module_.load_state_dict(self.mean_, strict=False)


JOINED = {"embedding": join_tables(["ct-uae-mt", "onehot"], name="ct-uae-mt+onehot")}
EPOCHS = {f"{n} epochs": {"max_epochs": n} for n in (7, 13, 25, 50, 200)}
RECIPES = {
    "100 epochs": {},
    **EPOCHS,
    "early stopping": {"early_stopping": True},
    "early stopping, no refit": {"early_stopping": True, "refit": False},
    "absolute error": {"loss": "absolute_error"},
    "huber": {"loss": "huber"},
    "batches of 32": {"batch_size": 32},
    "batches of 128": {"batch_size": 128},
    "half the rate": {"lr_factor": 0.5},
    "twice the rate": {"lr_factor": 2.0},
    "weight decay 0.01": {"weight_decay": 1e-2},
    "weight decay 0.1": {"weight_decay": 1e-1},
    "table at the full rate": {"embedding_lr_ratio": 1.0},
    "table joined with one-hot": JOINED | {"embedding_lr_ratio": 1.0},
    "mean of weights, 0.99": {"callbacks": [MeanWeights(0.99)]},
    "mean of weights, 0.999": {"callbacks": [MeanWeights(0.999)]},
    "mean of weights, last quarter": {"callbacks": [MeanWeights(None)]},
    "absolute error, batches of 32": {"loss": "absolute_error", "batch_size": 32},
    "absolute error, 200 epochs": {"loss": "absolute_error", "max_epochs": 200},
}


def model_of(task, backbone, recipe, seed):
    """Return the estimator of a recipe."""
    params = {"embedding": "ct-uae-mt", "random_state": seed, "early_stopping": False}
    params |= RECIPES[recipe]
    factor = params.pop("lr_factor", None)
    if factor is not None:
        params["lr"] = factor * models.resolve_backbone(backbone).default_lr
    if not task.is_classification:
        return CrystalGNNRegressor(backbone, **params)
    params.pop("loss", None)
    return CrystalGNNClassifier(backbone, **params)


def run(task, backbone, recipe, n_train, seed):
    """Fit once; return what goes behind the keys of a row."""
    rows = np.random.default_rng(seed).permutation(task.pool)[:n_train]
    model = model_of(task, backbone, recipe, seed)
    start = time.process_time()
    model.fit(task.crystals[rows], task.y[rows])
    seconds = round(time.process_time() - start, 1)
    X, y = task.crystals[task.scored], task.y[task.scored]
    accuracy = ""
    if task.is_classification:
        error = log_loss(y, model.predict_proba(X), labels=model.classes_)
        accuracy = round(accuracy_score(y, model.predict(X)), 4)
    else:
        error = mean_absolute_error(y, model.predict(X))
    return [model.n_iter_, float(f"{error:.5g}"), accuracy, seconds]


def report(results, backbone, n_train, first):
    """Print errors of the first recipe, and the changes of the others in percent."""
    rows = results[(results["backbone"] == backbone) & (results["n_train"] == n_train)]
    table = rows.pivot_table(index=["task", "seed"], columns="recipe", values="error")
    change = np.log(table.div(table[first], axis=0)).groupby("task").mean()
    shown = (100 * np.expm1(change)).T
    shown["mean"] = shown[[name for name in shown if name != "metal"]].mean(axis=1)
    shown["CPU s"] = rows.groupby("recipe")["fit_s"].mean()
    shown["epochs"] = rows.groupby("recipe")["n_epochs"].mean()
    print(f"\n{backbone}, {n_train} labels: change of the error in percent")
    print(shown.round(1).to_string())
    print(table[first].groupby("task").agg(["mean", "std", "count"]).round(4).to_string())


def report_epochs(results, backbone, n_train):
    """Print errors of fixed numbers of epochs and of early stopping, means over seeds."""
    rows = results[(results["backbone"] == backbone) & (results["n_train"] == n_train)]
    means = rows.groupby(["task", "recipe"])[["error", "n_epochs", "fit_s"]].mean().unstack()
    fixed = means["error"][[name for name in ["100 epochs", *EPOCHS] if name in means["error"]]]
    early = means.xs("early stopping", axis=1, level="recipe")
    table = pd.DataFrame({
        "100 epochs": fixed["100 epochs"],
        "best fixed": fixed.min(axis=1),
        "its epochs": fixed.idxmin(axis=1),
        "early stopping": early["error"],
        "its mean epochs": early["n_epochs"].round(),
        "against best, %": (100 * (early["error"] / fixed.min(axis=1) - 1)).round(1),
        "CPU time against 100": (early["fit_s"] / means["fit_s"]["100 epochs"]).round(1),
    })  # fmt: skip
    print(f"\n{backbone}, {n_train} labels, {rows['seed'].nunique()} seeds")
    print(table.to_string(float_format="{:.4g}".format))


def main():
    """Run what is missing, or report."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--data", type=Path)
    p.add_argument("--tasks", nargs="+", default=list(UNITS), choices=UNITS)
    p.add_argument("--recipes", nargs="+", default=list(RECIPES), choices=RECIPES)
    p.add_argument("--backbone", default="cgcnn", help="cgcnn, gated_gcn, cogn, megnet, alignn")
    p.add_argument("--n", type=int, default=400, help="training rows")
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--output", type=Path, default=DOCS / "compare_recipes.csv")
    p.add_argument("--report", action="store_true")
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    if args.report:
        results = pd.read_csv(args.output)
        for backbone, n_train in results[["backbone", "n_train"]].drop_duplicates().to_numpy():
            report(results, backbone, n_train, args.recipes[0])
            if "early stopping" in set(results["recipe"]):
                report_epochs(results, backbone, n_train)
        return
    if not args.output.exists():
        args.output.write_text(",".join(COLUMNS) + "\n")
    for seed in args.seeds:
        for name in args.tasks:
            for recipe in args.recipes:
                key = [args.backbone, args.n, name, recipe, seed]
                done = pd.read_csv(args.output)[KEYS].astype(str)
                if (done == [str(part) for part in key]).all(axis=1).any():
                    continue
                row = [*key, *run(read_task(name, args.data), args.backbone, recipe, args.n, seed)]
                with args.output.open("a", newline="") as file:
                    csv.writer(file, lineterminator="\n").writerow(row)
                print(*row, flush=True)


if __name__ == "__main__":
    main()
