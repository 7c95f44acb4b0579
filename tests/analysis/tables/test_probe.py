import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import KFold, LeaveOneOut, RepeatedKFold, ShuffleSplit

from skuae import ElementTable
from skuae.analysis import ProbeDisplay, element_properties, probe_elements
from skuae.analysis.tables._probe import explain_model

catboost = pytest.importorskip("catboost")

QUICK = RepeatedKFold(n_splits=4, n_repeats=1, random_state=0)


@pytest.fixture(scope="module")
def table():
    rows = np.random.default_rng(0).normal(size=(60, 10))
    return ElementTable(rows, range(1, 61), name="made")


@pytest.fixture(scope="module")
def planted(table):
    noise = np.random.default_rng(1).normal(scale=0.05, size=60)
    return pd.Series(2.0 * table.values[:60, 7] + noise, index=table.symbols, name="planted")


@pytest.fixture(scope="module")
def probe(table, planted):
    return probe_elements(table, planted, controls=["random16"], cv=QUICK)


def test_finds_what_is_planted(probe):
    summary = probe.summary.loc["planted"]
    assert summary.loc["made", "r2_mean"] > 0.8
    assert summary.loc["made", "r2_pooled"] > 0.8
    assert summary.loc["random16", "r2_mean"] < 0.4
    assert probe.importances["planted"].idxmax() == "7"
    top = probe.top_dims.loc[("planted", 1)]
    assert (top["dim"], top["share_first"]) == ("7", 1.0)
    assert top["share"] > 0.5


def test_tables_of_results_agree(probe):
    scores = probe.scores.query("table == 'made'")["r2"]
    row = probe.summary.loc[("planted", "made")]
    np.testing.assert_allclose(row["r2_mean"], scores.mean())
    assert row["r2_best"] == scores.max()
    assert (probe.scores["n_train"] == 45).all()
    assert (probe.scores["n_test"] == 15).all()
    held_out = probe.predictions.loc[("planted", "made")]
    assert len(held_out) == row["n_elements"] == 60


def test_shap_values_add_up_to_predictions(table, planted):
    X = table.values[:60]
    model = catboost.CatBoostRegressor(
        iterations=50, verbose=False, allow_writing_files=False, thread_count=1
    ).fit(X, planted)
    values, base = explain_model(model, X)
    np.testing.assert_allclose(values.sum(axis=1) + base, model.predict(X), atol=1e-6)


def test_same_seed_same_result_in_any_number_of_processes(table, planted, probe):
    again = probe_elements(table, planted, controls=["random16"], cv=QUICK, n_jobs=2)
    pd.testing.assert_frame_equal(again.scores, probe.scores)
    pd.testing.assert_frame_equal(again.importances, probe.importances)


def test_only_elements_with_a_value_and_a_vector_in_all_tables(table, planted):
    values = planted.copy()
    values["H"] = values["He"] = np.nan
    values["Og"] = 1.0  # no vector
    fewer = ElementTable(table.values[2:50], table.symbols[2:50], name="fewer")
    probe = probe_elements(table, values, controls=[fewer], cv=QUICK)
    assert (probe.summary["n_elements"] == 48).all()
    assert set(probe.predictions.index.unique("element")) == set(table.symbols[2:50])


def test_several_properties_by_name_and_splitter_of_the_paper(table):
    cv = ShuffleSplit(n_splits=2, test_size=0.2, random_state=0)
    names = ["ionization_energy", "electronegativity"]
    probe = probe_elements(table, names, controls=[], cv=cv)
    assert list(probe.importances.columns) == names
    counts = probe.summary["n_elements"].droplevel("table")
    assert (probe.scores.groupby("property").size() == 2).all()
    held_out = probe.predictions.groupby("property").size()
    assert (counts == held_out[counts.index]).all()  # only those that were held out are pooled
    assert (counts <= 24).all()


def test_parts_of_one_element_have_no_r2(table, planted):
    with pytest.raises(ValueError, match="split 0 of 'planted' tests on 1 of 60 elements"):
        probe_elements(table, planted, controls=[], cv=LeaveOneOut())


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        (["mass"], "must be names out of atomic_radius"),
        ([], "must be names out of"),
        (pd.Series({"Li": 1.0, 3: 2.0}), "several rows for Li"),
        (pd.Series({"Li": np.inf}, name="mine"), "'mine' has infinite"),
        ({"Li": 1.0j}, "properties are real numbers"),
        ({"Li": "4_1"}, "'4_1' is no number: it has an underscore"),
        (pd.DataFrame([[1.0, 2.0]], ["Li"], ["a", "a"]), "two columns 'a'"),
        ({"Li": 1.0, "Na": 2.0}, "2 elements have a value"),
        ({"Xx": 1.0}, "is not an element"),
        (pd.Series(1.0, index=["Li", *"BCNOFHPSK"], name="one"), "'one' is the same for all"),
    ],
)
def test_properties_that_cannot_be_used(table, properties, words):
    with pytest.raises(ValueError, match=words):
        probe_elements(table, properties)


def test_a_part_of_one_value_teaches_nothing(table):
    values = pd.Series([1.0] * 9 + [2.0], index=table.symbols[:10], name="mine")
    with pytest.raises(ValueError, match=r"split \d of 'mine' trains on elements of one value"):
        probe_elements(table, values, cv=KFold(5))


def test_two_tables_of_one_name(table):
    for controls in ([table], table):
        with pytest.raises(ValueError, match="two tables of one name"):
            probe_elements(table, controls=controls)
    with pytest.raises(TypeError, match="random_state must be an int; got None"):
        probe_elements(table, random_state=None)


def test_names_the_extra_where_catboost_is_missing(table, monkeypatch):
    monkeypatch.setitem(sys.modules, "catboost", None)
    with pytest.raises(ImportError, match=r"skuae\[analysis\]"):
        probe_elements(table)


def test_element_properties_are_those_of_the_handbooks():
    properties = element_properties()
    assert properties.shape == (118, 6)
    iron = properties.loc["Fe"]
    np.testing.assert_allclose(iron["ionization_energy"], 7.90, atol=0.01)
    np.testing.assert_allclose(iron["electronegativity"], 1.83)
    np.testing.assert_allclose(iron["electrical_conductivity"], 1.0e7, rtol=0.05)
    np.testing.assert_allclose(properties.loc["Na", "atomic_radius"], 1.80)
    np.testing.assert_allclose(properties.loc["Na", "boiling_point"], 1156, atol=2)


def test_display(probe):
    ax = ProbeDisplay.from_probe(probe).plot().ax_
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["planted"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["made", "random16"]
    ax = ProbeDisplay.from_probe(probe).plot(kind="importances", n_labels=1).ax_
    beside = ax.child_axes[0].get_yticklabels()
    assert "7" in [text.get_text() for text in beside]
    with pytest.raises(ValueError, match="kind must be"):
        ProbeDisplay.from_probe(probe).plot(kind="bars")
