"""Checks of element tables and seeds that all analyses share."""

from numbers import Integral

import numpy as np

from skuae.embedding import ONE_TABLE, resolve_table


def check_table(table, n_least=1):
    """Return the element table that an argument stands for, if it has enough elements.

    Parameters
    ----------
    table : str, path, ElementTable or DataFrame
        As `skuae.embedding.resolve_table` takes it, except for estimators: an analysis has no
        crystals to fit them on.
    n_least : int
        Fewest elements that the analysis needs.

    Returns
    -------
    ElementTable

    Raises
    ------
    TypeError
        If it is an estimator, or holds no element vectors.
    ValueError
        If it covers fewer elements, or has one vector for all of them.
    """
    if hasattr(table, "fit"):
        raise TypeError(
            f"table is a {type(table).__name__}; an analysis looks at element vectors that exist: "
            "fit the estimator and pass its element_table_"
        )
    table, _ = resolve_table(table)
    if table.seen.sum() < n_least:
        raise ValueError(
            f"table {table.name!r} covers {table.seen.sum()} elements; this needs {n_least}"
        )
    rows = table.values[table.seen]
    if len(rows) > 1 and not np.ptp(rows, axis=0).any():
        raise ValueError(
            f"table {table.name!r} has one vector for all elements: there is nothing to analyse"
        )
    return table


def check_tables(tables):
    """Return the list of element tables that an argument stands for: one, several or None."""
    if tables is None:
        return []
    return [check_table(one) for one in ([tables] if isinstance(tables, ONE_TABLE) else tables)]


def vectors(table):
    """Return the rows of the covered elements as float64."""
    return table.values[table.seen].astype(np.float64)


def check_seed(random_state):
    """Raise TypeError unless the seed is an int; other seeds are counted from it."""
    if not isinstance(random_state, Integral):
        raise TypeError(f"random_state must be an int; got {random_state!r}")
