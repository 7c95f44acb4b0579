"""What reaches the compiled search is wrapped, compact and bounded; its answers stay the same."""

from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

import skuae
from skuae.crystals import Crystals, _graphs, _search, as_crystals
from skuae.crystals._graphs import build_graphs
from skuae.crystals._search import Search, _most_pairs, wrap

SETTINGS = [(8.0, 12, False), (8.0, 12, True), (5.0, None, False)]


def salt(scale=1.0):
    lattice = Lattice.cubic(5.64 * scale)
    return Structure.from_spacegroup("Fm-3m", lattice, ["Na", "Cl"], [[0, 0, 0], [0.5] * 3])


def moved(structure, site, axis, step):
    coords = structure.frac_coords
    coords[site, axis] += step
    return Structure(structure.lattice, structure.species, coords)


def recut(structure, matrix):
    """The same crystal with other lattice vectors of the same lattice."""
    matrix = np.array(matrix)
    assert round(abs(np.linalg.det(matrix))) == 1
    lattice = Lattice(matrix @ structure.lattice.matrix)
    return Structure(lattice, structure.species, structure.frac_coords @ np.linalg.inv(matrix))


def assert_images(crystals, graphs):
    """Images lead from a site to a neighbour that is as far as the graph says."""
    crystal = np.repeat(np.arange(len(crystals)), crystals.sizes)
    centers = np.repeat(np.arange(crystals.n_sites), np.diff(graphs.edge_offsets))
    neighbors = graphs.neighbors + crystals.offsets[crystal[centers]]
    steps = crystals.frac_coords[neighbors] + graphs.images - crystals.frac_coords[centers]
    vectors = np.einsum("ei,eij->ej", steps, crystals.lattices[crystal[centers]])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), graphs.distances, atol=1e-5)
    keys = np.column_stack([centers, neighbors, graphs.images])
    assert len(np.unique(keys, axis=0)) == len(keys)


def assert_alike(a, b, atol=1e-5):
    """Both hold the same crystals; neighbours and angles are the same."""
    for setting in SETTINGS:
        first, second = a.graph(*setting), b.graph(*setting)
        np.testing.assert_array_equal(np.diff(first.edge_offsets), np.diff(second.edge_offsets))
        np.testing.assert_allclose(first.distances, second.distances, atol=atol)
    first, second = (c.reduced_graph(8.0, 12, angles=True) for c in (a, b))
    assert sorted(first.site_counts) == sorted(second.site_counts)
    for values, counts in (("distances", "edge_counts"), ("cosines", "angle_counts")):
        one, other = (
            np.sort(np.repeat(getattr(graph, values), getattr(graph, counts)))
            for graph in (first, second)
        )
        np.testing.assert_allclose(one, other, atol=atol)


@pytest.fixture
def searched(monkeypatch):
    """Boxes in Å, and images of sites, that the compiled search is asked for."""
    asked = []
    search = _search.find_points_in_spheres

    def watched(points, centers, *, r, lattice, **options):
        images = (2 * r * np.linalg.norm(np.linalg.inv(lattice), axis=0) + 3).prod()
        asked.append((np.ptp(points, axis=0).max(), len(points) * images))
        return search(points, centers, r=r, lattice=lattice, **options)

    monkeypatch.setattr(_search, "find_points_in_spheres", watched)
    return asked


def test_nobody_else_calls_the_compiled_search():
    package = Path(skuae.__file__).parent
    callers = [
        path.name
        for path in package.rglob("*.py")
        if "find_points_in_spheres" in path.read_text(encoding="utf-8")
    ]
    assert callers == ["_search.py"]


# -- coordinates ----------------------------------------------------------------------------------


def test_wrap():
    given = np.array([[0.25, -0.25, 2.5], [1.0, -1e-17, -0.0], [1 - 2**-53, -5e-324, 1e9]])
    wrapped, cells = wrap(given)
    assert wrapped.tolist() == [[0.25, 0.75, 0.5], [0, 0, 0], [1 - 2**-53, 0, 0]]
    assert cells.tolist() == [[0, -1, 2], [1, 0, 0], [0, 0, 1e9]]
    assert not np.signbit(wrapped).any()


