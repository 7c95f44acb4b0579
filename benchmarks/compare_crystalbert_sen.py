"""CrystalBERT and SEN beside the networks they compete with, and beside controls without one.

    python benchmarks/compare_crystalbert_sen.py --data ../shared/data --n 3000
    python benchmarks/compare_crystalbert_sen.py --data ../shared/data --validation --tasks topology
    python benchmarks/compare_crystalbert_sen.py --report

Training and scored rows have no formula in common. The seed draws the training rows, the weights
and the order. Runs that are done are kept in `--output`. `--validation` scores rows that the tables
do not score: what is chosen, is chosen there.
"""

import argparse
import csv
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _symmetry_tasks import UNITS, symmetry_task, validation_task
from catboost import CatBoostClassifier, CatBoostRegressor
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.metrics import accuracy_score, f1_score, log_loss, mean_absolute_error

from skuae import CrystalGNNClassifier, CrystalGNNRegressor, UAETransformer, models
from skuae.crystals import space_group_names

DOCS = Path(__file__).parents[1] / "docs"
KEYS = ["n_train", "task", "model", "seed"]
COLUMNS = [*KEYS, "n_epochs", "error", "accuracy", "macro_f1", "fit_s"]
SMALL = {"d_model": 128, "n_layers": 3, "d_ff": 512}
TOKENS = ("space_group", "electrons", "elements", "gnn")
WORDS = ["symbol", "point_group", "crystal_system", "laue_class", "symmetry_class"]


def bert(embedding=None, **params):
    """Return the parameters of an estimator with a small CrystalBERT."""
    return {"backbone": models.CrystalBERT(**{**SMALL, **params}), "embedding": embedding}


def without(token):
    """Return all tokens but one kind."""
    return tuple(kind for kind in TOKENS if kind != token)


NETWORKS = {
    "CGCNN": {"backbone": "cgcnn"},
    "CGCNN, ct-uae-mt": {"backbone": "cgcnn", "embedding": "ct-uae-mt"},
    "MEGNet": {"backbone": "megnet"},
    "CrystalBERT small": bert(),
    "CrystalBERT small, ct-uae-mt": bert("ct-uae-mt"),
    "CrystalBERT small, softmax": bert(softmax_tokens=True),
    "CrystalBERT small, no transformer": bert(n_layers=0),
    **{f"CrystalBERT small, no {kind}": bert(tokens=without(kind)) for kind in TOKENS},
    "CrystalBERT full": {"backbone": "crystalbert"},
    **{
        f"SEN, {pose}{table and ', '}{table}": {
            "backbone": models.SEN(pose=pose),
            "embedding": table or None,
        }
        for pose in ("affine", "tensor")
        for table in ("", "ct-uae-mt")
    },
}
CONTROLS = ("constant", "CatBoost, magpie", "CatBoost, magpie + words + bits")


def features_of(crystals, name):
    """Return descriptors of crystals, and which columns of them are categories."""
    pools = pd.DataFrame(np.asarray(UAETransformer("magpie").fit_transform(crystals)))
    if "words" not in name:
        return pools, []
    groups = crystals.symmetry().space_groups
    for word in WORDS:
        pools[word] = space_group_names()[word][groups - 1]
    digits = models.CrystalBERT(tokens=("electrons", "elements")).inputs(crystals)
    bits = pd.DataFrame(digits.columns["electrons"]).add_prefix("bit ")
    return pd.concat([pools, bits], axis=1).rename(columns=str), WORDS


def fit_control(name, task, rows, seed):
    """Return outputs for the scored rows of a model without a network."""
    if name == "constant":
        dummy = DummyClassifier() if task.is_classification else DummyRegressor(strategy="median")
        model = dummy.fit(rows, task.y[rows])
        return model, task.scored
    X, categories = features_of(task.crystals, name)
    kind = CatBoostClassifier if task.is_classification else CatBoostRegressor
    options = {"allow_writing_files": False}
    options |= {} if task.is_classification else {"loss_function": "MAE"}
    model = kind(silent=True, thread_count=1, random_seed=seed, cat_features=categories, **options)
    return model.fit(X.iloc[rows], task.y[rows]), X.iloc[task.scored]


