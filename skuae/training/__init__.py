"""Training: batches, the net, and what all crystal estimators share."""

from skuae.training._base import BaseCrystalEstimator
from skuae.training._classification import BaseCrystalClassifier
from skuae.training._regression import BaseCrystalRegressor

__all__ = ["BaseCrystalClassifier", "BaseCrystalEstimator", "BaseCrystalRegressor"]
