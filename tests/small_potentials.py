"""Small potentials, and crystals without symmetry, for tests."""

import numpy as np
import torch
from pymatgen.core import Lattice, Structure

from skuae import as_crystals
from skuae.models import ElementEmbedding
from skuae.potentials import CHGNet, M3GNet
from skuae.potentials._contract import evaluate
from skuae.potentials._edges import pack_edges

SMALL = CHGNet(dim=8, n_blocks=3, n_radial=5, n_angular=5, n_readout=1, exponent=5)
PLAIN = CHGNet(
    dim=8, n_blocks=3, n_radial=5, n_angular=5, n_readout=1, exponent=5, norm=False,
    message_bias=True,
)  # fmt: skip
THREE_BODY = M3GNet(dim=8, n_blocks=2, max_n=2, n_readout=1)


def build(spec=SMALL, dtype=torch.float64, seed=0):
    torch.manual_seed(seed)
    module = spec.build(ElementEmbedding(torch.randn(94, spec.dim), frozen=False)).to(dtype)
    if isinstance(spec, M3GNet):  # no norms: what small weights do is too small to tell
        with torch.no_grad():
            for name, weight in module.named_parameters():
                weight *= 60 if name.startswith("three_body") else 2
    return module


def rattled(structure, seed=0, by=0.15):
    rng = np.random.default_rng(seed)
    coords = structure.cart_coords + by * rng.standard_normal((len(structure), 3))
    strain = np.eye(3) + 0.02 * rng.standard_normal((3, 3))
    return Structure(
        structure.lattice.matrix @ strain, structure.species, coords @ strain,
        coords_are_cartesian=True,
    )  # fmt: skip


def sample():
    """Return a skewed cell without symmetry, one of two atoms and one of one atom."""
    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.2), ["Mg", "O"], [[0] * 3, [0.5] * 3])
    silicon = Structure(Lattice.cubic(5.4).matrix @ np.full((3, 3), 0.5) - 2.7 * np.eye(3),
                        ["Si", "Si"], [[0.01, 0.0, 0.02], [0.26, 0.24, 0.25]])  # fmt: skip
    iron = Structure(Lattice.cubic(2.6), ["Fe"], [[0.3, 0.1, 0.2]])
    return [rattled(salt), silicon, iron]


def outputs(module, structures, spec=SMALL, **options):
    crystals = as_crystals(structures)
    dtype = next(module.parameters()).dtype
    batch = pack_edges(crystals, spec.cutoff, "cpu", dtype).batch(np.arange(len(crystals)))
    return evaluate(module, batch, **options)


def moved(structure, site, step):
    copy = structure.copy()
    copy.translate_sites([site], step, frac_coords=False, to_unit_cell=False)
    return copy


def molecule(*places, edge=20.0):
    return Structure(Lattice.cubic(edge), ["Si"] * len(places), places, coords_are_cartesian=True)
