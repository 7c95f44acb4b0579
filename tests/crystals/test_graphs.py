"""Neighbours against pymatgen and against crystals whose shells are known by heart."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from skuae.crystals import Crystals, _crystals, _graphs, _search, as_crystals
from skuae.crystals._graphs import build_graphs

FCC = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]


def edges_of(graphs, crystal):
    """Per site of a crystal: neighbours, distances, images."""
    sites = range(graphs.offsets[crystal], graphs.offsets[crystal + 1])
    cuts = [slice(graphs.edge_offsets[s], graphs.edge_offsets[s + 1]) for s in sites]
    return [(graphs.neighbors[c], graphs.distances[c], graphs.images[c]) for c in cuts]


def assert_vectors(crystals, graphs):
    """Images and neighbours are those of the distances."""
    for i, structure in enumerate(crystals):
        frac = structure.frac_coords
        for site, (neighbors, distances, images) in enumerate(edges_of(graphs, i)):
            vectors = (frac[neighbors] + images - frac[site]) @ structure.lattice.matrix
            np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), distances, atol=1e-5)
            assert len(np.unique(np.column_stack([neighbors, images]), axis=0)) == len(neighbors)
            assert (np.diff(distances) > -1e-5).all()  # nearest first


def assert_same_graphs(a, b):
    assert len(a) == len(b)
    for name in ("offsets", "edge_offsets", "neighbors", "distances", "images"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    assert (a.cutoff, a.max_neighbors, a.whole_shell) == (b.cutoff, b.max_neighbors, b.whole_shell)


@pytest.fixture
def slab():
    """Iron atoms all on one side of the cell, and one alone 5 Å above them."""
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(4)] * 3), -1).reshape(-1, 3) * 2.4
    points = np.concatenate([grid + rng.uniform(-0.2, 0.2, grid.shape), [[4.0, 4.0, 12.4]]])
    lattice = Lattice.orthorhombic(9.6, 9.6, 20)
    return Structure(lattice, ["Fe"] * 64 + ["O"], points, coords_are_cartesian=True)


@pytest.fixture
def menagerie(random_structure, mp_mini, disordered, slab):
    """Real crystals, random cells, flat ones, small ones, sparse ones."""
    rng = np.random.default_rng(3)
    picked = rng.choice(len(mp_mini.structures), 40, replace=False)
    made = mp_mini.structures[picked].to_structures()
    made += [random_structure(rng) for _ in range(10)]
    made += [random_structure(rng, skew=2.0) for _ in range(10)]
    made += [random_structure(rng, 3, volume_per_site=600.0) for _ in range(3)]  # sparse
    made += [
        slab,
        disordered,
        Structure(Lattice.cubic(2.31), ["Po"], [[0.2, 0.2, 0.2]]),
        Structure(Lattice.cubic(60), ["Ar"], [[0.2, 0.9, 0.2]]),
        Structure(Lattice.cubic(60), ["N", "N"], [[0, 0, 0.01], [0, 0, 0.991]]),
        Structure(Lattice.orthorhombic(1.1, 9.3, 14.1), ["H"], [[1.7, -3.2, 0.5]]),
    ]
    return made


@pytest.mark.parametrize("cutoff", [3.05, 8.03])
def test_all_neighbors_are_those_of_pymatgen(menagerie, cutoff):
    crystals = as_crystals(menagerie)
    graphs = crystals.graph(cutoff)
    assert len(graphs) == len(menagerie)
    for i, structure in enumerate(menagerie):
        expected = structure.get_all_neighbors(cutoff)
        for (neighbors, distances, images), reference in zip(
            edges_of(graphs, i), expected, strict=True
        ):
            assert len(neighbors) == len(reference)
            np.testing.assert_allclose(
                distances, np.sort([n.nn_distance for n in reference]), atol=1e-5
            )
            got = {
                (n, *image) for n, image in zip(neighbors.tolist(), images.tolist(), strict=True)
            }
            assert got == {(n.index, *map(int, n.image)) for n in reference}
    assert_vectors(crystals, graphs)


@pytest.mark.parametrize("k", [1, 12])
def test_nearest_neighbors_are_those_of_pymatgen(menagerie, k):
    crystals = as_crystals(menagerie)
    graphs = crystals.graph(8.0, k)
    fewer = 0
    for i, structure in enumerate(menagerie):
        for (_, distances, _), reference in zip(
            edges_of(graphs, i), structure.get_all_neighbors(8.0), strict=True
        ):
            expected = np.sort([n.nn_distance for n in reference])[:k]
            assert len(distances) == len(expected)
            np.testing.assert_allclose(distances, expected, atol=1e-5)
            fewer += len(expected) < k
    assert fewer > 0
    assert_vectors(crystals, graphs)


def test_nearest_are_the_first_of_all(menagerie):
    crystals = as_crystals(menagerie)
    every, nearest = crystals.graph(8.0), crystals.graph(8.0, 12)
    for i in range(len(crystals)):
        for (_, all_, _), (_, few, _) in zip(edges_of(every, i), edges_of(nearest, i), strict=True):
            np.testing.assert_allclose(few, all_[:12], atol=1e-5)


def test_sphere_is_widened_for_sites_that_stand_alone(slab, monkeypatch):
    radii = []
    search = _search.find_points_in_spheres

    def counted(*args, r, **kwargs):
        radii.append(r)
        return search(*args, r=r, **kwargs)

    monkeypatch.setattr(_search, "find_points_in_spheres", counted)
    graphs = build_graphs(as_crystals([slab]), 12.0, 12)
    assert len(radii) > 1
    assert radii == sorted(radii)
    expected = sorted(n.nn_distance for n in slab.get_neighbors(slab[64], 12.0))[:12]
    assert expected[11] > radii[0]
    np.testing.assert_allclose(edges_of(graphs, 0)[64][1], expected, atol=1e-5)


def test_isolated_atoms_have_no_neighbors():
    lone = Structure(Lattice.cubic(30), ["Ar"], [[0, 0, 0]])
    salt = Structure(Lattice.cubic(3.3), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    for k in (None, 12):
        graphs = as_crystals([lone, salt, lone]).graph(8.0, k)
        degrees = np.diff(graphs.edge_offsets)
        assert degrees[0] == degrees[3] == 0
        assert (degrees[1:3] >= 12).all()
        assert (graphs.neighbors < 2).all()
        alone = as_crystals([lone, lone]).graph(8.0, k)
        assert alone.edge_offsets.tolist() == [0, 0, 0]
        assert alone.images.shape == (0, 3)
        assert len(alone.neighbors) == len(alone.distances) == 0


def test_one_atom_cell_sees_its_own_images():
    cubic = as_crystals([Structure(Lattice.cubic(3.0), ["Po"], [[0.7, 0.7, 0.7]])])
    graphs = cubic.graph(4.5)
    assert graphs.neighbors.tolist() == [0] * 18
    np.testing.assert_allclose(graphs.distances, [3.0] * 6 + [18**0.5] * 12, rtol=1e-6)
    first = {tuple(image) for image in graphs.images[:6].tolist()}
    assert first == {(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)}


# Neighbours of a site and their distances in units of the cubic cell.
SHELLS = {
    "simple cubic": ([[0, 0, 0]], [(6, 1.0), (12, 2**0.5), (8, 3**0.5)]),
    "bcc": ([[0, 0, 0], [0.5, 0.5, 0.5]], [(8, 0.75**0.5), (6, 1.0), (12, 2**0.5)]),
    "fcc": (FCC, [(12, 0.5**0.5), (6, 1.0), (24, 1.5**0.5)]),
    "diamond": (
        FCC + [[x + 0.25 for x in site] for site in FCC],
        [(4, 0.1875**0.5), (12, 0.5**0.5), (12, 0.6875**0.5)],
    ),
}


@pytest.mark.parametrize("name", SHELLS)
@pytest.mark.parametrize("k", [1, 4, 6, 8, 12, 13, 16, 20])
def test_whole_shells_of_cubic_lattices(name, k):
    sites, shells = SHELLS[name]
    crystals = as_crystals([Structure(Lattice.cubic(4.0), ["Cu"] * len(sites), sites)])
    cut, whole = crystals.graph(8.1, k), crystals.graph(8.1, k, whole_shell=True)
    assert (np.diff(cut.edge_offsets) == k).all()
    expected = []
    for count, distance in shells:
        if len(expected) < k:
            expected += [4.0 * distance] * count
    for _, distances, _ in edges_of(whole, 0):
        np.testing.assert_allclose(distances, expected, rtol=1e-6)
    for _, distances, _ in edges_of(cut, 0):
        np.testing.assert_allclose(distances, expected[:k], rtol=1e-6)
    assert_vectors(crystals, whole)


def test_a_shell_is_a_thousandth_of_an_angstrom_thick():
    for stretch, degree in ((1.00005, 6), (1.001, 4)):  # 0.0002 and 0.004 Å
        cell = Structure(Lattice.tetragonal(4.0, 4.0 * stretch), ["Po"], [[0, 0, 0]])
        graphs = as_crystals([cell]).graph(8.0, 3, whole_shell=True)
        assert np.diff(graphs.edge_offsets).tolist() == [degree]


def test_a_shell_that_the_small_sphere_cuts_is_kept_whole():
    """The sphere that is searched first ends between the two halves of the third shell."""
    a, b, k = 4.0, 4.0008, 3
    c = 4.0004**3 * 4 * np.pi / (3 * 2 * k * a * b)
    cell = Structure(Lattice.orthorhombic(a, b, c), ["Po"], [[0, 0, 0]])
    graphs = as_crystals([cell]).graph(8.0, k, whole_shell=True)
    np.testing.assert_allclose(graphs.distances, [c, c, a, a, b, b], rtol=1e-6)


def test_whole_shell_of_all_neighbors_changes_nothing(menagerie):
    crystals = as_crystals(menagerie[:10])
    a, b = crystals.graph(5.0), crystals.graph(5.0, None, whole_shell=True)
    np.testing.assert_array_equal(a.distances, b.distances)


def test_among_equal_neighbors_the_lighter_element_comes_first():
    layers = Structure(Lattice.cubic(4.0), ["Au", "Cu", "Cu", "Au"], FCC)  # 4 like, 8 unlike
    neighbors = [n for n, _, _ in edges_of(as_crystals([layers]).graph(5.0, 6), 0)]
    elements = [[layers[j].specie.symbol for j in site] for site in neighbors]
    assert elements[0] == elements[3] == ["Cu"] * 6
    assert elements[1] == elements[2] == ["Cu"] * 4 + ["Au"] * 2


@pytest.mark.parametrize(
    ("k", "whole_shell"), [(12, True), (12, False), (None, False)], ids=["shell", "cut", "all"]
)
@pytest.mark.parametrize("scaling", [(2, 1, 1), [[1, 1, 0], [0, 1, 1], [1, 0, 2]]])
def test_supercells_have_the_same_neighborhoods(mp_mini, k, whole_shell, scaling):
    cells = mp_mini.structures[::100].to_structures()
    copies = 2 if scaling == (2, 1, 1) else 3
    supercells = [cell.make_supercell(scaling, in_place=False) for cell in cells]
    small, large = (as_crystals(s).graph(6.03, k, whole_shell) for s in (cells, supercells))
    for i in range(len(cells)):
        a = [d for _, d, _ in edges_of(small, i) for _ in range(copies)]
        b = [d for _, d, _ in edges_of(large, i)]
        assert [len(d) for d in a] == [len(d) for d in b]
        np.testing.assert_allclose(np.concatenate(a), np.concatenate(b), atol=1e-5)


def test_cells_written_elsewhere_have_the_same_neighbors(mp_mini):
    """Sites moved by lattice vectors keep their neighbours; images move along."""
    rng = np.random.default_rng(0)
    crystals = mp_mini.structures[::60]
    moved = crystals.frac_coords + rng.integers(-2, 3, (crystals.n_sites, 3))
    again = Crystals(crystals.numbers, moved, crystals.lattices, crystals.offsets)
    a, b = crystals.graph(6.0, 12), again.graph(6.0, 12)
    np.testing.assert_array_equal(a.edge_offsets, b.edge_offsets)
    np.testing.assert_allclose(a.distances, b.distances, atol=1e-5)
    assert_vectors(again, b)


# -- a crystal's graph is its own ------------------------------------------------------------------


def test_graph_of_a_crystal_does_not_depend_on_the_others(mp_mini):
    crystals = mp_mini.structures[::40]
    together = build_graphs(crystals, 8.0, 12)
    rng = np.random.default_rng(0)
    for rows in (rng.permutation(len(crystals)), np.array([7]), np.arange(0, len(crystals), 3)):
        assert_same_graphs(together.take(rows), build_graphs(crystals[rows], 8.0, 12))


def test_chunks_do_not_show(mp_mini, monkeypatch):
    crystals = mp_mini.structures[::80]
    whole = build_graphs(crystals, 6.0, 12)
    for size in (1, 50, crystals.n_sites):
        monkeypatch.setattr(_graphs, "CHUNK_SITES", size)
        assert_same_graphs(whole, build_graphs(crystals, 6.0, 12))


@pytest.mark.parametrize("rows", [[3, 3, 0], [], [-1, 2]], ids=repr)
def test_take(menagerie, rows):
    crystals = as_crystals(menagerie[:8])
    rows = np.array(rows, dtype=int) % 8
    assert_same_graphs(crystals.graph(5.0, 6).take(rows), build_graphs(crystals[rows], 5.0, 6))


# -- built once ------------------------------------------------------------------------------------


@pytest.fixture
def built(monkeypatch):
    """Sizes of the crystals that graphs are built for."""
    sizes = []

    def counted(crystals, *args):
        sizes.append(len(crystals))
        return build_graphs(crystals, *args)

    monkeypatch.setattr(_crystals, "build_graphs", counted)
    return sizes


@pytest.fixture
def crystals(mp_mini):
    names = ("numbers", "frac_coords", "lattices", "offsets")
    part = mp_mini.structures[:20]
    return Crystals(*(getattr(part, name) for name in names))  # has no parent


def test_graphs_are_kept_per_setting(crystals, built):
    first = crystals.graph(5.0, 12)
    assert crystals.graph(5, 12) is first
    assert crystals.graph(5.0, 12, whole_shell=False) is first
    assert built == [20]
    assert crystals.graph(5.0, 12, whole_shell=True) is not first
    assert crystals.graph(5.0, 8) is not first
    assert crystals.graph(5.0) is not first
    assert crystals.graph(6.0, 12) is not first
    assert built == [20] * 5


def test_folds_share_the_graphs_of_the_whole(crystals, built):
    folds = np.array_split(np.arange(20), 3)
    for fold in folds:
        train, test = crystals[np.setdiff1d(np.arange(20), fold)], crystals[fold]
        for part in (train, test, train[:4]):
            assert_same_graphs(part.graph(5.0, 12), build_graphs(part, 5.0, 12))
    assert built == [20]


def test_a_small_part_builds_its_own(crystals, built):
    part = crystals[:1]
    part.graph(5.0, 12)
    assert built == [1]
    crystals.graph(5.0, 12)
    assert built == [1, 20]
    other = crystals[3:6]
    assert_same_graphs(other.graph(5.0, 12), build_graphs(other, 5.0, 12))
    assert built == [1, 20]


def test_a_small_part_does_not_keep_the_whole_alive(crystals):
    assert crystals[:1]._derived.parent is None
    assert crystals[:5]._derived.parent[0] is crystals


def test_graphs_of_no_crystals(crystals):
    graphs = crystals[:0].graph(5.0, 12)
    assert len(graphs) == 0
    assert len(graphs.distances) == 0


# -- odds and ends ---------------------------------------------------------------------------------


def test_arrays_are_small_and_read_only(crystals):
    graphs = crystals.graph(8.0, 12)
    n_edges = 12 * crystals.n_sites
    n_bounds = len(crystals) + 1 + crystals.n_sites + 1
    assert graphs.nbytes == n_edges * (4 + 4 + 6) + 8 * n_bounds
    for name in ("edge_offsets", "neighbors", "distances", "images"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(graphs, name)[0] = 1


def test_settings_that_make_no_sense(crystals):
    for cutoff in (0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="cutoff must be a positive number of Å"):
            crystals.graph(cutoff)
    for k in (0, -3):
        with pytest.raises(ValueError, match="max_neighbors must be at least 1 or None"):
            crystals.graph(5.0, k)
