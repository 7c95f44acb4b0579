"""Interatomic potentials in saved models: alone, and as features of crystals."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline, make_union
from small_potentials import sample
from small_springs import dimers, potential

import skuae
from skuae import UAETransformer, as_crystals
from skuae._files import read_safetensors, write_safetensors
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


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("backbone", "of somebody"),
        ("params", {"dim": 4, "n_blocks": 99}),
        ("estimator", {"checkpoint_dir": "/tmp"}),
        ("estimator", {"lr": [1]}),
        ("estimator", {"unknown": 1}),
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
