"""What CrystalBERT and SEN have learned, beside controls that have learned nothing of the kind.

    python benchmarks/interpret_crystalbert_sen.py --data ../shared/data
    python benchmarks/interpret_crystalbert_sen.py --report

- `values`: rank correlation of the value of a space group with its topological fraction, and with
  its number, in a network of one layer and one head. Crystals have other formulas than the training
  rows.
- `tokens`: mean size of the contributions of the tokens of the same network.
- `curves`: share of the epochs in which the training loss of CrystalBERT is below that of CGCNN.
- `symmetry`: equal environments of equivalent sites, and different ones of others, by networks that
  learned gaps and by networks with random weights.
- `spread`: rank correlation over crystals of the gap and the standard deviation of the numbers in
  the environments.
- `vectors`: how well the ten nearest vectors of crystals of other formulas tell the crystal system,
  and how far apart the systems are (silhouette), after pre-training on lattices and with random
  weights. It needs `--pretrained`, the folder of pretrain_crystalbert.py.
- `systems`: errors of SEN and MEGNet by crystal system, from the predictions that
  `compare_crystalbert_sen.py` has kept.

Runs that are done are kept in `--output`.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _symmetry_tasks import symmetry_task
from compare_crystalbert_sen import SIZES, TABLE, file_name, table_of
from scipy.stats import spearmanr
from sklearn.metrics import silhouette_score
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from skuae import CrystalGNNClassifier, CrystalGNNRegressor, analysis, datasets, models
from skuae.crystals import space_group_names
from skuae.estimators import load_pretrained
from skuae.featurizers import BackboneTransformer

DOCS = Path(__file__).parents[1] / "docs"
KEYS = ["part", "case", "model", "seed"]
COLUMNS = [*KEYS, "quantity", "value"]
ONE_HEAD = models.CrystalBERT(d_model=128, n_layers=1, n_heads=1, d_ff=512)
NETWORKS = {
    "CGCNN, whole shells": models.CGCNN(whole_shell=True),
    "MEGNet": "megnet",
    "SEN, affine": models.SEN(pose="affine"),
    "SEN, tensor": models.SEN(pose="tensor"),
}
N_CRYSTALS = 300  # for symmetry
UNTRAINED_LR = 1e-9


def drawn(task, args, seed):
    """Return the training rows of a seed."""
    return np.random.default_rng(seed).permutation(task.pool)[: args.n]


def elsewhere(task, rows):
    """Return all rows of the task whose formulas are not among those of these rows."""
    groups = datasets.formula_groups(task.crystals)
    every = np.union1d(task.pool, task.scored)
    return every[~np.isin(groups[every], groups[rows])]


def values(args, seed):
    """Yield what the value of a space group has to do with topology."""
    task = symmetry_task("topology", args.data, args.symmetry)
    rows = drawn(task, args, seed)
    model = CrystalGNNClassifier(ONE_HEAD, max_epochs=args.epochs, random_state=seed)
    model.fit(task.crystals[rows], (task.y[rows] == "topological").astype(int))
    others = elsewhere(task, rows)
    X, y = task.crystals[others], (task.y[others] == "topological").astype(int)
    found = analysis.space_group_values(model, X, y, random_state=seed)
    yield "values", "topology", "one layer", seed, "groups", len(found.groups)
    for name, value in found.spearman.items():
        yield "values", "topology", "one layer", seed, name, value
    for system, value in found.within.items():
        yield "values", "topology", "one layer", seed, f"value within {system}", value
        part = found.groups[found.groups["crystal_system"] == system]
        rises = spearmanr(part.index, part["value"]).statistic
        yield "values", "topology", "one layer", seed, f"value and number within {system}", rises
    sizes = analysis.token_contributions(model, X).tokens.abs().mean()
    for token, size in sizes.items():
        yield "tokens", "topology", "one layer", seed, token, size


def curves(args, seed):
    """Yield how often the training loss of CrystalBERT is below that of CGCNN."""
    for name in ("topology", "gap", "Tc"):
        task = symmetry_task(name, args.data, args.symmetry)
        rows = drawn(task, args, seed)
        losses = {}
        for model, backbone in {"CGCNN": "cgcnn", "CrystalBERT small": SIZES["small"]}.items():
            kind = CrystalGNNClassifier if task.is_classification else CrystalGNNRegressor
            params = {"early_stopping": False} if task.is_classification else {}
            gnn = kind(backbone, max_epochs=args.epochs, random_state=seed, **params)
            gnn.fit(task.crystals[rows], task.y[rows])
            losses[model] = np.array([epoch["train_loss"] for epoch in gnn.history_])
        ours, theirs = losses["CrystalBERT small"], losses["CGCNN"]
        yield "curves", name, "CrystalBERT small", seed, "share below", (ours < theirs).mean()
        yield "curves", name, "CrystalBERT small", seed, "last loss / CGCNN", ours[-1] / theirs[-1]


def environments(args, seed):
    """Yield the scores of symmetry and the spread of environments."""
    task = symmetry_task("gap", args.data, args.symmetry)
    rows = drawn(task, args, seed)
    X, y = task.crystals[task.scored], task.y[task.scored]
    for name, backbone in NETWORKS.items():
        params = {"loss": "absolute_error", "random_state": seed}
        gnn = CrystalGNNRegressor(backbone, max_epochs=args.epochs, **params)
        gnn.fit(task.crystals[rows], task.y[rows])
        for statistic in ("distance", "ks"):
            scores = analysis.symmetry_scores(
                gnn, X[:N_CRYSTALS], statistic=statistic, random_state=seed
            )
            for state, part in scores.summary.iterrows():
                for quantity, value in part.items():
                    yield "symmetry", f"gap, {statistic}, {state}", name, seed, quantity, value
        blank = CrystalGNNRegressor(backbone, max_epochs=1, lr=UNTRAINED_LR, **params)
        blank.fit(task.crystals[rows], task.y[rows])
        for state, network in {"trained": gnn, "untrained": blank}.items():
            sites = analysis.site_environments(network, X)
            spread = sites.std(axis=1).groupby(level="row").mean().to_numpy()
            for kind, taken in {"all": y >= 0, "insulators": y > 0}.items():
                rank = spearmanr(spread[taken], y[taken]).statistic
                yield "spread", f"gap, {state}", name, seed, f"Spearman, {kind}", rank


def vectors(args, seed):
    """Yield how well vectors of crystals tell crystal systems."""
    task = symmetry_task("gap", args.data, args.symmetry)
    X = task.crystals[task.scored]
    known = space_group_names()["crystal_system"][X.symmetry().space_groups - 1]
    groups = datasets.formula_groups(X)
    embedding = table_of(f"{TABLE} + magpie", args.pretrained)
    blank = CrystalGNNRegressor(
        SIZES["small"], embedding=embedding, max_epochs=1, lr=UNTRAINED_LR, random_state=seed
    )
    rows = drawn(task, args, seed)
    networks = {"random weights": blank.fit(task.crystals[rows], task.y[rows])}
    if seed == 0:  # there is one of them
        networks["pre-trained"] = load_pretrained(args.pretrained / "small")
    nearest, folds = KNeighborsClassifier(10), GroupKFold(5, shuffle=True, random_state=0)
    for name, network in networks.items():
        found = BackboneTransformer(network, layers=["embed"]).fit_transform(X)
        accuracy = cross_val_score(nearest, found, known, groups=groups, cv=folds).mean()
        yield "vectors", "crystal system", name, seed, "accuracy of 10 nearest", accuracy
        silhouette = silhouette_score(found, known)
        yield "vectors", "crystal system", name, seed, "silhouette", silhouette
    largest = np.unique(known, return_counts=True)[1].max() / len(known)
    yield "vectors", "crystal system", "none", seed, "share of the largest system", largest


def systems(args, seed):
    """Yield the errors of SEN and MEGNet by crystal system."""
    for name in ("gap", "formation energy"):
        task = symmetry_task(name, args.data, args.symmetry)
        X, y = task.crystals[task.scored], task.y[task.scored]
        for model in ("SEN, affine", "SEN, tensor", "MEGNet", "CGCNN"):
            file = args.predictions / file_name(args.n, name, model, seed)
            if not file.exists():
                continue
            found = analysis.errors_by_crystal_system(y, np.load(file), X)
            for system, errors in found.iterrows():
                yield "systems", name, model, seed, f"{system} (n={errors['n']:.0f})", errors["mae"]


PARTS = {"values": values, "curves": curves, "environments": environments, "vectors": vectors,
         "systems": systems}  # fmt: skip


def report(results):
    """Print means over seeds."""
    for part, rows in results.groupby("part", sort=False):
        table = rows.groupby(["case", "model", "quantity"], sort=False)["value"]
        print(f"\n{part}\n{table.agg(['mean', 'std', 'count']).round(3).to_string()}")


def main():
    """Run what is missing, or report."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--data", type=Path)
    p.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    p.add_argument("--n", type=int, default=3000, help="training rows")
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    p.add_argument("--epochs", type=int, default=50)
    p.add_argument("--symmetry", type=Path, default=Path("symmetry"), help="kept once found")
    p.add_argument("--predictions", type=Path, default=Path("predictions"))
    p.add_argument("--pretrained", type=Path, help="folder of pretrain_crystalbert.py")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--output", type=Path, default=DOCS / "interpret_crystalbert_sen.csv")
    p.add_argument("--report", action="store_true")
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    if args.report:
        report(pd.read_csv(args.output))
        return
    if not args.output.exists():
        args.output.write_text(",".join(COLUMNS) + "\n")
    done = pd.read_csv(args.output)
    for part in args.parts:
        if part == "vectors" and args.pretrained is None:
            print("vectors need --pretrained", flush=True)
            continue
        for seed in args.seeds:
            names = {"environments": "symmetry"}  # what a part writes under another name
            if ((done["part"] == names.get(part, part)) & (done["seed"] == seed)).any():
                continue
            rows = list(PARTS[part](args, seed))
            with args.output.open("a", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(rows)
            print(part, seed, len(rows), flush=True)


if __name__ == "__main__":
    main()
