"""Warnings that point at the user's line, however deep in skuae they arise."""

import sys
import warnings
from pathlib import Path

import joblib
import sklearn

# Code between the user and skuae: a search of scikit-learn calls `fit` for the user.
_INSIDE = tuple(str(Path(file).parent) for file in (__file__, joblib.__file__, sklearn.__file__))


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn, and name the nearest line of code outside of skuae and scikit-learn.

    Parameters
    ----------
    message : str
    category : type of Warning, default=UserWarning
    """
    frame = sys._getframe(1)
    level = 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_INSIDE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
