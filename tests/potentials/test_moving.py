"""Atoms that a potential moves: calculators of ASE, and relaxation of many crystals."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from small_potentials import rattled, sample

from skuae import as_crystals
from skuae.potentials import CHGNet, CrystalPotential
from skuae.potentials._contract import GPA

SPEC = CHGNet(dim=8, n_blocks=2, n_radial=5, n_angular=5, n_readout=1, cutoff=4.0, exponent=5)
X = as_crystals(sample())


@pytest.fixture(scope="module")
def potential():
    labels = [{"energy": -4.0 * len(crystal)} for crystal in X]
    return CrystalPotential(SPEC, max_epochs=1, dtype="float64", random_state=0).fit(X, labels)


@pytest.fixture
def atoms():
    pytest.importorskip("ase")
    return AseAtomsAdaptor.get_atoms(sample()[0])


def test_a_calculator_says_what_predict_says(potential, atoms):
    atoms.calc = potential.calculator()
    table = potential.predict_all(X).iloc[0]
    assert atoms.get_potential_energy() == pytest.approx(table["energy"], rel=1e-12)
    energies = atoms.get_potential_energies()
    assert energies.shape == (len(atoms),) and len(set(energies)) > 1
    assert energies.sum() == pytest.approx(table["energy"], rel=1e-12)
    np.testing.assert_allclose(atoms.get_forces(), table["forces"], atol=1e-10)
    np.testing.assert_allclose(atoms.get_stress(voigt=False) * GPA, table["stress"], atol=1e-9)


def test_neighbours_serve_several_steps(potential, atoms):
    atoms.calc = potential.calculator(skin=0.4)
    rng = np.random.default_rng(0)
    searches = []
    for _ in range(12):
        atoms.positions += rng.uniform(-0.06, 0.06, atoms.positions.shape)
        fresh = potential.predict_all([atoms]).iloc[0]
        assert atoms.get_potential_energy() == pytest.approx(fresh["energy"], rel=1e-12)
        np.testing.assert_allclose(atoms.get_forces(), fresh["forces"], atol=1e-10)
        searches.append(atoms.calc.n_searches)
    assert 1 < searches[-1] < 8 and searches[:2] == [1, 1]


def test_atoms_that_leave_the_cell_are_followed(potential, atoms):
    atoms.calc = potential.calculator()
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    atoms.positions[0] += 2 * atoms.cell[1]
    assert atoms.get_potential_energy() == pytest.approx(energy, rel=1e-12)
    np.testing.assert_allclose(atoms.get_forces(), forces, atol=1e-10)
    assert atoms.calc.n_searches == 2


def test_other_cells_and_atoms_are_searched_anew(potential, atoms):
    atoms.calc = potential.calculator()
    for change in (
        lambda: atoms.set_cell(atoms.cell * 1.01, scale_atoms=True),
        lambda: atoms.numbers.__setitem__(0, 8),
    ):
        change()
        energy = potential.predict([atoms])[0]
        assert atoms.get_potential_energy() == pytest.approx(energy, rel=1e-12)


def test_calculators_refuse_what_they_cannot_know(potential, atoms):
    atoms.calc = potential.calculator()
    atoms.numbers[0] = 55
    for _ in range(2):
        with pytest.raises(ValueError, match="not trained on Cs"):
            atoms.get_potential_energy()
    atoms.numbers[0] = 12
    assert np.isfinite(atoms.get_potential_energy())
    atoms.pbc = False
    with pytest.raises(ValueError, match="periodic"):
        atoms.get_potential_energy()
    with pytest.raises(ValueError, match="skin must be a finite number"):
        potential.calculator(skin=-1)


def test_dynamics_keep_the_energy(potential, atoms):
    from ase import units
    from ase.md.verlet import VelocityVerlet

    rng = np.random.default_rng(0)
    atoms.set_momenta(rng.standard_normal(atoms.positions.shape))
    atoms.calc = potential.calculator()
    run = VelocityVerlet(atoms, timestep=1.0 * units.fs)
    start, kinetic = atoms.get_total_energy(), atoms.get_kinetic_energy()
    run.run(40)
    assert abs(atoms.get_kinetic_energy() - kinetic) > 1e-4
    assert abs(atoms.get_total_energy() - start) < 0.02 * abs(atoms.get_kinetic_energy() - kinetic)


# -- relaxation -----------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", [True, False])
def test_relaxed_crystals_have_no_forces(potential, cell):
    crystals = as_crystals([rattled(structure, seed=i) for i, structure in enumerate(sample())])
    done = potential.relax(crystals, fmax=0.01, cell=cell, max_steps=300)
    assert done.table["converged"].all() and set(done.table["reason"]) == {"converged"}
    after = potential.predict_all(done.crystals)
    np.testing.assert_allclose(after["energy"], done.table["energy"], atol=1e-9)
    assert (done.table["energy"] <= done.table["initial_energy"] + 1e-9).all()
    for forces, stress, volume, size in zip(
        after["forces"], after["stress"], done.crystals.volumes, crystals.sizes, strict=True
    ):
        assert np.linalg.norm(forces, axis=1).max() < 0.01
        if cell:
            assert np.abs(stress).max() * volume / size / GPA < 0.01
    same = np.array_equal(done.crystals.lattices, crystals.lattices)
    assert same is not cell
    np.testing.assert_array_equal(done.crystals.numbers, crystals.numbers)


def test_crystals_relax_alike_alone_and_together(potential):
    crystals = as_crystals([rattled(structure, seed=i) for i, structure in enumerate(sample())])
    together = potential.relax(crystals, max_steps=5)
    for i in range(len(crystals)):
        alone = potential.relax(crystals[[i]], max_steps=5)
        assert alone.table["energy"][0] == pytest.approx(together.table["energy"][i], abs=1e-9)
        assert alone.table["n_steps"][0] == together.table["n_steps"][i]


def test_no_steps_and_few_steps_are_said(potential):
    crystals = as_crystals([rattled(sample()[0])])
    none = potential.relax(crystals, fmax=1e-9, max_steps=0)
    assert none.table["n_steps"].tolist() == [0] and none.table["reason"].tolist() == ["max_steps"]
    np.testing.assert_allclose(none.crystals.frac_coords, crystals.frac_coords, atol=1e-12)
    few = potential.relax(crystals, fmax=1e-9, max_steps=3)
    assert few.table["n_steps"].tolist() == [3] and not few.table["converged"].any()


def test_nothing_is_lost_when_one_fails(potential, monkeypatch):
    from skuae.potentials._fitted import FittedPotential

    predict, calls = FittedPotential.predict, []

    def failing(self, crystals, *args, **options):
        calls.append(len(crystals))
        if len(calls) > 3 and 14 in crystals.numbers:  # silicon, from the fourth step on
            raise ValueError(f"{crystals.where(0)}: no finite energy")
        return predict(self, crystals, *args, **options)

    monkeypatch.setattr(FittedPotential, "predict", failing)
    crystals = as_crystals([rattled(structure, seed=i) for i, structure in enumerate(sample())])
    done = potential.relax(crystals, fmax=1e-9, max_steps=6)
    assert done.table["reason"].tolist() == ["max_steps", "no finite energy", "max_steps"]
    assert np.isfinite(done.table["energy"]).all()
    assert done.table["n_steps"].tolist()[0] == 6
    np.testing.assert_array_equal(done.crystals.sizes, crystals.sizes)


def test_senseless_relaxations_are_refused(potential):
    mixed = Structure(Lattice.cubic(4.0), [{"Mg": 0.5, "Fe": 0.5}, "O"], [[0] * 3, [0.5] * 3])
    with pytest.raises(ValueError, match="row 0 has sites that are shared"):
        potential.relax([mixed])
    with pytest.raises(ValueError, match="row 0: the potential was not trained on Cs"):
        potential.relax([Structure(Lattice.cubic(4.0), ["Cs"], [[0] * 3])])
    for params in ({"fmax": 0.0}, {"max_steps": -1}, {"cell": 1}):
        with pytest.raises(ValueError, match=next(iter(params))):
            potential.relax(X, **params)
