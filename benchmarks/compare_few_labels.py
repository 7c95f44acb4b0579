"""Errors of `crystal_pipeline` and of its parts, on rows of other formulas.

    python benchmarks/compare_few_labels.py --data ../shared/data --task gap --n 400

A network is pre-trained on other properties of other formulas than those of the labelled and of the
scored rows. Then the pipeline is fitted to the labels, once with this network and once without one.
The parts of a fitted pipeline are fitted to all labels, so one fit gives all errors.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from _common import read_materials_project
from _tasks import UNITS, read_task
from sklearn.metrics import mean_absolute_error

from skuae import CrystalGNNRegressor, crystal_pipeline, datasets

# What the network learns, by task: the property itself is not among it.
PRE_TRAINING = {
    "gap": ["formation_energy_per_atom_megnet2018", "efermi", "total_magnetization_per_atom"],
    "formation energy": ["band_gap_megnet2018", "efermi", "total_magnetization_per_atom"],
}


def pretrain(args, task, labelled):
    """Return a network that knows neither the property nor the formulas of the task."""
    _, labels = read_materials_project(args.data)
    y = labels[PRE_TRAINING[args.task]].to_numpy()
    formulas = datasets.formula_groups(task.crystals)
    taken = np.concatenate([labelled, task.scored])
    rows = task.pool[~np.isin(formulas[task.pool], formulas[taken])]
    rows = rows[~np.isnan(y[rows]).all(axis=1)]
    rows = np.random.default_rng(args.seed).permutation(rows)[: args.n_pretrain]
    network = CrystalGNNRegressor(
        embedding="ct-uae-mt", max_epochs=args.epochs, random_state=args.seed, verbose=1
    )
    return network.fit(task.crystals[rows], y[rows])


def main():
    """Fit, and print the errors."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--task", choices=PRE_TRAINING, default="gap")
    p.add_argument("--n", type=int, default=400, help="labels")
    p.add_argument("--n-scored", type=int, default=1000)
    p.add_argument("--n-pretrain", type=int, default=11_000)
    p.add_argument("--epochs", type=int, default=5, help="of pre-training")
    p.add_argument("--seed", type=int, default=0)
    args = p.parse_args()
    task = read_task(args.task, args.data)
    labelled = np.random.default_rng(args.seed).permutation(task.pool)[: args.n]
    scored = task.scored[: args.n_scored]
    network = pretrain(args, task, labelled)
    for model in (network, None):
        pipeline = crystal_pipeline("regressor", args.n, model=model, random_state=args.seed)
        start = time.process_time()
        pipeline.fit(task.crystals[labelled], task.y[labelled])
        seconds = time.process_time() - start
        X, y = task.crystals[scored], task.y[scored]
        print(f"{args.task}, {args.n} labels, seed {args.seed}: fitted in {seconds:.0f} CPU s")
        each = zip(pipeline.named_estimators_, pipeline.transform(X).T, strict=True)
        for (name, found), weight in zip(each, pipeline.final_estimator_.coef_, strict=True):
            print(f"  {name:8} {mean_absolute_error(y, found):.4f}   weight {weight:.2f}")
        print(f"  pipeline {mean_absolute_error(y, pipeline.predict(X)):.4f} {UNITS[args.task]}")


if __name__ == "__main__":
    main()
