"""Activations of frozen networks as features."""

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
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline, make_union
from small_backbones import SMALL

from skuae import (
    CrystalGNNClassifier,
    CrystalGNNRegressor,
    CrystalTransformerRegressor,
    ElementTable,
    UAETransformer,
    as_crystals,
)
from skuae.embedding import get_table
from skuae.featurizers import BackboneTransformer
from skuae.potentials import CrystalPotential


def test_features_are_means_over_all_sites(network, toy):
    """Computed once more, site by site, on graphs in which nothing is merged."""
    crystals = as_crystals(toy.structures)
    found = BackboneTransformer(network).fit_transform(crystals)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    packed = network.network_.pack(crystals, "cpu", merge=False)
    batch = packed.batch(range(len(crystals)))
    assert batch.site_counts is None
    with torch.inference_mode():
        layers = [v.numpy() for v in network.net_.module_.site_layers(batch)]
        embed = network.net_.module_.embed(batch).numpy()
        output = network.net_.module_(batch).numpy()
    sites = np.split(np.concatenate(layers, axis=1), crystals.offsets[1:-1])
    expected = np.column_stack([[s.mean(axis=0) for s in sites], embed, output])
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("backbone", SMALL.values(), ids=SMALL)
def test_all_back_ends(backbone, toy):
    X = toy.structures[:6]
    gnn = CrystalGNNRegressor(backbone, max_epochs=1, random_state=0).fit(X, toy.target[:6])
    features = BackboneTransformer(gnn, batch_size=4)
    found = features.fit_transform(X)
    assert found.shape == (6, features.n_features_out_)
    one_by_one = np.concatenate([features.transform(X[[i]]) for i in range(6)])
    np.testing.assert_allclose(one_by_one, found, rtol=1e-4, atol=1e-5)
    embed = BackboneTransformer(gnn, "embed").fit_transform(X)
    head = gnn.net_.module_.head
    with torch.inference_mode():
        outputs = head(torch.tensor(embed)).numpy()
    np.testing.assert_allclose(gnn.task_.decode(outputs), gnn.predict(X), rtol=1e-5, atol=1e-5)


