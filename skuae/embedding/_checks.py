"""Checks that tables and pooling share, and how their messages end."""

import pandas as pd

from skuae._numbers import as_floats

ON_MISSING = ("raise", "mean", "nan")
WAY_OUT = (
    'set on_missing_element="mean" (or "nan"), or use a table that covers it (skuae.embedding.'
    "table_names() lists them)"
)


def check_on_missing(value):
    """Raise ValueError unless `value` says what to do about elements that are not covered."""
    if value not in ON_MISSING:
        raise ValueError(f"on_missing_element is {value!r}; choose from {', '.join(ON_MISSING)}")


def as_matrix(values):
    """Return values as a float64 matrix, or say which column holds no numbers."""
    try:
        rows = as_floats(values)
    except (TypeError, ValueError) as error:
        text = []
        if isinstance(values, pd.DataFrame):
            text = [c for c in values if not pd.api.types.is_numeric_dtype(values[c])]
        where = f" (columns {text})" if text else ""
        raise ValueError(f"the values of an element table are numbers{where}: {error}") from error
    if rows.ndim != 2:
        raise ValueError(
            f"the values of an element table have shape (n_elements, n_dims), got {rows.shape}"
        )
    return rows
