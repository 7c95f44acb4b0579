"""Write skuae/datasets/data/mp_mini_*: the Materials Project sample inside the package.

    python tools/make_mp_mini.py mp20_mini.jsonl.gz

The input holds one JSON object a line: id, lattice, atomic_numbers, frac_coords and the labels.
"""

import argparse
import gzip
import json
from pathlib import Path

import pandas as pd
from pymatgen.core import Structure

from skuae.crystals import as_crystals
from skuae.datasets._bundled import _MP_MINI_TARGETS

DATA = Path(__file__).parents[1] / "skuae" / "datasets" / "data"


def main():
    """Read the sample, check it, write structures and labels."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    with gzip.open(parser.parse_args().source, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]

    labels = pd.DataFrame(
        {name: [row[name] for row in rows] for name in _MP_MINI_TARGETS},
        index=pd.Index([row["id"] for row in rows], name="id"),
    )
    assert labels.index.is_unique and labels.notna().all(axis=None)
    # 6 decimals are what the structures have; 1e-6 eV is far below the accuracy of any label.
    labels.round(6).to_csv(DATA / "mp_mini_labels.csv", lineterminator="\n")
    structures = [Structure(r["lattice"], r["atomic_numbers"], r["frac_coords"]) for r in rows]
    crystals = as_crystals(structures, ids=labels.index)
    crystals.save(DATA / "mp_mini_structures.npz")

    formulas = pd.Series([s.composition.reduced_formula for s in structures])
    print(f"{crystals}, {len({*crystals.numbers.tolist()})} elements")
    print(f"{formulas.duplicated(keep=False).sum()} rows share their formula with another")
    for path in sorted(DATA.glob("mp_mini*")):
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
