"""What the benchmarks share: real crystals, and rates measured in turns."""

import argparse
import gzip
import json
import time

import numpy as np
import pandas as pd
from pymatgen.core import Structure

from skuae import Crystals, datasets


def parser(description, **defaults):
    """Return an argument parser with the options all benchmarks have."""
    p = argparse.ArgumentParser(description=description.splitlines()[0])
    p.add_argument(
        "--structures",
        nargs="+",
        help="*.jsonl.gz with lattice, atomic_numbers, frac_coords a line; the bundled sample of "
        "the Materials Project if left out",
    )
    p.add_argument("--n", type=int, default=defaults.get("n", 1000), help="crystals, at random")
    p.add_argument("--repeats", type=int, default=defaults.get("repeats", 5))
    p.add_argument("--threads", type=int, default=defaults.get("threads", 2))
    return p


def read_structures(args):
    """Return `args.n` randomly chosen pymatgen Structures."""
    if args.structures is None:
        structures = datasets.load_mp_mini().structures.to_structures()
    else:
        rows = []
        for path in args.structures:
            with gzip.open(path, "rt", encoding="utf-8") as lines:
                rows += [json.loads(line) for line in lines]
        chosen = np.random.default_rng(0).permutation(len(rows))[: args.n]
        return [
            Structure(rows[i]["lattice"], rows[i]["atomic_numbers"], rows[i]["frac_coords"])
            for i in chosen
        ]
    chosen = np.random.default_rng(0).permutation(len(structures))[: args.n]
    return [structures[i] for i in chosen]


def read_materials_project(folder):
    """Return the crystals of mp_structures_part*.jsonl.gz, and their labels by id.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    crystals : Crystals
    labels : DataFrame
    """
    parts = [datasets.read_file(p) for p in sorted(folder.glob("mp_structures_part*.jsonl.gz"))]
    crystals = Crystals.concatenate([part.structures for part in parts])
    labels = pd.read_parquet(folder / "mp_merged_labels.parquet").set_index("id")
    return crystals, labels.loc[crystals.ids]


def compare(runs, n, repeats, unit="crystals/s"):
    """Run functions in turns, print the rates of each and the ratio of the first to the others.

    Parameters
    ----------
    runs : dict of str to callable
        Each deals with `n` items. The first is ours.
    n : int or dict of str to int
    repeats : int
        Rounds; one more is run before, to warm up.
    unit : str
    """
    n = n if isinstance(n, dict) else dict.fromkeys(runs, n)
    rates: dict = {name: [] for name in runs}
    for repeat in range(repeats + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if repeat:
                rates[name].append(n[name] / (time.perf_counter() - start))
    ours, *others = rates
    for name, values in rates.items():
        low, middle, high = np.quantile(values, [0, 0.5, 1])
        print(f"{name:44} {low:10.1f} {middle:10.1f} {high:10.1f}  {unit} (min, median, max)")
    for name in others:
        ratios = np.array(rates[ours]) / np.array(rates[name])
        low, middle, high = np.quantile(ratios, [0, 0.5, 1])
        print(f"ratio to {name}: {middle:.2f} (min {low:.2f}, max {high:.2f})")
