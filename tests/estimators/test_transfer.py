"""Training that starts from another model: all but its head, for another task."""

import gc
import pickle
import weakref

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.ensemble import VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, cross_val_score

from skuae import (
    CrystalGNNClassifier,
    CrystalGNNRegressor,
    CrystalTransformerRegressor,
    ElementTable,
    models,
)
from skuae.datasets import make_toy_crystals
from skuae.embedding import get_table


@pytest.fixture
def targets(toy):
    """What the estimators of the cases learn, by name."""
    volume = toy.labels["volume_per_atom"].to_numpy()
    return {
        "number": 1e3 * volume,
        "two": np.column_stack([1e3 * volume, toy.target]),
        "classes": np.where(toy.target > 2.2, "polar", "other"),
        "three": np.digitize(volume, np.quantile(volume, [0.3, 0.6])),
    }


REGRESSOR, CLASSIFIER, FRONT_END = (
    CrystalGNNRegressor,
    CrystalGNNClassifier,
    CrystalTransformerRegressor,
)
UNCERTAIN = {"loss": "gaussian_nll"}
CASES = {
    "more_targets": ((REGRESSOR, {}, "number"), (REGRESSOR, {}, "two")),
    "fewer_targets": ((REGRESSOR, {}, "two"), (REGRESSOR, {}, "number")),
    "deviations": ((REGRESSOR, {}, "number"), (REGRESSOR, UNCERTAIN, "number")),
    "no_deviations": ((REGRESSOR, UNCERTAIN, "two"), (REGRESSOR, {"loss": "huber"}, "number")),
    "to_classes": ((REGRESSOR, {}, "number"), (CLASSIFIER, {}, "classes")),
    "from_classes": ((CLASSIFIER, {}, "three"), (REGRESSOR, UNCERTAIN, "two")),
    "other_classes": ((CLASSIFIER, {}, "three"), (CLASSIFIER, {}, "classes")),
    "tuned_table": (
        (REGRESSOR, {"embedding": "magpie"}, "number"),
        (CLASSIFIER, {"embedding": "magpie"}, "classes"),
    ),
    "then_frozen": (
        (REGRESSOR, {"embedding": "magpie"}, "number"),
        (REGRESSOR, {"freeze_embedding": True}, "two"),
    ),
    "front_end": ((FRONT_END, {}, "number"), (FRONT_END, UNCERTAIN, "two")),
}


@pytest.fixture(params=["estimator", "folder"])
def start(request, tmp_path):
    """Return what `init_from` is given."""

    def of(source):
        if request.param == "estimator":
            return source
        source.save_pretrained(tmp_path / "source")
        return tmp_path / "source"

    return of


@pytest.mark.parametrize("case", CASES)
def test_the_body_is_taken_and_the_head_is_new(small, X, targets, case, start):
    """A learning rate of zero shows what training starts from."""
    (source_kind, source_params, source_y), (kind, params, y) = CASES[case]
    source = small(source_kind, random_state=7, **source_params).fit(X, targets[source_y])
    model = small(kind, init_from=start(source), lr=0.0, max_epochs=1, **params)
    model.fit(X, targets[y])
    before, after = (m.net_.module_.state_dict() for m in (source, model))
    fresh = small(kind, lr=0.0, max_epochs=1, **{**source_params, **params})
    drawn = fresh.fit(X, targets[y]).net_.module_.state_dict()
    settled = ("running_mean", "running_var", "num_batches_tracked")
    heads = 0
    for name, value in after.items():
        if name.startswith("head"):
            heads += 1
            assert torch.equal(value, drawn[name]), name
            assert before.get(name) is None or not torch.equal(value, before[name])
        elif name != "elements.linear.weight":  # rows of unseen elements follow the mean
            if not name.endswith(settled):
                assert torch.equal(value, before[name]), name
    assert heads >= 2


@pytest.mark.parametrize("case", [c for c in CASES if CASES[c][1][0] is not CLASSIFIER])
def test_targets_are_scaled_anew(small, X, targets, case, start):
    (source_kind, source_params, source_y), (kind, params, y) = CASES[case]
    source = small(source_kind, **source_params).fit(X, targets[source_y])
    model = small(kind, init_from=start(source), **params).fit(X[:12], 5 * targets[y][:12] + 3)
    values = (5 * targets[y][:12] + 3).reshape(12, -1)
    np.testing.assert_allclose(model.task_.scaler.mean_, values.mean(axis=0))
    np.testing.assert_allclose(model.task_.scaler.scale_, values.std(axis=0))
    # untrained, it predicts about the mean of the new targets, in their units
    away = np.abs(model.predict(X).reshape(24, -1).mean(axis=0) - values.mean(axis=0))
    assert (away < 2 * values.std(axis=0)).all()


