"""MACE of the mace-torch package: the same numbers, its elements, and what is refused."""

import copy
import os
import pickle

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from sklearn.base import clone
from small_mace import FIRST, calculator, crystals, mace, model

from skuae.embedding import ElementTable
from skuae.potentials import MACE, CrystalPotential
from skuae.potentials._contract import GPA

X = crystals()
TINY = {"hidden_irreps": "2x0e+2x1o", "max_ell": 1, "num_bessel": 2, "correlation": 1}
CAESIUM = Structure(Lattice.cubic(4.0), ["Rn"], [[0.0, 0.0, 0.0]])


@pytest.fixture(scope="module")
def network():
    return model(X)


@pytest.fixture(scope="module")
def potential(network):
    return CrystalPotential.from_pretrained(network, device="cpu")


def labels_of(potential, structures, factor=1.1):
    found = potential.predict_all(structures)
    return [
        {"energy": factor * e, "forces": factor * f, "stress": factor * s}
        for e, f, s in zip(found["energy"], found["forces"], found["stress"], strict=True)
    ]


def assert_same_as(calc, potential, structures, tolerance):
    found = potential.predict_all(structures)
    for structure, ours in zip(structures, found.itertuples(), strict=True):
        atoms = AseAtomsAdaptor.get_atoms(structure)
        atoms.calc = calc
        close = {"rtol": tolerance, "atol": tolerance}
        np.testing.assert_allclose(ours.energy, atoms.get_potential_energy(), **close)
        np.testing.assert_allclose(ours.forces, atoms.get_forces(), **close)
        np.testing.assert_allclose(ours.stress / GPA, atoms.get_stress(voigt=False), **close)
    assert max(np.abs(forces).max() for forces in found["forces"]) > 0.1


# -- the same numbers -----------------------------------------------------------------------------

