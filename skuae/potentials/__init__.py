"""Interatomic potentials: energies, forces and stresses of crystals."""

from skuae.potentials._chgnet import CHGNet

__all__ = ["CHGNet"]
