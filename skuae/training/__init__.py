"""Training: batches, the net, and what all crystal estimators share."""

from skuae.training._base import BaseCrystalRegressor

__all__ = ["BaseCrystalRegressor"]
