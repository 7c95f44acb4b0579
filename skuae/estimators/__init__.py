"""The estimators users meet."""

from skuae.estimators._base import CrystalEstimator
from skuae.estimators._card import card_header
from skuae.estimators._classifier import CrystalGNNClassifier
from skuae.estimators._front_end import CrystalTransformerRegressor
from skuae.estimators._loading import decode_whole, load_pretrained, unwrapped
from skuae.estimators._predictions import predict_frame
from skuae.estimators._reading import read_model_folder
from skuae.estimators._regressor import CrystalGNNRegressor
from skuae.estimators._saving import encode_estimator, encode_whole, write_model
from skuae.estimators._stacking import CrystalStackingClassifier, CrystalStackingRegressor
from skuae.estimators._voting import CrystalVotingRegressor

__all__ = [
    "CrystalEstimator",
    "CrystalGNNClassifier",
    "CrystalGNNRegressor",
    "CrystalStackingClassifier",
    "CrystalStackingRegressor",
    "CrystalTransformerRegressor",
    "CrystalVotingRegressor",
    "card_header",
    "decode_whole",
    "encode_estimator",
    "encode_whole",
    "load_pretrained",
    "predict_frame",
    "read_model_folder",
    "unwrapped",
    "write_model",
]
