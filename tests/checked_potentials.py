"""Cases of the page "What skuae checks": interatomic potentials."""

import os
from functools import cache
from types import SimpleNamespace
from unittest import mock

import numpy as np
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from torch.nn import Linear

from skuae.featurizers import PotentialTransformer
from skuae.potentials import CHGNet, CrystalPotential
from skuae.potentials._fitted import FittedPotential

SPEC = CHGNet(dim=4, n_blocks=2, n_radial=3, n_angular=3, n_readout=0, cutoff=4.0)
SALT = Structure(Lattice.cubic(3.0), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.45]])
IRON = Structure(Lattice.cubic(2.6), ["Fe"], [[0.0, 0.0, 0.0]])
LONELY = Structure(Lattice.cubic(9.0), ["Fe"], [[0.0, 0.0, 0.0]])
CAESIUM = Structure(Lattice.cubic(4.0), ["Cs"], [[0.0, 0.0, 0.0]])
MIXED = Structure(Lattice.cubic(3.0), [{"Mg": 0.5, "Fe": 0.5}], [[0.0, 0.0, 0.0]])
ENERGIES = [{"energy": -9.0}, {"energy": -8.0}]


def fit(*, X=(SALT, IRON), **labels):
    """Fit two crystals; labels are those of the first one beside its energy."""
    model = CrystalPotential(SPEC, max_epochs=1, device="cpu", random_state=0)
    return model.fit(list(X), [ENERGIES[0] | labels, ENERGIES[1]])


def fit_as_rank():
    """Fit two crystals in what looks like one of two processes of torchrun."""
    rank = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}
    with mock.patch.dict(os.environ, rank):
        return fit()


fitted = cache(fit)


def fit_holding_back(crystal, *, early_stopping=True, **labels):
    """Fit two crystals, and hold back a third one."""
    params = {"max_epochs": 1, "device": "cpu", "random_state": 0}
    model = CrystalPotential(SPEC, early_stopping=early_stopping, **params)
    return model.fit([SALT, IRON], [ENERGIES[0] | labels, ENERGIES[1]],
                     X_val=[crystal], y_val=[{"energy": -3.0}])  # fmt: skip


def atoms(structure, **calc):
    """Return Atoms of ASE, with the results of a calculator if any are given."""
    found = AseAtomsAdaptor.get_atoms(structure)
    found.calc = SimpleNamespace(results=calc) if calc else None
    return found


def fit_calculators(*cells):
    """Fit to what the calculators of Atoms hold."""
    return CrystalPotential(SPEC, max_epochs=1, device="cpu", random_state=0).fit(list(cells))


def far():
    """Tell whether an atom seven cells away has the same energy and force."""
    moved = SALT.copy()
    moved.translate_sites([1], [7, -5, 2], to_unit_cell=False)
    here, there = (fitted().predict_all([one]).iloc[0] for one in (SALT, moved))
    return np.isclose(here["energy"], there["energy"]) and np.allclose(
        here["forces"], there["forces"], atol=1e-5
    )


def computed(pbc):
    """Compute the energy of Atoms by the calculator."""
    crystal = atoms(SALT)
    crystal.pbc = pbc
    crystal.calc = fitted().calculator()
    return np.isfinite(crystal.get_potential_energy())


def half_relaxed():
    """Relax two crystals, one of which fails; tell whether the other one is relaxed."""
    predict = FittedPotential.predict

    def failing(self, crystals, *args, **options):
        if 26 in crystals.numbers:
            raise ValueError(f"{crystals.where(0)}: the potential gives no finite numbers")
        return predict(self, crystals, *args, **options)

    with mock.patch.object(FittedPotential, "predict", failing):
        done = fitted().relax([SALT, IRON], max_steps=1, fmax=1e-9)
    return done.table["reason"].tolist() == ["max_steps", "the potential gives no finite numbers"]


POTENTIALS = {
    "a disordered crystal given to a potential": lambda _: fitted().predict([SALT, MIXED]),
    "an element that no training crystal of a potential has": lambda _: fitted().predict(
        [SALT, CAESIUM]
    ),
    "the same, given to `PotentialTransformer`": lambda _: PotentialTransformer(
        fitted()
    ).fit_transform([SALT, CAESIUM]),
    "forces for another number of atoms": lambda _: fit(forces=np.zeros((3, 3))),
    "a stress as six numbers": lambda _: fit(stress=[1, 2, 3, 0, 0, 0]),
    "a stress that is not symmetric": lambda _: fit(stress=[[1, 5, 0], [0, 1, 0], [0, 0, 1]]),
    "a label `force` in place of `forces`": lambda _: fit(force=np.zeros((2, 3))),
    "an infinite energy as a label": lambda _: fit(energy=np.inf),
    "labels that are missing in some rows": lambda _: fit(forces=np.zeros((2, 3)), stress=None),
    "an atom many cells away, given to a potential": lambda _: far(),
    "an atom without a neighbour": lambda _: np.isfinite(fitted().predict([LONELY])).all(),
    "Atoms whose calculators have results, without y": lambda _: fit_calculators(
        atoms(SALT, energy=-9.0), atoms(IRON, energy=-8.0)
    ),
    "Atoms without a calculator, without y": lambda _: fit_calculators(atoms(SALT), atoms(IRON)),
    "Atoms that are periodic, with our calculator": lambda _: computed(True),
    "Atoms that are not periodic, with our calculator": lambda _: computed(False),
    "a crystal that fails during the relaxation of others": lambda _: half_relaxed(),
    "a fit in one of several processes of torchrun": lambda _: fit_as_rank(),
    "rows held back with an element that no row of X has": lambda _: fit_holding_back(CAESIUM),
    "rows held back, without early stopping": lambda _: fit_holding_back(
        IRON, early_stopping=False
    ),
    "rows held back without forces, where X has forces": lambda _: fit_holding_back(
        IRON, forces=np.zeros((2, 3))
    ),
    "a module of torch that is no potential": lambda _: CrystalPotential(Linear(1, 1)).fit(
        [SALT], [{"energy": -9.0}]
    ),
    "a potential that is not fitted, to start from": lambda _: CrystalPotential(
        SPEC, init_from=CrystalPotential(SPEC)
    ).fit([SALT], [{"energy": -9.0}]),
}
