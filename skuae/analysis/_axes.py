"""Axes that displays draw on, and labels that they share."""

import numpy as np


def take_ax(ax, size):
    """Return the axes that a display with one panel draws on, and their figure.

    Parameters
    ----------
    ax : matplotlib Axes or None
        The axes of the caller; None makes a new figure.
    size : tuple of float
        Width and height of the new figure in inches.

    Returns
    -------
    ax : matplotlib Axes
    figure : matplotlib Figure

    Raises
    ------
    ValueError
        If `ax` holds several axes.
    """
    (only,), figure = take_panels(ax, 1, size)
    return only, figure


def take_panels(ax, n_panels, size):
    """Return the axes that a display with several panels draws on, and their figure.

    Parameters
    ----------
    ax : array-like of matplotlib Axes or None
        The axes of the caller; None makes a new figure with the panels in one row.
    n_panels : int
    size : tuple of float
        Width and height of the new figure in inches.

    Returns
    -------
    axes : ndarray of matplotlib Axes of shape (n_panels,)
    figure : matplotlib Figure

    Raises
    ------
    ValueError
        If `ax` holds another number of axes.
    """
    if ax is None:
        import matplotlib.pyplot as plt  # here, since it slows down `import skuae`

        _, ax = plt.subplots(1, n_panels, figsize=size, layout="constrained")
    axes = np.atleast_1d(ax).ravel()
    if len(axes) != n_panels:
        raise ValueError(f"ax holds {len(axes)} axes; this needs {n_panels}")
    return axes, axes[0].figure


def with_unit(label, unit):
    """Return the label of an axis with its unit in brackets, if there is one."""
    return f"{label} ({unit})" if unit else label


def name_rows(ax, names):
    """Write the names of rows 0, 1, ... beside the axes, the first on top."""
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
