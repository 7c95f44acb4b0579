"""Nearest elements in a table."""

import numpy as np
import pandas as pd
from sklearn.metrics.pairwise import cosine_similarity, euclidean_distances

from skuae._elements import SYMBOLS, atomic_number, name_elements

_METRICS = ("cosine", "euclidean")


def most_similar(table, element, n, metric):
    """Return the nearest elements of an element or a vector, as `ElementTable.most_similar`."""
    if metric not in _METRICS:
        raise ValueError(f"metric={metric!r}; choose from {', '.join(_METRICS)}")
    if n < 1:
        raise ValueError(f"n={n}; at least 1")
    numbers = np.flatnonzero(table.seen) + 1
    if np.ndim(element):
        vector = _check_vector(table, element)
    else:
        number = atomic_number(element)
        if element not in table:
            raise ValueError(
                f"table {table.name!r} has no vector for {name_elements([number])}; its elements "
                "are in table.symbols"
            )
        vector = table[number].astype(np.float64)
        numbers = numbers[numbers != number]
        if not len(numbers):
            raise ValueError(
                f"table {table.name!r} has no element but {name_elements([number])} to compare with"
            )
    rows = table.values[numbers - 1].astype(np.float64)
    if metric == "cosine" and not (vector.any() and rows.any(axis=1).all()):
        zero = name_elements(numbers[~rows.any(axis=1)]) if vector.any() else element
        raise ValueError(f"the vector of {zero} is zero: no cosine; use metric='euclidean'")
    compare = cosine_similarity if metric == "cosine" else euclidean_distances
    values = compare(vector[None], rows)[0]
    # Stable: of equally near elements the lighter one comes first.
    order = np.argsort(-values if metric == "cosine" else values, kind="stable")[:n]
    symbols = [SYMBOLS[z - 1] for z in numbers[order]]
    return pd.Series(values[order], pd.Index(symbols, name="element"), name=metric)


def _check_vector(table, values):
    vector = np.asarray(values, dtype=np.float64)
    if vector.shape != (table.n_dims,) or not np.isfinite(vector).all():
        raise ValueError(
            f"element is an array of shape {vector.shape}; give a symbol, an atomic number, or a "
            f"vector of {table.n_dims} finite numbers, as the rows of table {table.name!r}"
        )
    return vector
