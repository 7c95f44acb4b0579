"""The rows of X: crystals in memory, or shards on disk, which are read piece by piece."""

from typing import Any

from skuae.datasets import Shards
from skuae.embedding import ElementTable, crystals_and_table


def rows_and_table(X: Any) -> tuple[Any, ElementTable | None]:
    """Return the rows of X, and the element table that came with them.

    Parameters
    ----------
    X : Shards, or what `crystals_and_table` reads

    Returns
    -------
    rows : Crystals or Shards
    table : ElementTable or None

    Raises
    ------
    TypeError, ValueError
        As of `crystals_and_table`; if there are no rows.
    """
    if not isinstance(X, Shards):
        return crystals_and_table(X)
    if not len(X):
        raise ValueError("X holds no structures; at least one is needed")
    return X, None
