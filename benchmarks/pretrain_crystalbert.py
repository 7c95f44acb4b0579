"""Train CrystalBERT on the lattice parameters of 137,000 crystals, as its paper does.

    python benchmarks/pretrain_crystalbert.py --data ../shared/data --output runs
    python benchmarks/compare_crystalbert_sen.py --data ../shared/data --pretrained runs

The six targets are of the conventional cell (`analysis.lattice_parameters`). No crystal has a
formula of a row that `compare_crystalbert_sen.py` scores, with `--validation` or without, but for
shear moduli. A training that is there is not repeated, and one that was stopped goes on.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from _symmetry_tasks import LEFT_OUT, MAX_SITES, symmetry_task, validation_task
from compare_crystalbert_sen import PRETRAINED_TABLE, SIZES

from skuae import CrystalGNNRegressor, Crystals, analysis, datasets
from skuae.estimators import load_pretrained

EPOCHS = {"small": 10, "full": 5}
FAR = 100.0  # Å: longer cells are of layers with a gap of vacuum


def read(data, known, n_jobs):
    """Return crystals of other formulas than the scored ones, with their symmetry.

    Parameters
    ----------
    data : Path
        With the files of data/MANIFEST.md.
    known : Path
        Folder where symmetry is kept once it is found.
    n_jobs : int
        Processes that find it.

    Returns
    -------
    Crystals
    """
    path = known / "pretraining.npz"
    if path.exists():
        return Crystals.load(path)
    files = sorted(data.glob("mp_unlabelled_part*.jsonl.gz"))
    further = Crystals.concatenate([datasets.read_file(file).structures for file in files])
    further = further[further.sizes <= MAX_SITES]
    labelled = symmetry_task("metal", data, known).crystals
    held = []
    for name in LEFT_OUT:
        task = symmetry_task(name, data, known)
        chosen = validation_task(task)
        held += [task.crystals[task.scored], chosen.crystals[chosen.scored]]
    groups = datasets.formula_groups(Crystals.concatenate([labelled, further, *held]))
    n, m = len(labelled), len(labelled) + len(further)
    further = further[~np.isin(groups[n:m], groups[m:])]
    further.symmetry(n_jobs=n_jobs, verbose=1)
    crystals = Crystals.concatenate([labelled[~np.isin(groups[:n], groups[m:])], further])
    crystals.save(path)
    return crystals


def main():
    """Train what is missing."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--symmetry", type=Path, default=Path("symmetry"), help="kept once found")
    p.add_argument("--output", type=Path, required=True)
    p.add_argument("--only", nargs="+", default=list(SIZES), choices=SIZES)
    p.add_argument("--threads", type=int, default=1)
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    crystals = read(args.data, args.symmetry, args.threads)
    lattices = analysis.lattice_parameters(crystals)
    short = (lattices[["a", "b", "c"]] < FAR).all(axis=1).to_numpy()
    crystals, lattices = crystals[short], lattices[short]
    drawn = np.random.default_rng(0).permutation(np.unique(datasets.formula_groups(crystals)))
    held = np.isin(datasets.formula_groups(crystals), drawn[: len(drawn) // 50])
    for size in args.only:
        folder = args.output / size
        if not folder.exists():
            model = CrystalGNNRegressor(
                SIZES[size],
                embedding=PRETRAINED_TABLE,
                max_epochs=EPOCHS[size],
                batch_size=128,
                loss="absolute_error",
                log_targets=["a", "b", "c"],
                checkpoint_dir=args.output / f"{size}-checkpoints",
                random_state=0,
                verbose=1,
            )
            model.fit(crystals[~held], lattices[~held]).save_pretrained(folder)
        model = load_pretrained(folder)
        off = np.abs(model.predict(crystals[held]) - lattices[held].to_numpy()).mean(axis=0)
        print(
            size, f"{held.sum()} other crystals, mean absolute errors (Å, degrees):", off.round(3)
        )


if __name__ == "__main__":
    main()
