"""Checks of numbers from users."""

from numbers import Real
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skuae._cells import number_in, why_no_number


def as_floats(values: ArrayLike) -> NDArray[np.float64]:
    """Return values as a float64 array.

    Parameters
    ----------
    values : array-like
        Numbers, or texts that hold one each.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError
        If something is no number, or complex, or a date, or masked: numpy would keep the real part,
        count nanoseconds, or take what is under the mask. Texts are read as in files: Python would
        take ``4_1`` for 41. The row is named.
    """
    array = np.asarray(values)
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        row = f"row {np.argwhere(np.ma.getmaskarray(values))[0][0]}: " if array.ndim else ""
        raise ValueError(f"{row}the value is masked; fill it in, or leave the row out")
    if array.dtype.kind == "c":
        raise ValueError("got complex numbers")
    if array.dtype.kind in "mM":
        raise TypeError(
            f"got {array.dtype}: make numbers of dates and times, in a unit of your choice"
        )
    if array.dtype.kind in "OSTU":
        array = _without_texts(array)
    try:
        return array.astype(np.float64, copy=False)
    except OverflowError as error:
        raise ValueError(f"a number is too large for float64: {error}") from error


def _without_texts(array: NDArray[Any]) -> NDArray[Any]:
    numbers = array.astype(object)
    for position, value in np.ndenumerate(numbers):
        if isinstance(value, bytes):
            value = value.decode(errors="replace")
        if isinstance(value, str):
            numbers[position] = number = number_in(value)
            if number is None:
                row = f"row {position[0]}: " if position else ""
                raise ValueError(f"{row}{no_number(value)}")
    return numbers


def no_number(value: object) -> str:
    """Return the sentence that says why a value is no number, and what to write instead."""
    why = why_no_number(value) if isinstance(value, str) else None
    return f"{value!r} is no number" + (f": it {why}" if why else "")


def is_real(value: object) -> TypeGuard[float]:
    """Return whether a value is a real number, of Python or of numpy."""
    return isinstance(value, Real)
