"""Errors of `crystal_pipeline`, of its parts and of other models, on rows of other formulas.

    python benchmarks/compare_few_labels.py --data ../shared/data --n 400 --networks runs
    python benchmarks/compare_few_labels.py --report

The labelled and the scored crystals have formulas that the shipped network "mp" has not seen, but
for surfaces and superconductors, whose property it has not seen. The folder `--networks` has
networks of `tools/make_models.py` that never saw one property. Each part is fitted once to all
labels and once to each inner fold, and the blends of several networks share these fits: the numbers
are those of `CrystalStackingRegressor`. Runs that are done are kept in
`docs/compare_few_labels.csv`, and the predictions of their parts in the folder `--parts`: after a
network has changed, delete its files there, and only its parts are fitted again.

The errors of classes are 1 - the area under the ROC curve. There, a whole pipeline is fitted for
each network, and its fitted parts are scored.
"""

import argparse
import csv
import sys
import time
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _tasks import MAX_SITES
from sklearn.base import clone
from sklearn.metrics import mean_absolute_error, roc_auc_score
from sklearn.model_selection import cross_val_predict

from skuae import CrystalGNNClassifier, CrystalGNNRegressor, crystal_pipeline, datasets

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tools"))
from make_models import read, targets_of  # noqa: E402

DOCS = ROOT / "docs"
UNITS = {
    "formation energy": "eV/atom",
    "gap": "eV",
    "bulk modulus": "log10(GPa)",
    "shear modulus": "log10(GPa)",
    "hybrid perovskites": "eV",
    "OQMD perovskites": "eV/atom",
    "surface energy": "no unit given",
    "critical temperature": "K",
    "metal": "1 - AUC",
    "topology": "1 - AUC",
}
# Networks that know the property of a task, and that do not.
WITHOUT = {
    "formation energy": "without-formation-energy",
    "gap": "without-gap",
    "bulk modulus": "without-moduli",
    "shear modulus": "without-moduli",
    "metal": "without-gap",
}
_COLUMNS = {"formation energy": "formation_energy_per_atom", "gap": "band_gap",
            "bulk modulus": "K_VRH", "shear modulus": "G_VRH"}  # fmt: skip
_FILES = {
    "hybrid perovskites": ("hoip_nakajima", "band_gap"),
    "OQMD perovskites": ("oqmd_perovskite", "formation_energy_per_atom"),
    "surface energy": ("surface_property3", "prop1"),
    "critical temperature": ("supercon_3dsc_ordered", "Tc"),
}
_CLASSES = {"metal": "mp-metal", "topology": "mp-topology"}  # names in tools/make_models.py
# Names of models in the tables, by those in the file.
SHOWN = {
    "median": "median",
    "constant": "constant",
    "MODNet": "MODNet",
    "CGCNN": "CGCNN",
    "network": "CGCNN on ct-uae-mt",
    "trees": "CatBoost",
    "CatBoost, CHGNet": "CatBoost on CHGNet",
    "GP, CHGNet": "GP on CHGNet",
    "pipeline, None": "pipeline without a network",
    "GP, left out": "GP, not learned",
    "tuned, left out": "tuned, not learned",
    "pipeline, left out": "pipeline, not learned",
    "GP, mp": "GP on mp",
    "outputs, mp": "line on mp",
    "tuned, mp": "tuned mp",
    "pipeline, mp": "pipeline",
}
_OWN = ["CGCNN on ct-uae-mt", "CatBoost"]
BLENDS = {
    "pipeline": ["GP on mp", "line on mp", "tuned mp", *_OWN],
    "pipeline, not learned": ["GP, not learned", "tuned, not learned", *_OWN],
}
N_SCORED = 2000
KEYS = ["task", "n_train", "seed", "model"]
COLUMNS = [*KEYS, "error", "fit_s"]


@cache
def materials_project(folder):
    """Return crystals, labels, and rows of formulas that no network has seen."""
    crystals, labels, train, validation, test = read(folder)
    groups = datasets.formula_groups(crystals)
    unseen = ~np.isin(groups, groups[train])
    return crystals, labels, unseen, validation, test


