"""Symmetry of packed crystals: CPU time of spglib on one core, and of a second call.

python benchmarks/bench_symmetry.py --structures mp_structures_part*.jsonl.gz --n 56000
"""

import time
from collections import Counter

from _common import parser, read_structures

from skuae import as_crystals


def main():
    """Find the symmetry twice, then say how many crystals were of which system."""
    args = parser(__doc__, n=200).parse_args()
    crystals = as_crystals(read_structures(args))
    for call in ("first", "second"):
        start = time.process_time()
        symmetry = crystals.symmetry()
        seconds = time.process_time() - start
        print(f"{call} call: {seconds:.3g} s, {1e3 * seconds / len(crystals):.3g} ms a crystal")
    systems = Counter(symmetry.crystal_systems.tolist())
    print(f"{len(crystals)} crystals, {crystals.n_sites} sites: {dict(systems)}")


if __name__ == "__main__":
    main()
