"""Interatomic potentials: energies, forces and stresses of crystals."""

from skuae.potentials._chgnet import CHGNet
from skuae.potentials._m3gnet import M3GNet
from skuae.potentials._potential import CrystalPotential
from skuae.potentials._relax import Relaxation

__all__ = ["CHGNet", "CrystalPotential", "M3GNet", "Relaxation"]
