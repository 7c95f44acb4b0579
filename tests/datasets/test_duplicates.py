import numpy as np
import pandas as pd
import pytest
import spglib
from pymatgen.core import Lattice, Structure

from skuae import as_crystals
from skuae.datasets import find_duplicates, formula_groups, leaking_rows, make_toy_crystals

SITES = [[0, 0, 0], [0.5, 0.5, 0.5]]


def rocksalt(a=5.64, species=("Na", "Cl")):
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), list(species), SITES)


def cscl(a=4.0, species=("Na", "Cl")):
    return Structure.from_spacegroup("Pm-3m", Lattice.cubic(a), list(species), SITES)


def quartz(space_group):
    """Right-handed (P3_121) or left-handed (P3_221), of one size."""
    z = {"P3_121": 1 / 3, "P3_221": 2 / 3}[space_group]
    sites = [[0.4697, 0, z], [0.4133, 0.2672, z + (0.1188 if z < 0.5 else -0.1188)]]
    return Structure.from_spacegroup(
        space_group, Lattice.hexagonal(4.913, 5.405), ["Si", "O"], sites
    )


def rows(pairs):
    return list(zip(pairs.row_a, pairs.row_b, strict=True))


def test_the_choice_of_the_cell_does_not_matter():
    nacl = rocksalt()
    other = nacl.get_primitive_structure()
    other.make_supercell([1, 2, 1])
    other.translate_sites(range(len(other)), [0.1, 0.2, 0.3])
    pairs = find_duplicates([cscl(), nacl], [other])
    assert rows(pairs) == [(1, 0)]
    assert list(pairs.reason) == ["structure"]
    assert pairs.volume_ratio[0] == pytest.approx(1.0)
    assert list(pairs.columns) == ["row_a", "row_b", "id_a", "id_b", "reason", "volume_ratio"]
    assert pairs.id_a.isna().all() and pairs.id_b.isna().all()


def test_composition_space_group_and_volume_must_all_agree():
    a_of_equal_volume = 5.64 / 4 ** (1 / 3)
    B = [
        rocksalt(species=("K", "Cl")),
        cscl(a_of_equal_volume),
        rocksalt(5.64 * 1.021 ** (1 / 3)),
        rocksalt(5.64 / 1.021 ** (1 / 3)),
        rocksalt(5.64 * 1.019 ** (1 / 3)),
        rocksalt(5.64 / 1.019 ** (1 / 3)),
    ]
    assert rows(find_duplicates([rocksalt()], B)) == [(0, 4), (0, 5)]
    pairs = find_duplicates([rocksalt()], B, volume_tolerance=0.022)
    assert rows(pairs) == [(0, 2), (0, 3), (0, 4), (0, 5)]
    np.testing.assert_allclose(pairs.volume_ratio, [1 / 1.021, 1.021, 1 / 1.019, 1.019])


def test_a_mirror_image_is_a_duplicate():
    right, left = quartz("P3_121"), quartz("P3_221")
    assert right.get_space_group_info()[1] == 152 and left.get_space_group_info()[1] == 154
    assert rows(find_duplicates([right], [left])) == [(0, 0)]


def test_small_distortions_are_forgiven_up_to_symprec():
    other = rocksalt()
    other.translate_sites([0], [0.004, 0, 0])  # 0.02 Å
    assert rows(find_duplicates([rocksalt()], [other])) == [(0, 0)]
    assert not len(find_duplicates([rocksalt()], [other], symprec=0.001))


def test_same_id_is_a_duplicate_whatever_the_structure():
    A = as_crystals([cscl(), rocksalt()], ids=["mp-1", "mp-2"])
    B = as_crystals([rocksalt(species=("K", "Br")), rocksalt()], ids=["mp-1", "mp-2"])
    pairs = find_duplicates(A, B)
    assert rows(pairs) == [(0, 0), (1, 1)]
    assert list(pairs.reason) == ["id", "id"]
    assert list(pairs.id_a) == list(pairs.id_b) == ["mp-1", "mp-2"]