def test_shapes_follow_the_new_task(small, X, targets, start):
    source = small(REGRESSOR).fit(X, targets["two"])
    begin = start(source)
    assert small(REGRESSOR, init_from=begin).fit(X, targets["number"]).predict(X).shape == (24,)
    three = small(CLASSIFIER, init_from=begin).fit(X, targets["three"])
    assert three.predict_proba(X).shape == (24, 3)
    sure = small(REGRESSOR, init_from=begin, loss="gaussian_nll").fit(X, targets["two"])
    assert sure.predict(X, return_std=True)[1].shape == (24, 2)


def test_the_table_goes_along(small, X, targets, start):
    source = small(REGRESSOR, embedding="magpie").fit(X, targets["number"])
    begin = start(source)
    tuned = source.element_table_
    frozen = small(CLASSIFIER, init_from=begin, freeze_embedding=True).fit(X, targets["classes"])
    assert frozen.element_table_ == tuned
    assert frozen.element_table_.name == "magpie-tuned"
    further = small(CLASSIFIER, init_from=begin).fit(X, targets["classes"])
    assert further.element_table_ != tuned
    assert further.element_table_.name == "magpie-tuned"
    native = small(REGRESSOR).fit(X, targets["number"])
    again = small(CLASSIFIER, init_from=native).fit(X, targets["classes"])
    np.testing.assert_array_equal(again.network_.elements.table.values, get_table("cgcnn").values)


def test_elements_that_the_source_has_no_vector_for(small, X, targets, start):
    symbol = X[3].species[0].symbol
    has = np.array([symbol in s.composition for s in X])
    part = ElementTable(get_table("magpie").to_frame().drop(index=symbol), name="part")
    source = small(REGRESSOR, embedding=part).fit(X[~has], targets["number"][~has])
    first = int(np.flatnonzero(has)[0])
    message = rf"row {first} \(.*\): .*has no vector for {symbol}; start from a model with a table"
    with pytest.raises(ValueError, match=message):
        small(CLASSIFIER, init_from=start(source)).fit(X, targets["classes"])


def test_the_front_end_learns_elements_that_are_new(small, X, y):
    source = small(FRONT_END, on_missing_element="raise").fit(X[:6], y[:6])
    model = small(FRONT_END, on_missing_element="raise", init_from=source).fit(X, y)
    there = {s.symbol for c in X for s in c.species}
    assert set(source.element_table_.symbols) < there == set(model.element_table_.symbols)


def test_saved_models_need_no_source(small, X, targets, start, tmp_path):
    source = small(REGRESSOR, embedding="magpie").fit(X, targets["number"])
    model = small(CLASSIFIER, init_from=start(source)).fit(X, targets["classes"])
    model.save_pretrained(tmp_path / "fine")
    again = CLASSIFIER.from_pretrained(tmp_path / "fine", device="cpu")
    assert again.init_from is None
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


def test_other_backbones_are_refused(small, X, targets, start):
    source = small(REGRESSOR).fit(X, targets["number"])
    wide = models.CGCNN(atom_dim=12, n_conv=1, hidden_dim=8, cutoff=5.0, max_neighbors=6)
    with pytest.raises(ValueError, match=r"has backbone CGCNN\(.*atom_dim=12"):
        small(CLASSIFIER, backbone=wide, init_from=start(source)).fit(X, targets["classes"])


def test_dropout_may_differ(gnn, X, y):
    def bert(dropout, **params):
        return models.CrystalBERT(
            d_model=8, n_layers=1, n_heads=1, d_ff=8, dropout=dropout, **params
        )

    first = gnn(backbone=bert(0.0)).fit(X, y)
    second = gnn(backbone=bert(0.5), init_from=first).fit(X, y)
    assert second.network_.backbone.dropout == 0.5
    with pytest.raises(ValueError, match="use the same, or start anew"):
        gnn(backbone=bert(0.5, softmax_tokens=True), init_from=first).fit(X, y)
    with pytest.raises(ValueError, match="use the same, or start anew"):
        second.set_params(warm_start=True, backbone=bert(0.1)).fit(X, y)


