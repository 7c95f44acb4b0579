"""Gaussian processes on activations of a frozen network."""

import warnings
from numbers import Integral
from typing import Any, Literal, Self, TypeVar, overload

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import VarianceThreshold
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import (
    ConstantKernel,
    DotProduct,
    Kernel,
    Matern,
    WhiteKernel,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils import check_array, check_random_state, gen_batches
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from skuae._doc_links import DocLinks

Process = TypeVar("Process", GaussianProcessRegressor, GaussianProcessClassifier)

_ROUNDING = 1e-12  # variance of a float32 that is constant but for its last digits
_BLOCK = 1000  # rows predicted at a time: each has a covariance with every training row


class _ActivationGP(DocLinks, BaseEstimator):
    """What both share: parameters, scaling and draws of rows.

    Activations are clipped to their range in the training rows: a unit that was silent in training
    may be loud for a crystal of another kind, and take predictions anywhere.
    """

    def __init__(self, kernel=None, *, max_rows=3000, max_tuned=500, random_state=None):
        self.kernel = kernel
        self.max_rows = max_rows
        self.max_tuned = max_tuned
        self.random_state = random_state

    def _scale(self, X: np.ndarray) -> tuple[Pipeline, np.ndarray, Kernel]:
        """Return the fitted scaler, scaled features, and the kernel to start from."""
        for name in ("max_rows", "max_tuned"):
            value = getattr(self, name)
            if not isinstance(value, Integral) or isinstance(value, bool) or value < 2:
                raise ValueError(f"{name} must be an integer, at least 2; got {value!r}")
        if not (self.kernel is None or isinstance(self.kernel, Kernel)):
            raise TypeError(
                f"kernel must be one of sklearn.gaussian_process.kernels; got {self.kernel!r}"
            )
        if (X.var(axis=0) <= _ROUNDING).all():
            raise ValueError(
                f"all features are constant (n_samples={len(X)}), so that nothing can be learned "
                "from them; give other crystals"
            )
        steps = VarianceThreshold(_ROUNDING), MinMaxScaler(clip=True), StandardScaler()
        scaler = make_pipeline(*steps).set_output(transform="default")
        Z = scaler.fit_transform(X)
        return scaler, Z, _default_kernel(Z.shape[1]) if self.kernel is None else self.kernel

    def _fit_process(
        self, process: Process, Z: np.ndarray, y: np.ndarray, least: int = 1
    ) -> Process:
        """Fit a process to all rows, with the kernel that fits the first of them best."""
        n_tuned = max(self.max_tuned, least)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # at a bound, a part is left out
            process.fit(Z[:n_tuned], y[:n_tuned])
        if len(Z) <= n_tuned:
            return process
        return process.set_params(kernel=process.kernel_, optimizer=None).fit(Z, y)


class ActivationGPRegressor(RegressorMixin, _ActivationGP):
    """Gaussian-process regression on activations of a frozen network.

    A sum of three kernels on standardised features: Matérn-3/2, linear and white noise. Their
    parameters maximise the marginal likelihood. It is meant for a few hundred rows behind
    `BackboneTransformer`.

    Parameters
    ----------
    kernel : kernel of scikit-learn, optional
        Another kernel, for standardised features and targets. White noise is added to it.
    max_rows : int, default=3000
        Training rows of a process; of more, so many are drawn at random. Time and memory grow with
        the third and second power.
    max_tuned : int, default=500
        Rows that the parameters of the kernel are tuned on; of more, so many are drawn.
    random_state : int, RandomState instance or None, default=None
        Seeds the draws.

    Attributes
    ----------
    scaler_ : Pipeline
        Drops constant columns, clips features to the training range and standardises them.
    processes_ : list of GaussianProcessRegressor
        One per target, fitted to the rows where it is known.
    n_features_in_ : int

    See Also
    --------
    skuae.featurizers.BackboneTransformer : Makes the features.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from skuae import CrystalGNNRegressor
    >>> from skuae.datasets import make_toy_crystals
    >>> from skuae.featurizers import BackboneTransformer
    >>> from skuae.pipelines import ActivationGPRegressor
    >>> toy = make_toy_crystals(n_samples=16, random_state=0)
    >>> gnn = CrystalGNNRegressor(max_epochs=2, random_state=0).fit(toy.structures, toy.target)
    >>> model = make_pipeline(BackboneTransformer(gnn), ActivationGPRegressor())
    >>> mean, std = model.fit(toy.structures, toy.target).predict(toy.structures, return_std=True)
    >>> mean.shape, std.shape
    ((16,), (16,))
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Fit a process for each target.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            NaN where unknown.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If a feature is not finite, all features are constant, a target is known in no row, or a
            parameter makes no sense.
        """
        X = validate_data(self, X, dtype=np.float64)
        y = _read_targets(y, len(X))
        scaler, Z, kernel = self._scale(X)
        random = check_random_state(self.random_state)
        processes = []
        for column in y.reshape(len(y), -1).T:
            rows = random.permutation(np.flatnonzero(~np.isnan(column)))[: self.max_rows]
            noisy = kernel + WhiteKernel(0.1, (1e-6, 1e1))
            process = GaussianProcessRegressor(noisy, normalize_y=True)
            processes.append(self._fit_process(process, Z[rows], column[rows]))
        self.scaler_, self.processes_, self._flat = scaler, processes, y.ndim == 1
        return self

    @overload
    def predict(self, X: Any, return_std: Literal[False] = False) -> np.ndarray: ...

    @overload
    def predict(self, X: Any, return_std: bool) -> Any: ...

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Predict the targets.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        return_std : bool, default=False
            Return the standard deviations of the targets too, noise included.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_targets)
        std : ndarray of the same shape, if `return_std`
        """
        check_is_fitted(self)
        Z = self.scaler_.transform(validate_data(self, X, dtype=np.float64, reset=False))
        mean, std = np.empty((2, len(Z), len(self.processes_)))
        for rows in gen_batches(len(Z), _BLOCK):
            for j, process in enumerate(self.processes_):
                found = process.predict(Z[rows], return_std=return_std)
                mean[rows, j], std[rows, j] = found if return_std else (found, np.nan)
        if self._flat:
            mean, std = mean[:, 0], std[:, 0]
        return (mean, std) if return_std else mean

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


class ActivationGPClassifier(ClassifierMixin, _ActivationGP):
    """Gaussian-process classification on activations of a frozen network.

    As `ActivationGPRegressor`: a sum of a Matérn-3/2 and a linear kernel on standardised features.
    Of more than two classes, each has a process that tells it from all others.

    Parameters
    ----------
    kernel : kernel of scikit-learn, optional
        Another kernel, for standardised features.
    max_rows : int, default=3000
        Training rows; of more, so many are drawn at random.
    max_tuned : int, default=500
        Rows that the parameters of the kernel are tuned on; of more, so many are drawn.
    random_state : int, RandomState instance or None, default=None
        Seeds the draws.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    scaler_ : Pipeline
        Drops constant columns, clips features to the training range and standardises them.
    processes_ : list of GaussianProcessClassifier
        One per class; of two classes, one for the second.
    n_features_in_ : int

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from skuae import CrystalGNNRegressor
    >>> from skuae.datasets import make_toy_crystals
    >>> from skuae.featurizers import BackboneTransformer
    >>> from skuae.pipelines import ActivationGPClassifier
    >>> toy = make_toy_crystals(n_samples=16, random_state=0)
    >>> gnn = CrystalGNNRegressor(max_epochs=2, random_state=0).fit(toy.structures, toy.target)
    >>> is_high = toy.target > toy.target.mean()
    >>> model = make_pipeline(BackboneTransformer(gnn), ActivationGPClassifier())
    >>> model.fit(toy.structures, is_high).predict_proba(toy.structures).shape
    (16, 2)
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Fit a process for each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Labels of at least two classes.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If a feature is not finite, all features are constant, there is one class only, or a
            parameter makes no sense.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        classes, labels = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(
                f"y has one class only, {classes.tolist()[0]!r}; a classifier needs two"
            )
        scaler, Z, kernel = self._scale(X)
        order = check_random_state(self.random_state).permutation(len(Z))
        # One row of each class comes first: a draw without one of them would teach nothing of it.
        first = np.unique(labels[order], return_index=True)[1]
        rows = np.concatenate([order[first], np.delete(order, first)])
        rows = rows[: max(self.max_rows, len(classes))]
        self.scaler_, self.classes_ = scaler, classes
        self.processes_ = [
            self._fit_process(
                GaussianProcessClassifier(kernel), Z[rows], labels[rows] == k, least=len(classes)
            )
            for k in (range(len(classes)) if len(classes) > 2 else [1])
        ]
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict how probable the classes are.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            In the order of `classes_`; rows add up to 1.
        """
        check_is_fitted(self)
        Z = self.scaler_.transform(validate_data(self, X, dtype=np.float64, reset=False))
        found = np.empty((len(Z), len(self.processes_)))
        for rows in gen_batches(len(Z), _BLOCK):
            for j, process in enumerate(self.processes_):
                found[rows, j] = process.predict_proba(Z[rows])[:, 1]
        if len(self.processes_) == 1:
            return np.column_stack([1 - found, found])
        return found / found.sum(axis=1, keepdims=True)

    def predict(self, X: Any) -> np.ndarray:
        """Predict the classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
            The most probable of `classes_`.
        """
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]


def _default_kernel(n_features: int) -> Kernel:
    """Return the kernel to start from, for standardised features and targets."""
    # Rows of standardised features are about sqrt(2 n) apart.
    smooth = Matern(n_features**0.5, (1e-1, 1e5), nu=1.5)
    linear = ConstantKernel(0.1 / n_features, (1e-9, 1e3)) * DotProduct(1.0, "fixed")
    return ConstantKernel(1.0, (1e-5, 1e5)) * smooth + linear


def _read_targets(y: Any, n_rows: int) -> np.ndarray:
    """Return y as floats of shape (n_samples,) or (n_samples, n_targets), NaN where unknown."""
    if y is None:
        raise ValueError("requires y to be passed, but the target y is None")
    options = {"ensure_2d": False, "ensure_all_finite": "allow-nan", "input_name": "y"}
    y = check_array(y, dtype=np.float64, **options)
    if y.ndim == 2 and y.shape[1] == 1:
        y = column_or_1d(y, warn=True)
    check_consistent_length(range(n_rows), y)
    unknown = np.flatnonzero(np.isnan(y).reshape(len(y), -1).all(axis=0))
    if len(unknown):
        raise ValueError(f"y is NaN in all rows of column {unknown[0]}; drop the column")
    return y
