"""Interatomic potentials: energies, forces and stresses of crystals."""

from skuae.potentials._chgnet import CHGNet
from skuae.potentials._potential import CrystalPotential
from skuae.potentials._relax import Relaxation

__all__ = ["CHGNet", "CrystalPotential", "Relaxation"]
