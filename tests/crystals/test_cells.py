"""Every way to make Crystals refuses cells and coordinates that cannot be searched."""

import copy
import pickle

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from skuae.crystals import Crystals, as_crystals
from skuae.crystals._packing import write_npz

CUBE = 4 * np.eye(3)


def build(arrays, folder):
    return Crystals(**arrays)


def load(arrays, folder):
    dtypes = {"numbers": np.uint8, "ids": np.str_, "offsets": np.int64}
    columns = {k: np.asarray(v, dtypes.get(k, np.float64)) for k, v in arrays.items()}
    write_npz(folder / "a.npz", "skuae-crystals-1", columns)
    return Crystals.load(folder / "a.npz")


def unpickle(arrays, folder):
    """A pickle whose arrays were exchanged."""
    crystals = Crystals([1], [[0, 0, 0]], [CUBE], [0, 1], ids=["x"])
    vars(crystals).update({name: np.asarray(values) for name, values in arrays.items()})
    return pickle.loads(pickle.dumps(crystals))


def good():
    return {
        "numbers": [11, 17, 26],
        "frac_coords": np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0, 0, 0]]),
        "lattices": np.stack([CUBE, CUBE]),
        "offsets": [0, 2, 3],
        "ids": ["a", "b"],
    }


def lattice_of(second):
    return {"lattices": np.stack([CUBE, np.array(second, dtype=float)])}


def coords_of(value):
    return {"frac_coords": [[0, 0, 0], [0.5, 0.5, 0.5], [0, value, 0]]}


FAULTS = {
    "scaled by 1e-3": (lattice_of(CUBE * 1e-3), "the cell has no volume .* shorter than 0.5 Å"),
    "scaled by 1e3": (lattice_of(CUBE * 1e3), "a lattice vector is longer than 1000 Å"),
    "1e38": (lattice_of([[4, 0, 0], [0, 4, 0], [0, 1e38, 4]]), "longer than 1000 Å"),
    "1e200": (lattice_of(CUBE * 1e200), "longer than 1000 Å"),
    "denormal": (lattice_of(CUBE * 1e-310), "no volume"),
    "in a plane": (lattice_of([[4, 0, 0], [0, 4, 0], [4, 4, 0]]), "no volume"),
    "almost in a plane": (lattice_of([[4, 0, 0], [4000, 4, 0], [0, 0, 4]]), "longer than 1000 Å"),
    "too skewed": (lattice_of([[0.6, 0, 0], [900, 0.7, 0], [0, 0, 4]]), "no volume"),
    "dense": (lattice_of(np.diag([0.7, 0.7, 0.7])), "less than 0.5 Å³ per site"),
    "no number": (lattice_of(CUBE * np.nan), "coordinates or lattice are NaN or infinite"),
    "coordinate": (coords_of(np.nan), "coordinates or lattice are NaN or infinite"),
    "infinite": (coords_of(-np.inf), "coordinates or lattice are NaN or infinite"),
    "huge": (coords_of(1e17), "coordinates are rounded to steps of more than 0.001 Å"),
    "no sites": ({"offsets": [0, 3, 3]}, "the structure has no sites"),
}


@pytest.mark.parametrize("make", [build, load, unpickle])
@pytest.mark.parametrize("name", FAULTS)
def test_what_cannot_be_searched_is_refused_by_row(make, name, tmp_path):
    change, message = FAULTS[name]
    assert len(make(good(), tmp_path)) == 2
    with pytest.raises(ValueError, match=rf"row 1 \(b\): .*{message}"):
        make({**good(), **change}, tmp_path)


def test_bounds_leave_room_for_what_is_real():
    long = Structure(Lattice.orthorhombic(3, 3, 990), ["Si"] * 2, [[0, 0, 0], [0, 0, 0.5]])
    boxed = Structure(Lattice.cubic(500), ["H", "H"], [[0, 0, 0], [0, 0, 0.00148]])
    pressed = Structure(Lattice.cubic(1.0), ["H"], [[0, 0, 0]])
    assert len(as_crystals([long, boxed, pressed])) == 3


