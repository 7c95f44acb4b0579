"""Checks of element tables and pooling, and texts for their errors."""

import re

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from skuae._cells import number_in
from skuae._elements import name_elements
from skuae._numbers import as_floats, is_real, no_number
from skuae._warnings import warn

_HEADS_OF_NUMBERS = {
    "", "element", "elements", "symbol", "symbols", "z", "number", "no", "atomicnumber",
    "atomicnumbers", "atomicnum", "atomicno", "atomicz", "atomicnumberz", "atno", "elementnumber",
    "elementid", "atom", "atoms", "atomid", "atomtype", "protons", "nuclearcharge", "unnamed0",
}  # fmt: skip
ON_MISSING = ("raise", "mean", "nan")
WAY_OUT = (
    'set on_missing_element="mean" (or "nan"), or choose a table that has one (ct-uae-mt has all '
    "elements up to Bk, mat2vec has all)"
)


def check_on_missing(value):
    """Raise ValueError unless `value` is a known way to treat elements that are not covered."""
    if value not in ON_MISSING:
        raise ValueError(f"on_missing_element is {value!r}; choose from {', '.join(ON_MISSING)}")


def as_matrix(values):
    """Return values as a float64 matrix; a ValueError names a value that is no number."""
    if isinstance(values, pd.DataFrame):
        check_cells(values)
    try:
        rows = as_floats(values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the values of an element table are numbers: {error}") from error
    if rows.ndim != 2:
        raise ValueError(
            f"the values of an element table have shape (n_elements, n_dims), got {rows.shape}"
        )
    return rows


def check_cells(frame, path=None):
    """Raise ValueError if a text in a data frame is no number; name its element and column."""
    for name, column in frame.items():
        for element, cell in () if is_numeric_dtype(column) else column.items():
            if isinstance(cell, str) and number_in(cell) is None:
                where = "element table" if path is None else path
                raise ValueError(f"{where}: column {name!r} of {element}: {no_number(cell)}")


def elements_of(frame):
    """Return the index of a data frame; raise ValueError if it does not name the elements."""
    check_numbered(frame.index.name, list(frame.index), "the index of the data frame")
    return frame.index


def is_head_of_numbers(head):
    """Tell whether a column of this name, or None, may hold atomic numbers."""
    return re.sub("[^a-z0-9]", "", "" if head is None else str(head).lower()) in _HEADS_OF_NUMBERS


def check_numbered(head, names, where):
    """Raise ValueError if the elements are numbers, but the header does not mean atomic numbers.

    Parameters
    ----------
    head : str or None
        Name of the column or index that holds `names`, if it has one.
    names : sequence
        Of the rows.
    where : str
        How the message calls the column or index.
    """
    if not any(
        is_real(name) or (isinstance(name, str) and number_in(name) is not None) for name in names
    ):
        return
    if not is_head_of_numbers(head):
        raise ValueError(
            f"{where}, {head!r}, holds numbers. If these are atomic numbers, call it 'z'; if not, "
            "put the symbols of the elements first"
        )
    if [str(name) for name in names] == [str(row) for row in range(len(names))]:
        raise ValueError(
            f"{where} counts the rows, 0, 1, 2, ...; delete it, or put the symbols of the elements "
            "there"
        )


def warn_rounding(name, columns, rows):
    """Warn of columns whose values differ by less than a float32 keeps.

    Parameters
    ----------
    name : str
    columns : sequence of str
    rows : ndarray of float64 of shape (n_elements, n_dims)
    """
    spread = np.ptp(rows, axis=0)
    loss = abs(rows - rows.astype(np.float32)).max(axis=0)
    # Less than that is the noise of float64 in a constant column.
    lost = (spread > 1e-12 * abs(rows).max(axis=0)) & (loss > 0.01 * spread)
    if lost.any():
        warn(
            f"table {name!r}: values of column {columns[int(lost.argmax())]!r} differ by less than "
            f"a float32 keeps ({lost.sum()} such columns); subtract their mean, and divide them by "
            "their standard deviation"
        )


def warn_filler(name, rows, numbers):
    """Warn of rows that look like placeholders.

    Placeholders are rows of zeros, rows that five or more elements share, and rows that equal the
    mean of all rows. Tables with fewer than eight columns are only checked for the mean: a few
    properties, such as numbers of electrons, may well be 0 or equal.

    Parameters
    ----------
    name : str
    rows : ndarray of shape (n_elements, n_dims)
    numbers : ndarray of int of shape (n_elements,)
        Atomic numbers.
    """
    if rows.shape[1] < 2 or len(rows) < 3 or (rows == rows[0]).all():
        return
    _, first, counts = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
    many = rows.shape[1] >= 8
    mean = rows.mean(axis=0)
    kinds = {
        "zeros only": many & ~rows.any(axis=1),
        "the mean of all rows": np.isclose(rows, mean, rtol=1e-6, atol=1e-6 * rows.std(axis=0)).all(
            1
        ),
        "one and the same row": many & (counts[first.ravel()] >= 5),
    }
    for kind, found in kinds.items():
        if found.any():
            warn(
                f"table {name!r} has {kind} for {name_elements(np.sort(numbers[found]))}. If "
                "nothing is known of them, leave them out, so that on_missing_element can decide"
            )
            return
