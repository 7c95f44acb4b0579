"""Similarity of element tables: measures free of the order of dimensions, and warping."""

import itertools
from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.linalg import svdvals
from scipy.spatial.distance import pdist, squareform
from scipy.stats import rankdata
from sklearn.utils import Bunch, check_random_state

from skuae.analysis._inputs import check_table
from skuae.embedding import ONE_TABLE

MEASURES = ("cka", "procrustes", "rsa")
_LEAST = 5  # elements in common


def compare_tables(
    tables,
    *,
    window=5,
    cost_threshold=0.013,
    inverse_threshold=260.0,
    n_permutations=100,
    random_state=0,
):
    """Compare every pair of element tables, on the elements that both cover.

    Three measures do not depend on the order, sign or rotation of the dimensions: linear CKA [1]_,
    orthogonal Procrustes, and the rank correlation of the distances between elements (RSA) [2]_.
    Dynamic time warping (DTW) of mean embeddings is computed, too, as in [3]_, Fig. 4.

    Parameters
    ----------
    tables : mapping of name to table, or sequence of tables
        A table is what `skuae.embedding.resolve_table` takes, other than an estimator. Several
        seeds of one table are given as a list, ``{"mine": [first, second], "other": "mat2vec"}``,
        or in a sequence as tables of one name: the pairs among them are the baseline, as alike as
        tables get that differ by chance alone. Data frames in a sequence are named by their place.
    window : int, default=5
        Window of the moving average over dimensions before warping.
    cost_threshold : float, default=0.013
        Steps of the warping path that cost less count as similar.
    inverse_threshold : float, default=260.0
        The same for the inverse of the cost. The publication has both, and they do not agree: they
        stand for costs of 0.013 and 0.0038.
    n_permutations : int, default=100
        Permutations behind every null value; see Returns.
    random_state : int, RandomState instance or None, default=0
        Seeds the permutations.

    Returns
    -------
    Bunch
        - ``pairs``: DataFrame, one row per pair of tables. ``first``, ``second``: their names.
          ``kind``: "seeds" within a name, "tables" between names. ``n_elements`` in common.
          ``cka``, ``procrustes`` and ``rsa``: 1 for tables that differ by rotation and scale only.
          ``cka_null`` and so on: means over permutations of the elements of one table, which is
          what tables score that have nothing in common; with few elements and many dimensions that
          is far from 0. ``dtw``: mean cost of a step of the warping path. ``dtw_sum``: of all
          steps. ``dtw_null``: the mean after permutations of the dimensions of one table, which
          change nothing in it. ``similar`` and ``similar_inverse``: share of the steps that pass
          either threshold.
        - ``summary``: DataFrame, mean and standard deviation over the pairs of two names (NaN for
          the standard deviation of a single pair).
        - ``paths``: dict from (first, second, number of the pair) to the DataFrame of the steps of
          the path: ``i`` and ``j``, the smoothed means there, ``cost`` and ``inverse`` of it.
        - ``cost_threshold``, ``inverse_threshold``: as given.

    Raises
    ------
    ImportError
        Without dtaidistance.
    ValueError
        If there are fewer than two tables, if two have fewer than five elements in common, or the
        window is longer than a table.

    Notes
    -----
    The path of DTW has the least sum of squared differences; costs are absolute differences. DTW
    compares dimension 1 with dimension 1 and its neighbours, although the order of dimensions is
    arbitrary and differs between random initialisations. If ``dtw`` is close to ``dtw_null``, it
    has no meaning. It also depends on the scale of tables.

    Procrustes: ``1 - disparity`` of centred tables of unit norm after the best rotation, the
    narrower one padded with zeros.

    References
    ----------
    .. [1] Kornblith et al., Similarity of Neural Network Representations Revisited, ICML 2019.
    .. [2] Kriegeskorte et al., Frontiers in Systems Neuroscience 2, 4 (2008).
    .. [3] Jin et al., Nature Communications 16, 1210 (2025).

    Examples
    --------
    >>> from skuae.analysis import compare_tables
    >>> pairs = compare_tables(["megnet16", "random"], n_permutations=10).pairs
    >>> bool(abs(pairs["rsa"][0]) < 0.1)
    True
    """
    named = _name(tables)
    if len(named) < 2:
        raise ValueError("one table alone cannot be compared; give two or more")
    if n_permutations < 1:
        raise ValueError(f"n_permutations must be at least 1; got {n_permutations!r}")
    rng = check_random_state(random_state)
    compared: list[dict] = []
    paths = {}
    for (first, one), (second, other) in itertools.combinations(named, 2):
        common = one.seen & other.seen
        if common.sum() < _LEAST:
            raise ValueError(
                f"tables {first!r} and {second!r} have {common.sum()} elements in common; at "
                f"least {_LEAST} are needed"
            )
        a, b = (table.values[common].astype(np.float64) for table in (one, other))
        kind = "seeds" if first == second else "tables"
        pair = {"first": first, "second": second, "kind": kind, "n_elements": int(common.sum())}
        pair.update(_compare(a, b, n_permutations, rng))
        a, b = a.mean(axis=0), b.mean(axis=0)
        path = _warp(smooth(a, window), smooth(b, window))
        pair.update(_judge(path, cost_threshold, inverse_threshold))
        shuffled = [
            _warp(smooth(a, window), smooth(rng.permutation(b), window))
            for _ in range(n_permutations)
        ]
        pair["dtw_null"] = np.mean([p["cost"].mean() for p in shuffled])
        paths[first, second, len(compared)] = path
        compared.append(pair)
    pairs = pd.DataFrame(compared)
    grouped = pairs.groupby(["first", "second", "kind"], sort=False)
    summary = grouped[[*MEASURES, "dtw"]].agg(["mean", "std"])
    summary.insert(0, ("n_pairs", ""), grouped.size())
    return Bunch(
        pairs=pairs,
        summary=summary,
        paths=paths,
        cost_threshold=cost_threshold,
        inverse_threshold=inverse_threshold,
    )


