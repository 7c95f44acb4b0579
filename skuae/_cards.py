"""Checks of entries in saved files, which may be of another version."""

from collections.abc import Container
from typing import Any

import numpy as np
from numpy.typing import DTypeLike


def take(card: Any, key: str, *kinds: type | None, among: Container[Any] | None = None) -> Any:
    """Return an entry of a card.

    Parameters
    ----------
    card : dict
        As JSON has it.
    key : str
    *kinds : type or None
        What the entry may be. A bool is no int.
    among : container, optional
        The values that it may have.

    Returns
    -------
    object

    Raises
    ------
    ValueError
        If the entry is missing, or is none of these.
    """
    if not isinstance(card, dict) or key not in card:
        raise ValueError(f"{key!r} is missing")
    value = card[key]
    allowed = tuple(type(None) if kind is None else kind for kind in kinds)
    if type(value) not in allowed or (among is not None and value not in among):
        names = " or ".join("null" if kind is None else kind.__name__ for kind in kinds)
        raise ValueError(f"{key!r} is {value!r:.80}, expected {names if among is None else among}")
    return value


def take_texts(card: Any, key: str) -> list[str]:
    """Return an entry that is a list of texts.

    Parameters
    ----------
    card : dict
    key : str

    Returns
    -------
    list of str

    Raises
    ------
    ValueError
        If the entry is missing, or something else.
    """
    texts: list[str] = take(card, key, list)
    if not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{key!r} is {texts!r:.80}, expected a list of texts")
    return texts


def take_array(
    arrays: dict[str, np.ndarray], name: str, dtype: DTypeLike, shape: tuple[int | None, ...]
) -> np.ndarray:
    """Return an array of a file, and remove it from those that are left.

    Parameters
    ----------
    arrays : dict of str to ndarray
        Changed in place.
    name : str
    dtype : dtype
    shape : tuple of int or None
        None for any length.

    Returns
    -------
    ndarray
        Finite.

    Raises
    ------
    ValueError
        If the array is missing, is another one, or holds numbers that are not finite.
    """
    if name not in arrays:
        raise ValueError(f"the array {name!r} is missing")
    array = arrays.pop(name)
    fits = len(array.shape) == len(shape) and all(
        wanted in (None, found) for wanted, found in zip(shape, array.shape, strict=True)
    )
    if not fits or array.dtype != dtype:
        expected = str(shape).replace("None", "any")
        raise ValueError(
            f"the array {name!r} is {array.dtype} of shape {array.shape}, expected "
            f"{np.dtype(dtype)} of shape {expected}"
        )
    if not np.isfinite(array).all():
        raise ValueError(f"the array {name!r} holds numbers that are not finite")
    return array


def check_all_taken(arrays: dict[str, np.ndarray]) -> None:
    """Raise ValueError if arrays are left that nobody has taken.

    Parameters
    ----------
    arrays : dict of str to ndarray
    """
    if arrays:
        raise ValueError(f"the array {sorted(arrays)[0]!r} belongs to nothing")
