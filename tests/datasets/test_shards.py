"""Shards: what is written comes back, piece by piece, also after a kill."""

import json
import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest
from joblib import Parallel, delayed
from pymatgen.core import Lattice, Structure

from skuae import Crystals
from skuae.datasets import _manifest, make_toy_crystals, open_shards, write_shards

PACKED = ("numbers", "frac_coords", "lattices", "offsets")


@pytest.fixture(scope="module")
def toy():
    return make_toy_crystals(20, target=["electronegativity", "volume_per_atom"], random_state=0)


def assert_same(found, expected):
    for name in PACKED:
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_slices_are_those_of_crystals(toy, tmp_path):
    shards = write_shards(toy.structures, toy.target, tmp_path, shard_size=6)
    assert (len(shards), shards.shape, shards.target_names) == (20, (20,), ["target_0", "target_1"])
    assert repr(shards) == "Shards(n_crystals=20, n_shards=4)"
    assert_same(shards.crystals, toy.structures)
    mask = np.arange(20) % 3 == 1
    for rows in (
        slice(3, 15, 2),
        [4, 19, 0, 4],
        mask,
        (np.array([7, 6]), ...),
        slice(None, None, -1),
    ):
        own = rows[0] if isinstance(rows, tuple) else rows
        part = shards[rows]
        assert_same(part.crystals, toy.structures[own])
        assert np.array_equal(part.target, toy.target[own])
        assert_same(part[1:].crystals, toy.structures[own][1:])
        assert_same(pickle.loads(pickle.dumps(part)).crystals, toy.structures[own])
        assert np.array_equal(part.sizes, toy.structures[own].sizes)
    assert shards[-1] == toy.structures[-1]
    assert shards[8:][3] == toy.structures[11]
    assert list(shards) == list(toy.structures)
    with pytest.raises(IndexError, match="one axis"):
        shards[0, 1]
    for rows in ([[1, 2]], np.array([[1, 2]]), None):
        with pytest.raises(IndexError, match="one axis"):
            shards[rows]
        with pytest.raises(IndexError, match="one axis"):
            shards.read(rows)
    with pytest.raises(IndexError):
        shards[20]


def test_composition_is_that_of_crystals(toy, tmp_path):
    write_shards(toy.structures, None, tmp_path, shard_size=6)
    shards = open_shards(tmp_path, buffer=4)
    for rows in (np.arange(20), np.random.default_rng(0).permutation(20)[:15], [4, 19, 4]):
        part, expected = shards[rows], toy.structures[rows]
        for found, own in zip(part.composition(), expected.composition(), strict=True):
            assert np.array_equal(found, own)
        assert np.array_equal(part.sizes, expected.sizes)


def test_messages_count_the_rows_of_the_folder(toy, tmp_path):
    rows = list(toy.structures)
    rows[13] = Structure(Lattice.cubic(30), ["He"], [[0, 0, 0]])
    shards = write_shards(rows, None, tmp_path, shard_size=6)
    with pytest.warns(UserWarning, match=f"^row 13 of {tmp_path}: no atom"):
        shards[10:].crystals.graph(5.0)


def test_a_permuted_slice_opens_each_shard_once(toy, tmp_path, monkeypatch):
    write_shards(toy.structures, None, tmp_path, shard_size=3)
    shards = open_shards(tmp_path, buffer=6)[np.random.default_rng(0).permutation(20)]
    opened, read = [], _manifest.Manifest.read_shard

    def note(self, folder, number):
        opened.append(number)
        return read(self, folder, number)

    monkeypatch.setattr(_manifest.Manifest, "read_shard", note)
    shards.composition()
    assert opened == list(range(7))
    assert shards.sizes.sum() == toy.structures.n_sites
    assert opened == [*range(7), *range(7)]


