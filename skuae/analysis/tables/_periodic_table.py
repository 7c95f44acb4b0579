"""The periodic table, coloured by a class or a number per element."""

import numpy as np
import pandas as pd
from pymatgen.core import Element

from skuae._elements import N_ELEMENTS, SYMBOLS, atomic_number
from skuae.analysis._axes import take_ax
from skuae.analysis._style import UNSEEN, class_colors, text_color

_LANTHANIDES, _ACTINIDES = range(57, 72), range(89, 104)


class PeriodicTableDisplay:
    """A periodic table whose 118 cells are coloured by class or by value.

    Make one with `from_labels` or `from_values`. Elements without a value are grey.

    Parameters
    ----------
    values : Series
        Class or number by symbol.
    kind : {"labels", "values"}
        How to colour: one colour a class, or a colour bar.
    label : str, optional
        What the values are, with their unit.

    Attributes
    ----------
    values : Series
        What is drawn, without missing values.
    ax_ : matplotlib Axes
        Where it is drawn.
    figure_ : matplotlib Figure
    cells_ : dict of str to matplotlib Rectangle
        The cell of every element by symbol.

    Examples
    --------
    >>> from skuae.analysis import PeriodicTableDisplay
    >>> display = PeriodicTableDisplay.from_values({"Na": 0.93, "Cl": 3.16}, label="Pauling")
    >>> len(display.plot().cells_)
    118
    """

    def __init__(self, values, *, kind="values", label=None):
        self.values = values
        self.kind = kind
        self.label = label

    @classmethod
    def from_values(cls, values, *, label=None):
        """Colour elements by a number, with a colour bar.

        Parameters
        ----------
        values : Series or dict
            Number by symbol or atomic number; NaN counts as not given.
        label : str, optional
            What the numbers are, with their unit. By default the name of the series.

        Returns
        -------
        PeriodicTableDisplay

        Raises
        ------
        ValueError
            If an element is unknown or given twice, no value is left, or one is no finite number.
        """
        series = _some_by_symbol(values)
        try:
            if np.iscomplexobj(series):
                raise TypeError("got complex ones")
            numbers = series.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"values are numbers ({error}); classes go to from_labels") from error
        if np.isinf(numbers).any():
            raise ValueError(f"the value of {numbers.index[np.isinf(numbers)][0]} is infinite")
        return cls(numbers, kind="values", label=label or series.name)

    @classmethod
    def from_labels(cls, labels, *, label=None):
        """Colour elements by their class, with a legend, and short names in the cells.

        Parameters
        ----------
        labels : Series or dict
            Class by symbol or atomic number, as ``cluster_elements(...).labels``; a missing value
            counts as not given.
        label : str, optional
            Title of the legend. By default the name of the series.

        Returns
        -------
        PeriodicTableDisplay

        Raises
        ------
        ValueError
            If an element is unknown or given twice, or no class is left.
        """
        series = _some_by_symbol(labels)
        return cls(series, kind="labels", label=label or series.name)

    def plot(self, ax=None, *, cmap="viridis", vmin=None, vmax=None):
        """Draw the table.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default on a new figure. About 16 cm of width keep it readable.
        cmap : str or matplotlib Colormap, default="viridis"
            Colours of values. For values around zero ``"RdBu_r"`` with ``vmin=-vmax``.
        vmin, vmax : float, optional
            Ends of the colour bar; by default the smallest and largest value.

        Returns
        -------
        PeriodicTableDisplay
            Itself.
        """
        import matplotlib.pyplot as plt

        ax, figure = take_ax(ax, (10, 5.6))
        self.ax_, self.figure_ = ax, figure
        ax.set(xlim=(0.45, 18.55), ylim=(10.0, 0.45), aspect="equal")
        ax.axis("off")
        self.figure_.draw_without_rendering()  # settles how large a cell is
        (left, _), (right, _) = ax.transData.transform([(0, 0), (1, 0)])
        self._points = (right - left) * 72 / self.figure_.dpi  # width of a cell
        if self.kind == "labels":
            colors = self._label_colors(plt)
        else:
            colors = self._value_colors(plt, cmap, vmin, vmax)
        names = self.values.astype(str) if self.kind == "labels" else pd.Series(dtype=str)
        if names.str.len().max() > 5:  # would run into the next cell; the legend has them
            names = names[:0]
        self.cells_ = {}
        for z, symbol in enumerate(SYMBOLS, start=1):
            self._draw_cell(plt, z, symbol, colors.get(symbol, UNSEEN), names.get(symbol, ""))
        for row, numbers in ((6, _LANTHANIDES), (7, _ACTINIDES)):
            text = f"{numbers[0]}-{numbers[-1]}"
            ax.text(3, row, text, ha="center", va="center", fontsize=0.26 * self._points)
        return self

    def _draw_cell(self, plt, z, symbol, color, text):
        x, y = _place(z)
        cell = plt.Rectangle((x - 0.47, y - 0.47), 0.94, 0.94, facecolor=color)
        self.cells_[symbol] = self.ax_.add_patch(cell)
        style = {"color": text_color(color), "ha": "center", "va": "center", "clip_on": True}
        self.ax_.text(x, y - 0.01, symbol, fontsize=0.38 * self._points, **style)
        self.ax_.text(x, y - 0.32, str(z), fontsize=0.18 * self._points, **style)
        self.ax_.text(x, y + 0.33, text, fontsize=0.2 * self._points, **style)

    def _label_colors(self, plt):
        classes = sorted_classes(self.values)
        palette = dict(zip(classes, class_colors(len(classes)), strict=True))
        entries = {str(c): color for c, color in palette.items()}
        if len(self.values) < N_ELEMENTS:
            entries["no class"] = UNSEEN
        self._legend(plt, entries)
        return {symbol: palette[c] for symbol, c in self.values.items()}

    def _value_colors(self, plt, cmap, vmin, vmax):
        low = self.values.min() if vmin is None else vmin
        high = self.values.max() if vmax is None else vmax
        scale = plt.cm.ScalarMappable(plt.Normalize(low, high), cmap)
        # The room above the transition metals is free.
        bar = self.ax_.inset_axes((3.6, 1.2, 8.2, 0.35), transform=self.ax_.transData)
        colorbar = self.figure_.colorbar(scale, cax=bar, orientation="horizontal")
        colorbar.ax.tick_params(labelsize=0.24 * self._points)
        colorbar.set_label(self.label or "", fontsize=0.28 * self._points)
        if len(self.values) < N_ELEMENTS:
            self.ax_.add_patch(plt.Rectangle((3.6, 3.0), 0.35, 0.35, facecolor=UNSEEN))
            self.ax_.text(4.1, 3.175, "no value", va="center", fontsize=0.24 * self._points)
        return {symbol: scale.to_rgba(value) for symbol, value in self.values.items()}

    def _legend(self, plt, entries):
        handles = [
            plt.Rectangle((0, 0), 1, 1, facecolor=c, label=name) for name, c in entries.items()
        ]
        self.ax_.legend(
            handles=handles,
            title=self.label,
            loc="center",
            bbox_to_anchor=(7.5, 2.0),
            bbox_transform=self.ax_.transData,
            ncols=min(len(handles), 6),
            fontsize=0.26 * self._points,
            title_fontsize=0.28 * self._points,
            frameon=False,
            handlelength=1.0,
            columnspacing=1.0,
        )


def _place(z):
    """Return column and row of an element; the f-block lies below, a little apart."""
    if z in _LANTHANIDES:
        return 3 + z - 57, 8.4
    if z in _ACTINIDES:
        return 3 + z - 89, 9.4
    element = Element.from_Z(z)
    return element.group, element.row


def _some_by_symbol(values):
    series = by_symbol(values)
    if series.empty:
        raise ValueError("there is no value to show: all are missing")
    return series


def by_symbol(values):
    """Return a Series by symbol of values by symbol or atomic number, without missing ones."""
    series = pd.Series(values).dropna()
    numbers = [atomic_number(element) for element in series.index]
    series.index = pd.Index([SYMBOLS[z - 1] for z in numbers], name="element", dtype=object)
    if series.index.has_duplicates:
        twice = series.index[series.index.duplicated()][0]
        raise ValueError(f"{twice} has several values; give one per element")
    return series


def sorted_classes(labels):
    """Return the classes in a Series, numbers before names."""
    return sorted(labels.unique(), key=lambda c: (isinstance(c, str), c))
