"""From element vectors to one vector per crystal: statistics over its composition."""

import numpy as np

from skuae._elements import N_ELEMENTS, name_elements
from skuae.embedding._checks import WAY_OUT, check_on_missing

STATISTICS = ("mean", "std", "min", "max")
_CHUNK = 2**17  # numbers gathered at once; keeps the work in the cache


def pool(table, crystals, statistics=STATISTICS, on_missing="raise"):
    """Take statistics of the element vectors over the atoms of each crystal.

    Elements are weighted by their share of the atoms, occupancies included. "std" is the population
    standard deviation. "min" and "max" run over the elements in the crystal.

    Parameters
    ----------
    table : ElementTable
    crystals : Crystals
    statistics : sequence of {"mean", "std", "min", "max"}
    on_missing : {"raise", "mean", "nan"}, default="raise"
        What to do about elements that the table does not cover.

    Returns
    -------
    ndarray of shape (n_crystals, n_statistics * n_dims), float32
        One block of columns per statistic, in the order given.

    Raises
    ------
    ValueError
        If an element is not covered and `on_missing` is "raise".
    """
    check_pooling(statistics, on_missing)
    rows, numbers, amounts = crystals.composition()
    if on_missing == "raise":
        _check_coverage(table, crystals, rows, numbers)
        on_missing = "nan"
    vectors = table.lookup(np.arange(1, N_ELEMENTS + 1), on_missing)
    weights = (amounts / np.bincount(rows, amounts)[rows]).astype(np.float32)

    # Crystals with the same number of elements k make dense (m, k, d) blocks.
    n_elements = np.bincount(rows, minlength=len(crystals))
    starts = np.cumsum(n_elements) - n_elements
    pooled = np.empty((len(crystals), len(statistics), table.n_dims), dtype=np.float32)
    for k in np.unique(n_elements):
        alike = np.flatnonzero(n_elements == k)
        step = max(1, _CHUNK // (k * table.n_dims))
        for i in range(0, len(alike), step):
            some = alike[i : i + step]
            entries = starts[some, None] + np.arange(k)
            gathered = vectors[numbers[entries] - 1]
            pooled[some] = _statistics_of(gathered, weights[entries], statistics)
    return pooled.reshape(len(crystals), len(statistics) * table.n_dims)


def _statistics_of(vectors, weights, statistics):
    """Pool (m, k, d) vectors with (m, k) weights of sum 1 into (m, n_statistics, d)."""
    result = np.empty((len(vectors), len(statistics), vectors.shape[2]), dtype=np.float32)
    # Relative to the first element, equal values have exactly that mean and a spread of exactly 0.
    first = vectors[:, 0]
    offsets = vectors[:, 1:] - vectors[:, :1]
    mean = _weighted_sum(offsets, weights[:, 1:])
    for s, statistic in enumerate(statistics):
        if statistic == "mean":
            result[:, s] = first + mean
        elif statistic == "std":
            # deviations from the mean, not E[x²] - E[x]²: that cancels to noise
            variance = weights[:, :1] * mean**2
            variance += _weighted_sum((offsets - mean[:, None]) ** 2, weights[:, 1:])
            np.sqrt(variance, out=result[:, s])
        elif statistic == "min":
            vectors.min(axis=1, out=result[:, s])
        else:
            vectors.max(axis=1, out=result[:, s])
    return result


def _weighted_sum(values, weights):
    return np.matmul(weights[:, None], values)[:, 0]


def check_pooling(statistics, on_missing):
    """Raise ValueError unless both options of `pool` are valid."""
    check_on_missing(on_missing)
    check_statistics(statistics)


def check_statistics(statistics):
    """Raise ValueError unless these are known statistics without repeats.

    Parameters
    ----------
    statistics : sequence of {"mean", "std", "min", "max"}
    """
    known = isinstance(statistics, (list, tuple)) and all(s in STATISTICS for s in statistics)
    if not known or len(set(statistics)) != len(statistics) or not statistics:
        raise ValueError(
            f"statistics is {statistics!r}; give a list of different ones of "
            f'{", ".join(STATISTICS)}, such as ["mean"]'
        )


def _check_coverage(table, crystals, rows, numbers):
    missing = table.missing(numbers)
    if not len(missing):
        return
    bad = rows[np.isin(numbers, missing)]
    row = int(bad[0])
    n_rows = len(np.unique(bad))
    more = f" ({n_rows} such rows; missing are {name_elements(missing)})" if n_rows > 1 else ""
    here = name_elements(table.missing(numbers[rows == row]))
    raise ValueError(
        f"{crystals.where(row)}: table {table.name!r} ({table.seen.sum()} elements) has no vector "
        f"for {here}; {WAY_OUT}, or drop the row{more}"
    )
