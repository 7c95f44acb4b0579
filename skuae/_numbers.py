"""Numbers as users give them."""

from numbers import Real
from typing import TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray


def as_floats(values: ArrayLike) -> NDArray[np.float64]:
    """Return values as a float64 array.

    Parameters
    ----------
    values : array-like

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError
        If something is no number, or complex: numpy would keep the real part.
    """
    array = np.asarray(values)
    if array.dtype.kind == "c":
        raise ValueError("got complex numbers")
    return array.astype(np.float64, copy=False)


def is_real(value: object) -> TypeGuard[float]:
    """Return whether a value is a real number, of Python or of numpy."""
    return isinstance(value, Real)
