"""Classes of elements: clusters of their vectors, their stability, and random controls."""

import itertools

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score, silhouette_score
from sklearn.metrics.cluster import contingency_matrix
from sklearn.utils import Bunch, check_random_state
from tqdm import tqdm

from skuae.analysis._inputs import check_table, vectors
from skuae.analysis.tables._communities import find_communities, neighbor_graph
from skuae.analysis.tables._controls import CONTROLS, make_control
from skuae.analysis.tables._spaces import coordinates, plane, principal

SPACES = ("umap", "pca", "table")
_BY_COUNT = ("kmeans", "hierarchical")
_BY_GRAPH = ("louvain", "leiden")
_N_COMPONENTS = 32


def cluster_elements(
    table,
    *,
    method="kmeans",
    space=None,
    n_clusters=None,
    k_range=range(2, 11),
    n_seeds=5,
    controls=True,
    random_state=0,
    n_jobs=None,
    verbose=0,
):
    """Cluster the elements of a table repeatedly, and random controls with them.

    UMAP shows groups even in noise: the best number of clusters of random tables is three. Compare
    silhouettes with those of tables without classes, which the result includes as controls.

    Parameters
    ----------
    table : str, path, ElementTable or DataFrame
        Name of a table, a file, a table, or a data frame indexed by symbol.
    method : {"kmeans", "hierarchical", "louvain", "leiden"}, default="kmeans"
        `sklearn.cluster.KMeans` with ten starts; `sklearn.cluster.AgglomerativeClustering` with
        Ward linkage; or communities of the graph that links every element to its 15 nearest, by
        the Louvain algorithm of networkx or the Leiden algorithm of graspologic-native.
    space : {"umap", "pca", "table"}, optional
        Where to cluster: in two dimensions of UMAP, another layout for every seed; in the first 32
        principal components; or in the table as it is. By default UMAP, for communities the table.
    n_clusters : int, optional
        Number of classes. By default the one with the highest mean silhouette; for communities
        whatever has the highest modularity at resolution 1.
    k_range : iterable of int, default=range(2, 11)
        Numbers of clusters to try; communities do not use it.
    n_seeds : int, default=5
        Number of repetitions. Ward clusters of the table or its principal components do not depend
        on a seed: they are computed once, and only the controls are repeated.
    controls : bool, default=True
        Whether to cluster tables without classes, too, one of each kind per seed: ``"random"``
        normal numbers, ``"permuted"`` with every column shuffled among the elements, and
        ``"gaussian"``, normal rows with the covariance of the table.
    random_state : int, RandomState instance or None, default=0
        Pass an int for the same result on every call.
    n_jobs : int, optional
        Number of processes, as in joblib; -1 means all processors. A process loads UMAP first,
        which takes about 10 s, so that more than one rarely pays for fewer than 50 seeds.
    verbose : int, default=0
        1 shows a progress bar.

    Returns
    -------
    Bunch
        labels : Series of int
            Class of every element by symbol; 0 is the class of the lightest element, and so on.
            They are those of the seed that agrees best with the others.
        coordinates : DataFrame of shape (n_elements, 2)
            For a map: the UMAP layout that `labels` were found in, else two principal components.
        labels_per_seed : DataFrame of shape (n_elements, n_seeds)
            Their classes renumbered to match `labels` as well as possible (Hungarian method); one
            column where no seed is used.
        stability : Series of float
            Share of the seeds that put an element into the class that `labels` names; NaN where
            there is nothing to compare with.
        ari : DataFrame of shape (n_seeds, n_seeds)
            Adjusted Rand index between seeds: 1 for the same classes, 0 for chance. Of shape (1, 1)
            where no seed is used.
        n_clusters : int
            Number of classes in `labels`.
        k_silhouette, k_elbow : int
            Best number by mean silhouette, and by the elbow of the mean inertia: the point
            furthest under the straight line between its ends. Not there for communities.
        curves : DataFrame
            One row per ``data`` ("table" or a control), ``seed`` and ``k`` with ``inertia`` (sum
            of squared distances to the class means) and ``silhouette``, both in the space that was
            clustered, and ``silhouette_table``, that of the same classes in the full table. For
            communities ``modularity``, too. Silhouettes are NaN where there is one class only.
        method, space : str
            What was done.
        explained_variance_ratio : ndarray of shape (32,)
            Only with ``space="pca"``.

    Raises
    ------
    ImportError
        If UMAP or Leiden is asked for and not installed.
    TypeError
        If `table` is an estimator.
    ValueError
        If a parameter has no valid value, or the table has too few elements for `k_range`.

    See Also
    --------
    ClusterCurveDisplay : Draws the curves beside those of the controls.
    ElementMapDisplay : Draws the map.
    PeriodicTableDisplay : Draws the classes.

    References
    ----------
    P. Rousseeuw, J. Comput. Appl. Math. 20, 53 (1987): silhouettes.
    V. Satopaa et al., ICDCS Workshops, 166 (2011): the elbow.
    V. Blondel et al., J. Stat. Mech., P10008 (2008): Louvain.
    V. Traag, L. Waltman, N. J. van Eck, Sci. Rep. 9, 5233 (2019): Leiden.

    Examples
    --------
    >>> from skuae.analysis import cluster_elements
    >>> result = cluster_elements("magpie", space="pca", k_range=[2, 3], n_seeds=2)
    >>> result.labels[["Na", "K", "Rb"]].nunique()
    1
    >>> result.curves.groupby("data")["silhouette"].max().idxmax()
    'table'
    """
    space = _check_names(method, space)
    ks = _check_counts(method, k_range, n_clusters, n_seeds)
    table = check_table(table, n_least=max(ks, default=4) + 1)
    rows = vectors(table)
    seeds = check_random_state(random_state).randint(2**31 - 1, size=n_seeds)
    kinds = ("table", *(CONTROLS if controls else ()))
    # Equal results of a method without chance would pass for classes that every seed finds.
    n_runs = 1 if method == "hierarchical" and space != "umap" else n_seeds
    tasks = [
        (kind, number, seed)
        for kind in kinds
        for number, seed in enumerate(seeds[:n_runs] if kind == "table" else seeds)
    ]
    runs = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(_run)(rows, kind, seed, method, space, ks, n_clusters) for kind, _, seed in tasks
    )
    runs = list(tqdm(runs, total=len(tasks), unit=" clusterings", disable=verbose < 1))
    curves = pd.DataFrame(
        [
            {"data": kind, "seed": number, **record}
            for (kind, number, _), run in zip(tasks, runs, strict=True)
            for record in run.records
        ]
    )
    result = Bunch(method=method, space=space, curves=curves)
    if method in _BY_COUNT:
        means = curves[curves["data"] == "table"].groupby("k")[["silhouette", "inertia"]].mean()
        result.k_silhouette = int(means["silhouette"].idxmax())
        result.k_elbow = _elbow(means["inertia"])
        n_clusters = result.k_silhouette if n_clusters is None else n_clusters
    labellings = [run.labels[n_clusters] for run in runs[:n_runs]]
    best = _agreement(result, labellings, table.symbols)
    points = runs[best].points if space == "umap" else principal(rows, 2)[0]
    result.coordinates = coordinates(points, "umap" if space == "umap" else "pca", table.symbols)
    if space == "pca":
        result.explained_variance_ratio = principal(rows, _N_COMPONENTS)[1]
    return result


