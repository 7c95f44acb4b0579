"""Contributions and attention of tokens, and values of space groups."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.pipeline import Pipeline

from skuae import CrystalGNNClassifier, CrystalGNNRegressor, UAETransformer
from skuae.analysis import (
    AttentionMapDisplay,
    SpaceGroupValuesDisplay,
    TokenContributionsDisplay,
    attention_maps,
    space_group_values,
    token_contributions,
)
from skuae.datasets import load_mp_mini, make_toy_crystals
from skuae.models import CGCNN, CrystalBERT

BERT = CrystalBERT(CGCNN(8, 1, n_hidden=0), 8, 2, 2, 8)
PARAMS = {"max_epochs": 2, "random_state": 0}


@pytest.fixture(scope="module")
def toy():
    return make_toy_crystals(24, random_state=0)


@pytest.fixture(scope="module")
def regressor(toy):
    y = np.column_stack([toy.target, toy.target**2])
    y = pd.DataFrame(y, columns=["gap", "square"])
    return CrystalGNNRegressor(BERT, **PARAMS).fit(toy.structures, y)


@pytest.fixture(scope="module")
def classifier(toy):
    labels = np.where(toy.target > np.median(toy.target), "high", "low")
    return CrystalGNNClassifier(BERT, early_stopping=False, **PARAMS).fit(toy.structures, labels)


@pytest.mark.parametrize("target", [0, 1, "square"])
def test_contributions_add_up_to_the_prediction(regressor, toy, target):
    found = token_contributions(regressor, toy.structures, target=target)
    expected = regressor.predict(toy.structures)[:, 0 if target == 0 else 1]
    assert_allclose(found.predictions, expected, rtol=1e-5, atol=1e-5)
    total = found.tokens.to_numpy().sum(axis=1) + found.intercept
    assert_allclose(found.predictions, total, rtol=1e-14)
    assert list(found.tokens) == [
        "symbol", "point_group", "crystal_system", "laue_class", "symmetry_class", "electrons",
        "elements", "gnn",
    ]  # fmt: skip


def test_the_unit_is_that_of_what_is_learned(toy, tmp_path):
    y = pd.DataFrame({"gap": toy.target, "modulus": np.exp(toy.target)})
    gnn = CrystalGNNRegressor(BERT, log_targets=["modulus"], **PARAMS).fit(toy.structures, y)
    found = token_contributions(gnn, toy.structures, target="modulus")
    assert found.unit == "log10"
    assert_allclose(10**found.predictions, gnn.predict(toy.structures)[:, 1], rtol=1e-5)
    gnn.save_pretrained(tmp_path, units={"modulus": "GPa"})
    gnn = CrystalGNNRegressor.from_pretrained(tmp_path, device="cpu")
    assert token_contributions(gnn, toy.structures, target="modulus").unit == "log10(GPa)"
    assert token_contributions(gnn, toy.structures, target="gap").unit == ""


def test_contributions_to_two_classes_are_log_odds(classifier, toy):
    found = token_contributions(classifier, toy.structures)
    assert_allclose(found.predictions, classifier.decision_function(toy.structures), atol=1e-5)
    mirrored = token_contributions(classifier, toy.structures, target="high")
    assert_allclose(mirrored.tokens, -found.tokens)


def test_contributions_to_three_classes(toy):
    labels = pd.qcut(toy.target, 3, labels=False)
    gnn = CrystalGNNClassifier(BERT, **PARAMS).fit(toy.structures, labels)
    logits = gnn.decision_function(toy.structures)
    found = token_contributions(gnn, toy.structures, target=1)
    assert_allclose(found.predictions, logits[:, 1] - logits[:, [0, 2]].mean(axis=1), atol=1e-5)
    for target in (None, 3, "1"):
        with pytest.raises(ValueError, match="choose one of the classes 0, 1, 2"):
            token_contributions(gnn, toy.structures, target=target)


def test_a_token_without_weights_adds_nothing(regressor, toy):
    head = regressor.net_.module_.head
    before = head.weight.detach().clone()
    try:
        head.weight.data[:, :8] = 0  # of the first token
        values = token_contributions(regressor, toy.structures, target=0).tokens
    finally:
        head.weight.data.copy_(before)
    assert not values["symbol"].any()
    assert values["gnn"].all()


def test_pipelines_and_attention(toy):
    gnn = CrystalGNNRegressor(BERT, **PARAMS)
    pipe = Pipeline([("uae", UAETransformer()), ("gnn", gnn)]).fit(toy.structures, toy.target)
    found = token_contributions(pipe, toy.structures)
    assert_allclose(found.predictions, pipe.predict(toy.structures), rtol=1e-5, atol=1e-5)
    maps = attention_maps(pipe, toy.structures)
    assert maps.weights.shape == (24, 2, 2, 8, 8)
    assert_allclose(maps.weights.sum(axis=-1), 1, rtol=1e-5)
    assert maps.tokens == list(found.tokens)
    # The first layer reads the tokens as they are: equal words are read alike in all crystals.
    assert np.ptp(maps.weights[:, 0], axis=0).max() > 1e-6


def test_displays(regressor, classifier, toy):
    display = TokenContributionsDisplay.from_estimator(
        regressor, toy.structures, target="gap", unit="eV"
    ).plot()
    assert display.ax_.get_xlabel() == "contribution, minus its mean (eV)"
    assert [t.get_text() for t in display.ax_.get_yticklabels()][:2] == ["symbol", "point group"]
    display = TokenContributionsDisplay.from_estimator(classifier, toy.structures).plot()
    assert display.ax_.get_xlabel() == "contribution, minus its mean (log-odds)"
    attention = AttentionMapDisplay.from_estimator(classifier, toy.structures, layer=-1).plot()
    assert_allclose(attention.weights.sum(axis=1), 1, rtol=1e-5)
    assert attention.ax_.get_ylabel() == "reads"
    with pytest.raises(ValueError, match="layer=2: the network has layers 0 to 1"):
        AttentionMapDisplay.from_estimator(classifier, toy.structures, layer=2)
    mpl.pyplot.close("all")


def test_refuses_what_has_no_tokens(toy):
    gnn = CrystalGNNRegressor(CGCNN(8, 1), max_epochs=1).fit(toy.structures, toy.target)
    for function in (token_contributions, attention_maps):
        with pytest.raises(TypeError, match="the back-end is CGCNN, which has no tokens"):
            function(gnn, toy.structures)
        with pytest.raises(TypeError, match="dict is not a CrystalGNNRegressor or CrystalGNNCl"):
            function({}, toy.structures)
    flat = CrystalGNNRegressor(CrystalBERT(CGCNN(8, 1), 8, 0), max_epochs=1)
    with pytest.raises(ValueError, match=r"no transformer \(n_layers=0\)"):
        attention_maps(flat.fit(toy.structures, toy.target), toy.structures)


@pytest.mark.parametrize("target", [[0], np.array([0, 1]), 1.5, True, "no", {}])
def test_targets_that_there_are_not(regressor, classifier, toy, target):
    with pytest.raises(ValueError, match="choose one of"):
        token_contributions(regressor, toy.structures, target=target)
    if target is not True:  # which may be a class
        with pytest.raises(ValueError, match="choose one of the classes"):
            token_contributions(classifier, toy.structures, target=target)


# -- space groups ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mini():
    data = load_mp_mini()
    return data.structures, data.frame["band_gap"].to_numpy()


@pytest.fixture(scope="module")
def metals(mini):
    X, gap = mini
    gnn = CrystalGNNClassifier(BERT, early_stopping=False, **PARAMS)
    return gnn.fit(X, gap == 0)


def test_values_of_space_groups(metals, mini):
    X, gap = mini
    found = space_group_values(metals, X, gap == 0, min_count=20, random_state=0)
    groups = found.groups
    assert (groups["n"] >= 20).all()
    assert len(groups) >= 5
    numbers = np.array([s.get_space_group_info(0.1)[1] for s in X[:40]])
    assert groups.index.is_monotonic_increasing
    assert set(found.spearman) == {"value", "one-hot", "shuffled", "number"}
    assert found.spearman["one-hot"] > 0.99  # by construction
    assert 0 < found.spearman["shuffled"] < 0.8
    again = space_group_values(metals, X, gap == 0, min_count=20)
    assert again.spearman == found.spearman
    assert set(numbers) <= set(range(1, 231))
    words = token_contributions(metals, X).tokens.iloc[:, :5].sum(axis=1)
    crystals_of = {n: [] for n in groups.index}
    for i, s in enumerate(X[:60]):
        crystals_of.setdefault(s.get_space_group_info(0.1)[1], []).append(i)
    for number, rows in crystals_of.items():  # all crystals of a group have the same words
        if len(rows) > 1:
            assert np.isfinite(words.iloc[rows]).all(), number
    display = SpaceGroupValuesDisplay.from_estimator(metals, X, gap == 0, random_state=0).plot()
    assert "one-hot" in display.ax_.get_title()
    mpl.pyplot.close("all")


def test_values_of_space_groups_refuse_what_does_not_fit(metals, mini, toy):
    X, gap = mini
    with pytest.raises(ValueError, match="space groups have at least min_count=5000 crystals"):
        space_group_values(metals, X, gap == 0, min_count=5000)
    for odd in ("x", None, 0, 1.5, np.nan, True):
        with pytest.raises(ValueError, match="min_count must be an integer, at least 1; got"):
            space_group_values(metals, X, gap == 0, min_count=odd)
    with pytest.raises(ValueError, match=r"y has the label 'no'; the model knows \[False, True\]"):
        space_group_values(metals, X, np.where(gap == 0, "no", "yes"))
    with pytest.raises(ValueError, match="rows"):
        space_group_values(metals, X, gap[:-1] == 0)
    with pytest.raises(ValueError, match="all of y is the same, so that no group differs"):
        space_group_values(metals, X, gap == -1)
    blind = CrystalBERT(CGCNN(8, 1), 8, 1, 2, 8, tokens=("gnn",))
    gnn = CrystalGNNRegressor(blind, max_epochs=1).fit(toy.structures, toy.target)
    with pytest.raises(ValueError, match='no "space_group" among its tokens'):
        space_group_values(gnn, toy.structures, toy.target)
