"""Values of options that commands share."""

import json
from collections.abc import Iterable
from typing import Any

# Of an option with several values; given twice, it adds to the first.
SEVERAL: dict[str, Any] = {"nargs": "+", "action": "extend"}


def parse_settings(settings: Iterable[str]) -> dict[str, Any]:
    """Return the values of ``--set`` by name.

    Parameters
    ----------
    settings : iterable of str
        ``NAME=VALUE`` each. Values are JSON; what is not JSON is a word.

    Returns
    -------
    dict
        The last value of every name.

    Raises
    ------
    ValueError
        If a setting has no equals sign.

    Examples
    --------
    >>> from skuae.commands import parse_settings
    >>> parse_settings(["max_epochs=8", "readout=first"])
    {'max_epochs': 8, 'readout': 'first'}
    """
    values: dict[str, Any] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"--set {setting}: write NAME=VALUE")
        try:
            values[name] = json.loads(value)
        except ValueError:
            values[name] = value
    return values