def _check_names(method, space):
    if method not in _BY_COUNT + _BY_GRAPH:
        raise ValueError(f"method={method!r}; choose from {', '.join(_BY_COUNT + _BY_GRAPH)}")
    if space is None:
        return "umap" if method in _BY_COUNT else "table"
    if space not in SPACES:
        raise ValueError(f"space={space!r}; choose from {', '.join(SPACES)}")
    return space


def _check_counts(method, k_range, n_clusters, n_seeds):
    """Return the numbers of clusters to try, ascending; none for communities."""
    if n_seeds < 1:
        raise ValueError(f"n_seeds={n_seeds}; at least 1")
    if n_clusters is not None and n_clusters < 2:
        raise ValueError(f"n_clusters={n_clusters}; at least 2, or None to have it chosen")
    if method in _BY_GRAPH:
        return []
    ks = set(k_range) | (set() if n_clusters is None else {n_clusters})
    if not ks or min(ks) < 2:
        raise ValueError(f"k_range={k_range!r}; give numbers of clusters from 2 upwards")
    return sorted(ks)


def _run(rows, kind, seed, method, space, ks, n_clusters):
    """Cluster the table or a control once; search communities for the requested number only."""
    if kind != "table":
        rows = make_control(rows, kind, seed)
    if space == "umap":
        points = plane(rows, "umap", seed)
    else:
        points = principal(rows, _N_COMPONENTS)[0] if space == "pca" else rows
    labels, records = {}, []
    if method in _BY_GRAPH:
        # A graph without n_clusters communities is an answer where it is a control.
        count = n_clusters if kind == "table" else None
        found, modularity = find_communities(neighbor_graph(points), method, int(seed), count)
        labels[n_clusters] = found
        scores = _scores(rows, points, found)
        records.append({"k": int(found.max() + 1), **scores, "modularity": modularity})
    # Here, since it takes 0.2 s of `import skuae` otherwise.
    from sklearn.cluster import AgglomerativeClustering, KMeans

    for k in ks:
        if method == "kmeans":
            model = KMeans(k, n_init=10, random_state=seed)
        else:
            model = AgglomerativeClustering(k, linkage="ward")
        labels[k] = model.fit_predict(points)
        records.append({"k": k, **_scores(rows, points, labels[k])})
    return Bunch(labels=labels, records=records, points=points)


