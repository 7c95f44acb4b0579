"""Reduced graphs against plain loops over whole ones, and against networks that pass messages."""

from types import SimpleNamespace

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from skuae.crystals import _colors, as_crystals

# -- one crystal's graph, whole or reduced, in one form --------------------------------------------


def graph_of(graphs, i):
    """Crystal i of packed reduced graphs."""
    sites = slice(*graphs.offsets[i : i + 2])
    edges = slice(*graphs.edge_offsets[[sites.start, sites.stop]])
    degrees = np.diff(graphs.edge_offsets[sites.start : sites.stop + 1])
    graph = SimpleNamespace(
        sites=graphs.sites[sites], site_counts=graphs.site_counts[sites],
        centers=np.repeat(np.arange(len(degrees)), degrees), neighbors=graphs.neighbors[edges],
        distances=graphs.distances[edges].astype(float), edge_counts=graphs.edge_counts[edges],
    )  # fmt: skip
    if graphs.angle_offsets is not None:
        angles = slice(*graphs.angle_offsets[[edges.start, edges.stop]])
        degrees = np.diff(graphs.angle_offsets[edges.start : edges.stop + 1])
        graph.edges = np.repeat(np.arange(len(degrees)), degrees)
        graph.others, graph.cosines = graphs.others[angles], graphs.cosines[angles].astype(float)
        graph.angle_counts = graphs.angle_counts[angles]
    return graph


def parts_of(graph, structure, angles=True):
    """Sites, edges and angles as rows of numbers that say what they are, and how many there are."""
    z = np.array([sum(e.Z * x**2 for e, x in site.species.items()) for site in structure])
    z = z[graph.sites]
    n_edges = graph.site_counts[graph.centers] * graph.edge_counts
    ends = np.column_stack([z[graph.centers], z[graph.neighbors], graph.distances])
    parts = [(z[:, None], graph.site_counts), (ends, n_edges)]
    if angles:
        rows = np.column_stack([ends[graph.edges], ends[graph.others], graph.cosines])
        assert (graph.neighbors[graph.edges] == graph.centers[graph.others]).all()
        parts.append((rows, n_edges[graph.edges] * graph.angle_counts))
    return parts


def assert_same_rows(a, b, atol):
    """Rows that occur so many times each are the same, in any order: so are their projections."""
    (a, n_a), (b, n_b) = a, b
    assert (n_a > 0).all()
    assert n_a.sum() == n_b.sum()
    for direction in np.random.default_rng(0).normal(size=(8, a.shape[1])):
        x, y = (np.sort(np.repeat(r @ direction, n)) for r, n in ((a, n_a), (b, n_b)))
        np.testing.assert_allclose(x, y, rtol=0, atol=atol * np.abs(direction).sum())


