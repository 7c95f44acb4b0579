r"""Train the shipped table ct-uae-mt: formation energy and band gap of Materials Project crystals.

    python tools/pretrain_table.py --structures mp_structures_part*.jsonl.gz \
        --labels mp_merged_labels.parquet \
        --hold-out mp20_mini.jsonl.gz matbench_perovskites.jsonl.gz --output ct-uae-mt.safetensors

Labels are those of the MEGNet set (MP-2018.6.1) and, where that has none, of the CGCNN set. No row
is trained on whose reduced formula occurs in a hold-out file or in the validation split of the
MEGNet set, whatever its structure: that keeps duplicates out, and polymorphs with them. Nor are the
rows of its test split. The validation rows give the errors in the card. Reading the labels needs
pyarrow.
"""

import argparse
import gzip
import json
import shlex
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from skuae import Crystals, CrystalTransformerRegressor, ElementTable
from skuae.crystals._packing import offsets_from_sizes
from skuae.crystals._validation import check_geometry

TARGETS = {"formation_energy_per_atom": "eV/atom", "band_gap": "eV"}
SOURCES = ("megnet2018", "cgcnn36k")  # the first that has a label


def read_rows(path):
    """Read a file with one JSON object a line."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def pack(rows):
    """Pack rows with lattice, atomic_numbers and frac_coords, all ordered."""
    crystals = Crystals(
        np.concatenate([row["atomic_numbers"] for row in rows]),
        np.concatenate([row["frac_coords"] for row in rows]),
        np.array([row["lattice"] for row in rows]),
        offsets_from_sizes([len(row["atomic_numbers"]) for row in rows]),
        ids=[row["id"] for row in rows],
    )
    check_geometry(crystals)
    return crystals


def reduced_formulas(crystals):
    """Return one hashable reduced composition per crystal."""
    rows, numbers, amounts = crystals.composition()
    amounts = amounts.astype(int)
    divisor = np.gcd.reduceat(amounts, np.searchsorted(rows, np.arange(len(crystals))))
    parts: list = [[] for _ in range(len(crystals))]
    for row, number, amount in zip(rows, numbers, amounts // divisor[rows], strict=True):
        parts[row].append((int(number), int(amount)))
    return [tuple(part) for part in parts]


def main():
    """Read, hold out, train, write the table with its card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--structures", nargs="+", required=True)
    parser.add_argument("--labels", required=True)
    parser.add_argument("--hold-out", nargs="+", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--max-sites", type=int, default=32)
    parser.add_argument("--max-epochs", type=int, default=8)
    parser.add_argument("--n-layers", type=int, default=3)
    parser.add_argument("--random-state", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    labels = pd.read_parquet(args.labels).set_index("id")
    rows = [row for path in args.structures for row in read_rows(path)]
    crystals = pack(rows)
    labels = labels.loc[crystals.ids]
    held_out = set()
    for path in args.hold_out:
        held_out |= set(reduced_formulas(pack(read_rows(path))))
    formulas = reduced_formulas(crystals)
    free = np.array([formula not in held_out for formula in formulas])
    y = pd.DataFrame(
        {t: labels[[f"{t}_{s}" for s in SOURCES]].bfill(axis=1).iloc[:, 0] for t in TARGETS}
    )
    usable = free & (crystals.sizes <= args.max_sites) & y.notna().any(axis=1).to_numpy()
    # the few beyond 5 eV/atom are wrong upstream
    usable &= ~(y.iloc[:, 0].abs() > 5).to_numpy()
    split = labels["megnet_split"].to_numpy()
    valid = np.flatnonzero(usable & (split == "val"))
    judged = {formula for formula, s in zip(formulas, split, strict=True) if s == "val"}
    unjudged = np.array([formula not in judged for formula in formulas])
    train = np.flatnonzero(usable & unjudged & (split != "test"))
    print(
        f"{len(crystals)} rows, {int((~free).sum())} held out by formula, "
        f"{len(train)} to train on, {len(valid)} to validate",
        flush=True,
    )

    start = time.perf_counter()
    front_end = CrystalTransformerRegressor(
        n_layers=args.n_layers,
        max_epochs=args.max_epochs,
        on_missing_element="mean",
        random_state=args.random_state,
        verbose=1,
        device=args.device,
    )
    front_end.fit(crystals[train], y.iloc[train])
    seconds = time.perf_counter() - start
    error = np.abs(front_end.predict(crystals[valid]) - y.iloc[valid].to_numpy())
    mae = dict(zip(TARGETS, np.nanmean(error, axis=0).round(4).tolist(), strict=True))
    print(f"validation MAE {mae}, {seconds:.0f} s", flush=True)

    learned = front_end.element_table_
    unsaid = ("verbose", "device", "warm_start")
    params = {k: v for k, v in front_end.get_params().items() if k not in unsaid}
    ElementTable(
        learned.values[learned.seen],
        symbols=learned.symbols,
        name="ct-uae-mt",
        metadata={
            "description": "Universal atomic embeddings: the element vectors of a "
            "CrystalTransformer trained on formation energy and band gap at once. Layer-normalised "
            "rows, as the network sees them.",
            "source": "Materials Project, the labels of the MEGNet data set (MP-2018.6.1) and, "
            "where that has none, of the CGCNN data set",
            "licence": "CC-BY 4.0 (Materials Project data)",
            "targets": TARGETS,
            "n_train": len(train),
            "n_validation": len(valid),
            "validation_mae": mae,
            "elements_seen": len(learned.symbols),
            "leakage": "No row was trained on that has the reduced formula of a row of "
            "load_mp_mini, of matbench_perovskites, or of the validation split of the MEGNet data "
            "set; nor any row of its test split.",
            "params": {k: v for k, v in params.items() if isinstance(v, (int, float, str, bool))},
            "command": shlex.join(
                ["python", "tools/pretrain_table.py"]
                + [Path(a).name if "/" in a else a for a in sys.argv[1:]]
            ),
            "seconds": round(seconds),
            "torch": torch.__version__,
        },
    ).save(args.output)
    print(front_end.element_table_, "->", args.output)


if __name__ == "__main__":
    main()
