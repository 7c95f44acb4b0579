"""Six tasks to choose how to train by: none of their rows is a test row of a published table."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from _common import read_materials_project

from skuae import Crystals, datasets

MAX_SITES = 60
N_SCORED = 2000
UNITS = {"formation energy": "eV/atom", "gap": "eV", "shear modulus": "log10(GPa)",
         "surface energy": "not given", "OQMD perovskites": "eV/atom", "metal": ""}  # fmt: skip
_FILES = {"shear modulus": ("mp_elasticity", "G_VRH"),
          "surface energy": ("surface_property3", "prop1"),
          "OQMD perovskites": ("oqmd_perovskite", "formation_energy_per_atom")}  # fmt: skip
_LABELS = {"formation energy": "formation_energy_per_atom_megnet2018",
           "gap": "band_gap_megnet2018", "metal": "band_gap_megnet2018"}  # fmt: skip


@dataclass(frozen=True)
class Task:
    """Crystals to learn from and crystals to score, which have no formula in common.

    Attributes
    ----------
    crystals : Crystals
    y : array of shape (n_crystals,)
        Numbers, or labels.
    pool, scored : array of int
        Rows.
    """

    crystals: Crystals
    y: np.ndarray
    pool: np.ndarray
    scored: np.ndarray

    @property
    def is_classification(self):
        """Whether `y` has labels."""
        return self.y.dtype.kind == "U"


@cache
def read_task(name, folder):
    """Read a task.

    Parameters
    ----------
    name : str
        One of `UNITS`.
    folder : Path
        With the files of data/MANIFEST.md.

    Returns
    -------
    Task
    """
    if name in _LABELS:
        crystals, labels = _materials_project(folder)
        y, split = labels[_LABELS[name]].to_numpy(), labels["megnet_split"].to_numpy()
        known = ~np.isnan(y)
        pool, scored = (np.flatnonzero(known & (split == part)) for part in ("train", "val"))
        if name == "metal":
            y = np.where(y > 0, "insulator", "metal")
    else:
        file, column = _FILES[name]
        data = datasets.read_file(folder / f"{file}.jsonl.gz", target=column)
        crystals, y = data.structures, data.target
        if name == "shear modulus":
            y = np.log10(np.where(y > 0, y, np.nan))
        rows = np.flatnonzero(np.isfinite(y) & (np.abs(y) < 5))  # one of OQMD's is 25 eV/atom
        formulas = datasets.formula_groups(crystals)
        drawn = np.random.default_rng(0).permutation(np.unique(formulas))
        held = np.isin(formulas[rows], drawn[: len(drawn) // 5])
        pool, scored = rows[~held], rows[held]
    small = crystals.sizes <= MAX_SITES
    pool, scored = pool[small[pool]], scored[small[scored]]
    scored = np.random.default_rng(0).permutation(scored)[:N_SCORED]
    formulas = datasets.formula_groups(crystals)
    return Task(crystals, y, pool[~np.isin(formulas[pool], formulas[scored])], scored)


@cache
def _materials_project(folder: Path):
    return read_materials_project(folder)
