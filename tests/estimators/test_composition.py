"""The estimators inside what scikit-learn and its neighbours build around estimators."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import (
    BaggingRegressor,
    RandomForestRegressor,
    StackingRegressor,
    VotingRegressor,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.inspection import permutation_importance
from sklearn.linear_model import Ridge
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    cross_val_predict,
    cross_val_score,
    learning_curve,
    train_test_split,
)
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skuae import UAETransformer
from skuae.embedding import get_table


@pytest.fixture
def frame(X):
    """Structures beside a number, as in a table of measurements."""
    rng = np.random.default_rng(0)
    index = rng.permutation(len(X))
    return pd.DataFrame({"structure": list(X), "t": rng.uniform(size=len(X))}, index=index)


@pytest.fixture
def pipe(gnn):
    return Pipeline([("uae", UAETransformer("magpie")), ("gnn", gnn())])


# -- pipelines ------------------------------------------------------------------------------------


def test_table_travels_through_a_pipeline(gnn, X, y, assert_same_weights):
    pipe = make_pipeline(UAETransformer("magpie"), gnn()).fit(list(X), y)
    alone = gnn(embedding="magpie").fit(list(X), y)
    assert_same_weights(pipe[-1], alone)
    np.testing.assert_array_equal(pipe.predict(list(X)), alone.predict(list(X)))
    assert pipe[-1].element_table_.symbols == get_table("magpie").symbols


def test_learned_table_travels_through_a_pipeline(gnn, front_end, X, y, assert_same_weights):
    pipe = make_pipeline(UAETransformer(front_end()), gnn()).fit(X, y)
    assert_same_weights(pipe[-1], gnn(embedding=front_end()).fit(X, y))
    assert_same_weights(pipe[0].embedding_, front_end().fit(X, y))


def test_pipeline_with_memory(gnn, front_end, X, y, tmp_path):
    pipe = make_pipeline(UAETransformer(front_end()), gnn(), memory=str(tmp_path))
    plain = clone(pipe).set_params(memory=None).fit(X, y).predict(X)
    for _ in range(2):
        np.testing.assert_array_equal(clone(pipe).fit(list(X), y).predict(X), plain)
        assert len(list(tmp_path.rglob("output.pkl"))) == 1  # the second fit found the first's


def test_what_drops_the_crystals_is_named(gnn, X, y):
    with pytest.raises(TypeError, match=r"a scaler.*Let the crystal estimator follow"):
        make_pipeline(UAETransformer("magpie"), StandardScaler(), gnn()).fit(X, y)
    with pytest.raises(TypeError, match=r"set_output.*Let the crystal estimator follow"):
        make_pipeline(UAETransformer("magpie"), gnn()).set_output(transform="pandas").fit(X, y)


def test_set_output(X, y):
    pipe = make_pipeline(UAETransformer("magpie"), StandardScaler(), Ridge())
    pipe.set_output(transform="pandas").fit(X, y)
    assert list(pipe[-1].feature_names_in_) == list(pipe[0].get_feature_names_out())


def test_column_transformer(frame, y):
    expected = None
    for selector in ("structure", ["structure"]):
        mix = ColumnTransformer(
            [("uae", UAETransformer("magpie"), selector), ("t", "passthrough", ["t"])]
        )
        features = mix.fit_transform(frame)
        assert features.shape == (len(frame), 89)
        np.testing.assert_allclose(features[:, -1], frame["t"], rtol=1e-6)
        assert list(mix.get_feature_names_out())[-1] == "t__t"
        predicted = make_pipeline(mix, StandardScaler(), Ridge()).fit(frame, y).predict(frame)
        expected = predicted if expected is None else expected
        np.testing.assert_allclose(predicted, expected)


def test_feature_union_with_matminer(X, y):
    pytest.importorskip("matminer")
    from matminer.featurizers.structure import DensityFeatures

    density = DensityFeatures(["density", "vpa"])
    density.set_n_jobs(1)
    union = FeatureUnion([("uae", UAETransformer("magpie")), ("density", density)])
    features = union.fit_transform(list(X))
    assert features.shape == (len(X), 90)
    volume = X.volumes / X.sizes
    np.testing.assert_allclose(features[:, -1], volume, rtol=1e-5)
    assert make_pipeline(union, StandardScaler(), Ridge()).fit(list(X), y).score(list(X), y) > 0.9


class Constants(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.ones((len(X), 1))


def test_columns_beside_the_features_keep_the_crystals(gnn, X, y):
    union = FeatureUnion([("uae", UAETransformer("magpie")), ("more", Constants())])
    predicted = make_pipeline(union, gnn()).fit(X, y).predict(X)
    alone = gnn(embedding="magpie").fit(X, y).predict(X)
    np.testing.assert_array_equal(predicted, alone)


@pytest.mark.parametrize("last", ["forest", "catboost"])
def test_classical_regressors_behind_the_features(X, y, last):
    if last == "forest":
        regressor = RandomForestRegressor(20, random_state=0)
    else:
        catboost = pytest.importorskip("catboost")
        regressor = catboost.CatBoostRegressor(
            iterations=30, verbose=0, allow_writing_files=False, thread_count=1, random_seed=0
        )
    pipe = make_pipeline(UAETransformer("magpie"), regressor)
    assert pipe.fit(list(X), y).score(list(X), y) > 0.8
    assert cross_val_score(pipe, list(X), y, cv=3).shape == (3,)


# -- cross-validation and searches ----------------------------------------------------------------


def test_cross_validation(make, X, y, container):
    """Each row is predicted by the model that was fitted on the rows of the other folds."""
    cv = KFold(3, shuffle=True, random_state=0)
    held = container(X)
    predicted = cross_val_predict(make(), held, y, cv=cv)
    for train, test in cv.split(X):
        by_hand = make().fit(X[train], y[train]).predict(X[test])
        np.testing.assert_allclose(predicted[test], by_hand, rtol=1e-3, atol=1e-4)
    scores = cross_val_score(make(), held, y, cv=cv, error_score="raise")
    assert scores.shape == (3,)


def test_train_test_split(gnn, X, y):
    parts = train_test_split(X, list(X), y, random_state=0)
    assert type(parts[0]) is type(X)
    assert [s.formula for s in parts[0]] == [s.formula for s in parts[2]]
    predicted = gnn().fit(parts[0], parts[4]).predict(parts[1])
    assert len(predicted) == len(parts[5])


@pytest.fixture
def thrice(X, y):
    """Eight crystals three times over, so that every one of three folds has all elements."""
    rows = np.tile(np.arange(8), 3)
    return list(X[rows]), y[rows]


def test_grid_search_in_processes(pipe, front_end, thrice):
    X, y = thrice
    grid = {
        "uae__embedding": ["onehot", get_table("cgcnn"), front_end()],
        "gnn__freeze_embedding": [False, True],
    }
    one, two = (
        GridSearchCV(pipe, grid, cv=3, n_jobs=n_jobs, error_score="raise").fit(X, y)
        for n_jobs in (1, 2)
    )
    scores = one.cv_results_["mean_test_score"]
    np.testing.assert_allclose(two.cv_results_["mean_test_score"], scores, rtol=1e-3)
    assert len(np.unique(scores)) == 6
    assert one.predict(X).shape == y.shape


def test_halving_search_in_processes(pipe, X, y):
    grid = {"uae__embedding": ["onehot", "magpie"], "gnn__freeze_embedding": [False, True]}
    search = HalvingGridSearchCV(
        pipe, grid, resource="gnn__max_epochs", min_resources=1, max_resources=4, factor=2, cv=2,
        n_jobs=2, error_score="raise", random_state=0,
    )  # fmt: skip
    search.fit(list(X), y)
    assert search.n_candidates_ == [4, 2, 1]
    assert search.best_params_["gnn__max_epochs"] == 4


def test_grid_search_inside_the_embedding(front_end, thrice):
    X, y = thrice
    pipe = Pipeline([("uae", UAETransformer(front_end())), ("ridge", Ridge())])
    search = GridSearchCV(pipe, {"uae__embedding__max_epochs": [1, 2]}, cv=3, error_score="raise")
    learner = search.fit(X, y).best_estimator_[0].embedding_
    assert learner.n_iter_ == search.best_params_["uae__embedding__max_epochs"]


def test_learning_curve(make, X, y):
    sizes, train_scores, scores = learning_curve(
        make(), list(X), y, train_sizes=[6, 12], cv=2, error_score="raise"
    )
    assert sizes.tolist() == [6, 12]
    assert np.isfinite(train_scores).all() and np.isfinite(scores).all()


# -- ensembles and wrappers -----------------------------------------------------------------------


def test_bagging_through_a_frame(make, frame, y):
    bagged = BaggingRegressor(make(), n_estimators=3, random_state=0)
    predicted = bagged.fit(frame[["structure"]], y).predict(frame[["structure"]])
    members = [e.predict(frame[["structure"]]) for e in bagged.estimators_]
    np.testing.assert_allclose(predicted, np.mean(members, axis=0), rtol=1e-5)
    assert np.std(members, axis=0).max() > 0


def test_permutation_importance_through_a_frame(gnn, frame, y):
    model = gnn(max_epochs=60, lr=0.02).fit(frame[["structure"]], y)
    assert model.score(frame[["structure"]], y) > 0.5
    result = permutation_importance(model, frame[["structure"]], y, n_repeats=3, random_state=0)
    assert result.importances_mean[0] > 0.5


def test_stacking_and_voting(gnn, X, y):
    models = [
        ("gnn", gnn()),
        ("forest", make_pipeline(UAETransformer("magpie"), RandomForestRegressor(5))),
    ]
    stacked = StackingRegressor(models, final_estimator=Ridge(), cv=2).fit(list(X), y)
    assert stacked.predict(list(X)).shape == y.shape
    voting = VotingRegressor(models).fit(list(X), y)
    members = [e.predict(list(X)) for e in voting.estimators_]
    np.testing.assert_allclose(voting.predict(list(X)), np.mean(members, axis=0))


def test_transformed_target(gnn, X, y):
    wrapped = TransformedTargetRegressor(gnn(), func=np.log, inverse_func=np.exp).fit(list(X), y)
    inside = np.exp(gnn().fit(X, np.log(y)).predict(X))
    np.testing.assert_allclose(wrapped.predict(list(X)), inside, rtol=1e-5)


def test_multi_output_wrapper(gnn, X, y):
    wrapped = MultiOutputRegressor(gnn()).fit(X, np.column_stack([y, 1 - y]))
    assert wrapped.predict(X).shape == (len(X), 2)


# -- sample weights -------------------------------------------------------------------------------


def test_routing_of_sample_weight(gnn, X, y, assert_same_weights):
    weight = np.random.default_rng(0).uniform(size=len(y))
    expected = gnn(embedding="magpie").fit(X, y, sample_weight=weight)
    with sklearn.config_context(enable_metadata_routing=True):
        asking = gnn().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        pipe = Pipeline([("uae", UAETransformer("magpie")), ("gnn", asking)])
        assert_same_weights(pipe.fit(X, y, sample_weight=weight)[-1], expected)
        search = GridSearchCV(pipe, {"gnn__lr": [expected.lr]}, cv=2, error_score="raise")
        search.fit(X, y, sample_weight=weight)
        assert_same_weights(search.best_estimator_[-1], expected)
        scores = cross_val_score(asking, X, y, cv=2, params={"sample_weight": weight})
        assert np.isfinite(scores).all()
    plain = gnn(embedding="magpie").fit(X, y)
    with pytest.raises(AssertionError):
        assert_same_weights(plain, expected)


def test_sample_weight_without_routing(gnn, X, y, assert_same_weights):
    weight = np.random.default_rng(0).uniform(size=len(y))
    pipe = Pipeline([("uae", UAETransformer("magpie")), ("gnn", gnn())])
    pipe.fit(X, y, gnn__sample_weight=weight)
    assert_same_weights(pipe[-1], gnn(embedding="magpie").fit(X, y, sample_weight=weight))
