"""Random controls: tables with the same statistics, but no information on elements."""

import numpy as np
from sklearn.utils import check_random_state

CONTROLS = ("random", "permuted", "gaussian")


def make_control(rows, kind, random_state=None):
    """Draw a table of the same shape that has no classes of elements.

    Parameters
    ----------
    rows : ndarray of shape (n_elements, n_dims)
    kind : {"random", "permuted", "gaussian"}
        ``"random"``: independent normal numbers with the mean and standard deviation of the whole
        table. ``"permuted"``: every column of the table shuffled among the elements.
        ``"gaussian"``: normal rows with the mean and covariance of the given rows, but without
        groups.
    random_state : int, RandomState instance or None, default=None
        Pass an int for the same table on every call.

    Returns
    -------
    ndarray of shape (n_elements, n_dims), float64
    """
    rng = check_random_state(random_state)
    rows = np.asarray(rows, dtype=np.float64)
    if kind == "random":
        return rng.normal(rows.mean(), rows.std(), rows.shape)
    if kind == "permuted":
        order = rng.random_sample(rows.shape).argsort(axis=0)
        return np.take_along_axis(rows, order, axis=0)
    centred = rows - rows.mean(axis=0)
    # A normal mix of the rows has their covariance, whatever its rank.
    mix = rng.normal(size=(len(rows), len(rows))) / np.sqrt(len(rows))
    return rows.mean(axis=0) + mix @ centred
