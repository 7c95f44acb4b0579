from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from skuae.crystals import as_crystals
from skuae.models import Inputs


def _pack(crystals, spec=None, dtype=torch.float64, rows=None, merge=True):
    """Put crystals into one batch, with the graphs of a specification or with coordinates."""
    crystals = as_crystals(crystals)
    inputs = Inputs(coords="wrapped") if spec is None else spec.inputs(crystals, merge=merge)
    rows = range(len(crystals)) if rows is None else rows
    return inputs.pack(crystals, dtype=dtype).batch(np.array(rows))


@pytest.fixture
def pack():
    return _pack


def _full_graph(structures, cutoff, k=None):
    """Graph with every site, edge and angle of its own, by plain loops over pymatgen's neighbours.

    Parameters
    ----------
    structures : list of Structure
    cutoff : float
    k : int, optional
        Only the k nearest, those as far as the last of them, and whoever takes a site as neighbour.

    Returns
    -------
    SimpleNamespace
        occupancies (N, 118), crystal (N,), n_crystals; centers, neighbors, distances (E,); edges,
        others, cosines (A,): of every two edges i -> j and j -> l, the angle at j.
    """
    occupancies, crystal, edges, vectors = [], [], [], []
    for number, structure in enumerate(structures):
        first, found = len(crystal), set()
        for site, neighbors in zip(structure, structure.get_all_neighbors(cutoff), strict=True):
            row = np.zeros(118)
            for element, amount in site.species.items():
                row[element.Z - 1] += amount
            occupancies.append(row)
            crystal.append(number)
            i = len(crystal) - 1 - first
            neighbors.sort(key=lambda n: n.nn_distance)
            reach = neighbors[k - 1].nn_distance + 1e-3 if k and len(neighbors) >= k else np.inf
            for n in neighbors:
                if n.nn_distance < reach:
                    image = np.array(n.image, dtype=int)
                    found.add((i, n.index, *image))
                    found.add((n.index, i, *-image))
        for i, j, *image in sorted(found):
            edges.append((first + i, first + j))
            shift = structure.frac_coords[j] + image - structure.frac_coords[i]
            vectors.append(shift @ structure.lattice.matrix)
    edges = np.array(edges, dtype=int).reshape(-1, 2)
    vectors = np.array(vectors).reshape(-1, 3)
    distances = np.linalg.norm(vectors, axis=1)
    pairs, cosines = [], []
    for e, (_, j) in enumerate(edges):
        for f in np.flatnonzero(edges[:, 0] == j):
            pairs.append((e, f))
            cosines.append(-vectors[e] @ vectors[f] / (distances[e] * distances[f]))
    pairs = np.array(pairs, dtype=int).reshape(-1, 2)
    return SimpleNamespace(
        occupancies=torch.tensor(np.array(occupancies)),
        crystal=torch.tensor(crystal),
        n_crystals=len(structures),
        centers=torch.tensor(edges[:, 0]),
        neighbors=torch.tensor(edges[:, 1]),
        distances=torch.tensor(distances),
        edges=torch.tensor(pairs[:, 0]),
        others=torch.tensor(pairs[:, 1]),
        cosines=torch.tensor(np.clip(cosines, -1, 1)),
    )


@pytest.fixture(scope="session")
def full_graph():
    return _full_graph


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
