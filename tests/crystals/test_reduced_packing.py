"""How reduced graphs are packed, cut, kept and shared; test_reduced.py has what is in them."""

import pickle

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from skuae.crystals import Crystals, _crystals, _graphs, as_crystals
from skuae.crystals._reduced import build_reduced_graphs

OFFSETS = {"offsets": "sites", "edge_offsets": "neighbors", "angle_offsets": "others"}
ARRAYS = (*OFFSETS, "sites", "site_counts", "neighbors", "distances", "edge_counts", "others",
          "cosines", "angle_counts")  # fmt: skip


@pytest.fixture
def crystals(mp_mini, structures, disordered):
    """Real crystals between toys, one of these without edges; they have no parent."""
    lone = Structure(Lattice.cubic(30), ["Ar"], [[0, 0, 0]])
    toys = [lone, *structures, disordered, disordered * (2, 1, 1)]
    return as_crystals(toys + mp_mini.structures[::100].to_structures() + toys)


def assert_same_graphs(a, b):
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


@pytest.mark.parametrize("angles", [True, False])
def test_arrays_fit_together(crystals, angles):
    graphs = crystals.reduced_graph(6.0, 12, angles=angles)
    n_rows = len(crystals)
    for offsets, rows in OFFSETS.items():
        if not angles and offsets == "angle_offsets":
            assert all(getattr(graphs, name) is None for name in (offsets, *ARRAYS[-3:]))
            break
        array = getattr(graphs, offsets)
        assert len(array) == n_rows + 1
        assert array[0] == 0
        assert (np.diff(array) >= 0).all()
        n_rows = array[-1]
        assert len(getattr(graphs, rows)) == n_rows
    for name in ARRAYS:
        array = getattr(graphs, name)
        if array is None:
            continue
        wide, real = name in OFFSETS, name in ("distances", "cosines")
        assert array.dtype == (np.int64 if wide else np.float32 if real else np.int32)
        assert not name.endswith("counts") or array.min() >= 1
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    sizes = np.add.reduceat(graphs.site_counts, graphs.offsets[:-1])
    np.testing.assert_array_equal(sizes, crystals.sizes)
    arrays = [a for a in (getattr(graphs, name) for name in ARRAYS) if a is not None]
    assert graphs.nbytes == sum(a.nbytes for a in arrays)


def test_crystals_are_not_merged(perovskite):
    cells = as_crystals([perovskite()] * 3)
    graphs = cells.reduced_graph(6.0, 12, angles=True)
    assert np.diff(graphs.offsets).tolist() == [3, 3, 3]
    assert graphs.site_counts.tolist() == [1, 1, 3] * 3
    assert_same_graphs(graphs.take([2]), graphs.take([0]))


@pytest.mark.parametrize("moments", [True, False])
@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize("angles", [True, False])
def test_chunks_do_not_show(crystals, monkeypatch, angles, merge, moments):
    setting = (8.0, 12, True, angles, merge, moments)
    whole = build_reduced_graphs(crystals, *setting)
    for size in (1, 7, crystals.n_sites):
        monkeypatch.setattr(_graphs, "CHUNK_SITES", size)
        assert_same_graphs(whole, build_reduced_graphs(crystals, *setting))


@pytest.mark.parametrize("angles", [True, False])
@pytest.mark.parametrize("rows", [[3, 3, 0], [0], [], [-1, 2], slice(None, None, -1)], ids=repr)
def test_a_slice_has_the_graphs_of_the_whole(crystals, rows, angles):
    rows = np.arange(len(crystals))[rows]
    part = crystals[rows]
    fresh = build_reduced_graphs(part, 6.0, 12, True, angles, True, False)
    assert_same_graphs(crystals.reduced_graph(6.0, 12, angles=angles).take(rows), fresh)
    assert_same_graphs(part.reduced_graph(6.0, 12, angles=angles), fresh)


@pytest.mark.parametrize("angles", [True, False])
@pytest.mark.parametrize("merge", [True, False])
def test_moments_of_directions(crystals, merge, angles):
    """Summed over each crystal, they are those of its bonds one by one."""
    graphs = crystals.reduced_graph(5.0, angles=angles, merge=merge, moments=True)
    assert graphs.moments.shape == (len(graphs.neighbors), 6)
    assert graphs.moments.dtype == np.float32
    trace = graphs.moments[:, [0, 3, 5]].sum(axis=1)
    np.testing.assert_allclose(trace, 1, rtol=1e-6)
    whole = crystals.graph(5.0)
    for i, structure in enumerate(crystals.to_structures()):
        owned = slice(*whole.edge_offsets[whole.offsets[[i, i + 1]]])
        degrees = np.diff(whole.edge_offsets[whole.offsets[i] : whole.offsets[i + 1] + 1])
        centers = np.repeat(np.arange(len(structure)), degrees)
        coords = crystals.frac_coords[crystals.offsets[i] : crystals.offsets[i + 1]]
        steps = coords[whole.neighbors[owned]] + whole.images[owned] - coords[centers]
        r = steps @ structure.lattice.matrix
        r /= np.linalg.norm(r, axis=1, keepdims=True)
        expected = (r.T @ r)[np.triu_indices(3)]
        part = graphs.take([i])
        counts = part.edge_counts * np.repeat(part.site_counts, np.diff(part.edge_offsets))
        np.testing.assert_allclose(counts @ part.moments, expected, atol=1e-4 * (len(r) + 1))


