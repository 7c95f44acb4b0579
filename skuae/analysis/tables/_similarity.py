"""Heat maps of a table, with elements ordered by a tree."""

import numpy as np
import pandas as pd
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform
from sklearn.metrics.pairwise import cosine_similarity

from skuae.analysis._axes import take_ax
from skuae.analysis._inputs import check_table, vectors
from skuae.analysis.tables._spaces import principal

_WHATS = {
    "cosine": "Cosine similarity",
    "components": "Principal component (unit of the table)",
    "table": "Value in the table",
}
_LINKAGES = ("average", "complete", "single", "ward")


class SimilarityDisplay:
    """A clustered heat map: of the similarity of elements, or of their vectors.

    Make one with `from_table`.

    Parameters
    ----------
    matrix : DataFrame of shape (n_elements, n_columns)
        What is drawn, indexed by symbol, in the order of the table.
    linkage : ndarray of shape (n_elements - 1, 4)
        The tree of the rows, as of `scipy.cluster.hierarchy.linkage`.
    label : str
        What the colours mean.

    Attributes
    ----------
    matrix : DataFrame
    linkage : ndarray
        Cut it with `scipy.cluster.hierarchy.fcluster` to get classes.
    order : list of str
        Elements from top to bottom.
    ax_ : matplotlib Axes
        Of the heat map.
    tree_ax_ : matplotlib Axes
        Of the tree beside it.
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from skuae.analysis import SimilarityDisplay
    >>> display = SimilarityDisplay.from_table("mat2vec")
    >>> round(float(display.matrix.loc["Na", "Li"]), 2)
    0.76
    """

    def __init__(self, matrix, linkage, *, label):
        self.matrix = matrix
        self.linkage = linkage
        self.label = label
        leaves = hierarchy.leaves_list(linkage)
        self.order = [str(symbol) for symbol in matrix.index[leaves]]

    @classmethod
    def from_table(cls, table, what="cosine", *, linkage="average"):
        """Compute a heat map and the order of its elements.

        Parameters
        ----------
        table : str, path, ElementTable or DataFrame
            Name of a table, a file, a table, or a data frame indexed by symbol.
        what : {"cosine", "components", "table"}, default="cosine"
            The cosine of every pair of elements, between the rows as they are (a vector that all
            rows share raises all of them; `ElementTable.standardize` removes it); the first 32
            principal components; or all columns of the table.
        linkage : {"average", "complete", "single", "ward"}, default="average"
            How `scipy.cluster.hierarchy.linkage` builds the tree, from one minus the cosine, else
            from Euclidean distances. ``"ward"`` is for the latter.

        Returns
        -------
        SimilarityDisplay

        Raises
        ------
        ValueError
            If a parameter has no valid value, the table has fewer than two elements, or a vector
            is zero and has no cosine.
        """
        if what not in _WHATS:
            raise ValueError(f"what={what!r}; choose from {', '.join(_WHATS)}")
        if linkage not in _LINKAGES or (what == "cosine" and linkage == "ward"):
            known = ", ".join(_LINKAGES[: -1 if what == "cosine" else None])
            raise ValueError(f"linkage={linkage!r}; for what={what!r} choose from {known}")
        table = check_table(table, n_least=2)
        rows = vectors(table)
        if what == "cosine":
            if not rows.any(axis=1).all():
                zero = table.symbols[int(np.argmin(rows.any(axis=1)))]
                raise ValueError(f"the vector of {zero} is zero and has no cosine; leave it out")
            matrix, columns = cosine_similarity(rows), table.symbols
            distances = squareform(np.clip(1 - matrix, 0, None), checks=False)
            tree = hierarchy.linkage(distances, linkage, optimal_ordering=True)
        else:
            matrix, columns = rows, table.columns
            if what == "components":
                matrix = principal(rows, 32)[0]
                columns = [f"PC {i}" for i in range(1, 33)]
            tree = hierarchy.linkage(matrix, linkage, optimal_ordering=True)
        index = pd.Index(table.symbols, name="element")
        return cls(pd.DataFrame(matrix, index, columns), tree, label=_WHATS[what])

    def plot(self, ax=None, *, cmap="RdBu_r"):
        """Draw heat map, tree and colour bar.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw, tree and colour bar included; by default on a new figure that is large
            enough for all symbols.
        cmap : str or matplotlib Colormap, default="RdBu_r"
            Its middle stands for zero.

        Returns
        -------
        SimilarityDisplay
            Itself.
        """
        n_rows = len(self.matrix)
        height = max(4.0, 0.105 * n_rows + 1)
        ax, figure = take_ax(ax, (1.25 * height, height))
        self.ax_, self.figure_ = ax, figure
        symmetric = list(self.matrix.columns) == list(self.matrix.index)
        shown = self.matrix.loc[self.order, self.order if symmetric else self.matrix.columns]
        limit = _limit(shown.to_numpy(), symmetric)
        image = ax.imshow(shown, cmap=cmap, vmin=-limit, vmax=limit, aspect="auto")
        self._draw_tree()
        figure_points = ax.get_window_extent().height * 72 / self.figure_.dpi
        size = min(9.0, 0.85 * figure_points / n_rows)
        ax.set_yticks(range(n_rows), self.order, fontsize=size)
        ax.yaxis.tick_right()
        ax.tick_params(length=0, pad=2)
        if symmetric:
            ax.set_xticks(range(n_rows), self.order, fontsize=size, rotation=90)
        else:
            ax.set_xlabel("Dimension")
        bar = ax.inset_axes((1.055, 0.0, 0.025, 0.4))
        self.figure_.colorbar(image, cax=bar).set_label(self.label)
        return self

    def _draw_tree(self):
        """Draw the tree to the left of the heat map, every leaf at the height of its row."""
        tree = hierarchy.dendrogram(self.linkage, no_plot=True)
        self.tree_ax_ = self.ax_.inset_axes((-0.17, 0, 0.16, 1), sharey=self.ax_)
        for rows, depths in zip(tree["icoord"], tree["dcoord"], strict=True):
            # scipy puts leaf i at 5 + 10 i.
            self.tree_ax_.plot(depths, (np.array(rows) - 5) / 10, color="0.3", lw=0.7)
        self.tree_ax_.set_xlim(1.02 * self.linkage[:, 2].max(), 0)
        self.tree_ax_.axis("off")


def _limit(values, symmetric):
    """Return the end of the colour scale: the largest value, without the diagonal of ones."""
    if symmetric:
        values = values[~np.eye(len(values), dtype=bool)]
    return float(np.abs(values).max()) or 1.0
