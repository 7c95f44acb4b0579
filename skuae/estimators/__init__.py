"""The estimators users meet."""

from skuae.estimators._classifier import CrystalGNNClassifier
from skuae.estimators._front_end import CrystalTransformerRegressor
from skuae.estimators._regressor import CrystalGNNRegressor

__all__ = ["CrystalGNNClassifier", "CrystalGNNRegressor", "CrystalTransformerRegressor"]
