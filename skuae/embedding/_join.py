"""Several element tables joined into one."""

import operator

import numpy as np
from sklearn.utils.extmath import svd_flip

from skuae.embedding._registry import ONE_TABLE, resolve_table
from skuae.embedding._table import ElementTable


def join_tables(tables, n_dims=None, *, name, metadata=None):
    """Join tables side by side with equal weights, and rotate them to their principal axes.

    Tables learned from different random initialisations agree in what the data determine and differ
    in the noise. With all axes, a distance in the joined table is proportional to the root mean
    square of the distances in the tables.

    Parameters
    ----------
    tables : sequence of ElementTable, str, path or DataFrame
        Tables, their names or files. Only elements that all of them cover are kept. Each table is
        centred and scaled to variance 1.
    n_dims : int, optional
        Principal axes to keep; all by default, but those of rounding alone.
    name : str
    metadata : dict, optional

    Returns
    -------
    ElementTable
        Values have mean 0 and, all together, variance 1; columns by falling variance.

    Raises
    ------
    ValueError
        If there are no tables, they have fewer than two elements in common, one has equal rows for
        all elements, or `n_dims` exceeds the number of axes.
    TypeError
        If `tables` is one table, or one of them is an estimator.

    Examples
    --------
    >>> from skuae.embedding import join_tables
    >>> join_tables(["magpie", "mat2vec"], 32, name="both")
    ElementTable('both', 97 elements x 32 columns)
    """
    if isinstance(tables, ONE_TABLE):
        raise TypeError("tables is one table; pass a list of them")
    tables = list(tables)
    if any(hasattr(table, "fit") for table in tables):
        raise TypeError("tables has an estimator; fit it and give its element_table_")
    tables = [resolve_table(table)[0] for table in tables]
    if not tables:
        raise ValueError("tables is empty; give at least one")
    common = np.logical_and.reduce([table.seen for table in tables])
    if common.sum() < 2:
        names = ", ".join(table.name for table in tables)
        raise ValueError(f"{names} have {common.sum()} elements in common; two are the least")
    blocks = []
    for table in tables:
        block = table.values[common].astype(float)
        block -= block.mean(axis=0)
        spread = np.sqrt((block**2).sum(axis=1).mean())
        if spread == 0:
            raise ValueError(f"table {table.name!r} says the same of all elements")
        blocks.append(block / spread)
    joined = np.concatenate(blocks, axis=1)
    left, scales, right = np.linalg.svd(joined, full_matrices=False)
    # as numpy.linalg.matrix_rank, but tables hold single precision
    rank = int((scales > scales[0] * max(joined.shape) * np.finfo(np.float32).eps).sum())
    n_dims = rank if n_dims is None else operator.index(n_dims)
    if not 1 <= n_dims <= rank:
        raise ValueError(f"n_dims={n_dims}; from 1 to {rank} axes are there")
    # the sign of an axis is free: the same on any machine
    left, _ = svd_flip(left, right, u_based_decision=False)
    values = (left * scales)[:, :n_dims]
    symbols = [s for s, has in zip(tables[0].symbols, common[tables[0].seen], strict=True) if has]
    return ElementTable(values / values.std(), symbols, name=name, metadata=metadata)