def _scores(rows, points, labels):
    found = np.unique(labels)
    inertia = sum(((points[labels == c] - points[labels == c].mean(0)) ** 2).sum() for c in found)
    scores = {"inertia": inertia}
    one_or_all = len(found) in (1, len(labels))
    scores["silhouette"] = np.nan if one_or_all else silhouette_score(points, labels)
    scores["silhouette_table"] = np.nan if one_or_all else silhouette_score(rows, labels)
    return scores


def _elbow(inertia):
    """Return the k furthest under the straight line between the ends of the curve."""
    ks, values = inertia.index.to_numpy(float), inertia.to_numpy()
    line = np.interp(ks, ks[[0, -1]], values[[0, -1]])
    return int(inertia.index[np.argmax(line - values)])


def _agreement(result, labellings, symbols):
    """Fill in labels and the agreement of seeds; return the seed that the labels come from."""
    index = pd.Index(symbols, name="element")
    ari = np.array([[adjusted_rand_score(a, b) for b in labellings] for a in labellings])
    best = int(ari.mean(axis=1).argmax())
    # Numbered by the lightest element, so that the same classes have the same numbers always.
    _, first, inverse = np.unique(labellings[best], return_index=True, return_inverse=True)
    reference = first.argsort().argsort()[inverse]
    aligned = np.column_stack([_align(labels, reference) for labels in labellings])
    seeds = pd.RangeIndex(len(labellings), name="seed")
    result.labels = pd.Series(reference, index, name="class")
    result.labels_per_seed = pd.DataFrame(aligned, index, seeds)
    stability = (aligned.T == reference).mean(axis=0) if len(labellings) > 1 else np.nan
    result.stability = pd.Series(stability, index, name="stability")
    result.ari = pd.DataFrame(ari, seeds, seeds)
    result.n_clusters = int(reference.max() + 1)
    return best


def _align(labels, reference):
    """Renumber `labels` so that as many as possible are equal to `reference`."""
    _, labels = np.unique(labels, return_inverse=True)
    overlap = contingency_matrix(labels, reference)
    mine, theirs = linear_sum_assignment(overlap, maximize=True)
    names = dict(zip(mine, theirs, strict=True))
    # Classes beyond those of the reference get numbers beyond its own.
    beyond = [c for c in range(len(overlap)) if c not in names]
    names.update(zip(beyond, itertools.count(overlap.shape[1]), strict=False))
    return np.array([names[c] for c in labels])
