"""Features of crystals for any scikit-learn estimator, beside those of element tables."""

from skuae.featurizers._backbone import BackboneTransformer

__all__ = ["BackboneTransformer"]
