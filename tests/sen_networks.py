"""Small SENs in double precision, for several test files."""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from skuae.crystals import as_crystals
from skuae.models import SEN, ElementEmbedding

SMALL = {"site_dim": 12, "bond_dim": 6, "n_blocks": 2, "n_capsules": 4, "capsule_dim": 8,
         "crystal_dim": 10, "hidden_dim": 5}  # fmt: skip


def elements(n_dims=6, frozen=False):
    return ElementEmbedding(torch.randn(118, n_dims), frozen)


def build(n_outputs=2, **options):
    """A network in float64 whose biases and power are not those of a fresh one."""
    spec = SEN(**{**SMALL, **options})
    module = spec.build(elements(), n_outputs).double()
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.Linear) and layer.bias is not None:
                layer.bias.normal_(std=0.3)
        module.stoichiometry.power.fill_(1.7)
    return spec, module.eval()


def tensors(structures, spec, dtype=torch.float64, **options):
    """Put crystals into one batch; options as of `SEN.inputs`."""
    crystals = as_crystals(structures)
    packed = spec.inputs(crystals, **options).pack(crystals, dtype=dtype)
    return packed.batch(np.arange(len(structures)))


def plain_affine(pose):
    sx, sy, angle, shear, tx, ty = pose.tolist()
    sx, sy = (F.selu(torch.tensor(s, dtype=torch.float64)).item() + 0.01 for s in (sx, sy))
    t, k = 2 * math.pi * angle, math.tanh(5 * shear)
    tx, ty = math.tanh(5 * tx), math.tanh(5 * ty)
    cos, sin = math.cos(t), math.sin(t)
    return [sx * cos + k * sy * sin, -sx * sin + k * sy * cos, tx, sy * sin, sy * cos, ty]
