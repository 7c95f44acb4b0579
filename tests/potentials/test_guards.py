"""What would give wrong numbers in silence: labels of other atoms, NaN, constraints, references."""

import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from sklearn.base import clone
from small_potentials import sample

from skuae.potentials import CHGNet, CrystalPotential
from skuae.potentials._relax import _Run

SPEC = CHGNet(dim=8, n_blocks=2, n_radial=5, n_angular=5, n_readout=1, cutoff=4.0, exponent=5)
X = sample()
ENERGIES = [{"energy": -4.0 * len(crystal)} for crystal in X]


@pytest.fixture(scope="module")
def potential():
    return CrystalPotential(SPEC, max_epochs=1, dtype="float64", random_state=0).fit(X, ENERGIES)


@pytest.fixture
def frames():
    """Copper in three states, that each were calculated by one calculator."""
    build = pytest.importorskip("ase.build")
    from ase.calculators.emt import EMT

    calculator, frames = EMT(), []
    for i in range(3):
        atoms = build.bulk("Cu", cubic=True)
        atoms.rattle(0.1 * (i + 1), seed=i)
        atoms.calc = calculator
        atoms.get_potential_energy()
        frames.append(atoms)
    return frames


def test_labels_of_a_calculator_that_frames_share_are_refused(frames):
    said = "row 0: the calculator holds results for other positions than the Atoms have now; give"
    with pytest.raises(ValueError, match=said):
        CrystalPotential(SPEC, max_epochs=1).fit(frames)
    from ase.calculators.singlepoint import SinglePointCalculator

    energies = []
    for atoms in frames:
        energies.append(atoms.get_potential_energy())
        results = {"energy": energies[-1], "forces": atoms.get_forces()}
        atoms.calc = SinglePointCalculator(atoms, **results)
    fit = CrystalPotential(SPEC, max_epochs=1, random_state=0).fit(frames)
    mean = np.mean(energies) / 4
    assert fit.reference_energies_["Cu"] == pytest.approx(mean, rel=1e-9)
    frames[2].positions[0] += 0.3
    with pytest.raises(ValueError, match="row 2: the calculator holds results for other positions"):
        CrystalPotential(SPEC, max_epochs=1).fit(frames)


def test_forces_that_do_not_add_up_to_zero():
    rng, rows = np.random.default_rng(0), []
    for crystal in X:
        forces = rng.normal(size=(len(crystal), 3))
        rows.append({"energy": -4.0 * len(crystal), "forces": forces - forces.mean(axis=0)})
    fit = CrystalPotential(SPEC, max_epochs=1, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit.fit(X, rows)
    rows[2]["forces"][:, 1] += 0.2
    total = f"{0.2 * len(X[2]):.3g}"
    with pytest.warns(UserWarning, match=f"row 2: forces add up to {total} eV/Å, those of a whole"):
        fit.fit(X, rows)
    rows[1]["forces"][0, 0] += 3.0 * len(X[1])
    with pytest.warns(UserWarning, match=r"row 1: .* to 0 \(2 such rows\). Forces of fixed atoms"):
        fit.fit(X, rows)


def test_positions_that_become_nan_are_refused(potential):
    pytest.importorskip("ase")
    atoms = AseAtomsAdaptor.get_atoms(X[0])
    atoms.calc = potential.calculator()
    before = atoms.get_potential_energy()
    atoms.positions[0] = np.nan
    with pytest.raises(ValueError, match=r"nan|finite"):
        atoms.get_potential_energy()
    atoms.positions[0] = AseAtomsAdaptor.get_atoms(X[0]).positions[0]
    assert atoms.get_potential_energy() == pytest.approx(before, rel=1e-12)


def test_fixed_atoms_are_not_moved_in_silence(potential, tmp_path):
    pytest.importorskip("ase")
    from ase.constraints import FixAtoms

    atoms = AseAtomsAdaptor.get_atoms(X[0])
    atoms.set_constraint(FixAtoms([0]))
    with pytest.raises(ValueError, match=r"row 1: some of its atoms are fixed, .* del atoms"):
        potential.relax([X[0], atoms])
    fixed = X[0].copy()
    moves = [[False] * 3] + [[True] * 3] * (len(fixed) - 1)
    fixed.add_site_property("selective_dynamics", moves)
    with pytest.raises(ValueError, match=r"row 0: some of its atoms are fixed"):
        potential.relax([fixed])
    path = tmp_path / "POSCAR"
    fixed.to(filename=path)
    for rows in ([path], [str(path)], [fixed.as_dict()], (one for one in [fixed])):
        with pytest.raises(ValueError, match=r"row 0.*: some of its atoms are fixed"):
            potential.relax(rows)
    fixed.add_site_property("selective_dynamics", [[True] * 3] * len(fixed))
    assert len(potential.relax([fixed], max_steps=1).table) == 1
    assert len(potential.relax((one for one in [fixed]), max_steps=1).table) == 1


def test_tables_have_the_index_of_x(potential):
    named = pd.Series(X[:2], index=["a", "b"])
    assert potential.relax(named, max_steps=1).table.index.tolist() == ["a", "b"]
    assert potential.predict_all(named).index.tolist() == ["a", "b"]


def test_threads_share_a_potential(potential):
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: potential.predict(X), range(16)))
    assert (np.stack(found) == potential.predict(X)).all()
    module = potential.fitted_.module
    assert not any(parameter.requires_grad for parameter in module.parameters())


