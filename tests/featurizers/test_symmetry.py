"""Symmetry, electrons, density and distances as features."""

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer
from pymatgen.symmetry.groups import SpaceGroup
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline, make_union

from skuae import UAETransformer
from skuae.featurizers import SymmetryTransformer
from skuae.featurizers._symmetry import _LAST_OF_POINT_GROUP


def frame_of(structures, **params):
    features = SymmetryTransformer(**params).set_output(transform="pandas")
    return features.fit_transform(list(structures))


@pytest.fixture(scope="module")
def rocksalt():
    return Structure.from_spacegroup(225, Lattice.cubic(5.64), ["Na", "Cl"], [[0] * 3, [0.5] * 3])


@pytest.fixture(scope="module")
def quartz():
    lattice = Lattice.hexagonal(4.916, 5.405)
    return Structure.from_spacegroup(
        154, lattice, ["Si", "O"], [[0.4697, 0, 2 / 3], [0.4135, 0.2669, 0.7858]]
    )


def test_rocksalt(rocksalt):
    row = frame_of([rocksalt]).iloc[0].to_dict()
    assert row == pytest.approx(
        {
            "space_group": 225,
            "point_group": 32,
            "crystal_system": 7,
            "centrosymmetric": 1,
            "chiral": 0,
            "electrons": 28,
            "odd_electrons": 0,
            "primitive_sites": 2,
            "orbits": 2,
            "volume_per_atom": 5.64**3 / 8,
            "density": 2.164,
            "nearest_mean": 2.82,
            "nearest_std": 0,
            "nearest_min": 2.82,
            "nearest_max": 2.82,
            "neighbors_mean": 2.82 * (1 + 2**0.5) / 2,
            "neighbors_std": 2.82 * (2**0.5 - 1) / 2,
        },
        rel=1e-3,
        abs=1e-4,
    )


def test_quartz_and_iron(quartz):
    iron = Structure(Lattice.cubic(2.87), ["Fe", "Fe"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    frame = frame_of([quartz, iron, Structure(Lattice.cubic(3.3), ["Na"], [[0, 0, 0]])])
    assert frame["chiral"].tolist() == [1, 0, 0]
    assert frame["centrosymmetric"].tolist() == [0, 1, 1]
    assert frame["crystal_system"].tolist() == [5, 7, 7]
    assert frame["orbits"].tolist() == [2, 1, 1]
    assert frame["primitive_sites"].tolist() == [9, 1, 1]
    assert frame["electrons"].tolist() == [3 * (14 + 16), 26, 11]
    assert frame["odd_electrons"].tolist() == [0, 0, 1]


def test_supercells_are_the_same_crystal(rocksalt, quartz):
    for structure in (rocksalt, quartz):
        larger = structure * [2, 1, 1]
        frame = frame_of([structure, larger])
        np.testing.assert_allclose(frame.iloc[0], frame.iloc[1], rtol=1e-4, atol=1e-4)


def test_against_pymatgen(mp_mini):
    structures = mp_mini.structures[:40].to_structures()
    frame = frame_of(structures)
    np.testing.assert_allclose(frame["density"], [s.density for s in structures], rtol=1e-4)
    per_atom = [s.volume / len(s) for s in structures]
    np.testing.assert_allclose(frame["volume_per_atom"], per_atom, rtol=1e-5)
    found = [SpacegroupAnalyzer(s, 0.1, 5).get_space_group_number() for s in structures]
    assert frame["space_group"].tolist() == found
    for structure, row in zip(structures, frame.itertuples(), strict=True):
        nearest = structure.distance_matrix + 100 * np.eye(len(structure))
        assert row.nearest_min <= nearest.min() + 1e-4


def test_point_groups_are_those_of_pymatgen():
    """Settings of one point group, as 321 and 312, have one number."""
    one = {"-4m2": "-42m", "321": "32", "312": "32", "3m1": "3m", "31m": "3m", "-3m1": "-3m",
           "-31m": "-3m", "-62m": "-6m2"}  # fmt: skip
    names = [SpaceGroup.from_int_number(n).point_group for n in range(1, 231)]
    names = [one.get(name, name) for name in names]
    numbers = np.searchsorted(_LAST_OF_POINT_GROUP, np.arange(1, 231)) + 1
    assert len(set(names)) == len(set(numbers)) == 32
    assert len(set(zip(names, numbers, strict=True))) == 32


def test_occupancies_count():
    alloy = Structure(Lattice.cubic(4.0), [{"Cu": 0.5, "Au": 0.25}], [[0, 0, 0]])
    row = frame_of([alloy]).iloc[0]
    assert row["electrons"] == pytest.approx(0.5 * 29 + 0.25 * 79)
    assert row["volume_per_atom"] == pytest.approx(64 / 0.75)
    assert row["density"] == pytest.approx(alloy.density, rel=1e-4)


@pytest.mark.filterwarnings("ignore:row 0. no atom has a neighbour")
def test_an_atom_without_neighbours():
    row = frame_of([Structure(Lattice.cubic(20.0), ["Ar"], [[0, 0, 0]])]).iloc[0]
    assert row[["nearest_mean", "nearest_min", "nearest_max", "neighbors_mean"]].tolist() == [8] * 4
    assert row[["nearest_std", "neighbors_std"]].tolist() == [0, 0]


def test_names_clones_and_searches(toy):
    features = SymmetryTransformer()
    assert features.transform(toy.structures).shape == (24, 17)  # there is nothing to fit
    names = features.get_feature_names_out()
    assert len(set(names)) == 17
    assert names[0] == "space_group"
    assert clone(SymmetryTransformer(0.01)).symprec == 0.01
    union = make_union(UAETransformer("magpie"), features)
    trees = ExtraTreesRegressor(5, random_state=0)
    grid = {"featureunion__symmetrytransformer__symprec": [0.01, 0.1]}
    search = GridSearchCV(make_pipeline(union, trees), grid, cv=2, error_score="raise")
    assert search.fit(toy.structures, toy.target).predict(toy.structures).shape == (24,)


def test_methods_of_matminer(toy):
    df = pd.DataFrame({"structure": pd.Series(list(toy.structures[:3]), dtype=object)})
    features = SymmetryTransformer()
    frame = features.featurize_dataframe(df, "structure", pbar=False)
    assert list(frame.columns) == ["structure", *features.feature_labels()]
    assert "spglib" in features.citations()[0]


@pytest.mark.parametrize(
    ("symprec", "error"), [(0, ValueError), (-1.0, ValueError), ("fine", TypeError)]
)
def test_bad_tolerance(toy, symprec, error):
    for method in ("fit", "transform"):
        with pytest.raises(error, match="symprec"):
            getattr(SymmetryTransformer(symprec), method)(toy.structures)
