"""The part of crystal estimators that predicts numbers."""

import numpy as np
import torch
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score

from skuae.embedding import crystals_and_table
from skuae.training._base import BaseCrystalEstimator, Targets
from skuae.training._loss import MaskedLoss, mean_and_log_variance
from skuae.training._targets import TargetScaler, check_sample_weight, check_targets


class BaseCrystalRegressor(RegressorMixin, BaseCrystalEstimator):
    """Fit, predict and score regressors of crystals; see `BaseCrystalEstimator`."""

    task_weights = None

    def fit(self, X, y, sample_weight=None):
        """Fit the model.

        Parameters
        ----------
        X : list, Series, DataFrame with one column, Crystals or StructureFeatures
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
        """
        return self._fit(X, y, sample_weight)

    def predict(self, X, return_std=False):
        """Predict the targets of crystals.

        Parameters
        ----------
        X : list, Series, DataFrame with one column, Crystals or StructureFeatures
            Structures; see :func:`skuae.as_crystals`.
        return_std : bool, default=False
            Return the standard deviations of the targets too. The model must have been fitted with
            ``loss="gaussian_nll"``.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_targets)
            In the units of the y of ``fit``.
        std : ndarray of the same shape, if `return_std`
            In the same units: how far off y may be, as far as crystals like those of ``fit`` tell.

        Raises
        ------
        ValueError
            If `return_std`, but the model was fitted with another loss.
        """
        outputs = torch.from_numpy(self._outputs(X))
        two_heads = self._fit_params["loss"] == "gaussian_nll"
        if return_std and not two_heads:
            raise ValueError(
                "return_std=True needs a model that has learned how uncertain it is; set "
                f'loss="gaussian_nll" (it was {self._fit_params["loss"]!r}) and fit again'
            )
        std = None
        if two_heads:
            outputs, log_variance = mean_and_log_variance(outputs)
            std = (log_variance / 2).exp().double().numpy() * self.scaler_.scale_
        y = self.scaler_.inverse_transform(outputs.numpy())
        if self._one_target:
            y, std = y[:, 0], None if std is None else std[:, 0]
        return (y, std) if return_std else y

    def score(self, X, y, sample_weight=None):
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
        crystals, _ = crystals_and_table(X)
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

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    # -- what BaseCrystalEstimator asks for -------------------------------------------------------

    def _read_targets(self, y, crystals):
        values, names, one_target = check_targets(y, crystals)
        return Targets(values, values, names, {"_one_target": one_target})

    def _check_continued(self, targets):
        n, n_before = targets.values.shape[1], len(self.scaler_.mean_)
        if n != n_before:
            raise ValueError(
                f"y has {n} targets, the fit before had {n_before}; set warm_start=False to start "
                "anew"
            )
        loss, loss_before = self.loss, self._fit_params["loss"]
        if (loss == "gaussian_nll") != (loss_before == "gaussian_nll"):
            raise ValueError(
                f"loss is {loss!r}, and was {loss_before!r} in the fit before, which has another "
                "head; set warm_start=False to start anew, and init_from to keep all but the head"
            )

    def _hold_back(self, targets, order, n_valid):
        return order[n_valid:], order[:n_valid]

    def _fit_task(self, targets, train, weight):
        self.scaler_ = TargetScaler().fit(targets.values[train], weight)

    def _scaled(self, values):
        return self.scaler_.transform(values)

    def _weigh(self, targets, sample_weight):
        return sample_weight

    def _n_outputs(self):
        return len(self.scaler_.mean_) * (2 if self.loss == "gaussian_nll" else 1)

    def _criterion(self):
        return MaskedLoss(self.loss, self.task_weights)

    def _get_task(self):
        scale = {"scaler.mean": self.scaler_.mean_, "scaler.scale": self.scaler_.scale_}
        return {"one_target": self._one_target}, scale

    def _set_task(self, config, arrays):
        self._one_target = config["one_target"]
        self.scaler_ = TargetScaler()
        self.scaler_.mean_, self.scaler_.scale_ = arrays["scaler.mean"], arrays["scaler.scale"]