def test_built_once_per_setting_and_shared(crystals, monkeypatch):
    built = []

    def counted(crystals, *args):
        built.append(len(crystals))
        return build_reduced_graphs(crystals, *args)

    monkeypatch.setattr(_crystals, "build_reduced_graphs", counted)
    half, n = crystals[::2], len(crystals)
    first = half.reduced_graph(5.0, 12)
    assert half.reduced_graph(5, 12, whole_shell=True, angles=False, merge=True) is first
    assert_same_graphs(crystals.reduced_graph(5.0, 12).take(np.arange(0, n, 2)), first)
    assert built == [n]
    others = {"angles": True}, {"merge": False}, {"whole_shell": False}, {"moments": True}
    for options in others:
        assert half.reduced_graph(5.0, 12, **options) is not first
    assert built == [n] * 5


def test_whole_and_reduced_graphs_of_one_setting_are_kept_apart(crystals):
    graphs = [crystals.graph(5.0, 12, True), crystals.reduced_graph(5.0, 12, True)]
    assert [type(g).__name__ for g in graphs] == ["CrystalGraphs", "ReducedGraphs"]
    assert crystals.graph(5.0, 12, True) is graphs[0]


def test_graphs_are_not_saved(crystals, tmp_path):
    before = len(pickle.dumps(crystals))
    graphs = crystals.reduced_graph(6.0, 12, angles=True)
    assert len(pickle.dumps(crystals)) == before
    crystals.save(tmp_path / "crystals.npz")
    for again in (pickle.loads(pickle.dumps(crystals)), Crystals.load(tmp_path / "crystals.npz")):
        assert not again._derived.ready
        assert_same_graphs(again.reduced_graph(6.0, 12, angles=True), graphs)


@pytest.mark.parametrize("angles", [True, False])
def test_no_crystals(crystals, angles):
    graphs = build_reduced_graphs(crystals[:0], 5.0, 12, True, angles, True, False)
    assert_same_graphs(graphs, crystals[:0].reduced_graph(5.0, 12, angles=angles))
    assert len(graphs) == len(graphs.sites) == len(graphs.neighbors) == 0
    assert (graphs.cosines is not None) == angles


@pytest.mark.parametrize("angles", [True, False])
def test_no_edges(crystals, angles):
    """Elements are all that is left to tell sites apart."""
    graphs = crystals.reduced_graph(0.5, 12, angles=angles)
    assert len(graphs) == len(crystals)
    assert len(graphs.neighbors) == 0
    assert (graphs.edge_offsets == 0).all()
    assert len(graphs.edge_offsets) == len(graphs.sites) + 1
    ordered = ~crystals.is_disordered
    n_elements = np.bincount(crystals.composition()[0], minlength=len(crystals))
    np.testing.assert_array_equal(np.diff(graphs.offsets)[ordered], n_elements[ordered])


def test_settings_that_make_no_sense(crystals):
    for part in (crystals, crystals[:0]):
        for cutoff in (0, -1.0, float("nan")):
            with pytest.raises(ValueError, match="cutoff must be a positive number of Å"):
                part.reduced_graph(cutoff)
        for k in (0, -3):
            with pytest.raises(ValueError, match="max_neighbors must be at least 1 or None"):
                part.reduced_graph(5.0, k)
        for cutoff in (250.1, float("inf")):
            with pytest.raises(ValueError, match="cutoff must be at most 250 Å"):
                part.reduced_graph(cutoff, 12)


def test_the_longest_cutoff():
    """Distances up to the limit are told apart, to the last."""
    cell = Structure(Lattice.orthorhombic(249.5, 249.6, 249.9), ["Ar"], [[0, 0, 0]])
    graphs = as_crystals([cell]).reduced_graph(250, angles=True)
    np.testing.assert_allclose(np.sort(graphs.distances), [249.5, 249.6, 249.9], rtol=1e-7)
    assert graphs.edge_counts.tolist() == [2, 2, 2]
