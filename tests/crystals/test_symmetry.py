"""Space groups, primitive cells, equivalent sites and conventional cells of packed crystals."""

import itertools
import os
import warnings

import numpy as np
import pytest
import spglib
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from skuae import _progress, as_crystals
from skuae.crystals import CrystalSymmetry, _symmetry, symmetry_of_rows
from skuae.datasets import make_toy_crystals

HALF = [[0, 0, 0], [0.5, 0.5, 0.5]]
COLUMNS = ("space_groups", "primitive_sizes", "conventional_lattices", "orbits", "found")


def rocksalt(a=5.64):
    corners = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    return Structure(Lattice.cubic(a), ["Na"] * 4 + ["Cl"] * 4, np.vstack([corners, corners + 0.5]))


def two_sites(first, second, a=3.0):
    """A body-centred cubic cell if both sites are equal, a simple cubic one if not."""
    return Structure(Lattice.cubic(a), [first, second], HALF)


def wurtzite():
    sites = [[1 / 3, 2 / 3, z] for z in (0, 0.375)] + [[2 / 3, 1 / 3, z] for z in (0.5, 0.875)]
    return Structure(Lattice.hexagonal(3.82, 6.26), ["Zn", "S"] * 2, sites)


def split_site():
    """Two half-occupied places 0.02 Å apart beside a whole atom, in a cell that is turned."""
    lattice = Lattice.from_parameters(4, 5, 6, 80, 95, 100).matrix[:, [1, 2, 0]]  # turned
    sites = [[0, 0, 0], [0.005, 0, 0], [0.5, 0.5, 0.5]]
    return Structure(lattice, [{"Li": 0.5}, {"Li": 0.5}, "O"], sites)


def symmetry_of(*structures, **options):
    return as_crystals(structures).symmetry(**options)


def lengths_and_angles(lattices):
    return np.array([[*Lattice(m).lengths, *Lattice(m).angles] for m in lattices])


def assert_equal(one, other):
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert one.symprec == other.symprec


# -- known crystals --------------------------------------------------------------------------------


def test_sodium_chloride_in_four_cells():
    whole = rocksalt()
    primitive = whole.get_primitive_structure()
    skewed = primitive.copy().make_supercell([[1, 1, 0], [0, 1, 2], [0, 0, 1]])
    crystals = as_crystals([primitive, whole, whole * (1, 1, 2), skewed])
    assert crystals.sizes.tolist() == [2, 8, 16, 2]
    symmetry = crystals.symmetry()
    assert symmetry.space_groups.tolist() == [225] * 4
    assert symmetry.primitive_sizes.tolist() == [2] * 4
    assert symmetry.crystal_systems.tolist() == ["cubic"] * 4
    assert symmetry.found.all()
    cubic = np.tile(5.64 * np.eye(3), (4, 1, 1))
    np.testing.assert_allclose(symmetry.conventional_lattices, cubic, atol=1e-6)
    rhombohedral = [[5.64 / np.sqrt(2)] * 3 + [60.0] * 3] * 4
    np.testing.assert_allclose(
        lengths_and_angles(symmetry.primitive_lattices), rhombohedral, atol=1e-5
    )
    for row in range(4):
        sites = slice(*crystals.offsets[row : row + 2])
        of_element = crystals.numbers[sites][symmetry.orbits[sites]]
        np.testing.assert_array_equal(of_element, crystals.numbers[sites])
        assert len(set(symmetry.orbits[sites].tolist())) == 2
    # What a back-end counts: the electrons of the primitive cell, 11 + 17.
    electrons = np.add.reduceat(crystals.numbers.astype(int), crystals.offsets[:-1])
    assert (electrons * symmetry.primitive_sizes / crystals.sizes).tolist() == [28] * 4


def test_wurtzite():
    symmetry = symmetry_of(wurtzite())
    assert symmetry.space_groups.tolist() == [186]
    assert symmetry.crystal_systems.tolist() == ["hexagonal"]
    assert symmetry.primitive_sizes.tolist() == [4]
    assert symmetry.orbits.tolist() == [0, 1, 0, 1]
    expected = [[3.82, 3.82, 6.26, 90, 90, 120]]
    for lattices in (symmetry.conventional_lattices, symmetry.primitive_lattices):
        np.testing.assert_allclose(lengths_and_angles(lattices), expected, atol=1e-6)


