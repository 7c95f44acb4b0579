"""Parameters as Python's own numbers, which files and torch take."""

from numbers import Integral
from typing import Any

import numpy as np

from skuae._numbers import is_real


def plain_params(params: dict[str, Any], owner: str) -> dict[str, Any]:
    """Return parameters with numbers of numpy as those of Python.

    Parameters
    ----------
    params : dict
    owner : str
        Whose parameters they are, for the message.

    Returns
    -------
    dict

    Raises
    ------
    TypeError
        If one is no number, text, bool or None.
    """
    return {name: _plain(value, f"{owner}: {name}") for name, value in params.items()}


def _plain(value: Any, where: str) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Integral):
        return int(value)
    if is_real(value):
        return float(value)
    raise TypeError(
        f"{where} is {value!r:.80}, which cannot be saved; set it to a number, a text, True, False "
        "or None"
    )
