"""Learning of element tables from large data sets, with a record of all settings."""

from skuae.pretraining._pretrain import pretrain

__all__ = ["pretrain"]
