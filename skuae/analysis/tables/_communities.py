"""Communities of a graph of near elements: Louvain and Leiden."""

import numpy as np
from scipy.sparse.csgraph import connected_components
from sklearn.neighbors import kneighbors_graph

_LOWEST, _HIGHEST, _STEPS = 1e-2, 1e2, 40  # the resolutions that are searched


def neighbor_graph(points, n_neighbors=15):
    """Link every point to its nearest neighbours, with larger weights for nearer ones.

    Parameters
    ----------
    points : ndarray of shape (n_elements, n_dims)
    n_neighbors : int

    Returns
    -------
    csr_array of shape (n_elements, n_elements)
        Symmetric: a link holds in both directions where either end has it. The weight of a link of
        length d is ``exp(-d**2 / (2 * m**2))`` with the median length m.
    """
    count = min(n_neighbors, len(points) - 1)
    graph = kneighbors_graph(points, count, mode="distance")
    scale = np.median(graph.data) or 1.0  # 1 where most elements have the same vector
    # Never 0: a link that is stored is a link.
    graph.data = np.maximum(np.exp(-0.5 * (graph.data / scale) ** 2), 1e-12)
    return graph.maximum(graph.T).tocsr()


def find_communities(graph, method, seed, n_communities=None):
    """Find communities of a graph with a high modularity.

    Parameters
    ----------
    graph : sparse array of shape (n, n)
        Symmetric weights.
    method : {"louvain", "leiden"}
    seed : int
    n_communities : int, optional
        The resolution is searched until there are so many; by default it is 1.

    Returns
    -------
    labels : ndarray of int of shape (n,)
        Every community is connected: what Louvain leaves in several pieces, which Leiden does
        not, is taken as several communities.
    modularity : float
        At resolution 1.

    Raises
    ------
    ValueError
        If no resolution gives `n_communities`.
    """
    part = _Louvain(graph) if method == "louvain" else _Leiden(graph)
    labels = _connected(graph, part(1.0, seed))
    if n_communities is not None:
        labels = _search(graph, part, labels, seed, n_communities)
    return labels, part.modularity(labels)


def _search(graph, part, labels, seed, n_communities):
    """Bisect the resolution: a higher one mostly gives more communities."""
    low, high = np.log(_LOWEST), np.log(_HIGHEST)
    middle, found = 0.0, set()
    for _ in range(_STEPS):
        count = labels.max() + 1
        if count == n_communities:
            return labels
        found.add(int(count))
        low, high = (middle, high) if count < n_communities else (low, middle)
        middle = (low + high) / 2
        labels = _connected(graph, part(np.exp(middle), seed))
    raise ValueError(
        f"no resolution gives {n_communities} communities (found: {sorted(found)}); leave "
        "n_clusters=None, ask for one of those, or use method='kmeans'"
    )


def _connected(graph, labels):
    """Split every community into its connected pieces, and number them 0, 1, ..."""
    source, target = graph.nonzero()
    within = labels[source] == labels[target]
    inner = graph.copy()
    inner[source[~within], target[~within]] = 0
    inner.eliminate_zeros()
    return connected_components(inner, directed=False)[1]


class _Louvain:
    """`networkx.community.louvain_communities` on a sparse graph."""

    def __init__(self, graph):
        import networkx  # slow to import

        self.networkx = networkx
        self.graph = networkx.from_scipy_sparse_array(graph)

    def __call__(self, resolution, seed):
        parts = self.networkx.community.louvain_communities(
            self.graph, resolution=resolution, seed=seed
        )
        labels = np.empty(len(self.graph), dtype=np.int64)
        for label, nodes in enumerate(parts):
            labels[list(nodes)] = label
        return labels

    def modularity(self, labels):
        parts = [set(np.flatnonzero(labels == label)) for label in np.unique(labels)]
        return self.networkx.community.modularity(self.graph, parts)


class _Leiden(_Louvain):
    """Leiden of graspologic-native, which is MIT-licensed; leidenalg and igraph are not."""

    def __init__(self, graph):
        try:
            from graspologic_native import leiden
        except ImportError as error:
            raise ImportError(
                "method='leiden' needs graspologic-native: pip install \"skuae[analysis]\"; "
                "method='louvain' does without"
            ) from error
        super().__init__(graph)
        self.leiden = leiden
        self.edges = [(str(a), str(b), w) for a, b, w in self.graph.edges.data("weight")]

    def __call__(self, resolution, seed):
        _, found = self.leiden(self.edges, resolution=resolution, iterations=10, seed=seed)
        return np.array([found[str(node)] for node in range(len(self.graph))])
