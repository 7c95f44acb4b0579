"""Universal atomic embeddings for crystals behind scikit-learn's fit and predict."""

from typing import TYPE_CHECKING

from skuae._lazy import lazy_names
from skuae._version import __version__ as __version__

if TYPE_CHECKING:
    from skuae import analysis, datasets, models
    from skuae import estimators as estimators
    from skuae import featurizers as featurizers
    from skuae import pipelines as pipelines
    from skuae import potentials as potentials
    from skuae import pretrained as pretrained
    from skuae import training as training
    from skuae.crystals import Crystals, as_crystals
    from skuae.embedding import ElementTable, UAETransformer
    from skuae.estimators import (
        CrystalGNNClassifier,
        CrystalGNNRegressor,
        CrystalStackingClassifier,
        CrystalStackingRegressor,
        CrystalTransformerRegressor,
        CrystalVotingRegressor,
    )
    from skuae.pipelines import crystal_pipeline, load, save
else:  # `skuae --help` needs none of them; torch takes longer to import than all the rest
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "skuae": [
                "analysis",
                "datasets",
                "estimators",
                "featurizers",
                "models",
                "pipelines",
                "potentials",
                "pretrained",
                "training",
            ],
            "skuae.crystals": ["Crystals", "as_crystals"],
            "skuae.embedding": ["ElementTable", "UAETransformer"],
            "skuae.estimators": [
                "CrystalGNNClassifier",
                "CrystalGNNRegressor",
                "CrystalStackingClassifier",
                "CrystalStackingRegressor",
                "CrystalTransformerRegressor",
                "CrystalVotingRegressor",
            ],
            "skuae.pipelines": ["crystal_pipeline", "load", "save"],
        },
    )

__all__ = [
    "CrystalGNNClassifier",
    "CrystalGNNRegressor",
    "CrystalStackingClassifier",
    "CrystalStackingRegressor",
    "CrystalTransformerRegressor",
    "CrystalVotingRegressor",
    "Crystals",
    "ElementTable",
    "UAETransformer",
    "analysis",
    "as_crystals",
    "crystal_pipeline",
    "datasets",
    "featurizers",
    "load",
    "models",
    "potentials",
    "pretrained",
    "save",
]
