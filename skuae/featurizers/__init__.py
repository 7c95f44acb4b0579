"""Features of crystals for any scikit-learn estimator, beside those of element tables."""

from skuae.featurizers._backbone import BackboneTransformer
from skuae.featurizers._potential import PotentialTransformer
from skuae.featurizers._symmetry import SymmetryTransformer

__all__ = ["BackboneTransformer", "PotentialTransformer", "SymmetryTransformer"]
