"""Pooled features per second: UAETransformer beside matminer's ElementProperty("magpie").

    python benchmarks/bench_features.py [structures.jsonl.gz] [--rows 1000] [--repeats 5]

Both start from the same list of pymatgen Structures and run in one process, in turns; for skuae
that includes the conversion, for matminer the composition of each structure. Without a file the
bundled Materials Project structures are used.
"""

import argparse
import gzip
import json
import time
import warnings

import numpy as np
from matminer.featurizers.composition import ElementProperty
from pymatgen.core import Lattice, Structure

from skuae.crystals import as_crystals
from skuae.embedding import UAETransformer, get_table
from skuae.embedding._pooling import pool


def load(path, rows):
    """Return the first structures of a file, or of the bundled data."""
    if path is None:
        from skuae.datasets import load_mp_mini

        return load_mp_mini().structures[:rows].to_structures()
    with gzip.open(path, "rt") as file:
        records = [json.loads(line) for line, _ in zip(file, range(rows), strict=False)]
    return [
        Structure(Lattice(r["lattice"]), r["atomic_numbers"], r["frac_coords"]) for r in records
    ]


def matminer_magpie(featurizer, structures):
    """Featurise with matminer: 22 properties x 6 statistics, one process, no progress bar."""
    return featurizer.featurize_many([s.composition for s in structures], pbar=False)


def main():
    """Time all in turns and print rows per second."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", nargs="?", help="*.jsonl.gz; default: the bundled structures")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    structures = load(args.path, args.rows)
    n = len(structures)
    print(f"{n} structures, {np.mean([len(s) for s in structures]):.1f} sites in the mean")

    crystals, table = as_crystals(structures), get_table("random")
    magpie = ElementProperty.from_preset("magpie")
    magpie.set_n_jobs(1)
    contenders = {
        "matminer ElementProperty(magpie), 132 features": lambda: matminer_magpie(
            magpie, structures
        ),
        "skuae magpie, 88 features": lambda: UAETransformer("magpie").fit_transform(structures),
        "skuae 128 dimensions, 512 features": lambda: UAETransformer("random").fit_transform(
            structures
        ),
        "   of this: structures to packed crystals": lambda: as_crystals(structures),
        "   of this: pooling": lambda: pool(table, crystals),
    }
    seconds = {name: [] for name in contenders}
    warnings.filterwarnings("ignore", module="pymatgen")
    for repeat in range(args.repeats + 1):
        for name, run in contenders.items():
            start = time.perf_counter()
            run()
            if repeat:  # the first turn warms up
                seconds[name].append(time.perf_counter() - start)

    print(f"{'rows per second':50s} {'min':>9s} {'median':>9s} {'max':>9s}   µs per row")
    for name, times in seconds.items():
        rates = n / np.array(times)
        low, middle, high = rates.min(), np.median(rates), rates.max()
        print(f"{name:50s} {low:9,.0f} {middle:9,.0f} {high:9,.0f}   {1e6 / middle:8.2f}")
    theirs = np.array(next(iter(seconds.values())))
    for name in list(contenders)[1:3]:
        ratio = theirs / np.array(seconds[name])
        print(
            f"ratio, {name}: median {np.median(ratio):.0f} (min {ratio.min():.0f}, "
            f"max {ratio.max():.0f})"
        )


if __name__ == "__main__":
    main()
