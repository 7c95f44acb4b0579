"""Models that ship with skuae: predictions without training."""

from skuae.pretrained._models import card, load, names

__all__ = ["card", "load", "names"]
