import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from skuae.crystals import PackedTensors, as_crystals


def _pack(crystals, spec=None, dtype=torch.float64, rows=None):
    """Put crystals into one batch, with the graphs of a specification or with coordinates."""
    crystals = as_crystals(crystals)
    graphs = None if spec is None else spec.graph_of(crystals)
    rows = range(len(crystals)) if rows is None else rows
    return PackedTensors(crystals, graphs, dtype=dtype).batch(np.array(rows))


@pytest.fixture
def pack():
    return _pack


@pytest.fixture(scope="session")
def sample(mp_mini):
    """Sixty real crystals."""
    rows = np.random.default_rng(0).choice(len(mp_mini.structures), 60, replace=False)
    return mp_mini.structures[rows].to_structures()


@pytest.fixture
def lone():
    """An atom without neighbours."""
    return Structure(Lattice.cubic(30), ["Ar"], [[0.1, 0.2, 0.3]])


@pytest.fixture
def alloy():
    """Sites shared by elements and partly empty, beside whole ones."""
    return Structure(
        Lattice.cubic(4.0),
        [{"Cu": 0.75, "Au": 0.25}, {"Cu": 0.5}, "Au", {"Pd": 0.2, "Pt": 0.3, "Ag": 0.4}],
        [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]],
    )


def _shuffle_sites(structure, seed=0):
    order = np.random.default_rng(seed).permutation(len(structure))
    return Structure.from_sites([structure[i] for i in order])


@pytest.fixture
def shuffle_sites():
    return _shuffle_sites