def test_counted_rows():
    arrays = {**good(), "lattices": np.stack([CUBE, CUBE]) * 1e3}
    with pytest.raises(ValueError, match=r"^row 0 \(a\): .*\(2 such rows\)$"):
        Crystals(**arrays)


@pytest.mark.parametrize("name", ["frac_coords", "lattices"])
def test_later_writes_do_not_reach_the_crystals(name):
    arrays = {k: np.array(v) for k, v in good().items()}
    crystals = Crystals(**arrays)
    parts = {"as it is": crystals, "slice": crystals[:], "copy": copy.copy(crystals)}
    before = getattr(crystals, name).copy()
    arrays[name] *= 1e-3
    arrays[name] += np.nan
    for part in parts.values():
        np.testing.assert_array_equal(getattr(part, name), before)


def test_views_and_memory_maps_are_copied(tmp_path):
    np.save(tmp_path / "coords.npy", good()["frac_coords"])
    file = np.load(tmp_path / "coords.npy", mmap_mode="r+")
    for mode in ("r", "r+", "c"):
        coords = np.load(tmp_path / "coords.npy", mmap_mode=mode)
        crystals = Crystals(**{**good(), "frac_coords": coords})
        file[0] = 0.25
        file.flush()
        assert coords[0].tolist() == [0.25] * 3
        file[0] = 0
        assert not np.shares_memory(crystals.frac_coords, coords)
        assert crystals.frac_coords[0].tolist() == [0, 0, 0]
        assert not crystals.frac_coords.flags.writeable
    wide = np.zeros((3, 6))
    crystals = Crystals(**{**good(), "frac_coords": wide[:, ::2]})
    wide += 7
    assert not crystals.frac_coords.any()


def test_parts_of_checked_crystals_are_not_checked_again(monkeypatch):
    crystals = Crystals(**good(), occ_sites=[2], occ_numbers=[26], occ_values=[0.5])

    def check(*args):
        raise AssertionError("checked again")

    monkeypatch.setattr("skuae.crystals._crystals.check_cells", check)
    both = Crystals.concatenate([crystals[1:], crystals[:1], crystals[[1, 0]]])
    assert both.sizes.tolist() == [1, 2, 1, 2]
    assert both.occ_sites.tolist() == [0, 3]
    assert crystals[:1].occ_sites is crystals[:1].occ_values is crystals[:1].occ_numbers is None
    with pytest.raises(AssertionError, match="checked again"):
        Crystals(**good())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"frac_coords": np.zeros((3, 3)) + 1j}, "complex"),
        ({"lattices": np.full((2, 3, 3), "x")}, "row 0: 'x' is no number"),
        ({"lattices": [[[4, 0, 0], [0, 4]]]}, "inhomogeneous"),
        ({"offsets": [0, 1.5, 3]}, "no integers"),
        ({"numbers": [1, np.nan, 2]}, "no integers"),
        ({"numbers": [1, 2**40, 2]}, "from 1 to"),
        ({"numbers": [1, -1, 2]}, "from -1 to"),
        ({"numbers": None}, "no integers"),
    ],
    ids=str,
)
def test_arrays_of_another_kind(change, said):
    with pytest.raises(ValueError, match=rf"do not describe packed crystals.*{said}"):
        Crystals(**{**good(), **change})


def test_wrong_occupancies_name_row_and_site():
    occupancies = {"occ_sites": [1, 2, 2], "occ_numbers": [26, 27, 28]}
    for values, got in (([0.5, 0.5, np.nan], "0.5, nan"), ([0.5, 0.9, 0.9], "0.9, 0.9")):
        with pytest.raises(ValueError, match=rf"got {got} on site 0 of row 1 \(b\)"):
            Crystals(**good(), **occupancies, occ_values=values)
