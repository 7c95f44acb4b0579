"""Learning element tables from large data sets, with a record of how it was done."""

from skuae.pretraining._pretrain import pretrain

__all__ = ["pretrain"]
