"""Write skuae/datasets/data/mp_mini_*: the Materials Project sample inside the package.

    python tools/make_mp_mini.py mp20_mini.jsonl.gz

The input holds one JSON object a line: id, lattice, atomic_numbers, frac_coords and the labels.
"""

import argparse
import gzip
import json
from pathlib import Path

import bundle
import pandas as pd

from skuae.datasets._bundled import _MP_MINI_TARGETS


def main():
    """Read the sample, write structures and labels."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    with gzip.open(parser.parse_args().source, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    labels = pd.DataFrame(
        {name: [row[name] for row in rows] for name in _MP_MINI_TARGETS},
        index=pd.Index([row["id"] for row in rows], name="id"),
    )
    bundle.write("mp_mini", rows, labels)


if __name__ == "__main__":
    main()
