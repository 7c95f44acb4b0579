"""Figure of the results of `invariance_report`."""

import numpy as np

from skuae.analysis._axes import name_rows, take_ax
from skuae.analysis._style import color_of

_FLOOR = 1e-6  # rounding in float32 is below; zero has no place on a logarithmic axis


class InvarianceDisplay:
    """Differences of a model between descriptions of one crystal, relative to other crystals.

    Parameters
    ----------
    ratios : dict from str to Series
        For each line of the legend, ratios indexed by the kind of change.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> import pandas as pd
    >>> from skuae.analysis import InvarianceDisplay
    >>> ratios = {"fitted: vectors": pd.Series({"rotation": 0.1, "order": 0.0})}
    >>> InvarianceDisplay(ratios).plot().ax_.get_xscale()
    'log'
    """

    def __init__(self, ratios):
        self.ratios = ratios

    @classmethod
    def from_report(cls, report):
        """Make a display of a result of `invariance_report`.

        Parameters
        ----------
        report : Bunch

        Returns
        -------
        InvarianceDisplay
        """
        ratios = {}
        if len(report.vectors):
            for model, rows in report.vectors["ratio"].groupby(level="model", sort=False):
                ratios[f"{model}: vectors"] = rows.droplevel("model")
        levels = ["model", "target"]
        several = report.predictions.index.get_level_values("target").nunique() > 1
        for (model, target), rows in report.predictions["ratio"].groupby(level=levels, sort=False):
            if not isinstance(target, str):
                target = f"prediction {target}" if several else "prediction"
            ratios[f"{model}: {target}"] = rows.droplevel(levels)
        # Both models of one output one below the other.
        outputs = list(dict.fromkeys(label.partition(": ")[2] for label in ratios))
        order = sorted(ratios, key=lambda label: outputs.index(label.partition(": ")[2]))
        return cls({label: ratios[label] for label in order})

    def plot(self, ax=None):
        """Draw one row per change, one marker per model and output, on a logarithmic axis.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; a new figure by default.

        Returns
        -------
        InvarianceDisplay
        """
        ax, figure = take_ax(ax, (8.5, 4.2))
        changes = list(next(iter(self.ratios.values())).index)
        outputs = list(dict.fromkeys(label.partition(": ")[2] for label in self.ratios))
        for place, (label, ratios) in enumerate(self.ratios.items()):
            color = color_of(outputs.index(label.partition(": ")[2]))
            y = [row - 0.3 + 0.6 * (place + 0.5) / len(self.ratios) for row in range(len(changes))]
            filled = label.startswith("fitted")
            ax.plot(np.maximum(ratios[changes], _FLOOR), y, "o" if filled else "s", color=color,
                    fillstyle="full" if filled else "none", label=label, clip_on=False)  # fmt: skip
        ax.axvline(1.0, color="0.4", linestyle="--", linewidth=0.8)
        name_rows(ax, changes)
        ax.set_xscale("log")
        ticks = [_FLOOR, 1e-4, 1e-2, 1.0]
        ax.set_xticks(ticks, ["≤ $10^{-6}$", "$10^{-4}$", "$10^{-2}$", "1"])
        ax.set_xlim(_FLOOR, max(1.3, *(1.3 * ratios.max() for ratios in self.ratios.values())))
        ax.grid(axis="x", color="0.9")
        ax.set_axisbelow(True)
        ax.set_xlabel("difference, relative to that between different crystals")
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
        ax.spines[["top", "right"]].set_visible(False)
        self.ax_, self.figure_ = ax, figure
        return self
