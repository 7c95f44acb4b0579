"""Targets and weights: what is accepted, what is refused, how they are scaled."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_matrix

from skuae.crystals import Crystals
from skuae.training import check_sample_weight, check_targets, read_labels
from skuae.training._targets import TargetScaler


@pytest.fixture
def four():
    """Four crystals with ids."""
    return Crystals(
        [1] * 4, np.zeros((4, 3)), [4 * np.eye(3)] * 4, [0, 1, 2, 3, 4], ids=list("abcd")
    )


@pytest.mark.parametrize(
    "y",
    [
        [1, 2, 3, 4],
        (1.0, 2.0, 3.0, 4.0),
        np.array([1, 2, 3, 4], dtype=np.float32),
        np.array([1, 2, 3, 4], dtype=object),
        pd.Series([1, 2, 3, 4], index=[3, 1, 2, 0]),
        pd.Series([1, 2, 3, 4], dtype="Int64"),
    ],
    ids=["list", "tuple", "float32", "object", "Series, odd index", "Int64"],
)
def test_one_target(four, y):
    values, names, one_target = check_targets(y, four)
    assert values.tolist() == [[1], [2], [3], [4]]
    assert values.dtype == np.float64
    assert names is None
    assert one_target


def test_several_targets(four):
    y = np.arange(8.0).reshape(4, 2)
    y[0, 1] = np.nan
    values, names, one_target = check_targets(y, four)
    np.testing.assert_array_equal(values, y)
    assert names is None
    assert not one_target
    assert not check_targets(y[:, :1], four)[2]  # a column stays a column


def test_names_of_targets(four):
    frame = pd.DataFrame({"gap": [0.0, 1, 2, 3], 7: [1.0, np.nan, 2, 3]}, index=[5, 4, 3, 2])
    values, names, one_target = check_targets(frame, four)
    assert names == ["gap", "7"]
    np.testing.assert_array_equal(values, frame.to_numpy())
    assert not one_target
    assert check_targets(frame["gap"], four)[1:] == (["gap"], True)


def test_targets_are_copied_or_left_alone(four):
    y = np.array([1.0, np.nan, 3, 4])
    TargetScaler().fit(check_targets(y, four)[0])
    np.testing.assert_array_equal(y, [1, np.nan, 3, 4])


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "requires y to be passed"),
        ([1, 2, 3], r"y has shape \(3,\) but X has 4 rows; give one target"),
        (np.zeros((2, 4)), r"y has shape \(2, 4\) but X has 4 rows"),
        (np.zeros((4, 2, 2)), r"y has shape \(4, 2, 2\)"),
        (5.0, r"y has shape \(\) but X has 4 rows"),
        (pd.Series(pd.date_range("2020", periods=4)), r"y must hold numbers.*datetime64.*dates"),
        (pd.DataFrame({"a": pd.date_range("2020", periods=4)}), r"y must hold numbers.*dates"),
        (np.arange(4).astype("m8[s]"), r"y must hold numbers.*timedelta64"),
        (1j * np.arange(4), r"y must hold numbers.*complex"),
        (["a", "b", "c", "d"], r"y must hold numbers, NaN where unknown \(row 0: 'a' is no"),
        (["1", "4_1", "2", "3"], r"\(row 1: '4_1' is no number: it has an underscore"),
        (pd.DataFrame(np.ones((4, 2)), columns=["a", "a"]), "y has two columns 'a'; rename one"),
        ([1, [2, 3], 4, 5], "y must hold numbers"),
        ([1, 2, np.inf, 4], r"^row 2 \(c\): y is infinite; repair it"),
        (np.array([[1, 2], [-np.inf, 2], [1, np.inf], [3, 4]]), r"^row 1 \(b\): .*\(2 such rows\)"),
        ([np.nan] * 4, "y is NaN in all rows: there is nothing to learn"),
        (np.array([[1.0, np.nan]] * 4), "target 1 is NaN in all rows"),
        (pd.DataFrame({"a": [1.0] * 4, "b": [np.nan] * 4}), "target b is NaN in all rows"),
    ],
)
def test_targets_that_make_no_sense(four, y, message):
    with pytest.raises(ValueError, match=message):
        check_targets(y, four)


def test_sample_weight(four):
    assert check_sample_weight(None, four) is None
    for weight in ([1, 0, 2, 3], (1, 0, 2, 3), pd.Series([1, 0, 2, 3], index=list("zyxw"))):
        checked = check_sample_weight(weight, four)
        assert checked.tolist() == [1, 0, 2, 3]
        assert checked.dtype == np.float64


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([1, 2, 3], r"sample_weight has shape \(3,\) but X has 4 rows"),
        (np.ones((4, 1)), r"sample_weight has shape \(4, 1\) but X has 4 rows"),
        (2.0, r"sample_weight has shape \(\) but X has 4 rows"),
        (1j * np.ones(4), r"sample_weight must hold numbers \(got complex numbers\)"),
        ([1, 1, -0.5, 1], r"^row 2 \(c\): sample_weight is -0.5; weights must be finite"),
        ([1, np.nan, 1, 1], r"^row 1 \(b\): sample_weight is nan"),
        ([np.inf, 1, 1, 1], r"^row 0 \(a\): sample_weight is inf"),
        ([0, 0, 0, 0], "sample_weight is zero in all rows; at least one must count"),
    ],
)
def test_weights_that_make_no_sense(four, weight, message):
    with pytest.raises(ValueError, match=message):
        check_sample_weight(weight, four)


# -- scaling ---------------------------------------------------------------------------------------


def test_gaps_of_pandas_and_of_masked_arrays(four):
    expected = [[1, 0], [np.nan, 1], [3, np.nan], [4, 3]]
    frame = pd.DataFrame(expected, columns=["a", "b"]).convert_dtypes()
    masked = np.ma.masked_array([[1, 0], [10**6, 1], [3, 10**6], [4, 3]])
    masked.mask = masked == 10**6
    for y in (frame, masked, frame.astype(object), frame.to_numpy().tolist()):
        np.testing.assert_array_equal(check_targets(y, four)[0], expected)
    one = pd.Series([1, pd.NA, None, 4], dtype=object)
    np.testing.assert_array_equal(check_targets(one, four)[0][:, 0], [1, np.nan, np.nan, 4])
    dates = np.ma.masked_array(np.array(["2020-01-01"] * 4, "M8[ns]"), [0, 1, 0, 0])
    with pytest.raises(ValueError, match="make numbers of dates"):
        check_targets(dates, four)


def test_scaler():
    rng = np.random.default_rng(0)
    y = rng.normal([5, -1e3, 1e-6], [2, 1e2, 1e-7], (50, 3))
    y[rng.random(y.shape) < 0.3] = np.nan
    scaler = TargetScaler().fit(y)
    np.testing.assert_allclose(scaler.mean_, np.nanmean(y, axis=0))
    np.testing.assert_allclose(scaler.scale_, np.nanstd(y, axis=0))
    scaled = scaler.transform(y)
    np.testing.assert_allclose(np.nanmean(scaled, axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(np.nanstd(scaled, axis=0), 1)
    np.testing.assert_array_equal(np.isnan(scaled), np.isnan(y))
    np.testing.assert_allclose(scaler.inverse_transform(scaled), y)


def test_scaler_with_weights():
    rng = np.random.default_rng(0)
    y = rng.normal(3, 2, (20, 2))
    y[rng.random(y.shape) < 0.3] = np.nan
    counts = rng.integers(0, 4, 20)
    a = TargetScaler().fit(y, counts.astype(float))
    b = TargetScaler().fit(np.repeat(y, counts, axis=0))
    np.testing.assert_allclose(a.mean_, b.mean_)
    np.testing.assert_allclose(a.scale_, b.scale_)


@pytest.mark.parametrize("value", [0.0, 0.1, -3.7e8, 1e-20])
def test_constant_target(value):
    y = np.full((7, 1), value)
    scaler = TargetScaler().fit(y)
    assert scaler.scale_ == [0.0]
    assert np.isnan(scaler.transform(y)).all()  # as if unknown: there is nothing to learn
    np.testing.assert_array_equal(scaler.inverse_transform(np.ones((2, 1))), value)
    assert scaler.inverse_transform(np.ones((2, 1))).shape == (2, 1)


def test_one_known_value_or_none():
    y = np.array([[1.0, np.nan], [np.nan, np.nan], [np.nan, np.nan]])
    scaler = TargetScaler().fit(y)
    assert scaler.mean_.tolist() == [1.0, 0.0]
    assert scaler.scale_.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("exponent", [-1000, -600, 600, 1000])
def test_scaling_by_powers_of_two_is_exact(exponent):
    y = np.random.default_rng(0).normal(3, 2, (20, 2))
    weight = np.random.default_rng(1).random(20)
    plain, scaled = TargetScaler().fit(y, weight), TargetScaler().fit(np.ldexp(y, exponent), weight)
    np.testing.assert_array_equal(scaled.mean_, np.ldexp(plain.mean_, exponent))
    np.testing.assert_array_equal(scaled.scale_, np.ldexp(plain.scale_, exponent))


def test_rows_that_do_not_count_overflow_in_silence():
    y = np.array([[1e-300], [2e-300], [1e300]])
    scaler = TargetScaler().fit(y, np.array([1.0, 1.0, 0.0]))
    with np.errstate(all="raise", under="ignore"):
        scaled = scaler.transform(y)[:, 0]
    np.testing.assert_allclose(scaled, [-1, 1, np.inf])


# -- odd types -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        [Decimal("1.5"), 1, Decimal(3), Decimal("NaN")],
        [Fraction(3, 2), 1, 3, None],
        pd.Series([1.5, 1, 3, None], dtype="Float64"),
        pd.Series([1.5, 1, 3, None], dtype=pd.SparseDtype(float)),
        pd.Series([1.5, 1, 3, None], dtype="category"),
        torch.tensor([1.5, 1, 3, np.nan], requires_grad=True),
        torch.tensor([1.5, 1, 3, np.nan], dtype=torch.bfloat16),
        [torch.tensor(v, requires_grad=True) for v in (1.5, 1.0, 3.0, np.nan)],
        np.ma.masked_array([1.5, 1, 3, 7], [0, 0, 0, 1]),
        np.array([1.5, 1, 3, np.nan], dtype=np.float16),
        memoryview(np.array([1.5, 1, 3, np.nan])),
    ],
    ids=lambda values: f"{type(values).__name__} of {getattr(values, 'dtype', 'objects')}",
)
def test_what_numbers_may_come_in(four, values):
    expected = [[1.5], [1], [3], [np.nan]]
    np.testing.assert_array_equal(check_targets(values, four)[0], expected)
    with pytest.raises(ValueError, match=r"^row 3 \(d\): sample_weight is nan"):
        check_sample_weight(values, four)  # unknown here too, not 1 or 7


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["1", "2", "3", "4_1"], "row 3: '4_1' is no number: it has an underscore"),
        (np.array([1, 2, "3,5", 4], dtype=object), "row 2: '3,5' is no number: it has a comma"),
        ([b"1", b"2", b"3", b"4_1"], "row 3: '4_1' is no number"),
        (pd.Series(["1", "2", "3", "4_1"], dtype="string"), "row 3: '4_1' is no number"),
        (pd.Series(["1", "4_1", "3", "1"], dtype="category"), "row 1: '4_1' is no number"),
        (np.array(["1", "4_1"] * 2, dtype=np.dtypes.StringDType()), "row 1: '4_1' is no number"),
        (pd.date_range("2020", periods=4), "got datetime64.*make numbers of dates"),
        (pd.to_timedelta([1, 2, 3, 4], "s"), "got timedelta64.*make numbers of dates"),
        ([pd.Timestamp("2020")] * 4, "got Timestamp: make numbers of dates"),
        ([np.datetime64("2020-01-01")] * 3 + [None], "got datetime64.*make numbers of dates"),
        ([1, 2, 3, 10**400], "int too large"),
        ([1, 2, 3, 1j], "got complex numbers"),
        (np.array([1, 2, 3, 1j], dtype=object), "not 'complex'"),
        (torch.ones(4, dtype=torch.complex64), "got complex numbers"),
        (torch.ones(4).to_sparse(), r"Use Tensor.to_dense\(\)"),
        (csr_matrix(np.ones((4, 1))), r"sparse matrix: pass its toarray\(\)"),
        (np.zeros(4, dtype=[("a", float)]), r"records of fields \('a',\)"),
        ({"a": 1}, "not 'dict'"),
    ],
)
def test_what_is_no_number(four, values, message):
    for check in (check_targets, check_sample_weight):
        with pytest.raises(ValueError, match=f"must hold numbers.*{message}"):
            check(values, four)


@pytest.mark.parametrize("value", [1e-310, 1e-101, 1e101, 1e308])
def test_weights_out_of_range(four, value):
    with pytest.raises(ValueError, match=r"^row 2 \(c\): sample_weight is .* divide them all by"):
        check_sample_weight([0, 0, value, value / 2], four)
    assert check_sample_weight([0, -0.0, 1, value if value < 1 else 1], four).max() == 1


@pytest.mark.parametrize(
    "labels",
    [
        pd.Series([True, False, True, False], dtype="boolean"),
        pd.Series([True, False, True, False], dtype="boolean").to_frame(),
        pd.Series([True, False, True, False], dtype="boolean").array,
        pd.Series([True, False, True, False], dtype="category"),
        np.ma.masked_array([True, False, True, False]),
        np.array([True, False, True, False], dtype=object),
        torch.tensor([True, False, True, False]),
    ],
)
def test_booleans_stay_booleans(four, labels):
    classes, codes, _ = read_labels(labels, four)
    assert classes.dtype == bool
    assert classes[codes].tolist() == [True, False, True, False]


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (pd.Series([2, 1, 2, 1], dtype="Int64"), np.array([1, 2])),
        (pd.Series([2, 1, 2, 1], dtype="category"), np.array([1, 2])),
        (pd.Series(list("baba"), dtype="string"), np.array(["a", "b"], dtype=object)),
        (torch.tensor([2, 1, 2, 1]), np.array([1, 2])),
        (torch.tensor([2.0, 1, 2, 1], requires_grad=True), np.array([1, 2], dtype=np.float32)),
        (np.array([2, 1, 2, 1], dtype=np.longdouble), np.array([1.0, 2.0])),
    ],
)
def test_labels_of_odd_types(four, labels, classes):
    found, codes, _ = read_labels(labels, four)
    np.testing.assert_array_equal(found, classes)
    assert found.dtype == classes.dtype
    assert codes.tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (pd.Series([True, None, True, False], dtype="boolean"), r"row 1 \(b\): the label is <NA>"),
        (np.ma.masked_array([1, 0, 1, 0], [0, 1, 0, 0]), r"row 1 \(b\): the label is nan"),
        ([0.0, 1.0, np.inf, 0.0], r"row 2 \(c\): the label is infinite"),
        (csr_matrix(np.ones((4, 1))), r"one label per structure \(got a sparse matrix"),
        (torch.ones(4).to_sparse(), "one label per structure .*to_dense"),
        (np.zeros(4, dtype=[("a", float)]), "one label per structure .*records of fields"),
        ([10**400, 1, 2, 3], "one label per structure .*int too large|Unknown label type"),
        ([Fraction(1, 2)] * 4, "Unknown label type: .*got Fraction; turn the labels into strings"),
        (pd.DataFrame({"a": [1.0] * 4, "t": pd.date_range("2020", periods=4)}), "one label per"),
    ],
)
def test_labels_that_make_no_sense(four, labels, message):
    with pytest.raises(ValueError, match=message):
        read_labels(labels, four)


@pytest.mark.parametrize("word", ["nan", "None", "", "NA"])
def test_classes_that_say_unknown_are_told(four, word):
    with pytest.warns(UserWarning, match=rf"row 1 \(b\): the label '{word}', which in files means"):
        classes, _, _ = read_labels(np.array(["x", word, "y", "x"]), four)
    assert sorted(classes) == sorted(["x", "y", word])


def test_numpy_makes_no_texts_of_other_labels(four):
    with pytest.raises(ValueError, match=r"row 1 \(b\): the label is nan"):
        read_labels(["x", np.nan, "y", "x"], four)
    with pytest.raises(ValueError, match=r"Unknown label type: .*got int, str"):
        read_labels([1, "x", "y", "x"], four)
    assert read_labels(["Na", "x", "y", "x"], four)[0].tolist() == ["Na", "x", "y"]
