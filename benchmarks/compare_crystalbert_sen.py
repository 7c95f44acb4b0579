"""CrystalBERT and SEN beside the networks they compete with, and beside controls without one.

    python benchmarks/compare_crystalbert_sen.py --data ../shared/data --n 3000
    python benchmarks/compare_crystalbert_sen.py --data ../shared/data --validation --tasks topology
    python benchmarks/compare_crystalbert_sen.py --data ../shared/data --report

Training and scored rows have no formula in common. The seed draws the training rows, the weights
and the order. Runs that are done are kept in `--output`, and their predictions, which the report
needs, in `--predictions`. `--validation` scores rows that the tables do not score: what is chosen,
is chosen there.
"""

import argparse
import csv
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _symmetry_tasks import UNITS, symmetry_task, validation_task
from catboost import CatBoostClassifier, CatBoostRegressor
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.metrics import accuracy_score, f1_score, log_loss, mean_absolute_error

from skuae import CrystalGNNClassifier, CrystalGNNRegressor, UAETransformer, datasets, models
from skuae.crystals import space_group_names
from skuae.embedding import ElementTable, join_tables

DOCS = Path(__file__).parents[1] / "docs"
KEYS = ["n_train", "task", "model", "seed"]
COLUMNS = [*KEYS, "n_epochs", "error", "accuracy", "macro_f1", "fit_s"]
SMALL = {"d_model": 128, "n_layers": 3, "d_ff": 512}
SIZES = {"small": models.CrystalBERT(**SMALL), "full": models.CrystalBERT()}
TOKENS = ("space_group", "electrons", "elements", "gnn")
TABLE = "ct-uae-mt"  # learned by pretrain_crystalbert.py without the scored formulas
PRETRAINED = {"CrystalBERT small, pre-trained": "small", "CrystalBERT full, pre-trained": "full"}
WORDS = ["symbol", "point_group", "crystal_system", "laue_class", "symmetry_class"]


def bert(embedding=None, **params):
    """Return the parameters of an estimator with a small CrystalBERT."""
    return {"backbone": models.CrystalBERT(**{**SMALL, **params}), "embedding": embedding}


def without(token):
    """Return all tokens but one kind."""
    return tuple(kind for kind in TOKENS if kind != token)


class BlindSEN(models.SEN):
    """SEN with tensors whose bonds point nowhere: a control of what directions are worth."""

    def inputs(self, crystals, *, merge=True):
        """Return what the network reads, each bond in all directions at once."""
        inputs = super().inputs(crystals, merge=merge)
        nowhere = np.tile([1 / 3, 0, 0, 1 / 3, 0, 1 / 3], (len(inputs.graphs.neighbors), 1))
        return replace(inputs, graphs=replace(inputs.graphs, moments=nowhere))


NETWORKS = {
    "CGCNN": {"backbone": "cgcnn"},
    "CGCNN, ct-uae-mt": {"backbone": "cgcnn", "embedding": "ct-uae-mt"},
    "MEGNet": {"backbone": "megnet"},
    "CrystalBERT small": bert(),
    "CrystalBERT small, ct-uae-mt": bert("ct-uae-mt"),
    "CrystalBERT small, magpie": bert("magpie"),
    "CrystalBERT small, ct-uae-mt + magpie": bert("ct-uae-mt + magpie"),
    "CrystalBERT small, softmax": bert(softmax_tokens=True),
    "CrystalBERT small, no transformer": bert(n_layers=0),
    **{f"CrystalBERT small, no {kind}": bert(tokens=without(kind)) for kind in TOKENS},
    "CrystalBERT full": {"backbone": "crystalbert"},
    "CrystalBERT full, ct-uae-mt": {"backbone": "crystalbert", "embedding": "ct-uae-mt"},
    "CrystalBERT full, ct-uae-mt + magpie": {
        "backbone": "crystalbert",
        "embedding": "ct-uae-mt + magpie",
    },
    **{
        f"SEN, {pose}{table and ', '}{table}": {
            "backbone": models.SEN(pose=pose),
            "embedding": table or None,
        }
        for pose in ("affine", "tensor")
        for table in ("", "ct-uae-mt")
    },
    "SEN, tensor, no directions": {"backbone": BlindSEN(pose="tensor")},
    **{name: {"backbone": SIZES[size]} for name, size in PRETRAINED.items()},
}
CONTROLS = ("constant", "CatBoost, magpie", "CatBoost, magpie + words + bits")


