"""Geometry that no crystal has is refused; close pairs are found against a brute-force search."""

from itertools import product

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from skuae.crystals import Crystals, _validation, as_crystals
from skuae.crystals._packing import offsets_from_sizes
from skuae.crystals._validation import MIN_DISTANCE, _possibly_equal, close_pairs


def pack(structures):
    """Pack without the checks of as_crystals."""
    return Crystals(
        np.concatenate([s.atomic_numbers for s in structures]),
        np.concatenate([s.frac_coords for s in structures]),
        np.stack([s.lattice.matrix for s in structures]),
        offsets_from_sizes([len(s) for s in structures]),
    )


def brute_force(structure):
    """Pairs of sites (i <= j) closer than the limit, over all images that could be."""
    reciprocal = structure.lattice.reciprocal_lattice_crystallographic.matrix
    reach = 1 + np.ceil(MIN_DISTANCE * np.linalg.norm(reciprocal, axis=1)).astype(int)
    images = np.array(list(product(*(range(-n, n + 1) for n in reach))))
    frac = structure.frac_coords % 1.0
    found = {}
    for i in range(len(frac)):
        for j in range(i, len(frac)):
            delta = frac[j] - frac[i] + images
            if i == j:
                delta = delta[(images != 0).any(axis=1)]
            nearest = np.linalg.norm(delta @ structure.lattice.matrix, axis=1).min()
            if nearest < MIN_DISTANCE:
                found[i, j] = nearest
    return found


def pairs_of(crystals):
    first, second, distance = close_pairs(crystals)
    return {
        (min(a, b), max(a, b)): d
        for a, b, d in zip(first.tolist(), second.tolist(), distance, strict=True)
    }