def assert_same_parts(a, b, atol=1e-4, copies=1):
    """Every kind of site, edge and angle of b occurs as often in a, times copies."""
    assert len(a) == len(b)
    for (rows, n), other in zip(a, b, strict=True):
        assert (n % copies == 0).all()
        assert_same_rows((rows, n // copies), other, atol)


class Network:
    """A random network that passes messages: every kind of term that the models have."""

    def __init__(self, rounds, angles, seed=0):
        rng = np.random.default_rng(seed)
        self.rounds, self.angles = rounds, angles
        self.elements = rng.normal(size=(119, 6))
        self.lengths, self.cosines = rng.uniform(0.5, 3, (2, 6))
        self.weights = rng.normal(size=(8, 6, 6)) / 3

    def __call__(self, graph, structure):
        """Return vectors of sites and of edges."""
        z = [sum(self.elements[e.Z] * x for e, x in s.species.items()) for s in structure]
        a, b, c, d, f, g, h, k = self.weights
        x = np.array(z)[graph.sites]
        y = np.sin(graph.distances[:, None] * self.lengths)
        for _ in range(self.rounds):
            if self.angles:
                angle = np.sin(2 * graph.cosines[:, None] * self.cosines) @ d
                message = np.tanh(y[graph.edges] @ f + y[graph.others] @ g + angle)
                total = np.zeros_like(y)
                np.add.at(total, graph.edges, message * graph.angle_counts[:, None])
                y = y + total / 10
            message = np.tanh(x[graph.centers] @ a + x[graph.neighbors] @ b + y @ c)
            total = np.zeros_like(x)
            np.add.at(total, graph.centers, message * graph.edge_counts[:, None])
            x, y = np.tanh(x @ h) + total / 10, y + np.tanh(message @ k)
        return x, y


def assert_network_sees_no_difference(whole, reduced, structure, rounds, angles, rtol=1e-4):
    network = Network(rounds, angles)
    x, y = network(whole, structure)
    x_reduced, y_reduced = network(reduced, structure)
    scale = np.abs(x).max()
    np.testing.assert_allclose(x[reduced.sites], x_reduced, rtol=0, atol=rtol * scale)
    n_edges = reduced.site_counts[reduced.centers] * reduced.edge_counts
    assert_same_rows((x_reduced, reduced.site_counts), (x, whole.site_counts), rtol * scale)
    if len(y):
        scale = np.abs(y).max()
        assert_same_rows((y_reduced, n_edges), (y, whole.edge_counts), rtol * scale)


def reduced(structure, cutoff=6.0, k=12, **options):
    return graph_of(as_crystals([structure]).reduced_graph(cutoff, k, **options), 0)


def n_kinds(structure, cutoff=6.0, k=12, **options):
    return len(reduced(structure, cutoff, k, **options).sites)


# -- crystals --------------------------------------------------------------------------------------


def rocksalt():
    return Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )


def chain(species, spacing=2.0):
    """Atoms in a row, the rows far apart."""
    n = len(species)
    points = [[0, 0, i / n] for i in range(n)]
    return Structure(Lattice.orthorhombic(20, 20, spacing * n), species, points)


@pytest.fixture
def menagerie(mp_mini, random_structure, perovskite, disordered):
    """60 real crystals and some others."""
    rng = np.random.default_rng(0)
    outside = perovskite("Ba", "Zr")
    outside.translate_sites([0, 3], [2.25, -3, 0.5], to_unit_cell=False)
    toys = [
        rocksalt(),
        perovskite(),
        outside,
        disordered,
        disordered * (2, 1, 1),
        Structure(Lattice.cubic(3.35), ["Po"], [[0.3, 0.3, 0.3]]),
        Structure(Lattice.cubic(30), ["Ar"], [[0, 0, 0]]),
        Structure(Lattice.cubic(30), ["N", "N"], [[0, 0, 0.01], [0, 0, 0.975]]),
        Structure(Lattice.orthorhombic(1.1, 9.3, 14.1), ["H"], [[1.7, -3.2, 0.5]]),
        chain(["Fe"] * 6 + ["Ni"]),
        *(random_structure(rng, 4, skew=2.0, volume_per_site=60) for _ in range(6)),
        *(random_structure(rng, 5, volume_per_site=60) * (1, 2, 1) for _ in range(2)),
    ]
    return mp_mini.structures[::43].to_structures()[:60] + toys


# -- exactness -------------------------------------------------------------------------------------


@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize("angles", [True, False])
@pytest.mark.parametrize(("cutoff", "k"), [(8.0, 12), (3.6, None)])
def test_every_site_edge_and_angle_is_there(menagerie, cutoff, k, angles, merge, whole_graph):
    graphs = as_crystals(menagerie).reduced_graph(cutoff, k, angles=angles, merge=merge)
    assert len(graphs) == len(menagerie)
    for i, structure in enumerate(menagerie):
        whole, graph = whole_graph(structure, cutoff, k), graph_of(graphs, i)
        assert_same_parts(parts_of(graph, structure, angles), parts_of(whole, structure, angles))
        assert_network_sees_no_difference(whole, graph, structure, rounds=3, angles=angles)
        if not merge:
            np.testing.assert_array_equal(graph.sites, whole.sites)
            assert (graph.site_counts == 1).all()


def test_cut_shells(mp_mini):
    """The nearest 12 of a site, shells or not, and those that have it among their nearest 12."""
    crystals = mp_mini.structures[::200]
    graphs = crystals.reduced_graph(8.0, 12, whole_shell=False)
    cut = crystals.graph(8.0, 12)
    for i, structure in enumerate(crystals):
        first, last = crystals.offsets[i : i + 2]
        found = set()
        for site in range(first, last):
            for e in range(*cut.edge_offsets[site : site + 2]):
                image, j = cut.images[e].astype(int), int(cut.neighbors[e])
                found |= {(site - first, j, *image), (j, site - first, *-image)}
        graph = graph_of(graphs, i)
        assert (graph.site_counts[graph.centers] * graph.edge_counts).sum() == len(found)
        degrees = np.bincount(graph.centers, graph.edge_counts)
        assert_same_rows(
            (degrees[:, None], graph.site_counts),
            (np.bincount([i for i, *_ in found])[:, None], np.ones(len(structure), dtype=int)),
            atol=0,
        )


def test_a_ladder_of_distances_is_not_one_distance(whole_graph):
    """Each distance is closer than the tolerance to the next, all together span 0.018 Å."""
    steps = 2 + 0.9 * _colors.TOLERANCE * np.random.default_rng(0).permutation(200)
    points = np.column_stack([np.zeros((200, 2)), np.cumsum(steps)])
    lattice = Lattice.orthorhombic(20, 20, steps.sum())
    structure = Structure(lattice, ["Fe"] * 200, points, coords_are_cartesian=True)
    whole, graph = whole_graph(structure, 2.1, None), reduced(structure, 2.1, None)
    assert_same_parts(parts_of(graph, structure, False), parts_of(whole, structure, False))
    assert_network_sees_no_difference(whole, graph, structure, 3, angles=False, rtol=1e-5)


def test_a_ladder_of_angles_is_not_one_angle(whole_graph):
    x = 1.8 * _colors.TOLERANCE * np.arange(200)  # the cosines are half of that
    bent = np.column_stack([x, np.zeros(200), np.sqrt(4 - x**2)])
    places = np.array([[10.0 * i, 10.0 * j, 0] for i in range(20) for j in range(10)])
    points = np.concatenate([places, places + np.array([2, 0, 0]), places + bent])
    lattice = Lattice.orthorhombic(200, 100, 10)
    structure = Structure(lattice, ["C"] * 200 + ["O"] * 400, points, coords_are_cartesian=True)
    assert n_kinds(structure, 2.1, None) == 2
    whole, graph = whole_graph(structure, 2.1, None), reduced(structure, 2.1, None, angles=True)
    assert_same_parts(parts_of(graph, structure), parts_of(whole, structure))
    assert_network_sees_no_difference(whole, graph, structure, 3, angles=True, rtol=1e-5)


@pytest.mark.parametrize("angles", [True, False])
def test_a_glass_has_no_symmetry(angles, whole_graph):
    structure = Structure(Lattice.cubic(2.7), ["Si"], [[0, 0, 0]]) * (5, 5, 4)
    structure.perturb(0.5)  # draws from the seeded generator
    whole, graph = whole_graph(structure, 6.0, 12), reduced(structure, 6.0, 12, angles=angles)
    assert graph.sites.tolist() == list(range(100))
    assert (graph.edge_counts == 1).all()
    parts = (parts_of(g, structure, angles) for g in (graph, whole))
    assert_same_parts(*parts, atol=1e-6)
    assert_network_sees_no_difference(whole, graph, structure, 4, angles, rtol=1e-6)


def test_angles_of_a_straight_chain_and_of_the_way_back():
    graph = reduced(chain(["C", "N"]), 2.1, None, angles=True)
    assert graph.site_counts.tolist() == [1, 1]
    assert graph.edge_counts.tolist() == [2, 2]
    got = sorted(zip(graph.edges.tolist(), graph.cosines.tolist(), strict=True))
    assert got == [(0, -1), (0, 1), (1, -1), (1, 1)]
    assert graph.angle_counts.tolist() == [1] * 4
    assert graph.others.tolist() == [1, 1, 0, 0]


def test_one_atom_cell():
    graph = reduced(Structure(Lattice.cubic(3.0), ["Po"], [[0.7, 0.7, 0.7]]), 3.1, 12, angles=True)
    assert graph.edge_counts.tolist() == [6]
    np.testing.assert_allclose(graph.distances, 3.0)
    got = dict(zip(graph.cosines.round(6).tolist(), graph.angle_counts.tolist(), strict=True))
    assert got == {-1: 1, 0: 4, 1: 1}


# -- what is merged --------------------------------------------------------------------------------


@pytest.mark.parametrize("angles", [True, False])
def test_sites_of_symmetric_crystals(perovskite, angles):
    graph = reduced(rocksalt(), 6.0, 12, angles=angles)
    assert graph.site_counts.tolist() == [4, 4]
    assert sorted(graph.edge_counts.tolist()) == [6, 6, 12, 12]
    assert n_kinds(perovskite(), angles=angles) == 3
    assert n_kinds(perovskite() * (2, 3, 1), angles=angles) == 3
    assert n_kinds(perovskite(), angles=angles, merge=False) == 5


@pytest.mark.filterwarnings("ignore::DeprecationWarning:spglib")
@pytest.mark.parametrize("angles", [True, False])
def test_orbits_of_the_space_group_are_merged(mp_mini, angles):
    crystals = mp_mini.structures[::43]
    graphs = crystals.reduced_graph(8.0, 12, angles=angles)
    merged = 0
    for i, structure in enumerate(crystals):
        orbit = SpacegroupAnalyzer(structure, 1e-6).get_symmetry_dataset().equivalent_atoms
        kinds = graph_of(graphs, i).sites
        assert set(kinds) <= set(orbit), structure  # both name the first of a kind
        merged += len(structure) - len(kinds)
    assert merged > crystals.n_sites / 3


def same_crystal(name, structure, rng):
    """The structure written in another way."""
    lattice, frac = structure.lattice, structure.frac_coords
    if name == "supercell":
        return structure * (2, 1, 1)
    if name == "skewed supercell":
        return structure.make_supercell([[1, 1, 0], [0, 1, 1], [1, 0, 2]], in_place=False)
    if name == "permuted":
        return Structure.from_sites([structure[i] for i in rng.permutation(len(structure))])
    if name == "rotated":
        rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        lattice = Lattice(lattice.matrix @ rotation * np.linalg.det(rotation))
    elif name == "mirrored":
        lattice = Lattice(lattice.matrix * [1, 1, -1])
    elif name == "translated":
        frac = frac + rng.uniform(size=3)
    elif name == "elsewhere":
        frac = frac + rng.integers(-3, 4, frac.shape)
    return Structure(lattice, structure.species_and_occu, frac)


@pytest.mark.parametrize(
    ("name", "copies"),
    [("supercell", 2), ("skewed supercell", 3), ("permuted", 1), ("rotated", 1), ("mirrored", 1),
     ("translated", 1), ("elsewhere", 1)],
)  # fmt: skip
def test_a_crystal_written_in_another_way_has_the_same_graph(menagerie, name, copies):
    rng = np.random.default_rng(0)
    structures = menagerie[::3]
    written = [same_crystal(name, s, rng) for s in structures]
    a, b = (as_crystals(s).reduced_graph(8.0, 12, angles=True) for s in (written, structures))
    for array in ("offsets", "edge_offsets", "angle_offsets"):
        assert getattr(a, array)[-1] == getattr(b, array)[-1]
    for i, (other, structure) in enumerate(zip(written, structures, strict=True)):
        rows = []
        for graph, s in ((graph_of(a, i), other), (graph_of(b, i), structure)):
            assert graph.sites.tolist() == sorted(graph.sites)
            rows.append(parts_of(graph, s))
        assert_same_parts(*rows, atol=1e-5, copies=copies)
        for (one, n), (two, m) in zip(*rows, strict=True):  # each kind once, with its count
            one, two = np.column_stack([one, n // copies]), np.column_stack([two, m])
            assert_same_rows((one, np.ones_like(n)), (two, np.ones_like(m)), 1e-5)


@pytest.mark.parametrize(("shift", "merged"), [(1e-6, True), (2e-5, True), (1e-2, False)])
@pytest.mark.parametrize("angles", [True, False])
def test_nearly_symmetric(perovskite, shift, merged, angles, whole_graph):
    structure = perovskite() * (2, 2, 1)
    structure.translate_sites([7], [0.6 * shift, 0.8 * shift, 0], frac_coords=False)
    whole, graph = whole_graph(structure, 6.0, 12), reduced(structure, angles=angles)
    assert len(graph.sites) == 3 if merged else len(graph.sites) > 10
    assert_network_sees_no_difference(whole, graph, structure, 4, angles)
    if merged:  # what is one has the mean of what was many
        means = []
        for rows, n in (parts_of(g, structure, angles)[-1] for g in (graph, whole)):
            kinds = np.unique(rows.round(2), axis=0, return_inverse=True)[1]
            means.append(np.bincount(kinds, n * rows[:, -1]) / np.bincount(kinds, n))
        np.testing.assert_allclose(*means, rtol=0, atol=1e-7)


# -- what is not -----------------------------------------------------------------------------------


@pytest.mark.parametrize("angles", [True, False])
@pytest.mark.parametrize("n", [7, 61])
def test_sites_that_differ_far_away(n, angles):
    structure = chain(["Fe"] * (n - 1) + ["Ni"])
    assert n_kinds(structure, 2.1, None, angles=angles) == (n + 1) // 2
    assert n_kinds(chain(["Fe"] * n), 2.1, None, angles=angles) == 1


def test_sites_that_differ_in_the_third_shell():
    """Two of three iron atoms in a plane have oxygen 4.1 Å above, the third nitrogen."""
    points = [[x, 0, 0] for x in (0, 10, 20)] + [[x, 0, 4.1] for x in (0, 10, 20)]
    points += [[x, y, 0] for x in (0, 10, 20) for y in (-2, 2)]
    points += [[x, y, 0] for x in (0, 10, 20) for y in (-3, 3)]
    species = ["Fe"] * 3 + ["O", "O", "N"] + ["C"] * 6 + ["H"] * 6
    lattice = Lattice.orthorhombic(30, 16, 16)
    structure = Structure(lattice, species, points, coords_are_cartesian=True)
    assert reduced(structure, 4.2, None).site_counts[:2].tolist() == [2, 1]
    assert n_kinds(structure, 4.0, None) == 5


def test_sites_that_differ_by_angles_alone():
    """Two triples of atoms, one straight, one bent."""

    def molecules(bend):
        points = [[0, 0, 2], [0, 0, 0], [0, 0, -2], [10, 0, 2], [10, 0, 0]]
        points.append([10 + 2 * np.sin(bend), 0, -2 * np.cos(bend)])
        return Structure(Lattice.cubic(20), list("OCOOCO"), points, coords_are_cartesian=True)

    graph = reduced(molecules(1.0), 2.1, None, angles=True)
    assert graph.site_counts.tolist() == [2, 1, 2, 1]
    assert len(graph.distances) == 4
    assert n_kinds(molecules(1.0), 2.1, None, angles=False) == 2
    assert n_kinds(molecules(0.01), 2.1, None, angles=True) == 2  # the cosine differs by 5e-5


def test_cis_and_trans():
    """Arms of a square end straight or bent. Which is opposite to which shows only after that."""
    arms = np.array([[2.0, 0, 0], [0, 2, 0], [-2, 0, 0], [0, -2, 0]])
    points = []
    for place, bent in (([0, 0, 0], (0, 2)), ([0, 12, 0], (0, 1))):
        ends = [[0, 0, 2] if i in bent else arm for i, arm in enumerate(arms)]
        points.append(place + np.concatenate([[[0, 0, 0]], arms, arms + ends]))
    cell, species = Lattice.cubic(24), (["Pt"] + ["O"] * 4 + ["H"] * 4) * 2
    structure = Structure(cell, species, np.concatenate(points), coords_are_cartesian=True)
    assert n_kinds(structure, 2.1, None, angles=False) == 3
    graph = reduced(structure, 2.1, None, angles=True)
    assert graph.site_counts.tolist() == [1, 2, 2, 2, 2] * 2


def test_occupancies():
    for first, second, kinds in [
        ({"Cu": 0.7, "Au": 0.3}, {"Cu": 0.7, "Au": 0.3}, 1),
        ({"Cu": 0.7, "Au": 0.3}, {"Au": 0.3, "Cu": 0.7}, 1),
        ({"Cu": 0.7, "Au": 0.3}, {"Cu": 0.6, "Au": 0.4}, 2),
        ({"Cu": 0.7, "Au": 0.3}, {"Cu": 0.7, "Ag": 0.3}, 2),
        ({"Cu": 0.7}, {"Cu": 0.6}, 2),
        ({"Cu": 0.7}, "Cu", 2),
    ]:
        cell = Lattice.tetragonal(3.0, 6.0)
        structure = Structure(cell, [first, second], [[0, 0, 0], [0, 0, 0.5]])
        assert n_kinds(structure) == kinds, (first, second)