def fit_network(name, task, rows, seed, epochs):
    """Return a fitted network, and what it is to predict."""
    kind = CrystalGNNClassifier if task.is_classification else CrystalGNNRegressor
    params = {} if task.is_classification else {"loss": "absolute_error"}
    model = kind(max_epochs=epochs, random_state=seed, **params).set_params(**NETWORKS[name])
    return model.fit(task.crystals[rows], task.y[rows]), task.crystals[task.scored]


def run(task, name, n_train, seed, epochs):
    """Fit once; return what goes behind the keys of a row."""
    rows = np.random.default_rng(seed).permutation(task.pool)[: n_train or None]
    start = time.process_time()
    if name in CONTROLS:
        model, X = fit_control(name, task, rows, seed)
    else:
        model, X = fit_network(name, task, rows, seed, epochs)
    seconds = round(time.process_time() - start, 1)
    y, accuracy, macro = task.y[task.scored], "", ""
    if task.is_classification:
        error = log_loss(y, model.predict_proba(X), labels=model.classes_)
        predicted = np.ravel(model.predict(X))
        accuracy = round(accuracy_score(y, predicted), 4)
        macro = round(f1_score(y, predicted, average="macro"), 4)
    else:
        error = mean_absolute_error(y, model.predict(X))
    return [getattr(model, "n_iter_", ""), float(f"{error:.5g}"), accuracy, macro, seconds]


def report(results):
    """Print means over seeds and the spread, a table per number of labels."""
    for n_train, part in results.groupby("n_train"):
        for task, rows in part.groupby("task"):
            score = "accuracy" if rows["accuracy"].notna().any() else "error"
            wide = rows.pivot_table(index="seed", columns="model", values=score)
            table = pd.DataFrame({"mean": wide.mean(), "std": wide.std(), "seeds": wide.count()})
            if "CGCNN" in wide:
                paired = wide.sub(wide["CGCNN"], axis=0)
                table["minus CGCNN"] = paired.mean()
                table["std of difference"] = paired.std()
            table["CPU s"] = rows.groupby("model")["fit_s"].mean()
            print(f"\n{task}, {n_train or 'all'} labels, {score}")
            print(table.sort_values("mean").round(4).to_string())


def main():
    """Run what is missing, or report."""
    names = [*CONTROLS, *NETWORKS]
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--data", type=Path)
    p.add_argument("--tasks", nargs="+", default=list(UNITS), choices=UNITS)
    p.add_argument("--models", nargs="+", default=names, choices=names)
    p.add_argument("--n", type=int, default=3000, help="training rows; 0 for all")
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    p.add_argument("--epochs", type=int, default=50, help="of networks; classifiers stop early")
    p.add_argument("--validation", action="store_true")
    p.add_argument("--symmetry", type=Path, default=Path("symmetry"), help="kept once found")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--output", type=Path, default=DOCS / "compare_crystalbert_sen.csv")
    p.add_argument("--report", action="store_true")
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    if args.report:
        report(pd.read_csv(args.output))
        return
    if not args.output.exists():
        args.output.write_text(",".join(COLUMNS) + "\n")
    for seed in args.seeds:
        for name in args.tasks:
            for model in args.models:
                key = [args.n, name, model, seed]
                done = pd.read_csv(args.output)[KEYS].astype(str)
                if (done == [str(part) for part in key]).all(axis=1).any():
                    continue
                task = symmetry_task(name, args.data, args.symmetry)
                task = validation_task(task) if args.validation else task
                row = [*key, *run(task, model, args.n, seed, args.epochs)]
                with args.output.open("a", newline="") as file:
                    csv.writer(file, lineterminator="\n").writerow(row)
                print(*row, flush=True)


if __name__ == "__main__":
    main()
