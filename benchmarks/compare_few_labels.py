"""Errors of `crystal_pipeline` and of its parts, on rows of other formulas.

    python benchmarks/compare_few_labels.py --task gap --n 400
    python benchmarks/compare_few_labels.py --data ../shared/data --task gap --n 400

The first command takes the bundled crystals. A network is pre-trained on other properties of other
formulas than those of the labelled and of the scored rows. Then the pipeline is fitted to the
labels. Its parts are fitted to all labels, too, so one fit gives all errors.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from _common import read_materials_project
from _tasks import UNITS, Task, read_task
from sklearn.metrics import mean_absolute_error

from skuae import CrystalGNNRegressor, crystal_pipeline, datasets

OTHERS = ["efermi", "total_magnetization_per_atom"]
# What the network learns, by task: the property itself is not among it.
PRE_TRAINING = {
    "gap": ["formation_energy_per_atom_megnet2018", *OTHERS],
    "formation energy": ["band_gap_megnet2018", *OTHERS],
}
BUNDLED = {"gap": "band_gap", "formation energy": "formation_energy_per_atom"}


def read(args):
    """Return a task, and the labels that a network is pre-trained on."""
    if args.data is not None:
        _, labels = read_materials_project(args.data)
        return read_task(args.task, args.data), labels[PRE_TRAINING[args.task]].to_numpy()
    names = list(BUNDLED.values())
    data = datasets.load_mp_mini(target=names)
    column = names.index(BUNDLED[args.task])
    splits = datasets.FormulaKFold(4, random_state=args.seed).split(data.structures)
    pool, scored = next(splits)
    task = Task(data.structures, data.target[:, column], pool, scored)
    return task, data.target[:, [1 - column]]


def pretrain(args, task, labelled, y):
    """Return a network that knows neither the property nor the formulas of the task."""
    formulas = datasets.formula_groups(task.crystals)
    taken = np.concatenate([labelled, task.scored])
    rows = task.pool[~np.isin(formulas[task.pool], formulas[taken])]
    rows = rows[~np.isnan(y[rows]).all(axis=1)]
    rows = np.random.default_rng(args.seed).permutation(rows)[: args.n_pretrain]
    network = CrystalGNNRegressor(
        embedding="ct-uae-mt", max_epochs=args.epochs, random_state=args.seed
    )
    print(f"pre-training on {len(rows)} crystals", flush=True)
    return network.fit(task.crystals[rows], y[rows])


def main():
    """Fit, and print the errors."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--data", type=Path, help="the folder of data/MANIFEST.md")
    p.add_argument("--task", choices=PRE_TRAINING, default="gap")
    p.add_argument("--n", type=int, default=400, help="labels")
    p.add_argument("--n-scored", type=int, default=1000)
    p.add_argument("--n-pretrain", type=int, default=11_000)
    p.add_argument("--epochs", type=int, default=10, help="of pre-training")
    p.add_argument("--seed", type=int, default=0)
    args = p.parse_args()
    task, others = read(args)
    labelled = np.random.default_rng(args.seed).permutation(task.pool)[: args.n]
    scored = task.scored[: args.n_scored]
    network = pretrain(args, task, labelled, others)
    pipeline = crystal_pipeline("regressor", args.n, model=network, random_state=args.seed)
    start = time.process_time()
    pipeline.fit(task.crystals[labelled], task.y[labelled])
    seconds = time.process_time() - start
    X, y = task.crystals[scored], task.y[scored]
    print(f"{args.task}, {args.n} labels, seed {args.seed}: fitted in {seconds:.0f} CPU s")
    constant = np.abs(y - np.median(task.y[labelled])).mean()
    print(f"  median   {constant:.4f}")
    each = zip(pipeline.named_estimators_, pipeline.transform(X).T, strict=True)
    for (name, found), weight in zip(each, pipeline.final_estimator_.coef_, strict=True):
        print(f"  {name:8} {mean_absolute_error(y, found):.4f}   weight {weight:.2f}")
    error = mean_absolute_error(y, pipeline.predict(X))
    print(f"  pipeline {error:.4f} {UNITS[args.task]}", flush=True)


if __name__ == "__main__":
    main()