def test_a_relative_path_is_that_of_the_folder_it_was(toy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_shards(toy.structures, None, "shards", shard_size=6)
    shards = pickle.loads(pickle.dumps(open_shards("shards")))
    monkeypatch.chdir("/")
    assert_same(shards.crystals, toy.structures)


def test_names_of_rows(toy, tmp_path):
    series = pd.Series(list(toy.structures), [f"id-{i}" for i in range(20)])
    shards = write_shards(series, None, tmp_path, shard_size=6)
    assert shards[::-1].ids.tolist() == series.index[::-1].tolist()
    assert shards[5:].where(2) == "row 2 (id-7)"
    assert shards.labels.index.name == "id"
    assert shards.target is None


@pytest.mark.parametrize(
    "labels",
    [
        np.array([1.5, np.nan, -3.0]),
        np.array([3, 1, 2]),
        np.array([True, False, True]),
        np.array([[1.0, 2.0], [np.nan, 4.0], [5.0, 6.0]]),
        np.array([[1.0], [2.0], [3.0]]),
    ],
)
def test_targets_come_back_as_they_were(toy, tmp_path, labels):
    shards = write_shards(toy.structures[:3], labels, tmp_path, shard_size=2)
    assert shards.target.dtype == labels.dtype
    assert shards.target.shape == labels.shape
    assert np.array_equal(shards.target, labels, equal_nan=labels.dtype.kind == "f")


def test_classes_and_columns_of_frames(toy, tmp_path):
    labels = pd.DataFrame({"class": ["metal", None, "a long name"], "gap": [0, 1, 2.5]})
    shards = write_shards(toy.structures[:3], labels, tmp_path, shard_size=2)
    assert shards.labels["class"].tolist() == ["metal", None, "a long name"]
    assert shards.labels["gap"].tolist() == [0, 1, 2.5]
    one = write_shards(toy.structures[:3], labels[["gap"]], tmp_path / "one")
    assert one.target.shape == (3, 1)
    assert write_shards(toy.structures[:3], labels["gap"], tmp_path / "1d").target.shape == (3,)


def test_generators_are_not_run_ahead(toy, tmp_path):
    """Structures and labels are taken a shard at a time."""
    taken = []

    def rows(values):
        for i, value in enumerate(values):
            taken.append(i)
            n = len(list(tmp_path.glob("shard-*")))
            assert n >= i // 6
            assert len(taken) <= 2 * 6 * (n + 1)
            yield value

    y = ({"a": a, "b": b} for a, b in toy.target.tolist())
    shards = write_shards(rows(list(toy.structures)), rows(y), tmp_path, shard_size=6)
    assert len(taken) == 40
    assert_same(shards.crystals, toy.structures)
    assert list(shards.labels) == ["a", "b"]
    assert np.array_equal(shards.target, toy.target)


@pytest.mark.parametrize("n", [19, 21])
@pytest.mark.parametrize("kind", [np.array, iter])
def test_labels_of_other_numbers_are_refused(toy, tmp_path, n, kind):
    with pytest.raises(ValueError, match="y has"):
        write_shards(toy.structures, kind(np.arange(n)), tmp_path, shard_size=6)


def test_shards_of_shards(toy, tmp_path):
    order = np.random.default_rng(0).permutation(20)
    first = write_shards(toy.structures, toy.target, tmp_path / "a", shard_size=6)[order]
    again = write_shards(first, first.target, tmp_path / "b", shard_size=7)
    assert_same(again.crystals, toy.structures[order])
    assert np.array_equal(again.target, toy.target[order])


def test_append(toy, tmp_path):
    write_shards(toy.structures[:8], toy.target[:8], tmp_path, shard_size=5, append=True)
    with pytest.raises(FileExistsError, match="append=True"):
        write_shards(toy.structures[8:], toy.target[8:], tmp_path)
    shards = write_shards(toy.structures[8:], toy.target[8:], tmp_path, shard_size=9, append=True)
    assert_same(shards.crystals, toy.structures)
    assert np.array_equal(shards.target, toy.target)
    with pytest.raises(ValueError, match=r"labels are \['target'\]; those written before"):
        write_shards(toy.structures, toy.target[:, 0], tmp_path, append=True)


SCRIPT = """
import os, sys
from skuae.datasets import make_toy_crystals, write_shards
toy = make_toy_crystals(20, target=["electronegativity", "volume_per_atom"], random_state=0)
def structures():
    for i, structure in enumerate(toy.structures):
        if i == {killed_at}:
            os._exit(7)
        yield structure
write_shards(toy.structures[:3], toy.target[:3], sys.argv[1], shard_size=6, append=True)
write_shards(structures(), toy.target, sys.argv[1], shard_size=6, append=True)
"""


@pytest.mark.parametrize("killed_at", [3, 15])
def test_a_killed_writing_goes_on(toy, tmp_path, killed_at):
    script = textwrap.dedent(SCRIPT.format(killed_at=killed_at))
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path / "a")], check=False)
    assert killed.returncode == 7
    if killed_at == 3:  # before a shard was written behind the first
        assert len(open_shards(tmp_path / "a")) == 3
    else:
        with pytest.warns(UserWarning, match=r"was interrupted.*restart=True"):
            before = open_shards(tmp_path / "a")
        assert_same(before.crystals, toy.structures[:3])
        n = len(list((tmp_path / "a").glob("shard-*")))
        assert n == 3  # one of three rows, two of six
        with pytest.raises(ValueError, match="not the same source"):
            write_shards(toy.structures[::-1], toy.target, tmp_path / "a", shard_size=6)
        with pytest.raises(ValueError, match="this source has 4"):
            write_shards(toy.structures[:4], toy.target[:4], tmp_path / "a", shard_size=6)
        with pytest.raises(ValueError, match="the same shard_size=6"):
            write_shards(toy.structures, toy.target, tmp_path / "a", append=True)
    rows = list(toy.structures)
    write_shards(rows, toy.target, tmp_path / "a", shard_size=6, append=True)
    write_shards(toy.structures[:3], toy.target[:3], tmp_path / "b", shard_size=6)
    write_shards(rows, toy.target, tmp_path / "b", shard_size=6, append=True)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_rows_that_are_skipped_are_not_read_again(toy, tmp_path):
    """After a failure, only the last shard is compared."""
    structures = list(toy.structures)
    broken = [*structures[:14], "nonsense", *structures[15:]]
    with pytest.raises(ValueError, match="row 14: there is no such file"):
        write_shards(broken, None, tmp_path, shard_size=6)
    repaired = ["not read"] * 6 + structures[6:]
    shards = write_shards(repaired, None, tmp_path, shard_size=6)
    assert_same(shards.crystals, toy.structures)


