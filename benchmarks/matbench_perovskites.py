"""MatBench v0.1, matbench_perovskites: the five official folds.

    python benchmarks/matbench_perovskites.py cgcnn --output docs/matbench
    python benchmarks/matbench_perovskites.py alignn --folds 0 --device cuda --output docs/matbench
    python benchmarks/matbench_perovskites.py --average gated gated-ct-uae --output docs/matbench
    python benchmarks/matbench_perovskites.py gated --choose --set max_epochs=20 batch_size=64

The data are fetched, or read from `--data` (JSON lines with id, lattice, atomic_numbers,
frac_coords and e_form, in the published order). There is no early stopping. `--choose` scores 2,000
training rows of fold 0 after training on its others; since all folds share their settings, those
rows are test rows of the other four.

Each fold that is done is kept: its predictions in `<model>.json.gz`, in the layout of the
leaderboard, its error, time and settings in `folds.csv`. A fold that was stopped goes on from its
last checkpoint.
"""

import argparse
import gzip
import hashlib
import json
import platform
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import max_error, mean_absolute_error, root_mean_squared_error

import skuae
from skuae import CrystalGNNRegressor, datasets, models
from skuae._files import write_bytes
from skuae.commands import parse_settings
from skuae.datasets._matbench import published_folds
from skuae.embedding import join_tables

TASK = "matbench_perovskites"
GATED = {
    "backbone": models.GatedGCN(),
    "loss": "absolute_error",
    "max_epochs": 100,
    "batch_size": 128,
}
JOINED = {
    "embedding": join_tables(["ct-uae-mt", "onehot"], name="ct-uae-mt+onehot"),
    "embedding_lr_ratio": 1.0,
}
MODELS = {
    "cgcnn": {
        "backbone": models.CGCNN(n_conv=5),
        "embedding": "cgcnn",
        "max_epochs": 100,
        "batch_size": 128,
    },
    "megnet": {"backbone": "megnet", "loss": "absolute_error", "max_epochs": 200,
               "batch_size": 128},
    "alignn": {"backbone": "alignn", "loss": "absolute_error", "max_epochs": 100,
               "batch_size": 64},
    # ALIGNN without angles: bonds are updated, too, at a fraction of the cost
    "gated": GATED,
    "gated-ct-uae": GATED | {"embedding": "ct-uae-mt"},
    # longer, on ct-uae-mt joined with one-hot rows, tuned at the full rate
    "gated-400": GATED | JOINED | {"max_epochs": 400},
    "cogn-200": JOINED | {"backbone": "cogn", "loss": "absolute_error", "max_epochs": 200,
                          "batch_size": 64},
}  # fmt: skip


def read(path):
    """Return crystals, targets and the published ids."""
    if path is None:
        data = datasets.fetch_matbench(TASK, verbose=1)
        return data.structures, data.target, data.ids
    data = datasets.read_file(path, target="e_form")
    return data.structures, data.target, data.ids


def run(name, fold, data, args):
    """Fit and predict one fold; return the predictions and a row for folds.csv."""
    structures, y, _ = data
    train, test = published_folds(y)[fold]
    model = CrystalGNNRegressor(
        **MODELS[name],
        checkpoint_dir=args.checkpoints,
        device=args.device,
        random_state=fold,
        verbose=int(args.verbose),
    )
    model.fit(structures[train], y[train])
    predicted = model.predict(structures[test])
    row = {
        "model": name,
        "fold": fold,
        "mae": round(mean_absolute_error(y[test], predicted), 5),
        "rmse": round(root_mean_squared_error(y[test], predicted), 5),
        "epochs": model.n_iter_,
        "peak_lr": model.net_.lr,
        "batch_size": model.batch_size,
        "parameters": sum(p.numel() for p in model.net_.module_.parameters()),
        "fit_s": round(sum(epoch["dur"] for epoch in model.history_)),  # of resumed runs, too
        "machine": f"{platform.machine()}, {model.device_}, {torch.get_num_threads()} threads",
        "skuae": skuae.__version__,
    }
    return predicted, row


def choose(name, data, args):
    """Return the error of a setting on 2,000 training rows of fold 0."""
    structures, y, _ = data
    train, _ = published_folds(y)[0]
    inner, train = np.split(np.random.default_rng(0).permutation(train), [2000])
    model = CrystalGNNRegressor(
        **(MODELS[name] | parse_settings(args.set)),
        device=args.device,
        random_state=0,
        verbose=int(args.verbose),
    )
    model.fit(structures[train], y[train])
    return mean_absolute_error(y[inner], model.predict(structures[inner]))


def scores(y, predicted):
    """Return the leaderboard's four metrics."""
    large = np.abs(y) > 1e-5  # of what is nearly 0, a percentage says nothing
    return {
        "mae": float(mean_absolute_error(y, predicted)),
        "rmse": float(root_mean_squared_error(y, predicted)),
        "mape": float(np.mean(np.abs((y - predicted)[large] / y[large]))),
        "max_error": float(max_error(y, predicted)),
    }