@pytest.mark.parametrize("step", [1, -1, 10, -11, 300, 32768, -40000, 1e9, -1e9])
def test_sites_cells_away(step, searched):
    expected = as_crystals([salt()])
    crystals = as_crystals([moved(salt(), 3, 1, step)])
    assert_alike(crystals, expected)
    assert_images(crystals, crystals.graph(8.0, 12))
    assert_images(crystals, crystals.reduced_graph(8.0, 12, merge=False))
    assert max(box for box, _ in searched) < 6


def test_a_skewed_cell_and_a_site_cells_away(searched):
    carbon = Structure([[2.5, 0, 0], [0, 3.8, 0], [20, 0, 3.7]], ["C", "C"], [[0] * 3, [0.5] * 3])
    crystals = as_crystals([moved(carbon, 1, 2, 1000)])
    assert_alike(crystals, as_crystals([carbon]))
    assert_images(crystals, crystals.graph(8.0, 12))
    assert max(box for box, _ in searched) < 30


def test_coordinates_up_to_ten_cells_away_stay_as_given():
    near, far = moved(salt(), 0, 0, 9.75), moved(salt(), 0, 0, 10.25)
    crystals = as_crystals([near, far])
    assert crystals.frac_coords[0, 0] == 9.75
    assert crystals.frac_coords[8, 0] == 0.25
    np.testing.assert_array_equal(crystals.frac_coords[9:], salt().frac_coords[1:])


@pytest.mark.parametrize("step", [1e12, -1e13, 1e17, 1e300])
def test_coordinates_that_have_lost_their_place(step):
    rows = [salt(), moved(salt(), 2, 0, step), salt()]
    with pytest.raises(
        ValueError, match=r"^row 1 \(b\): fractional coordinates are rounded .*wrap"
    ):
        as_crystals(rows, ids=["a", "b", "c"])


@pytest.mark.parametrize(
    ("dtype", "step", "passes"),
    [
        (np.float32, 0, True),
        (np.float32, 1e5, False),
        (np.float16, 0.1, False),
        (np.longdouble, 1e9, True),
        (object, 1e9, True),
    ],
)
def test_precision_is_that_of_the_numbers_given(dtype, step, passes):
    coords = (salt().frac_coords + step).astype(dtype)
    arrays = [11] * 4 + [17] * 4, coords, [salt().lattice.matrix], [0, 8]
    if passes:
        assert_alike(Crystals(*arrays), as_crystals([salt()]))
    else:
        with pytest.raises(ValueError, match="row 0: fractional coordinates are rounded"):
            Crystals(*arrays)


@pytest.mark.parametrize("value", [1.0, -1e-17, -0.0, 5e-324, -5e-324, 2.0])
def test_coordinates_beside_zero_are_zero(value):
    structure = salt()
    coords = np.where(structure.frac_coords == 0, value, structure.frac_coords)
    crystals = as_crystals([Structure(structure.lattice, structure.species, coords)])
    expected = as_crystals([structure])
    for setting in SETTINGS:
        a, b = crystals.graph(*setting), expected.graph(*setting)
        for name in ("edge_offsets", "neighbors", "distances"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        assert_images(crystals, a)


# -- cells ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "matrix",
    [
        [[1, 0, 0], [4, 1, 0], [16, 4, 1]],
        [[1, 0, 0], [0, 1, 0], [30, -25, 1]],
        [[1, 0, 0], [600, 1, 0], [0, 0, 1]],
        [[0, 1, 0], [1, 0, 0], [-200, 300, 1]],
    ],
    ids=str,
)
def test_skewed_cells_are_searched_in_a_compact_one(matrix, searched):
    """A crystal of 2 Å³ a site, lest the cell is refused before it is as skewed as this."""
    rng = np.random.default_rng(0)
    small = Structure(Lattice.orthorhombic(1.3, 1.4, 1.5), ["H"], rng.uniform(0, 1, (1, 3)))
    skewed = recut(small, matrix)
    arrays = [1], skewed.frac_coords, [skewed.lattice.matrix], [0, 1]
    crystals = Crystals(*arrays)
    assert_alike(crystals, as_crystals([small]), atol=1e-4)
    assert_images(crystals, crystals.graph(8.0, 12))
    assert max(images for _, images in searched) < 1e6


