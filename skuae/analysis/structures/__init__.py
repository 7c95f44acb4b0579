"""Analyses of crystal structures alone: functions that return data."""

from skuae.analysis.structures._lattices import lattice_parameters

__all__ = ["lattice_parameters"]