def test_bad_rows_have_reasons(toy, tmp_path):
    rows = list(toy.structures)
    rows[3], rows[17] = "nonsense", None
    with pytest.raises(ValueError, match=r"1 of 6 structures in rows 0 to 5.*\n.*row 3"):
        write_shards(rows, toy.target, tmp_path / "a", shard_size=6)
    shards = write_shards(rows, toy.target, tmp_path / "b", shard_size=6, on_error="skip")
    kept = np.setdiff1d(np.arange(20), [3, 17])
    assert_same(shards.crystals, toy.structures[kept])
    assert np.array_equal(shards.target, toy.target[kept])
    assert shards.errors["row"].tolist() == [3, 17]
    assert "no such file" in shards.errors["reason"][0]
    whole = ["nonsense"] * 6 + rows[6:]
    shards = write_shards(whole, toy.target, tmp_path / "c", shard_size=6, on_error="skip")
    assert len(shards) == 13
    with pytest.raises(ValueError, match="no structures that can be read"):
        write_shards(["x", "y"], None, tmp_path / "d", on_error="skip")


@pytest.mark.parametrize(
    ("later", "said"),
    [
        (np.array(["a", "b"]), "row 0, label 'target' is 'a'"),
        (np.array([np.inf, 1.0]), "row 0, label 'target' is inf"),
    ],
)
def test_labels_of_other_kinds_are_refused(toy, tmp_path, later, said):
    write_shards(toy.structures[:2], np.array([0.5, 1.0]), tmp_path)
    with pytest.raises(ValueError, match=said):
        write_shards(toy.structures[:2], later, tmp_path, append=True)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"shard_size": 0}, ValueError),
        ({"on_error": "ignore"}, ValueError),
    ],
)
def test_wrong_options(toy, tmp_path, options, error):
    with pytest.raises(error):
        write_shards(toy.structures, None, tmp_path, **options)