def test_slab_without_symmetry():
    sites = [[0.05, 0.1, 0.3], [0.55, 0.45, 0.36], [0.3, 0.8, 0.41], [0.85, 0.2, 0.33]]
    slab = Structure(Lattice.from_parameters(4, 5, 30, 90, 90, 97), ["Ti", "O", "O", "H"], sites)
    symmetry = symmetry_of(slab)
    assert symmetry.space_groups.tolist() == [1]
    assert symmetry.crystal_systems.tolist() == ["triclinic"]
    assert symmetry.primitive_sizes.tolist() == [4]
    assert symmetry.orbits.tolist() == [0, 1, 2, 3]
    assert symmetry.found.all()


@pytest.mark.parametrize(
    ("first", "second", "space_group"),
    [
        ("Cu", "Zn", 221),
        ({"Cu": 0.5, "Zn": 0.5}, {"Zn": 0.5, "Cu": 0.5}, 229),
        ({"Cu": 0.5, "Zn": 0.5}, {"Cu": 0.4, "Zn": 0.6}, 221),
        ({"Cu": 0.5, "Zn": 0.5}, {"Cu": 0.5, "Ni": 0.5}, 221),
        ({"Cu": 0.9}, {"Cu": 0.9}, 229),
        ({"Cu": 0.9}, {"Cu": 0.8}, 221),
        ({"Cu": 0.9}, "Cu", 221),
        ("Cu", {"Cu": 1.0}, 229),
        # Charges and spins are not read: sites of one element are equal.
        ("Fe2+", "Fe3+", 229),
        ({"Fe2+": 0.5, "Fe3+": 0.5}, "Fe", 229),
        ("Fe0+,spin=5", "Fe0+,spin=-5", 229),
        ("D", "H", 229),
    ],
)
def test_sites_are_equal_if_species_and_occupancies_are(first, second, space_group):
    symmetry = symmetry_of(two_sites(first, second))
    assert symmetry.space_groups.tolist() == [space_group]
    same = space_group == 229
    assert symmetry.primitive_sizes.tolist() == [1 if same else 2]
    assert symmetry.orbits.tolist() == [0, 0 if same else 1]


def test_moments_are_not_read():
    ordered = two_sites("Fe", "Fe")
    ordered.add_site_property("magmom", [2.2, -2.2])
    assert symmetry_of(ordered).space_groups.tolist() == [229]


def test_space_groups_are_those_of_the_materials_project(mp_mini):
    symmetry = mp_mini.structures[:80].symmetry()
    assert symmetry.space_groups.tolist() == mp_mini.labels.spacegroup_number[:80].tolist()


