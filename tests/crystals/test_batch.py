"""Batches cut out of packed tensors, against plain loops over structures."""

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from skuae.crystals import PackedTensors, as_crystals

ROWS = [[0], [4, 0, 2], [1, 1, 3], [5, 4, 3, 2, 1, 0]]


@pytest.fixture
def crystals(structures, disordered):
    """Two crystals are disordered, one is written outside its cell."""
    structures[1].translate_sites([0, 2], [1.25, -3, 0.5], to_unit_cell=False)
    return as_crystals([structures[0], disordered, structures[1], disordered, *structures[2:]])


@pytest.fixture
def ragged(crystals):
    """Sites have different numbers of neighbours, one crystal has none."""
    lone = Structure(Lattice.cubic(30), ["Ar"], [[0, 0, 0]])
    return as_crystals([crystals[0], crystals[1], lone, *crystals[2:6]])


def reference(crystals, rows, graphs):
    """Numbers, sizes, crystal, entries of disordered sites, edges; one by one."""
    numbers, sizes, owner, occupied, edges = [], [], [], [], []
    for b, row in enumerate(rows):
        start = len(numbers)
        structure = crystals[row]
        sizes.append(len(structure))
        for i, site in enumerate(structure):
            amounts = {e.Z: x for e, x in site.species.items()}
            numbers.append(max(amounts, key=amounts.get))
            owner.append(b)
            if amounts != {numbers[-1]: 1}:
                occupied += [(start + i, z, x) for z, x in amounts.items()]
            if graphs is not None:
                first, last = graphs.edge_offsets[crystals.offsets[row] + i :][:2]
                for e in range(first, last):
                    edges.append((start + i, start + graphs.neighbors[e], graphs.distances[e]))
    return numbers, sizes, owner, occupied, edges


