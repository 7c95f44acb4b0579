"""Figures of the results of `compare_tables`."""

import numpy as np

from skuae.analysis._axes import take_ax
from skuae.analysis._style import color_of
from skuae.analysis.tables._comparison import MEASURES

_TITLES = {
    "cka": "linear CKA",
    "procrustes": "Procrustes, 1 - disparity",
    "rsa": "RSA, rank correlation of distances",
}


class TableSimilarityDisplay:
    """Matrix of similarities of tables; the diagonal compares several seeds of one table.

    Parameters
    ----------
    pairs : DataFrame
        The ``pairs`` of `compare_tables`.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from skuae.analysis import TableSimilarityDisplay, compare_tables
    >>> found = compare_tables(["megnet16", "random"], n_permutations=2)
    >>> TableSimilarityDisplay.from_comparison(found).plot(measure="rsa").ax_.get_title()
    'RSA, rank correlation of distances'
    """

    def __init__(self, pairs):
        self.pairs = pairs

    @classmethod
    def from_comparison(cls, comparison):
        """Make a display of a result of `compare_tables`.

        Parameters
        ----------
        comparison : Bunch

        Returns
        -------
        TableSimilarityDisplay
        """
        return cls(comparison.pairs)

    def plot(self, ax=None, *, measure="cka"):
        """Draw the matrix: every value, its value by chance, and a colour for the difference.

        Colours show ``(value - chance) / (1 - chance)``, since tables of pure noise with more
        dimensions than elements have a CKA of 0.5 and more.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; a new figure by default.
        measure : {"cka", "procrustes", "rsa"}, default="cka"

        Returns
        -------
        TableSimilarityDisplay
        """
        if measure not in MEASURES:
            raise ValueError(f"measure must be one of {', '.join(MEASURES)}; got {measure!r}")
        names = list(dict.fromkeys([*self.pairs["first"], *self.pairs["second"]]))
        side = 1.9 + 0.85 * len(names)
        ax, figure = take_ax(ax, (side + 0.7, side))
        means = self.pairs.groupby(["first", "second"])[[measure, f"{measure}_null"]].mean()
        values = np.full((len(names), len(names)), np.nan)
        for (first, second), (value, null) in means.iterrows():
            adjusted = (value - null) / (1.0 - null)
            for x, y in {(first, second), (second, first)}:
                row, column = names.index(x), names.index(y)
                values[row, column] = adjusted
                ax.text(column, row, f"{value:.2f}\n({null:.2f})", ha="center", va="center",
                        fontsize=9, color="white" if adjusted > 0.55 else "black")  # fmt: skip
        image = ax.imshow(values, cmap="Blues", vmin=0.0, vmax=1.0)
        ax.set_facecolor("0.92")  # of cells without a value
        ax.set_xticks(range(len(names)), names, rotation=35, ha="right", rotation_mode="anchor")
        ax.set_yticks(range(len(names)), names)
        ax.set_title(_TITLES[measure], fontsize=11)
        figure.colorbar(image, ax=ax, label="similarity above chance", shrink=0.85)
        self.ax_, self.figure_ = ax, figure
        return self


class WarpingDisplay:
    """Cost of every step of the warping path of two mean embeddings.

    Parameters
    ----------
    path : DataFrame
        With the column ``cost``.
    names : tuple of str
        Of the two tables.
    cost_threshold : float
        Steps that cost less are shaded.
    inverse_threshold : float
        Its inverse is a dotted line.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from skuae.analysis import WarpingDisplay, compare_tables
    >>> found = compare_tables(["megnet16", "random"], n_permutations=2)
    >>> WarpingDisplay.from_comparison(found).plot().ax_.get_ylabel()
    'cost |a - b|'
    """

    def __init__(self, path, names, cost_threshold, inverse_threshold):
        self.path = path
        self.names = names
        self.cost_threshold = cost_threshold
        self.inverse_threshold = inverse_threshold

    @classmethod
    def from_comparison(cls, comparison, pair=0):
        """Make a display of a result of `compare_tables`.

        Parameters
        ----------
        comparison : Bunch
        pair : int, default=0
            Row of ``comparison.pairs``.

        Returns
        -------
        WarpingDisplay
        """
        first, second, number = list(comparison.paths)[pair]
        return cls(
            comparison.paths[first, second, number],
            (first, second),
            comparison.cost_threshold,
            comparison.inverse_threshold,
        )

    def plot(self, ax=None):
        """Draw the costs along the path, on a logarithmic axis.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; a new figure by default.

        Returns
        -------
        WarpingDisplay
        """
        ax, figure = take_ax(ax, (7.0, 3.2))
        cost = np.maximum(self.path["cost"].to_numpy(), 1e-6)
        steps = np.arange(len(cost))
        ax.plot(steps, cost, color=color_of(0), linewidth=1.0, marker=".", markersize=3)
        ax.bar(
            steps[cost < self.cost_threshold], 1.0, width=1.0, color=color_of(1), alpha=0.35,
            transform=ax.get_xaxis_transform(), label=f"similar: cost < {self.cost_threshold:g}",
        )  # fmt: skip
        ax.axhline(
            1.0 / self.inverse_threshold, color="0.3", linestyle=":",
            label=f"inverse cost of {self.inverse_threshold:g}",
        )  # fmt: skip
        ax.set_yscale("log")
        ax.set_xlim(0, len(cost) - 1)
        ax.set_xlabel("step of the warping path")
        ax.set_ylabel("cost |a - b|")
        ax.set_title(" and ".join(self.names), fontsize=11)
        ax.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, frameon=False, fontsize=9
        )
        ax.spines[["top", "right"]].set_visible(False)
        self.ax_, self.figure_ = ax, figure
        return self
