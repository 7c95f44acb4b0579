"""The part of crystal estimators that predicts classes."""

from typing import Any, Self

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.base import ClassifierMixin

from skuae.estimators._base import CrystalEstimator
from skuae.estimators._rows import rows_and_table
from skuae.training import (
    ClassificationTask,
    FittedClassification,
    check_sample_weight,
    read_labels,
)


class CrystalClassifier(ClassifierMixin, CrystalEstimator):
    """Fit and predict classifiers of crystals.

    The network has one output per class, also for two of them; softmax makes probabilities of them,
    and training minimises their log-loss.
    """

    class_weight: Any = None
    task_: FittedClassification

    def _task(self) -> ClassificationTask:
        return ClassificationTask(self.class_weight)

    @property
    def classes_(self) -> np.ndarray:
        """The labels, sorted: ndarray of shape (n_classes,)."""
        return self.task_.classes

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : list, Series, DataFrame with one column, Crystals, Shards or StructureFeatures
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
        KeyboardInterrupt
            After Ctrl-C in training. The model is there, as it was then.
        """
        return self._fit(X, y, sample_weight)

    def predict(self, X: Any) -> np.ndarray:
        """Predict the classes of crystals.

        Parameters
        ----------
        X : list, Series, DataFrame with one column, Crystals, Shards or StructureFeatures
            Structures; see :func:`skuae.as_crystals`.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            The most probable of `classes_`.
        """
        outputs = self._outputs(X)
        return self.task_.decode(outputs)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict how probable the classes are.

        Parameters
        ----------
        X : list, Series, DataFrame with one column, Crystals, Shards or StructureFeatures
            Structures; see :func:`skuae.as_crystals`.

        Returns
        -------
        p : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`; rows add up to 1.
        """
        return softmax(self._outputs(X).astype(np.float64), axis=1)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Predict the logarithms of how probable the classes are.

        Parameters
        ----------
        X : list, Series, DataFrame with one column, Crystals, Shards or StructureFeatures
            Structures; see :func:`skuae.as_crystals`.

        Returns
        -------
        log_p : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        return log_softmax(self._outputs(X).astype(np.float64), axis=1)

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the logits; for two classes, the log-odds of the second one.

        Parameters
        ----------
        X : list, Series, DataFrame with one column, Crystals, Shards or StructureFeatures
            Structures; see :func:`skuae.as_crystals`.

        Returns
        -------
        scores : ndarray of shape (n_samples,) or (n_samples, n_classes)
            With two classes, the second one is predicted where its log-odds are above 0.
        """
        outputs = self._outputs(X).astype(np.float64)
        return outputs[:, 1] - outputs[:, 0] if len(self.classes_) == 2 else outputs

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
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
        crystals, _ = rows_and_table(X)
        classes, codes, _ = read_labels(y, crystals)  # as fit reads them
        weight = check_sample_weight(sample_weight, crystals)
        return super().score(crystals, classes[codes], weight)
