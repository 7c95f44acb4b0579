"""The model for a few hundred labels."""

import copy
import pickle
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV

import skuae
from skuae import CrystalStackingClassifier, CrystalTransformerRegressor, crystal_pipeline
from skuae.datasets import FormulaKFold
from skuae.pipelines import AbsoluteErrorBlend

QUICK = {
    "cv": 2,
    "tuned__max_epochs": 2,
    "tuned__batch_size": 8,
    "network__max_epochs": 2,
    "network__batch_size": 8,
    "trees__catboost__iterations": 10,
    "trees__catboost__thread_count": 1,
}


def quick(kind="regressor", **options):
    return crystal_pipeline(kind, random_state=0, device="cpu", **options).set_params(**QUICK)


@pytest.fixture(scope="module")
def fitted(toy, network):
    return quick(model=network).fit(toy.structures, toy.target)


def test_the_parts(network):
    alone = crystal_pipeline(model=None)
    assert [name for name, _ in alone.estimators] == ["trees", "network"]
    assert crystal_pipeline().get_params()["gp__activations__model"] == "mp"
    whole = crystal_pipeline("classifier", model=network)
    assert [name for name, _ in whole.estimators] == ["gp", "outputs", "tuned", "trees", "network"]
    assert isinstance(whole, CrystalStackingClassifier)
    assert is_classifier(whole)
    assert is_regressor(crystal_pipeline())
    for n_labels, n_folds in ((None, 5), (50, 10), (200, 5), (2000, 5), (2001, 3)):
        assert crystal_pipeline(n_labels=n_labels).cv.n_splits == n_folds
    for n_labels, n_folds in ((5, 2), (12, 3), (50, 10), (200, 5)):  # each needs all classes
        assert crystal_pipeline("classifier", n_labels).cv.n_splits == n_folds


def test_it_blends_its_parts(fitted, toy):
    weights = fitted.final_estimator_.coef_
    assert (weights >= 0).all()
    assert weights.shape == (5,)
    each = fitted.transform(toy.structures)
    np.testing.assert_allclose(fitted.predict(toy.structures), each @ weights, rtol=1e-6)
    for j, part in enumerate(fitted.named_estimators_.values()):
        np.testing.assert_allclose(part.predict(toy.structures), each[:, j], rtol=1e-5)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_predict_the_same(fitted, toy, again):
    np.testing.assert_array_equal(
        again(fitted).predict(toy.structures), fitted.predict(toy.structures)
    )


def test_clones_keep_the_network_and_its_weights(fitted, network, toy):
    before = copy.deepcopy(network.net_.module_.state_dict())
    new = clone(fitted)
    assert new.get_params()["gp__activations__model"] is network
    assert not hasattr(new, "estimators_")
    new.fit(toy.structures, toy.target)
    np.testing.assert_allclose(new.predict(toy.structures), fitted.predict(toy.structures))
    after = network.net_.module_.state_dict()
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_the_tuned_part_starts_from_the_network(toy, network):
    tuned = dict(crystal_pipeline(model=network, random_state=0, device="cpu").estimators)["tuned"]
    assert (tuned.init_from, tuned.backbone) == (network, network.backbone)
    assert (tuned.max_epochs, tuned.lr, tuned.loss) == (20, 1e-3, "absolute_error")
    tuned.set_params(lr=1e-12, max_epochs=1).fit(toy.structures, toy.target)
    before, after = (dict(m.net_.module_.named_parameters()) for m in (network, tuned))
    names = [name for name in before if not name.startswith("head.")]
    assert len(names) > 5
    for name in names:
        torch.testing.assert_close(after[name], before[name])


def test_a_transformer_of_atoms_is_not_tuned(toy):
    atoms = CrystalTransformerRegressor(d_model=8, n_layers=1, max_epochs=1, device="cpu")
    atoms.fit(toy.structures, toy.target)
    names = [name for name, _ in crystal_pipeline(model=atoms).estimators]
    assert names == ["gp", "outputs", "trees", "network"]


def test_classes(toy, network):
    labels = np.where(toy.target > np.median(toy.target), "high", "low")
    model = quick("classifier", model=network).fit(toy.structures, labels)
    p = model.predict_proba(toy.structures)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert model.score(toy.structures, labels) > 0.7


def test_it_is_searched(toy, network):
    grid = {"gp__activations__layers": ["all", ["embed"]], "network": ["drop"]}
    search = GridSearchCV(quick(model=network), grid, cv=2, error_score="raise")
    search.fit(toy.structures, toy.target)
    assert search.best_estimator_.transform(toy.structures).shape == (24, 4)


def test_it_explains_itself(fitted):
    assert "BackboneTransformer" in fitted._repr_html_()
    assert "final_estimator=AbsoluteErrorBlend" in repr(fitted)


def test_files_tables_and_names(fitted, toy):
    frame = pd.DataFrame({"structure": pd.Series(list(toy.structures), dtype=object)})
    np.testing.assert_allclose(fitted.predict(frame), fitted.predict(toy.structures))
    names = [
        f"crystalstackingregressor_{name}"
        for name in ("gp", "outputs", "tuned", "trees", "network")
    ]
    assert fitted.get_feature_names_out().tolist() == names


def test_progress(toy, network, capsys):
    quick(model=network, verbose=1).fit(toy.structures, toy.target)
    assert "epoch=2/2" in capsys.readouterr().err


