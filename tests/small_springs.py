"""Cells of two atoms with a spring between these, and a small potential, for tests."""

import numpy as np
from pymatgen.core import Lattice, Structure

from skuae import as_crystals
from skuae.potentials import CHGNet, CrystalPotential

TINY = CHGNet(dim=8, n_blocks=2, n_radial=5, n_angular=5, n_readout=1, cutoff=4.0)
SPRING = 2.0


def dimers(n=12):
    """Return cells with two atoms, and the labels of a spring between these."""
    rng = np.random.default_rng(0)
    structures, labels = [], []
    for i in range(n):
        vector = rng.standard_normal(3)
        vector *= rng.uniform(1.8, 2.6) / np.linalg.norm(vector)
        cell = Structure(Lattice.cubic(12.0), ["Na", "Cl"] if i % 3 else ["K", "Cl"],
                         [[0, 0, 0], vector], coords_are_cartesian=True)  # fmt: skip
        length = np.linalg.norm(vector)
        pull = SPRING * (length - 2.2) * vector / length
        energy = SPRING / 2 * (length - 2.2) ** 2 + (-5.0 if i % 3 else -7.0)
        structures.append(cell)
        labels.append({"energy": energy, "forces": np.array([pull, -pull])})
    return as_crystals(structures), labels


def potential(**params):
    defaults = {"backbone": TINY, "max_epochs": 3, "random_state": 0, "lr": 3e-3}
    return CrystalPotential(**{**defaults, **params})


def state(model):
    return model.fitted_.module.state_dict()
