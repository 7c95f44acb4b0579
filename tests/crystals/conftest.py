from types import SimpleNamespace

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure


def _random_structure(rng, n_sites=None, *, skew=0.0, volume_per_site=18.0):
    """A cell of random shape with random sites of real elements."""
    n_sites = int(rng.integers(1, 7)) if n_sites is None else n_sites
    shape = np.eye(3) + rng.normal(0, 0.15, (3, 3))
    shape[1, 0] += skew * rng.choice([-1, 1])
    shape[2, 1] += skew * rng.choice([-1, 1])
    shape *= np.cbrt(volume_per_site * n_sites / abs(np.linalg.det(shape)))
    return Structure(
        Lattice(shape), list(rng.integers(1, 90, n_sites)), rng.uniform(-1, 2, (n_sites, 3))
    )


@pytest.fixture
def random_structure():
    return _random_structure


def _perovskite(a="Sr", b="Ti", x="O", length=3.9):
    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    return Structure(Lattice.cubic(length), [a, b, x, x, x], sites)


@pytest.fixture
def perovskite():
    return _perovskite


@pytest.fixture
def structures():
    """Crystals of 1, 2, 5 and 8 sites, in cells of several shapes."""
    iron = Structure(Lattice.cubic(2.87), ["Fe"], [[0.1, 0.2, 0.3]])
    salt = Structure(
        Lattice([[0, 2.82, 2.82], [2.82, 0, 2.82], [2.82, 2.82, 0]]),
        ["Na", "Cl"],
        [[0, 0, 0], [0.5, 0.5, 0.5]],
    )
    face_centred = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    diamond = np.concatenate([face_centred, face_centred + 0.25])
    silicon = Structure(Lattice.cubic(5.43), ["Si"] * 8, diamond)
    zinc = Structure(
        Lattice.hexagonal(2.66, 4.95), ["Zn", "Zn"], [[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]]
    )
    return [salt, _perovskite(), iron, silicon, zinc]


@pytest.fixture
def disordered():
    """Sites shared by elements and partly empty, beside whole ones."""
    return Structure(
        Lattice.cubic(4.0),
        [{"Cu": 0.75, "Au": 0.25}, {"Cu": 0.5}, "Au", {"Pd": 0.2, "Pt": 0.3, "Ag": 0.4}],
        [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]],
    )


def _assert_same(crystals, structures):
    """Elements, coordinates and cells of packed crystals are those of pymatgen's structures."""
    assert len(crystals) == len(structures)
    for got, expected in zip(crystals, structures, strict=True):
        np.testing.assert_allclose(got.lattice.matrix, expected.lattice.matrix, atol=1e-12)
        np.testing.assert_allclose(got.frac_coords, expected.frac_coords, atol=1e-12)
        for a, b in zip(got, expected, strict=True):
            assert a.species.as_dict() == pytest.approx(b.species.element_composition.as_dict())


@pytest.fixture
def assert_same():
    return _assert_same


def _whole_graph(structure, cutoff, k):
    """All sites, edges and angles of a structure: one by one, as pymatgen has the neighbours."""
    found = set()
    for i, neighbors in enumerate(structure.get_all_neighbors(cutoff)):
        lengths = sorted(n.nn_distance for n in neighbors)
        last = lengths[k - 1] + 1e-3 if k is not None and len(lengths) >= k else cutoff
        for n in neighbors:
            if n.nn_distance <= last:
                image = tuple(int(x) for x in n.image)
                found.add((i, n.index, image))
                found.add((n.index, i, tuple(-x for x in image)))
    found = sorted(found)
    centers = np.array([i for i, _, _ in found], dtype=int)
    neighbors = np.array([j for _, j, _ in found], dtype=int)
    images = np.array([image for _, _, image in found]).reshape(-1, 3)
    frac = structure.frac_coords
    vectors = (frac[neighbors] + images - frac[centers]) @ structure.lattice.matrix
    distances = np.linalg.norm(vectors, axis=1)
    edges, others, cosines = [], [], []
    for e, v in enumerate(neighbors):
        for o in np.flatnonzero(centers == v):  # w - v - u, the angle at v
            edges.append(e)
            others.append(o)
            cosines.append(-vectors[e] @ vectors[o] / (distances[e] * distances[o]))
    one = np.ones(max(len(structure), len(edges)), dtype=int)
    return SimpleNamespace(
        sites=np.arange(len(structure)), site_counts=one[: len(structure)],
        centers=centers, neighbors=neighbors, distances=distances, edge_counts=one[: len(centers)],
        edges=np.array(edges, dtype=int), others=np.array(others, dtype=int),
        cosines=np.array(cosines), angle_counts=one[: len(edges)],
    )  # fmt: skip


@pytest.fixture
def whole_graph():
    return _whole_graph
