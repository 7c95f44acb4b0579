"""Fitted models inside of transformers."""

import copy
from numbers import Integral
from typing import Any, Self

from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted


class KeepsModel(BaseEstimator):
    """A transformer whose parameter ``model`` is a fitted estimator, which its clones keep."""

    model: Any

    def __sklearn_clone__(self) -> Self:
        # scikit-learn clones parameters too, and a clone of a fitted model is not fitted.
        bare = copy.copy(self)
        bare.model = None
        return BaseEstimator.__sklearn_clone__(bare).set_params(model=self.model)


def kept(model: Any) -> Any:
    """Return a copy of a fitted estimator, which no later fit of it changes.

    Parameters
    ----------
    model : estimator

    Returns
    -------
    estimator

    Raises
    ------
    NotFittedError
        If it is not fitted.
    """
    try:
        check_is_fitted(model)
    except NotFittedError as error:
        raise NotFittedError(
            f"model is a {type(model).__name__} that is not fitted; fit it first. A search clones "
            "its candidates: put fitted models into sklearn.frozen.FrozenEstimator, or pass the "
            "folders of saved ones"
        ) from error
    return copy.copy(model)


def check_count(name: str, value: Any) -> None:
    """Raise ValueError unless a parameter is an integer of at least 1.

    Parameters
    ----------
    name : str
    value : object
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be an integer, at least 1; got {value!r}")
