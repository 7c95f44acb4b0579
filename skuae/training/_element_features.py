"""What is known of the elements, as the front-end starts from it."""

import numpy as np

from skuae.embedding import resolve_table, table_names

N_ROWS = 100  # elements that the one-hot input has room for


def stack_features(tables):
    """Return features (100, n) of the elements side by side, centred, and which elements have all.

    Scaled so that rows have a norm of 1 on average: what a vector starts with does not depend on
    how many features there are.
    """
    if tables is None:
        return None, None
    blocks, complete = [], np.ones(N_ROWS, dtype=bool)
    tables = _listed(tables)
    if not len(tables):
        raise ValueError("element_features is empty; name a table, or pass None for none")
    for table in tables:
        if hasattr(table, "fit"):
            raise TypeError("element_features are tables; an estimator goes to embedding=")
        table, _ = resolve_table(table)
        seen = table.seen[:N_ROWS]
        block = np.array(table.values[:N_ROWS], dtype=float)
        block[~seen] = block[seen].mean(axis=0)
        blocks.append(block)
        complete &= seen
    features = np.concatenate(blocks, axis=1)
    features -= features.mean(axis=0)
    length = np.sqrt((features**2).sum(axis=1).mean())
    if not length > 0:
        raise ValueError("element_features say the same of all elements; pass None for none")
    features /= length
    return features.astype(np.float32), complete


def named(tables):
    """Return the tables as a list: names of those that skuae knows, the others as ElementTable."""
    if tables is None:
        return []
    known = table_names()
    return [
        table if isinstance(table, str) and table in known else resolve_table(table)[0]
        for table in _listed(tables)
    ]


def _listed(tables):
    return list(tables) if isinstance(tables, (list, tuple)) else [tables]


def or_nothing(features):
    """Return features, or an empty array where there are none."""
    return np.empty(0) if features is None else features
