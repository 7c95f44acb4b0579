"""Warnings that name the line of the user's code, not a line of skuae."""

import multiprocessing
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import joblib
import sklearn


def _folder(file: str) -> str:
    return str(Path(file).parent) + os.sep


_HERE = _folder(__file__)
# Code between the user and skuae: a search of scikit-learn calls `fit` for the user, maybe in
# another process or thread.
_INSIDE = (
    _HERE,
    _folder(joblib.__file__),
    _folder(sklearn.__file__),
    _folder(multiprocessing.__file__),
    threading.__file__,
    "<frozen ",
)

ONE_AT_A_TIME = threading.Lock()  # Python catches warnings for all threads at once


@contextmanager
def ignored(category: type[Warning]) -> Iterator[None]:
    """Ignore the warnings of one category inside the ``with`` block.

    Parameters
    ----------
    category : type of Warning
    """
    with ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore", category)
        yield


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn, and name the nearest line of code outside of skuae and scikit-learn.

    A worker process has no line of the user. There, the line that called skuae is named.

    Parameters
    ----------
    message : str
    category : type of Warning, default=UserWarning
    """
    level = _first_outside(_INSIDE)
    if level is None:
        level = _first_outside((_HERE,)) or 1
    warnings.warn(message, category, stacklevel=level)


def _first_outside(inside: tuple[str, ...]) -> int | None:
    """Return the level, for `warnings.warn` in `warn`, of the first frame in none of the files."""
    frame, level = sys._getframe(2), 2
    while frame.f_code.co_filename.startswith(inside):
        if frame.f_back is None:
            return None
        frame, level = frame.f_back, level + 1
    return level
