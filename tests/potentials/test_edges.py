"""Edges between atoms, both ways, and the pairs, bonds and angles of a batch."""

import itertools

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure
from small_potentials import rattled, sample

from skuae import as_crystals
from skuae.potentials._edges import _pair, find_edges, pack_edges
from skuae.potentials._geometry import neighborhood


def batch_of(structures, cutoff=5.0):
    crystals = as_crystals(structures)
    return pack_edges(crystals, cutoff, "cpu", torch.float64).batch(np.arange(len(crystals)))


def test_vectors_are_those_of_the_graph():
    crystals = as_crystals(sample())
    edges, graphs = find_edges(crystals, 5.0), crystals.graph(5.0)
    np.testing.assert_array_equal(edges.edge_offsets, graphs.edge_offsets)
    np.testing.assert_array_equal(edges.neighbors, graphs.neighbors)
    np.testing.assert_allclose(np.linalg.norm(edges.vectors, axis=1), graphs.distances, rtol=1e-6)


def test_vectors_end_at_an_image_of_the_neighbour():
    structure = sample()[0]
    edges = find_edges(as_crystals([structure]), 5.0)
    centers = np.repeat(np.arange(len(structure)), np.diff(edges.edge_offsets))
    steps = edges.vectors + structure.cart_coords[centers] - structure.cart_coords[edges.neighbors]
    cells = structure.lattice.get_fractional_coords(steps)
    np.testing.assert_allclose(cells, cells.round(), atol=1e-9)


def test_each_edge_has_its_reverse():
    batch = batch_of(sample())
    assert torch.equal(batch.reverse[batch.reverse], torch.arange(len(batch.reverse)))
    assert torch.equal(batch.centers[batch.reverse], batch.neighbors)
    torch.testing.assert_close(batch.vectors[batch.reverse], -batch.vectors, rtol=0, atol=1e-12)
    assert not (batch.reverse == torch.arange(len(batch.reverse))).any()


def test_batches_are_cut_from_all_crystals():
    structures = sample()
    crystals = as_crystals(structures)
    packed = pack_edges(crystals, 5.0, "cpu", torch.float64)
    cut, alone = packed.batch([2, 0]), batch_of([structures[2], structures[0]])
    for name in ("centers", "neighbors", "reverse", "vectors", "volumes", "numbers"):
        assert torch.equal(getattr(cut, name), getattr(alone, name))


def test_edges_found_one_way_only_are_dropped():
    # 0 -> 1 and back; 0 -> 1 in the next cell, found from one end only; 1 -> 1 and back.
    center, neighbor = np.array([0, 0, 1, 1, 1]), np.array([1, 1, 0, 1, 1])
    image = np.array([[0, 0, 0], [0, 0, 1], [0, 0, 0], [0, -300, 0], [0, 300, 0]])
    kept, reverse = _pair(center, neighbor, image)
    np.testing.assert_array_equal(kept, [0, 2, 3, 4])
    np.testing.assert_array_equal(reverse, [1, 0, 3, 2])


def test_coordinates_in_other_cells_give_the_same_vectors():
    inside = rattled(Structure(Lattice.cubic(4.2), ["Mg", "O"], [[0.1] * 3, [0.6] * 3]))
    outside = inside.copy()
    for site, step in enumerate(([3, -7, 1], [-2, 0, 9])):
        outside.translate_sites([site], step, to_unit_cell=False)
    first, second = batch_of([inside]), batch_of([outside])
    torch.testing.assert_close(first.vectors, second.vectors, rtol=0, atol=1e-12)
    assert torch.equal(first.neighbors, second.neighbors)


def test_disordered_crystals_are_refused_by_name():
    mixed = Structure(Lattice.cubic(4.0), [{"Mg": 0.5, "Fe": 0.5}, "O"], [[0] * 3, [0.5] * 3])
    with pytest.raises(ValueError, match=r"row 3 has sites that are shared.*order the structure"):
        pack_edges(as_crystals([*sample(), mixed]), 5.0, "cpu", torch.float64)


def angles_by_hand(batch, cutoff):
    """Return the sorted cosines of all pairs of bonds of each site."""
    cosines = []
    for site in range(len(batch.numbers)):
        bonds = [v.numpy() for c, v in zip(batch.centers, batch.vectors, strict=True)
                 if c == site and v.norm() < cutoff]  # fmt: skip
        cosines += [
            a @ b / np.linalg.norm(a) / np.linalg.norm(b)
            for a, b in itertools.combinations(bonds, 2)
        ]
    return np.sort(cosines)


def test_bonds_and_angles_are_those_found_by_hand():
    batch = batch_of(sample())
    near = neighborhood(batch, batch.vectors, 3.0)
    assert len(near.distances) == len(batch.centers) // 2
    assert (near.distances[: near.n_short] < 3.0).all()
    assert (near.distances[near.n_short :] >= 3.0).all()
    torch.testing.assert_close(
        near.distances[near.pairs.index], batch.vectors.norm(dim=1), rtol=1e-12, atol=0
    )
    expected = angles_by_hand(batch, 3.0)
    assert len(expected) > 20
    np.testing.assert_allclose(np.sort(near.cosines().numpy()), expected, atol=1e-12)
    own, other = near.own_legs.index, near.other_legs.index
    assert torch.equal(own, other.roll(len(expected)))
    centers = near.bond_centers.index
    assert torch.equal(centers[own], centers[other])
    bonds = batch.vectors[(near.pairs.index < near.n_short)]
    torch.testing.assert_close(near.directions, bonds / bonds.norm(dim=1, keepdim=True))


def test_a_crystal_without_bonds_has_no_angles():
    batch = batch_of([Structure(Lattice.cubic(4.5), ["Na"], [[0, 0, 0]])])
    near = neighborhood(batch, batch.vectors, 3.0)
    assert (near.n_short, len(near.own_legs), len(near.distances)) == (0, 0, 3)
