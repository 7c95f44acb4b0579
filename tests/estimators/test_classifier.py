"""Classes instead of numbers: labels of all kinds, probabilities, weights of classes."""

import pickle
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_classifier
from sklearn.exceptions import DataConversionWarning
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import cross_val_score
from sklearn.utils.class_weight import compute_sample_weight

from skuae import CrystalGNNClassifier, UAETransformer, models
from skuae.datasets import make_toy_crystals
from skuae.training import fit_network


@pytest.fixture
def clf(small):
    return lambda **params: small(CrystalGNNClassifier, **{"early_stopping": False, **params})


@pytest.fixture(scope="module")
def three():
    """48 crystals in three classes that only the structure tells apart."""
    return make_toy_crystals(48, target="prototype", random_state=0)


@pytest.fixture
def two(y):
    return np.where(y > np.median(y), "polar", "other")


# -- learning -------------------------------------------------------------------------------------


@pytest.mark.parametrize("prototypes", [("rocksalt", "cscl"), ("rocksalt", "cscl", "zincblende")])
def test_learns_what_only_the_structure_tells(prototypes):
    toy = make_toy_crystals(150, prototypes=prototypes, target="prototype", random_state=0)
    X, y = toy.structures, toy.target
    gnn = CrystalGNNClassifier(
        models.CGCNN(atom_dim=32, n_conv=2), max_epochs=20, batch_size=16, lr=0.01, random_state=0
    ).fit(X[:120], y[:120])
    assert gnn.score(X[:120], y[:120]) > 0.95
    assert gnn.score(X[120:], y[120:]) > 0.7
    assert is_classifier(gnn)


def test_learns_nothing_from_shuffled_labels():
    toy = make_toy_crystals(
        160, prototypes=("rocksalt", "cscl"), target="prototype", random_state=0
    )
    y = np.random.default_rng(0).permutation(toy.target)
    gnn = CrystalGNNClassifier(max_epochs=20, random_state=0).fit(toy.structures[:80], y[:80])
    assert gnn.score(toy.structures[80:], y[80:]) < 0.7


def test_probabilities(clf, three):
    X, y = three.structures, three.target
    gnn = clf(max_epochs=30, lr=0.02).fit(X, y)
    p = gnn.predict_proba(X)
    assert p.shape == (48, 3) and p.dtype == np.float64
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-12)
    assert (gnn.classes_ == ["cscl", "rocksalt", "zincblende"]).all()
    np.testing.assert_array_equal(gnn.predict(X), gnn.classes_[p.argmax(axis=1)])
    scores = gnn.decision_function(X)
    ratio = np.exp(scores - scores.max(axis=1, keepdims=True))
    np.testing.assert_allclose(ratio / ratio.sum(axis=1, keepdims=True), p, rtol=1e-9)
    assert gnn.score(X, y) == accuracy_score(y, gnn.predict(X))
    assert log_loss(y, p) < np.log(3) - 0.1


def test_two_classes(clf, X, two):
    gnn = clf().fit(X, two)
    p = gnn.predict_proba(X)
    assert p.shape == (24, 2)
    scores = gnn.decision_function(X)
    assert scores.shape == (24,)
    np.testing.assert_allclose(1 / (1 + np.exp(-scores)), p[:, 1], rtol=1e-9)
    np.testing.assert_array_equal(gnn.predict(X), gnn.classes_[(scores > 0).astype(int)])


def test_loss_of_history_is_the_log_loss(clf, three):
    X, y = three.structures, three.target
    gnn = clf(lr=0.0, max_epochs=1).fit(X, y)
    # batch norms settle after the losses are taken: the losses are near, not equal
    assert gnn.history_[0]["train_loss"] == pytest.approx(np.log(3), abs=0.3)
    assert set(gnn.history_[0]) == {"epoch", "train_loss", "dur"}


def test_early_stopping_goes_by_the_log_loss(clf, three):
    X, y = three.structures, three.target
    params = {"early_stopping": True, "validation_fraction": 0.25, "refit": False}
    for weight in (None, 1.0 + np.arange(len(y)) % 3):
        gnn = clf(**params).fit(X, y, sample_weight=weight)
        valid = split_of(clf(**params), X, y)[1]
        best = min(entry["error"] for entry in gnn.epochs_tried_)
        weight = None if weight is None else weight[valid]
        assert best == pytest.approx(
            log_loss(y[valid], gnn.predict_proba(X)[valid], sample_weight=weight), rel=1e-5
        )


