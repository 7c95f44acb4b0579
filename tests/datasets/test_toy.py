import numpy as np
import pandas as pd
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Element

from skuae.crystals import Crystals, as_crystals
from skuae.datasets import make_toy_crystals

ALL = ("rocksalt", "cscl", "zincblende", "perovskite")


def test_same_seed_same_crystals_and_other_seed_others():
    first, again, other = (make_toy_crystals(20, random_state=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.structures.numbers, again.structures.numbers)
    np.testing.assert_array_equal(first.structures.lattices, again.structures.lattices)
    assert list(first.ids) == list(again.ids)
    assert list(first.ids) != list(other.ids)


def test_structures_are_sound_and_unique():
    data = make_toy_crystals(300, prototypes=ALL, random_state=0)
    assert isinstance(data.structures, Crystals)
    as_crystals(data.structures.to_structures())  # distances, volumes, species
    assert data.labels.groupby("formula").prototype.nunique().max() > 1
    assert not data.labels.duplicated(["formula", "prototype"]).any()
    assert data.labels.prototype.value_counts().to_dict() == dict.fromkeys(ALL, 75)


def test_more_samples_than_combinations_are_still_different_crystals():
    data = make_toy_crystals(200, prototypes=("rocksalt",), random_state=0)
    assert data.labels.formula.duplicated().any()
    assert len(np.unique(data.structures.volumes)) == 200


@pytest.mark.parametrize(
    ("prototype", "spacegroup", "neighbours"),
    [("rocksalt", 225, 6), ("cscl", 221, 8), ("zincblende", 216, 4), ("perovskite", 221, 6)],
)
def test_prototypes_have_the_symmetry_and_coordination_of_their_name(
    prototype, spacegroup, neighbours
):
    data = make_toy_crystals(3, prototypes=prototype, random_state=1)
    for structure in data.structures:
        assert structure.get_space_group_info()[1] == spacegroup
        cation = structure[1] if prototype == "perovskite" else structure[0]
        distances = sorted(n.nn_distance for n in structure.get_neighbors(cation, 6.0))
        np.testing.assert_allclose(distances[:neighbours], distances[0])
        assert distances[neighbours] > 1.1 * distances[0]


@pytest.mark.parametrize(
    ("formula", "prototype", "a"),
    [("NaCl", "rocksalt", 5.64), ("MgO", "rocksalt", 4.21), ("CsCl", "cscl", 4.12),
     ("GaAs", "zincblende", 5.65), ("InSb", "zincblende", 6.48)],
)  # fmt: skip
def test_lattice_parameters_are_realistic(formula, prototype, a):
    data = make_toy_crystals(84, prototypes=prototype, random_state=0)
    row = list(data.labels.formula).index(formula)
    conventional = data.structures[row].to_conventional()
    assert conventional.lattice.a == pytest.approx(a, rel=0.05)


def test_targets_are_what_they_are_called():
    names = ["electronegativity", "volume_per_atom", "prototype"]
    data = make_toy_crystals(12, prototypes=ALL, target=names, random_state=0)
    assert data.target_names == names
    assert data.target.shape == (12, 3)
    for structure, (electronegativity, volume, _) in zip(data.structures, data.target, strict=True):
        expected = np.mean([Element(str(s.specie)).X for s in structure])
        assert electronegativity == pytest.approx(expected, abs=0.35)  # Mn, Tl, Pb: scales differ
        assert volume == pytest.approx(structure.volume / len(structure))


def test_return_X_y_and_as_frame():
    X, y = make_toy_crystals(5, random_state=0, return_X_y=True)
    assert isinstance(X, Crystals)
    assert y.shape == (5,) and y.dtype == float
    frame, series = make_toy_crystals(5, random_state=0, return_X_y=True, as_frame=True)
    assert list(frame.columns) == ["structure"]
    assert isinstance(series, pd.Series) and series.name == "electronegativity"
    assert series.index.equals(frame.index)
    assert StructureMatcher().fit(frame.structure.iloc[4], X[4])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prototypes": ("rocksalt", "spinel")}, "'zincblende', 'perovskite'"),
        ({"prototypes": ()}, "must be names out of"),
        ({"target": "gap"}, "electronegativity, volume_per_atom, prototype"),
        ({"n_samples": 0}, "n_samples=0 must be at least 1"),
    ],
)
def test_wrong_arguments_are_named_with_what_is_allowed(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_toy_crystals(**arguments)
