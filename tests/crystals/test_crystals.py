"""The container: packed arrays that stay as they are, slices, pickles and files."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Structure
from sklearn.model_selection import KFold
from sklearn.utils import _safe_indexing

from skuae.crystals import Crystals, as_crystals

ARRAYS = ["numbers", "frac_coords", "lattices", "offsets", "ids"]
OCCUPANCIES = ["occ_sites", "occ_numbers", "occ_values"]


@pytest.fixture
def mixed(structures, disordered):
    """Ordered and disordered crystals by turns, with ids."""
    rows = [disordered, structures[0], structures[1], disordered, structures[2], structures[3]]
    return as_crystals(rows, ids=[f"id-{i}" for i in range(6)])


@pytest.fixture
def rows(structures, disordered):
    return [disordered, structures[0], structures[1], disordered, structures[2], structures[3]]


def assert_equal(a, b):
    for name in ARRAYS + OCCUPANCIES:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


def test_length_and_shape(mixed):
    assert len(mixed) == 6
    assert mixed.shape == (6,)
    assert mixed.ndim == 1
    assert mixed.n_sites == 4 + 2 + 5 + 4 + 1 + 8
    assert repr(mixed) == "Crystals(n_crystals=6, n_sites=24, 2 disordered)"


def test_round_trip(mixed, rows, assert_same):
    assert_same(mixed, rows)
    assert_same(mixed.to_structures(), rows)
    assert_equal(as_crystals(mixed.to_structures(), ids=mixed.ids), mixed)


def test_round_trip_of_real_crystals(mp_mini):
    part = mp_mini.structures[:50]
    assert_equal(as_crystals(part.to_structures(), ids=part.ids), part)


# -- indexing -------------------------------------------------------------------------------------


def test_int_gives_a_structure(mixed, rows):
    for key in (2, -4, np.int64(2), np.int32(-4)):
        structure = mixed[key]
        assert isinstance(structure, Structure)
        assert structure == rows[2]
    with pytest.raises(IndexError):
        mixed[6]
    with pytest.raises(IndexError):
        mixed[-7]


@pytest.mark.parametrize(
    ("key", "picked"),
    [
        (slice(1, 4), [1, 2, 3]),
        (slice(None, None, -2), [5, 3, 1]),
        (slice(4, 2), []),
        ([3, 0, 3], [3, 0, 3]),
        ([-1, 0], [5, 0]),
        (np.array([5, 2]), [5, 2]),
        (np.array([0, 2, 5], dtype=np.int32), [0, 2, 5]),
        ([True, False, False, True, True, False], [0, 3, 4]),
        (np.array([1, 0, 0, 1, 0, 0], dtype=bool), [0, 3]),
        (pd.Series([False, True, True, False, False, False], index=list("zyxwvu")), [1, 2]),
        (([4, 1], ...), [4, 1]),
        ((slice(2), ...), [0, 1]),
        ([], []),
    ],
    ids=repr,
)
def test_rows_give_crystals(mixed, rows, assert_same, key, picked):
    part = mixed[key]
    assert isinstance(part, Crystals)
    assert_same(part, [rows[i] for i in picked])
    assert part.ids.tolist() == [f"id-{i}" for i in picked]
    assert part.is_disordered.tolist() == [i in (0, 3) for i in picked]
    np.testing.assert_allclose(part.volumes, [rows[i].volume for i in picked])


def test_slice_without_disordered_crystals_has_no_occupancies(mixed):
    assert mixed[[1, 2]].occ_sites is None
    assert mixed[[3]].occ_sites.tolist() == [0, 0, 1, 3, 3, 3]


def test_slices_of_slices(mixed, rows, assert_same):
    assert_same(mixed[1:][::-1][[0, 2]], [rows[5], rows[3]])


def test_bad_keys(mixed):
    for key in ((1, 2), (slice(2), slice(2)), (..., 0), (0, ..., ...)):
        with pytest.raises(IndexError, match="one axis"):
            mixed[key]
    with pytest.raises(IndexError):
        mixed[[0, 17]]
    with pytest.raises(IndexError):
        mixed[np.ones(4, dtype=bool)]
    with pytest.raises(IndexError):
        mixed["id-0"]


def test_scikit_learn_splits_and_indexes(mixed, rows, assert_same):
    seen = []
    for train, test in KFold(3, shuffle=True, random_state=0).split(mixed):
        assert_same(_safe_indexing(mixed, train), [rows[i] for i in train])
        assert_same(_safe_indexing(mixed, test), [rows[i] for i in test])
        seen += test.tolist()
    assert sorted(seen) == list(range(6))


# -- immutable ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda c: c,
        lambda c: c[1:],
        lambda c: c[[3, 0]],
        lambda c: pickle.loads(pickle.dumps(c)),
        copy.copy,
        copy.deepcopy,
    ],
    ids=["new", "slice", "rows", "pickled", "copied", "deep copied"],
)
def test_arrays_are_read_only(mixed, make):
    crystals = make(mixed)
    for name in ARRAYS + OCCUPANCIES:
        with pytest.raises(ValueError, match="read-only"):
            getattr(crystals, name)[0] = 1


def test_read_only_after_loading(mixed, tmp_path):
    mixed.save(tmp_path / "a.npz")
    loaded = Crystals.load(tmp_path / "a.npz")
    for name in ARRAYS + OCCUPANCIES:
        assert not getattr(loaded, name).flags.writeable, name


def test_structures_do_not_change_when_read(structures):
    before = [s.copy() for s in structures]
    crystals = as_crystals(structures)
    crystals.graph(5.0, 4)
    assert structures == before
    structures[0].translate_sites([0], [0.1, 0, 0])
    assert crystals[0] == before[0]


# -- pickles --------------------------------------------------------------------------------------


def test_pickle(mixed):
    back = pickle.loads(pickle.dumps(mixed))
    assert_equal(back, mixed)
    assert_equal(back[::-1], mixed[::-1])


def test_pickle_is_small(mp_mini):
    crystals = mp_mini.structures[:1000]
    arrays = sum(getattr(crystals, name).nbytes for name in ARRAYS)
    before = len(pickle.dumps(crystals))
    assert before < arrays + 2000
    crystals.graph(8.0, 12)
    assert len(pickle.dumps(crystals)) == before  # neither graphs
    assert len(pickle.dumps(crystals[:10])) < 20_000  # nor the parent
    assert len(pickle.dumps(crystals.to_structures())) > 3 * before


def test_pickled_slice_builds_the_same_graphs(mp_mini):
    crystals = mp_mini.structures[:20]
    part = crystals[5:15]
    back = pickle.loads(pickle.dumps(part))
    np.testing.assert_array_equal(
        back.graph(6.0, 12).neighbors, crystals.graph(6.0, 12).take(np.arange(5, 15)).neighbors
    )


# -- composition ----------------------------------------------------------------------------------


def assert_composition(crystals, structures):
    rows, numbers, amounts = crystals.composition()
    assert (np.diff(rows * 119 + numbers) > 0).all()  # sorted by row, then element; none twice
    for i, structure in enumerate(structures):
        expected = {e.Z: v for e, v in structure.composition.element_composition.items()}
        here = rows == i
        got = dict(zip(numbers[here].tolist(), amounts[here].tolist(), strict=True))
        assert got == pytest.approx(expected)


def test_composition_is_that_of_pymatgen(mixed, rows):
    assert_composition(mixed, rows)
    assert_composition(mixed[[3, 1]], [rows[3], rows[1]])
    assert mixed.composition()[2].dtype == np.float64


def test_composition_of_real_crystals(mp_mini):
    part = mp_mini.structures[:200]
    assert_composition(part, part.to_structures())


def test_composition_of_nothing(mixed):
    assert [len(column) for column in mixed[:0].composition()] == [0, 0, 0]


# -- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize("part", [slice(None), [1, 2], slice(0, 0)])
def test_save_and_load(mixed, tmp_path, ids, part):
    crystals = mixed[part]
    if not ids:
        crystals = Crystals(
            crystals.numbers, crystals.frac_coords, crystals.lattices, crystals.offsets,
            **{name: getattr(crystals, name) for name in OCCUPANCIES},
        )  # fmt: skip
    crystals.save(tmp_path / "crystals.npz")
    assert_equal(Crystals.load(tmp_path / "crystals.npz"), crystals)
    crystals.save(str(tmp_path / "no suffix"))
    assert_equal(Crystals.load(str(tmp_path / "no suffix")), crystals)
    assert {p.name for p in tmp_path.iterdir()} == {"crystals.npz", "no suffix"}


def test_file_is_compact(mp_mini, tmp_path):
    mp_mini.structures.save(tmp_path / "a.npz")
    assert (tmp_path / "a.npz").stat().st_size < 40 * mp_mini.structures.n_sites


def test_saving_replaces_a_file_all_or_nothing(mixed, tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    mixed.save(path)
    before = path.read_bytes()
    mixed[:2].save(path)
    assert len(Crystals.load(path)) == 2
    mixed.save(path)

    def full(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="disk full"):
        mixed[:2].save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]
    assert len(Crystals.load(path)) == 6
    assert len(before) == path.stat().st_size


def test_damaged_files(mixed, tmp_path):
    mixed.save(tmp_path / "good.npz")
    content = (tmp_path / "good.npz").read_bytes()
    middle = len(content) // 2
    damaged = {
        "cut": content[:middle],
        "changed": content[:300] + bytes([content[300] ^ 0xFF]) + content[301:],
        "empty": b"",
        "text": b"data_NaCl\n_cell_length_a 5.6\n",
    }
    for name, bytes_ in damaged.items():
        (tmp_path / name).write_bytes(bytes_)
        with pytest.raises(ValueError, match=r"not a file of crystals .*write one with Crystals"):
            Crystals.load(tmp_path / name)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


def test_foreign_files(mixed, tmp_path):
    np.savez(tmp_path / "other.npz", numbers=[1], frac_coords=[[0, 0, 0]])
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "pickle").write_bytes(pickle.dumps(Bomb()))
    np.savez(tmp_path / "objects.npz", format=np.array([Bomb()], dtype=object))
    mixed.save(tmp_path / "good.npz")
    with np.load(tmp_path / "good.npz") as file:
        arrays = dict(file)
    np.savez(tmp_path / "newer.npz", **{**arrays, "format": np.array("skuae-crystals-2")})
    np.savez(tmp_path / "short.npz", **{**arrays, "offsets": arrays["offsets"][:-1]})
    np.savez(tmp_path / "more.npz", **arrays, spins=np.zeros(3))
    for name in ("other.npz", "array.npy", "pickle", "objects.npz", "newer.npz", "short.npz",
                 "more.npz"):  # fmt: skip
        with pytest.raises(ValueError, match="not a file of crystals that skuae can read"):
            Crystals.load(tmp_path / name)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        Crystals.load(tmp_path / "nowhere.npz")


# -- constructor ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"numbers": [1, 2, 3]},
        {"frac_coords": np.zeros((2, 2))},
        {"frac_coords": np.zeros((3, 3))},
        {"lattices": np.eye(3)},
        {"lattices": np.zeros((1, 2, 3))},
        {"offsets": [0, 1]},
        {"offsets": [1, 2]},
        {"offsets": [0, 1, 2]},
        {"ids": ["a", "b"]},
        {"numbers": [11.5, 17]},
        {"numbers": ["11", "1_7"]},
        {"frac_coords": [["0", "0", "0"], ["1_5", "0", "0"]]},
        {"frac_coords": np.ma.masked_equal([[0, 0, 0], [0.5, 0.5, 9]], 9)},
        {"lattices": np.ma.masked_equal([[[4, 0, 0], [0, 4, 0], [0, 0, 9]]], 9)},
        {"numbers": np.ma.masked_equal([11, 17], 17)},
    ],
    ids=lambda change: "".join(change),
)
def test_arrays_that_do_not_fit_together(change):
    good = {
        "numbers": [11, 17], "frac_coords": [[0, 0, 0], [0.5, 0.5, 0.5]],
        "lattices": [4 * np.eye(3)], "offsets": [0, 2],
    }  # fmt: skip
    assert len(Crystals(**good)) == 1
    with pytest.raises(ValueError, match=r"do not describe packed crystals.*as_crystals\(X\)"):
        Crystals(**{**good, **change})


def test_offsets_must_rise():
    with pytest.raises(ValueError, match="do not describe packed crystals"):
        Crystals([1, 1], np.zeros((2, 3)), np.zeros((3, 3, 3)), [0, 2, 1, 2])


@pytest.mark.parametrize("number", [0, 119, 300])
def test_atomic_numbers_are_those_of_elements(number):
    with pytest.raises(ValueError, match="each an integer from 1 to 118"):
        Crystals([number], [[0, 0, 0]], [np.eye(3) * 4], [0, 1])


def test_ids_are_given_once(mp_mini):
    with pytest.raises(TypeError, match="packed already"):
        as_crystals(mp_mini.structures[:2], ids=["a", "b"])


@pytest.mark.parametrize(
    "change",
    [
        {"occ_sites": [2, 2]},
        {"occ_sites": [-1, 0]},
        {"occ_sites": [1, 0]},
        {"occ_sites": [1]},
        {"occ_numbers": [26, 119]},
        {"occ_numbers": [0, 26]},
        {"occ_numbers": [26.5, 27]},
        {"occ_values": [0.5, np.nan]},
        {"occ_values": [0.5, -0.5]},
        {"occ_values": [0.0, 0.5]},
        {"occ_values": [0.5, 5.0]},
        {"occ_values": [0.9, 0.9]},
    ],
    ids=str,
)
def test_occupancies_that_do_not_fit(change):
    good = {"occ_sites": [1, 1], "occ_numbers": [26, 27], "occ_values": [0.5, 0.5]}
    packed = [11, 26], [[0, 0, 0], [0.5, 0.5, 0.5]], [4 * np.eye(3)], [0, 2]
    assert Crystals(*packed, **good).is_disordered.all()
    with pytest.raises(ValueError, match="do not describe disordered sites"):
        Crystals(*packed, **{**good, **change})