# -- labels ---------------------------------------------------------------------------------------

LABELS = {
    "strings": (np.array(["no", "yes"]), "<U3"),
    "objects": (np.array(["no", "yes"], dtype=object), object),
    "ints": (np.array([3, 7]), np.int64),
    "small_ints": (np.array([-1, 1], dtype=np.int8), np.int8),
    "bools": (np.array([False, True]), bool),
    "floats": (np.array([0.0, 2.0]), np.float64),
    "unicode": (np.array(["Metall", "Nichtmetall ≥ 0.1 eV"]), "<U20"),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_of_all_kinds(clf, X, two, kind, tmp_path):
    labels, dtype = LABELS[kind]
    y = labels[(two == "polar").astype(int)]
    gnn = clf(class_weight=dict.fromkeys(labels.tolist(), 2.0)).fit(X, y)
    assert gnn.classes_.dtype == gnn.predict(X).dtype == dtype
    assert gnn.classes_.tolist() == labels.tolist()
    reference = clf().fit(X, two)
    np.testing.assert_allclose(gnn.predict_proba(X), reference.predict_proba(X), rtol=1e-4)
    gnn.save_pretrained(tmp_path)
    for again in (
        CrystalGNNClassifier.from_pretrained(tmp_path, device="cpu"),
        pickle.loads(pickle.dumps(gnn)),
    ):
        np.testing.assert_array_equal(again.predict_proba(X), gnn.predict_proba(X))
        np.testing.assert_array_equal(again.predict(X), gnn.predict(X))
        assert again.classes_.dtype == dtype
        assert again.class_weight == gnn.class_weight


@pytest.mark.parametrize(
    "make_labels",
    [
        list,
        pd.Series,
        lambda y: pd.Series(y, dtype="category"),
        lambda y: pd.Series(y, dtype="string"),
        lambda y: pd.Series(y == "polar", dtype="boolean"),
        lambda y: pd.Series(y == "polar").astype("Int64"),
        lambda y: (y == "polar").astype(object),
    ],
    ids=["list", "series", "category", "string", "boolean", "Int64", "bools as objects"],
)
def test_containers_of_labels(clf, X, two, make_labels):
    expected = clf().fit(X, two).predict(X) == "polar"
    gnn = clf().fit(X, make_labels(two))
    np.testing.assert_array_equal(gnn.predict(X) == gnn.classes_[1], expected)
    assert gnn.score(X, make_labels(two)) == np.mean(expected == (two == "polar"))
    assert np.isfinite(cross_val_score(clf(), X, make_labels(two), cv=2)).all()


def test_names_of_labels(clf, X, two, tmp_path):
    gnn = clf().fit(X, pd.Series(two, name="kind"))
    assert gnn.target_names_ == ["kind"]
    assert clf().fit(X, two).target_names_ is None
    with pytest.warns(DataConversionWarning):
        clf().fit(X, two[:, None])
    gnn.save_pretrained(tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert "Targets: kind" in card and "Classes: other, polar" in card
    again = CrystalGNNClassifier.from_pretrained(tmp_path, device="cpu")
    assert again.target_names_ == ["kind"]
    assert again.classes_.tolist() == ["other", "polar"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda y: None, "classifier requires y to be passed, but the target y is None"),
        (lambda y: y[:-1], r"y has shape \(23,\) but X has 24 rows"),
        (lambda y: np.where(np.arange(24) == 5, None, y), r"row 5 \(mp-5\): the label is None; a"),
        (lambda y: np.where(np.arange(24) > 21, np.nan, 1), r"row 22 \(mp-22\): .* nan \(2 such"),
        (lambda y: pd.Series(y, dtype="string").where(y != "polar"), r"row \d+ .*<NA>.*drop the"),
        (lambda y: np.full(24, "a"), "only one class, 'a'.*at least 2 classes"),
        (lambda y: np.linspace(0, 1, 24), "Unknown label type: continuous"),
        (lambda y: np.where(np.arange(24) == 3, 5, y.astype(object)), "Unknown label.*int, str"),
        (lambda y: pd.date_range("2020", periods=24), "Unknown label type.*strings"),
        (lambda y: np.column_stack([y, y]), "1d"),
    ],
)
def test_bad_labels(clf, X, two, spoil, message):
    named = pd.Series(list(X), index=[f"mp-{i}" for i in range(len(X))])
    gnn = clf()
    with pytest.raises(ValueError, match=message):
        gnn.fit(named, spoil(two))
    assert not hasattr(gnn, "net_")


