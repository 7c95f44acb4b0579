import copy
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict, cross_val_score
from sklearn.pipeline import FeatureUnion, make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skuae.crystals import Crystals, as_crystals
from skuae.embedding import StructureFeatures, UAETransformer, crystals_and_table, get_table
from skuae.embedding._pooling import pool


@pytest.fixture
def features(structures):
    return UAETransformer("magpie").fit_transform(structures)


def assert_paired(features):
    """Every row is what its own crystal gives."""
    expected = pool(features.table, features.crystals)
    np.testing.assert_array_equal(np.asarray(features)[:, : expected.shape[1]], expected)


def test_carries(features, structures):
    assert features.dtype == np.float32
    assert isinstance(features, np.ndarray)
    assert len(features.crystals) == len(structures)
    assert features.table is get_table("magpie")
    assert features.feature_names[0] == "magpie_mean_Number"
    assert_paired(features)


@pytest.mark.parametrize(
    "key",
    [
        slice(2, 7),
        slice(None, None, -2),
        np.array([3, 0, 3]),
        [4, 1],
        np.array([-1, 2]),
        np.arange(10) % 3 == 0,
        [True] + [False] * 9,
        [],
        (np.array([5, 2]), Ellipsis),
        (slice(1, 4), Ellipsis),
        (slice(1, 4), slice(None)),
        (np.arange(10) > 6,),
    ],
    ids=str,
)
def test_row_selections_keep(features, key):
    part = features[key]
    assert isinstance(part.crystals, Crystals)
    assert part.table is features.table
    assert part.feature_names == features.feature_names
    assert len(part.crystals) == len(part)
    assert_paired(part)


@pytest.mark.parametrize(
    "lose",
    [
        lambda f: f[:, :4],
        lambda f: f[..., :4],
        lambda f: f[[0, 1], [2, 3]],
        lambda f: f[np.zeros((2, 2), dtype=int)],
        lambda f: f[f > 0],
        lambda f: f[None],
        lambda f: f[3],
        lambda f: f.T,
        lambda f: f.reshape(10, -1),
        lambda f: 2 * f,
        lambda f: f + f,
        lambda f: f.astype(np.float64),
        lambda f: np.vstack([f, f]),
        lambda f: np.concatenate([f, f]),
        lambda f: np.sort(f, axis=0),
        lambda f: np.take(f, [1, 0], axis=0),
        lambda f: f.mean(axis=0),
    ],
)
def test_all_else_loses(features, lose):
    lost = lose(features)
    assert getattr(lost, "crystals", None) is None
    assert getattr(lost, "table", None) is None


def test_scalars_and_arrays_come_out_as_usual(features):
    assert isinstance(features[0, 0], np.float32)
    assert type(np.asarray(features)) is np.ndarray


@pytest.mark.parametrize(
    "twin",
    [
        lambda f: f.copy(),
        lambda f: f.copy("F"),
        copy.copy,
        copy.deepcopy,
        lambda f: pickle.loads(pickle.dumps(f)),
        lambda f: pickle.loads(pickle.dumps(f, protocol=2)),
    ],
)
def test_copies_keep(features, twin):
    other = twin(features)
    assert other is not features
    assert other.table == features.table
    assert other.feature_names == features.feature_names
    assert_paired(other)
    assert not np.shares_memory(other, features)


def test_joblib_files_keep(features, tmp_path):
    joblib.dump(features, tmp_path / "f.joblib")
    assert_paired(joblib.load(tmp_path / "f.joblib"))


@pytest.mark.parametrize(
    "change",
    [
        np.random.default_rng(0).shuffle,
        np.random.RandomState(0).shuffle,
        lambda f: f.sort(axis=0),
        lambda f: f.__setitem__([0, 1], f[[1, 0]]),
        lambda f: f.fill(0),
        lambda f: np.asarray(f).__setitem__(3, f[2]),
    ],
)
def test_changing_rows_in_place_loses(features, change):
    changed = features.copy()
    assert changed.crystals is not None
    part = changed[:5]  # a view
    change(changed)
    assert changed.crystals is None
    assert part.crystals is None
    assert changed[::-1].crystals is None
    assert np.hstack([changed, np.zeros((10, 1))]).shape == (10, 89)
    assert getattr(np.hstack([changed, np.zeros((10, 1))]), "crystals", None) is None
    assert_paired(features)


def test_nan_features_keep(structures):
    table = get_table("magpie").to_frame().drop(index="Na")
    features = UAETransformer(table, on_missing_element="nan").fit_transform(structures)
    assert np.isnan(features).any()
    assert features[2:].crystals is not None


def test_shapes_are_checked(structures):
    crystals = as_crystals(structures)
    with pytest.raises(ValueError, match=r"expected \(10, n_features\)"):
        StructureFeatures(np.zeros((9, 4)), crystals)
    with pytest.raises(ValueError, match=r"expected \(\?, n_features\)"):
        StructureFeatures(np.zeros(4))
    assert StructureFeatures(np.zeros((9, 4))).crystals is None


# -- appending columns --------------------------------------------------------------------------


def test_appending_columns_keeps(features):
    other = np.zeros((10, 2))
    for joined in (
        np.hstack([features, other]),
        np.hstack([other, features]),
        np.concatenate([features, other], axis=1),
        np.concatenate((other, features), -1),
        np.hstack([features, features[:, :3]]),
        np.hstack([features, features]),
    ):
        assert joined.crystals is features.crystals
        assert joined.table is features.table
        assert joined.feature_names is None


