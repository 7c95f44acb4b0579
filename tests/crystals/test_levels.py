"""Columns that are declared once are taken, joined, saved and batched by the code of levels."""

import copy
import dataclasses
import itertools
import pickle
from dataclasses import dataclass, fields
from typing import Annotated

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from skuae.crystals import Crystals, PackedTensors, ReducedGraphs, as_crystals
from skuae.crystals._graphs import CrystalGraphs
from skuae.crystals._levels import Column, schema_of


@dataclass(frozen=True, eq=False, kw_only=True)
class ToyGraphs(CrystalGraphs):
    """Graphs with one more column on each level."""

    targets: Annotated[np.ndarray, Column("crystals", np.float64)]
    partners: Annotated[np.ndarray, Column("sites", np.int32, refers_to="sites")]
    orders: Annotated[np.ndarray, Column("edges", np.float32, (2,))]
    reverse: Annotated[np.ndarray | None, Column("edges", np.int64, refers_to="edges")] = None
    source: str = "toy"


TOY_COLUMNS = ("targets", "partners", "orders", "reverse")


@pytest.fixture
def crystals(structures, disordered):
    """One crystal has no edges, one is disordered."""
    lone = Structure(Lattice.cubic(30), ["Ar"], [[0, 0, 0]])
    return as_crystals([structures[0], lone, disordered, *structures[1:]])


@pytest.fixture
def toy(crystals):
    rng = np.random.default_rng(0)
    graphs = crystals.graph(4.0)
    n_edges = len(graphs.neighbors)
    sites = [rng.permutation(n) for n in crystals.sizes]
    of_crystal = np.diff(graphs.edge_offsets[graphs.offsets])
    return ToyGraphs(
        **graphs.arrays(),
        **graphs.settings(),
        targets=rng.normal(size=len(crystals)),
        partners=np.concatenate(sites),
        orders=rng.normal(size=(n_edges, 2)),
        reverse=np.concatenate([rng.permutation(n) for n in of_crystal]),
    )


def assert_same(a, b):
    assert type(a) is type(b)
    assert a.settings() == b.settings()
    for name in schema_of(type(a)):
        x, y = getattr(a, name), getattr(b, name)
        assert (x is None) == (y is None), name
        if x is not None:
            np.testing.assert_array_equal(x, y, err_msg=name)
            assert x.dtype == y.dtype == schema_of(type(a))[name].dtype
            with pytest.raises(ValueError, match="read-only"):
                x.flat[:1] = 0


def pieces(graphs, name, rows):
    """Entries of a column by crystal: one by one, by plain slices."""
    level = schema_of(type(graphs))[name].level
    bounds = {"crystals": np.arange(len(graphs) + 1), "sites": graphs.offsets}
    bounds["edges"] = graphs.edge_offsets[graphs.offsets]
    if getattr(graphs, "angle_offsets", None) is not None:
        bounds["angles"] = graphs.angle_offsets[bounds["edges"]]
    cuts = list(itertools.pairwise(bounds[level]))
    return [getattr(graphs, name)[slice(*cuts[row])] for row in rows]


# -- a column that is declared once ----------------------------------------------------------------


@pytest.mark.parametrize("rows", [[2], [5, 1, 1, 0], [1]], ids=str)
def test_a_declared_column_is_taken(toy, rows):
    part = toy.take(rows)
    assert part.source == "toy"
    for name in TOY_COLUMNS:
        np.testing.assert_array_equal(
            getattr(part, name), np.concatenate(pieces(toy, name, rows)), err_msg=name
        )


def test_a_declared_column_is_joined(toy):
    parts = [toy.take([3, 0]), toy.take([1]), toy.take(range(len(toy)))]
    assert_same(ToyGraphs.concatenate(parts), toy.take([3, 0, 1, *range(len(toy))]))


def test_a_declared_column_is_saved(toy, tmp_path):
    toy.save(tmp_path / "toy.npz")
    assert_same(ToyGraphs.load(tmp_path / "toy.npz"), toy)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rows", [[2], [5, 0, 1, 0]], ids=str)
def test_a_declared_column_is_batched(crystals, toy, rows, dtype):
    batch = PackedTensors(crystals, toy, dtype=dtype).batch(rows)
    for name in ("targets", "orders"):
        expected = np.concatenate(pieces(toy, name, rows)).astype(str(dtype).split(".")[1])
        np.testing.assert_array_equal(getattr(batch, name), expected, err_msg=name)
    for name in ("partners", "reverse"):  # to rows of their own level
        parts = pieces(toy, name, rows)
        starts = np.cumsum([0, *(len(part) for part in parts[:-1])])
        shifted = [part + start for part, start in zip(parts, starts, strict=True)]
        np.testing.assert_array_equal(getattr(batch, name), np.concatenate(shifted), err_msg=name)
        assert getattr(batch, name).dtype == torch.int64
    moved = batch.to("meta")
    assert all(getattr(moved, name).device.type == "meta" for name in TOY_COLUMNS)


# -- taking and joining ----------------------------------------------------------------------------


SETTINGS = [("graph", {}), ("graph", {"whole_shell": True}), ("reduced_graph", {}),
            ("reduced_graph", {"angles": True}),
            ("reduced_graph", {"angles": True, "merge": False})]  # fmt: skip


@pytest.fixture(params=SETTINGS, ids=str)
def graph_of(request):
    """The kinds of graphs, each as a function of crystals."""
    method, options = request.param
    return lambda crystals: getattr(crystals, method)(5.0, 6, **options)


