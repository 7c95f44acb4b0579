"""The weights of models in a blend."""

from typing import Any, Self

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import eye_array, hstack
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from skuae._doc_links import DocLinks


class AbsoluteErrorBlend(DocLinks, RegressorMixin, BaseEstimator):
    """Sum of columns with the weights, not negative, of the smallest mean absolute error.

    It blends the predictions of several models. Weights of least squares follow the few rows with
    the largest errors: where most targets are 0 and some are large, the mean absolute error of
    their blend may be larger than that of a single model.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
        The weights.
    n_features_in_ : int

    Examples
    --------
    >>> import numpy as np
    >>> from skuae.pipelines import AbsoluteErrorBlend
    >>> X = np.array([[1.0, 0.0], [2.0, 1.0], [3.0, 5.0], [4.0, 2.0]])
    >>> AbsoluteErrorBlend().fit(X, [2.0, 4.0, 6.0, 8.0]).coef_
    array([2., 0.])
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Find the weights.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            One column for each model: its predictions.
        y : array-like of shape (n_samples,)

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If a number is not finite, or no weights can be found.
        """
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        n, k = X.shape
        # In units near 1, whatever those of the models are. Zeros and outliers of y do not count.
        scale = np.median(np.abs(y[y != 0])) if y.any() else 1.0
        sizes = np.abs(X).max(axis=0)
        sizes[sizes == 0] = 1.0
        # A linear program: y = X w + above - below, nothing negative, above + below smallest.
        unit = eye_array(n, format="csc")
        costs = np.concatenate([np.zeros(k), np.full(2 * n, 1.0 / n)])
        columns = hstack([X / sizes, unit, -unit], format="csc")
        found = linprog(costs, A_eq=columns, b_eq=y / scale, bounds=(0, None), method="highs")
        if not found.success:
            raise ValueError(f"no weights of the models can be found: {found.message}")
        self.coef_ = np.maximum(found.x[:k], 0.0) * scale / sizes
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the sums.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        check_is_fitted(self)
        return validate_data(self, X, dtype=np.float64, reset=False) @ self.coef_
