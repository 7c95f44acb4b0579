import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Structure

from skuae.crystals import Crystals, as_crystals
from skuae.datasets import load_mp_mini, load_mp_perovskites

TARGETS = ["formation_energy_per_atom", "band_gap", "e_above_hull", "spacegroup_number"]


def test_content(mp_mini):
    assert isinstance(mp_mini.structures, Crystals)
    assert len(mp_mini.structures) == len(mp_mini.target) == len(mp_mini.ids) == 2573
    assert len(set(mp_mini.ids)) == 2573
    assert list(mp_mini.labels.columns) == TARGETS
    assert not mp_mini.labels.isna().any(axis=None)
    assert mp_mini.structures.sizes.min() >= 1 and mp_mini.structures.sizes.max() == 20
    assert mp_mini.target.dtype == np.float64
    assert mp_mini.labels.spacegroup_number.between(1, 230).all()
    assert mp_mini.labels.band_gap.min() == 0.0


def test_one_crystal_is_as_its_source_has_it(mp_mini):
    row = list(mp_mini.ids).index("mp-974729")
    structure = mp_mini.structures[row]
    assert structure.composition.reduced_formula == "Nd(Al2Cu)4"
    np.testing.assert_allclose(
        structure.lattice.matrix,
        [[6.737173, 0.0, -0.992341], [-5.023408, 4.489418, -0.992341], [0.0, 0.0, 6.809864]],
        atol=1e-6,
    )
    np.testing.assert_allclose(structure.frac_coords[3], [0.65106, 0.0, 0.65106], atol=1e-6)
    assert mp_mini.target[row] == pytest.approx(-0.3147590, abs=1e-6)
    assert structure.get_space_group_info()[1] == mp_mini.labels.spacegroup_number.iloc[row]
    assert mp_mini.structures.where(row) == f"row {row} (mp-974729)"


def test_structures_pass_the_checks_of_the_door(mp_mini):
    again = as_crystals(mp_mini.frame["structure"])
    np.testing.assert_array_equal(again.numbers, mp_mini.structures.numbers)
    np.testing.assert_allclose(again.frac_coords, mp_mini.structures.frac_coords, atol=1e-12)
    assert list(again.ids) == list(mp_mini.ids)


def test_target_chooses_the_columns(mp_mini):
    np.testing.assert_array_equal(mp_mini.target, mp_mini.labels.formation_energy_per_atom)
    two = load_mp_mini(target=["band_gap", "e_above_hull"])
    assert two.target_names == ["band_gap", "e_above_hull"]
    np.testing.assert_array_equal(two.target, two.labels[["band_gap", "e_above_hull"]])
    with pytest.raises(ValueError, match="one or several of formation_energy_per_atom, band_gap"):
        load_mp_mini(target="bandgap")
    with pytest.raises(ValueError, match="target=\\[\\]"):
        load_mp_mini(target=[])


def test_return_X_y_and_as_frame():
    X, y = load_mp_mini(return_X_y=True)
    assert isinstance(X, Crystals) and isinstance(y, np.ndarray)
    frame, series = load_mp_mini(return_X_y=True, as_frame=True)
    assert frame.shape == (2573, 1) and isinstance(frame.structure.iloc[0], Structure)
    assert isinstance(series, pd.Series) and series.index.equals(frame.index)
    both = load_mp_mini(target=TARGETS[:2], as_frame=True).target
    assert isinstance(both, pd.DataFrame) and list(both.columns) == TARGETS[:2]


def test_frame_is_made_once_when_asked_for():
    data = load_mp_mini()
    assert "frame" in dir(data) and "frame" not in data.keys()
    assert list(data.frame.columns) == ["structure", *TARGETS]
    assert data.frame is data["frame"]
    assert list(data.frame.index) == list(data.ids)
    with pytest.raises(AttributeError):
        data.frames  # noqa: B018
    with pytest.raises(KeyError):
        data["frames"]


def test_bunch_survives_pickle_and_deepcopy():
    data = load_mp_mini()
    for twin in (pickle.loads(pickle.dumps(data)), copy.deepcopy(data)):
        np.testing.assert_array_equal(twin.target, data.target)
        assert twin.frame.shape == (2573, 5)