def test_one_class_with_weight(clf, X, two):
    weight = (two == "polar").astype(float)
    with pytest.raises(ValueError, match="only one class, 'polar'"):
        clf().fit(X, two, sample_weight=weight)


# -- weights --------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", ["balanced", {"polar": 3.0, "other": 0.5}, {"polar": 10}])
def test_class_weights_are_sample_weights(clf, X, two, weights, assert_same_weights):
    y = two.copy()
    y[:4] = "other"
    own = np.random.default_rng(0).uniform(size=24)
    expected = compute_sample_weight(weights, y)
    one = clf(class_weight=weights).fit(X, y)
    assert_same_weights(one, clf().fit(X, y, sample_weight=expected))
    both = clf(class_weight=weights).fit(X, y, sample_weight=own)
    assert_same_weights(both, clf().fit(X, y, sample_weight=expected * own))
    with pytest.raises(AssertionError):
        assert_same_weights(one, clf().fit(X, y))


def test_class_weights_move_the_decision(clf, three):
    X = three.structures
    y = np.random.default_rng(0).choice(["a", "b"], len(X))
    heavy = [
        clf(class_weight={label: 50.0}, max_epochs=10, lr=0.02).fit(X, y).predict(X)
        for label in "ab"
    ]
    assert (heavy[0] == "a").mean() > 0.8
    assert (heavy[1] == "b").mean() > 0.8


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("even", "class_weight"),
        ({"polar": -1.0}, "class_weight of 'polar' is -1.0"),
        ({"polar": np.nan}, "class_weight of 'polar' is nan"),
        ({"polar": 1e308}, r"class_weight of 'polar' is 1e\+308; weights must .*at most 1e\+100"),
        ({"polar": 0, "other": 0}, "leaves no row a weight"),
        ({"a": 1.0, "b": 2.0}, "names 'a', but y has the classes"),
    ],
)
def test_bad_class_weights(clf, X, two, weights, message):
    with pytest.raises(ValueError, match=message):
        clf(class_weight=weights).fit(X, two)


def test_rows_of_weight_zero_do_not_matter(clf, X, two, assert_same_weights):
    weight = np.random.default_rng(0).integers(0, 3, 24)
    other = np.where(weight == 0, two[::-1], two)
    one = clf().fit(X, two, sample_weight=weight)
    assert_same_weights(one, clf().fit(X, other, sample_weight=weight))


# -- training -------------------------------------------------------------------------------------


def split_of(gnn, X, y, **params):
    """Return the rows that a fit trains on first and those it holds back."""
    with mock.patch("skuae.estimators._base.fit_network", wraps=fit_network) as spy:
        clone(gnn).set_params(**params).fit(X, y)
    data = spy.call_args_list[0].args[2]
    return data.train, data.valid


def test_validation_rows_are_stratified(clf, three):
    X = three.structures
    y = np.repeat(["common", "rare", "once"], [35, 12, 1])
    for seed in range(5):
        train, valid = split_of(
            clf(random_state=seed, early_stopping=True, max_epochs=1), X, y,
            validation_fraction=0.25,
        )  # fmt: skip
        assert sorted([*train, *valid]) == list(range(48))
        assert len(valid) == 12
        assert set(y[train]) == {"common", "rare", "once"}
        counts = pd.Series(y[valid]).value_counts()
        assert 8 <= counts["common"] <= 10 and 2 <= counts["rare"] <= 4
    again = split_of(
        clf(random_state=4, early_stopping=True, max_epochs=1), X, y, validation_fraction=0.25
    )
    np.testing.assert_array_equal(valid, again[1])  # the same seed, the same rows
    other = split_of(clf(random_state=5, early_stopping=True, max_epochs=1), X, y)[1]
    assert not set(other) <= set(valid)


