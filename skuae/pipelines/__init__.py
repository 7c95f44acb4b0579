"""Whole models for a few hundred labels, made of the other parts."""

from skuae.pipelines._blend import AbsoluteErrorBlend
from skuae.pipelines._gp import ActivationGPClassifier, ActivationGPRegressor
from skuae.pipelines._pipeline import crystal_pipeline
from skuae.pipelines._saved import load, save

__all__ = [
    "AbsoluteErrorBlend",
    "ActivationGPClassifier",
    "ActivationGPRegressor",
    "crystal_pipeline",
    "load",
    "save",
]
