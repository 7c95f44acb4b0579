"""Universal atomic embeddings for crystals behind scikit-learn's fit and predict."""

from skuae import analysis, datasets, models
from skuae._version import __version__ as __version__
from skuae.crystals import Crystals, as_crystals
from skuae.embedding import ElementTable, UAETransformer
from skuae.estimators import (
    CrystalGNNClassifier,
    CrystalGNNRegressor,
    CrystalTransformerRegressor,
)

__all__ = [
    "CrystalGNNClassifier",
    "CrystalGNNRegressor",
    "CrystalTransformerRegressor",
    "Crystals",
    "ElementTable",
    "UAETransformer",
    "analysis",
    "as_crystals",
    "datasets",
    "models",
]
