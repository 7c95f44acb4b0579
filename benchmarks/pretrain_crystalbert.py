"""Learn what compare_crystalbert_sen.py starts from, without the formulas of its scored rows.

    python benchmarks/pretrain_crystalbert.py --data ../shared/data --output runs
    python benchmarks/compare_crystalbert_sen.py --data ../shared/data --pretrained runs

- `ct-uae-mt`: the element table by the recipe of the shipped one (tools/make_ct_uae.py), which has
  seen formation energies and gaps of many of these formulas.
- `small`, `full`: CrystalBERT, trained on the lattice parameters of 137,000 crystals, as its paper
  does. The six targets are of the conventional cell (`analysis.lattice_parameters`).

Scored rows are meant with `--validation` and without. A training that is there is not repeated,
and one that was stopped goes on.
"""

import argparse
from functools import cache
from pathlib import Path

import numpy as np
import torch
from _common import read_materials_project
from _symmetry_tasks import MAX_SITES, UNITS, symmetry_task, validation_task
from compare_crystalbert_sen import SIZES, TABLE, table_of
from joblib import Parallel, delayed

from skuae import CrystalGNNRegressor, Crystals, CrystalTransformerRegressor, analysis, datasets
from skuae.embedding import ElementTable, join_tables
from skuae.estimators import load_pretrained
from skuae.pretraining import pretrain

TARGETS = ["formation_energy_per_atom", "band_gap", "total_magnetization_per_atom", "K_VRH"]
# Targets of the five tables that are joined, each of three seeds.
PARTS = {"ef": TARGETS[:1], "eg": TARGETS[1:2], "mt2": TARGETS[:2], "mt3": TARGETS[:3],
         "mt4": TARGETS}  # fmt: skip
SEEDS = (0, 1, 2)
EPOCHS = {"small": 10, "full": 2}
FAR = 100.0  # Å: longer cells are of layers with a gap of vacuum


@cache
def scored(data, symmetry):
    """Return the crystals of all scored rows."""
    held = []
    for name in UNITS:
        task = symmetry_task(name, data, symmetry)
        chosen = validation_task(task)
        held += [task.crystals[task.scored], chosen.crystals[chosen.scored]]
    return Crystals.concatenate(held)


def learn_table(args):
    """Learn the parts of the table, and join them."""
    crystals, labels = read_materials_project(args.data)
    held, folder = scored(args.data, args.symmetry), args.output / "parts"

    def learn(name, seed):
        torch.set_num_threads(1)
        path = folder / f"{name}-{seed}"
        if not (path / "config.json").exists():
            front_end = CrystalTransformerRegressor(
                n_layers=2, max_epochs=5, random_state=seed, on_missing_element="mean"
            )
            options = {"front_end": front_end, "name": name, "hold_out": held, "max_sites": 20}
            pretrain(crystals, labels[PARTS[name]], path, verbose=0, **options)
            print(path.name, flush=True)
        return ElementTable.load(path / f"{name}.safetensors")

    jobs = [delayed(learn)(name, seed) for name in PARTS for seed in SEEDS]
    tables = Parallel(args.threads)(jobs)
    join_tables(tables, 64, name=TABLE).save(args.output / f"{TABLE}.safetensors")


def read(args):
    """Return crystals to learn lattices from, with their symmetry."""
    path = args.symmetry / "pretraining.npz"
    if path.exists():
        return Crystals.load(path)
    files = sorted(args.data.glob("mp_unlabelled_part*.jsonl.gz"))
    further = Crystals.concatenate([datasets.read_file(file).structures for file in files])
    further = further[further.sizes <= MAX_SITES]
    labelled = symmetry_task("metal", args.data, args.symmetry).crystals
    held = scored(args.data, args.symmetry)
    groups = datasets.formula_groups(Crystals.concatenate([labelled, further, held]))
    n, m = len(labelled), len(labelled) + len(further)
    further = further[~np.isin(groups[n:m], groups[m:])]
    further.symmetry(n_jobs=args.threads, verbose=1)
    crystals = Crystals.concatenate([labelled[~np.isin(groups[:n], groups[m:])], further])
    crystals.save(path)
    return crystals


def learn_lattices(size, args):
    """Train a CrystalBERT, and print its errors on crystals of formulas that it has not seen."""
    crystals = read(args)
    lattices = analysis.lattice_parameters(crystals)
    short = (lattices[["a", "b", "c"]] < FAR).all(axis=1).to_numpy()
    crystals, lattices = crystals[short], lattices[short]
    groups = datasets.formula_groups(crystals)
    drawn = np.random.default_rng(0).permutation(np.unique(groups))
    held = np.isin(groups, drawn[: len(drawn) // 50])
    model = CrystalGNNRegressor(
        SIZES[size],
        embedding=table_of(f"{TABLE} + magpie", args.output),
        max_epochs=EPOCHS[size],
        batch_size=128,
        loss="absolute_error",
        log_targets=["a", "b", "c"],
        checkpoint_dir=args.output / f"{size}-checkpoints",
        random_state=0,
        verbose=1,
    )
    folder = args.output / size
    if not folder.exists():
        model.fit(crystals[~held], lattices[~held]).save_pretrained(folder)
    model, known = load_pretrained(folder), lattices[held].to_numpy()
    errors = np.abs(model.predict(crystals[held]) - known).mean(axis=0)
    constant = np.abs(np.median(lattices[~held], axis=0) - known).mean(axis=0)
    print(f"{size}: {(~held).sum()} crystals, {held.sum()} others")
    print("mean absolute errors (Å, degrees):", errors.round(3), "constant:", constant.round(3))


def main():
    """Train what is missing."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--symmetry", type=Path, default=Path("symmetry"), help="kept once found")
    p.add_argument("--output", type=Path, required=True)
    p.add_argument("--only", nargs="+", default=[TABLE, *SIZES], choices=[TABLE, *SIZES])
    p.add_argument("--threads", type=int, default=1)
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    if TABLE in args.only:
        learn_table(args)
    for size in SIZES:
        if size in args.only:
            learn_lattices(size, args)


if __name__ == "__main__":
    main()
