"""Test error of a back-end with different element tables on the bundled Materials Project sample.

    python benchmarks/compare_tables.py --output docs/compare_tables.csv
    python benchmarks/compare_tables.py --output docs/compare_tables.csv --backbone megnet

80/20 splits, one per seed; all tables see the same splits, weights seeds and budget. With
`--n-train` only so many of the training rows have labels. Rows that are done already are kept, so
a stopped run goes on where it was.
"""

import argparse
import csv
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import train_test_split

from skuae import CrystalGNNRegressor, datasets, models

NATIVE = "native"  # as published: 92 bits, not trained; MEGNet learns vectors of its own
# ALIGNN at full size takes a GPU for as many runs as are compared here.
BACKBONES = {"alignn-small": models.ALIGNN(hidden_dim=64, n_alignn=2, n_gcn=2)}


def run(backbone, table, frozen, target, n_train, seed, max_epochs):
    """Return the mean absolute error on the test rows of one split, and the seconds of the fit."""
    data = datasets.load_mp_mini(target=target)
    train, test = train_test_split(np.arange(len(data.target)), test_size=0.2, random_state=seed)
    train = train[:n_train]
    model = CrystalGNNRegressor(
        BACKBONES.get(backbone, backbone),
        embedding=None if table == NATIVE else table,
        freeze_embedding=frozen,
        max_epochs=max_epochs,
        random_state=seed,
    )
    start = time.perf_counter()
    model.fit(data.structures[train], data.target[train])
    seconds = time.perf_counter() - start
    mae = np.abs(model.predict(data.structures[test]) - data.target[test]).mean()
    return round(float(mae), 5), round(seconds)


def main():
    """Run what is missing, then print means over seeds and paired differences."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument(
        "--tables", nargs="+", default=[NATIVE, "onehot", "random", "cgcnn", "ct-uae-mt"]
    )
    p.add_argument("--backbone", default="cgcnn", help="cgcnn, megnet, alignn, alignn-small")
    p.add_argument("--frozen", action="store_true", help="keep the tables as they are")
    p.add_argument("--target", default="formation_energy_per_atom")
    p.add_argument("--n-train", type=int, default=None)
    p.add_argument("--seeds", type=int, default=3)
    p.add_argument("--max-epochs", type=int, default=100)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--output", type=Path, default=Path("compare_tables.csv"))
    args = p.parse_args()
    torch.set_num_threads(args.threads)

    columns = ["backbone", "target", "n_train", "max_epochs", "table", "frozen", "seed"]
    if not args.output.exists():
        args.output.write_text(",".join([*columns, "mae", "fit_s"]) + "\n")
    for seed in range(args.seeds):
        for table in args.tables:
            n_train = args.n_train or 2058
            key = [args.backbone, args.target, n_train, args.max_epochs, table, args.frozen, seed]
            done = pd.read_csv(args.output)
            if (done[columns].astype(str) == [str(k) for k in key]).all(axis=1).any():
                continue
            result = run(
                args.backbone, table, args.frozen, args.target, n_train, seed, args.max_epochs
            )
            with args.output.open("a", newline="") as file:
                csv.writer(file, lineterminator="\n").writerow([*key, *result])
            print(*key, *result, flush=True)

    results = pd.read_csv(args.output)
    for setting, rows in results.groupby(["backbone", "target", "n_train", "max_epochs", "frozen"]):
        print(setting)
        wide = rows.pivot(index="seed", columns="table", values="mae")
        summary = pd.DataFrame({"mean": wide.mean(), "std": wide.std()})
        if "onehot" in wide:
            summary["minus onehot"] = wide.sub(wide["onehot"], axis=0).mean()
            summary["std of difference"] = wide.sub(wide["onehot"], axis=0).std()
        print(summary.sort_values("mean").round(4).to_string())


if __name__ == "__main__":
    main()