def read_task(name, folder):
    """Return crystals, labels, and the rows to draw from and to score."""
    if name in _CLASSES:
        crystals, labels, _, pool, scored = materials_project(folder)
        y = targets_of(_CLASSES[name], labels)
        known = (crystals.sizes <= MAX_SITES) & (y != None)  # noqa: E711
        pool, scored = pool[known[pool]], scored[known[scored]]
        return crystals, y, pool, np.random.default_rng(0).permutation(scored)[:N_SCORED]
    if name in _COLUMNS:
        crystals, labels, unseen, pool, scored = materials_project(folder)
        y = labels[_COLUMNS[name]].to_numpy(dtype=float)
        if "modulus" in name:  # few rows have one: all of unseen formulas are shared out
            y = np.log10(np.where(y >= 1, y, np.nan))
            groups = datasets.formula_groups(crystals)
            pool, scored = _parts(groups, np.flatnonzero(unseen & ~np.isnan(y)), 0.5)
    else:
        file, column = _FILES[name]
        data = datasets.read_file(folder / f"{file}.jsonl.gz", target=column)
        crystals, y = data.structures, data.target
        if column == "Tc":  # several crystals have the critical temperature of one formula
            groups = data.labels["formula_sc"].astype(str).to_numpy()
        else:
            groups = datasets.formula_groups(crystals)
            y = np.where(np.abs(y) < 5, y, np.nan)  # one of OQMD's is 25 eV/atom
        pool, scored = _parts(groups, np.flatnonzero(np.isfinite(y)), 0.3)
    keep = (crystals.sizes <= MAX_SITES) & np.isfinite(y)
    pool, scored = pool[keep[pool]], scored[keep[scored]]
    return crystals, y, pool, np.random.default_rng(0).permutation(scored)[:N_SCORED]


def _parts(groups, rows, share):
    """Return two parts of the rows that have no group in common; the second has this share."""
    drawn = np.random.default_rng(0).permutation(np.unique(groups[rows]))
    second = np.isin(groups[rows], drawn[: int(share * len(drawn))])
    return rows[~second], rows[second]


def draw(name, args, seed):
    """Return crystals and labels to learn from, and crystals and labels to score."""
    crystals, y, pool, scored = read_task(name, args.data)
    if len(pool) < args.n:
        raise ValueError(f"{name}: {len(pool)} labelled crystals, thus not {args.n}; take fewer")
    rows = np.random.default_rng(seed).permutation(pool)[: args.n]
    return crystals[rows], y[rows], crystals[scored], y[scored]


def networks_of(name, args):
    """Return the networks of a task: the shipped one, and one that has not learned its property."""
    networks = {"mp": "mp"}
    if name in WITHOUT and args.networks is not None:
        networks["left out"] = args.networks / WITHOUT[name]
    return networks


def run_classes(name, args, seed):
    """Yield 1 - AUC of each model and the CPU time that the fit of a whole pipeline takes."""
    X, y_train, X_scored, y_scored = draw(name, args, seed)
    y_train = y_train.astype(str)
    classes = np.unique(y_train)

    def error(model):
        return 1 - roc_auc_score(y_scored == classes[1], model.predict_proba(X_scored)[:, 1])

    yield "constant", 0.5, 0.0
    start = time.process_time()
    native = CrystalGNNClassifier(random_state=seed).fit(X, y_train)
    yield "CGCNN", error(native), time.process_time() - start
    for key, network in {**networks_of(name, args), "None": None}.items():
        whole = crystal_pipeline("classifier", args.n, model=network, random_state=seed)
        start = time.process_time()
        whole.fit(X, y_train)
        spent = time.process_time() - start
        for part, label in [("gp", "GP"), ("outputs", "outputs"), ("tuned", "tuned")]:
            if network is not None:
                yield f"{label}, {key}", error(whole.named_estimators_[part]), spent
        yield f"pipeline, {key}", error(whole), spent
    for part in ("trees", "network"):
        yield part, error(whole.named_estimators_[part]), spent


def run(name, args, seed):
    """Yield the error of each model and the CPU time that its fit takes."""
    X, y_train, X_scored, y_scored = draw(name, args, seed)
    error = mean_absolute_error(y_scored, np.full(len(y_scored), np.median(y_train)))
    yield "median", error, 0.0
    whole = crystal_pipeline("regressor", args.n, random_state=seed)
    gp, outputs, tuned, *others = whole.estimators
    networks = networks_of(name, args)
    parts = {"CGCNN": CrystalGNNRegressor(random_state=seed)} | dict(others)
    for key, network in networks.items():
        parts[f"GP, {key}"] = clone(gp[1]).set_params(activations__model=network)
        parts[f"outputs, {key}"] = clone(outputs[1]).set_params(predictions__model=network)
        parts[f"tuned, {key}"] = clone(tuned[1]).set_params(init_from=network)
    inner, outer, spent = {}, {}, {}
    for key, part in parts.items():
        file = None if args.parts is None else args.parts / f"{name}-{args.n}-{seed}-{key}.npz"
        if file is not None and file.exists():
            kept = np.load(file)
        else:
            folds = None if key == "CGCNN" else whole.cv  # it is no part of a blend
            kept = predictions_of(part, X, y_train, X_scored, folds)
            if file is not None:
                np.savez(file, **kept)
        inner[key], outer[key], spent[key] = kept["inner"], kept["outer"], kept["spent"].sum()
        yield key, mean_absolute_error(y_scored, outer[key]), kept["spent"][1]
    blends = {
        f"pipeline, {key}": [f"{part}, {key}" for part in ("GP", "outputs", "tuned")]
        + ["trees", "network"]
        for key in networks
    }
    for blend, keys in {**blends, "pipeline, None": ["trees", "network"]}.items():
        weights = clone(whole.final_estimator)
        weights.fit(np.stack([inner[key] for key in keys], axis=1), y_train)
        found = weights.predict(np.stack([outer[key] for key in keys], axis=1))
        yield blend, mean_absolute_error(y_scored, found), sum(spent[key] for key in keys)