def test_changing_the_target_leaves_the_labels_alone():
    data = load_mp_mini(as_frame=True)
    data.target[:] = 0.0
    assert data.labels.formation_energy_per_atom.std() > 0.5
    assert load_mp_mini().target.std() > 0.5


def test_descr_has_origin_licence_and_units(mp_mini):
    for needed in ("CC BY 4.0", "10.1063/1.4812323", "eV/atom", "SLICES", *TARGETS):
        assert needed in mp_mini.DESCR
    rows = mp_mini.frame.structure.map(lambda s: s.composition.reduced_formula)
    assert f"{rows.duplicated(keep=False).sum()} rows share" in mp_mini.DESCR
    n_elements = len(np.unique(mp_mini.structures.numbers))
    assert f"{n_elements} elements" in mp_mini.DESCR


def test_bundled_files_are_small():
    from importlib.resources import files

    sizes = [f.stat().st_size for f in (files("skuae.datasets") / "data").iterdir()]
    assert sum(sizes) < 1_000_000


def formulas(structures):
    return [structure.composition.reduced_formula for structure in structures]


def test_perovskites_content():
    data = load_mp_perovskites()
    assert len(data.structures) == len(set(data.ids)) == 465
    assert list(data.labels.columns) == TARGETS[:2] and data.target_names == TARGETS[:1]
    assert not data.labels.isna().any(axis=None)
    assert data.labels.band_gap.min() == 0.0
    numbers = data.structures.numbers.reshape(465, 5)
    amounts = {tuple(sorted(np.unique(row, return_counts=True)[1].tolist())) for row in numbers}
    assert amounts == {(1, 1, 3)}


def test_perovskites_are_as_their_source_has_them():
    data = load_mp_perovskites(target=TARGETS[:2])
    row = list(data.ids).index("mp-5827")
    structure = data.structures[row]
    assert structure.composition.reduced_formula == "CaTiO3"
    assert structure.lattice.abc == pytest.approx([3.889471] * 3, abs=1e-6)
    assert structure.get_space_group_info()[1] == 221
    np.testing.assert_allclose(data.target[row], [-3.504742, 1.8283], atol=1e-6)


def test_perovskites_share_no_formula_with_mp_mini(mp_mini):
    assert not set(formulas(load_mp_perovskites().structures)) & set(formulas(mp_mini.structures))


def test_perovskites_descr():
    data = load_mp_perovskites()
    for needed in ("CC BY 4.0", "10.1063/1.4812323", "eV/atom", "ct-uae-mt", *TARGETS[:2]):
        assert needed in data.DESCR
    rows = pd.Series(formulas(data.structures))
    assert f"{rows.duplicated(keep=False).sum()} rows share" in data.DESCR
    assert f"{len(np.unique(data.structures.numbers))} elements" in data.DESCR
    assert f"{(data.labels.band_gap == 0).sum()} rows" in data.DESCR
    groups = [structure.get_space_group_info()[1] for structure in data.structures]
    assert f"{groups.count(221)} are cubic" in data.DESCR


def test_perovskites_target_chooses_the_columns():
    with pytest.raises(ValueError, match=r"one or several of formation_energy_per_atom, band_gap$"):
        load_mp_perovskites(target="e_above_hull")
    X, y = load_mp_perovskites(target="band_gap", return_X_y=True, as_frame=True)
    assert X.shape == (465, 1) and y.name == "band_gap" and y.index.equals(X.index)


def test_perovskites_are_small():
    from importlib.resources import files

    paths = [f for f in (files("skuae.datasets") / "data").iterdir() if "perovskites" in f.name]
    assert len(paths) == 3 and sum(path.stat().st_size for path in paths) < 60_000


def test_the_target_is_a_copy():
    data = load_mp_mini()
    before = data.labels["formation_energy_per_atom"].copy()
    data.target[:] = 0
    pd.testing.assert_series_equal(data.labels["formation_energy_per_atom"], before)
