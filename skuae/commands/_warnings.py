"""Warnings that commands leave out, since they say the same in other words."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def left_out(beginning: str) -> Iterator[None]:
    """Leave out the warnings that begin with a text.

    Parameters
    ----------
    beginning : str
        A regular expression.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", beginning)
        yield
