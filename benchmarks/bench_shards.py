"""Crystals on disk against crystals in memory: CPU time per crystal, and peak memory.

    python benchmarks/bench_shards.py --structures mp_structures_part*.jsonl.gz --n 1000000

Crystals are taken again until there are enough of them, every site displaced, so that none has any
symmetry. Each stage runs in a process of its own: the writing of shards; a fit of one epoch from
shards, graphs included, and the prediction of all; the same with graphs that are there already; and
the same with the first `--n-memory` crystals in memory. The target is the volume per atom. Stages
that are in the output already are not run again, and a writing that was interrupted goes on.
"""

import argparse
import json
import multiprocessing
import time
from pathlib import Path

import numpy as np
import torch
from bench_growth import pack, peak_mb

from skuae import CrystalGNNRegressor, Crystals, datasets
from skuae.models import BACKBONES
from skuae.training import seen_elements
from skuae.training._shard_data import ShardDataset, ShardLoader

BLOCK = 20_000


def displaced(crystals, rows, length, seed):
    """Return some crystals, every site displaced by a normal distribution of this width in Å."""
    part = crystals[rows]
    rng = np.random.default_rng(seed)
    step = rng.normal(scale=length, size=(part.n_sites, 3))
    inverse = np.repeat(np.linalg.inv(part.lattices), part.sizes, axis=0)
    coords = part.frac_coords + np.einsum("si,sij->sj", step, inverse)
    return Crystals(part.numbers, coords, part.lattices, part.offsets)


def write(args):
    """Write the shards, a block at a time."""
    crystals = Crystals.load(args.packed)
    there = 0
    if (args.folder / "manifest.json").exists():
        there = len(datasets.open_shards(args.folder))
    start = time.process_time()
    for first in range(there, args.n, BLOCK):
        rows = np.arange(first, min(first + BLOCK, args.n)) % len(crystals)
        block = displaced(crystals, rows, args.noise, first)
        y = block.volumes / block.sizes
        datasets.write_shards(block, y, args.folder, append=True)
    return {"crystals": max(0, args.n - there), "write_s": time.process_time() - start}


def train(args, crystals, y):
    """Fit one epoch, and predict all."""
    model = CrystalGNNRegressor(args.backbone, max_epochs=1, random_state=0)
    start_mb, start = peak_mb(), time.process_time()
    model.fit(crystals, y)
    fit_s = time.process_time() - start
    start = time.process_time()
    error = np.abs(model.predict(crystals) - y).mean()
    predict_s = time.process_time() - start
    return {
        "crystals": len(crystals),
        "start_mb": start_mb,
        "fit_s": fit_s,
        "predict_s": predict_s,
        "error": error,
    }


def from_shards(args):
    """Fit and predict from shards."""
    shards = datasets.open_shards(args.folder, buffer=args.buffer)[: args.n]
    return train(args, shards, shards.target)


def windows(args):
    """Do what precedes the steps of a fit, and read the first windows of an epoch twice."""
    shards = datasets.open_shards(args.folder, buffer=args.buffer)[: args.n]
    y, rows = torch.tensor(shards.target[:, None]), np.arange(args.n)
    seen_elements(shards, rows)
    spec = BACKBONES[args.backbone]()
    dataset = ShardDataset(shards, lambda part: spec.inputs(part).pack(part), rows, y)
    loader = ShardLoader(dataset, 64, shuffle=True, by_size=False)
    n, seconds = 0, [0.0, 0.0]
    for window, _ in loader._deal()[: args.windows]:
        n += len(window)
        for time_of in range(2):  # the graphs are built, then read
            start = time.process_time()
            dataset.load(window)
            seconds[time_of] += time.process_time() - start
    return {"crystals": n, "build_s": seconds[0], "read_s": seconds[1]}


def from_memory(args):
    """Fit and predict in memory."""
    shards = datasets.open_shards(args.folder)
    part = shards.read(slice(args.n_memory))
    # On its own: the graphs of the shards do not come along.
    crystals = Crystals(part.numbers, part.frac_coords, part.lattices, part.offsets)
    return train(args, crystals, shards[: args.n_memory].target)


def run(stage, args, send):
    """Run a stage; in a new process."""
    torch.set_num_threads(args.threads)
    send.send(globals()[stage](args) | {"peak_mb": peak_mb()})


def main():
    """Run the stages that are missing, and print all."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--structures", nargs="+", help="*.jsonl.gz; kept packed in growth_crystals.npz")
    p.add_argument("--backbone", default="cgcnn")
    p.add_argument("--n", type=int, default=50_000, help="crystals on disk")
    p.add_argument("--n-memory", type=int, default=50_000, help="crystals in memory")
    p.add_argument("--noise", type=float, default=0.02, help="displacement of sites in Å")
    p.add_argument("--buffer", type=int, default=32_768, help="crystals in memory, from shards")
    p.add_argument(
        "--windows",
        type=int,
        help="instead of fits, read so many windows of crystals, for their peak memory",
    )
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--folder", type=Path, default=Path("bench_shards"))
    p.add_argument("--output", type=Path, default=Path("bench_shards.json"))
    args = p.parse_args()
    args.packed = Path("growth_crystals.npz")
    processes = multiprocessing.get_context("spawn")
    if args.structures and not args.packed.exists():
        packing = processes.Process(target=pack, args=(args.structures, args.packed))
        packing.start()
        packing.join()
    on_disk = f"buffer {args.buffer}"
    stages = [
        ("write", "write", args.n),
        ("from_shards", f"from_shards, {on_disk},", args.n),
        ("from_shards", f"from_shards_again, {on_disk},", args.n),
        ("from_memory", "from_memory", args.n_memory),
    ]
    if args.windows:
        stages[1:] = [("windows", f"{args.windows} windows, {on_disk},", args.n)]
    done = json.loads(args.output.read_text()) if args.output.exists() else {}
    for stage, name, n in stages:
        name = f"{name} {args.backbone} {n}"
        if name in done:
            continue
        receive, send = multiprocessing.Pipe(duplex=False)
        process = processes.Process(target=run, args=(stage, args, send))
        process.start()
        send.close()
        done[name] = receive.recv()
        process.join()
        args.output.write_text(json.dumps(done, indent=1))
        found = done[name]
        per_crystal = {
            f"{key.removesuffix('_s')} ms per crystal": 1e3 * value / found["crystals"]
            for key, value in found.items()
            if key.endswith("_s") and found["crystals"]
        }
        print(name, json.dumps(found | per_crystal), flush=True)


if __name__ == "__main__":
    main()
