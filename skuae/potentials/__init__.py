"""Interatomic potentials: energies, forces and stresses of crystals."""

from skuae.potentials._chgnet import CHGNet
from skuae.potentials._m3gnet import M3GNet
from skuae.potentials._mace import MACE
from skuae.potentials._potential import CrystalPotential
from skuae.potentials._relax import Relaxation
from skuae.potentials._saving import is_potential
from skuae.potentials._sevennet import SevenNet
from skuae.potentials._whole import decode_potential, encode_potential

__all__ = [
    "MACE",
    "CHGNet",
    "CrystalPotential",
    "M3GNet",
    "Relaxation",
    "SevenNet",
    "decode_potential",
    "encode_potential",
    "is_potential",
]