def test_all_ways_to_cut_a_cell_give_the_same_neighbors(random_structure, searched, monkeypatch):
    """With all cells taken for hard ones."""
    monkeypatch.setattr(_search, "_MAX_WORK", 0)
    rng = np.random.default_rng(1)
    structures = [random_structure(rng, 5) for _ in range(10)]
    recuts = []
    for structure in structures:
        matrix = np.eye(3, dtype=int)
        for _ in range(4):
            i, j = rng.choice(3, 2, replace=False)
            matrix[i] += rng.choice([-2, -1, 1, 2]) * matrix[j]
        recuts.append(recut(structure, matrix))
    crystals, plain = as_crystals(recuts), as_crystals(structures)
    for setting in SETTINGS[1:]:
        a, b = crystals.graph(*setting), plain.graph(*setting)
        np.testing.assert_array_equal(a.edge_offsets, b.edge_offsets)
        np.testing.assert_allclose(a.distances, b.distances, atol=1e-5)
        assert_images(crystals, a)
    reference = sorted(n.nn_distance for n in recuts[0].get_neighbors(recuts[0][0], 5.0))
    own = a.distances[: a.edge_offsets[1]]
    np.testing.assert_allclose(own, reference, atol=1e-5)


@pytest.mark.parametrize("place", [[0, 0, 0], [0.5, 0.5, 0.5], [0.3, 0, 0.999]], ids=str)
def test_molecules_in_large_boxes(place, searched):
    """The search sees the molecule and not the box, even across the boundary."""
    atoms = np.array([[0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]])
    lattice = Lattice.cubic(900)
    structure = Structure(lattice, ["O", "H", "H"], np.array(place) + atoms / 900)
    structure = Structure(lattice, structure.species, structure.frac_coords % 1)
    crystals = as_crystals([structure])
    graphs = crystals.graph(8.0, 12)
    np.testing.assert_allclose(
        np.sort(graphs.distances), np.sqrt([0.9257] * 4 + [2.3104] * 2), atol=1e-4
    )
    assert_images(crystals, graphs)
    assert max(box for box, _ in searched) < 2


def test_atoms_far_apart_are_found_in_large_cubes(searched, monkeypatch):
    """Some pairs at either end of a long cell: what is searched farther than asked is left out."""
    ends = np.array([[0, 0, 0.0], [0, 0, 1.2], [0, 0, 4.5], [3, 3, 300], [3, 3, 305.5]])
    lattice = Lattice.orthorhombic(30, 30, 800)
    crystals = as_crystals([Structure(lattice, ["H"] * 5, ends, coords_are_cartesian=True)])
    graphs = crystals.graph(4.0)
    np.testing.assert_allclose(np.sort(graphs.distances), [1.2, 1.2, 3.3, 3.3], atol=1e-5)
    assert_images(crystals, graphs)
    assert_alike(crystals, crystals[[0]])


def test_cells_that_are_longest_across_the_axes():
    rng = np.random.default_rng(0)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    chain = Lattice.orthorhombic(3, 3.2, 600)
    turned = Lattice(chain.matrix @ turn)
    coords = np.c_[np.zeros((200, 2)), np.arange(200) / 200]
    a, b = (as_crystals([Structure(cell, ["Fe"] * 200, coords)]) for cell in (chain, turned))
    assert_alike(a, b, atol=1e-4)


def test_left_handed_cells():
    structure = salt()
    order = [1, 0, 2]
    mirrored = Structure(
        Lattice(structure.lattice.matrix[order]), structure.species, structure.frac_coords[:, order]
    )
    assert np.linalg.det(mirrored.lattice.matrix) < 0
    assert_alike(as_crystals([mirrored]), as_crystals([structure]))


def test_ten_thousand_sites():
    grid = np.stack(np.meshgrid(*[np.arange(22)] * 3), -1).reshape(-1, 3)
    crystals = as_crystals([Structure(Lattice.cubic(66), ["Po"] * 22**3, grid / 22)])
    graphs = crystals.graph(8.0, 6)
    np.testing.assert_allclose(graphs.distances, 3.0, rtol=1e-6)
    assert len(graphs.distances) == 6 * 22**3


# -- bounds ---------------------------------------------------------------------------------------


