import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils import estimator_checks
from sklearn.utils.validation import check_is_fitted

from skuae import CrystalTransformerRegressor
from skuae.crystals import as_crystals
from skuae.embedding import StructureFeatures, UAETransformer, get_table
from skuae.embedding._pooling import pool


@pytest.fixture
def y(structures):
    return np.arange(len(structures), dtype=float)


@pytest.mark.parametrize(
    "check",
    [
        "check_estimator_cloneable",
        "check_estimator_tags_renamed",
        "check_valid_tag_types",
        "check_estimator_repr",
        "check_no_attributes_set_in_init",
        "check_do_not_raise_errors_in_init_or_set_params",
        "check_mixin_order",
        "check_parameters_default_constructible",
        "check_get_params_invariance",
        "check_set_params",
    ],
)
@pytest.mark.parametrize("embedding", ["magpie", get_table("cgcnn")], ids=str)
def test_checks_of_scikit_learn_that_need_no_data(check, embedding):
    getattr(estimator_checks, check)("UAETransformer", UAETransformer(embedding))


def toy_crystals(X):
    """Map rows of numbers to crystals whose composition tells them apart."""
    from pymatgen.core import Lattice, Structure

    made = []
    for row in np.asarray(X, dtype=float):
        elements = 1 + np.abs((row * 1000).astype(np.int64)) % 80
        coords = np.linspace(0, 1, len(row), endpoint=False)[:, None] * [1, 0, 0]
        made.append(Structure(Lattice.orthorhombic(3.0 * len(row), 3, 3), elements, coords))
    return made


class OnNumbers(UAETransformer):
    """Test adapter: scikit-learn's common checks, which send numbers, run on the real thing."""

    def fit(self, X, y=None, sample_weight=None):
        self.fit_transform(X, y, sample_weight)
        return self

    def fit_transform(self, X, y=None, sample_weight=None):
        X = sklearn.utils.validation.validate_data(self, X)
        return super().fit_transform(toy_crystals(X), y, sample_weight)

    def transform(self, X):
        check_is_fitted(self)
        X = sklearn.utils.validation.validate_data(self, X, reset=False)
        return super().transform(toy_crystals(X))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.one_d_array = True, False
        tags.no_validation = False
        return tags


def no_use_for_weights(estimator):
    reason = "sample_weight is for an estimator as embedding; a table has no use for it"
    return dict.fromkeys(
        ["check_all_zero_sample_weights_error", "check_sample_weights_shape"], reason
    )


@estimator_checks.parametrize_with_checks(
    [OnNumbers("random"), OnNumbers("magpie")], expected_failed_checks=no_use_for_weights
)
def test_common_checks_of_scikit_learn(estimator, check):
    check(estimator)


def test_attributes(structures):
    uae = UAETransformer("magpie", statistics=("max", "mean"))
    with pytest.raises(AttributeError):
        _ = uae.n_features_out_
    with pytest.raises(NotFittedError):
        uae.transform(structures)
    with pytest.raises(NotFittedError):
        uae.get_feature_names_out()
    assert uae.fit(structures) is uae
    assert uae.element_table_ is get_table("magpie")
    assert uae.embedding_ is None
    assert uae.n_features_out_ == 44
    names = uae.get_feature_names_out()
    assert names.dtype == object
    assert names[0] == "magpie_max_Number"
    assert names[22] == "magpie_mean_Number"
    assert len(set(names)) == 44


def test_transform(structures):
    uae = UAETransformer("magpie").fit(structures[:4])
    features = uae.transform(structures)
    assert isinstance(features, StructureFeatures)
    np.testing.assert_array_equal(features, pool(get_table("magpie"), as_crystals(structures)))
    assert features.feature_names == list(uae.get_feature_names_out())
    np.testing.assert_array_equal(uae.fit_transform(structures), features)


@pytest.mark.parametrize(
    "wrap",
    [
        tuple,
        iter,
        as_crystals,
        lambda s: pd.Series(s, index=range(5, 15)),
        lambda s: pd.DataFrame({"structure": s}),
        lambda s: [x.as_dict() for x in s],
        lambda s: UAETransformer("random").fit_transform(s),
    ],
)
def test_whatever_holds_structures(structures, wrap):
    expected = UAETransformer("magpie").fit_transform(structures)
    np.testing.assert_allclose(
        UAETransformer("magpie").fit_transform(wrap(structures)), expected, rtol=1e-6
    )


