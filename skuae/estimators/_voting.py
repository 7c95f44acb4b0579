"""Ensembles: the mean of several models, and their spread as uncertainty."""

from typing import Any, Literal, Self, overload

import numpy as np
from sklearn.ensemble import VotingRegressor
from sklearn.utils.validation import check_is_fitted

from skuae._doc_links import DocLinks
from skuae.estimators._members import has_std, read_labelled, read_once


class CrystalVotingRegressor(DocLinks, VotingRegressor):
    """Mean of the predictions of several models, and their spread.

    scikit-learn's `VotingRegressor`, except that structures are read once for all members and
    `predict` returns standard deviations. Members may be networks with different seeds, back-ends
    or tables, and pipelines that end with any other regressor.

    Parameters
    ----------
    estimators : list of (str, estimator)
        Regressors or pipelines, with names. Clones of them are fitted.
    weights : array-like of shape (n_estimators,), optional
        Weights of the members in the mean; equal by default.
    n_jobs : int, optional
        How many members are fitted at a time, each in a process of its own; one by default.
    verbose : bool, default=False
        Print a line after each fit.

    Attributes
    ----------
    estimators_ : list of estimators
        Fitted.
    named_estimators_ : Bunch
        The same by their names.

    Notes
    -----
    The gain of an ensemble over its best member depends on the difference between members [1]_.
    Errors of networks that differ only by their seeds are more similar than those of networks of
    different kinds.

    References
    ----------
    .. [1] Lakshminarayanan, Pritzel and Blundell, NeurIPS 2017: Simple and scalable predictive
       uncertainty estimation using deep ensembles.

    Examples
    --------
    >>> from skuae import CrystalGNNRegressor, CrystalVotingRegressor
    >>> from skuae.datasets import make_toy_crystals
    >>> toy = make_toy_crystals(n_samples=16, random_state=0)
    >>> seeds = [(str(i), CrystalGNNRegressor(max_epochs=2, random_state=i)) for i in range(3)]
    >>> ensemble = CrystalVotingRegressor(seeds).fit(toy.structures, toy.target)
    >>> mean, std = ensemble.predict(toy.structures, return_std=True)
    >>> std.shape
    (16,)
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit clones of the members.

        Parameters
        ----------
        X : array-like of structures
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,), optional
            A pipeline among the members takes none.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If a member cannot be fitted, or y and the weights name the rows of X in another order.
        """
        X, _ = read_labelled(X, y, sample_weight)
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        return super().fit(X, y, **weights)

    @overload
    def predict(self, X: Any, return_std: Literal[False] = False) -> np.ndarray: ...

    @overload
    def predict(self, X: Any, return_std: bool) -> Any: ...

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Return the mean over the members and, on request, its standard deviation.

        Parameters
        ----------
        X : array-like of structures
        return_std : bool, default=False

        Returns
        -------
        mean : ndarray of shape (n_samples,)
        std : ndarray of shape (n_samples,), if `return_std`
            The root of the sum of two variances: that between the members, and the mean of those
            that members predict. Such members are networks with ``loss="gaussian_nll"`` and other
            regressors whose `predict` takes `return_std`, also at the end of a pipeline, but not
            inside a search or a `TransformedTargetRegressor`.

        Raises
        ------
        ValueError
            If `return_std` is True and there is only one member, or a weight is negative.
        """
        check_is_fitted(self)
        if not return_std:
            return super().predict(read_once(X))
        return self._mean_and_std(read_once(X))

    def transform(self, X: Any) -> np.ndarray:
        """Return the predictions of each member.

        Parameters
        ----------
        X : array-like of structures

        Returns
        -------
        ndarray of shape (n_samples, n_estimators)
        """
        return super().transform(read_once(X))

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the columns that `transform` gives.

        Parameters
        ----------
        input_features : object
            Not used; present for scikit-learn.

        Returns
        -------
        ndarray of str
        """
        check_is_fitted(self)
        names = [name for name, member in self.estimators if not isinstance(member, str)]
        return np.array([f"crystalvotingregressor_{name}" for name in names], dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        return tags

    @property
    def _member_weights(self) -> np.ndarray:
        given = self._weights_not_none
        return np.ones(len(self.estimators_)) if given is None else np.asarray(given, float)

    @property
    def _has_std(self) -> bool:
        """Whether `predict` takes ``return_std=True``."""
        weights = self._member_weights
        return bool((weights >= 0).all() and (weights > 0).sum() >= 2)

    def _mean_and_std(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        weights = self._member_weights
        if not self._has_std:
            raise ValueError(
                "return_std=True needs at least two members with a weight, and none below 0; got "
                f"weights={self.weights!r} for {len(weights)} members"
            )
        weights = weights / weights.sum()
        means, variances, counted = [], 0.0, 0.0
        for member, weight in zip(self.estimators_, weights, strict=True):
            if has_std(member):
                mean, std = member.predict(X, return_std=True)
                variances, counted = variances + weight * std**2, counted + weight
            else:
                mean = member.predict(X)
            means.append(mean)
        members = np.stack(means, axis=1)
        mean = members @ weights
        # Members are nearer to their own mean than to that of many: the divisor is less than 1.
        spread = (members - mean[:, None]) ** 2 @ weights / (1 - (weights**2).sum())
        return mean, np.sqrt(spread + variances / (counted or 1.0))
