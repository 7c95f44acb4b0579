"""Atom features of potentials as features of crystals."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from pymatgen.core import Lattice, Structure
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline, make_union
from small_potentials import sample

from skuae import UAETransformer, as_crystals
from skuae.datasets import load_mp_mini
from skuae.featurizers import PotentialTransformer
from skuae.potentials import CHGNet, CrystalPotential

SPEC = CHGNet(dim=8, n_blocks=2, n_radial=5, n_angular=5, n_readout=1, cutoff=4.0)
X = as_crystals(sample())
Y = [{"energy": -4.0 * len(crystal)} for crystal in X]
MIXED = Structure(Lattice.cubic(4.0), [{"Mg": 0.5, "Fe": 0.5}, "O"], [[0] * 3, [0.5] * 3])
CAESIUM = Structure(Lattice.cubic(4.0), ["Cs"], [[0] * 3])


@pytest.fixture(scope="module")
def potential():
    return CrystalPotential(SPEC, max_epochs=1, device="cpu", random_state=0).fit(X, Y)


def features_of(model, structures, **params):
    return PotentialTransformer(model, **params).fit_transform(structures)


# -- what the features are ------------------------------------------------------------------------


def test_energies_are_read_from_the_features_of_sites(potential):
    sites = potential.site_features(X)
    assert [len(one) for one in sites] == X.sizes.tolist()
    with torch.inference_mode():
        readout = potential.fitted_.module.readout
        energies = [readout(torch.tensor(one)).sum().item() for one in sites]
    expected = potential.predict(X) - potential.fitted_.energies_of_elements(X)
    np.testing.assert_allclose(energies, expected, rtol=1e-4, atol=1e-5)


def test_features_are_statistics_over_the_sites(potential):
    found = features_of(potential, X)
    assert found.dtype == np.float32 and found.flags.c_contiguous
    sites = [one.astype(float) for one in potential.site_features(X)]
    expected = [
        np.concatenate([s.mean(axis=0), s.std(axis=0), s.min(axis=0), s.max(axis=0)]) for s in sites
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    some = features_of(potential, X, statistics=["max", "mean"])
    np.testing.assert_array_equal(some, np.hstack([found[:, 24:], found[:, :8]]))


def test_supercells_and_order_change_nothing(potential):
    cell = sample()[1]
    large = cell.copy()
    large.make_supercell([2, 1, 1])
    turned = Structure.from_sites(list(cell)[::-1])
    found = features_of(potential, [cell, large, turned])
    np.testing.assert_allclose(found[1:], found[[0, 0]], rtol=1e-4, atol=1e-5)


def test_batches_change_nothing(potential):
    many = features_of(potential, X)
    few = features_of(potential, X, max_edges=1)
    np.testing.assert_allclose(few, many, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["chgnet-0.3.0", "chgnet-0.2.0"])
def test_parity_with_the_chgnet_package(name):
    """`crystal_fea` of the package is the sum over the atoms, in spite of its name."""
    pytest.importorskip("chgnet", reason="the chgnet package is the oracle")
    from chgnet.model import CHGNet as Theirs

    crystals = load_mp_mini().structures[[3, 17, 600, 1500, 2200]]
    oracle = Theirs.load(model_name=name.removeprefix("chgnet-"), use_device="cpu", verbose=False)
    found = features_of(name, crystals, statistics=("mean",), device="cpu")
    for ours, structure in zip(found, crystals, strict=True):
        theirs = oracle.predict_structure(structure, task="e", return_crystal_feas=True)
        np.testing.assert_allclose(ours, theirs["crystal_fea"] / len(structure), rtol=0, atol=1e-5)


# -- as a transformer -----------------------------------------------------------------------------


def test_names_and_frames(potential):
    series = pd.Series(sample(), index=["a", "b", "c"], dtype=object)
    features = PotentialTransformer(potential, statistics=("std",)).set_output(transform="pandas")
    frame = features.fit_transform(series)
    assert list(frame.columns) == [f"chgnet_std_{i}" for i in range(8)]
    assert list(frame.index) == list(series.index)
    assert features.n_features_out_ == 8


def test_methods_of_matminer(potential):
    features = PotentialTransformer(potential)  # not fitted, and there is nothing to learn
    df = pd.DataFrame({"structure": pd.Series(sample(), dtype=object)})
    frame = features.featurize_dataframe(df, "structure", pbar=False)
    assert list(frame.columns) == ["structure", *features.feature_labels()]
    np.testing.assert_allclose(frame.iloc[:, 1:], features.fit_transform(X), rtol=1e-6)
    df.loc[1, "structure"] = MIXED
    frame = features.featurize_dataframe(df, "structure", ignore_errors=True, pbar=False)
    assert frame.iloc[:, 1:].isna().all(axis=1).tolist() == [False, True, False]
    assert "deng2023chgnet" in features.citations()[0]


def test_clones_and_copies_keep_the_potential(potential):
    features = PotentialTransformer(potential).fit(X)
    expected = features.transform(X)
    new = clone(features)
    assert new.model is potential and not hasattr(new, "model_")
    for again in (new.fit(X), copy.deepcopy(features), pickle.loads(pickle.dumps(features))):
        np.testing.assert_array_equal(again.transform(X), expected)


def test_what_a_model_may_be(potential, tmp_path):
    expected = features_of(potential, X)
    potential.save_pretrained(tmp_path)
    piped = make_pipeline(UAETransformer("cgcnn"), potential)
    for model in (tmp_path, str(tmp_path), FrozenEstimator(potential), piped):
        np.testing.assert_allclose(features_of(model, X), expected, rtol=1e-6)


def test_a_later_fit_of_the_potential_changes_nothing():
    model = CrystalPotential(SPEC, max_epochs=1, device="cpu", random_state=0).fit(X, Y)
    features = PotentialTransformer(model).fit(X)
    before = features.transform(X)
    model.set_params(random_state=7).fit(X, Y)
    np.testing.assert_array_equal(features.transform(X), before)
    assert not np.array_equal(features.fit_transform(X), before)


def test_searches_and_unions(potential, tmp_path):
    potential.save_pretrained(tmp_path)
    grid = {
        "potentialtransformer__statistics": [("mean",), ("mean", "std")],
        "potentialtransformer__model": [FrozenEstimator(potential), str(tmp_path)],
    }
    structures, y = as_crystals(sample() * 2), np.arange(6.0)
    pipe = make_pipeline(PotentialTransformer(potential), Ridge())
    search = GridSearchCV(pipe, grid, cv=2, error_score="raise").fit(structures, y)
    scores = search.cv_results_["mean_test_score"]
    np.testing.assert_allclose(scores[0], scores[2], rtol=1e-4)
    union = make_union(UAETransformer("magpie"), PotentialTransformer(potential)).fit_transform(X)
    assert union.shape == (3, 88 + 32) and union.crystals is not None


def test_progress(potential, capsys, monkeypatch):
    monkeypatch.setattr("skuae._progress._DELAY", 0)
    features = PotentialTransformer(potential).fit(X)
    features.transform(X)
    assert capsys.readouterr().err == ""
    features.set_params(verbose=1).transform(X)
    assert "features: 100%" in capsys.readouterr().err


@pytest.mark.gpu
def test_on_another_device(potential):
    device = "cuda" if torch.cuda.is_available() else "mps"
    found = features_of(potential, X, device=device)
    assert potential.fitted_.device.type == "cpu"
    np.testing.assert_allclose(found, features_of(potential, X), rtol=1e-3, atol=1e-4)


# -- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"model": CrystalPotential()}, NotFittedError, "put fitted models into .*FrozenEstima"),
        ({"model": Ridge()}, TypeError, "model must be a fitted CrystalPotential.*got Ridge"),
        ({"model": None}, TypeError, "got NoneType"),
        ({"model": "chgnet"}, FileNotFoundError, "chgnet"),
        ({"statistics": "mean"}, ValueError, "statistics is 'mean'; give a list"),
        ({"statistics": ()}, ValueError, "give a list"),
        ({"statistics": ("mean", "mean")}, ValueError, "different ones"),
        ({"statistics": ("median",)}, ValueError, "give a list"),
        ({"max_edges": 0}, ValueError, "max_edges must be an integer, at least 1"),
        ({"device": "abacus"}, ValueError, "device must be"),
    ],
)
def test_bad_parameters(potential, params, error, message):
    features = PotentialTransformer(potential).set_params(**params)
    for method in (features.fit, features.featurize_many):
        with pytest.raises(error, match=message):
            method(list(X))


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (MIXED, ValueError, "row 1 has sites that are shared or partly empty"),
        (CAESIUM, ValueError, "row 1: the potential was not trained on Cs"),
        (3, TypeError, "row 1"),
    ],
)
def test_bad_structures(potential, wrong, error, message):
    features = PotentialTransformer(potential).fit(X)
    for method in (features.fit, features.transform):
        with pytest.raises(error, match=message):
            method([sample()[0], wrong])


def test_no_fit(potential):
    with pytest.raises(NotFittedError):
        PotentialTransformer(potential).transform(X)
    with pytest.raises(NotFittedError):
        PotentialTransformer(potential).get_feature_names_out()
    with pytest.raises(NotFittedError):
        CrystalPotential().site_features(X)


def test_numbers_that_are_not_finite_name_the_row(potential):
    broken = copy.deepcopy(potential)
    with torch.no_grad():
        broken.fitted_.module.pair_embedding.weight.fill_(torch.inf)
    with pytest.raises(ValueError, match="row 0: the potential gives no finite numbers"):
        features_of(broken, X)
    with pytest.raises(ValueError, match="row 0: the potential gives no finite numbers"):
        broken.predict(X)
