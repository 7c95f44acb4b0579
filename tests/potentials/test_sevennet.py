"""SevenNet-0 of the sevenn package: the same numbers, its elements, training and files."""

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor

from skuae.datasets import load_mp_mini
from skuae.featurizers import PotentialTransformer
from skuae.potentials import CrystalPotential, SevenNet
from skuae.potentials._contract import GPA

SMALL = SevenNet(8, lmax=1, num_convolution_layer=2, cutoff=4.0)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"channel": 2, "lmax": 2}, r"channel must be even and at least 2\*\*lmax"),
        ({"channel": 4096}, "channel must be at most 1024"),
        ({"lmax": -1}, "lmax"),
        ({"cutoff": 60.0}, "cutoff must be at most"),
    ],
)
def test_parameters_that_make_no_sense(params, said):
    with pytest.raises(ValueError, match=said):
        SevenNet(**params).check()


sevenn = pytest.importorskip("sevenn", reason="not with mace: it needs another e3nn")


@pytest.fixture(scope="module")
def potential():
    return CrystalPotential.from_pretrained("sevennet-0", device="cpu")


@pytest.fixture(scope="module")
def X():
    structures = [structure.copy() for structure in load_mp_mini().structures[:6]]
    for i, structure in enumerate(structures):
        structure.perturb(0.1, seed=i)
    return structures


def test_same_energies_forces_and_stresses_as_the_package(potential, X):
    from sevenn.calculator import SevenNetCalculator

    calculator = SevenNetCalculator("7net-0", device="cpu")
    found = potential.predict_all(X)
    for structure, ours in zip(X, found.itertuples(), strict=True):
        atoms = AseAtomsAdaptor.get_atoms(structure)
        atoms.calc = calculator
        close = {"rtol": 1e-5, "atol": 1e-5}
        np.testing.assert_allclose(ours.energy, atoms.get_potential_energy(), **close)
        np.testing.assert_allclose(ours.forces, atoms.get_forces(), **close)
        np.testing.assert_allclose(ours.stress / GPA, atoms.get_stress(voigt=False), **close)
    assert max(np.abs(forces).max() for forces in found["forces"]) > 0.1


def test_all_published_weights_are_there(potential):
    """Those of the package without the energies of elements and the numbers of neighbours."""
    n_elements, n_without_vector = 89, 5
    n_weights = sum(p.numel() for p in potential.fitted_.module.parameters())
    assert n_weights - n_without_vector * 128 == 842_623 - 2 * n_elements - 5
    assert potential.fitted_.seen.sum() == n_elements
    radon = Structure(Lattice.cubic(4.0), ["Rn"], [[0.0] * 3])
    with pytest.raises(ValueError, match=r"row 0.*not trained on Rn"):
        potential.predict([radon])


def test_features(potential, X):
    features = PotentialTransformer("sevennet-0", statistics=("mean", "max"), device="cpu")
    found = features.fit_transform(X)
    assert found.shape == (6, 256) and np.isfinite(found).all()
    assert features.get_feature_names_out()[0] == "sevennet_mean_0"
    assert "park2024sevennet" in features.citations()[0]
    double = [X[0] * (2, 1, 1)]
    np.testing.assert_allclose(features.transform(double), found[:1], rtol=1e-3, atol=1e-4)


def test_isolated_atoms_have_energies_and_no_forces(potential):
    alone = Structure(Lattice.cubic(20.0), ["Cu"], [[0.0] * 3])
    with pytest.warns(UserWarning, match="no atom"):
        found = potential.predict_all([alone])
    assert np.isfinite(found["energy"][0]) and not found["forces"][0].any()


@pytest.mark.parametrize("embedding", [None, "cgcnn"])
def test_fits_save_and_are_read(embedding, potential, X, tmp_path):
    y = potential.predict_all(X)[["energy", "forces"]]
    fit = CrystalPotential(SMALL, embedding=embedding, max_epochs=3, random_state=0, device="cpu")
    fit.fit(X, y)
    losses = [epoch["train_loss"] for epoch in fit.history_]
    assert losses[-1] < losses[0]
    again = CrystalPotential(SMALL, embedding=embedding, max_epochs=3, random_state=0, device="cpu")
    assert np.array_equal(again.fit(X, y).predict(X), fit.predict(X))
    fit.save_pretrained(tmp_path)
    read = CrystalPotential.from_pretrained(tmp_path, device="cpu")
    assert np.array_equal(read.predict(X), fit.predict(X))


def test_the_forces_are_the_slopes_of_the_energy(X):
    fit = CrystalPotential(SMALL, max_epochs=1, dtype="float64", random_state=0, device="cpu")
    fit.fit(X, [{"energy": -float(len(x))} for x in X])
    step, moved = 1e-4, []
    for sign in (1, -1):
        one = X[0].copy()
        one.translate_sites([1], sign * step * np.eye(3)[2], frac_coords=False)
        moved.append(one)
    plus, minus = fit.predict(moved)
    forces = fit.predict_forces(X[:1])[0]
    np.testing.assert_allclose(-(plus - minus) / (2 * step), forces[1, 2], rtol=1e-5, atol=1e-7)


def test_training_goes_on_from_the_published_weights(potential, X):
    """Numbers of neighbours are no weights: they stay as they are."""
    y = potential.predict_all(X[:4])[["energy", "forces"]]
    y["forces"] = [1.1 * forces for forces in y["forces"]]
    tuned = CrystalPotential(
        "sevennet", init_from="sevennet-0", max_epochs=2, lr=1e-4, random_state=0, device="cpu"
    )
    tuned.fit(X[:4], y)
    before, after = (p.fitted_.module.state_dict() for p in (potential, tuned))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert "network.0_convolution.weight_nn.layer0.weight" in changed
    assert not any("denominator" in name or name == "scale" for name in changed)
