"""t-SNE as all analyses make it."""

import numpy as np
from sklearn.manifold import TSNE


def tsne(rows, seed):
    """Return two coordinates per row, by t-SNE started from the principal components.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_dims)
    seed : int

    Returns
    -------
    ndarray of shape (n_rows, 2), float64
        With perplexity 30, or a third of the rows if that is less.
    """
    perplexity = min(30.0, (len(rows) - 1) / 3)
    start = "pca" if rows.shape[1] > 1 else "random"
    model = TSNE(2, perplexity=perplexity, init=start, random_state=seed, n_jobs=1)
    return model.fit_transform(rows).astype(np.float64)
