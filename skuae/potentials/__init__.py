"""Interatomic potentials: energies, forces and stresses of crystals."""

from skuae.potentials._chgnet import CHGNet
from skuae.potentials._potential import CrystalPotential

__all__ = ["CHGNet", "CrystalPotential"]