def test_outputs_are_standardised_predictions(toy):
    X = toy.structures
    y = pd.DataFrame({"energy": toy.target, "log": np.exp(toy.target)})
    gnn = CrystalGNNRegressor(
        SMALL["cgcnn"], loss="gaussian_nll", log_targets=["log"], max_epochs=1, random_state=0
    ).fit(X, y)
    features = BackboneTransformer(gnn, "output").set_output(transform="pandas")
    found = features.fit_transform(X)
    assert list(found.columns) == ["cgcnn_output_energy", "cgcnn_output_log"]
    energy, log = gnn.predict(X).T
    expected = np.column_stack(
        [
            (energy - toy.target.mean()) / toy.target.std(),
            (np.log10(log) - np.log10(y["log"]).mean()) / np.log10(y["log"]).std(ddof=0),
        ]
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_outputs_of_a_classifier_are_logits(toy):
    labels = np.where(toy.target > np.median(toy.target), "high", "low")
    gnn = CrystalGNNClassifier(SMALL["cgcnn"], max_epochs=1, random_state=0)
    gnn.fit(toy.structures, labels)
    features = BackboneTransformer(gnn, "output")
    found = features.fit_transform(toy.structures)
    assert list(features.get_feature_names_out()) == ["cgcnn_output_high", "cgcnn_output_low"]
    p = np.exp(found) / np.exp(found).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(p, gnn.predict_proba(toy.structures), rtol=1e-4)


def test_names_and_frames(network, toy):
    X = pd.Series(list(toy.structures), index=[f"c{i}" for i in range(24)], dtype=object)
    features = BackboneTransformer(network, ["embed", "layer1"]).set_output(transform="pandas")
    frame = features.fit_transform(X)
    names = [f"cgcnn_embed_{i}" for i in range(4)] + [f"cgcnn_layer1_{i}" for i in range(8)]
    assert list(frame.columns) == names
    assert list(frame.index) == list(X.index)
    assert features.layer_widths_ == {"embed": 4, "layer1": 8}
    every = BackboneTransformer(network).set_output(transform="pandas").fit_transform(X)
    np.testing.assert_array_equal(every[names], frame)


def test_methods_of_matminer(network, toy):
    features = BackboneTransformer(network, "embed")  # not fitted, and there is nothing to learn
    df = pd.DataFrame({"structure": pd.Series(list(toy.structures[:3]), dtype=object)})
    frame = features.featurize_dataframe(df, "structure", pbar=False)
    assert list(frame.columns) == ["structure", *features.feature_labels()]
    np.testing.assert_allclose(frame.iloc[:, 1:], features.fit_transform(toy.structures[:3]))
    assert features.featurize(toy.structures[0]) == pytest.approx(list(frame.iloc[0, 1:]))
    df.loc[1, "structure"] = "no structure"
    frame = features.featurize_dataframe(df, "structure", ignore_errors=True, pbar=False)
    assert frame.iloc[:, 1:].isna().all(axis=1).tolist() == [False, True, False]
    assert features.citations() == []


def test_clones_keep_the_model(network, toy):
    features = BackboneTransformer(network, "embed", verbose=0).set_output(transform="pandas")
    new = clone(features)
    assert new.model is network
    assert features.model is network
    pd.testing.assert_frame_equal(
        new.fit_transform(toy.structures), features.fit_transform(toy.structures)
    )
    assert not hasattr(clone(features), "model_")


@pytest.mark.parametrize("again", [copy.deepcopy, lambda f: pickle.loads(pickle.dumps(f))])
def test_copies(network, toy, again):
    features = BackboneTransformer(network).fit(toy.structures)
    np.testing.assert_array_equal(
        again(features).transform(toy.structures), features.transform(toy.structures)
    )


def test_what_a_model_may_be(network, toy, tmp_path):
    expected = BackboneTransformer(network).fit_transform(toy.structures)
    network.save_pretrained(tmp_path)
    piped = make_pipeline(UAETransformer("cgcnn"), network)
    for model in (tmp_path, str(tmp_path), FrozenEstimator(network), piped):
        found = BackboneTransformer(model).fit_transform(toy.structures)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_classifiers_and_front_ends(toy):
    X = toy.structures
    labels = toy.target > np.median(toy.target)
    gnn = CrystalGNNClassifier(SMALL["megnet"], max_epochs=1, random_state=0).fit(X, labels)
    assert BackboneTransformer(gnn).fit_transform(X).shape == (24, 3 * 8 + 16 + 2)
    front_end = CrystalTransformerRegressor(
        d_model=8, n_layers=2, n_heads=2, dim_feedforward=8, max_epochs=1, random_state=0
    ).fit(X, toy.target)
    found = BackboneTransformer(front_end).fit_transform(X)
    assert found.shape == (24, 3 * 8 + 1)
    np.testing.assert_allclose(found[:, -9:-1], front_end.embed(X), rtol=1e-5, atol=1e-6)


def test_searches(network, toy, tmp_path):
    network.save_pretrained(tmp_path)
    grid = {
        "backbonetransformer__layers": ["all", ["layer1", "embed"]],
        "backbonetransformer__model": [FrozenEstimator(network), str(tmp_path)],
    }
    pipe = make_pipeline(BackboneTransformer(network), Ridge())
    search = GridSearchCV(pipe, grid, cv=2, error_score="raise").fit(toy.structures, toy.target)
    scores = search.cv_results_["mean_test_score"]
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-4)
    assert scores[0] != pytest.approx(scores[2])


@pytest.mark.slow
def test_in_processes(network, toy):
    pipe = make_pipeline(BackboneTransformer(network), Ridge())
    one, two = (cross_val_predict(pipe, toy.structures, toy.target, cv=2, n_jobs=n) for n in (1, 2))
    np.testing.assert_allclose(one, two)


def test_beside_other_features(network, toy):
    union = make_union(UAETransformer("magpie"), BackboneTransformer(network))
    features = union.fit_transform(toy.structures)
    assert features.shape == (24, 88 + 29)
    assert features.crystals is not None


def test_a_later_fit_of_the_model_changes_nothing(network, toy):
    model = copy.deepcopy(network)
    features = BackboneTransformer(model).fit(toy.structures)
    before = features.transform(toy.structures)
    model.set_params(random_state=7).fit(toy.structures, toy.target)
    np.testing.assert_array_equal(features.transform(toy.structures), before)
    assert not np.array_equal(features.fit_transform(toy.structures), before)