def predictions_of(part, X, y, X_scored, cv):
    """Return predictions on inner folds and on the scored rows, and the CPU time of both."""
    times = [time.process_time()]
    inner = [] if cv is None else cross_val_predict(part, X, y, cv=cv)
    times.append(time.process_time())
    outer = clone(part).fit(X, y).predict(X_scored)
    times.append(time.process_time())
    return {"inner": inner, "outer": outer, "spent": np.diff(times)}


def report(path):
    """Print the tables of docs/few_labels.md, and how the pipeline compares with other models."""
    results = pd.read_csv(path)
    results["model"] = results["model"].map(SHOWN).fillna(results["model"])
    for n_train, rows in results.groupby("n_train"):
        table = rows.pivot_table(index="task", columns="model", values="error")
        tasks = [name for name in UNITS if name in table.index]
        spread = rows.pivot_table(index="task", columns="model", values="error", aggfunc="std")
        draws = rows.groupby("task")["seed"].nunique()
        for some in (_COLUMNS, _FILES, _CLASSES):
            columns = [task for task in tasks if task in some]
            if not columns:
                continue
            heads = [f"{task}, {UNITS[task]} ({draws[task]})" for task in columns]
            print(f"\n{n_train} labels (draws)\n", f"| | {' | '.join(heads)} |", sep="\n")
            print("|---" * (len(columns) + 1) + "|")
            for model in (shown for shown in SHOWN.values() if shown in table):
                cells = [_cell(table[model].get(task), spread, task, model) for task in columns]
                if any(cells):
                    print(f"| {model} | {' | '.join(cells)} |")
        table = table.loc[tasks]
        for name, parts in BLENDS.items():
            if name in table:
                best = table[[part for part in parts if part in table]].min(axis=1)
                others = {"CGCNN": table["CGCNN"], "its best part": best}
                change = {f"against {k}, %": 100 * (table[name] / v - 1) for k, v in others.items()}
                print(f"\n{name}\n{pd.DataFrame(change).dropna().round(1).to_string()}")


def _cell(error, spread, task, name):
    """Return a cell of a table: an error, and its standard deviation over draws."""
    if error is None or np.isnan(error):
        return ""
    deviation = spread.loc[task, name] if name in spread and task in spread.index else np.nan
    decimals = max(0, 2 - int(np.floor(np.log10(error))))  # three digits
    shown = f"{error:.{decimals}f}"
    return shown if np.isnan(deviation) else f"{shown}\u00a0±\u00a0{deviation:.{decimals}f}"


def main():
    """Run what is missing, or report."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--data", type=Path)
    p.add_argument("--networks", type=Path, help="folder of networks that lack one property")
    p.add_argument("--parts", type=Path, help="folder of the predictions of parts")
    p.add_argument("--tasks", nargs="+", default=list(UNITS), choices=UNITS)
    p.add_argument("--n", type=int, default=400, help="labels")
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    p.add_argument("--output", type=Path, default=DOCS / "compare_few_labels.csv")
    p.add_argument("--report", action="store_true")
    args = p.parse_args()
    torch.set_num_threads(1)
    if args.report:
        report(args.output)
        return
    if args.parts is not None:
        args.parts.mkdir(parents=True, exist_ok=True)
    if not args.output.exists():
        args.output.write_text(",".join(COLUMNS) + "\n")
    for seed in args.seeds:
        for name in args.tasks:
            done = pd.read_csv(args.output)[KEYS].astype(str)
            if (done == [name, str(args.n), str(seed), "pipeline, None"]).all(axis=1).any():
                continue
            errors = run_classes if name in _CLASSES else run
            rows = [
                [name, args.n, seed, model, float(f"{error:.5g}"), round(seconds, 1)]
                for model, error, seconds in errors(name, args, seed)
            ]
            with args.output.open("a", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(rows)
            print(*rows, sep="\n", flush=True)


if __name__ == "__main__":
    main()
