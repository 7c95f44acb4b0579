"""Interatomic potentials in saved models: alone, and as features of crystals."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline, make_union
from small_potentials import sample
from small_springs import TINY, dimers, potential

import skuae
from skuae import UAETransformer, as_crystals
from skuae._files import read_safetensors, write_safetensors
from skuae.estimators import predict_frame
from skuae.estimators._reading import FORMAT
from skuae.featurizers import PotentialTransformer
from skuae.potentials import CrystalPotential, M3GNet

X = as_crystals(sample())
Y = np.array([1.0, 2.0, 4.0])
SMALL = M3GNet(dim=4, n_blocks=1, max_n=2, max_l=2, n_readout=0, cutoff=4.0, bond_cutoff=3.0)


@pytest.fixture(scope="module")
def fitted():
    labels = [{"energy": -4.0 * len(crystal)} for crystal in X]
    return CrystalPotential(SMALL, max_epochs=1, device="cpu", random_state=0).fit(X, labels)


@pytest.mark.parametrize("wrapped", [False, True])
def test_features_of_a_potential_are_saved(fitted, tmp_path, wrapped):
    features = PotentialTransformer(FrozenEstimator(fitted) if wrapped else fitted)
    model = make_pipeline(make_union(features, UAETransformer("magpie")), Ridge()).fit(X, Y)
    skuae.save(model, tmp_path)
    read = skuae.load(tmp_path, device="cpu")
    np.testing.assert_array_equal(read.predict(X), model.predict(X))
    again = read[0].transformer_list[0][1]
    assert again.feature_labels()[0] == "m3gnet_mean_0"
    np.testing.assert_array_equal(again.model_.predict(X), fitted.predict(X))


def test_a_potential_alone_is_saved_with_its_parameters(tmp_path):
    X, Y = dimers()
    model = potential(energy_weight=3.0, loss="mae", ema_decay=0.9, max_epochs=2).fit(X, Y)
    skuae.save(model, tmp_path, notes="springs")
    read = skuae.load(tmp_path, device="cpu")
    pd.testing.assert_frame_equal(read.predict_all(X), model.predict_all(X))
    assert read.history_ == model.history_ and read.score(X, Y) == model.score(X, Y)
    kept = {name: value for name, value in model.get_params().items() if name != "device"}
    for name in ("energy_weight", "loss", "ema_decay", "max_epochs", "lr"):
        assert read.get_params()[name] == kept[name]
    assert "springs" in (tmp_path / "README.md").read_text()
    read.set_params(random_state=0).fit(X, Y)
    assert read.history_[0]["train_loss"] == model.history_[0]["train_loss"]


def test_parameters_are_kept_or_refused(tmp_path):
    X, Y = dimers()
    given = {
        "lr": np.float64(1e-4),
        "energy_weight": np.float64(5),
        "force_weight": np.float32(7),
        "max_epochs": np.int64(1),
        "reference_energies": {"Na": np.float32(-2.5), "Cl": -1, "K": -3.0},
    }
    model = potential(**given).fit(X, Y)
    skuae.save(model, tmp_path)
    read = skuae.load(tmp_path, device="cpu")
    assert {name: read.get_params()[name] for name in given} == given
    assert read.score(X, Y) == model.score(X, Y)
    with pytest.raises(TypeError, match=r"CrystalPotential: loss is \['mae'\], which cannot be"):
        skuae.save(model.set_params(loss=["mae"]), tmp_path)


def test_each_reader_reads_or_names_the_other(tmp_path):
    X, Y = dimers()
    model = potential(max_epochs=1).fit(X, Y)
    model.save_pretrained(tmp_path / "network")
    skuae.save(model, tmp_path / "whole")
    read = skuae.load(tmp_path / "network", device="cpu", verbose=1)
    pd.testing.assert_frame_equal(read.predict_all(X), model.predict_all(X))
    assert read.history_ == model.history_ and read.verbose == 1
    for call in (
        lambda: CrystalPotential.from_pretrained(tmp_path / "whole"),
        lambda: potential(init_from=tmp_path / "whole").fit(X, Y),
    ):
        with pytest.raises(ValueError, match=r"whole holds a model .*read it with skuae.load"):
            call()


def test_a_potential_says_what_it_predicts(fitted, tmp_path):
    skuae.save(fitted, tmp_path)
    config = read_safetensors(tmp_path / "model.safetensors", format=FORMAT)[1]
    elements = ["O", "Mg", "Si", "Fe"]
    assert config["about"] == {"targets": ["energy"], "units": ["eV"], "elements": elements}
    assert "- Targets: energy (eV)" in (tmp_path / "README.md").read_text()
    assert list(predict_frame(fitted, X)) == ["energy_predicted", "error"]


def test_a_potential_that_is_not_fitted_is_saved_so(fitted, tmp_path):
    inner = CrystalPotential(
        TINY, lr=np.float64(2e-3), embedding="magpie", freeze_embedding=True, dtype="float64"
    )
    features = PotentialTransformer(fitted).fit(X)
    model = make_pipeline(features, Ridge()).fit(X, Y)
    features.model = inner  # as a later fit that fails leaves it
    skuae.save(model, tmp_path)
    read = skuae.load(tmp_path, device="cpu")
    np.testing.assert_array_equal(read.predict(X), model.predict(X))
    again = read[0].model
    assert not hasattr(again, "fitted_") and again.backbone.get_params() == TINY.get_params()
    for name in ("lr", "embedding", "freeze_embedding", "dtype"):
        assert getattr(again, name) == getattr(inner, name)
    features.model = CrystalPotential(TINY, init_from=fitted)
    with pytest.raises(TypeError, match="has a CrystalPotential as init_from, which is not saved"):
        skuae.save(model, tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("backbone", "of somebody"),
        ("params", {"dim": 4, "n_blocks": 99}),
        ("estimator", {"checkpoint_dir": "/tmp"}),
        ("estimator", {"lr": [1]}),
        ("estimator", {"unknown": 1}),
        ("estimator", {"reference_energies": {"Na": [1]}}),
        ("estimator", {"lr": {"Na": 1.0}}),
        ("dtype", "float16"),
    ],
)
def test_forged_potentials_are_refused(fitted, tmp_path, key, value):
    skuae.save(fitted, tmp_path)
    path = tmp_path / "model.safetensors"
    tensors, config = read_safetensors(path, format=FORMAT)
    forged = json.loads(json.dumps(config))
    forged["parts"][0]["potential"][key] = value
    write_safetensors(path, tensors, forged, format=FORMAT)
    with pytest.raises(ValueError, match="a model"):
        skuae.load(tmp_path, device="cpu")