@pytest.fixture(scope="module")
def first_settings():
    """What spglib says of the setting that it chooses for each group."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        kinds = [spglib.get_spacegroup_type(number) for number in range(530, 0, -1)]
    first = {kind.number: kind for kind in kinds}
    return [first[number] for number in range(1, 231)]


def of_all_groups():
    """One cell in each space group."""
    return CrystalSymmetry(
        offsets=np.arange(231), space_groups=np.arange(1, 231), primitive_sizes=np.ones(230),
        conventional_lattices=np.tile(np.diag([2.0, 3.0, 4.0]), (230, 1, 1)),
        orbits=np.zeros(230), found=np.ones(230), symprec=0.1,
    )  # fmt: skip


def test_crystal_systems_of_all_groups(first_settings):
    point_groups = {
        "triclinic": "1 -1", "monoclinic": "2 m 2/m", "orthorhombic": "222 mm2 mmm",
        "tetragonal": "4 -4 4/m 422 4mm -42m -4m2 4/mmm", "trigonal": "3 -3 32 3m -3m",
        "hexagonal": "6 -6 6/m 622 6mm -62m -6m2 6/mmm", "cubic": "23 m-3 432 -43m m-3m",
    }  # fmt: skip
    systems = {group: name for name, groups in point_groups.items() for group in groups.split()}
    expected = [systems[kind.pointgroup_international] for kind in first_settings]
    assert of_all_groups().crystal_systems.tolist() == expected


def test_centrings_of_all_groups(first_settings):
    letters = [kind.international_short[0] for kind in first_settings]
    shares = {"P": 1, "A": 2, "C": 2, "I": 2, "F": 4, "R": 3}
    expected = [24 / shares[letter] for letter in letters]
    np.testing.assert_allclose(np.linalg.det(of_all_groups().primitive_lattices), expected)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:spglib")
@pytest.mark.parametrize(
    "rows", [slice(3, None, 60), pytest.param(slice(None), marks=pytest.mark.slow)]
)
def test_agrees_with_pymatgen(mp_mini, rows):
    crystals = mp_mini.structures[rows]
    symmetry = crystals.symmetry()
    for row, structure in enumerate(crystals):
        expected = SpacegroupAnalyzer(structure, 0.1).get_symmetry_dataset()
        assert symmetry.space_groups[row] == expected.number
        assert symmetry.primitive_sizes[row] == expected.mapping_to_primitive.max() + 1
        np.testing.assert_allclose(
            symmetry.conventional_lattices[row], expected.std_lattice, atol=1e-6
        )
        sites = slice(*crystals.offsets[row : row + 2])
        orbits = expected.crystallographic_orbits
        np.testing.assert_array_equal(
            symmetry.orbits[sites], [orbits.tolist().index(orbit) for orbit in orbits]
        )


@pytest.mark.filterwarnings("ignore::DeprecationWarning:spglib")
def test_primitive_cells_are_those_of_spglib(mp_mini):
    numbers = mp_mini.labels.spacegroup_number.to_numpy()
    groups = [
        2,
        5,
        8,
        12,
        15,
        36,
        38,
        40,
        42,
        44,
        62,
        63,
        71,
        87,
        139,
        148,
        160,
        166,
        194,
        216,
        227,
    ]
    crystals = mp_mini.structures[[np.flatnonzero(numbers == n)[0] for n in groups]]
    symmetry = crystals.symmetry()
    assert symmetry.space_groups.tolist() == groups
    for row, structure in enumerate(crystals):
        cell = structure.lattice.matrix, structure.frac_coords, structure.atomic_numbers
        lattice, _, kinds = spglib.standardize_cell(
            cell, to_primitive=True, symprec=0.1, angle_tolerance=5
        )
        assert symmetry.primitive_sizes[row] == len(kinds)
        np.testing.assert_allclose(
            lengths_and_angles(symmetry.primitive_lattices[row : row + 1]),
            lengths_and_angles([lattice]), atol=1e-4,
        )  # fmt: skip


def test_cells_lie_on_canonical_axes(mp_mini):
    symmetry = mp_mini.structures[::60].symmetry()
    for lattices in (symmetry.conventional_lattices, symmetry.primitive_lattices):
        assert (np.abs(np.triu(lattices, 1)) < 1e-8).all()
        assert (np.diagonal(lattices, axis1=1, axis2=2) > 0.5).all()
    np.testing.assert_allclose(
        np.linalg.det(symmetry.primitive_lattices) / symmetry.primitive_sizes,
        mp_mini.structures[::60].volumes / mp_mini.structures[::60].sizes, rtol=0.02,
    )  # fmt: skip


# -- processes -------------------------------------------------------------------------------------


def test_processes_change_nothing(monkeypatch):
    monkeypatch.setattr(_symmetry, "_TASK", 2)
    structures = [rocksalt(), wurtzite(), two_sites({"Cu": 0.5}, {"Cu": 0.5, "Zn": 0.5})] * 2
    crystals = as_crystals(structures)
    assert len(list(_symmetry._tasks(crystals))) == 3
    assert_equal(crystals.symmetry(), as_crystals(structures).symmetry(n_jobs=2))


@pytest.mark.parametrize("n", [0, 1, 2, 63, 64, 65, 300])
def test_tasks_hold_every_crystal_once(n):
    crystals = make_toy_crystals(n_samples=300, random_state=0).structures[:n]
    tasks = list(_symmetry._tasks(crystals))
    assert list(itertools.chain(*tasks)) == list(range(n))
    assert len(tasks) == max(1, -(-n // 64))


def test_large_cells_are_tasks_of_their_own(perovskite):
    large = perovskite() * (8, 8, 8)
    crystals = as_crystals([large, perovskite(), large, large])
    assert [len(task) for task in _symmetry._tasks(crystals)] == [2, 1, 1]


# -- sizes -----------------------------------------------------------------------------------------


def test_large_cells():
    rng = np.random.default_rng(0)
    grid = np.array(list(itertools.product(range(7), repeat=3))) / 7
    shaken = Structure(
        Lattice.cubic(21.0), ["Si"] * 343, grid + rng.uniform(-0.03, 0.03, grid.shape)
    )
    crystals = as_crystals([rocksalt() * (4, 4, 4), shaken])
    assert crystals.sizes.tolist() == [512, 343]
    symmetry = crystals.symmetry()
    assert symmetry.space_groups.tolist() == [225, 1]
    assert symmetry.primitive_sizes.tolist() == [2, 343]
    np.testing.assert_allclose(
        lengths_and_angles(symmetry.conventional_lattices)[0], [5.64] * 3 + [90] * 3, atol=1e-6
    )
    assert len(set(symmetry.orbits[:512].tolist())) == 2
    np.testing.assert_array_equal(symmetry.orbits[512:], np.arange(343))


def test_one_crystal_and_none():
    crystals = as_crystals([rocksalt()])
    assert crystals.symmetry().space_groups.tolist() == [225]
    nothing = crystals[:0].symmetry()
    assert len(nothing) == len(nothing.orbits) == 0
    assert nothing.conventional_lattices.shape == nothing.primitive_lattices.shape == (0, 3, 3)
    assert nothing.crystal_systems.tolist() == []


def test_one_site():
    symmetry = symmetry_of(Structure(Lattice.cubic(3.35), ["Po"], [[0.1, 0.2, 0.3]]))
    assert symmetry.space_groups.tolist() == [221]
    assert symmetry.orbits.tolist() == [0]


# -- some rows only, progress ----------------------------------------------------------------------


def test_symmetry_of_rows_finds_no_more_than_asked_for(monkeypatch):
    sizes = []
    find = _symmetry.find_symmetry

    def counted(crystals, *args, **options):
        sizes.append(len(crystals))
        return find(crystals, *args, **options)

    monkeypatch.setattr("skuae.crystals._derived.find_symmetry", counted)
    crystals = as_crystals([rocksalt(), split_site(), wurtzite()])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        some = symmetry_of_rows(crystals, [2, 1])
        assert some.space_groups.tolist() == [186, 1]
        assert len(symmetry_of_rows(crystals, np.empty(0, int))) == 0
    assert sizes == [2, 0]
    with pytest.warns(UserWarning, match="row 1"):
        crystals.symmetry()
    assert_equal(symmetry_of_rows(crystals, [2, 1]), some)
    assert sizes == [2, 0, 3]


def test_spglib_does_not_write_to_stderr(mp_mini, capfd, monkeypatch):
    """Its C code does so for this crystal, although it finds the group in the end."""
    loud = mp_mini.structures[np.flatnonzero(mp_mini.structures.ids == "mp-32884")]
    monkeypatch.setenv("SPGLIB_WARNING", "ON")
    assert loud.symmetry(0.1 - 1e-9).found.all()  # at 0.1, it may be known already
    assert "spglib: " in capfd.readouterr().err
    monkeypatch.delenv("SPGLIB_WARNING")
    assert loud.symmetry(0.1 + 1e-9).found.all()
    assert capfd.readouterr().err == ""
    assert "SPGLIB_WARNING" not in os.environ


def test_progress(monkeypatch, capfd):
    monkeypatch.setattr(_progress, "_DELAY", 0)
    crystals = as_crystals([rocksalt(), wurtzite()])
    crystals.symmetry()
    assert capfd.readouterr() == ("", "")
    crystals.symmetry(0.2, verbose=1)
    assert "symmetry: 100%" in capfd.readouterr().err
    with _progress.show_progress(1):  # of an estimator
        crystals.symmetry(0.3)
    assert "2/2" in capfd.readouterr().err


def test_arrays_cannot_be_written_to():
    symmetry = symmetry_of(rocksalt())
    for name in COLUMNS:
        with pytest.raises(ValueError, match="read-only"):
            getattr(symmetry, name)[:] = 0
    with pytest.raises(AttributeError):
        symmetry.symprec = 1.0
