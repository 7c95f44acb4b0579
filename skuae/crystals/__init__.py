"""Crystals and their neighbour graphs as packed arrays: the one door for structures."""

from skuae.crystals._batch import CrystalBatch, Links, PackedTensors
from skuae.crystals._crystals import Crystals
from skuae.crystals._graphs import CrystalGraphs
from skuae.crystals._reading import as_crystals
from skuae.crystals._reduced import ReducedGraphs

__all__ = [
    "CrystalBatch",
    "CrystalGraphs",
    "Crystals",
    "Links",
    "PackedTensors",
    "ReducedGraphs",
    "as_crystals",
]
