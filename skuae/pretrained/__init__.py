"""Models that come with the package, ready to predict."""

from skuae.pretrained._models import card, load, names

__all__ = ["card", "load", "names"]
