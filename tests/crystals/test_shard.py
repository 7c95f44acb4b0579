"""Crystals in a mapped file, and what is derived from them in files beside it."""

import warnings

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from skuae._files import write_safetensors
from skuae.crystals import _shard, as_crystals, join_shards, read_shard, write_shard

ARRAYS = ("numbers", "frac_coords", "lattices", "offsets", "ids", "occ_sites", "occ_numbers",
          "occ_values")  # fmt: skip
FIND = {
    "graph": lambda crystals: crystals.graph(5.0, 8),
    "merged": lambda crystals: crystals.merged_graph(5.0, 8),
    "reduced": lambda crystals: crystals.reduced_graph(4.0, 6, angles=True),
    "symmetry": lambda crystals: crystals.symmetry(),
}


def assert_same(found, expected):
    assert type(found) is type(expected)
    assert found.settings() == expected.settings()
    assert found.arrays().keys() == expected.arrays().keys()
    for name, array in expected.arrays().items():
        assert found.arrays()[name].dtype == array.dtype
        assert np.array_equal(found.arrays()[name], array), name


@pytest.fixture
def crystals(structures, disordered):
    return as_crystals([*structures, disordered], ids=["a", "bb", "ü", "d", "e", "f"])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "one.safetensors"


def test_crystals_and_labels_come_back_bit_for_bit(crystals, path):
    labels = {
        "gap": np.array([0.1, np.nan, 2, 3, 4, 5]),
        "class": np.array(["metal", "", "große Lücke", "x", "y", "z"]),
        "stable": np.array([True, False, True, True, False, False]),
        "count": np.arange(6),
    }
    checksum = write_shard(path, crystals, labels)
    shard = read_shard(path)
    assert shard.checksum == checksum
    for name in ARRAYS:
        assert np.array_equal(getattr(shard.crystals, name), getattr(crystals, name)), name
    assert shard.labels.keys() == labels.keys()
    for name, values in labels.items():
        assert shard.labels[name].dtype == values.dtype
        assert np.array_equal(shard.labels[name], values, equal_nan=values.dtype.kind == "f")


@pytest.mark.parametrize("kind", FIND)
def test_what_is_derived_is_computed_once(crystals, path, kind, monkeypatch):
    expected = FIND[kind](crystals)
    write_shard(path, crystals)
    assert_same(FIND[kind](read_shard(path).crystals), expected)
    assert len(list(path.parent.iterdir())) == 2
    again = read_shard(path).crystals
    setting = next(iter(crystals._derived.ready))
    found = again._derived.get(again, setting, lambda _: pytest.fail("computed again"))
    assert_same(found, expected)


def test_each_setting_has_a_file_of_its_own(crystals, path):
    write_shard(path, crystals)
    shard = read_shard(path).crystals
    for cutoff in (4.0, 5.0):
        assert_same(shard.graph(cutoff), crystals.graph(cutoff))
    assert_same(read_shard(path).crystals.graph(5.0), crystals.graph(5.0))
    assert len(list(path.parent.iterdir())) == 3


def test_what_belongs_to_other_crystals_is_computed_anew(crystals, path):
    write_shard(path, crystals)
    read_shard(path).crystals.graph(5.0)
    write_shard(path, crystals[::-1])
    assert_same(read_shard(path).crystals.graph(5.0), crystals[::-1].graph(5.0))


@pytest.mark.parametrize("kind", FIND)
def test_joined_shards_know_what_their_parts_know(crystals, tmp_path, kind):
    paths = [tmp_path / "one.safetensors", tmp_path / "two.safetensors"]
    halves = crystals[:3], crystals[3:]
    for path, half in zip(paths, halves, strict=True):
        write_shard(path, half)
    rows = np.array([2, 0])
    second, first = (read_shard(path).crystals for path in paths[::-1])
    joined = join_shards([(second, rows), (first, None)])
    expected = crystals[[5, 3, 0, 1, 2]]
    for name in ARRAYS:
        assert np.array_equal(getattr(joined, name), getattr(expected, name)), name
    expected = as_crystals(expected.to_structures())
    found = FIND[kind](joined)
    if kind == "merged":  # which are whole or merged, as the first of the crystals are
        assert found.distances.sum() > 0
    else:
        assert_same(found, FIND[kind](expected))
    assert len(list(tmp_path.iterdir())) == 4


