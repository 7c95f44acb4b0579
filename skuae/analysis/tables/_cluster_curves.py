"""Inertia and silhouette over the number of clusters, with those of random controls."""

from skuae.analysis._axes import take_panels
from skuae.analysis._style import class_colors

_NAMES = {
    "random": "random numbers",
    "permuted": "columns permuted",
    "gaussian": "one Gaussian cloud",
}
_STYLES = {"random": ":", "permuted": "-.", "gaussian": "--"}


class ClusterCurveDisplay:
    """Elbow and silhouettes of `cluster_elements`, with those of its controls.

    Make one with `from_clusters`.

    Parameters
    ----------
    curves : DataFrame
        The ``curves`` of :func:`cluster_elements`.
    n_clusters : int
        The number that a dashed line marks.
    space : {"umap", "pca", "table"}
        Space in which the elements were clustered.

    Attributes
    ----------
    ax_ : ndarray of matplotlib Axes
        Two, or three if the elements were not clustered in the full table.
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from skuae.analysis import ClusterCurveDisplay, cluster_elements
    >>> result = cluster_elements("magpie", space="pca", k_range=range(2, 5), n_seeds=2)
    >>> len(ClusterCurveDisplay.from_clusters(result).plot().ax_)
    3
    """

    def __init__(self, curves, *, n_clusters, space):
        self.curves = curves
        self.n_clusters = n_clusters
        self.space = space

    @classmethod
    def from_clusters(cls, result):
        """Make a display of a result of `cluster_elements`.

        Parameters
        ----------
        result : Bunch
            From :func:`cluster_elements`.

        Returns
        -------
        ClusterCurveDisplay

        Raises
        ------
        ValueError
            If it holds communities, which have no curve over their number.
        """
        if "modularity" in result.curves:
            raise ValueError(
                f"method={result.method!r} tries no numbers of clusters; there is a curve for "
                "'kmeans' and 'hierarchical'"
            )
        return cls(result.curves, n_clusters=result.n_clusters, space=result.space)

    def plot(self, ax=None):
        """Draw the curves: means over seeds, shaded by one standard deviation.

        Parameters
        ----------
        ax : array of matplotlib Axes, optional
            As many as there are panels; by default on a new figure.

        Returns
        -------
        ClusterCurveDisplay
            Itself.

        Raises
        ------
        ValueError
            If `ax` holds another number of axes.
        """
        space = {"umap": "UMAP plane", "pca": "32 components", "table": "table"}[self.space]
        panels = [
            ("inertia", "Inertia / its value at the lowest k"),
            ("silhouette", f"Silhouette in the {space}"),
        ]
        if self.space != "table":
            panels.append(("silhouette_table", "Silhouette in the full table"))
        size = (3.6 * len(panels), 3.8)
        self.ax_, self.figure_ = take_panels(ax, len(panels), size)
        for axes, (column, name) in zip(self.ax_, panels, strict=True):
            self._draw(axes, column)
            axes.axvline(self.n_clusters, color="0.4", lw=0.8, ls=(0, (6, 4)), zorder=0)
            axes.set(xlabel="Number of clusters k", ylabel=name)
            axes.xaxis.get_major_locator().set_params(integer=True)
        handles, names = self.ax_[0].get_legend_handles_labels()
        self.ax_[0].legend(handles, names, fontsize="small")
        return self

    def _draw(self, axes, column):
        kinds = list(dict.fromkeys(self.curves["data"]))
        for kind, color in zip(kinds, class_colors(len(kinds)), strict=True):
            values = self.curves[self.curves["data"] == kind].pivot(
                index="k", columns="seed", values=column
            )
            if column == "inertia":
                values = values / values.iloc[0].mean()  # controls may have another scale
            mean, spread = values.mean(axis=1), values.std(axis=1, ddof=0)
            axes.plot(
                mean.index,
                mean,
                color=color,
                ls=_STYLES.get(kind, "-"),
                lw=2.2 if kind == "table" else 1.5,
                marker="o" if kind == "table" else None,
                label=_NAMES.get(kind, "table"),
            )
            axes.fill_between(
                mean.index, mean - spread, mean + spread, color=color, alpha=0.2, lw=0
            )
