"""What ensembles buy: of seeds, of architectures, and of networks with trees on descriptors.

    python benchmarks/compare_ensembles.py --data ../shared/data --n 400
    python benchmarks/compare_ensembles.py --report

All members see the same training rows, which the seed draws, and are scored on rows of other
formulas. Networks have the table ct-uae-mt. Trees are CatBoost on the element properties of magpie
(mean, deviation, least, largest), volume per atom, number of sites and space group. Predictions are
kept in `--predictions`, results in `docs/compare_ensembles.csv`. Weights are equal: nothing is
weighted on the rows that are scored.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _tasks import UNITS, read_task
from catboost import CatBoostRegressor
from scipy.stats import norm
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer

from skuae import CrystalGNNRegressor, UAETransformer
from skuae._files import write_bytes

DOCS = Path(__file__).parents[1] / "docs"
TASKS = [name for name in UNITS if name != "metal"]
N_MEMBERS = 5
HALF_90 = norm.ppf(0.95)
NETWORKS = {"cgcnn": {"backbone": "cgcnn"}, "gated": {"backbone": "gated_gcn"},
            "megnet": {"backbone": "megnet"},
            "cgcnn, likelihood": {"backbone": "cgcnn", "loss": "gaussian_nll"}}  # fmt: skip
ENSEMBLES = {"cgcnn": ["cgcnn"], "gated": ["gated"], "megnet": ["megnet"], "trees": ["trees"],
             "cgcnn + gated + megnet": ["cgcnn", "gated", "megnet"],
             "cgcnn + trees": ["cgcnn", "trees"],
             "all four": ["cgcnn", "gated", "megnet", "trees"]}  # fmt: skip


def of_whole_crystals(crystals):
    """Return volume per atom, number of sites and space group, (n_crystals, 3)."""
    groups = crystals.symmetry().space_groups
    return np.c_[crystals.volumes / crystals.sizes, crystals.sizes, groups]


def member(kind, seed):
    """Return one member."""
    if kind != "trees":
        return CrystalGNNRegressor(embedding="ct-uae-mt", random_state=seed, **NETWORKS[kind])
    features = make_union(UAETransformer("magpie"), FunctionTransformer(of_whole_crystals))
    return make_pipeline(features, CatBoostRegressor(silent=True, thread_count=1, random_seed=seed))


def predict(task, kind, n_train, seed, path):
    """Return predictions of all members of a kind, and their standard deviations, from a file."""
    if path.exists():
        with np.load(path) as file:
            return file["mean"], file["std"]
    rows = np.random.default_rng(seed).permutation(task.pool)[:n_train]
    means, stds = [], []
    for k in range(1 if kind == "trees" else N_MEMBERS):
        model = member(kind, 100 * seed + k).fit(task.crystals[rows], task.y[rows])
        if kind == "cgcnn, likelihood":
            mean, std = model.predict(task.crystals[task.scored], return_std=True)
            stds.append(std)
        else:
            mean = model.predict(task.crystals[task.scored])
        means.append(mean)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, mean=means, std=stds)
    return np.array(means), np.array(stds)


def scored(name, y, mean, std=None):
    """Return one row of the results."""
    row = {"ensemble": name, "error": np.abs(mean - y).mean()}
    if std is not None:
        z = np.abs(y - mean) / std
        row |= {"rms_z": np.sqrt((z**2).mean()), "covered_90": (z <= HALF_90).mean()}
    return row


def score(y, found):
    """Return the rows of one task and seed."""
    rows = []
    for name, kinds in ENSEMBLES.items():
        members = np.concatenate([found[kind][0] for kind in kinds])
        weights = np.concatenate(
            [np.full(len(found[kind][0]), 1 / len(found[kind][0])) for kind in kinds]
        ) / len(kinds)  # kinds have the same say, as have the members of a kind
        mean, spread = weights @ members, None
        if len(members) > 1:  # as in CrystalVotingRegressor
            spread = np.sqrt(weights @ (members - mean) ** 2 / (1 - (weights**2).sum()))
        rows.append(scored(f"mean of {name}", y, mean, spread))
        if len(kinds) == 1 and len(members) > 1:
            single = [np.abs(m - y).mean() for m in members]
            rows.append({"ensemble": f"one {name}", "error": np.mean(single)})
    means, stds = found["cgcnn, likelihood"]
    spread, noise = means.std(axis=0, ddof=1), np.sqrt((stds**2).mean(axis=0))
    mean = means.mean(axis=0)
    rows.append(scored("one cgcnn, likelihood", y, means[0], stds[0]))
    for what, std in (("spread", spread), ("noise", noise), ("both", np.hypot(spread, noise))):
        rows.append(scored(f"mean of cgcnn, likelihood: {what}", y, mean, std))
    errors = {kind: found[kind][0] - y for kind in ("cgcnn", "gated", "megnet", "trees")}
    for one in ("cgcnn", "gated", "megnet"):
        rows.append({"ensemble": f"correlation {one}, {one}",
                     "error": np.corrcoef(errors[one][0], errors[one][1])[0, 1]})  # fmt: skip
        rows.append({"ensemble": f"correlation {one}, trees",
                     "error": np.corrcoef(errors[one][0], errors["trees"][0])[0, 1]})  # fmt: skip
    for one, other in (("cgcnn", "gated"), ("cgcnn", "megnet"), ("gated", "megnet")):
        rows.append({"ensemble": f"correlation {one}, {other}",
                     "error": np.corrcoef(errors[one][0], errors[other][0])[0, 1]})  # fmt: skip
    return rows


def report(results):
    """Print errors relative to one CGCNN, and the means of all else, over tasks and seeds."""
    for n_train, part in results.groupby("n_train"):
        table = part.pivot_table(index=["task", "seed"], columns="ensemble", values="error")
        table = table.drop(columns=[name for name in table if name.startswith("correlation")])
        change = np.log(table.div(table["one cgcnn"], axis=0)).groupby("task").mean()
        shown = (100 * np.expm1(change)).T
        shown["mean"] = shown.mean(axis=1)
        by_name = part.groupby("ensemble")[["rms_z", "covered_90"]].mean()
        print(f"\n{n_train} labels: change of the error against one CGCNN in percent")
        print(shown.round(1).join(by_name.round(2)).to_string())
        correlations = part[part["ensemble"].str.startswith("correlation")]
        print(correlations.groupby("ensemble")["error"].mean().round(2).to_string())


def main():
    """Fit what is missing, score and report."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--data", type=Path)
    p.add_argument("--tasks", nargs="+", default=TASKS, choices=TASKS)
    p.add_argument("--n", type=int, default=400, help="training rows")
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--predictions", type=Path, default=Path("ensembles"))
    p.add_argument("--output", type=Path, default=DOCS / "compare_ensembles.csv")
    p.add_argument("--report", action="store_true")
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    done = pd.read_csv(args.output) if args.output.exists() else pd.DataFrame()
    for seed in () if args.report else args.seeds:
        for name in args.tasks:
            key = {"task": name, "n_train": args.n, "seed": seed}
            if len(done) and (done[list(key)] == pd.Series(key)).all(axis=1).any():
                continue
            task = read_task(name, args.data)
            found = {}
            for kind in (*NETWORKS, "trees"):
                path = args.predictions / f"{name}-{args.n}-{seed}-{kind}.npz"
                found[kind] = predict(task, kind, args.n, seed, path)
            rows = pd.DataFrame([key | row for row in score(task.y[task.scored], found)])
            done = pd.concat([done, rows.round(5)], ignore_index=True)
            write_bytes(args.output, done.to_csv(index=False).encode())
            print(*key.values(), flush=True)
    report(done)


if __name__ == "__main__":
    main()