def read(name, args):
    """Return a task with the rows that are to be scored."""
    task = symmetry_task(name, args.data, args.symmetry)
    return validation_task(task) if args.validation else task


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


def fit_network(name, task, rows, seed, args):
    """Return a fitted network, and what it is to predict."""
    kind = CrystalGNNClassifier if task.is_classification else CrystalGNNRegressor
    params = {} if task.is_classification else {"loss": "absolute_error"}
    params |= NETWORKS[name]
    if name in PRETRAINED:
        params["init_from"] = args.pretrained / PRETRAINED[name]
    elif TABLE in (params.get("embedding") or ""):
        params["embedding"] = table_of(params["embedding"], args.pretrained)
    model = kind(max_epochs=args.epochs, random_state=seed, **params)
    return model.fit(task.crystals[rows], task.y[rows]), task.crystals[task.scored]


def table_of(name, folder):
    """Return the table of pretrain_crystalbert.py, alone or with magpie."""
    table = ElementTable.load(folder / f"{TABLE}.safetensors")
    return table if name == TABLE else join_tables([table, "magpie"], name=name)


def run(task, name, n_train, seed, args):
    """Fit once; return what goes behind the keys of a row, and the predictions."""
    rows = np.random.default_rng(seed).permutation(task.pool)[: n_train or None]
    start = time.process_time()
    if name in CONTROLS:
        model, X = fit_control(name, task, rows, seed)
    else:
        model, X = fit_network(name, task, rows, seed, args)
    seconds = round(time.process_time() - start, 1)
    y, accuracy, macro = task.y[task.scored], "", ""
    predicted = np.ravel(model.predict(X)).astype(y.dtype)
    if task.is_classification:
        error = log_loss(y, model.predict_proba(X), labels=model.classes_)
        accuracy = round(accuracy_score(y, predicted), 4)
        macro = round(f1_score(y, predicted, average="macro"), 4)
    else:
        error = mean_absolute_error(y, predicted)
    row = [getattr(model, "n_iter_", ""), float(f"{error:.5g}"), accuracy, macro, seconds]
    return row, predicted


def _is_there(model, folder):
    """Tell whether what the model starts from is there."""
    needed = PRETRAINED.get(model, f"{TABLE}.safetensors" if TABLE in model else "")
    return not needed or (folder is not None and (folder / needed).exists())


def file_name(n_train, task, model, seed):
    """Return the name of the file of the predictions of a run."""
    return f"{n_train} {task} {model} {seed}.npy"


def report(args):
    """Print a Markdown table per task and number of labels."""
    results, ref = pd.read_csv(args.output), args.reference
    for (task, n_train), rows in results.groupby(["task", "n_train"], sort=False):
        known = read(task, args)
        errors = _errors(known, rows, args.predictions)
        groups = np.unique(
            datasets.formula_groups(known.crystals[known.scored]), return_inverse=True
        )
        if known.is_classification:
            columns, scale, digits = ["accuracy", "macro_f1", "error"], -100, 1
            print(f"\n{task}, {n_train or 'all'} labels, {len(groups[1])} crystals\n")
            print(f"| model | accuracy, % | minus {ref} | macro F1, % | log-loss | CPU s |")
        else:
            columns, scale, digits = ["error"], 1, 3
            print(f"\n{task}, {n_train or 'all'} labels, {len(groups[1])} crystals\n")
            print(f"| model | MAE ({UNITS[task]}) | minus {ref} | the same in % | CPU s |")
        print("|" + "---|" * 5 + "---|" * known.is_classification)
        order = rows.groupby("model")[columns[0]].mean().sort_values(ascending=scale > 0)
        for model in order.index:
            part = rows[rows["model"] == model]
            factors = [abs(scale) if column != "error" else 1 for column in columns]
            cells = [
                f"{part[c].mean() * f:.{digits if f > 1 or scale > 0 else 3}f}"
                + (f" ± {part[c].std() * f:.{digits if f > 1 else 3}f}" if len(part) > 1 else "")
                for c, f in zip(columns, factors, strict=True)
            ]
            cells.insert(1, _interval(errors, model, ref, groups[1], scale, digits))
            if not known.is_classification:
                cells.append(_interval(errors, model, ref, groups[1], None, 1))
            print("|", " | ".join([model, *cells, f"{part['fit_s'].mean():.0f}"]), "|")