VARIANTS = {
    "scaled": {},
    "plain": {"scaled": False, "pair_repulsion": True, "distance_transform": "Agnesi"},
    "density": {
        "interaction_cls": "RealAgnosticDensityResidualInteractionBlock",
        "first": "RealAgnosticDensityInteractionBlock",
    },
    "deep": {"num_interactions": 3, "max_ell": 3, "correlation": 3, "hidden_irreps": "3x0e+3x2e"},
    "one": {"num_interactions": 1, "hidden_irreps": "4x0e"},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_same_energies_forces_and_stresses_as_the_package(name, monkeypatch):
    theirs = model(X, **VARIANTS[name])
    potential = CrystalPotential.from_pretrained(theirs, device="cpu")
    assert potential.fitted_.dtype == torch.float64 and not potential.fitted_.has_magmoms
    assert_same_as(calculator(theirs, monkeypatch), potential, X, 1e-10)


def test_same_numbers_in_single_precision(monkeypatch):
    theirs = model(X, dtype=torch.float32)
    potential = CrystalPotential.from_pretrained(theirs, device="cpu")
    calc = calculator(theirs, monkeypatch, "float32")
    assert_same_as(calc, potential, X, 1e-4)


def test_the_model_stays_as_it_is(network, potential):
    before = copy.deepcopy(network.state_dict())
    labels = labels_of(potential, X)
    tuned = CrystalPotential(network, max_epochs=1, device="cpu", random_state=0).fit(X, labels)
    assert not np.array_equal(tuned.predict(X), potential.predict(X))
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_energies_of_elements_are_reference_energies(network, potential):
    energies = np.linspace(-5, -1, len(network.atomic_numbers))
    np.testing.assert_allclose(list(potential.reference_energies_.values()), energies)
    table = potential.element_table_
    assert table.seen.sum() == len(energies) and table.values.shape[1] == 4


def test_torch_reads_files_as_carefully_as_before():
    assert "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD" not in os.environ


# -- vectors of elements --------------------------------------------------------------------------


def table(width, seed=0):
    numbers = np.arange(1, 119)
    values = np.random.default_rng(seed).standard_normal((118, width))
    return ElementTable(values, symbols=numbers, name="random")


def test_a_table_is_written_into_the_node_embedding(network, monkeypatch):
    ours = table(4)
    written = copy.deepcopy(network)
    numbers = written.atomic_numbers.numpy()
    weight = written.node_embedding.linear.weight
    # The layer divides its rows by the root of the number of elements.
    rows = torch.tensor(ours.values[numbers - 1] * np.sqrt(len(numbers)))
    weight.data = rows.reshape(weight.shape)
    given = CrystalPotential(
        network, embedding=ours, freeze_embedding=True, reference_energies=None, lr=1e-30,
        max_epochs=1, random_state=0, dtype="float64", device="cpu",
    ).fit(X, [{"energy": 0.0}] * len(X))  # fmt: skip
    assert_same_as(calculator(written, monkeypatch), given, X, 1e-10)
    found = given.element_table_.values[numbers - 1]
    np.testing.assert_array_equal(found, ours.values[numbers - 1])


def test_a_table_of_another_width_passes_a_layer(network, potential):
    labels = labels_of(potential, X)
    params = {"max_epochs": 1, "device": "cpu", "random_state": 0, "lr": 1e-30}
    given = CrystalPotential(network, embedding=table(7), **params).fit(X, labels)
    module = given.fitted_.module
    assert module.embedding.weight.shape == (4, 7) and module.vectors().shape[1] == 4
    kept = potential.fitted_.module.network.state_dict()
    for name, value in module.network.state_dict().items():
        torch.testing.assert_close(value, kept[name].to(value.dtype))


# -- training, files and the rest -----------------------------------------------------------------


def test_a_model_is_fine_tuned(network, potential):
    labels = labels_of(potential, X, factor=1.05)
    params = {"device": "cpu", "random_state": 0, "dtype": "float64", "lr": 1e-3}
    tuned = CrystalPotential(network, max_epochs=8, **params).fit(X, labels)
    assert tuned.score(X, labels) > 1.1 * potential.score(X, labels)  # both are negative
    again = CrystalPotential(potential.backbone, init_from=potential, max_epochs=8, **params)
    np.testing.assert_array_equal(again.fit(X, labels).predict(X), tuned.predict(X))


def test_a_new_network_is_trained(tmp_path):
    spec = MACE(**TINY, cutoff=4.0, num_interactions=1, radial_MLP="4")
    fitted = CrystalPotential(spec, max_epochs=1, device="cpu", random_state=0)
    fitted.fit(X, [{"energy": -4.0 * len(one)} for one in X])
    fitted.save_pretrained(tmp_path)
    read = CrystalPotential.from_pretrained(tmp_path, device="cpu")
    np.testing.assert_array_equal(read.predict(X), fitted.predict(X))
    assert read.backbone.get_params() == spec.get_params()


def test_copies_and_files_predict_the_same(potential, tmp_path):
    expected = potential.predict_all(X)
    potential.save_pretrained(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]
    read = CrystalPotential.from_pretrained(tmp_path, device="cpu")
    for other in (read, pickle.loads(pickle.dumps(potential)), copy.deepcopy(potential)):
        found = other.predict_all(X)
        for column in ("energy", "forces", "stress"):
            for ours, theirs in zip(found[column], expected[column], strict=True):
                np.testing.assert_array_equal(ours, theirs)
    assert repr(read.backbone) == repr(potential.backbone)


def test_atoms_are_moved(potential):
    atoms = AseAtomsAdaptor.get_atoms(X[0])
    atoms.calc = potential.calculator()
    found = potential.predict_all(X[:1]).iloc[0]
    np.testing.assert_allclose(atoms.get_potential_energy(), found["energy"], rtol=1e-12)
    np.testing.assert_allclose(atoms.get_forces(), found["forces"], atol=1e-10)
    relaxed = potential.relax(X[:2], max_steps=3).table
    assert (relaxed["energy"] < relaxed["initial_energy"]).all()


def test_an_atom_without_neighbours_has_an_energy_alone(potential, network):
    number = int(network.atomic_numbers[0])
    lonely = Structure(Lattice.cubic(20.0), [number], [[0.0, 0.0, 0.0]])
    with pytest.warns(UserWarning, match="no atom has a neighbour"):
        found = potential.predict_all([lonely]).iloc[0]
    assert found["energy"] == pytest.approx(-4.7)
    assert not found["forces"].any() and not found["stress"].any()


# -- what is refused ------------------------------------------------------------------------------


def test_a_clone_has_the_model(network):
    copied = clone(CrystalPotential(network))
    assert torch.equal(copied.backbone.r_max, network.r_max)


def test_other_modules_are_refused():
    other = torch.nn.Linear(1, 1)
    said = r"a torch\.nn.*Linear is no potential that skuae reads"
    with pytest.raises(TypeError, match=said):
        CrystalPotential.from_pretrained(other)
    with pytest.raises(TypeError, match=said):
        CrystalPotential(other).fit(X, [{"energy": 0.0}] * len(X))


def test_several_heads_are_refused():
    n = len({z for one in X for z in one.atomic_numbers})
    several = model(X, heads=["a", "b"], atomic_energies=np.zeros((2, n)),
                    atomic_inter_scale=[1.0, 1.0], atomic_inter_shift=[0.0, 0.0])  # fmt: skip
    with pytest.raises(ValueError, match=r"heads, a, b; keep one.*remove_pt_head"):
        CrystalPotential.from_pretrained(several)


def test_unknown_settings_are_refused(network):
    changed = copy.deepcopy(network)
    changed.interactions[1].avg_num_neighbors = 3.0  # that of the first one is read
    with pytest.raises(ValueError, match="a setting that skuae does not know: built anew"):
        CrystalPotential.from_pretrained(changed)
    del changed.interactions[1].linear
    with pytest.raises(ValueError, match=r"cannot be built anew by the mace-torch package"):
        CrystalPotential.from_pretrained(changed)


def test_a_model_brings_its_own_weights(network, potential):
    both = CrystalPotential(network, init_from=potential)
    with pytest.raises(ValueError, match="backbone is a model that brings its own weights"):
        both.fit(X, [{"energy": 0.0}] * len(X))


def test_elements_without_weights_are_refused(network):
    with pytest.raises(ValueError, match="row 6: the network has no weights for Rn"):
        CrystalPotential(network, embedding=table(4)).fit([*X, CAESIUM], [{"energy": 0.0}] * 7)
    spec = MACE(**TINY, elements="Fe O")
    with pytest.raises(ValueError, match="the network has no weights for"):
        CrystalPotential(spec).fit(X, [{"energy": 0.0}] * len(X))


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"hidden_irreps": "8x1o"}, r"hidden_irreps must begin with scalars \(0e\); got '8x1o'"),
        ({"hidden_irreps": "8"}, "hidden_irreps must be a text such as"),
        ({"elements": "Fe Fe"}, "elements must be symbols with spaces"),
        ({"elements": "Xx"}, "Xx"),
        ({"hidden_irreps": "99999x0e"}, "hidden_irreps must be a text such as"),
        ({"max_ell": 7}, "max_ell must be at most 6; got 7"),
        ({"max_ell": 6, "correlation": 4}, "max_ell=6 with correlation=4 takes too much memory"),
        ({"gate": "relu"}, "gate must be one of silu, tanh, abs, None; got 'relu'"),
        ({"radial_MLP": "64,64"}, "radial_MLP must be a text such as"),
        ({"interaction_cls": 3}, "interaction_cls must be a name; got 3"),
        ({"cutoff": 30.0}, "cutoff must be at most 20"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(params, said):
    with pytest.raises(ValueError, match=said):
        MACE(**params).check()


def test_unknown_classes_are_refused():
    spec = MACE(**TINY, interaction_cls="Os")
    with pytest.raises(ValueError, match=f"interaction_cls must be one of .*{FIRST}.*; got 'Os'"):
        CrystalPotential(spec).fit(X, [{"energy": 0.0}] * len(X))
    assert "Os" not in mace.mace_modules.interaction_classes
