"""Known properties of the elements, from which the front-end starts."""

from typing import Any

import numpy as np

from skuae._elements import N_ELEMENTS
from skuae.embedding import resolve_table, table_names
from skuae.models import N_LEARNED


def stack_features(tables: Any) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Put features of the elements side by side, centred.

    They are scaled so that rows have a norm of 1 on average: what a vector starts with does not
    depend on how many features there are.

    Parameters
    ----------
    tables : table, sequence of tables or None
        See `CrystalTransformerRegressor`.

    Returns
    -------
    features : ndarray of float32 of shape (100, n_features), or None
    complete : ndarray of bool of shape (118,), or None
        Elements that have a row and all of the features.
    """
    if tables is None:
        return None, None
    blocks, complete = [], np.arange(N_ELEMENTS) < N_LEARNED
    for table in named(tables):
        table, _ = resolve_table(table)
        seen = table.seen[:N_LEARNED]
        block = np.array(table.values[:N_LEARNED], dtype=float)
        block[~seen] = block[seen].mean(axis=0)
        blocks.append(block)
        complete &= table.seen
    features = np.concatenate(blocks, axis=1)
    features -= features.mean(axis=0)
    length = np.sqrt((features**2).sum(axis=1).mean())
    if not length > 0:
        raise ValueError("element_features say the same of all elements; pass None for none")
    features /= length
    return features.astype(np.float32), complete


def named(tables: Any) -> list[Any]:
    """Return element features as a list: names of known tables, the others as ElementTable.

    Parameters
    ----------
    tables : table, sequence of tables or None

    Returns
    -------
    list of str or ElementTable

    Raises
    ------
    TypeError
        If one is an estimator.
    ValueError
        If there is none.
    """
    if tables is None:
        return []
    listed = list(tables) if isinstance(tables, (list, tuple)) else [tables]
    if not listed:
        raise ValueError("element_features is empty; name a table, or pass None for none")
    if any(hasattr(table, "fit") for table in listed):
        raise TypeError("element_features are tables; an estimator goes to embedding=")
    known = table_names()
    return [
        table if isinstance(table, str) and table in known else resolve_table(table)[0]
        for table in listed
    ]
