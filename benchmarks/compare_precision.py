"""Test error of back-ends that train in bfloat16, against float32.

    python benchmarks/compare_precision.py --backbones gated_gcn --output docs/compare_precision.csv
    python benchmarks/compare_precision.py --backbones gated_gcn \
        --output docs/compare_precision.csv --file matbench_perovskites.jsonl.gz \
        --target e_form --n-train 3000 --n-test 1000

The bundled Materials Project sample, or the file. One split per seed; both precisions see the same
split, initial weights and order of batches. Rows that are done already are kept, so a stopped run
goes on where it was.

A CPU without instructions for bfloat16 takes ten times as long for products in it. With
`--products-in-float32`, these are computed from the rounded factors in float32 and rounded, which
is what such instructions do.
"""

import argparse
import csv
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _backbones import SPECS
from torch.nn import functional as F

from skuae import CrystalGNNRegressor, datasets, models

SMALL = models.ALIGNN(hidden_dim=64, n_alignn=2, n_gcn=2)
BACKBONES = {name: spec for name, spec in SPECS.items() if spec.has_bf16} | {"alignn-small": SMALL}
PRECISIONS = ("float32", "bf16")


def run(backbone, precision, data, rows, max_epochs, seed):
    """Return the mean absolute error on the test rows, and the CPU seconds of the fit."""
    train, test = rows
    model = CrystalGNNRegressor(
        BACKBONES[backbone],
        max_epochs=max_epochs,
        precision=precision,
        random_state=seed,
        device="cpu",
    )
    start = time.process_time()
    model.fit(data.structures[train], data.target[train])
    seconds = time.process_time() - start
    mae = np.abs(model.predict(data.structures[test]) - data.target[test]).mean()
    return round(float(mae), 5), round(seconds)


def compute_products_in_float32():
    """Replace torch's products of bfloat16, where the networks call them."""

    def replaced(product):
        def rounded(*tensors, out=None):
            if all(x is None or x.dtype != torch.bfloat16 for x in tensors):
                return product(*tensors) if out is None else product(*tensors, out=out)
            result = product(*(x if x is None else x.float() for x in tensors)).to(torch.bfloat16)
            return result if out is None else out.copy_(result)

        return rounded

    torch.mm, torch.addmm, F.linear = map(replaced, (torch.mm, torch.addmm, F.linear))
    torch.Tensor.__matmul__ = replaced(torch.Tensor.__matmul__)


def main():
    """Run what is missing, then print means over seeds and paired differences."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--backbones", nargs="+", choices=BACKBONES, default=list(BACKBONES))
    p.add_argument("--file", help="crystals with labels, for `skuae.datasets.read_file`")
    p.add_argument("--target", default="formation_energy_per_atom")
    p.add_argument("--n-train", type=int, default=2058)
    p.add_argument("--n-test", type=int, default=515)
    p.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    p.add_argument("--max-epochs", type=int, default=20)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--products-in-float32", action="store_true", help="as hardware has bfloat16")
    p.add_argument("--output", type=Path, default=Path("compare_precision.csv"))
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    warnings.filterwarnings("ignore", 'precision="bf16".* has no instructions')
    if args.products_in_float32:
        compute_products_in_float32()
    if args.file is None:
        data = datasets.load_mp_mini(target=args.target)
    else:
        data = datasets.read_file(args.file, target=args.target)

    columns = ["backbone", "target", "n_train", "max_epochs", "precision", "seed"]
    if not args.output.exists():
        args.output.write_text(",".join([*columns, "mae", "cpu_s"]) + "\n")
    for seed in args.seeds:
        order = np.random.default_rng(seed).permutation(len(data.target))
        rows = order[: args.n_train], order[args.n_train : args.n_train + args.n_test]
        for backbone in args.backbones:
            for precision in PRECISIONS:
                key = [backbone, args.target, args.n_train, args.max_epochs, precision, seed]
                done = pd.read_csv(args.output)
                if (done[columns].astype(str) == [str(k) for k in key]).all(axis=1).any():
                    continue
                result = run(backbone, precision, data, rows, args.max_epochs, seed)
                with args.output.open("a", newline="") as file:
                    csv.writer(file, lineterminator="\n").writerow([*key, *result])
                print(*key, *result, flush=True)

    results = pd.read_csv(args.output)
    for setting, some in results.groupby(["backbone", "target", "n_train", "max_epochs"]):
        print(setting)
        wide = some.pivot(index="seed", columns="precision", values="mae")
        wide["ratio"] = wide["bf16"] / wide["float32"]
        print(wide.agg(["mean", "std"]).round(4).to_string())


if __name__ == "__main__":
    main()