@pytest.mark.parametrize(
    "index",
    [
        [7, 9],
        [7.0, 9.0],
        [-7, -9],
        [1e22, 2e22],
        pd.to_datetime(["2020-01-01", "2020-01-02"]),
        pd.MultiIndex.from_tuples([(0, 7), (0, 9)]),
        pd.to_timedelta([1, 2], unit="D"),
        pd.PeriodIndex(["2020Q1", "2020Q2"], freq="Q"),
        pd.MultiIndex.from_product([pd.to_datetime(["2020-01-01"]), [7, 9]]),
        pd.IntervalIndex.from_breaks([-np.inf, 0, 1]),
        pd.Index([False, True]),
        pd.Index([(np.int64(0), 7), (np.int64(0), 9)], tupleize_cols=False),
    ],
    ids=str,
)
def test_numbers_are_no_ids(index):
    A = pd.Series([cscl(), rocksalt()], index=index)
    B = pd.Series([rocksalt(), cscl()], index=index)
    pairs = find_duplicates(A, B)
    assert rows(pairs) == [(0, 1), (1, 0)]
    assert set(pairs.reason) == {"structure"}
    # but whoever asks for ids means them
    np.testing.assert_array_equal(leaking_rows(A, B.iloc[:1], by="id"), [True, False])


def test_ids_with_words_of_an_index_are_ids():
    for name in ("NA-1", "day-5", "None-3", "np.7", "InF", "('a', 1)", "1e5x", "JVASP-1", "ee"):
        A = pd.Series([cscl()], index=pd.Index([name], tupleize_cols=False))
        B = pd.Series([rocksalt(species=("K", "Br"))], index=A.index)
        assert find_duplicates(A, B).reason.tolist() == ["id"], name


def test_missing_ids_are_not_equal():
    A = pd.Series([cscl(), rocksalt()], index=["mp-1", np.nan])
    B = pd.Series([rocksalt(species=("K", "Br")), rocksalt()], index=[np.nan, "banana"])
    assert set(find_duplicates(A, B).reason) == {"structure"}
    np.testing.assert_array_equal(leaking_rows(A, B, by="formula"), [True, True])
    with pytest.raises(ValueError, match='by="id": row 1 of A has no id'):
        leaking_rows(A, B, by="id")
    with pytest.raises(ValueError, match='by="id": row 0 of B has no id'):
        leaking_rows(A[:1], B, by="id")
    C = pd.Series([rocksalt(species=("K", "Br"))], index=["banana"])
    assert sorted(find_duplicates(C, B).reason) == ["id", "structure"]


def test_groups_of_disordered_formulas():
    alloy = Structure(Lattice.cubic(4.0), [{"Cu": 0.1, "Au": 0.9}], [[0, 0, 0]])
    supercell = alloy.make_supercell((3, 1, 1), in_place=False)
    groups = formula_groups([cscl(), alloy, rocksalt(species=("K", "Br")), supercell, cscl(a=5.0)])
    assert groups[1] == groups[3]
    assert groups[0] == groups[4]
    assert len(set(groups)) == groups.max() + 1 == 3


def test_confirm_asks_structure_matcher():
    def perovskite(a, b):
        sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
        return Structure.from_spacegroup("Pm-3m", Lattice.cubic(4.0), [a, b, "O"], sites)

    A = as_crystals([perovskite("Ca", "Ti")] * 2, ids=["x", "y"])
    B = as_crystals([perovskite("Ti", "Ca"), perovskite("Ca", "Ti")], ids=["x", "z"])
    assert rows(find_duplicates(A, B)) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    pairs = find_duplicates(A, B, confirm=True)
    assert rows(pairs) == [(0, 0), (0, 1), (1, 1)]
    assert list(pairs.reason) == ["id", "structure", "structure"]


def test_disordered_crystals():
    alloy = {"Na": 0.5, "K": 0.5}
    rounded = {"Na": 0.5004, "K": 0.4996}
    A = [rocksalt(species=(alloy, "Cl")), rocksalt(species=({"Na": 0.98}, "Cl")), rocksalt()]
    B = [rocksalt(species=(rounded, "Cl")), rocksalt(species=({"Na": 0.98}, "Cl"))]
    assert rows(find_duplicates(A, B)) == [(0, 0), (1, 1)]
    np.testing.assert_array_equal(leaking_rows(A, B, by="formula"), [True, True, False])


@pytest.mark.parametrize("share", [0.3125, 0.67])  # 0.0625 and 0.134 of all atoms: on a step
def test_near_fractions_are_equal_wherever_they_lie(share):
    def perovskite(x):
        species = [{"Sr": x, "La": round(1 - x, 10)}, "Mn", "O"]
        sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
        return Structure.from_spacegroup("Pm-3m", Lattice.cubic(3.9), species, sites)

    A, B, C = [perovskite(share)], [perovskite(share - 0.0001)], [perovskite(share - 0.01)]
    assert rows(find_duplicates(A, B)) == [(0, 0)]
    assert leaking_rows(A, B, by="formula").all()
    assert formula_groups(A + B + C).tolist() in ([0, 0, 1], [1, 1, 0])
    assert not len(find_duplicates(A, C))


