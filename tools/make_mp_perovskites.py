r"""Write skuae/datasets/data/mp_perovskites_*: ABX3 crystals of the Materials Project.

    python tools/make_mp_perovskites.py --structures mp_structures_part*.jsonl.gz \
        --labels mp_merged_labels.parquet

Structures come as one JSON object a line: id, source, lattice, atomic_numbers, frac_coords. One
source of structures and one of labels are used, so that no two releases are mixed. A crystal is
taken if its cell holds three elements 1:1:3 and one of the two single atoms has an octahedron of
the third element around it, and if its formula is not in `load_mp_mini`, whatever its structure: a
model pre-trained on that set has then seen none of these. Reading the labels needs pyarrow.
"""

import argparse
import gzip
import json

import bundle
import numpy as np
import pandas as pd
from pymatgen.core import Composition, Structure

from skuae.datasets import load_mp_mini
from skuae.datasets._bundled import _MP_PEROVSKITES_TARGETS

STRUCTURES = "kdmsit/MEGNet data"  # of the Materials Project as the CGCNN paper used it, 2018
LABELS = "megnet2018"  # MP-2018.6.1, the labels of the MEGNet paper
SAME_SHELL = 1.2  # neighbours up to so many times as far away as the nearest are in one shell


def read_rows(path):
    """Yield the rows of five atoms of three elements, 1:1:3."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            counts = np.unique(row["atomic_numbers"], return_counts=True)[1]
            if row["source"] == STRUCTURES and sorted(counts) == [1, 1, 3]:
                yield row


def has_octahedron(row):
    """Tell if the single atom that is closer to X has exactly six X in its first shell."""
    structure = Structure(row["lattice"], row["atomic_numbers"], row["frac_coords"])
    numbers = np.array(row["atomic_numbers"])
    kinds, counts = np.unique(numbers, return_counts=True)
    x = kinds[counts == 3][0]
    shells = []
    for single in np.flatnonzero(numbers != x):
        near = structure.get_neighbors(structure[single], 10.0)
        shells.append(np.sort([n.nn_distance for n in near if n.specie.Z == x]))
    closer = min(shells, key=lambda distances: distances[0])
    return np.count_nonzero(closer <= SAME_SHELL * closer[0]) == 6


def main():
    """Read, choose, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--structures", nargs="+", required=True)
    parser.add_argument("--labels", required=True)
    args = parser.parse_args()

    rows = [row for path in args.structures for row in read_rows(path)]
    labels = pd.read_parquet(args.labels).set_index("id")
    labels = pd.DataFrame({name: labels[f"{name}_{LABELS}"] for name in _MP_PEROVSKITES_TARGETS})
    taken = {structure.composition.reduced_formula for structure in load_mp_mini().structures}

    def formula(row):
        return Composition.from_dict(
            dict(zip(*np.unique(row["atomic_numbers"], return_counts=True), strict=True))
        ).reduced_formula

    print(f"{len(rows)} ABX3 cells of five atoms")
    rows = [row for row in rows if labels.loc[row["id"]].notna().all()]
    print(f"{len(rows)} with labels")
    rows = [row for row in rows if has_octahedron(row)]
    print(f"{len(rows)} with octahedra")
    rows = [row for row in rows if formula(row) not in taken]
    print(f"{len(rows)} with a formula that load_mp_mini has not")
    bundle.write("mp_perovskites", rows, labels.loc[[row["id"] for row in rows]])


if __name__ == "__main__":
    main()