def test_early_stopping_where_every_row_is_needed(clf, X):
    y = np.arange(24) % 20
    with pytest.raises(ValueError, match=r"24 rows of 20 classes leave 4 .*early_stopping=False"):
        clf(early_stopping=True, validation_fraction=0.5).fit(X, y)
    gnn = clf(early_stopping=True, validation_fraction=0.1).fit(X, y)
    assert gnn.predict_proba(X).shape == (24, 20)


def test_warm_start(clf, X, two):
    gnn = clf(warm_start=True, lr=0.0, max_epochs=1).fit(X, two)
    before = gnn.decision_function(X)
    np.testing.assert_allclose(gnn.fit(X, two).decision_function(X), before, rtol=1e-4, atol=1e-5)
    for other in (np.where(two == "polar", "x", "y"), np.arange(24) % 3):
        with pytest.raises(ValueError, match=r"the fit before had \['other', 'polar'\]"):
            gnn.fit(X, other)
    np.testing.assert_array_equal(gnn.classes_, ["other", "polar"])  # and still predicts
    assert gnn.predict(X).shape == (24,)


def test_a_fit_that_diverges_says_so(clf, X, two):
    with pytest.raises(ValueError, match=r"diverged.*lower lr"):
        clf(lr=1e30, optimizer="sgd", lr_schedule="constant").fit(X, two)


def test_checkpoints(clf, X, two, tmp_path, assert_same_weights):
    whole = clf(class_weight="balanced").fit(X, two)
    params = {"class_weight": "balanced", "checkpoint_dir": tmp_path}
    first, second = (clf(**params).fit(X, two) for _ in range(2))
    assert_same_weights(first, whole)
    assert_same_weights(second, whole)
    assert len(list(tmp_path.iterdir())) == 1
    clf(**{**params, "class_weight": None}).fit(X, two)
    assert len(list(tmp_path.iterdir())) == 2


# -- element tables -------------------------------------------------------------------------------


def test_table_of_a_classifier(clf, X, two, assert_same_weights):
    """Method II from labels: the table that a classifier has learned goes into any estimator."""
    tuner = clf(embedding="magpie")
    features = UAETransformer(tuner).fit(X, two)
    tuned = clf(embedding="magpie").fit(X, two).element_table_
    assert features.element_table_ == tuned
    assert tuned.name == "magpie-tuned"
    learned = clf(embedding=tuner, random_state=1).fit(X, two)
    assert_same_weights(learned, clf(embedding=tuned, random_state=1).fit(X, two))
    assert clf().fit(X, two).element_table_.name == "cgcnn-learned"


def test_a_front_end_learns_from_labels(small, front_end, X, toy):
    """Each class is a column for it, not a number on a scale."""
    labels = toy.labels["prototype"].to_numpy()
    model = small(CrystalGNNClassifier, embedding=front_end(), freeze_embedding=True)
    learned = model.fit(X, labels).element_table_
    codes = (labels == np.unique(labels)[1]).astype(float)
    assert learned == front_end().fit(X, codes).element_table_
    three = np.where(toy.target > np.quantile(toy.target, 0.7), "high", labels)
    columns = (three[:, None] == np.unique(three)).astype(float)
    assert model.fit(X, three).element_table_ == front_end().fit(X, columns).element_table_


def test_logarithms_of_probabilities(clf, X, two):
    model = clf().fit(X, two)
    np.testing.assert_allclose(np.exp(model.predict_log_proba(X)), model.predict_proba(X))


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ("blnced", 'must be "balanced", a dict'),
        ({"polar": 1, "polr": 2}, "names 'polr', but y has"),
    ],
)
def test_class_weights_that_make_no_sense(clf, X, two, weight, message):
    with pytest.raises(ValueError, match=message):
        clf(class_weight=weight).fit(X, two)


def test_scores_read_weights_as_fit_does(clf, X, two):
    gnn = clf().fit(X, two)
    masked = np.ma.masked_array(np.ones(len(two)), np.arange(len(two)) == 3)
    with pytest.raises(ValueError, match=r"row 3 .*sample_weight is nan"):
        gnn.score(X, two, masked)
    right = gnn.predict(X) == two
    assert right.any()
    assert gnn.score(X, two, right.astype(float).tolist()) == 1
