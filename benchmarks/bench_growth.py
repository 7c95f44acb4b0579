"""CPU time and memory of a fit against the number of crystals, each size in a process of its own.

    python benchmarks/bench_growth.py --structures mp_structures_part*.jsonl.gz --backbone cgcnn

A fit is all that `CrystalGNNRegressor.fit` does with packed crystals: checks, graphs, one epoch of
training, the statistics of the batch norms. The target is the volume per atom. Sizes beyond the
crystals there are take them again. Rows of the CSV file that are there already are kept; the plot
is drawn from all of them, and from what bench_shards.py measured with cells of all sizes.
"""

import argparse
import csv
import gzip
import json
import multiprocessing
import resource
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from skuae import CrystalGNNRegressor, Crystals

COLUMNS = ["backbone", "threads", "crystals", "sites", "fit_s", "predict_s", "start_mb", "peak_mb"]


def pack(paths, file):
    """Read crystals, a file at a time, shuffle and pack them into one file."""
    parts = []
    for path in paths:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        parts += [
            (np.array(r["atomic_numbers"]), np.array(r["frac_coords"]), np.array(r["lattice"]))
            for r in rows
        ]
    order = np.random.default_rng(0).permutation(len(parts))
    numbers, coords, lattices = zip(*(parts[i] for i in order), strict=True)
    offsets = np.append(0, np.cumsum([len(n) for n in numbers]))
    Crystals(np.concatenate(numbers), np.concatenate(coords), np.stack(lattices), offsets).save(
        file
    )


def peak_mb():
    """Return the highest resident memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(file, backbone, n, threads, send):
    """Fit and predict once; runs in a new process."""
    torch.set_num_threads(threads)
    crystals = Crystals.load(file)
    part = crystals[np.resize(np.arange(len(crystals)), n)]
    # On its own: a slice has its graphs built for the crystals that it was cut from.
    crystals = Crystals(part.numbers, part.frac_coords, part.lattices, part.offsets)
    y = crystals.volumes / crystals.sizes
    model = CrystalGNNRegressor(backbone, max_epochs=1, random_state=0)
    start_mb = peak_mb()
    start = time.process_time()
    model.fit(crystals, y)
    fit_s = time.process_time() - start
    start = time.process_time()
    model.predict(crystals)
    predict_s = time.process_time() - start
    send.send([crystals.n_sites, round(fit_s, 2), round(predict_s, 2), start_mb, peak_mb()])


def of_shards(path):
    """Return what bench_shards.py measured: graphs and fit together."""
    rows = pd.read_csv(path)
    rows = rows[rows["stage"].isin(["graphs", "fit"]) & (rows["most_sites"] == 0)]
    sizes = rows.groupby(["backbone", "crystals"], as_index=False)
    found = sizes.agg(fit_s=("cpu_s", "sum"), peak_mb=("peak_mb", "max"))
    return found.assign(backbone=found["backbone"] + ", from shards")


def plot(results, path):
    """Draw time and memory against the number of crystals."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
    for marker, (backbone, rows) in zip("osD^", results.groupby("backbone"), strict=False):
        rows = rows.sort_values("crystals")
        axes[0].plot(rows["crystals"], rows["fit_s"], marker=marker, label=backbone)
        axes[1].plot(rows["crystals"], rows["peak_mb"] / 1024, marker=marker, label=backbone)
    for axis, label in zip(axes, ("fit of one epoch, CPU s", "peak memory, GiB"), strict=True):
        axis.set(xlabel="crystals (thousands)", ylabel=label, xscale="log")
        axis.xaxis.set_major_formatter(lambda x, position: f"{x / 1000:g}")
        axis.grid(alpha=0.3)
        axis.legend()
    axes[0].set_yscale("log")
    axes[1].set_ylim(0, None)
    figure.savefig(path, dpi=150)


def main():
    """Measure the sizes that are missing, print and plot all."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument(
        "--structures",
        nargs="+",
        help="*.jsonl.gz, as for the other benchmarks; kept packed in growth_crystals.npz",
    )
    p.add_argument("--backbone", default="cgcnn")
    p.add_argument("--sizes", nargs="+", type=int, default=[1000, 5000, 20000, 60000, 150000])
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--output", type=Path, default=Path("docs/growth.csv"))
    p.add_argument("--shards", type=Path, default=Path("docs/large_data.csv"))
    args = p.parse_args()
    packed = Path("growth_crystals.npz")
    processes = multiprocessing.get_context("spawn")
    if args.structures and not packed.exists():
        # A process has the highest memory of its parent as its own: the parent is kept small.
        packing = processes.Process(target=pack, args=(args.structures, packed))
        packing.start()
        packing.join()
    if not args.output.exists():
        args.output.write_text(",".join(COLUMNS) + "\n")
    for n in args.sizes:
        done = pd.read_csv(args.output)
        if ((done["backbone"] == args.backbone) & (done["crystals"] == n)).any():
            continue
        receive, send = multiprocessing.Pipe(duplex=False)
        process = processes.Process(
            target=measure, args=(packed, args.backbone, n, args.threads, send)
        )
        process.start()
        send.close()
        sites, fit_s, predict_s, start_mb, peak = receive.recv()
        process.join()
        row = [
            args.backbone,
            args.threads,
            n,
            sites,
            fit_s,
            predict_s,
            round(start_mb),
            round(peak),
        ]
        with args.output.open("a", newline="") as file:
            csv.writer(file).writerow(row)
        print(*row, flush=True)
    results = pd.read_csv(args.output)
    print(results.to_string(index=False))
    results = pd.concat([results, of_shards(args.shards)])
    plot(results, args.output.with_suffix(".png"))


if __name__ == "__main__":
    main()