def test_equally_sized_cells_are_not_taken_for_a_table(structures):
    perovskites = [s for s in structures if len(s) == 5]
    assert UAETransformer("onehot").fit_transform(perovskites).shape == (4, 400)


def test_set_output(structures):
    uae = UAETransformer("magpie").set_output(transform="pandas")
    series = pd.Series(structures, index=list("abcdefghij"))
    frame = uae.fit_transform(series)
    assert list(frame.columns) == list(uae.get_feature_names_out())
    assert list(frame.index) == list(series.index)
    np.testing.assert_array_equal(frame, uae.set_output(transform="default").transform(series))


def test_disordered(alloy):
    features = UAETransformer("onehot", statistics=("mean",)).fit_transform([alloy])
    np.testing.assert_allclose(features[0, [28, 78]], [1.25 / 3.5, 2.25 / 3.5], rtol=1e-6)
    assert features.sum() == pytest.approx(1)


def test_missing_elements(structures):
    part = get_table("magpie").to_frame().drop(index=["Na", "Cs"])
    message = r"row 1: table 'custom' \(95 elements\) has no vector for Na .*\(2 such rows"
    row = [s.composition.reduced_formula for s in structures].index("NaCl")
    with pytest.raises(ValueError, match=message.replace("row 1", f"row {row}")):
        UAETransformer(part).fit(structures)
    series = pd.Series(structures, index=[f"mp-{i}" for i in range(10)])
    with pytest.raises(ValueError, match=rf"row {row} \(mp-{row}\): table 'custom'"):
        UAETransformer(part).fit(series)
    nan = UAETransformer(part, on_missing_element="nan").fit_transform(structures)
    assert np.isnan(nan).all(axis=1).sum() == 2
    mean = UAETransformer(part, on_missing_element="mean").fit_transform(structures)
    assert np.isfinite(mean).all()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"embedding": "magpy"}, "no element table named 'magpy'"),
        ({"statistics": ("mean", "median")}, "statistics is"),
        ({"on_missing_element": "zero"}, "on_missing_element is 'zero'"),
    ],
)
def test_bad_parameters_are_found_in_fit(structures, parameters, message):
    uae = UAETransformer(**{"embedding": "magpie", **parameters})
    with pytest.raises(ValueError, match=message):
        uae.fit(structures)


def test_bad_options_are_found_before_an_estimator_learns(structures, learner, y, monkeypatch):
    monkeypatch.setattr(type(learner), "fit", None)  # would fail
    with pytest.raises(ValueError, match="statistics is"):
        UAETransformer(learner, statistics="mean").fit(structures, y)


# -- an estimator as embedding --------------------------------------------------------------------


def test_learns_the_table(structures, learner, y):
    uae = UAETransformer(learner, statistics=("mean",))
    features = uae.fit_transform(structures, y)
    assert uae.embedding is learner
    assert not hasattr(learner, "element_table_")
    assert uae.element_table_ is uae.embedding_.element_table_ is features.table
    assert features.shape == (10, 2)
    assert uae.get_feature_names_out().tolist() == ["learned_mean_0", "learned_mean_1"]
    with pytest.raises(ValueError, match="pass y to fit"):
        uae.fit(structures)


def test_reaches_inside_the_estimator(structures, learner, y):
    pipe = Pipeline([("uae", UAETransformer(learner)), ("ridge", Ridge())])
    assert clone(pipe).set_params(uae__embedding__constant=3.0)[0].embedding.constant == 3.0
    search = GridSearchCV(
        pipe,
        {"uae__embedding__constant": [1.0, 2.0], "uae__on_missing_element": ["mean"]},
        cv=2,
    )
    search.fit(structures, y)
    learned = search.best_estimator_[0].element_table_
    assert learned["O"][1] == search.best_params_["uae__embedding__constant"]


def test_sample_weight(structures, learner, y):
    weight = np.linspace(1, 3, len(y))
    uae = UAETransformer(learner)
    weighted = uae.fit(structures, y, sample_weight=weight).element_table_
    assert weighted != uae.fit(structures, y).element_table_
    pipe = make_pipeline(uae, Ridge())
    pipe.fit(structures, y, uaetransformer__sample_weight=weight)
    assert pipe[0].element_table_ == weighted


class Weighted(RegressorMixin, BaseEstimator):
    def fit(self, X, y, sample_weight=None):
        self.weight_ = sample_weight
        return self

    def predict(self, X):
        return np.zeros(len(X))