def test_kinds_that_share_nothing_are_refused(small, X, y, targets, start, tmp_path):
    gnn = small(CLASSIFIER).fit(X, targets["classes"])
    message = r"a CrystalGNNClassifier; CrystalTransformerRegressor can start from .*folder"
    with pytest.raises(TypeError, match=message):
        small(FRONT_END, init_from=start(gnn)).fit(X, y)
    with pytest.raises(TypeError, match="init_from is a int"):
        small(CLASSIFIER, init_from=3).fit(X, targets["classes"])
    with pytest.raises(ValueError, match="not fitted"):
        small(CLASSIFIER, init_from=small(REGRESSOR)).fit(X, targets["classes"])


def test_in_searches_and_ensembles(small, X, targets):
    source = small(REGRESSOR, random_state=5).fit(X, targets["number"])
    clf = small(CLASSIFIER, init_from=source)
    y = targets["classes"]
    assert np.isfinite(cross_val_score(clf, X, y, cv=2, error_score="raise")).all()
    grid = {"init_from": [None, FrozenEstimator(source)]}
    search = GridSearchCV(small(CLASSIFIER), grid, cv=2, n_jobs=2, error_score="raise").fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert VotingClassifier([("a", clf)]).fit(X, y).predict(X).shape == (24,)


@pytest.mark.parametrize("embedding", [None, "ct-uae-mt"])
def test_few_rows_go_further_after_pre_training(embedding):
    """400 binary compounds teach what 24 perovskites are too few for."""
    many = make_toy_crystals(400, random_state=0)
    few = make_toy_crystals(124, prototypes="perovskite", random_state=1)
    X, y = few.structures, few.target
    source = CrystalGNNRegressor(embedding=embedding, max_epochs=20, random_state=0)
    source.fit(many.structures, many.target)

    def error(**params):
        gnn = CrystalGNNRegressor(embedding=embedding, max_epochs=40, random_state=0, **params)
        return np.abs(gnn.fit(X[:24], y[:24]).predict(X[24:]) - y[24:]).mean()

    assert error(init_from=source, lr=1e-3) < 0.75 * error()


def test_a_classifier_learns_from_what_a_regressor_knows():
    many = make_toy_crystals(400, random_state=0)
    few = make_toy_crystals(130, prototypes="perovskite", random_state=1)
    X, y = few.structures, np.where(few.target > np.median(few.target), "polar", "other")
    source = CrystalGNNRegressor(max_epochs=20, random_state=0).fit(many.structures, many.target)

    def accuracy(**params):
        clf = CrystalGNNClassifier(max_epochs=40, random_state=0, **params)
        return clf.fit(X[:30], y[:30]).score(X[30:], y[30:])

    assert accuracy(init_from=source, lr=1e-3) > accuracy() + 0.02


@pytest.mark.parametrize("frozen", [False, True])
def test_the_source_of_a_source_is_let_go(gnn, X, y, frozen):
    """A chain of fits holds its last link alone: pickles, clones and repr do not grow."""
    first = model = gnn(max_epochs=1).fit(X, y)
    held, sizes = weakref.ref(first), []
    for _ in range(6):
        source = FrozenEstimator(model) if frozen else model
        model = gnn(max_epochs=1, init_from=source).fit(X, y)
        sizes.append(len(pickle.dumps(model)))
    assert max(sizes) < 1.01 * sizes[0]
    del first, source
    gc.collect()
    assert held() is None
    kept = model.init_from.estimator if frozen else model.init_from
    assert kept.init_from is None
    assert clone(model).init_from is model.init_from


def test_a_source_without_a_source_is_kept_as_it_is(gnn, X, y, tmp_path):
    source = gnn(max_epochs=1).fit(X, y)
    assert gnn(max_epochs=1, init_from=source).fit(X, y).init_from is source
    frozen = FrozenEstimator(source)
    assert gnn(max_epochs=1, init_from=frozen).fit(X, y).init_from is frozen
    source.save_pretrained(tmp_path)
    assert gnn(max_epochs=1, init_from=tmp_path).fit(X, y).init_from is tmp_path


def test_a_chain_starts_where_the_one_before_ended(make, X, y, assert_same_weights):
    first = make(max_epochs=1).fit(X, y)
    second = make(max_epochs=1, init_from=first).fit(X, y)
    third = make(max_epochs=1, init_from=second).fit(X, y)
    again = make(max_epochs=1, init_from=third.init_from).fit(X, y)  # what it holds of the second
    assert_same_weights(third, again)
