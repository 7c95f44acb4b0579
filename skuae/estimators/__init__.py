"""The estimators users meet."""

from skuae.estimators._classifier import CrystalGNNClassifier
from skuae.estimators._front_end import CrystalTransformerRegressor
from skuae.estimators._loading import load_pretrained
from skuae.estimators._predictions import predict_frame, prediction_columns
from skuae.estimators._reading import read_model_folder
from skuae.estimators._regressor import CrystalGNNRegressor
from skuae.estimators._saving import encode_estimator
from skuae.estimators._stacking import CrystalStackingClassifier, CrystalStackingRegressor
from skuae.estimators._voting import CrystalVotingRegressor

__all__ = [
    "CrystalGNNClassifier",
    "CrystalGNNRegressor",
    "CrystalStackingClassifier",
    "CrystalStackingRegressor",
    "CrystalTransformerRegressor",
    "CrystalVotingRegressor",
    "encode_estimator",
    "load_pretrained",
    "predict_frame",
    "prediction_columns",
    "read_model_folder",
]
