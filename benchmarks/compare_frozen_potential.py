"""Errors of models on features of a frozen interatomic potential, as in compare_few_labels.py.

    python benchmarks/compare_frozen_potential.py --data ../shared/data --n 400

CHGNet 0.3.0 (`pip install "skuae[chgnet]"`) was trained on energies of nearly all crystals of the
Materials Project, the scored ones among them. So the errors of formation energies of that project
say nothing of new crystals. The labelled and scored rows are those of compare_few_labels.py, and
the errors are added to its CSV file: of the Gaussian process of `crystal_pipeline` and of CatBoost,
on means, deviations and extremes of the features of atoms. What is there is not repeated. Times are
CPU times, with the features of the labelled crystals.
"""

import argparse
import csv
import time
from pathlib import Path

import numpy as np
import torch
from catboost import CatBoostRegressor
from compare_few_labels import _CLASSES, DOCS, UNITS, read_task
from sklearn.metrics import mean_absolute_error

from skuae.featurizers import PotentialTransformer
from skuae.pipelines import ActivationGPRegressor

POTENTIAL = "chgnet-0.3.0"


def models_of(seed):
    """Return a model by its name in the tables."""
    return {
        "GP, CHGNet": ActivationGPRegressor(random_state=seed),
        "CatBoost, CHGNet": CatBoostRegressor(
            random_seed=seed, silent=True, thread_count=1, allow_writing_files=False
        ),
    }


def run(name, args):
    """Yield the keys of each fit, its error, and the CPU time of features and fit."""
    crystals, y, pool, scored = read_task(name, args.data)
    train = {seed: np.random.default_rng(seed).permutation(pool)[: args.n] for seed in args.seeds}
    rows = np.unique(np.concatenate([scored, *train.values()]))
    start = time.process_time()
    X = PotentialTransformer(POTENTIAL, device="cpu", verbose=1).fit_transform(crystals[rows])
    spent = (time.process_time() - start) * args.n / len(rows)
    X_scored = X[np.searchsorted(rows, scored)]
    for seed, labelled in train.items():
        X_train = X[np.searchsorted(rows, labelled)]
        for model, regressor in models_of(seed).items():
            start = time.process_time()
            found = regressor.fit(X_train, y[labelled]).predict(X_scored)
            seconds = time.process_time() - start + spent
            yield (name, args.n, seed, model), mean_absolute_error(y[scored], found), seconds


def main():
    """Run the tasks that are not in the file."""
    tasks = [name for name in UNITS if name not in _CLASSES]
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--tasks", nargs="+", default=tasks, choices=tasks)
    p.add_argument("--n", type=int, default=400, help="labels")
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    p.add_argument("--output", type=Path, default=DOCS / "compare_few_labels.csv")
    args = p.parse_args()
    torch.set_num_threads(1)
    for name in args.tasks:
        with args.output.open(newline="") as file:
            done = [row[:4] for row in csv.reader(file)]
        if [name, str(args.n), str(args.seeds[-1]), list(models_of(0))[-1]] in done:
            continue
        found = run(name, args)
        rows = [[*key, f"{error:.5g}", round(seconds, 1)] for key, error, seconds in found]
        with args.output.open("a", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
        print(*rows, sep="\n", flush=True)


if __name__ == "__main__":
    main()
