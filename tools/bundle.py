"""Write a set of crystals into the package, as `skuae.datasets._bundled` reads it."""

from pathlib import Path

import pandas as pd
from pymatgen.core import Structure

from skuae.crystals import as_crystals

DATA = Path(__file__).parents[1] / "skuae" / "datasets" / "data"


def write(name, rows, labels):
    """Write ``<name>_structures.npz`` and ``<name>_labels.csv``, and print what is in them.

    Parameters
    ----------
    name : str
    rows : list of dict
        With lattice, atomic_numbers and frac_coords.
    labels : DataFrame
        One row each, indexed by id; none may be missing.
    """
    assert labels.index.is_unique and labels.notna().all(axis=None)
    # 6 decimals are what the structures have; 1e-6 eV is far below the accuracy of any label.
    labels.round(6).to_csv(DATA / f"{name}_labels.csv", lineterminator="\n")
    structures = [Structure(r["lattice"], r["atomic_numbers"], r["frac_coords"]) for r in rows]
    crystals = as_crystals(structures, ids=labels.index)
    crystals.save(DATA / f"{name}_structures.npz")

    formulas = pd.Series([s.composition.reduced_formula for s in structures])
    print(f"{crystals}, {len({*crystals.numbers.tolist()})} elements")
    print(f"{formulas.duplicated(keep=False).sum()} rows share their formula with another")
    for path in sorted(DATA.glob(f"{name}*")):
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")
