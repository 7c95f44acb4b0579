"""Graphs: packed 12 nearest neighbours within 8 Å against pymatgen's route, crystal by crystal.

    python benchmarks/bench_graphs.py --structures mp_structures_part*.jsonl.gz

The reference is what most crystal-graph codes do: `Structure.get_all_neighbors(8)`, sort, take 12.
Both start from pymatgen Structures.
"""

import numpy as np
from _common import compare, parser, read_structures

from skuae import as_crystals
from skuae.crystals._graphs import build_graphs

CUTOFF, NEIGHBORS = 8.0, 12


def reference(structures):
    """Return the 12 smallest neighbour distances of every site."""
    return [
        [s.nn_distance for s in sorted(site, key=lambda s: s.nn_distance)[:NEIGHBORS]]
        for structure in structures
        for site in structure.get_all_neighbors(CUTOFF)
    ]


def main():
    """Compare distances, then rates, then say what the graphs weigh."""
    p = parser(__doc__, repeats=3)
    p.add_argument("--n-reference", type=int, default=200, help="crystals of the slow route")
    args = p.parse_args()
    structures = read_structures(args)
    few = structures[: args.n_reference]

    graphs = build_graphs(as_crystals(few), CUTOFF, NEIGHBORS)
    ours = np.split(graphs.distances, graphs.edge_offsets[1:-1])
    theirs = reference(few)
    assert [len(o) for o in ours] == [len(t) for t in theirs]
    print(f"largest difference of distances: {max(np.abs(np.sort(o) - t).max(initial=0) for o, t in zip(ours, theirs, strict=True)):.1e} Å")  # fmt: skip  # noqa: E501

    # Both on the same crystals, since the rates depend on their sizes.
    compare(
        {
            "skuae, from Structures": lambda: build_graphs(as_crystals(few), CUTOFF, NEIGHBORS),
            "pymatgen get_all_neighbors + 12 nearest": lambda: reference(few),
        },
        len(few),
        args.repeats,
    )
    crystals = as_crystals(structures)
    graphs = build_graphs(crystals, CUTOFF, NEIGHBORS)
    print(
        f"{len(crystals)} crystals, {crystals.n_sites / len(crystals):.1f} sites on average: "
        f"graphs take {graphs.nbytes / len(crystals):.0f} bytes a crystal"
    )


if __name__ == "__main__":
    main()