def test_the_bound_on_pairs_is_above_their_number(random_structure):
    rng = np.random.default_rng(2)
    for n_sites, radius in ((1, 2.0), (1, 9.0), (6, 1.0), (6, 7.0), (40, 3.0), (80, 1.5)):
        structure = random_structure(rng, n_sites, volume_per_site=3.0)
        crystals = Crystals(
            structure.atomic_numbers,
            structure.frac_coords,
            [structure.lattice.matrix],
            [0, n_sites],
        )
        found = len(Search(crystals, range(1), radius).find(0, radius)[0])
        bound = _most_pairs(wrap(structure.frac_coords)[0], structure.lattice.matrix, radius)
        assert found <= bound < 100 * found


def test_too_many_neighbors_are_refused_by_row(searched):
    rng = np.random.default_rng(0)
    sparse, dense = ([200, 0.2], [10, 1.0])
    lattices = [Lattice.cubic(length) for length, _ in (sparse, dense)]
    rows = [
        Structure(lattices[0], ["Fe"], [[0, 0, 0]]),
        Structure(lattices[1], ["H"] * 64, rng.permutation(64)[:, None] // [16, 4, 1] % 4 / 4),
    ]
    crystals = as_crystals(rows, ids=["a", "b"])
    with pytest.raises(ValueError, match=r"row 1 \(b\): 64 sites may have more than 2e\+08 neigh"):
        build_graphs(crystals, 250.0)
    assert len(build_graphs(crystals, 250.0, 12).distances) == 6 + 12 * 64


def test_sites_at_one_point_are_refused_before_the_search():
    crowd = Crystals([1] * 20_000, np.full((20_000, 3), 0.5), [np.eye(3) * 25], [0, 20_000])
    with pytest.raises(ValueError, match=r"row 0: 20000 sites may have more than 2e\+08"):
        crowd.graph(8.0, 12)


@pytest.mark.parametrize("cutoff", [251, 1e9, float("inf")])
def test_cutoff_has_an_end(cutoff):
    with pytest.raises(ValueError, match="cutoff must be at most 250 Å"):
        as_crystals([salt()]).graph(cutoff)


def test_images_beyond_sixteen_bits_are_refused_by_row(monkeypatch):
    small = Structure(Lattice.cubic(1.5), ["H"], [[0] * 3])
    skewed = recut(small, [[1, 0, 0], [300, 1, 0], [0, 0, 1]])
    flat = Crystals([1], [[0, 0, 0]], [skewed.lattice.matrix], [0, 1])
    crystals = Crystals.concatenate([as_crystals([salt()]), flat])
    assert np.abs(crystals.graph(8.0).images).max() > 1000
    monkeypatch.setattr(_graphs, "_MAX_IMAGE", 1000)
    with pytest.raises(ValueError, match="row 1: the cell is so skewed"):
        build_graphs(crystals, 8.0)


# -- crystals without neighbours ------------------------------------------------------------------


def test_warning_names_crystals_in_which_no_atom_has_a_neighbor():
    lone = Structure(Lattice.cubic(30), ["Ar"], [[0, 0, 0]])
    crystals = as_crystals([salt(), lone, salt(), salt(20)], ids=list("abcd"))
    for build in (
        lambda c: c.graph(8.0, 12),
        lambda c: c.merged_graph(8.0, 12),
        lambda c: c.reduced_graph(8.0, 12, angles=True),
    ):
        with pytest.warns(
            UserWarning, match=r"^row 1 \(b\), row 3 \(d\): no atom .* within 8 Å"
        ) as w:
            build(crystals)
        assert w[0].filename == __file__
        with pytest.warns(UserWarning, match=r"^row 0 \(d\): no atom"):
            build(crystals[3:])
    with pytest.warns(UserWarning, match=r"^row 0, row 1, row 2, row 3, row 4 and 3 more: no atom"):
        as_crystals([lone] * 8).graph(8.0)


@pytest.mark.filterwarnings("error")
def test_no_warning_where_some_atom_has_a_neighbor(perovskite):
    far = Structure(Lattice.cubic(30), ["N", "N", "Ar"], [[0, 0, 0], [0, 0, 0.04], [0.5] * 3])
    as_crystals([perovskite(), far]).graph(8.0, 12)
    as_crystals([perovskite()])[:0].graph(8.0, 12)