def test_metadata_routing(structures, learner, y):
    weight = np.linspace(1, 3, len(y))
    with sklearn.config_context(enable_metadata_routing=True):
        last = Weighted().set_fit_request(sample_weight=True)
        pipe = make_pipeline(UAETransformer(learner), last)
        pipe.fit(structures, y, sample_weight=weight)
        assert pipe[-1].weight_ is weight
        plain = pipe[0].element_table_
        asking = UAETransformer(learner).set_fit_request(sample_weight=True)
        pipe = make_pipeline(asking, last).fit(structures, y, sample_weight=weight)
        assert pipe[0].element_table_ != plain


# -- searches, copies, files ----------------------------------------------------------------------


def test_grid_search_over_kinds_of_embedding(structures, learner, y):
    candidates = [
        "onehot", "cgcnn", "magpie", get_table("magpie"), get_table("magpie").to_frame(), learner
    ]  # fmt: skip
    pipe = Pipeline([("uae", UAETransformer(on_missing_element="mean")), ("ridge", Ridge())])
    search = GridSearchCV(pipe, {"uae__embedding": candidates}, cv=2, error_score="raise")
    search.fit(structures, y)
    scores = search.cv_results_["mean_test_score"]
    assert np.isfinite(scores).all()
    assert scores[2] == scores[3] == scores[4] != scores[1]


def test_grid_search_in_processes(structures, y):
    pipe = Pipeline([("uae", UAETransformer()), ("ridge", Ridge())])
    grid = {"uae__embedding": ["onehot", "cgcnn", "magpie"]}
    one, two = (
        GridSearchCV(pipe, grid, cv=2, n_jobs=n).fit(structures, y).cv_results_["mean_test_score"]
        for n in (1, 2)
    )
    np.testing.assert_allclose(two, one)


def test_pickle(structures):
    uae = UAETransformer("magpie").fit(structures)
    again = pickle.loads(pickle.dumps(uae))
    np.testing.assert_array_equal(again.transform(structures), uae.transform(structures))


@pytest.mark.parametrize("container", [list, lambda p: pd.Series(p, index=range(3, 13))])
def test_files_are_read_in_processes(structures, tmp_path, container, capfd):
    paths = []
    for i, structure in enumerate(structures):
        paths.append(tmp_path / f"{i}.cif")
        structure.to(str(paths[-1]))
    expected = UAETransformer("magpie").fit_transform(structures)
    parallel = UAETransformer("magpie", n_jobs=2, verbose=1).fit_transform(container(paths))
    assert "Parallel" in "".join(capfd.readouterr())
    np.testing.assert_allclose(parallel, expected, rtol=1e-5)
    paths[4].write_text("no structure")
    with pytest.raises(ValueError, match=r"row 4.*4\.cif.* as a structure file"):
        UAETransformer("magpie", n_jobs=2).fit(container(paths))


def test_a_crystal_estimator_gets_the_table_that_the_policy_completes(structures):
    partial = UAETransformer("magpie").fit(structures).element_table_.to_frame().drop("O")
    features = UAETransformer(partial, on_missing_element="mean").fit_transform(structures)
    np.testing.assert_allclose(features.table["O"], partial.mean(axis=0), rtol=1e-4)


def test_a_regressor_learns_from_texts_as_columns(structures):
    learner = CrystalTransformerRegressor(
        d_model=8, n_layers=1, n_heads=2, dim_feedforward=8, max_epochs=1, random_state=0,
        device="cpu",
    )  # fmt: skip
    kinds = np.resize(["a", "b", "c"], len(structures))
    columns = np.eye(3)[np.resize([0, 1, 2], len(structures))]
    expected = UAETransformer(learner).fit_transform(structures, columns)
    numbers = np.arange(len(structures)) / 8
    same = UAETransformer(learner).fit_transform(structures, numbers)
    as_texts = UAETransformer(learner).fit_transform(structures, [str(v) for v in numbers])
    np.testing.assert_array_equal(as_texts, same)
    for y in (kinds, kinds.tolist(), pd.Series(kinds)):
        np.testing.assert_array_equal(
            UAETransformer(learner).fit_transform(structures, y), expected
        )
    with pytest.raises(ValueError, match="'1,5' is no number: it has a comma"):
        UAETransformer(learner).fit(structures, np.resize(["1.5", "1,5"], len(structures)))