@pytest.mark.parametrize("rows", ROWS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("fixed", [True, False])
def test_batch_with_graphs(crystals, ragged, rows, dtype, fixed):
    crystals = crystals if fixed else ragged
    graphs = crystals.graph(5.0, 12) if fixed else crystals.graph(5.0)
    batch = PackedTensors(crystals, graphs, dtype=dtype).batch(np.array(rows))
    numbers, sizes, owner, occupied, edges = reference(crystals, rows, graphs)
    assert len(batch) == len(rows)
    assert batch.numbers.tolist() == numbers
    assert batch.sizes.tolist() == sizes
    assert batch.crystal.tolist() == owner
    assert batch.frac_coords is None
    assert batch.lattices is None
    centers, neighbors, distances = zip(*edges, strict=True)
    assert batch.centers.tolist() == list(centers)
    assert batch.neighbors.tolist() == list(neighbors)
    assert batch.centers.dtype == batch.neighbors.dtype == torch.int64
    assert batch.distances.dtype == dtype
    np.testing.assert_array_equal(batch.distances.numpy(), np.array(distances))
    assert batch.degree == (12 if fixed else None)
    if not occupied:
        assert batch.occ_sites is None
        return
    entries = (batch.occ_sites, batch.occ_numbers, batch.occ_values)
    got = sorted(zip(*(entry.tolist() for entry in entries), strict=True))
    np.testing.assert_allclose(got, sorted(occupied), rtol=1e-6)
    assert batch.occ_values.dtype == dtype


@pytest.mark.parametrize("rows", ROWS, ids=str)
def test_batch_with_coordinates(crystals, rows):
    batch = PackedTensors(crystals, dtype=torch.float64).batch(rows)
    structures = [crystals[row] for row in rows]
    assert batch.sizes.tolist() == [len(s) for s in structures]
    np.testing.assert_allclose(batch.lattices, [s.lattice.matrix for s in structures])
    expected = np.concatenate([s.frac_coords for s in structures]) % 1.0
    np.testing.assert_allclose(batch.frac_coords, expected, atol=1e-12)
    assert batch.centers is None
    assert batch.degree is None


def test_no_occupancies_in_a_batch_of_ordered_crystals(crystals):
    assert PackedTensors(crystals).batch([0, 2, 4]).occ_sites is None
    assert PackedTensors(crystals).batch([0, 1]).occ_sites is not None


@pytest.mark.parametrize("rows", [[2], [2, 2]])
def test_batch_without_edges(ragged, rows):
    batch = PackedTensors(ragged, ragged.graph(5.0, 12)).batch(rows)
    assert batch.centers.tolist() == batch.neighbors.tolist() == batch.distances.tolist() == []
    assert batch.numbers.tolist() == [18] * len(rows)


def reduced_reference(crystals, rows, graphs):
    """Sites, edges and angles of reduced graphs, one by one."""
    sites, edges, angles = [], [], []
    for b, row in enumerate(rows):
        first_site, first_edge = len(sites), len(edges)
        of_crystal = graphs.edge_offsets[graphs.offsets[row]]
        for s in range(*graphs.offsets[row : row + 2]):
            z = crystals.numbers[crystals.offsets[row] + graphs.sites[s]]
            sites.append((z, b, graphs.site_counts[s]))
            for e in range(*graphs.edge_offsets[s : s + 2]):
                neighbor = first_site + graphs.neighbors[e]
                edge = (len(sites) - 1, neighbor, graphs.distances[e], graphs.edge_counts[e])
                edges.append(edge)
                if graphs.angle_offsets is None:
                    continue
                for a in range(*graphs.angle_offsets[e : e + 2]):
                    other = first_edge + graphs.others[a]
                    angle = (len(edges) - 1, other, graphs.cosines[a], graphs.angle_counts[a])
                    angles.append(angle)
        assert first_edge + graphs.edge_offsets[graphs.offsets[row + 1]] - of_crystal == len(edges)
    return sites, edges, angles


@pytest.mark.parametrize("rows", [[0], [2], [1, 1, 3], [5, 2, 4, 2, 0], [6, 5, 4, 3, 2, 1, 0]],
                         ids=str)  # fmt: skip
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("angles", [True, False])
def test_batch_with_reduced_graphs(ragged, rows, dtype, angles):
    graphs = ragged.reduced_graph(5.0, 12, angles=angles)
    assert len(graphs.sites) < ragged.n_sites
    batch = PackedTensors(ragged, graphs, dtype=dtype).batch(np.array(rows))
    assert len(batch) == len(rows)
    assert batch.sizes.tolist() == ragged.sizes[rows].tolist()
    totals = torch.zeros(len(rows), dtype=dtype).index_add(0, batch.crystal, batch.site_counts)
    assert totals.tolist() == batch.sizes.tolist()
    names = [("numbers", "crystal", "site_counts"),
             ("centers", "neighbors", "distances", "edge_counts")]  # fmt: skip
    if angles:
        names.append(("edges", "others", "cosines", "angle_counts"))
        assert (batch.neighbors[batch.edges] == batch.centers[batch.others]).all()
    else:
        assert batch.edges is batch.others is batch.cosines is batch.angle_counts is None
    for part, expected in zip(names, reduced_reference(ragged, rows, graphs), strict=False):
        for name, column in zip(part, zip(*expected, strict=True), strict=bool(expected)):
            got = getattr(batch, name)
            np.testing.assert_array_equal(got.numpy(), np.array(column), err_msg=name)
            real = name in ("distances", "cosines") or name.endswith("counts")
            assert got.dtype == (dtype if real else torch.int64), name
    assert batch.frac_coords is None


@pytest.mark.parametrize("rows", [[1], [1, 3, 1], [5, 4, 3]], ids=str)
def test_species_of_the_sites_that_stay(ragged, rows):
    """Crystals 1 and 4 are disordered; a merged site takes its species along."""
    crystals = as_crystals([s * (1, 1, 2) if i == 1 else s for i, s in enumerate(ragged)])
    batch = PackedTensors(crystals, crystals.reduced_graph(5.0, 12)).batch(rows)
    got = {}
    if batch.occ_sites is not None:
        entries = (batch.occ_sites, batch.occ_numbers, batch.occ_values)
        for site, z, x in zip(*(entry.tolist() for entry in entries), strict=True):
            got.setdefault(site, {})[z] = x
    for site, b in enumerate(batch.crystal.tolist()):
        first = int((batch.crystal < b).sum())
        kinds = crystals.reduced_graph(5.0, 12).take([rows[b]])
        expected = crystals[rows[b]][kinds.sites[site - first]].species
        expected = {e.Z: x for e, x in expected.items()}
        assert got.pop(site, {int(batch.numbers[site]): 1.0}) == pytest.approx(expected)
    assert not got


def test_links(ragged):
    rng = torch.Generator().manual_seed(0)
    reduced = PackedTensors(ragged, ragged.reduced_graph(5.0, 12, angles=True)).batch([2, 0, 3])
    fixed = PackedTensors(ragged[:2], ragged[:2].graph(5.0, 12)).batch([1, 0])
    alike = PackedTensors(ragged[[0, 0]], ragged[[0, 0]].reduced_graph(5.0, 12)).batch([1, 0])
    for links in (reduced.bonds, reduced.angles, fixed.bonds, alike.bonds):
        x = torch.randn(len(links.centers), 3, generator=rng)
        total = torch.zeros(links.n_nodes, 3)
        for row, center in zip(x, links.centers, strict=True):
            total[center] += row
        torch.testing.assert_close(links.sum(x), total)
        assert (links.centers.diff() >= 0).all()
    degrees = [batch.bonds.degree for batch in (reduced, fixed, alike)]
    assert degrees == [None, 12, 2]
    assert reduced.bonds.n_nodes == len(reduced.numbers)
    assert reduced.bonds.counts is reduced.edge_counts
    assert reduced.angles.n_nodes == len(reduced.centers)
    assert reduced.angles.counts is reduced.angle_counts
    assert fixed.bonds.counts is None


@pytest.mark.parametrize("rows", [[2], [2, 2], [2, 0, 2]], ids=str)
def test_reduced_crystals_without_edges(ragged, rows):
    batch = PackedTensors(ragged, ragged.reduced_graph(5.0, 12, angles=True)).batch(rows)
    alone = batch.crystal[batch.bonds.sum(torch.ones(len(batch.centers), 1))[:, 0] == 0]
    assert alone.tolist() == [b for b, row in enumerate(rows) if row == 2]
    if 0 not in rows:
        assert len(batch.centers) == len(batch.cosines) == len(batch.others) == 0


def test_packed_tensors_are_copies(crystals):
    graphs = crystals.graph(5.0, 12)
    packed = PackedTensors(crystals, graphs)
    assert len(packed) == len(crystals)
    before = graphs.distances.copy(), crystals.frac_coords.copy()
    packed.columns["distances"].zero_()
    PackedTensors(crystals).columns["frac_coords"].zero_()
    np.testing.assert_array_equal(graphs.distances, before[0])
    np.testing.assert_array_equal(crystals.frac_coords, before[1])


def test_to_device_moves_everything(crystals):
    packed = PackedTensors(crystals, crystals.graph(5.0, 12))
    moved = packed.batch([0, 1]).to("meta")
    for name in ("numbers", "sizes", "crystal", "centers", "neighbors", "distances", "occ_sites",
                 "occ_numbers", "occ_values"):  # fmt: skip
        assert getattr(moved, name).device.type == "meta", name
    assert moved.degree == 12
    reduced = PackedTensors(crystals, crystals.reduced_graph(5.0, 12, angles=True)).batch([0, 1])
    moved_too = reduced.to("meta").columns
    assert moved_too.keys() == reduced.columns.keys()
    for name, value in moved_too.items():
        assert value.device.type == "meta", name
        assert value.dtype == reduced.columns[name].dtype, name
    assert moved.frac_coords is None
    assert PackedTensors(crystals).batch([0]).to("meta").lattices.device.type == "meta"


@pytest.mark.gpu
def test_batch_on_an_accelerator(crystals):
    device = "cuda" if torch.cuda.is_available() else "mps"
    graphs = crystals.graph(5.0, 12)
    there = PackedTensors(crystals, graphs, device=device).batch(np.array([4, 1, 0])).to("cpu")
    here = PackedTensors(crystals, graphs).batch([4, 1, 0])
    for name in ("numbers", "crystal", "centers", "neighbors", "distances", "occ_values"):
        torch.testing.assert_close(getattr(there, name), getattr(here, name))
