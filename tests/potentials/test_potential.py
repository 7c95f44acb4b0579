"""CrystalPotential: training, prediction, files, and what scikit-learn does with it."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from pymatgen.core import Lattice, Structure
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from small_potentials import rattled
from small_springs import TINY, dimers, potential, state

from skuae import ElementTable, as_crystals, pretrained
from skuae._files import read_safetensors, write_safetensors
from skuae.potentials import CHGNet, CrystalPotential
from skuae.potentials._fitted import cut_by_edges
from skuae.potentials._saving import FORMAT

X, Y = dimers()


@pytest.fixture(scope="module")
def fitted():
    return potential().fit(X, Y)


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(state(one).values(), state(other).values(),
                                                 strict=True))  # fmt: skip


def test_a_spring_is_learned():
    model = potential(max_epochs=50, batch_size=3, lr=1e-2).fit(X, Y)
    errors = model.evaluate(X, Y)
    assert (
        errors.loc["model", "forces MAE (eV/Å)"]
        < 0.35 * errors.loc["constant", "forces MAE (eV/Å)"]
    )
    assert errors.loc["model", "energy MAE (meV/atom)"] < 10
    assert model.history_[-1]["train_loss"] < 0.2 * model.history_[0]["train_loss"]


def test_predictions_have_the_shapes_and_units_of_labels(fitted):
    table = fitted.predict_all(X)
    assert list(table.columns) == ["energy", "forces", "stress"]
    np.testing.assert_allclose(fitted.predict(X), table["energy"], rtol=1e-6)
    for ours, forces, crystal in zip(fitted.predict_forces(X), table["forces"], X, strict=True):
        assert ours.shape == (len(crystal), 3) == forces.shape
        np.testing.assert_array_equal(ours, forces)
    assert fitted.predict_stress(X).shape == (len(X), 3, 3)
    assert fitted.score(X, table) == pytest.approx(0, abs=1e-12)


def test_errors_stand_beside_those_of_constants(fitted):
    errors = fitted.evaluate(X, Y)
    forces = np.concatenate([row["forces"] for row in Y])
    assert errors.loc["constant", "forces MAE (eV/Å)"] == pytest.approx(np.abs(forces).mean())
    assert errors.loc["constant", "forces RMSE (eV/Å)"] == pytest.approx(
        np.sqrt((forces**2).mean())
    )
    energies = np.array([row["energy"] for row in Y])
    kinds = np.array([19 in crystal.atomic_numbers for crystal in X])
    off = np.concatenate([e - e.mean() for e in (energies[kinds], energies[~kinds])])
    expected = 1000 * np.abs(off).mean() / 2
    found = errors.loc["constant", "energy MAE (meV/atom)"]
    assert found == pytest.approx(expected, rel=0.01)
    ours = 1000 * np.abs(fitted.predict(X) - energies).mean() / 2
    assert errors.loc["model", "energy MAE (meV/atom)"] == pytest.approx(ours, rel=1e-4)
    assert errors["stress MAE (GPa)"].isna().all()


def test_energies_of_elements_are_fitted(fitted):
    energies = [row["energy"] for row in Y]
    expected = fitted.fitted_.energies_of_elements(X)
    assert np.abs(expected - energies).max() < 0.2  # -5 and -7 eV, and what the spring has
    assert set(fitted.reference_energies_) == {"Na", "Cl", "K"}


def test_one_element_has_a_reference_energy():
    crystal = as_crystals([Structure(Lattice.cubic(3.0), ["Fe"], [[0, 0, 0]])])
    model = potential(max_epochs=1).fit(crystal, [{"energy": -8.0}])
    assert model.reference_energies_["Fe"] == pytest.approx(-8.0, rel=1e-3)


@pytest.mark.parametrize("given", [{"Na": -2.0, "K": -4.0, "Cl": -3.0}, None])
def test_given_reference_energies(given):
    model = potential(reference_energies=given).fit(X, Y)
    assert model.reference_energies_ == (given or {"Cl": 0.0, "K": 0.0, "Na": 0.0})


def test_the_seed_says_it_all(fitted):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    again = potential().fit(X, Y)
    assert same(fitted, again) and torch.equal(torch.get_rng_state(), before)
    assert not same(fitted, potential(random_state=1).fit(X, Y))


def test_large_batches_in_parts_give_the_same():
    whole, parts = (potential(max_edges=n, dtype="float64").fit(X, Y) for n in (200_000, 3))
    for a, b in zip(state(whole).values(), state(parts).values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)


def test_rows_are_cut_by_edges():
    cuts = cut_by_edges(np.array([3, 0, 1, 2]), np.array([5, 5, 20, 1]), 10)
    assert [rows.tolist() for rows in cuts] == [[3, 0], [1], [2]]


def test_missing_labels_are_masked():
    rows = [dict(row) for row in Y]
    rows[0]["forces"] = None
    rows[1]["energy"] = np.nan
    rows[2]["forces"] = np.array([[np.nan] * 3, rows[2]["forces"][1]])
    model = potential().fit(X, rows)
    assert np.isfinite(model.predict(X)).all()
    masked = [{"energy": 1e6} if i == 4 else row for i, row in enumerate(rows)]
    ignored = potential(energy_weight=0, reference_energies=None).fit(X, masked)
    assert same(
        ignored,
        potential(energy_weight=0, reference_energies=None).fit(X, [*rows[:4], {}, *rows[5:]]),
    )


def test_forces_alone_and_energies_alone_are_learned():
    for name in ("energy", "forces"):
        model = potential().fit(X, [{name: row[name]} for row in Y])
        assert model.history_[-1]["train_loss"] > 0
        assert model.evaluate(X, Y).notna().loc["model", "energy MAE (meV/atom)"]


def test_moments_are_predicted_only_if_trained_on(fitted):
    rows = [{**row, "magmoms": np.array([1.0, -1.0])} for row in Y]
    model = potential().fit(X, rows)
    assert model.predict_all(X)["magmoms"].iloc[0].shape == (2,)
    assert "magmoms" not in fitted.predict_all(X)
    assert "magmoms" not in potential(magmom_weight=0).fit(X, rows).predict_all(X)
    assert np.isfinite(model.evaluate(X, rows).loc["model", "magmoms MAE (μB)"])


def test_unknown_elements_are_refused(fitted):
    other = Structure(Lattice.cubic(4.0), ["Rb", "Cl"], [[0] * 3, [0.5] * 3])
    with pytest.raises(ValueError, match=r"row 1: the potential was not trained on Rb"):
        fitted.predict([X[0], other])


def test_elements_beyond_the_networks_own_are_refused():
    heavy = Structure(Lattice.cubic(4.0), ["Am"], [[0] * 3])
    with pytest.raises(
        ValueError, match="row 0: the network has vectors up to Z=94, and none of Am"
    ):
        potential().fit([heavy], [{"energy": 1.0}])


def test_tables_of_elements_are_used():
    table = ElementTable(np.eye(3, 8), symbols=["Na", "Cl", "K"], name="three")
    frozen = potential(embedding=table, freeze_embedding=True).fit(X, Y)
    free = potential(embedding=table).fit(X, Y)
    np.testing.assert_allclose(frozen.element_table_.values[[10, 16, 18]], np.eye(3, 8), atol=1e-7)
    assert np.abs(free.element_table_.values[10] - np.eye(3, 8)[0]).max() > 1e-5
    assert "embedding.weight" in state(potential(embedding="magpie").fit(X, Y))
    lithium = Structure(Lattice.cubic(4.0), ["Li"], [[0] * 3])
    with pytest.raises(ValueError, match="row 0: element table 'three' has no vector for Li"):
        potential(embedding=table).fit([lithium], [{"energy": 1.0}])


def test_files(fitted, tmp_path):
    fitted.save_pretrained(tmp_path / "model", notes="springs")
    read = CrystalPotential.from_pretrained(tmp_path / "model", device="cpu")
    pd.testing.assert_frame_equal(read.predict_all(X), fitted.predict_all(X))
    assert read.history_ == fitted.history_
    assert read.reference_energies_ == fitted.reference_energies_
    assert potential(init_from=tmp_path / "model").fit(X, Y).history_
    again = pickle.loads(pickle.dumps(fitted))
    pd.testing.assert_frame_equal(again.predict_all(X), fitted.predict_all(X))


def test_the_card_of_an_older_network_goes_and_a_readme_of_the_user_stays(fitted, tmp_path):
    readme = tmp_path / "README.md"
    for text, stays in ((pretrained.card("mp"), False), ("# Mine\n", True)):
        readme.write_text(text, encoding="utf-8")
        fitted.save_pretrained(tmp_path)
        assert readme.exists() == stays
    assert readme.read_text() == "# Mine\n"


def test_numbers_of_numpy_are_those_of_the_network(fitted, tmp_path):
    spec = clone(TINY).set_params(dim=np.int64(8), cutoff=np.float32(4.0))
    model = potential(backbone=spec, lr=np.float64(3e-3)).fit(X, Y)
    assert same(model, fitted)
    model.save_pretrained(tmp_path)
    assert same(CrystalPotential.from_pretrained(tmp_path, device="cpu"), fitted)


def test_other_models_are_said_to_be_no_potentials():
    for call in (
        lambda: CrystalPotential.from_pretrained("mp"),
        lambda: potential(init_from="mp").fit(X, Y),
    ):
        with pytest.raises(ValueError, match="mp is a model that ships with skuae, and no pot"):
            call()


def test_damaged_files_are_refused(fitted, tmp_path):
    fitted.save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="checksum"):
        CrystalPotential.from_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError):
        CrystalPotential.from_pretrained(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["dim", "n_blocks", "n_radial"])
def test_settings_beyond_the_weights_of_the_file_are_refused(fitted, tmp_path, name):
    path = tmp_path / "model.safetensors"
    fitted.save_pretrained(tmp_path)
    tensors, card = read_safetensors(path, format=FORMAT)
    card["params"][name] = 10**9
    write_safetensors(path, tensors, card, format=FORMAT)
    with pytest.raises(ValueError, match="more weights than there are in the file"):
        CrystalPotential.from_pretrained(tmp_path)


def test_training_goes_on_from_a_potential(fitted):
    before = {name: value.clone() for name, value in state(fitted).items()}
    on = potential(init_from=fitted).fit(X, Y)
    assert not same(on, fitted)
    assert all(torch.equal(before[name], value) for name, value in state(fitted).items())
    shifted = [{**row, "energy": row["energy"] + 4.0} for row in Y]
    moved = potential(init_from=fitted, max_epochs=1, lr=1e-12).fit(X, shifted)
    # A shift of the energies of elements is not for the network to learn.
    assert np.abs(moved.predict(X) - fitted.predict(X) - 4.0).max() < 0.2


def test_checkpoints_go_on_to_the_same_bits(tmp_path, monkeypatch, fitted):
    monkeypatch.setattr("skuae.potentials._checkpoint.SECONDS_BETWEEN", 0.0)
    whole = potential(checkpoint_dir=tmp_path / "a", max_epochs=4).fit(X, Y)
    assert same(whole, potential(max_epochs=4).fit(X, Y))

    class Stop(Exception):
        pass

    from skuae.potentials import _checkpoint

    keep = _checkpoint.PotentialCheckpoint.keep

    def stopping(self):
        keep(self)
        if len(self.state.history) == 2:
            raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(_checkpoint.PotentialCheckpoint, "keep", stopping)
        with pytest.raises(Stop):
            potential(checkpoint_dir=tmp_path / "b", max_epochs=4).fit(X, Y)
    resumed = potential(checkpoint_dir=tmp_path / "b", max_epochs=4).fit(X, Y)
    assert same(resumed, whole) and len(resumed.history_) == 4
    assert len(list((tmp_path / "b").iterdir())) == 1
    assert not same(
        potential(checkpoint_dir=tmp_path / "b", max_epochs=4, lr=1e-2).fit(X, Y), whole
    )
    assert len(list((tmp_path / "b").iterdir())) == 2
    potential(checkpoint_dir=tmp_path / "b", max_epochs=np.int64(4), lr=np.float64(1e-2)).fit(X, Y)
    assert len(list((tmp_path / "b").iterdir())) == 2  # numbers of numpy are equal numbers
    with pytest.raises(ValueError, match="checkpoint_dir needs random_state to be an int"):
        potential(checkpoint_dir=tmp_path, random_state=None).fit(X, Y)


# -- scikit-learn ---------------------------------------------------------------------------------


def test_clones_are_not_fitted(fitted):
    copy = clone(potential(init_from=fitted))
    assert copy.init_from is fitted
    with pytest.raises(NotFittedError):
        copy.predict(X)
    assert copy.get_params()["backbone__dim"] == 8
    assert copy.set_params(backbone__dim=4).backbone.dim == 4


def test_cross_validation_and_splits():
    for y in (Y, pd.DataFrame(Y)):
        scores = cross_val_score(potential(max_epochs=1), X, y, cv=3, error_score="raise")
        assert scores.shape == (3,) and (scores < 0).all()
    train_x, test_x, train_y, test_y = train_test_split(X, pd.DataFrame(Y), random_state=0)
    assert potential(max_epochs=1).fit(train_x, train_y).score(test_x, test_y) < 0


def test_grid_search():
    search = GridSearchCV(
        potential(max_epochs=1), {"lr": [1e-3, 1e-2], "backbone__exponent": [5]}, cv=2,
        error_score="raise",
    )  # fmt: skip
    assert search.fit(X, Y).best_params_["lr"] in (1e-3, 1e-2)
    assert search.predict(X).shape == (len(X),)


def test_a_failed_fit_leaves_nothing(fitted):
    model = clone(fitted).fit(X, Y)
    with pytest.raises(ValueError, match="y has 2 rows"):
        model.fit(X, Y[:2])
    with pytest.raises(NotFittedError):
        model.predict(X)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"backbone": "chgnet2"}, "backbone 'chgnet2' is not known; known are chgnet"),
        ({"backbone": CHGNet(n_angular=2)}, "n_angular must be odd"),
        ({"loss": "l2"}, "loss must be one of huber, mse, mae"),
        ({"dtype": "bf16"}, "dtype must be one of float32, float64"),
        ({"lr": 0.0}, "lr must be a finite number, above 0"),
        ({"force_weight": -1.0}, "force_weight must be a finite number, at least 0"),
        ({"max_edges": 0}, "max_edges must be an integer, at least 1"),
        ({"reference_energies": "mean"}, "reference_energies must be"),
        ({"reference_energies": {"Xx": 1.0}}, "'Xx' is not an element"),
        ({"reference_energies": {"Na": np.nan}}, "reference_energies: Na has nan"),
        ({"random_state": -1}, "random_state must be an integer from 0"),
        ({"init_from": "chgnet-9"}, "there is no folder"),
        ({"embedding": "nothing"}, "nothing"),
        ({"energy_weight": 0, "force_weight": 0}, "y has no known label with a weight"),
    ],
)
def test_senseless_parameters_are_refused(params, said):
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        potential(**params).fit(X, Y)


def test_other_backbones_cannot_be_started_from(fitted):
    with pytest.raises(ValueError, match=r"init_from has backbone .*; set backbone="):
        potential(backbone="chgnet", init_from=fitted).fit(X, Y)
    with pytest.raises(TypeError, match="checkpoint_dir must be the path of a folder, or None"):
        potential(checkpoint_dir=3).fit(X, Y)
    with pytest.raises(TypeError, match="init_from is a int"):
        potential(init_from=3).fit(X, Y)
    with pytest.raises(ValueError, match="leave embedding=None"):
        potential(init_from=fitted, embedding="magpie").fit(X, Y)


def test_divergence_is_said():
    with pytest.raises(ValueError, match="training diverged; choose a smaller lr"):
        potential(lr=1e30, clip_norm=None, max_epochs=30).fit(X, Y)


def test_published_weights_train_on():
    pytest.importorskip("chgnet", reason="the weights come with the chgnet package")
    published = CrystalPotential.from_pretrained("chgnet-0.3.0", device="cpu")
    assert len(published.reference_energies_) == 89
    found = published.predict_all(X[:4])
    start = CrystalPotential(init_from="chgnet-0.3.0", max_epochs=1, lr=1e-12, random_state=0)
    start.fit(X[:4], found)
    np.testing.assert_allclose(start.predict(X[:4]), found["energy"], atol=1e-4)
    with pytest.raises(ValueError, match="row 0: the potential was not trained on Po"):
        published.predict([rattled(Structure(Lattice.cubic(3.3), ["Po"], [[0] * 3]))])
