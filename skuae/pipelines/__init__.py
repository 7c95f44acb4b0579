"""Whole models for a few hundred labels, made of the other parts."""

from skuae.pipelines._gp import ActivationGPClassifier, ActivationGPRegressor
from skuae.pipelines._pipeline import crystal_pipeline

__all__ = ["ActivationGPClassifier", "ActivationGPRegressor", "crystal_pipeline"]
