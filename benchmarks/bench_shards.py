"""Crystals on disk against crystals in memory: CPU time per crystal, and peak memory.

    python benchmarks/bench_shards.py --structures mp_*.jsonl.gz --n 1000000 --n-memory 20000 50000

Crystals are taken again until there are enough of them, every site displaced, so that none has any
symmetry. The target is the volume per atom. Each stage runs in a process of its own: shards are
written, graphs built, one epoch trained, all crystals predicted. For the comparison, the first
`--n-memory` crystals are written to shards of their own; graphs, an epoch and predictions are then
measured in memory and from these shards by turns. Stages that are in the CSV file already are not
run again, and a writing that was interrupted goes on.
"""

import argparse
import csv
import multiprocessing
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from bench_growth import pack, peak_mb

from skuae import CrystalGNNRegressor, Crystals, datasets
from skuae.estimators import load_pretrained
from skuae.models import BACKBONES

BLOCK = 20_000
COLUMNS = [
    "stage", "backbone", "crystals", "sites", "most_sites", "buffer", "repeat", "cpu_s",
    "ms_per_crystal", "start_mb", "peak_mb", "disk_mb", "error",
]  # fmt: skip


def displaced(crystals, rows, length, seed):
    """Return some crystals, every site displaced by a normal distribution of this width in Å."""
    part = crystals[rows]
    rng = np.random.default_rng(seed)
    step = rng.normal(scale=length, size=(part.n_sites, 3))
    inverse = np.repeat(np.linalg.inv(part.lattices), part.sizes, axis=0)
    coords = part.frac_coords + np.einsum("si,sij->sj", step, inverse)
    return Crystals(part.numbers, coords, part.lattices, part.offsets)


def write(args, folder, n):
    """Write shards, a block at a time."""
    crystals = Crystals.load(args.packed)
    if args.most_sites:
        crystals = crystals[np.flatnonzero(crystals.sizes <= args.most_sites)]
    there = 0
    if (folder / "manifest.json").exists():
        there = len(datasets.open_shards(folder))
    for first in range(there, n, BLOCK):
        rows = np.arange(first, min(first + BLOCK, n)) % len(crystals)
        block = displaced(crystals, rows, args.noise, first)
        datasets.write_shards(block, block.volumes / block.sizes, folder, append=True)
    return {}


def graphs(args, folder, n):
    """Build the graphs, and keep them in the folder."""
    spec = BACKBONES[args.backbone]()
    for part in datasets.open_shards(folder, buffer=args.buffer).parts():
        spec.inputs(part)
    return {}


def fit(args, folder, n):
    """Train one epoch from shards."""
    shards = datasets.open_shards(folder, buffer=args.buffer)
    _model(args).fit(shards, shards.target).save_pretrained(folder / "model")
    return {}


def predict(args, folder, n):
    """Predict from shards with the model of `fit`."""
    shards = datasets.open_shards(folder, buffer=args.buffer)
    model = load_pretrained(folder / "model", device="cpu")
    return {"error": np.abs(model.predict(shards) - shards.target).mean()}


def from_shards(args, folder, n):
    """Build graphs, train one epoch and predict, from shards without graphs."""
    shards = datasets.open_shards(folder, buffer=args.buffer)
    return _all(args, shards, shards.target)


def from_memory(args, folder, n):
    """Do the same with the crystals in memory."""
    shards = datasets.open_shards(folder)
    part = shards.crystals
    # On its own: the graphs of the shards do not come along.
    crystals = Crystals(part.numbers, part.frac_coords, part.lattices, part.offsets)
    return _all(args, crystals, shards.target)


def _model(args):
    return CrystalGNNRegressor(args.backbone, max_epochs=1, random_state=args.seed, device="cpu")


def _all(args, crystals, y):
    model = _model(args).fit(crystals, y)
    return {"error": np.abs(model.predict(crystals) - y).mean()}


def run(stage, args, folder, n, send):
    """Run a stage; in a new process."""
    torch.set_num_threads(1)
    start_mb, start = peak_mb(), time.process_time()
    found = globals()[stage](args, folder, n)
    cpu_s = time.process_time() - start
    found |= {"cpu_s": round(cpu_s, 2), "ms_per_crystal": round(1e3 * cpu_s / n, 4)}
    found |= {"start_mb": round(start_mb), "peak_mb": round(peak_mb())}
    found["sites"] = sum(part.n_sites for part in datasets.open_shards(folder).parts())
    found["disk_mb"] = round(sum(f.stat().st_size for f in folder.rglob("*.safetensors")) / 1e6)
    send.send(found)


def measure(args, stage, folder, n, repeat=0):
    """Run a stage in a process of its own and add it to the CSV file, if it is not there."""
    key = {
        "stage": stage,
        "backbone": args.backbone,
        "crystals": n,
        "most_sites": args.most_sites,
        "buffer": args.buffer,
        "repeat": repeat,
    }
    done = pd.read_csv(args.output)
    if (done[list(key)] == pd.Series(key)).all(axis=1).any():
        return
    if stage == "from_shards":
        for path in folder.glob("*.*.safetensors"):  # graphs
            path.unlink()
    processes = multiprocessing.get_context("spawn")
    receive, send = multiprocessing.Pipe(duplex=False)
    process = processes.Process(target=run, args=(stage, args, folder, n, send))
    process.start()
    send.close()
    row = key | receive.recv()
    process.join()
    with args.output.open("a", newline="") as file:
        csv.DictWriter(file, COLUMNS, lineterminator="\n").writerow(row)
    print({name: row.get(name) for name in COLUMNS}, flush=True)


def main():
    """Run the stages that are missing."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--structures", nargs="+", help="*.jsonl.gz; kept packed in the file --packed")
    p.add_argument("--packed", type=Path, default=Path("bench_crystals.npz"))
    p.add_argument("--backbone", default="cgcnn")
    p.add_argument("--n", type=int, help="crystals on disk")
    p.add_argument("--n-memory", nargs="*", type=int, default=[], help="crystals to compare")
    p.add_argument("--repeats", type=int, default=1, help="of each comparison")
    p.add_argument("--most-sites", type=int, default=0, help="leave out larger cells; 0: none")
    p.add_argument("--noise", type=float, default=0.02, help="displacement of sites in Å")
    p.add_argument("--buffer", type=int, default=32_768, help="crystals in memory, from shards")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--folder", type=Path, default=Path("bench_shards"))
    p.add_argument("--output", type=Path, default=Path("docs/large_data.csv"))
    args = p.parse_args()
    if args.structures and not args.packed.exists():
        # A process has the highest memory of its parent as its own: the parent is kept small.
        processes = multiprocessing.get_context("spawn")
        packing = processes.Process(target=pack, args=(args.structures, args.packed))
        packing.start()
        packing.join()
    if not args.output.exists():
        args.output.write_text(",".join(COLUMNS) + "\n")
    for stage in ("write", "graphs", "fit", "predict") if args.n else ():
        measure(args, stage, args.folder / str(args.n), args.n)
    for n in args.n_memory:
        folder = args.folder / str(n)
        measure(args, "write", folder, n)
        for repeat in range(args.repeats):
            for stage in ("from_memory", "from_shards")[:: 1 if repeat % 2 else -1]:
                measure(args, stage, folder, n, repeat)


if __name__ == "__main__":
    main()
