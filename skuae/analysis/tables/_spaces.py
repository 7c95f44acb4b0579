"""Element vectors in fewer dimensions: UMAP, t-SNE, principal components."""

import numpy as np
import pandas as pd
from scipy.spatial.distance import pdist
from sklearn.decomposition import PCA
from sklearn.utils import check_random_state

from skuae.analysis._inputs import check_table, vectors
from skuae.analysis._tsne import tsne

MAPS = ("umap", "tsne", "pca")
_AXES = {"umap": "UMAP", "tsne": "t-SNE", "pca": "PC"}


def map_elements(table, method="umap", *, random_state=0):
    """Map the elements of a table to a plane.

    Parameters
    ----------
    table : str, path, ElementTable or DataFrame
        Name of a table, a file, a table, or a data frame indexed by symbol.
    method : {"umap", "tsne", "pca"}, default="umap"
        ``"umap"`` is `umap.UMAP` with its defaults (15 neighbours, ``min_dist=0.1``, Euclidean),
        ``"tsne"`` is `sklearn.manifold.TSNE` started from the principal components with
        perplexity 30 or a third of the elements, ``"pca"`` the first two principal components.
    random_state : int, RandomState instance or None, default=0
        Decides the layout of UMAP and t-SNE; principal components do not depend on it.

    Returns
    -------
    DataFrame of shape (n_elements, 2)
        Coordinates, indexed by symbol; the columns are named for the axes of a figure. Only those
        of ``"pca"`` have the unit of the table. UMAP and t-SNE keep neighbours together, but
        distances and sizes of groups mean little, and both make groups even of noise.

    Raises
    ------
    ImportError
        If UMAP is asked for and not installed.
    ValueError
        If the method is not known or the table has fewer than five elements.

    See Also
    --------
    ElementMapDisplay : Draws the map.

    References
    ----------
    L. McInnes, J. Healy, J. Melville, arXiv:1802.03426 (2018).
    L. van der Maaten, G. Hinton, J. Mach. Learn. Res. 9, 2579 (2008).

    Examples
    --------
    >>> from skuae.analysis import map_elements
    >>> map_elements("magpie", "pca").loc[["Na", "K", "Cl"]].shape
    (3, 2)
    """
    if method not in MAPS:
        raise ValueError(f"method={method!r}; choose from {', '.join(MAPS)}")
    table = check_table(table, n_least=5)
    seed = check_random_state(random_state).randint(2**31 - 1)
    return coordinates(plane(vectors(table), method, seed), method, table.symbols)


def coordinates(points, method, symbols):
    """Return points of a plane with the names of the elements and of the axes.

    Parameters
    ----------
    points : ndarray of shape (n_elements, 2)
    method : {"umap", "tsne", "pca"}
    symbols : list of str

    Returns
    -------
    DataFrame of shape (n_elements, 2)
    """
    columns = [f"{_AXES[method]} 1", f"{_AXES[method]} 2"]
    return pd.DataFrame(points, index=pd.Index(symbols, name="element"), columns=columns)


def plane(rows, method, seed):
    """Return two coordinates per row.

    Parameters
    ----------
    rows : ndarray of shape (n_elements, n_dims)
    method : {"umap", "tsne", "pca"}
    seed : int

    Returns
    -------
    ndarray of shape (n_elements, 2), float64
    """
    rows = np.asarray(rows, dtype=np.float64)
    if method == "umap":
        return _umap(rows, seed)
    if method == "tsne":
        return tsne(rows, seed)
    points, _ = principal(rows, 2)
    return points


def principal(rows, n_components):
    """Return the leading principal components and the share of the variance of each.

    Parameters
    ----------
    rows : ndarray of shape (n_elements, n_dims)
    n_components : int
        As many columns come back, the last ones zero where `rows` has no more dimensions.

    Returns
    -------
    components : ndarray of shape (n_elements, n_components), float64
    explained : ndarray of shape (n_components,), float64
    """
    rows = np.asarray(rows, dtype=np.float64)
    n_true = min(n_components, *rows.shape)
    model = PCA(n_true, svd_solver="full")  # the other solvers are random
    components = np.zeros((len(rows), n_components))
    explained = np.zeros(n_components)
    components[:, :n_true] = model.fit_transform(rows)
    explained[:n_true] = model.explained_variance_ratio_
    return components, explained


def _umap(rows, seed):
    try:
        import umap
    except ImportError as error:
        raise ImportError(
            'this needs UMAP: pip install "skuae[analysis]". Without it, use '
            'map_elements(table, "pca") or "tsne", and space="pca" or "table" for clusters'
        ) from error
    # The eigensolver needs some rows, and falls back on numbers of its own, other ones on every
    # call, where all are equally far apart, as in a one-hot table.
    lengths = pdist(rows)
    spectral = len(rows) > 10 and np.ptp(lengths) > 1e-6 * lengths.max()
    model = umap.UMAP(
        n_neighbors=min(15, len(rows) - 1),
        init="spectral" if spectral else "random",
        random_state=seed,
        n_jobs=1,  # a seed allows no more
    )
    return model.fit_transform(rows).astype(np.float64)
