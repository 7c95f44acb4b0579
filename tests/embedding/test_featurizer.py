import numpy as np
import pandas as pd
import pytest
from pymatgen.core import DummySpecies, Lattice, Structure
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator

from skuae.crystals import as_crystals
from skuae.embedding import UAETransformer


@pytest.fixture
def uae():
    return UAETransformer("magpie", statistics=("mean", "max"))


@pytest.fixture
def frame(structures):
    return pd.DataFrame({"structure": structures, "T": range(10)}, index=range(20, 30))


@pytest.fixture
def bad_frame(frame):
    """Row 3 holds what is no element, row 7 an element that Magpie lacks."""
    x = Structure(Lattice.cubic(3), [DummySpecies("X")], [[0, 0, 0]])
    og = Structure(Lattice.cubic(3), ["Og"], [[0, 0, 0]])
    frame = frame.copy()
    frame.iat[3, 0], frame.iat[7, 0] = x, og
    return frame


@pytest.fixture(params=[3, 1000])
def block(request, monkeypatch):
    monkeypatch.setattr("skuae.embedding._featurizer._BLOCK", request.param)


def test_featurize_needs_no_fit_and_leaves_no_trace(uae, structures):
    expected = UAETransformer("magpie", statistics=("mean", "max")).fit_transform(structures)
    row = uae.featurize(structures[3])
    assert isinstance(row, list)
    np.testing.assert_array_equal(np.float32(row), expected[3])
    assert not hasattr(uae, "element_table_")
    assert uae.feature_labels()[0] == "magpie_mean_Number"
    assert len(uae.feature_labels()) == 44


def test_an_estimator_must_be_fitted_first(structures, learner):
    uae = UAETransformer(learner)
    with pytest.raises(NotFittedError, match=r"call fit\(X, y\)"):
        uae.featurize(structures[0])
    uae.fit(structures, np.arange(10.0))
    assert len(uae.featurize(structures[0])) == 8
    frozen = UAETransformer(FrozenEstimator(learner.fit(as_crystals(structures), np.arange(10.0))))
    assert frozen.featurize(structures[0]) == uae.featurize(structures[0])
    assert frozen.fit(structures).feature_labels() == uae.feature_labels()


@pytest.mark.usefixtures("block")
def test_featurize_many(uae, structures, capsys):
    expected = uae.fit_transform(structures)
    for entries in (structures, pd.Series(structures), pd.DataFrame({"s": structures})):
        rows = uae.featurize_many(entries, pbar=False)
        assert isinstance(rows[0], list)
        np.testing.assert_array_equal(np.float32(rows), expected)
    assert capsys.readouterr().err == ""
    uae.featurize_many(structures)
    assert "UAETransformer: 100%" in capsys.readouterr().err
    assert uae.featurize_many(structures, pbar={"disable": True, "total": 2}) == rows
    assert capsys.readouterr().err == ""
    uae.featurize_many(structures, pbar={"desc": "mine"})
    assert "mine: 100%" in capsys.readouterr().err


@pytest.mark.usefixtures("block")
def test_errors(uae, bad_frame):
    entries = list(bad_frame["structure"])
    with pytest.raises(ValueError, match=r"^row 3: X"):
        uae.featurize_many(entries, pbar=False)
    del entries[3]
    with pytest.raises(ValueError, match=r"^row 6: .*Og"):
        uae.featurize_many(entries, pbar=False)
    with pytest.raises(ValueError, match="ignore_errors=True to use return_errors"):
        uae.featurize_many(entries, return_errors=True)


@pytest.mark.usefixtures("block")
def test_ignored_errors_cost_only_their_rows(uae, frame, bad_frame):
    expected = uae.featurize_many(frame["structure"], pbar=False)
    rows = uae.featurize_many(
        bad_frame["structure"], ignore_errors=True, return_errors=True, pbar=False
    )
    for i, (row, good) in enumerate(zip(rows, expected, strict=True)):
        if i in (3, 7):
            assert np.isnan(row[:-1]).all()
            assert ("chemical element" if i == 3 else "Og (Z=118)") in row[-1]
            assert f"row {i} " in row[-1] and f"row {10 - i} " not in row[-1]
            assert row[-1].startswith("Traceback")
        else:
            assert row[:-1] == good
            assert np.isnan(row[-1])
    plain = uae.featurize_many(bad_frame["structure"], ignore_errors=True, pbar=False)
    assert [len(row) for row in plain] == [44] * 10


