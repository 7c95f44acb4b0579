"""Labels in any form as a data frame."""

from typing import Any

import numpy as np
import pandas as pd

from skuae._cells import short_repr

_ONE = "target"


def as_frame(y: Any, start: int = 0) -> pd.DataFrame:
    """Return labels as a data frame.

    Parameters
    ----------
    y : DataFrame, Series, array or list
        A list holds numbers, names, rows of these, or dicts.
    start : int, default=0
        Number of its first row in messages.

    Returns
    -------
    DataFrame of shape (n_rows, n_labels)
        A single column has the name of y, or is called "target".

    Raises
    ------
    TypeError
        If y is no sequence of rows.
    ValueError
        If it has another number of axes, rows of several lengths, or a column twice.
    """
    if isinstance(y, pd.DataFrame):
        names = y.columns.map(str)
        if not names.is_unique:
            again = names[names.duplicated()][0]
            raise ValueError(f"y has two columns called {short_repr(again)}; give each its own")
        return y.set_axis(names, axis=1)
    if isinstance(y, pd.Series):
        return y.to_frame(_ONE if y.name is None else str(y.name))
    if isinstance(y, (str, bytes, dict, set, frozenset)) or not np.iterable(y):
        way_out = "pd.DataFrame(y)" if isinstance(y, dict) else "an array, a Series or a list"
        raise TypeError(f"y is a {type(y).__name__}, not a label for each row; pass {way_out}")
    if hasattr(y, "__array__"):
        values: Any = y if isinstance(y, np.ndarray) else np.asarray(y)
        one = values.ndim == 1
        if values.ndim > 2:
            raise ValueError(f"y has shape {values.shape}; pass (n_rows,) or (n_rows, n_labels)")
    else:
        values = list(y)
        if values and isinstance(values[0], dict):
            return _of_dicts(values, start)
        one = _check_rows(values, start) is None
    frame = pd.DataFrame(values)
    if not len(frame.columns):
        frame = pd.DataFrame({0: []})
    return frame.set_axis([_ONE] if one else [f"{_ONE}_{i}" for i in frame], axis=1)


def _of_dicts(rows: list[Any], start: int) -> pd.DataFrame:
    wrong = next((i for i, row in enumerate(rows) if not isinstance(row, dict)), None)
    if wrong is not None:
        raise ValueError(
            f"row {start + wrong} of y is {short_repr(rows[wrong])}, those before it are dicts"
        )
    return as_frame(pd.DataFrame(rows))


def _check_rows(rows: list[Any], start: int) -> int | None:
    """Return how many labels each row holds, None if rows are labels themselves."""
    widths = [len(row) if _is_nested(row) else None for row in rows]
    for i, row in enumerate(rows):
        if widths[i] != widths[0]:
            raise ValueError(
                f"row {start + i} of y is {short_repr(row)}, and row {start} has another number "
                "of labels; give every row the same, None where one is unknown"
            )
        if widths[i] is not None and any(_is_nested(cell) for cell in row):
            raise ValueError(
                f"row {start + i} of y is {short_repr(row)}, which has several axes; a row holds "
                "one label, or a list of labels"
            )
    return widths[0] if widths else None


def _is_nested(cell: Any) -> bool:
    return isinstance(cell, (list, tuple)) or getattr(cell, "ndim", 0) > 0
