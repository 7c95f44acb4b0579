"""The part of crystal estimators that predicts classes."""

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.base import ClassifierMixin

from skuae.embedding import crystals_and_table
from skuae.training._base import BaseCrystalEstimator, Targets
from skuae.training._labels import (
    check_labels,
    check_two_classes,
    class_weights,
    decode_classes,
    encode_classes,
)
from skuae.training._loss import LogLoss


class BaseCrystalClassifier(ClassifierMixin, BaseCrystalEstimator):
    """Fit and predict classifiers of crystals; see `BaseCrystalEstimator`.

    The network has one output per class, also for two of them; softmax makes probabilities of them,
    and training minimises their log-loss.
    """

    class_weight = None

    def fit(self, X, y, sample_weight=None):
        """Fit the model.

        Parameters
        ----------
        X : list, Series, DataFrame with one column, Crystals or StructureFeatures
            Structures; see :func:`skuae.as_crystals`.
        y : array-like of shape (n_samples,)
            Labels of at least two classes: strings, numbers or booleans; none may be missing.
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows in the loss, times those of their classes.

        Returns
        -------
        self : object

        Raises
        ------
        TypeError
            If a row is not a structure.
        ValueError
            If a structure, a label or a parameter makes no sense; the message names it.
        """
        return self._fit(X, y, sample_weight)

    def predict(self, X):
        """Predict the classes of crystals.

        Parameters
        ----------
        X : list, Series, DataFrame with one column, Crystals or StructureFeatures
            Structures; see :func:`skuae.as_crystals`.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            The most probable of `classes_`.
        """
        best = self._outputs(X).argmax(axis=1)
        return self.classes_[best]

    def predict_proba(self, X):
        """Predict how probable the classes are.

        Parameters
        ----------
        X : list, Series, DataFrame with one column, Crystals or StructureFeatures
            Structures; see :func:`skuae.as_crystals`.

        Returns
        -------
        p : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`; rows add up to 1.
        """
        return softmax(self._outputs(X).astype(np.float64), axis=1)

    def predict_log_proba(self, X):
        """Predict the logarithms of how probable the classes are.

        Parameters
        ----------
        X : list, Series, DataFrame with one column, Crystals or StructureFeatures
            Structures; see :func:`skuae.as_crystals`.

        Returns
        -------
        log_p : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        return log_softmax(self._outputs(X).astype(np.float64), axis=1)

    def decision_function(self, X):
        """Return what the probabilities are made of, before softmax.

        Parameters
        ----------
        X : list, Series, DataFrame with one column, Crystals or StructureFeatures
            Structures; see :func:`skuae.as_crystals`.

        Returns
        -------
        scores : ndarray of shape (n_samples,) or (n_samples, n_classes)
            With two classes, the log-odds of the second one: above 0 it is predicted.
        """
        outputs = self._outputs(X).astype(np.float64)
        return outputs[:, 1] - outputs[:, 0] if len(self.classes_) == 2 else outputs

    def score(self, X, y, sample_weight=None):
        """Return the accuracy: the share of rows whose class is predicted.

        Parameters
        ----------
        X : array-like of structures of shape (n_samples,)
        y : array-like of shape (n_samples,)
            Labels.
        sample_weight : array-like of shape (n_samples,), optional

        Returns
        -------
        score : float
        """
        crystals, _ = crystals_and_table(X)
        classes, codes, _ = check_labels(y, crystals)  # as fit reads them
        return super().score(crystals, classes[codes], sample_weight)

    # -- what BaseCrystalEstimator asks for -------------------------------------------------------

    def _read_targets(self, y, crystals):
        classes, codes, names = check_labels(y, crystals)
        return Targets(codes[:, None].astype(float), classes[codes], names, {"classes_": classes})

    def _check_continued(self, targets):
        classes = targets.facts["classes_"]
        if not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"y has the classes {classes.tolist()}, the fit before had "
                f"{self.classes_.tolist()}; set warm_start=False to start anew"
            )

    def _hold_back(self, targets, order, n_valid):
        # One row of each class stays in training. The others are laid out class by class, and
        # every so many of them one is taken: each class gives its share.
        codes = targets.values[order, 0]
        kept = np.unique(codes, return_index=True)[1]
        free = np.delete(np.arange(len(order)), kept)
        free = free[np.argsort(codes[free], kind="stable")]
        if len(free) < n_valid:
            raise ValueError(
                f"{len(order)} rows of {len(kept)} classes leave {len(free)} to validate with if "
                "each class keeps one to train on; set early_stopping=False or a smaller "
                "validation_fraction"
            )
        taken = free[((np.arange(n_valid) + 0.5) * len(free) / n_valid).astype(int)]
        return np.delete(order, taken), order[taken]

    def _fit_task(self, targets, train, weight):
        check_two_classes(np.unique(targets.given[train]))
        self.classes_ = targets.facts["classes_"]

    def _scaled(self, values):
        return values

    def _weigh(self, targets, sample_weight):
        codes = targets.values[:, 0].astype(int)
        counted = np.ones(len(codes), dtype=bool) if sample_weight is None else sample_weight > 0
        weight = class_weights(self.class_weight, targets.facts["classes_"], codes, counted)
        if weight is None or sample_weight is None:
            return sample_weight if weight is None else weight
        return weight * sample_weight

    def _n_outputs(self):
        return len(self.classes_)

    def _criterion(self):
        return LogLoss()

    def _get_task(self):
        return {"classes": encode_classes(self.classes_)}, {}

    def _set_task(self, config, arrays):
        self.classes_ = decode_classes(config["classes"])