def test_fits_in_threads_draw_the_same_weights():
    start = CrystalPotential(SPEC, max_epochs=1, random_state=0)
    alone, state = start.fit(X, ENERGIES).predict(X), torch.get_rng_state()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: clone(start).fit(X, ENERGIES).predict(X), range(12)))
    assert (np.stack(found) == alone).all()
    assert torch.equal(torch.get_rng_state(), state)


def test_damaged_checkpoints_say_how_to_start_anew(tmp_path):
    start = CrystalPotential(SPEC, max_epochs=1, random_state=0, checkpoint_dir=tmp_path)
    start.fit(X, ENERGIES)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=rf"{path.name} is damaged.*Delete the file to start this"):
        start.fit(X, ENERGIES)


def test_errors_of_torch_fail_one_crystal(potential, monkeypatch):
    measure = _Run._measure

    def fail(self, fitted, rows, max_edges):
        if 1 in rows:
            raise RuntimeError("out of memory")
        measure(self, fitted, rows, max_edges)

    monkeypatch.setattr(_Run, "_measure", fail)
    table = potential.relax(X[:3], max_steps=1).table
    assert table["reason"][1] == "out of memory" and not table["converged"][1]
    assert np.isfinite(table["energy"][[0, 2]]).all()


def test_energies_of_thousands_of_ev_are_references():
    """As codes with all electrons have them: nothing may pull them to 0."""
    rng, atoms = np.random.default_rng(0), {"Cu": -45_000.0, "O": -2_040.0}
    cells = []
    for n in range(1, 7):
        species = ["Cu"] * n + ["O"] * (7 - n)
        cells.append(Structure(Lattice.cubic(6.0), species, rng.random((7, 3))))
    y = [{"energy": sum(atoms[site.specie.symbol] for site in cell) - 21.0} for cell in cells]
    found = CrystalPotential(SPEC, max_epochs=1).fit(cells, y).reference_energies_
    for symbol, energy in atoms.items():
        assert found[symbol] == pytest.approx(energy - 3.0, abs=1e-4)


def test_reference_energies_by_hand_name_all_elements(potential):
    symbols = sorted({site.specie.symbol for crystal in X for site in crystal})
    given = dict.fromkeys(symbols, -3.0)
    fit = CrystalPotential(SPEC, max_epochs=1, reference_energies=given).fit(X, ENERGIES)
    assert fit.reference_energies_ == given
    missing = {symbol: given[symbol] for symbol in symbols[1:]}
    said = f"reference_energies has no energy of {symbols[0]}; add one"
    with pytest.raises(ValueError, match=said):
        CrystalPotential(SPEC, max_epochs=1, reference_energies=missing).fit(X, ENERGIES)
    rows = [X[i] for i in (0, 1, 2) if symbols[0] not in X[i].symbol_set]
    some = [*rows, *(x for x in X if symbols[0] in x.symbol_set)]
    labels = [{}] + [{"energy": -1.0}] * (len(some) - 1)  # the first row is not trained on
    with pytest.raises(ValueError, match=f"row {len(rows)}: {said}"):
        CrystalPotential(SPEC, max_epochs=1, reference_energies=missing).fit(some, labels)
    one = {symbols[0]: -1.0}
    kept = CrystalPotential(SPEC, init_from=potential, max_epochs=1, reference_energies=one)
    found = kept.fit(X, ENERGIES).reference_energies_
    others = {symbol: potential.reference_energies_[symbol] for symbol in symbols[1:]}
    assert found == {**one, **others}


def test_nothing_to_score_is_no_perfect_score(potential):
    with pytest.raises(ValueError, match="no known label with a weight: there is nothing to score"):
        potential.score(X, [{}] * len(X))


@pytest.mark.parametrize("name", ["chgnet", "chgnet-0.3"])
def test_names_that_do_not_exist_bring_those_that_do(name):
    with pytest.raises(FileNotFoundError, match=r"no published potential of that name; .*sevennet"):
        CrystalPotential.from_pretrained(name)


def test_large_cells_have_the_energies_of_their_parts():
    """Energies of sites are added up in double precision."""
    small = CrystalPotential(SPEC, max_epochs=1, random_state=0).fit(X, ENERGIES)
    cell = X[0]
    large = cell * (6, 6, 6)
    difference = small.predict([large])[0] - 216 * small.predict([cell])[0]
    assert abs(difference) / len(large) < 2e-7