def _errors(task, rows, folder):
    """Return what each scored row adds to the error, by model and seed."""
    y, errors = task.y[task.scored], {}
    for n_train, name, model, seed in rows[KEYS].itertuples(index=False):
        predicted = np.load(folder / file_name(n_train, name, model, seed))
        wrong = predicted != y if task.is_classification else np.abs(predicted - y)
        errors[model, seed] = wrong.astype(float)
    return errors


def _interval(errors, model, reference, groups, scale, digits):
    """Return the difference to another model with a bootstrap interval of 95 % over formulas.

    Without `scale` in % of the error of the other model.
    """
    seeds = [seed for name, seed in errors if name == model and (reference, seed) in errors]
    if model == reference or not seeds:
        return ""
    if scale is None:
        scale = 100 / np.mean([errors[reference, seed] for seed in seeds])
    each = (
        np.mean([errors[model, seed] - errors[reference, seed] for seed in seeds], axis=0) * scale
    )
    sums, counts = np.bincount(groups, each), np.bincount(groups)
    drawn = np.random.default_rng(0).integers(len(sums), size=(2000, len(sums)))
    low, high = np.quantile(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1), [0.025, 0.975])
    return f"{each.mean():+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"


def main():
    """Run what is missing, or report."""
    names = [*CONTROLS, *NETWORKS]
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--tasks", nargs="+", default=list(UNITS), choices=UNITS)
    p.add_argument("--models", nargs="+", default=names, choices=names)
    p.add_argument("--n", type=int, default=3000, help="training rows; 0 for all")
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    p.add_argument("--epochs", type=int, default=50, help="of networks; classifiers stop early")
    p.add_argument("--validation", action="store_true")
    p.add_argument("--symmetry", type=Path, default=Path("symmetry"), help="kept once found")
    p.add_argument("--pretrained", type=Path, help="folder of pretrain_crystalbert.py")
    p.add_argument("--predictions", type=Path, help="folder that keeps them")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--output", type=Path, help="runs that are done")
    p.add_argument("--report", action="store_true")
    p.add_argument("--reference", default="CGCNN", choices=names, help="of differences")
    args = p.parse_args()
    rows = "_validation" if args.validation else ""  # never among those of the scored rows
    args.output = args.output or DOCS / f"compare_crystalbert_sen{rows}.csv"
    args.predictions = args.predictions or Path(f"predictions{rows}")
    torch.set_num_threads(args.threads)
    if args.report:
        report(args)
        return
    if not args.output.exists():
        args.output.write_text(",".join(COLUMNS) + "\n")
    for seed in args.seeds:
        for name in args.tasks:
            for model in args.models:
                if not _is_there(model, args.pretrained):
                    print(f"{model} needs pretrain_crystalbert.py, and --pretrained", flush=True)
                    continue
                key = [args.n, name, model, seed]
                done = pd.read_csv(args.output)[KEYS].astype(str)
                if (done == [str(part) for part in key]).all(axis=1).any():
                    continue
                found, predicted = run(read(name, args), model, args.n, seed, args)
                row = [*key, *found]
                args.predictions.mkdir(parents=True, exist_ok=True)
                np.save(args.predictions / file_name(*key), predicted)
                with args.output.open("a", newline="") as file:
                    csv.writer(file, lineterminator="\n").writerow(row)
                print(*row, flush=True)


if __name__ == "__main__":
    main()