@pytest.mark.parametrize("skew", [0.0, 1.0, 6.0])
def test_close_pairs_are_those_of_a_brute_force_search(random_structure, skew):
    rng = np.random.default_rng(0)
    structures = []
    for _ in range(30):
        structure = random_structure(rng, int(rng.integers(2, 8)), skew=skew, volume_per_site=9.0)
        for site in structure.sites[: len(structure) // 2]:  # neighbours around the limit
            step = rng.normal(size=3)
            step *= rng.uniform(0.3, 0.7) / np.linalg.norm(step)
            structure.append("H", site.coords + step, coords_are_cartesian=True)
        structures.append(structure)
    crystals = pack(structures)
    expected = {}
    for start, structure in zip(crystals.offsets, structures, strict=False):
        for (i, j), d in brute_force(structure).items():
            expected[i + start, j + start] = d
    found = pairs_of(crystals)
    assert found.keys() == expected.keys()
    assert len(expected) > 20
    np.testing.assert_allclose([found[k] for k in expected], list(expected.values()), atol=1e-9)


def test_close_pairs_of_a_cell_less_than_one_angstrom_high():
    """Two sites whose nearest images are not those that rounding fractional differences gives."""
    rng = np.random.default_rng(1)
    structures = []
    for _ in range(40):
        a, b = rng.uniform(4, 7, 2)
        lattice = Lattice([[a, 0, 0], [rng.uniform(3, 5) * a, rng.uniform(0.45, 0.95), 0.3],
                           [1.0, rng.uniform(-3, 3), b]])  # fmt: skip
        structures.append(Structure(lattice, ["Fe"] * 4, rng.uniform(0, 1, (4, 3))))
    crystals = pack(structures)
    expected = {}
    for start, structure in zip(crystals.offsets, structures, strict=False):
        for (i, j), d in brute_force(structure).items():
            expected[i + start, j + start] = d
    found = pairs_of(crystals)
    assert found.keys() == expected.keys()
    assert 5 < len(expected) < 160
    np.testing.assert_allclose([found[k] for k in expected], list(expected.values()), atol=1e-9)


def test_only_keys_that_may_be_equal_are_left_for_the_sort():
    rng = np.random.default_rng(0)
    for keys in (rng.integers(0, 10**12, 5000), np.arange(5000), 1000 * np.arange(5000)):
        keys[rng.integers(0, 5000, 50)] = keys[rng.integers(0, 5000, 50)]
        _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
        left = _possibly_equal(keys)
        assert set(np.flatnonzero(counts[inverse] > 1)) <= set(left)
        assert np.all(np.diff(left) > 0)
        assert len(left) < 2500
    assert _possibly_equal(np.zeros(3, np.int64)).tolist() == [0, 1, 2]
    assert len(_possibly_equal(np.empty(0, np.int64))) == 0


def test_close_pairs_do_not_depend_on_the_crystals_around(random_structure, monkeypatch):
    rng = np.random.default_rng(2)
    structures = [random_structure(rng, 12, volume_per_site=1.0) for _ in range(20)]
    structures.insert(7, Structure(Lattice.cubic(5), ["O"], [[0, 0, 0]]))
    crystals = pack(structures)
    together = close_pairs(crystals)
    monkeypatch.setattr(_validation, "_CHUNK_SITES", 30)
    in_chunks = close_pairs(crystals)
    alone = [
        (pairs[0] + start, pairs[1] + start, pairs[2])
        for start, row in zip(crystals.offsets, range(21), strict=False)
        for pairs in [close_pairs(crystals[row : row + 1])]
    ]
    alone = [np.concatenate(column) for column in zip(*alone, strict=True)]
    assert len(alone[0]) > 100
    rows = np.searchsorted(crystals.offsets, together[0], side="right")
    by_crystal = np.argsort(rows, kind="stable")
    order = np.argsort(np.searchsorted(crystals.offsets, in_chunks[0], side="right"), kind="stable")
    for a, b, c in zip(alone, together, in_chunks, strict=True):
        np.testing.assert_array_equal(b[by_crystal], a)
        np.testing.assert_array_equal(c[order], a)


def test_no_close_pairs_in_real_crystals(mp_mini):
    first, second, distance = close_pairs(mp_mini.structures)
    assert len(first) == len(second) == len(distance) == 0


def test_close_pairs_of_one_site():
    single = pack([Structure(Lattice.cubic(3), ["Fe"], [[0, 0, 0]])])
    assert [len(column) for column in close_pairs(single)] == [0, 0, 0]


@pytest.mark.parametrize(
    ("coords", "distance"),
    [
        ([[0.5, 0.5, 0.5], [0.5, 0.5, 0.54]], 0.4),
        ([[0.0, 0.5, 0.5], [0.0, 0.5, 0.5]], 0.0),
        ([[0.02, 0.5, 0.5], [0.99, 0.5, 0.5]], 0.3),
        ([[0.01, 0.01, 0.01], [0.99, 0.99, 0.99]], 0.2 * 3**0.5),
        ([[-0.01, 0.2, 0.3], [3.01, -0.8, 1.3]], 0.2),
        ([[1.0, 0, 0], [0, 0, 0.02]], 0.2),
    ],
)
def test_overlap_names_sites_and_distance(perovskite, coords, distance):
    bad = Structure(Lattice.cubic(10), ["Fe", "Co", "Ni"], [[0.25, 0.25, 0.25], *coords])
    with pytest.raises(
        ValueError,
        match=rf"row 2 \(c\): sites 1 and 2 are {distance:.3f} Å apart, closer than 0.5 Å; merge",
    ):
        as_crystals([perovskite(), perovskite(), bad, perovskite()], ids=list("abcd"))


def test_overlap_across_the_boundary_of_a_skewed_cell():
    lattice = Lattice.from_parameters(6, 6, 6, 35, 40, 50)
    structure = Structure(lattice, ["Fe"], [[0.01, 0.5, 0.99]])
    away = np.array([0.2, -0.2, 0.1])
    structure.append("Co", structure.cart_coords[0] + away, coords_are_cartesian=True)
    structure.translate_sites([1], [1, -2, 0], to_unit_cell=False)
    with pytest.raises(ValueError, match=r"sites 0 and 1 are 0\.300 Å apart"):
        as_crystals([structure])


def test_site_on_its_own_image():
    """Both lattice vectors are long, their difference is not."""
    lattice = Lattice([[5, 0, 0], [5, 0.3, 0], [0, 0, 5]])
    with pytest.raises(ValueError, match=r"row 0: site 0 and its own .* 0\.300 Å apart"):
        as_crystals([Structure(lattice, ["Fe"], [[0, 0, 0]])])


def test_distances_just_beyond_the_limit_pass():
    structure = Structure(Lattice.cubic(10), ["H", "H"], [[0.99, 0, 0], [0.0401, 0, 0]])
    assert len(as_crystals([structure])) == 1


def test_split_positions_may_be_close():
    split = Structure(Lattice.cubic(5), [{"O": 0.5}, {"O": 0.5}], [[0, 0, 0], [0, 0, 0.05]])
    assert as_crystals([split]).is_disordered.all()
    whole = Structure(
        Lattice.cubic(5), [{"O": 0.5}, "O", "O"], [[0.5, 0, 0], [0, 0, 0], [0, 0, 0.05]]
    )
    with pytest.raises(ValueError, match=r"sites 1 and 2 are 0\.250 Å apart"):
        as_crystals([split, whole])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_coordinates_not_finite(perovskite, value):
    bad = perovskite()
    coords = bad.frac_coords
    coords[3, 1] = value
    bad = Structure(bad.lattice, bad.species, coords)
    with pytest.raises(
        ValueError,
        match=r"^row 1 \(b\): coordinates or lattice are NaN or infinite; repair or drop",
    ):
        as_crystals([perovskite(), bad], ids=["a", "b"])


def test_lattice_not_finite(perovskite):
    bad = Structure(Lattice(np.diag([3.0, np.nan, 3.0])), ["Fe"], [[0, 0, 0]])
    with pytest.raises(ValueError, match="row 1: coordinates or lattice are NaN"):
        as_crystals([perovskite(), bad])


@pytest.mark.parametrize(
    "matrix",
    [
        np.zeros((3, 3)),
        np.diag([3.0, 3.0, 0.0]),
        [[3, 0, 0], [0, 3, 0], [3, 3, 0]],
        np.diag([30.0, 30.0, 0.4]),
        [[4, 0, 0], [4, 1e-9, 0], [0, 0, 4]],
    ],
    ids=["zero", "zero vector", "in a plane", "short vector", "almost in a line"],
)
def test_cell_without_volume(perovskite, matrix):
    bad = Structure(Lattice(np.array(matrix, dtype=float)), ["Fe"], [[0, 0, 0]])
    with pytest.raises(ValueError, match=r"^row 2: the cell has no volume .*; repair the lattice"):
        as_crystals([perovskite(), perovskite(), bad])


def test_no_sites(perovskite):
    empty = Structure(Lattice.cubic(3), [], [])
    with pytest.raises(ValueError, match=r"^row 1: the structure has no sites; drop the row"):
        as_crystals([perovskite(), empty])


def test_first_of_several_bad_rows_is_named(perovskite):
    bad = Structure(Lattice.cubic(4), ["Fe", "Fe"], [[0, 0, 0], [0, 0, np.nan]])
    with pytest.raises(ValueError, match=r"^row 1: .*\(2 such rows\)$"):
        as_crystals([perovskite(), bad, perovskite(), bad])
    overlap = Structure(Lattice.cubic(4), ["Fe", "Fe"], [[0, 0, 0], [0, 0, 0.01]])
    with pytest.raises(ValueError, match=r"^row 2: sites 0 and 1"):
        as_crystals([perovskite(), perovskite(), overlap, overlap])


def test_odd_but_real_cells_pass(random_structure):
    lone = Structure(Lattice.cubic(60), ["Ar"], [[0.3, 0.3, 0.3]])
    needle = Structure(Lattice.orthorhombic(2.5, 2.5, 300), ["Fe", "Fe"], [[0, 0, 0], [0, 0, 0.5]])
    hydrogen = Structure(Lattice.cubic(5), ["H", "H"], [[0, 0, 0], [0, 0, 0.148]])
    flat = Structure(Lattice.from_parameters(8, 8, 8, 12, 12, 12), ["Bi"], [[0, 0, 0]])
    left_handed = Structure(Lattice([[0, 3, 0], [3, 0, 0], [0, 0, 3]]), ["Fe"], [[0, 0, 0]])
    assert len(as_crystals([lone, needle, hydrogen, flat, left_handed])) == 5


# -- sites that are not whole ---------------------------------------------------------------------


def at(*sites, length=4.0):
    """Sites, each a species or a content and a place along c, and oxygen far from them."""
    contents, places = zip(*sites, strict=True)
    coords = [[0, 0, z / length] for z in places]
    return Structure(Lattice.cubic(length), [*contents, "O"], [*coords, [0.5] * 3])


@pytest.mark.parametrize(
    ("structure", "said"),
    [
        (at(({"Li": 0.9}, 0), ({"Na": 0.9}, 0)), "0 and 1 are 0.000 Å .* add up to 1.8;"),
        (at(("Li", 0), ({"Na": 0.999}, 0.04)), "0 and 1 are 0.040 Å .* add up to 1.999;"),
        (at(({"Li": 0.6}, 0.1), ({"Na": 0.6}, -0.2)), "0 and 1 are 0.300 Å .* add up to 1.2;"),
        (at(({"Li": 0.3, "K": 0.3}, 0), ({"Na": 0.41}, 0.45)),
         "0 and 1 are 0.450 Å .* add up to 1.01;"),
        (at(({"Li": 0.9}, 2), ({"Na": 0.45}, 0), ({"K": 0.45}, 0), ({"Rb": 0.45}, 3.9)),
         "1 and 2 are 0.000 Å .* add up to 1.35;"),
    ],
)  # fmt: skip
def test_more_than_one_atom_at_one_place(structure, said, disordered):
    with pytest.raises(ValueError, match=rf"^row 1: sites {said} correct the occupancies"):
        as_crystals([disordered, structure])


@pytest.mark.parametrize(
    "structure",
    [
        at(({"Li": 0.5}, 0), ({"Na": 0.5}, 0)),
        at(({"Li": 0.3, "K": 0.3}, 0), ({"Na": 0.4}, 0.45)),
        at(({"Li": 0.9}, 0), ({"Na": 0.9}, 0.51)),
        at(({"Li": 1 / 3}, 0), ({"Na": 1 / 3}, 0.1), ({"K": 1 / 3}, 3.9)),
        # The outer two may both be there: they are 0.6 Å apart.
        at(({"H": 0.6}, 0), ({"H": 0.4}, 0.3), ({"H": 0.6}, 0.6)),
        at(({"Li": 0.0001}, 0), ({"Na": 0.9999}, 0)),
    ],
)
def test_split_sites_that_hold_one_atom_together(structure):
    assert as_crystals([structure]).is_disordered.all()


def test_a_partly_filled_site_and_its_own_image():
    lattice = Lattice([[5, 0, 0], [5, 0.3, 0], [0, 0, 5]])
    assert len(as_crystals([Structure(lattice, [{"Fe": 0.5}], [[0, 0, 0]])])) == 1
    with pytest.raises(ValueError, match=r"site 0 and its own .* 0\.300 Å .* add up to 1.2"):
        as_crystals([Structure(lattice, [{"Fe": 0.6}], [[0, 0, 0]])])


def test_a_crowd_of_sites_is_refused(perovskite):
    crowd = Structure(Lattice.cubic(6), [{"H": 0.005}] * 150, np.full((150, 3), 0.3))
    with pytest.raises(ValueError, match="row 1: more than 128 sites lie within"):
        as_crystals([perovskite(), crowd])


@pytest.mark.parametrize("site", [[1.0, 1.0, 1.0], [-1e-17, 0, 0], [1 - 1e-16, 0, 0], [-3e9, 0, 0]])
def test_overlap_across_the_boundary_of_rounding(site):
    structure = Structure(Lattice.cubic(4), ["H", "He"], [[0, 0, 0], site])
    with pytest.raises(ValueError, match=r"row 0: sites 0 and 1 are 0\.000 Å apart"):
        as_crystals([structure])


def test_close_pairs_of_a_very_skewed_cell():
    """Bins of such a cell are large: it is searched one by one, and fast."""
    cell = Lattice([[4, 0, 0], [60, 4, 0], [60, 60, 4]])
    near = Structure(cell, ["Fe", "Fe"], [[0, 0, 0], [0.25, 0, 0]])
    assert len(as_crystals([near])) == 1
    with pytest.raises(ValueError, match=r"sites 0 and 1 are 0\.400 Å apart"):
        as_crystals([near, Structure(cell, ["Fe", "Fe"], [[0, 0, 0], [0.1, 0, 0]])])
