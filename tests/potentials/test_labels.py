"""Labels of potentials are read row by row, or refused with the row."""

import numpy as np
import pandas as pd
import pytest
import torch
from small_potentials import sample

from skuae import as_crystals
from skuae.potentials._contract import GPA
from skuae.potentials._labels import read_labels

CRYSTALS = as_crystals(sample())
SIZES = CRYSTALS.sizes.tolist()
RNG = np.random.default_rng(0)
ROWS = [
    {
        "energy": float(RNG.standard_normal()),
        "forces": RNG.standard_normal((n, 3)),
        "stress": np.diag(RNG.standard_normal(3)),
        "magmoms": RNG.standard_normal(n),
    }
    for n in SIZES
]


def read(rows):
    return read_labels(rows, CRYSTALS)


def test_dicts_are_read():
    labels = read(ROWS)
    assert labels.energies.tolist() == [row["energy"] for row in ROWS]
    np.testing.assert_array_equal(labels.forces, np.concatenate([row["forces"] for row in ROWS]))
    np.testing.assert_array_equal(labels.stresses, [row["stress"] for row in ROWS])
    moments = np.abs(np.concatenate([row["magmoms"] for row in ROWS]))
    np.testing.assert_array_equal(labels.magmoms, moments)


@pytest.mark.parametrize("kind", [list, tuple, lambda rows: np.array(rows, dtype=object)])
def test_frames_and_sequences_say_the_same(kind):
    expected = read(ROWS)
    for y in (pd.DataFrame(ROWS), pd.DataFrame(ROWS, index=[7, 7, 3]), kind(ROWS)):
        labels = read(y)
        for name in ("energies", "forces", "stresses", "magmoms"):
            np.testing.assert_array_equal(getattr(labels, name), getattr(expected, name))


def test_what_is_missing_is_unknown():
    rows = [{"energy": 1.0}, {"forces": None, "energy": np.nan}, {"forces": [[1, np.nan, 3]]}]
    for y in (rows, pd.DataFrame(rows)):
        labels = read(y)
        np.testing.assert_array_equal(labels.energies, [1.0, np.nan, np.nan])
        assert np.isnan(labels.forces[:-1]).all() and np.isnan(labels.stresses).all()
        np.testing.assert_array_equal(labels.forces[-1], [1.0, np.nan, 3.0])


def test_tensors_are_read():
    rows = [{"forces": torch.tensor(row["forces"], requires_grad=True)} for row in ROWS]
    np.testing.assert_array_equal(read(rows).forces, read(ROWS).forces)


def changed(row, **labels):
    return [{**old, **(labels if i == row else {})} for i, old in enumerate(ROWS)]


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (changed(1, forces=np.zeros((3, 3))), r"row 1: forces has shape \(3, 3\), expected \(2, 3"),
        (changed(0, forces=np.zeros(24)), r"row 0: forces has shape \(24,\), .* \(8, 3\): a row"),
        (changed(2, stress=np.zeros(6)), r"row 2: stress has shape \(6,\).*write the tensor"),
        (changed(2, stress=[[0, 5, 0], [1, 0, 0], [0, 0, 0]]), "row 2: the stress is not sym"),
        (changed(1, energy=[1.0]), r"row 1: energy has shape \(1,\)"),
        (changed(1, energy=np.inf), "row 1: energy is infinite"),
        (changed(1, energy="-3 eV"), r"row 1: energy cannot be read as numbers"),
        (changed(1, force=np.zeros((2, 3))), "row 1: there is no label 'force'; use energy"),
        (changed(1, magmoms=[1.0]), r"row 1: magmoms has shape \(1,\), expected \(2,\)"),
        (changed(1, energy=True), r"row 1: energy cannot be read as numbers \(got booleans"),
        (changed(1, energy=1j), "row 1: energy cannot be read as numbers"),
        (changed(1, energy=np.ma.masked), "row 1: energy cannot be read as numbers"),
        (changed(2, forces=[[1, 2], [3]]), "row 2: forces cannot be read as numbers"),
        (changed(1, energy=1e300), r"row 1: energy is 1e\+300, which no crystal has"),
        (changed(0, forces=np.full((8, 3), -1e30)), r"row 0: forces is -1e\+30, which no crystal"),
        (pd.DataFrame([[1, 2]] * 3, columns=["energy", "energy"]), "y has a column twice"),
        (ROWS[:2], "y has 2 rows, X has 3 crystals"),
        (pd.DataFrame({"e": [1.0, 2.0, 3.0]}), "y has columns that are no labels: e; pass those"),
        (None, "y=None reads labels from the calculators of ASE Atoms"),
    ],
)  # fmt: skip
def test_wrong_labels_are_refused_with_the_row(y, said):
    with pytest.raises(ValueError, match=said):
        read_labels(y, CRYSTALS, CRYSTALS)


@pytest.mark.parametrize("y", [[1.0, 2.0, 3.0], np.zeros(3), "energy", {"energy": [1, 2, 3]}])
def test_other_kinds_are_refused(y):
    with pytest.raises(TypeError, match=r"expected a dict|pass a data frame"):
        read(y)


def test_names_of_rows_are_said():
    named = type(CRYSTALS)(
        CRYSTALS.numbers, CRYSTALS.frac_coords, CRYSTALS.lattices, CRYSTALS.offsets,
        ids=["a", "b", "c"],
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"row 1 \(b\): energy is infinite"):
        read_labels(changed(1, energy=-np.inf), named)


def test_calculators_of_atoms_are_read():
    pytest.importorskip("ase")
    from ase.calculators.singlepoint import SinglePointCalculator
    from pymatgen.io.ase import AseAtomsAdaptor

    atoms = [AseAtomsAdaptor.get_atoms(structure) for structure in sample()]
    voigt = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])  # xx, yy, zz, yz, xz, xy in eV/Å³
    for one, row in zip(atoms, ROWS, strict=True):
        one.calc = SinglePointCalculator(
            one, energy=row["energy"], forces=row["forces"], stress=voigt
        )
    labels = read_labels(None, as_crystals(atoms), atoms)
    assert labels.energies.tolist() == [row["energy"] for row in ROWS]
    np.testing.assert_array_equal(labels.forces, np.concatenate([row["forces"] for row in ROWS]))
    full = np.array([[1.0, 6.0, 5.0], [6.0, 2.0, 4.0], [5.0, 4.0, 3.0]])
    np.testing.assert_allclose(labels.stresses, [full * GPA] * 3)
    atoms[1].calc = None
    with pytest.raises(ValueError, match="row 1: the Atoms have no calculator with results"):
        read_labels(None, as_crystals(atoms), atoms)