def test_appending_what_disagrees_loses(features, structures):
    reordered = UAETransformer("magpie").fit_transform(structures[::-1])
    assert type(np.hstack([features, reordered])) is np.ndarray
    other_table = UAETransformer("random").fit_transform(features.crystals)
    assert other_table.crystals is features.crystals
    assert type(np.hstack([features, other_table])) is np.ndarray
    assert np.hstack([features, features * 1]).crystals is features.crystals


# -- the way to a crystal estimator ---------------------------------------------------------------


class VolumePerAtom(RegressorMixin, BaseEstimator):
    """Stands for a GNN: reads crystals and table, and checks that rows belong together."""

    def fit(self, X, y):
        self.predict(X)
        self.fitted_ = True
        return self

    def predict(self, X):
        crystals, self.table_ = crystals_and_table(X)
        assert len(crystals) == len(X)
        if isinstance(X, StructureFeatures):
            expected = pool(self.table_, crystals, ("mean",))
            found = np.asarray(X)
            start = next(
                i for i in range(found.shape[1]) if np.array_equal(found[:, i], expected[:, 0])
            )
            np.testing.assert_array_equal(found[:, start : start + expected.shape[1]], expected)
        return crystals.volumes / crystals.sizes


@pytest.fixture
def y(structures):
    return np.array([s.volume / len(s) for s in structures])


def test_pipeline_and_cross_validation(structures, y):
    pipe = make_pipeline(UAETransformer("magpie"), VolumePerAtom())
    assert pipe.fit(structures, y).score(structures, y) == pytest.approx(1)
    assert pipe[-1].table_ is get_table("magpie")
    cv = KFold(3, shuffle=True, random_state=0)
    np.testing.assert_allclose(cross_val_predict(pipe, structures, y, cv=cv), y)
    features = UAETransformer("magpie").fit_transform(structures)
    assert cross_val_score(VolumePerAtom(), features, y, cv=cv).min() == pytest.approx(1)
    bad = GridSearchCV(pipe, {"uaetransformer__embedding": ["magpie", "random"]}, cv=cv)
    assert bad.fit(structures, y).best_score_ == pytest.approx(1)


def test_feature_union_and_column_transformer(structures, y):
    charge = FunctionTransformer(lambda X: np.array([[s.num_sites] for s in X]))
    union = make_union(UAETransformer("magpie"), charge)
    assert make_pipeline(union, VolumePerAtom()).fit(structures, y).score(
        structures, y
    ) == pytest.approx(1)
    frame = pd.DataFrame({"T": np.arange(10.0), "structure": structures})
    for column in ("structure", ["structure"]):
        columns = ColumnTransformer(
            [("T", "passthrough", ["T"]), ("uae", UAETransformer("magpie"), column)]
        )
        pipe = make_pipeline(columns, VolumePerAtom())
        assert pipe.fit(frame, y).score(frame, y) == pytest.approx(1)
        assert columns.fit_transform(frame).shape == (10, 89)
        assert columns.get_feature_names_out()[1] == "uae__magpie_mean_Number"


def test_union_of_the_same_table_twice(structures, y):
    """Each branch reads the list into crystals of its own."""
    union = make_union(
        UAETransformer("magpie", statistics=("mean",)),
        UAETransformer("magpie", statistics=("max",)),
    )
    expected = make_pipeline(UAETransformer("magpie"), VolumePerAtom()).fit(structures, y)
    for X in (structures, as_crystals(structures)):
        with pytest.warns(UserWarning, match="columns beside"):
            pipe = make_pipeline(union, VolumePerAtom()).fit(X, y)
            np.testing.assert_array_equal(pipe.predict(X), expected.predict(structures))


def test_union_of_two_tables_is_refused_by_the_crystal_estimator(structures, y):
    union = FeatureUnion([("a", UAETransformer("magpie")), ("b", UAETransformer("random"))])
    make_pipeline(union, Ridge()).fit(structures, y)
    with pytest.raises(TypeError, match=r"without its crystals.*a union of several tables"):
        make_pipeline(union, VolumePerAtom()).fit(structures, y)


def test_lost_crystals_give_one_clear_error(structures, y):
    message = r"of shape \(10, 88\) without its crystals.*follow UAETransformer directly"
    scaled = make_pipeline(UAETransformer("magpie"), StandardScaler(), VolumePerAtom())
    with pytest.raises(TypeError, match=message):
        scaled.fit(structures, y)
    pipe = make_pipeline(UAETransformer("magpie"), VolumePerAtom())
    with pytest.raises(TypeError, match=message):
        pipe.set_output(transform="pandas").fit(structures, y)
    with pytest.raises(TypeError, match=message):
        crystals_and_table(UAETransformer("magpie").fit_transform(structures) * 2)


def test_structures_pass_without_a_table(structures):
    crystals, table = crystals_and_table(structures)
    assert len(crystals) == 10
    assert table is None
    crystals, table = crystals_and_table(pd.DataFrame({"structure": structures}))
    assert len(crystals) == 10


def test_other_estimators_see_a_matrix(structures, y, features):
    for estimator in (Ridge(), RandomForestRegressor(10, random_state=0)):
        plain = estimator.fit(np.asarray(features), y).predict(np.asarray(features))
        np.testing.assert_array_equal(estimator.fit(features, y).predict(features), plain)


def test_pipeline_memory(structures, y, tmp_path):
    pipe = make_pipeline(UAETransformer("magpie"), VolumePerAtom(), memory=str(tmp_path))
    for _ in range(2):
        assert pipe.fit(structures, y).score(structures, y) == pytest.approx(1)