def test_the_seed_reaches_all_parts(network):
    params = crystal_pipeline(model=network, random_state=7).get_params()
    assert params["network__random_state"] == params["gp__process__random_state"] == 7
    assert params["tuned__random_state"] == 7
    assert params["trees__catboost__random_seed"] == 7
    assert network.random_state == 0


def test_bad_options(network, toy):
    with pytest.raises(ValueError, match="kind must be one of regressor, classifier; got 'cls'"):
        crystal_pipeline("cls")
    with pytest.raises(ValueError, match="n_labels must be an integer, at least 1"):
        crystal_pipeline(n_labels=0)
    with pytest.raises(ValueError, match=r"y has shape \(24, 2\): a stack has one target"):
        quick().fit(toy.structures, np.ones((24, 2)))
    y = np.where(np.arange(24) % 10 == 3, np.nan, toy.target)
    with pytest.raises(ValueError, match=r"row 3 \(toy-.*\): y is missing \(3 such rows\)"):
        quick().fit(toy.structures, y)
    with pytest.raises(ValueError, match=r"row 5 \(toy-.*\): the label is None"):
        quick("classifier").fit(toy.structures, np.where(np.arange(24) == 5, None, "a"))
    with pytest.raises(ValueError, match="y has only one class, 'a'"):
        quick("classifier").fit(toy.structures, ["a"] * 24)
    infinite = np.where(np.arange(24) == 2, np.inf, 1.0)
    for y, message in (
        (infinite, r"row 2 \(toy-.*\).*inf"),
        (["a"] * 24, "y must hold numbers"),
        (toy.target[:23], "y has shape"),
    ):
        with pytest.raises(ValueError, match=message):
            quick().fit(toy.structures, y)


def test_without_catboost(monkeypatch):
    monkeypatch.setitem(sys.modules, "catboost", None)
    with pytest.raises(ImportError, match=r'pip install "skuae\[analysis\]"'):
        crystal_pipeline()


def test_y_in_another_order_is_refused(toy):
    X = pd.Series(list(toy.structures), index=[f"c{i}" for i in range(24)], dtype=object)
    y = pd.Series(toy.target, index=X.index)[::-1]
    with pytest.raises(ValueError, match="y"):
        quick().fit(X, y)


def test_a_saved_network(network, tmp_path, toy, fitted):
    network.save_pretrained(tmp_path)
    again = quick(model=tmp_path).fit(toy.structures, toy.target)
    np.testing.assert_allclose(again.predict(toy.structures), fitted.predict(toy.structures))


def test_the_line_through_outputs_has_no_unit(toy, network):
    """Moduli in Pa, or carrier densities, are as good as those in GPa."""
    line = dict(quick(model=network).estimators)["outputs"]
    plain = clone(line).fit(toy.structures, toy.target).predict(toy.structures)
    huge = clone(line).fit(toy.structures, 1e18 * toy.target).predict(toy.structures)
    np.testing.assert_allclose(huge / 1e18, plain, rtol=1e-4)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        clone(line).fit(toy.structures, 1e9 * toy.target + 3e10)


def test_labels_of_a_fold_may_be_equal(toy, network):
    y = np.where(np.arange(24) == 3, 1.0, 0.0)  # gaps of metals, and one of another crystal
    assert np.isfinite(quick(model=network).fit(toy.structures, y).predict(toy.structures)).all()
    same = quick(model=network).fit(toy.structures, np.ones(24))
    np.testing.assert_allclose(same.predict(toy.structures), 1.0, rtol=1e-3)


def test_weights_of_rows_are_refused(toy):
    with pytest.raises(TypeError, match="the member 'gp' is a Pipeline, which passes no weights"):
        quick().fit(toy.structures, toy.target, sample_weight=np.ones(24))


def test_an_interrupted_fit_leaves_no_model(toy, network, tmp_path, monkeypatch):
    def stop(*args):
        raise KeyboardInterrupt

    model = quick(model=network)
    with monkeypatch.context() as patch:
        patch.setattr(AbsoluteErrorBlend, "fit", stop)
        with pytest.raises(KeyboardInterrupt):
            model.fit(toy.structures, toy.target)
    for call in (lambda: model.predict(toy.structures), lambda: skuae.save(model, tmp_path)):
        with pytest.raises(NotFittedError):
            call()
    assert not any(tmp_path.iterdir())


def test_texts_of_numbers(fitted, toy, network):
    texts = [str(value) for value in toy.target]
    found = quick(model=network).fit(toy.structures, texts).predict(toy.structures)
    np.testing.assert_allclose(found, fitted.predict(toy.structures))


def test_too_few_rows_formulas_or_labels_of_a_class(toy, network):
    one = toy.structures[np.zeros(12, dtype=int)]
    with pytest.raises(ValueError, match=r"cv=FormulaKFold.*groups: 1.* set cv to fewer folds"):
        quick(model=network).set_params(cv=FormulaKFold(10)).fit(one, np.arange(12.0))
    classes = np.arange(24) % 2
    with pytest.raises(ValueError, match=r"such as skuae\.datasets\.StratifiedFormulaKFold\(2\)"):
        quick("classifier").set_params(cv=13).fit(toy.structures, classes)
    labels = np.where(np.arange(24) == 5, "rare", "often")
    with pytest.raises(ValueError, match="trains without the class 'rare', of which there are 1"):
        quick("classifier", model=network).fit(toy.structures, labels)
