"""Entries of saved files are what they should be, or a ValueError says which is not."""

import numpy as np
import pytest

from skuae._cards import check_all_taken, take, take_array, take_texts


def test_entries_are_taken():
    card = {"n": 3, "none": None, "names": ["a", "b"]}
    assert take(card, "n", int) == 3
    assert take(card, "none", str, None) is None
    assert take(card, "n", int, among=(1, 3)) == 3
    assert take_texts(card, "names") == ["a", "b"]


@pytest.mark.parametrize(
    ("card", "kinds", "message"),
    [
        ({}, [int], "'n' is missing"),
        ([], [int], "'n' is missing"),
        (None, [int], "'n' is missing"),
        ({"n": True}, [int], "'n' is True, expected int"),
        ({"n": 1.0}, [int, None], "'n' is 1.0, expected int or null"),
        ({"n": "x" * 1000}, [int], "'n' is 'x{79}, expected int"),
    ],
)
def test_other_entries_are_refused(card, kinds, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        take(card, "n", *kinds)


@pytest.mark.parametrize("value", [4, [], {}, None])
def test_values_that_are_not_among_the_known_are_refused(value):
    with pytest.raises(ValueError, match=r"'n' is .*, expected \(1, 3\)"):
        take({"n": value}, "n", type(value), among=(1, 3))


@pytest.mark.parametrize("value", ["ab", [1], ["a", None], None, {}])
def test_other_lists_than_of_texts_are_refused(value):
    with pytest.raises(ValueError, match=r"'names' is .*, expected"):
        take_texts({"names": value}, "names")


def test_arrays_are_taken_once():
    arrays = {"a": np.zeros((2, 3)), "b": np.zeros(1)}
    assert take_array(arrays, "a", np.float64, (2, None)).shape == (2, 3)
    with pytest.raises(ValueError, match="the array 'a' is missing"):
        take_array(arrays, "a", np.float64, (2, None))
    with pytest.raises(ValueError, match="the array 'b' belongs to nothing"):
        check_all_taken(arrays)
    check_all_taken({})


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 4)),
        np.zeros(2),
        np.zeros((2, 3), np.float32),
        np.zeros((2, 3), np.int64),
        np.full((2, 3), np.nan),
        np.full((2, 3), np.inf),
    ],
)
def test_other_arrays_are_refused(array):
    with pytest.raises(ValueError, match=r"the array 'a' (is .*of shape \(any, 3\)|.*not finite)"):
        take_array({"a": array}, "a", np.float64, (None, 3))