def test_whole_and_merged_graphs_are_joined(structures, random_structure, tmp_path):
    """Counted, the joined edges are those of all crystals."""
    rng = np.random.default_rng(0)
    parts = as_crystals(structures), as_crystals([random_structure(rng, 4) for _ in range(3)])
    read = []
    for i, part in enumerate(parts):
        write_shard(tmp_path / f"{i}.safetensors", part)
        read.append((read_shard(tmp_path / f"{i}.safetensors").crystals, None))
    kinds = [type(crystals.merged_graph(6.0, 12)).__name__ for crystals, _ in read]
    assert sorted(kinds) == ["CrystalGraphs", "ReducedGraphs"]
    joined = join_shards(read).merged_graph(6.0, 12)
    site_of_edge = np.repeat(np.arange(len(joined.sites)), np.diff(joined.edge_offsets))
    counts = joined.edge_counts * joined.site_counts[site_of_edge]
    whole = [part.graph(6.0, 12) for part in parts]
    distances = np.concatenate([graphs.distances for graphs in whole])
    assert counts.sum() == len(distances)
    assert (counts * joined.distances).sum() == pytest.approx(distances.sum(), rel=1e-5)


def test_what_cannot_be_kept_is_computed(crystals, path, monkeypatch):
    write_shard(path, crystals)

    def refuse(*args, **options):
        raise OSError(28, "no space left")

    monkeypatch.setattr(_shard, "write_safetensors", refuse)
    with pytest.warns(UserWarning, match="not kept .*no space left.*each epoch") as caught:
        assert_same(read_shard(path).crystals.graph(5.0), crystals.graph(5.0))
        read_shard(path).crystals.graph(4.0)
    assert len(caught) == 1


def test_isolated_atoms_are_named_once(path):
    lone = Structure(Lattice.cubic(30), ["Ar"], [[0, 0, 0]])
    write_shard(path, as_crystals([lone], ids=["lone"]))
    with pytest.warns(UserWarning, match=f"row 40 of {path.parent} \\(lone\\): no atom"):
        read_shard(path, 40).crystals.graph(5.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = read_shard(path).crystals
        assert not len(join_shards([(again, None)]).graph(5.0).distances)
        assert not len(join_shards([(again, None)])[[0, 0]].graph(5.0).distances)


@pytest.mark.parametrize("place", [200, -5])
def test_damaged_files_are_refused(crystals, path, place):
    write_shard(path, crystals)
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"one\.safetensors"):
        read_shard(path)


def test_damaged_graphs_are_refused(crystals, path):
    write_shard(path, crystals)
    read_shard(path).crystals.graph(5.0)
    (graphs,) = (file for file in path.parent.iterdir() if file != path)
    graphs.write_bytes(graphs.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"damaged.*delete the file"):
        read_shard(path).crystals.graph(5.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("numbers", np.full(3, 200, np.uint8)),
        ("offsets", np.array([0, 9])),
        ("lattices", np.full((2, 3, 3), np.nan)),
        ("other", np.zeros(3)),
        ("label/y", np.zeros(3)),
    ],
)
def test_forged_files_are_refused(structures, path, name, value):
    """Whoever makes a checksum can make any file: what is in it is checked, too."""
    crystals = as_crystals(structures[:1] * 2)
    arrays = {n: getattr(crystals, n) for n in ("numbers", "frac_coords", "lattices", "offsets")}
    write_safetensors(path, {**arrays, name: value}, {"texts": []}, format=_shard._FORMAT)
    with pytest.raises(ValueError, match="does not hold crystals"):
        read_shard(path)


def test_forged_graphs_are_refused(structures, path):
    crystals = as_crystals(structures[:2])
    write_shard(path, crystals)
    read = read_shard(path).crystals
    graphs = read.graph(5.0)
    (file,) = (file for file in path.parent.iterdir() if file != path)
    card = {"setting": ["build_graphs", 5.0, None, False], "of": read._derived.checksum,
            "class": "CrystalGraphs", "settings": graphs.settings()}  # fmt: skip
    for changed in ({"neighbors": graphs.neighbors + 2}, {"offsets": graphs.offsets * 0}):
        arrays = graphs.arrays() | changed
        write_safetensors(file, arrays, card, format=_shard._FORMAT_DERIVED)
        with pytest.raises(ValueError, match="does not hold what is derived"):
            read_shard(path).crystals.graph(5.0)