def _name(tables):
    """Return (name, table) for all tables, with the seeds of one table side by side."""
    if isinstance(tables, Mapping):
        groups = {
            str(name): [check_table(t) for t in (group if isinstance(group, list) else [group])]
            for name, group in tables.items()
        }
    else:
        if isinstance(tables, ONE_TABLE):
            raise TypeError(
                f"tables is one table ({type(tables).__name__}); give a sequence or a mapping of "
                "tables"
            )
        groups = {}
        for i, given in enumerate(tables):
            table = check_table(given)
            # frames have no names: two of them are not two seeds of one table
            name = f"frame {i}" if isinstance(given, pd.DataFrame) else table.name
            groups.setdefault(name, []).append(table)
    return [(name, table) for name, group in groups.items() for table in group]


# -- measures that do not know an order of dimensions ---------------------------------------------


def _compare(a, b, n_permutations, rng):
    """Return all measures of rows a (n, d_a) and b (n, d_b), and their means under permutation."""
    a, b = _normalize(a), _normalize(b)
    gram_a, gram_b = a @ a.T, b @ b.T
    ranks_a, ranks_b = _distance_ranks(a), _distance_ranks(b)

    def measure(order):
        turned = np.ix_(order, order)
        return (
            (gram_a * gram_b[turned]).sum() / np.linalg.norm(gram_a) / np.linalg.norm(gram_b),
            svdvals(a.T @ b[order]).sum() ** 2,
            (ranks_a * ranks_b[turned]).sum(),
        )

    found = measure(np.arange(len(a)))
    null = [measure(rng.permutation(len(a))) for _ in range(n_permutations)]
    means = np.mean(null, axis=0)
    result = {name: float(value) for name, value in zip(MEASURES, found, strict=True)}
    return result | {f"{name}_null": float(v) for name, v in zip(MEASURES, means, strict=True)}


def _normalize(rows):
    """Return centred rows, scaled to unit norm as a whole."""
    rows = rows - rows.mean(axis=0)
    norm = np.linalg.norm(rows)
    if norm == 0:
        raise ValueError("a table has one vector for all elements; there is nothing to compare")
    return rows / norm


def _distance_ranks(rows):
    """Return unit ranks of the distances between rows as a symmetric matrix."""
    return squareform(unit_ranks(pdist(rows)), checks=False) / np.sqrt(2.0)


def unit_ranks(values):
    """Return ranks of mean zero and length one, whose products are rank correlations.

    Parameters
    ----------
    values : array-like of shape (n,)

    Returns
    -------
    ndarray of shape (n,)
        Zeros if all values are equal, as all distances of one-hot vectors are: without an order
        there is no correlation.
    """
    ranks = rankdata(values)
    ranks -= ranks.mean()
    return ranks / (np.linalg.norm(ranks) or 1.0)


# -- warping --------------------------------------------------------------------------------------


def smooth(values, window):
    """Return the moving average over `window` values, only where the window is full.

    Parameters
    ----------
    values : ndarray of shape (n,)
    window : int

    Returns
    -------
    ndarray of shape (n - window + 1,)
    """
    if not 1 <= window <= len(values):
        raise ValueError(f"window={window} must be 1 to {len(values)}, the columns of a table")
    return np.convolve(values, np.full(window, 1.0 / window), mode="valid")


def _warp(a, b):
    """Return the steps of the best path from a (n,) to b (m,)."""
    try:
        from dtaidistance import dtw
    except ImportError as error:
        raise ImportError(
            'compare_tables needs dtaidistance: pip install "skuae[analysis]"'
        ) from error
    i, j = np.array(dtw.warping_path_fast(a, b)).T
    cost = np.abs(a[i] - b[j])
    with np.errstate(divide="ignore"):
        inverse = 1.0 / cost
    return pd.DataFrame(
        {"i": i, "j": j, "first": a[i], "second": b[j], "cost": cost, "inverse": inverse}
    )


def _judge(path, cost_threshold, inverse_threshold):
    return {
        "dtw": path["cost"].mean(),
        "dtw_sum": path["cost"].sum(),
        "similar": (path["cost"] < cost_threshold).mean(),
        "similar_inverse": (path["inverse"] > inverse_threshold).mean(),
    }