def test_dataframe(uae, frame):
    before = frame.copy()
    result = uae.featurize_dataframe(frame, "structure", pbar=False)
    assert list(result.columns) == ["structure", "T", *uae.feature_labels()]
    assert result.index.equals(frame.index)
    np.testing.assert_array_equal(result[uae.feature_labels()], uae.fit_transform(frame.structure))
    assert list(frame.columns) == list(before.columns)
    with pytest.raises(ValueError, match='"magpie_mean_Number" exists in input dataframe'):
        uae.featurize_dataframe(result, "structure", pbar=False)
    with pytest.raises(KeyError, match="nonsense"):
        uae.featurize_dataframe(frame, "nonsense", pbar=False)
    assert uae.featurize_dataframe(frame, ["structure"], inplace=True, pbar=False) is None
    pd.testing.assert_frame_equal(frame, result)


def test_dataframe_errors(uae, bad_frame):
    with pytest.raises(ValueError, match=r"^row 3 \(23\): X"):
        uae.featurize_dataframe(bad_frame, "structure", pbar=False)
    result = uae.featurize_dataframe(
        bad_frame, "structure", ignore_errors=True, return_errors=True, pbar=False
    )
    assert result.columns[-1] == "UAETransformer Exceptions"
    assert result["UAETransformer Exceptions"].notna().to_numpy().nonzero()[0].tolist() == [3, 7]
    assert result["magpie_mean_Number"].isna().to_numpy().nonzero()[0].tolist() == [3, 7]


@pytest.mark.parametrize("inplace", [False, True])
def test_dataframe_multiindex(uae, frame, inplace):
    result = uae.featurize_dataframe(
        frame, "structure", multiindex=True, inplace=inplace, pbar=False
    )
    result = frame if inplace else result
    assert result.columns[0] == ("Input Data", "structure")
    assert result.columns[2] == ("UAETransformer", "magpie_mean_Number")
    with pytest.raises(ValueError, match="set multiindex=True"):
        uae.featurize_dataframe(result, ("Input Data", "structure"), pbar=False)
    other = UAETransformer("random", statistics=("std",))
    both = other.featurize_dataframe(
        result, ("Input Data", "structure"), multiindex=True, pbar=False
    )
    assert both.shape == (10, 2 + 44 + 128)


def test_same_as_matminer(uae, frame, bad_frame):
    """Shapes, names and errors are those of matminer's own base class on the same featurize."""
    base = pytest.importorskip("matminer.featurizers.base")

    class UAETransformerByRow(base.BaseFeaturizer):
        def featurize(self, s):
            return uae.featurize(s)

        feature_labels, citations, implementors = (
            lambda self: uae.feature_labels(), lambda self: [], lambda self: [],
        )  # fmt: skip

    theirs = UAETransformerByRow()
    theirs.set_n_jobs(1)
    for df, options in (
        (frame, {}),
        (frame, {"multiindex": True}),
        (bad_frame, {"ignore_errors": True}),
        (bad_frame, {"ignore_errors": True, "return_errors": True}),
    ):
        ours = uae.featurize_dataframe(df, "structure", pbar=False, **options)
        expected = theirs.featurize_dataframe(df.copy(), "structure", pbar=False, **options)
        names = [str(c).replace("UAETransformerByRow", "UAETransformer") for c in expected.columns]
        assert list(map(str, ours.columns)) == names
        assert ours.index.equals(expected.index)
        numbers = slice(2, 46)
        np.testing.assert_array_equal(ours.iloc[:, numbers], np.float32(expected.iloc[:, numbers]))
        if "return_errors" in options:
            assert (ours.iloc[:, -1].isna() == expected.iloc[:, -1].isna()).all()


def test_fit_featurize_dataframe(learner, frame):
    uae = UAETransformer(learner)
    result = uae.fit_featurize_dataframe(frame, "structure", [np.arange(10.0)], pbar=False)
    assert result.shape == (10, 10)
    assert uae.element_table_.name == "learned"


def test_precheck(uae, bad_frame, structures):
    assert uae.precheck(structures[0]) is True
    assert uae.precheck(bad_frame["structure"].iloc[7]) is False
    for column in ("structure", ["structure"]):
        assert uae.precheck_dataframe(bad_frame, column) == pytest.approx(0.8)
    with pytest.raises(ValueError, match="col_id names 2 columns"):
        uae.precheck_dataframe(bad_frame, ["structure", "T"])
    checked = uae.precheck_dataframe(bad_frame, "structure", return_frac=False)
    column = "UAETransformer precheck pass"
    assert (~checked[column]).to_numpy().nonzero()[0].tolist() == [3, 7]
    assert uae.precheck_dataframe(bad_frame, "structure", return_frac=False, inplace=True) is None
    assert column in bad_frame


def test_credits(uae):
    ours, table = uae.citations()
    assert "10.1038/s41467-025-56481-x" in ours
    assert "ward2016general" in table
    assert len(UAETransformer("random").citations()) == 1
    assert uae.implementors()


def test_set_n_jobs_is_a_parameter(uae):
    uae.set_n_jobs(2)
    assert uae.get_params()["n_jobs"] == 2
