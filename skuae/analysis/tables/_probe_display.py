"""Figures of the results of `probe_elements`."""

import numpy as np

from skuae.analysis._axes import name_rows, take_ax
from skuae.analysis._style import color_of


class ProbeDisplay:
    """Scores of probes by property and table, or the dimensions that they use.

    Parameters
    ----------
    scores : DataFrame
        With the columns ``property``, ``table`` and ``r2``.
    importances : DataFrame of shape (n_dims, n_properties)

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> import pandas as pd
    >>> from skuae.analysis import ProbeDisplay
    >>> scores = pd.DataFrame({"property": ["radius"] * 2, "table": "mine", "r2": [0.5, 0.7]})
    >>> ProbeDisplay(scores, importances=None).plot().ax_.get_xlabel()
    'R² on held-out elements'
    """

    def __init__(self, scores, importances):
        self.scores = scores
        self.importances = importances

    @classmethod
    def from_probe(cls, probe):
        """Make a display of a result of `probe_elements`.

        Parameters
        ----------
        probe : Bunch

        Returns
        -------
        ProbeDisplay
        """
        return cls(probe.scores, probe.importances)

    def plot(self, ax=None, *, kind="scores", n_labels=2):
        """Draw scores or importances.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; a new figure by default.
        kind : {"scores", "importances"}, default="scores"
            ``"scores"``: R² of every split as a dot, the mean as a bar, one row per property.
            ``"importances"``: share of every dimension in the SHAP importance, as a heat map.
        n_labels : int, default=2
            Name so many dimensions of each property, the most important ones, beside the heat
            map.

        Returns
        -------
        ProbeDisplay
        """
        if kind not in ("scores", "importances"):
            raise ValueError(f'kind must be "scores" or "importances"; got {kind!r}')
        if kind == "scores":
            size = (7.0, 1.4 + 0.75 * self.scores["property"].nunique())
        else:
            size = (9.0, 1.5 + 0.5 * self.importances.shape[1])
        ax, figure = take_ax(ax, size)
        if kind == "scores":
            self._plot_scores(ax)
        else:
            self._plot_importances(ax, n_labels)
        self.ax_, self.figure_ = ax, figure
        return self

    def _plot_scores(self, ax):
        properties = list(dict.fromkeys(self.scores["property"]))
        tables = list(dict.fromkeys(self.scores["table"]))
        step = 0.8 / len(tables)
        floor = -1.0  # a probe that is worse than this is as good as none
        for place, table in enumerate(tables):
            color = color_of(place)
            for row, prop in enumerate(properties):
                chosen = (self.scores["property"] == prop) & (self.scores["table"] == table)
                r2 = self.scores.loc[chosen, "r2"].to_numpy()
                y = row - 0.4 + (place + 0.5) * step
                shown = np.clip(r2, floor, None)
                ax.scatter(shown, np.full(len(r2), y), s=9, color=color, alpha=0.4, linewidth=0)
                mean = max(r2.mean(), floor)
                label = table if row == 0 else None
                ax.plot([mean, mean], [y - 0.45 * step, y + 0.45 * step], color=color,
                        linewidth=3, label=label, solid_capstyle="butt")  # fmt: skip
        ax.axvline(0.0, color="0.4", linewidth=0.8, linestyle="--")
        name_rows(ax, [name.replace("_", " ") for name in properties])
        ax.set_xlim(floor - 0.05, 1.02)
        ax.set_xlabel("R² on held-out elements")
        if (self.scores["r2"] < floor).any():
            ticks = np.arange(floor, 1.01, 0.5)
            ax.set_xticks(ticks, [f"≤ {floor:.0f}", *(f"{tick:g}" for tick in ticks[1:])])
        ax.legend(title="bars: means", loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
        ax.spines[["top", "right"]].set_visible(False)

    def _plot_importances(self, ax, n_labels):
        shares = (self.importances / self.importances.sum()).T
        values = 100.0 * shares.to_numpy()
        image = ax.imshow(values, aspect="auto", cmap="Blues", vmin=0.0, interpolation="nearest")
        ax.set_yticks(range(len(values)), [name.replace("_", " ") for name in shares.index])
        ax.set_xlabel("dimension of the table")
        # Beside the map: in it they would cover cells, and each other where those are neighbours.
        top = [shares.columns[np.argsort(-row, kind="stable")[:n_labels]] for row in values]
        right = ax.secondary_yaxis("right")
        right.set_yticks(range(len(values)), [", ".join(names) for names in top])
        right.tick_params(length=0)
        right.set_ylabel("most important")
        ax.figure.colorbar(image, ax=ax, label="share of importance (%)")
