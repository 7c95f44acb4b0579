"""Test errors of a fit from shards with small buffers, and of one in memory.

    python benchmarks/compare_windows.py --folder bench_shards/1000000

The first `--n` crystals of shards that bench_shards.py wrote are trained on for one epoch, and the
next 5,000 predicted; the target is the volume per atom. From shards, a buffer of 4,096 makes five
windows of 20,000 crystals. The crystals are in random order, or sorted by their heaviest element,
and a window is made of pieces of 512 crystals, or of 4,096, which are whole shards.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch

from skuae import CrystalGNNRegressor, Crystals, datasets
from skuae.datasets import _shards

N_TEST = 5_000


def in_memory(crystals):
    """Return crystals of their own, without the graphs that are kept on disk."""
    return Crystals(crystals.numbers, crystals.frac_coords, crystals.lattices, crystals.offsets)


def main():
    """Fit all, and print errors by seed."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--folder", type=Path, default=Path("bench_shards/1000000"))
    p.add_argument("--n", type=int, default=20_000)
    p.add_argument("--buffer", type=int, default=4096)
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = p.parse_args()
    torch.set_num_threads(1)
    part = datasets.open_shards(args.folder)[: args.n + N_TEST]
    crystals, y = in_memory(part.crystals), part.target
    test = np.arange(args.n, args.n + N_TEST)
    heaviest = np.maximum.reduceat(crystals.numbers, crystals.offsets[:-1])[: args.n]
    orders = {"random": np.arange(args.n), "sorted": np.argsort(heaviest, kind="stable")}

    def errors(name, X, target):
        found = []
        for seed in args.seeds:
            model = CrystalGNNRegressor("cgcnn", max_epochs=1, random_state=seed, device="cpu")
            predicted = model.fit(X, target).predict(crystals[test])
            found.append(np.abs(predicted - y[test]).mean())
        print(f"{name}: {np.mean(found):.2f} ({', '.join(f'{e:.2f}' for e in found)})", flush=True)

    errors("memory", in_memory(crystals[orders["random"]]), y[: args.n])
    for order, rows in orders.items():
        with tempfile.TemporaryDirectory() as folder:
            datasets.write_shards(in_memory(crystals[rows]), y[rows], folder)
            for _shards._CHUNK in (512, 4096):
                shards = datasets.open_shards(folder, buffer=args.buffer)
                errors(f"{order}, pieces of {_shards._CHUNK}", shards, shards.target)


if __name__ == "__main__":
    main()
