"""Merged graphs of nearest neighbours against whole ones, by a network that passes messages."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from skuae.crystals import (
    CrystalGraphs,
    Crystals,
    ReducedGraphs,
    _crystals,
    _graphs,
    _merged,
    as_crystals,
)
from skuae.crystals._graphs import build_graphs

SETTINGS = [(8.0, 12, False), (8.0, 12, True), (3.0, 12, False), (6.0, 1, False)]


@pytest.fixture
def crystals(mp_mini, random_structure, disordered):
    """Real crystals, some of one site and a disordered one, beside lone atoms and random cells."""
    rng = np.random.default_rng(0)
    others = [
        disordered * (2, 1, 1),
        Structure(Lattice.cubic(30), ["Ar"], [[0, 0, 0]]),
        Structure(Lattice.cubic(3.35), ["Po"], [[0.3, 0.3, 0.3]]),
        *(random_structure(rng, 4, skew=2.0, volume_per_site=60) for _ in range(3)),
        random_structure(rng, 5, volume_per_site=60) * (1, 2, 1),
    ]
    return as_crystals([*mp_mini.structures[::25].to_structures(), *others])


def displaced(crystals, amount=0.05):
    """All atoms at random places nearby, `amount` in fractions of the cell edges over 10 Å."""
    noise = np.random.default_rng(0).normal(0, amount / 10, crystals.frac_coords.shape)
    return Crystals(
        crystals.numbers, crystals.frac_coords + noise, crystals.lattices, crystals.offsets
    )


def merged(crystals, *setting):
    return _merged._merged(crystals, *setting)


def edges_of(graphs):
    """Centers and neighbours, both counted from the first site of all crystals."""
    centers = np.repeat(np.arange(graphs.offsets[-1]), np.diff(graphs.edge_offsets))
    crystal = np.searchsorted(graphs.offsets, centers, side="right") - 1
    return centers, graphs.neighbors + graphs.offsets[crystal]


def pass_messages(graphs, first, counts, rounds=6):
    """Return vectors of sites that start from `first` and hear from neighbours `rounds` times."""
    rng = np.random.default_rng(0)
    a, b, c, h = rng.normal(size=(4, 6, 6)) / 2
    centers, neighbors = edges_of(graphs)
    lengths = np.sin(graphs.distances[:, None] * rng.uniform(0.5, 3, 6)) @ c
    x = first
    for _ in range(rounds):
        messages = np.tanh(x[centers] @ a + x[neighbors] @ b + lengths) * counts[:, None]
        total = np.zeros_like(x)
        np.add.at(total, centers, messages)
        x = np.tanh(x @ h) + total / 10
    return x


def element_vectors(crystals):
    table = np.random.default_rng(1).normal(size=(119, 6))
    x = table[crystals.numbers]
    if crystals.occ_sites is not None:
        x[np.unique(crystals.occ_sites)] = 0
        amounts = crystals.occ_values[:, None] * table[crystals.occ_numbers]
        np.add.at(x, crystals.occ_sites, amounts)
    return x


def sites_in_whole(crystals, graphs):
    """Where the sites of merged graphs are in the crystals."""
    return graphs.sites + np.repeat(crystals.offsets[:-1], np.diff(graphs.offsets))


@pytest.mark.parametrize("setting", SETTINGS, ids=repr)
@pytest.mark.parametrize("change", [None, displaced], ids=["symmetric", "displaced"])
def test_a_network_sees_no_difference(crystals, setting, change):
    crystals = crystals if change is None else change(crystals)
    whole, graphs = build_graphs(crystals, *setting), merged(crystals, *setting)
    x = element_vectors(crystals)
    expected = pass_messages(whole, x, np.ones(len(whole.neighbors)))
    sites = sites_in_whole(crystals, graphs)
    got = pass_messages(graphs, x[sites], graphs.edge_counts)
    np.testing.assert_allclose(got, expected[sites], rtol=0, atol=2e-4)

    # Each site is equal to one of those that are kept, and each of these stands for its counts.
    too_near, n_pairs = 0, 0
    for i in range(len(crystals)):
        kept, of_crystal = slice(*graphs.offsets[i : i + 2]), slice(*crystals.offsets[i : i + 2])
        far = np.abs(expected[of_crystal, None] - got[None, kept]).max(axis=2)
        counts = np.bincount(far.argmin(axis=1), minlength=kept.stop - kept.start)
        assert far.min(axis=1).max() < 2e-4
        np.testing.assert_array_equal(counts, graphs.site_counts[kept])
        apart = np.abs(got[kept, None] - got[None, kept]).max(axis=2)
        too_near += np.count_nonzero(apart < 1e-5) - len(apart)
        n_pairs += apart.size
    # What the network cannot tell apart is merged, but for a few distances of nearly one length.
    assert too_near < 0.003 * n_pairs


@pytest.mark.parametrize("setting", SETTINGS, ids=repr)
def test_no_edge_is_lost(crystals, setting):
    whole, graphs = build_graphs(crystals, *setting), merged(crystals, *setting)
    sites, centers = sites_in_whole(crystals, graphs), edges_of(graphs)[0]
    degrees = np.bincount(centers, graphs.edge_counts, minlength=len(sites))
    np.testing.assert_array_equal(degrees, np.diff(whole.edge_offsets)[sites])
    np.testing.assert_array_equal(np.bincount(np.repeat(np.arange(len(graphs)), np.diff(graphs.offsets)), graphs.site_counts), crystals.sizes)  # fmt: skip  # noqa: E501
    for site in range(len(sites)):
        row = slice(*graphs.edge_offsets[site : site + 2])
        expected = whole.distances[slice(*whole.edge_offsets[sites[site] : sites[site] + 2])]
        got = np.repeat(graphs.distances[row], graphs.edge_counts[row])
        np.testing.assert_allclose(np.sort(got), expected, rtol=0, atol=1e-4)
    pairs = np.stack([*edges_of(graphs), np.round(graphs.distances * 1e3)], axis=1)
    assert len(np.unique(pairs, axis=0)) > 0.99 * len(pairs)


def test_real_crystals_have_a_third_of_the_edges(mp_mini):
    crystals = mp_mini.structures[::10]
    graphs = crystals.merged_graph(8.0, 12)
    assert isinstance(graphs, ReducedGraphs)
    assert len(graphs.neighbors) < crystals.n_sites * 12 / 3


def test_a_cut_shell_may_differ_between_equal_sites(perovskite):
    """All oxygens are equal in whole shells; in cut ones, as the lists of neighbours say."""
    crystals = as_crystals([perovskite()])
    assert len(merged(crystals, 8.0, 12, True).sites) == 3
    whole = build_graphs(crystals, 8.0, 12)
    lists = {
        tuple(sorted(crystals.numbers[whole.neighbors[12 * s : 12 * s + 12]])) for s in range(5)
    }
    assert len(merged(crystals, 8.0, 12, False).sites) >= len(lists)


def test_a_ladder_of_distances_is_not_one_distance():
    """Distances that differ by less than the tolerance, one from the next, are not all merged."""
    steps = 2 + 0.9e-4 * np.arange(30)
    points = np.concatenate([[[0, y, 0], [x, y, 0]] for x, y in zip(steps, 9.0 * np.arange(30), strict=True)])  # fmt: skip  # noqa: E501
    structure = Structure(
        Lattice.orthorhombic(30, 300, 30), ["Fe"] * 60, points, coords_are_cartesian=True
    )
    graphs = merged(as_crystals([structure]), 2.1, 12, False)
    kept = np.sort(graphs.distances)
    assert 15 <= len(kept) <= 30
    found = np.repeat(graphs.distances, graphs.site_counts)
    assert np.abs(np.sort(found) - np.repeat(steps, 2)).max() < 1.01e-4


# -- which graphs one gets -------------------------------------------------------------------------


def test_crystals_without_symmetry_have_whole_graphs(crystals):
    shaken = displaced(crystals)
    graphs = shaken.merged_graph(8.0, 12)
    assert isinstance(graphs, CrystalGraphs)
    for name, array in shaken.graph(8.0, 12).arrays().items():
        np.testing.assert_array_equal(getattr(graphs, name), array)


def test_chunks_do_not_show(crystals, monkeypatch):
    expected = merged(crystals, 8.0, 12, False).arrays()
    for size in (1, 7, crystals.n_sites):
        monkeypatch.setattr(_graphs, "CHUNK_SITES", size)
        for name, array in merged(crystals, 8.0, 12, False).arrays().items():
            np.testing.assert_array_equal(expected[name], array)


@pytest.mark.parametrize("change", [None, displaced], ids=["symmetric", "displaced"])
def test_built_once_and_shared_by_slices(crystals, change, monkeypatch):
    crystals = crystals[:] if change is None else change(crystals)
    built = []

    def counted(crystals, *args):
        built.append(len(crystals))
        return _merged.build_merged_graphs(crystals, *args)

    monkeypatch.setattr(_crystals, "build_merged_graphs", counted)
    half = crystals[::2]
    first = half.merged_graph(8.0, 12)
    assert half.merged_graph(8, 12, whole_shell=False) is first
    again = crystals.merged_graph(8.0, 12).take(np.arange(0, len(crystals), 2))
    for name, array in again.arrays().items():
        np.testing.assert_array_equal(getattr(first, name), array)
    assert len(built) == 1


def test_no_crystals_and_no_edges(crystals):
    nothing = crystals[:0].merged_graph(8.0, 12)
    assert len(nothing) == len(nothing.neighbors) == 0
    lone = crystals.merged_graph(0.6, 12)
    assert len(lone) == len(crystals)
    assert len(lone.neighbors) == 0


@pytest.mark.parametrize("setting", [(0.0, 12), (-1.0, 12), (8.0, 0)])
def test_settings_that_find_nothing(crystals, setting):
    with pytest.raises(ValueError, match="must be"):
        crystals.merged_graph(*setting)