XENON = Structure(Lattice.cubic(4.0), ["Xe"], [[0, 0, 0]])


def test_elements_that_the_model_has_not_seen(toy):
    X = [*toy.structures[:5], XENON]
    spec = SMALL["cgcnn"]
    magpie = get_table("magpie")
    known = np.array(magpie.symbols) != "Xe"
    values = magpie.values[magpie.seen][known]
    table = ElementTable(values, symbols=np.array(magpie.symbols)[known], name="no-xenon")
    strict = CrystalGNNRegressor(spec, embedding=table, max_epochs=1, random_state=0)
    strict.fit(toy.structures, toy.target)
    features = BackboneTransformer(strict).fit(X[:5])
    for method in (strict.predict, features.transform, clone(features).fit):
        with pytest.raises(ValueError, match="row 5: element table 'no-xenon' has no vector for X"):
            method(X)
    guesses = CrystalGNNRegressor(spec, embedding="onehot", max_epochs=1, random_state=0)
    guesses.fit(toy.structures, toy.target)
    with pytest.warns(UserWarning, match="row 5: Xe was in none of the crystals of fit"):
        found = BackboneTransformer(guesses).fit(X[:5]).transform(X)
    assert np.isfinite(found).all()


def test_progress(network, toy, capsys, monkeypatch):
    monkeypatch.setattr("skuae._progress._DELAY", 0)
    features = BackboneTransformer(network, verbose=1).fit(toy.structures)
    features.transform(toy.structures)
    assert "24/24" in capsys.readouterr().err
    features.set_params(verbose=0).transform(toy.structures)
    assert capsys.readouterr().err == ""


@pytest.mark.gpu
def test_on_another_device(network, toy):
    device = "cuda" if torch.cuda.is_available() else "mps"
    features = BackboneTransformer(network, device=device).fit(toy.structures)
    expected = BackboneTransformer(network).fit_transform(toy.structures)
    np.testing.assert_allclose(features.transform(toy.structures), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"model": CrystalGNNRegressor()}, NotFittedError, "put fitted models into .*FrozenEstima"),
        ({"model": Ridge()}, TypeError, "model must be a fitted CrystalGNNRegressor.*got Ridge"),
        ({"model": None}, TypeError, "got NoneType"),
        ({"model": CrystalPotential()}, TypeError, "got CrystalPotential"),
        ({"model": "no/such/folder"}, FileNotFoundError, "holds no model"),
        (
            {"layers": "layer9"},
            ValueError,
            "different ones of layer0, layer1, layer2, embed, output; got",
        ),
        ({"layers": []}, ValueError, "layers must be"),
        ({"layers": ["embed", "embed"]}, ValueError, "layers must be"),
        ({"layers": 3}, ValueError, "layers must be"),
        ({"layers": [["embed"]]}, ValueError, "layers must be"),
        ({"batch_size": 0}, ValueError, "batch_size must be an integer, at least 1"),
        ({"batch_size": True}, ValueError, "batch_size must be an integer"),
        ({"batch_size": 2.5}, ValueError, "batch_size must be an integer"),
        ({"device": "abacus"}, ValueError, "device must be"),
    ],
)
def test_bad_parameters(network, toy, params, error, message):
    features = BackboneTransformer(network).set_params(**params)
    with pytest.raises(error, match=message):
        features.fit(toy.structures)


def test_bad_structures_and_no_fit(network, toy):
    with pytest.raises(TypeError, match="row 1"):
        BackboneTransformer(network).fit([toy.structures[0], 3])
    with pytest.raises(NotFittedError):
        BackboneTransformer(network).transform(toy.structures)
    with pytest.raises(NotFittedError):
        BackboneTransformer(network).get_feature_names_out()


def test_numbers_that_are_not_finite_name_the_row(network, toy):
    broken = copy.deepcopy(network)
    with torch.no_grad():
        broken.net_.module_.convs[0].linear.weight.fill_(torch.inf)
    with pytest.raises(ValueError, match=r"row 0 \(toy-.*\): the network gives numbers that"):
        BackboneTransformer(broken).fit_transform(toy.structures)
