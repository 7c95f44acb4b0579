"""Symmetry is found once, and goes where the crystals go: slices, joins, pickles and files."""

import copy
import pickle
import warnings

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from skuae import Crystals, as_crystals
from skuae.crystals import CrystalSymmetry, _derived

COLUMNS = ("offsets", "space_groups", "primitive_sizes", "conventional_lattices", "orbits", "found")


def assert_equal(one, other):
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert one.symprec == other.symprec


@pytest.fixture
def structures(disordered):
    """Ordered, disordered and split sites: the last has none that spglib finds."""
    split = [{"Li": 0.5}, {"Li": 0.5}, "O"]
    ordered = [
        Structure(Lattice.orthorhombic(3 + z, 4, 5), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, z]])
        for z in np.linspace(0.3, 0.5, 18)
    ]
    return [
        *ordered,
        disordered,
        Structure(Lattice.cubic(4.0), split, [[0, 0, 0], [0.005, 0, 0], [0.5, 0.5, 0.5]]),
    ]


@pytest.fixture
def crystals(structures):
    return as_crystals(structures, ids=[f"x-{row}" for row in range(20)])


@pytest.fixture
def found(monkeypatch):
    """How many crystals were given to spglib, call by call."""
    sizes, find = [], _derived.find_symmetry

    def counted(crystals, *args, **options):
        sizes.append(len(crystals))
        return find(crystals, *args, **options)

    monkeypatch.setattr(_derived, "find_symmetry", counted)
    return sizes


pytestmark = pytest.mark.filterwarnings("ignore:spglib finds no space group:UserWarning")


def fresh(structures, rows):
    return as_crystals([structures[row] for row in np.arange(20)[rows]]).symmetry()


def test_found_once_per_symprec(crystals, found):
    first = crystals.symmetry()
    assert crystals.symmetry(0.1) is first
    assert crystals.symmetry(symprec=np.float64(0.1), n_jobs=2, verbose=0) is first
    assert found == [20]
    fine = crystals.symmetry(1e-3)
    assert fine is not first and fine.symprec == 1e-3
    assert crystals.symmetry(1e-3) is fine
    assert crystals.symmetry() is first
    assert found == [20, 20]


def test_the_warning_is_said_again_each_time(crystals):
    for _ in range(2):
        with pytest.warns(UserWarning, match=r"row 19 \(x-19\)"):
            crystals.symmetry()


ROWS = [
    slice(0, 1),
    slice(2, 15, 3),
    slice(None, None, -1),
    np.array([19, 3, 3, 0]),
    np.arange(20) % 2 == 0,
    slice(19, 20),
]


@pytest.mark.parametrize("rows", ROWS, ids=str)
def test_slices_after_the_call_find_it_ready(structures, crystals, found, rows):
    crystals.symmetry()
    part = crystals[rows]
    assert_equal(part.symmetry(), fresh(structures, rows))
    assert found[0] == 20 and len(found) == 2  # the second is of `fresh`
    again = part[:1]
    assert_equal(again.symmetry(), part.symmetry().take(slice(0, 1)))
    assert len(found) == 2


@pytest.mark.parametrize("rows", ROWS[1:5], ids=str)
def test_slices_before_the_call_share_it(crystals, found, rows):
    part, other = crystals[rows], crystals[5:12]
    symmetry = part.symmetry()
    assert found == [20]
    assert_equal(symmetry, crystals.symmetry().take(rows))
    assert_equal(other.symmetry(), crystals.symmetry().take(slice(5, 12)))
    assert found == [20]


def test_a_small_slice_before_the_call_finds_its_own(crystals, found):
    part = crystals[3:4]
    symmetry = part.symmetry()
    assert found == [1]
    assert_equal(symmetry, crystals.symmetry().take([3]))
    assert found == [1, 20]


def test_a_small_slice_does_not_keep_the_whole_alive(crystals):
    crystals.symmetry()
    assert crystals[:1]._derived.parent is None
    assert crystals[:5]._derived.parent[0] is crystals


def test_slices_of_slices(crystals, found):
    half = crystals[::2]
    crystals.symmetry()
    assert_equal(half[[0]].symmetry(), crystals.symmetry().take([0]))
    assert_equal(half[[9, 1]][[1]].symmetry(), crystals.symmetry().take([2]))
    assert found == [20]


def test_joined_crystals_keep_what_all_have(structures, crystals, found):
    parts = [crystals[:8], crystals[8:9], crystals[9:]]
    crystals.symmetry()
    crystals.symmetry(0.01)
    late = crystals[8:9]
    assert found == [20, 20]
    joined = Crystals.concatenate([parts[2], late, parts[0]])
    rows = [*range(9, 20), 8, *range(8)]
    assert_equal(joined.symmetry(), crystals.symmetry().take(rows))
    assert_equal(joined.symmetry(0.01), crystals.symmetry(0.01).take(rows))
    assert found == [20, 20]
    one_knows_it = Crystals.concatenate([parts[0], as_crystals(structures[8:])])
    assert_equal(one_knows_it.symmetry(), crystals.symmetry())
    assert found == [20, 20, 20]


