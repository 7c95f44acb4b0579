"""Elements on a plane, each with its symbol."""

import numpy as np

from skuae.analysis._axes import take_ax
from skuae.analysis._style import UNSEEN, class_colors, marker_of
from skuae.analysis.tables._periodic_table import by_symbol, sorted_classes
from skuae.analysis.tables._spaces import map_elements

# Where a label may go, seen from its point: near places first, to the right and above first.
_ANGLES = np.deg2rad([45, 0, 90, 135, 180, 315, 225, 270, 22, 67, 112, 157, 202, 247, 292, 337])
_RINGS = 40


class ElementMapDisplay:
    """Elements on a plane with labels that do not cover each other.

    Make one with `from_clusters` or `from_table`.

    Parameters
    ----------
    coordinates : DataFrame of shape (n_elements, 2)
        Indexed by symbol; its columns name the axes.
    labels : Series or dict, optional
        Class by symbol or atomic number, which decides the colour; elements without one are grey.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it is drawn.
    figure_ : matplotlib Figure
    texts_ : dict of str to matplotlib Annotation
        The label of every element.

    Notes
    -----
    Labels are placed for the size that the figure has when it is drawn: every label takes the
    nearest free place around its point, the most crowded points first. Set the size before drawing.

    Examples
    --------
    >>> from skuae.analysis import ElementMapDisplay
    >>> display = ElementMapDisplay.from_table("magpie", method="pca").plot()
    >>> display.ax_.get_xlabel()
    'PC 1'
    """

    def __init__(self, coordinates, *, labels=None):
        self.coordinates = coordinates
        self.labels = labels

    @classmethod
    def from_clusters(cls, result):
        """Make a display of a result of `cluster_elements`.

        Parameters
        ----------
        result : Bunch
            From :func:`cluster_elements`.

        Returns
        -------
        ElementMapDisplay
        """
        return cls(result.coordinates, labels=result.labels)

    @classmethod
    def from_table(cls, table, *, method="umap", labels=None, random_state=0):
        """Compute a map of a table.

        Parameters
        ----------
        table : str, path, ElementTable or DataFrame
            As for :func:`map_elements`.
        method : {"umap", "tsne", "pca"}, default="umap"
            As for :func:`map_elements`.
        labels : Series, optional
            Class by symbol, as ``cluster_elements(...).labels``.
        random_state : int, RandomState instance or None, default=0
            As for :func:`map_elements`.

        Returns
        -------
        ElementMapDisplay
        """
        return cls(map_elements(table, method, random_state=random_state), labels=labels)

    def plot(self, ax=None):
        """Draw the map.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default on a new figure.

        Returns
        -------
        ElementMapDisplay
            Itself.

        Raises
        ------
        ValueError
            If labels name something that is no element, or an element twice.
        """
        ax, figure = take_ax(ax, (8, 6.5))
        self.ax_, self.figure_ = ax, figure
        points = self.coordinates.to_numpy(dtype=float)
        for i, (name, color, rows) in enumerate(self._groups()):
            ax.scatter(*points[rows].T, s=20, color=color, marker=marker_of(i), label=name)
        ax.set_xlabel(self.coordinates.columns[0])
        ax.set_ylabel(self.coordinates.columns[1])
        ax.margins(0.08)
        if str(self.coordinates.columns[0]).startswith(("UMAP", "t-SNE")):
            ax.set(xticks=[], yticks=[])  # these coordinates have no unit and no zero
        if self.labels is not None:
            title = getattr(self.labels, "name", None)
            ax.legend(title=title, loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0)
        self._write_symbols(points)
        return self

    def _groups(self):
        """Yield name, colour and rows of every class."""
        if self.labels is None:
            yield None, class_colors(1)[0], np.arange(len(self.coordinates))
            return
        labels = by_symbol(self.labels).reindex(self.coordinates.index)
        classes = sorted_classes(labels.dropna())
        for name, color in zip(classes, class_colors(len(classes)), strict=True):
            text = int(name) if isinstance(name, float) and name.is_integer() else name
            yield text, color, np.flatnonzero(labels == name)
        if labels.isna().any():
            yield "no class", UNSEEN, np.flatnonzero(labels.isna())

    def _write_symbols(self, points):
        ax = self.ax_
        self.figure_.draw_without_rendering()  # settles the size of the axes
        pixel = 72 / self.figure_.dpi
        centres = ax.transData.transform(points) * pixel
        self.texts_ = {}
        for symbol, point in zip(self.coordinates.index, points, strict=True):
            self.texts_[symbol] = ax.annotate(
                symbol,
                point,
                xytext=(0, 0),
                textcoords="offset points",
                ha="center",
                va="center",
                fontsize=8,
            )
        boxes = [text.get_window_extent() for text in self.texts_.values()]
        sizes = np.array([(box.width, box.height) for box in boxes]) * pixel
        sizes += (3, 0)  # side by side they would read as one word
        offsets = place_labels(centres, sizes)
        line = {"arrowstyle": "-", "color": "0.5", "lw": 0.5, "shrinkA": 4, "shrinkB": 2}
        for text, offset, size in zip(self.texts_.values(), offsets, sizes, strict=True):
            text.set_position(offset)
            if np.hypot(*offset) > 1.4 * size.max():  # not beside its point any more
                ax.annotate("", text.xy, offset, textcoords="offset points", arrowprops=line)


def place_labels(centres, sizes, radius=3.0):
    """Find a place for the label of every point, free of other labels and points.

    Parameters
    ----------
    centres : ndarray of shape (n, 2)
        Of the points.
    sizes : ndarray of shape (n, 2)
        Width and height of the labels, in the same unit.
    radius : float
        Of the dots that mark the points.

    Returns
    -------
    ndarray of shape (n, 2)
        From each point to the centre of its label. Where all 640 places around a point are taken,
        which needs hundreds of labels on a small figure, the last of them.
    """
    distances = np.linalg.norm(centres[:, None] - centres, axis=2)
    crowded = np.exp(-distances / sizes.max()).sum(axis=1)
    taken_centres = centres.copy()
    taken_sizes = np.full_like(centres, 2 * radius)
    offsets = np.zeros_like(centres)
    for i in np.argsort(-crowded, kind="stable"):
        for ring in range(_RINGS):
            # The corner or edge of the label that faces the point is one radius away from it.
            reach = sizes[i] / 2 + radius * (1 + 0.9 * ring)
            places = reach * np.column_stack([np.cos(_ANGLES), np.sin(_ANGLES)])
            gaps = np.abs(centres[i] + places[:, None] - taken_centres)
            free = (gaps >= (sizes[i] + taken_sizes) / 2).any(axis=2).all(axis=1)
            if free.any():
                break
        offsets[i] = places[free.argmax()] if free.any() else places[-1]
        taken_centres = np.vstack([taken_centres, centres[i] + offsets[i]])
        taken_sizes = np.vstack([taken_sizes, sizes[i]])
    return offsets
