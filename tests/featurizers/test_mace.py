"""Features from the atoms of a model of the mace-torch package."""

import numpy as np
import pytest
from pymatgen.core.operations import SymmOp
from pymatgen.io.ase import AseAtomsAdaptor
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from small_mace import calculator, crystals, model

import skuae
from skuae.featurizers import PotentialTransformer
from skuae.potentials import CrystalPotential, encode_potential

X = crystals(4)
Y = np.array([1.0, 2.0, 4.0, 3.0])


@pytest.fixture(scope="module")
def network():
    return model(X)


def test_features_are_the_scalars_of_the_package(network, monkeypatch):
    features = PotentialTransformer(network, statistics=["mean", "max"], device="cpu")
    found = features.fit_transform(X)
    calc = calculator(network, monkeypatch)
    for structure, row in zip(X, found, strict=True):
        sites = calc.get_descriptors(AseAtomsAdaptor.get_atoms(structure), invariants_only=True)
        expected = np.concatenate([sites.mean(axis=0), sites.max(axis=0)])
        np.testing.assert_allclose(row, expected, rtol=1e-6, atol=1e-7)
    names = features.get_feature_names_out()
    assert names[[0, -1]].tolist() == ["mace_mean_0", "mace_max_7"] and len(names) == 16
    assert "batatia2022mace" in features.citations()[0]


def test_turned_crystals_have_the_same_features(network):
    features = PotentialTransformer(network, device="cpu").fit(X)
    turned = [one.copy() for one in X]
    for structure in turned:
        structure.apply_operation(SymmOp.from_axis_angle_and_translation([1, 2, 3], 40))
    np.testing.assert_allclose(features.transform(turned), features.transform(X), atol=1e-6)


def test_a_pipeline_is_saved_without_pickle(network, tmp_path):
    pipeline = make_pipeline(PotentialTransformer(network, device="cpu"), Ridge())
    pipeline = clone(pipeline).fit(X, Y)
    skuae.save(pipeline, tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"README.md", "model.safetensors"}
    read = skuae.load(tmp_path, device="cpu")
    np.testing.assert_array_equal(read.predict(X), pipeline.predict(X))
    assert read[0].model_.backbone.get_params() == pipeline[0].model_.backbone.get_params()


def test_a_model_is_not_saved_in_a_potential_that_is_not_fitted(network):
    with pytest.raises(TypeError, match="has a model as backbone, whose weights are not saved"):
        encode_potential(CrystalPotential(network))