def read_results(path):
    """Return the folds that are done, as the leaderboard's layout has them, {"fold_0": ...}."""
    if not path.exists():
        return {}
    return json.loads(gzip.decompress(path.read_bytes()))["tasks"][TASK]["results"]


def fold_of(test, predicted, y, ids, parameters):
    """Return one fold in the leaderboard's layout."""
    values = dict(zip(ids[test], predicted.astype(float), strict=True))
    return {
        "data": dict(sorted(values.items())),
        "parameters": parameters,
        "scores": scores(y[test], predicted),
    }


def write_results(path, results):
    """Write what is done in the leaderboard's layout."""
    content = {
        "@module": "matbench.bench",
        "@class": "MatbenchBenchmark",
        "version": "0.1.0",
        "benchmark_name": "matbench_v0.1",
        "datestamp": time.strftime("%Y.%m.%d %H:%M.%S", time.gmtime()),
        "user_metadata": {"algorithm": f"skuae {skuae.__version__}: {path.name.split('.')[0]}"},
        "tasks": {
            TASK: {
                "@module": "matbench.task",
                "@class": "MatbenchTask",
                "benchmark_name": "matbench_v0.1",
                "dataset_name": TASK,
                "version": "0.1.0",
                "results": dict(sorted(results.items())),
            }
        },
    }
    content["hash"] = hashlib.sha256(json.dumps(_sorted(content)).encode()).hexdigest()
    write_bytes(path, gzip.compress(json.dumps(content).encode(), mtime=0))


def _sorted(value):
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return value


def log(path, row):
    """Put a row into folds.csv in place of an older one of the same model and fold."""
    rows = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=list(row))
    rows = rows[(rows["model"] != row["model"]) | (rows["fold"] != row["fold"])]
    rows = pd.concat([rows, pd.DataFrame([row])]) if len(rows) else pd.DataFrame([row])
    write_bytes(path, rows.sort_values(["model", "fold"]).to_csv(index=False).encode())


def main():
    """Run the folds that are missing, or average models; print the table."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("model", nargs="?", choices=MODELS)
    p.add_argument("--average", nargs="+", metavar="MODEL", help="of the predictions of these")
    p.add_argument("--choose", action="store_true", help="score training rows of fold 0 instead")
    p.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="with --choose")
    p.add_argument("--folds", type=int, nargs="+", default=list(range(5)))
    p.add_argument("--data", type=Path)
    p.add_argument("--output", type=Path, default=Path("matbench"))
    p.add_argument("--checkpoints", type=Path, default=Path("checkpoints"))
    p.add_argument("--device", default="auto")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--verbose", action="store_true")
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    if args.choose and not args.model:
        p.error("--choose needs a model")
    data = read(args.data)
    if args.choose:
        print(args.model, *args.set, round(choose(args.model, data, args), 4))
        return
    args.output.mkdir(parents=True, exist_ok=True)
    _, y, ids = data
    missing = [n for n in args.average or () if not (args.output / f"{n}.json.gz").exists()]
    if missing:
        p.error(f"there is no {missing[0]}.json.gz in {args.output}; run that model first")
    if args.average:
        parts = [read_results(args.output / f"{name}.json.gz") for name in args.average]
        results, name = {}, "+".join(args.average)
        for fold in sorted(set.intersection(*map(set, parts))):
            number = int(fold.removeprefix("fold_"))
            _, test = published_folds(y)[number]
            mean = np.mean([[part[fold]["data"][i] for i in ids[test]] for part in parts], axis=0)
            results[fold] = fold_of(test, mean, y, ids, {"average": args.average})
            log(args.output / "folds.csv", {
                "model": name,
                "fold": number,
                "mae": round(mean_absolute_error(y[test], mean), 5),
                "rmse": round(root_mean_squared_error(y[test], mean), 5),
            })  # fmt: skip
        write_results(args.output / f"{name}.json.gz", results)
    for fold in args.folds if args.model else []:
        path = args.output / f"{args.model}.json.gz"
        results = read_results(path)
        if f"fold_{fold}" in results:
            continue
        predicted, row = run(args.model, fold, data, args)
        _, test = published_folds(y)[fold]
        parameters = {k: str(v) for k, v in MODELS[args.model].items()}
        results[f"fold_{fold}"] = fold_of(test, predicted, y, ids, parameters)
        log(args.output / "folds.csv", row)
        write_results(path, results)  # last: what is here is not run again
        print(row, flush=True)
    rows = pd.read_csv(args.output / "folds.csv")
    print(rows.groupby("model")["mae"].agg(["mean", "std", "count"]).round(4).to_string())


if __name__ == "__main__":
    main()
