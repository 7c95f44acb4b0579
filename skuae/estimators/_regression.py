"""The part of crystal estimators that predicts numbers."""

from numbers import Real
from typing import Any, Literal, Self, overload

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_is_fitted

from skuae.estimators._base import CrystalEstimator
from skuae.estimators._rows import rows_and_table
from skuae.training import FittedRegression, RegressionTask, check_sample_weight, check_targets


class CrystalRegressor(RegressorMixin, CrystalEstimator):
    """Fit, predict and score regressors of crystals."""

    loss: str
    task_weights: Any = None
    log_targets: Any = None
    task_: FittedRegression

    def _task(self) -> RegressionTask:
        return RegressionTask(self.loss, self.task_weights, self.log_targets)

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : list, Series, DataFrame with one column, Crystals, Shards or StructureFeatures
            Structures; see :func:`skuae.as_crystals`.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets; NaN where unknown.
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows in the loss.

        Returns
        -------
        self : object

        Raises
        ------
        TypeError
            If a row is not a structure.
        ValueError
            If a structure, a target or a parameter makes no sense; the message names it.
        KeyboardInterrupt
            After Ctrl-C in training. The model is there, as it was then.
        """
        return self._fit(X, y, sample_weight)

    @overload
    def predict(self, X: Any, return_std: Literal[False] = False) -> np.ndarray: ...

    @overload
    def predict(self, X: Any, return_std: bool) -> Any: ...

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Predict the targets of crystals.

        Parameters
        ----------
        X : list, Series, DataFrame with one column, Crystals, Shards or StructureFeatures
            Structures; see :func:`skuae.as_crystals`.
        return_std : bool, default=False
            Return the standard deviations of the targets too. The model must have been fitted with
            ``loss="gaussian_nll"`` or ``"laplace_nll"``.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_targets)
            In the units of the y of ``fit``.
        std : ndarray of the same shape, if `return_std`
            Predicted standard deviation, in the same units; reliable only for crystals similar to
            the training set. Of one of `log_targets`, it is the prediction times the standard
            deviation of its natural logarithm.

        Raises
        ------
        ValueError
            If `return_std`, but the model was fitted with another loss.
        """
        outputs = self._outputs(X)
        if return_std and not self.task_.has_std:
            raise ValueError(
                "return_std=True needs a model that has learned how uncertain it is; set "
                f'loss="gaussian_nll" or "laplace_nll" (it was {self.task_.loss!r}) and fit again'
            )
        y = self.task_.decode(outputs)
        return (y, self.task_.decode_std(outputs)) if return_std else y

    def calibrate_std(self, X: Any, y: Any, *, level: float = 0.9) -> Self:
        """Scale the standard deviations to crystals that were held out of `fit`.

        A network is often too sure of targets of which it saw few labels. This multiplies the
        standard deviations of each target with one factor, so that ``mean ± 1.645 std`` holds 90 %
        of the values given here. Predictions stay as they are. The factor is that of split
        conformal prediction with normalised residuals (Lei et al., J. Am. Stat. Assoc. 113, 1094,
        2018), so the intervals of this level, not those of others, hold as often for new crystals
        of the same kind. Of `log_targets`, the interval is one of logarithms:
        ``mean * exp(±1.645 std / mean)``. A target that was constant in `fit` keeps its standard
        deviation of 0.

        Parameters
        ----------
        X : list, Series, DataFrame with one column, Crystals, Shards or StructureFeatures
            Structures that `fit` did not see.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            NaN where unknown.
        level : float, default=0.9
            Share of the values that the intervals are to hold.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If the model has learned no standard deviations, `y` has other targets than in `fit`, or
            a target has too few known values: 9 are needed for 90 %.
        """
        check_is_fitted(self)
        if not self.task_.has_std:
            raise ValueError(
                "there are no standard deviations to calibrate; set "
                f'loss="gaussian_nll" or "laplace_nll" (it was {self.task_.loss!r}) and fit again'
            )
        if not isinstance(level, Real) or not 0 < level < 1:
            raise ValueError(f"level must be between 0 and 1; got {level!r}")
        crystals, _ = rows_and_table(X)
        fitted = RegressionTask(self.task_.loss, None, list(self.task_.logs))
        targets = fitted.read(y, crystals)
        if targets.values.shape[1] != self.task_.n_targets:
            raise ValueError(
                f"y has {targets.values.shape[1]} targets, the model {self.task_.n_targets}"
            )
        if targets.names != self.target_names_ and targets.names and self.target_names_:
            raise ValueError(f"y has targets {targets.names}, the model {self.target_names_}")
        self.task_ = self.task_.calibrated(self._outputs(crystals), targets, float(level))
        return self

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return R², over the known targets only and averaged over columns.

        Columns with fewer than two known values, of which there is no R², are left out.

        Parameters
        ----------
        X : array-like of structures of shape (n_samples,)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            NaN where unknown.
        sample_weight : array-like of shape (n_samples,), optional

        Returns
        -------
        score : float
        """
        crystals, _ = rows_and_table(X)
        y, *_ = check_targets(y, crystals, need_all=False)
        predicted = self.predict(crystals).reshape(len(y), -1)
        if predicted.shape != y.shape:
            raise ValueError(f"y has {y.shape[1]} targets, the model {predicted.shape[1]}")
        weight = check_sample_weight(sample_weight, crystals)
        weight = np.ones(len(y)) if weight is None else weight
        known = ~np.isnan(y) & (weight > 0)[:, None]
        if not known.any():
            raise ValueError("y is known in rows of weight 0 only: there is nothing to score")
        least = min(2, known.sum(axis=0).max())  # scikit-learn warns where there is one at all
        scores = [
            r2_score(y[k, j], predicted[k, j], sample_weight=weight[k])
            for j, k in enumerate(known.T)
            if k.sum() >= least
        ]
        return float(np.mean(scores))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
