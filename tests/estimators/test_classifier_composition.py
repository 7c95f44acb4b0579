"""The classifier inside what scikit-learn builds around classifiers."""

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    BaggingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
    permutation_test_score,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skuae import CrystalGNNClassifier, UAETransformer, models
from skuae.datasets import make_toy_crystals
from skuae.embedding import get_table


@pytest.fixture
def clf(small):
    usual = {"max_epochs": 8, "lr": 0.02, "embedding": "magpie", "early_stopping": False}
    return lambda **params: small(CrystalGNNClassifier, **{**usual, **params})


@pytest.fixture(scope="module")
def toy():
    """48 crystals, polar or not."""
    data = make_toy_crystals(48, random_state=0)
    return data.structures, np.where(data.target > np.median(data.target), "polar", "other")


@pytest.fixture(scope="module", params=["series", "frame"])
def held(request, toy):
    """Structures as users have them: a column, shuffled index, by itself or in a frame."""
    index = np.random.default_rng(0).permutation(48)
    series = pd.Series(list(toy[0]), index=index, name="structure")
    y = pd.Series(toy[1], index=index)
    return (series if request.param == "series" else series.to_frame()), y


CV = StratifiedKFold(3, shuffle=True, random_state=0)


def test_cross_validation_by_rank(clf, held):
    X, y = held
    scores = cross_val_score(clf(), X, y, cv=CV, scoring="roc_auc", error_score="raise")
    assert scores.shape == (3,)
    assert scores.mean() > 0.8
    p = cross_val_predict(clf(), X, y, cv=CV, method="predict_proba")
    assert p.shape == (48, 2)
    folds = [test for _, test in CV.split(X, y)]
    by_hand = [roc_auc_score(y.iloc[test], p[test, 1]) for test in folds]
    np.testing.assert_allclose(scores, by_hand)
    np.testing.assert_allclose(
        cross_val_predict(clf(), X, y, cv=CV, method="decision_function"),
        np.log(p[:, 1] / p[:, 0]),
        rtol=1e-6,
        atol=1e-9,
    )


def test_cross_validation_is_stratified_by_itself(clf, toy):
    """scikit-learn sees a classifier: sorted labels would leave folds without a class."""
    order = np.argsort(toy[1], kind="stable")
    scores = cross_val_score(clf(), toy[0][order], toy[1][order], cv=3, error_score="raise")
    assert np.isfinite(scores).all()


def test_cross_validation_of_three_classes():
    toy = make_toy_crystals(60, target="prototype", random_state=0)
    clf = CrystalGNNClassifier(models.CGCNN(atom_dim=16, n_conv=1), max_epochs=10, random_state=0)
    for scoring in ("accuracy", "neg_log_loss", "roc_auc_ovr", "f1_macro"):
        scores = cross_val_score(
            clf, toy.structures, toy.target, cv=3, scoring=scoring, error_score="raise"
        )
        assert np.isfinite(scores).all()


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibration(clf, held, method):
    X, y = held
    calibrated = CalibratedClassifierCV(clf(), method=method, cv=CV).fit(X, y)
    p = calibrated.predict_proba(X)
    assert p.shape == (48, 2)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert calibrated.classes_.tolist() == ["other", "polar"]
    assert calibrated.score(X, y) > 0.7


def test_calibration_mends_probabilities():
    """Labels of which a third is wrong, learned by heart: sure of everything, until calibrated."""
    X = make_toy_crystals(240, random_state=1)
    rng = np.random.default_rng(0)
    y = (X.target > np.median(X.target)) ^ (rng.random(240) < 0.3)
    sure = CrystalGNNClassifier(
        models.CGCNN(atom_dim=16, n_conv=1),
        max_epochs=40,
        lr=0.02,
        early_stopping=False,
        random_state=0,
    )
    train, test = np.arange(160), np.arange(160, 240)
    plain = sure.fit(X.structures[train], y[train]).predict_proba(X.structures[test])
    calibrated = CalibratedClassifierCV(sure, cv=3).fit(X.structures[train], y[train])
    mended = calibrated.predict_proba(X.structures[test])
    assert log_loss(y[test], mended) < log_loss(y[test], plain) - 0.1


def test_pipeline(clf, held):
    X, y = held
    pipe = make_pipeline(UAETransformer("magpie"), clf(embedding=None)).fit(X, y)
    alone = clf(embedding="magpie").fit(X, y)
    np.testing.assert_array_equal(pipe.predict_proba(X), alone.predict_proba(X))
    np.testing.assert_array_equal(pipe.classes_, alone.classes_)
    assert pipe.score(X, y) == alone.score(X, y)


def test_a_table_learned_from_labels_in_a_pipeline(clf, held):
    X, y = held
    pipe = make_pipeline(
        UAETransformer(clf(embedding="magpie")), StandardScaler(), LogisticRegression()
    )
    assert pipe.fit(X, y).score(X, y) > 0.8
    assert pipe[0].element_table_.name == "magpie-tuned"


def test_grid_search(clf, held):
    X, y = held
    pipe = Pipeline([("uae", UAETransformer()), ("clf", clf(embedding=None))])
    grid = {
        "uae__embedding": ["onehot", get_table("cgcnn"), clf(embedding="magpie", max_epochs=2)],
        "clf__class_weight": [None, "balanced"],
    }
    search = GridSearchCV(
        pipe, grid, cv=CV, n_jobs=2, scoring=["roc_auc", "accuracy"], refit="roc_auc",
        error_score="raise",
    ).fit(X, y)  # fmt: skip
    assert search.predict_proba(X).shape == (48, 2)
    assert search.cv_results_["mean_test_roc_auc"].shape == (6,)
    assert search.best_score_ > 0.7


def test_ensembles(clf, held):
    X, y = held
    members = [
        ("gnn", clf()),
        ("forest", make_pipeline(UAETransformer("magpie"), RandomForestClassifier(5))),
    ]
    stacked = StackingClassifier(members, final_estimator=LogisticRegression(), cv=2).fit(X, y)
    assert stacked.predict_proba(X).shape == (48, 2)
    assert set(stacked.predict(X)) <= {"other", "polar"}
    voting = VotingClassifier(members, voting="soft").fit(X, y)
    each = [e.predict_proba(X) for e in voting.estimators_]
    np.testing.assert_allclose(voting.predict_proba(X), np.mean(each, axis=0))
    assert set(VotingClassifier(members).fit(X, y).predict(X)) <= {"other", "polar"}


def test_bagging_through_a_frame(clf, toy):
    X, y = pd.DataFrame({"structure": list(toy[0])}), toy[1]
    bagged = BaggingClassifier(clf(), n_estimators=2, random_state=0).fit(X, y)
    assert bagged.predict_proba(X).shape == (48, 2)


def test_permutation_test(clf, toy):
    score, shuffled, _ = permutation_test_score(
        clf(), *toy, cv=CV, n_permutations=3, scoring="roc_auc", random_state=0
    )
    assert score > shuffled.mean()