def test_joined_crystals_keep_only_what_all_have(structures, found):
    one, other = as_crystals(structures[:3]), as_crystals(structures[3:5])
    one.symmetry(), one.symmetry(0.01), other.symmetry(0.01), other.symmetry(0.2)
    assert len(found) == 4
    joined = Crystals.concatenate([one, other])
    joined.symmetry(0.01)
    assert len(found) == 4
    joined.symmetry(), joined.symmetry(0.2)
    assert found[4:] == [5, 5]


def saved(crystals, folder):
    crystals.save(folder / "crystals.npz")
    return Crystals.load(folder / "crystals.npz")


WAYS = {
    "pickle": lambda crystals, folder: pickle.loads(pickle.dumps(crystals)),
    "deepcopy": lambda crystals, folder: copy.deepcopy(crystals),
    "copy": lambda crystals, folder: copy.copy(crystals),
    "file": saved,
}


@pytest.mark.parametrize("way", WAYS)
def test_pickles_and_files_keep_it(crystals, found, tmp_path, way):
    coarse, fine = crystals.symmetry(), crystals.symmetry(0.003)
    again = WAYS[way](crystals, tmp_path)
    assert_equal(again.symmetry(), coarse)
    assert_equal(again.symmetry(0.003), fine)
    assert again.ids.tolist() == crystals.ids.tolist()
    with pytest.raises(ValueError, match="read-only"):
        again.symmetry().orbits[:] = 0
    assert found == [20, 20]
    assert_equal(WAYS[way](again[4:7], tmp_path).symmetry(), coarse.take(slice(4, 7)))
    assert found == [20, 20]


@pytest.mark.parametrize("way", WAYS)
def test_slices_take_what_their_parent_has_into_pickles_and_files(crystals, found, tmp_path, way):
    half = crystals[:10]
    crystals.symmetry()
    assert_equal(WAYS[way](half, tmp_path).symmetry(), crystals.symmetry().take(slice(10)))
    assert found == [20]


def test_files_without_symmetry_are_as_they_were(crystals, tmp_path):
    crystals.save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as file:
        assert not [name for name in file.files if "sym" in name]
    assert not Crystals.load(tmp_path / "a.npz")._derived.symmetries()


def test_symmetry_alone_is_saved_too(crystals, tmp_path):
    symmetry = crystals.symmetry()
    symmetry.save(tmp_path / "symmetry.npz")
    assert_equal(CrystalSymmetry.load(tmp_path / "symmetry.npz"), symmetry)
    assert_equal(pickle.loads(pickle.dumps(symmetry)), symmetry)


def set_to(value, at=0):
    def change(array):
        array = array.copy()
        array[at] = value
        return array

    return change


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("symprecs", None),
        ("symprecs", set_to(0.0)),
        ("symprecs", set_to(np.nan)),
        ("symprecs", lambda array: np.array(["0.1"])),
        ("symprecs", lambda array: array[0]),
        ("symprecs", lambda array: np.append(array, 0.2)),
        ("symmetry_0_space_groups", None),
        ("symmetry_0_space_groups", set_to(0)),
        ("symmetry_0_space_groups", set_to(231)),
        ("symmetry_0_space_groups", lambda array: array.astype(int)),
        ("symmetry_0_space_groups", lambda array: array[:-1]),
        ("symmetry_0_primitive_sizes", set_to(0)),
        ("symmetry_0_primitive_sizes", set_to(1000)),
        ("symmetry_0_orbits", set_to(1)),
        ("symmetry_0_orbits", set_to(-1)),
        ("symmetry_0_orbits", set_to(10**6, at=-1)),
        ("symmetry_0_orbits", lambda array: array[1:]),
        ("symmetry_0_conventional_lattices", set_to(np.nan)),
        ("symmetry_0_conventional_lattices", set_to(np.inf)),
        ("symmetry_0_conventional_lattices", set_to(np.zeros((3, 3)))),
        ("symmetry_0_conventional_lattices", set_to(-np.eye(3))),
        ("symmetry_0_conventional_lattices", lambda array: array[:, :2]),
        ("symmetry_0_found", lambda array: array.astype(np.uint8)),
        ("symmetry_1_found", lambda array: array),
    ],
)
def test_forged_files_are_refused(crystals, tmp_path, name, change):
    crystals.symmetry()
    crystals.save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as file:
        arrays = dict(file)
    array = arrays.pop(name, np.zeros(20, bool))
    if change is not None:
        arrays[name] = change(array)
    np.savez(tmp_path / "a.npz", **arrays)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=r"a\.npz is not a file of crystals"):
            Crystals.load(tmp_path / "a.npz")