def test_order_on_the_same_sites_is_another_crystal():
    ordered = cscl(species=("Cu", "Zn"))
    mixed = cscl(species=({"Cu": 0.5, "Zn": 0.5}, {"Cu": 0.5, "Zn": 0.5}))  # bcc: Im-3m
    assert not len(find_duplicates([ordered], [mixed]))
    np.testing.assert_array_equal(leaking_rows([ordered], [mixed], by="formula"), [True])
    np.testing.assert_array_equal(leaking_rows([mixed], [ordered], by="formula"), [True])


def test_formulas_of_near_composition_differ_when_ordered():
    def cell(n, extra):
        sites = [[(i + 0.5) / n, 0, 0] for i in range(n)]
        species = ["K"] * extra + ["Na"] * (n - extra)
        return Structure(Lattice.orthorhombic(3.0 * n, 3.0, 3.0), species, sites)

    A, B = [cell(60, 31)], [cell(58, 30)]  # 0.5167 and 0.5172
    assert not leaking_rows(A, B, by="formula").any()
    assert leaking_rows(A, [cell(120, 62)], by="formula").all()


def test_no_space_group_counts_as_equal_and_is_said(monkeypatch):
    monkeypatch.setattr(spglib, "get_symmetry_dataset", lambda *args, **options: None)
    A = as_crystals([rocksalt()], ids=["mp-1"])
    with pytest.warns(UserWarning) as caught:
        pairs = find_duplicates(A, [rocksalt(5.65)])
    assert list(pairs.reason) == ["composition and volume"]
    assert len(caught) == 1
    assert "no space group for row 0 (mp-1) and row 0, in 1 pairs" in str(caught[0].message)


def test_symmetry_that_is_known_is_taken(monkeypatch):
    crystals = as_crystals([rocksalt(), cscl(), rocksalt(5.65)])
    A, B = crystals[:2], crystals[1:]
    expected = find_duplicates(A, B)
    assert rows(expected) == [(0, 1), (1, 0)]
    crystals.symmetry()
    monkeypatch.setattr(spglib, "get_symmetry_dataset", None)
    pd.testing.assert_frame_equal(find_duplicates(A, B), expected)
    with pytest.raises(TypeError):
        find_duplicates(A, B, symprec=0.2)


def test_processes_and_slices_of_the_work_change_nothing(monkeypatch):
    crystals = make_toy_crystals(n_samples=200, random_state=0).structures
    A, B = crystals[:150], crystals[50:]
    whole = find_duplicates(A, B)
    assert set(zip(range(50, 150), range(100), strict=True)) <= set(rows(whole))
    pd.testing.assert_frame_equal(whole, find_duplicates(A, B, n_jobs=2))
    nameless = find_duplicates(A.to_structures(), B.to_structures())
    assert set(rows(whole)) <= set(rows(nameless))


def test_leaking_rows_widen():
    A = as_crystals(
        [rocksalt(), rocksalt(), cscl(), rocksalt(species=("K", "Br"))],
        ids=["mp-1", "mp-2", "mp-3", "mp-4"],
    )
    B = as_crystals([rocksalt(), cscl(species=("K", "I"))], ids=["mp-1", "mp-9"])
    masks = [leaking_rows(A, B, by=by).tolist() for by in ("id", "structure", "formula")]
    assert masks == [
        [True, False, False, False],
        [True, True, False, False],
        [True, True, True, False],
    ]
    assert leaking_rows(A, B, volume_tolerance=0.01, n_jobs=1).tolist() == masks[1]


def test_errors():
    A = [rocksalt()]
    with pytest.raises(ValueError, match=r'by="id" needs ids on both sides, and A has none'):
        leaking_rows(A, A, by="id")
    with pytest.raises(ValueError, match="by='polymorph' must be \"structure\""):
        leaking_rows(A, A, by="polymorph")
    with pytest.raises(TypeError, match='symprec: for by="structure" only'):
        leaking_rows(A, A, by="formula", symprec=0.1)
    with pytest.raises(ValueError, match="volume_tolerance=2 must be"):
        find_duplicates(A, A, volume_tolerance=2)
    with pytest.raises(ValueError, match="symprec=0 must be"):
        find_duplicates(A, A, symprec=0)


def test_nothing_in_common():
    pairs = find_duplicates([rocksalt()], [rocksalt(species=("K", "Br"))], confirm=True)
    assert len(pairs) == 0
    assert not leaking_rows([rocksalt()], [rocksalt(species=("K", "Br"))]).any()
