"""What the analyses share: how they take element tables."""

from numbers import Integral

import numpy as np

from skuae.embedding import ONE_TABLE, resolve_table


def check_table(table, n_least=1):
    """Return the element table that a user means, and check that it has enough elements.

    Parameters
    ----------
    table : str, path, ElementTable or DataFrame
        As `skuae.embedding.resolve_table` takes it, but no estimator: there are no crystals to
        learn from.
    n_least : int
        Fewest elements that the analysis can work with.

    Returns
    -------
    ElementTable

    Raises
    ------
    TypeError
        If it is an estimator, or nothing that holds element vectors.
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
    """Return the element tables that a user means by one of them, several or None, as a list."""
    if tables is None:
        return []
    return [check_table(one) for one in ([tables] if isinstance(tables, ONE_TABLE) else tables)]


def vectors(table):
    """Return the rows of the covered elements as float64."""
    return table.values[table.seen].astype(np.float64)


def check_seed(random_state):
    """Raise TypeError unless it is an int, from which other seeds are counted."""
    if not isinstance(random_state, Integral):
        raise TypeError(f"random_state must be an int; got {random_state!r}")