def test_graphs_of_joined_crystals_are_joined_graphs(crystals, graph_of):
    parts = [crystals[[4, 2]], crystals[[1]], crystals[:0], crystals]
    whole = graph_of(Crystals.concatenate(parts))
    assert_same(type(whole).concatenate([graph_of(part) for part in parts]), whole)
    assert_same(type(whole).concatenate([whole]), whole)


def test_rows_in_all_forms(crystals, graph_of):
    graphs, n = graph_of(crystals), len(crystals)
    mask = np.arange(n) % 2 == 1
    for rows in ([-1, 0, 0], mask, slice(None, None, -2), [], range(3)):
        expected = np.arange(n)[rows].tolist()
        assert_same(graphs.take(rows), graphs.take(np.array(expected, dtype=int)))
        assert len(graphs.take(rows)) == len(expected)
        for name in ("neighbors", "distances"):
            cut = np.concatenate([getattr(graphs, name)[:0], *pieces(graphs, name, expected)])
            np.testing.assert_array_equal(getattr(graphs.take(rows), name), cut)


def test_graphs_that_differ_are_not_joined(crystals):
    with pytest.raises(ValueError, match=r"differ.*5\.0.*6\.0"):
        CrystalGraphs.concatenate([crystals.graph(5.0), crystals.graph(6.0)])
    parts = [crystals.reduced_graph(5.0, angles=angles) for angles in (True, False)]
    with pytest.raises(ValueError, match="only some parts have angle_counts, angle_offsets"):
        ReducedGraphs.concatenate(parts)


def test_copies_stay_read_only(crystals, graph_of):
    graphs = graph_of(crystals)
    for again in (copy.copy(graphs), copy.deepcopy(graphs), pickle.loads(pickle.dumps(graphs))):
        assert_same(again, graphs)


# -- files -----------------------------------------------------------------------------------------


def test_save_and_load(crystals, graph_of, tmp_path):
    graphs = graph_of(crystals)
    graphs.save(tmp_path / "graphs.npz")
    assert_same(type(graphs).load(tmp_path / "graphs.npz"), graphs)
    graph_of(crystals[:0]).save(tmp_path / "graphs.npz")
    assert len(type(graphs).load(tmp_path / "graphs.npz")) == 0
    assert [p.name for p in tmp_path.iterdir()] == ["graphs.npz"]


def test_settings_of_numpy_are_saved(crystals, tmp_path):
    crystals.graph(np.float32(5), np.int64(6)).save(tmp_path / "graphs.npz")
    assert CrystalGraphs.load(tmp_path / "graphs.npz").max_neighbors == 6


def change(name, f):
    def changed(arrays):
        return {**arrays, name: f(arrays[name].copy())}

    return changed


def put(value):
    def f(array):
        array.flat[-1] = value
        return array

    return f


DAMAGES = {
    "another dtype": change("distances", lambda a: a.astype(np.float64)),
    "objects": change("distances", lambda a: a.astype(object)),
    "one edge too few": change("distances", lambda a: a[1:]),
    "images of the plane": change("images", lambda a: a[:, :2]),
    "a neighbour too far": change("neighbors", put(2)),
    "a neighbour before the first": change("neighbors", put(-1)),
    "an edge too far": change("others", put(10_000)),
    "offsets too short": change("edge_offsets", lambda a: a[:-1]),
    "offsets that begin late": change("edge_offsets", lambda a: a + 1),
    "offsets that fall": change("angle_offsets", lambda a: np.append(a[:1], a[:0:-1])),
    "offsets too large": change("offsets", put(10_000)),
    "a column too many": lambda arrays: {**arrays, "spins": arrays["distances"]},
    "a column too few": lambda arrays: {k: v for k, v in arrays.items() if k != "neighbors"},
    "no settings": lambda arrays: {k: v for k, v in arrays.items() if k != "settings"},
    "another format": lambda arrays: {**arrays, "format": np.array("skuae-ReducedGraphs-2")},
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_files_that_do_not_fit_together(crystals, tmp_path, damage):
    path = tmp_path / "graphs.npz"  # the last crystal has two sites
    crystals.reduced_graph(5.0, 6, angles=True, merge=False).save(path)
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **arrays)
    assert len(ReducedGraphs.load(path)) == len(crystals)
    np.savez(path, **DAMAGES[damage](arrays))
    with pytest.raises(ValueError, match=r"not a file of ReducedGraphs .* ReducedGraphs\.save"):
        ReducedGraphs.load(path)


def test_files_of_other_classes(crystals, tmp_path):
    crystals.graph(5.0).save(tmp_path / "graphs.npz")
    with pytest.raises(ValueError, match="not a file of ReducedGraphs"):
        ReducedGraphs.load(tmp_path / "graphs.npz")
    with pytest.raises(ValueError, match="not a file of crystals"):
        Crystals.load(tmp_path / "graphs.npz")
    with pytest.raises(FileNotFoundError):
        CrystalGraphs.load(tmp_path / "nowhere.npz")


def test_every_array_is_declared():
    for cls in (CrystalGraphs, ReducedGraphs):
        arrays = {f.name for f in fields(cls) if "ndarray" in str(f.type)}
        assert arrays == set(schema_of(cls))


@pytest.mark.parametrize("name", ["others", "cosines", "angle_counts", "angle_offsets"])
def test_a_level_has_all_of_its_columns_or_none(mp_mini, name):
    graphs = mp_mini.structures[:5].reduced_graph(4.0, angles=True)
    with pytest.raises(ValueError, match="go together: some are missing"):
        dataclasses.replace(graphs, **{name: None})