@pytest.mark.parametrize("buffer", [0, 1.5, True, None])
def test_wrong_buffers(toy, tmp_path, buffer):
    write_shards(toy.structures, None, tmp_path)
    with pytest.raises(ValueError, match="buffer must be"):
        open_shards(tmp_path, buffer=buffer)


def test_damaged_folders_are_refused(toy, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no manifest\.json"):
        open_shards(tmp_path)
    write_shards(toy.structures, toy.target[:, 0], tmp_path, shard_size=10)
    good = json.loads((tmp_path / "manifest.json").read_text())
    edited = json.dumps(good).replace('"crystals": 10', '"crystals": 9')
    (tmp_path / "manifest.json").write_text(edited)
    with pytest.raises(ValueError, match=r"list of shards .*was changed since it was written"):
        open_shards(tmp_path)
    first, second = good["shards"]
    for change in (
        {"file": "../shard-00000.safetensors"},
        {"crystals": -1},
        {"more": 1},
        {"errors": 5},
        {"errors": [[1]]},
        {"checksum": 5},
        {"sites": "3"},
    ):
        refuse_manifest(tmp_path, {**good, "shards": [{**first, **change}, second]})
    for change in (
        {"shards": [second]},
        {"shards": [first, first]},
        {"complete": "no"},
        {"one_target": 5},
        {"shard_size": 0},
        {"begun": 3},
        {"kinds": ["number"]},
        {"kinds": {"target": "other"}},
        {"begun_kinds": None},
        {"format": "skuae-shards-2"},
    ):
        refuse_manifest(tmp_path, {**good, **change})
    checksums = {"shards": [{**first, "checksum": second["checksum"]}, second]}
    write_manifest(tmp_path, {**good, **checksums})
    with pytest.raises(ValueError, match="not the shard that"):
        open_shards(tmp_path)[0]
    write_manifest(tmp_path, {**good, "kinds": {"target": "text"}})
    with pytest.raises(ValueError, match=r"these labels .*expected names of classes"):
        open_shards(tmp_path).target  # noqa: B018


def write_manifest(folder, content):
    """Write a manifest with its checksum, as whoever forges one may do."""
    content = {name: value for name, value in content.items() if name != "sha256"}
    content |= {"sha256": _manifest._checksum(content)}
    (folder / "manifest.json").write_text(json.dumps(content))


def refuse_manifest(folder, content):
    write_manifest(folder, content)
    with pytest.raises(ValueError, match="does not hold a list of shards"):
        open_shards(folder)


def _edges(folder, seed):
    shards = open_shards(folder, buffer=5)
    parts = [part.graph(4.0).distances for part in shards.parts()]
    return np.concatenate(parts).tolist()


def test_several_processes_read_one_folder(toy, tmp_path):
    """All of them build the graphs, and write them to the same files."""
    write_shards(toy.structures, None, tmp_path, shard_size=3)
    found = Parallel(n_jobs=2)(delayed(_edges)(tmp_path, seed) for seed in range(4))
    expected = Crystals(*(getattr(toy.structures, name) for name in PACKED)).graph(4.0)
    assert all(edges == expected.distances.tolist() for edges in found)
    assert not list(tmp_path.glob("*.tmp"))
    assert len(list(tmp_path.glob("shard-*"))) == 14
