"""Tolerances of symmetry, and crystals for which spglib finds none."""

import warnings

import numpy as np
import pytest
import spglib
from pymatgen.core import Lattice, Structure

from skuae import as_crystals


def rocksalt(a=5.64):
    corners = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    return Structure(Lattice.cubic(a), ["Na"] * 4 + ["Cl"] * 4, np.vstack([corners, corners + 0.5]))


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


# -- tolerance -------------------------------------------------------------------------------------


def test_symprec_is_a_distance():
    bent = rocksalt()
    bent.translate_sites([0], [0.004, 0, 0])  # 0.023 Å
    crystals = as_crystals([bent])
    assert crystals.symmetry().space_groups.tolist() == [225]
    assert crystals.symmetry(0.01).space_groups.tolist() == [99]
    assert crystals.symmetry(symprec=0.01).symprec == 0.01


@pytest.mark.parametrize("symprec", [0, -0.1, np.inf, -np.inf, np.nan, np.float32(0)])
def test_symprec_must_be_positive_and_finite(symprec):
    with pytest.raises(ValueError, match=r"symprec=.* must be a finite number above 0, in Å"):
        as_crystals([rocksalt()]).symmetry(symprec)


@pytest.mark.parametrize("symprec", ["0.1", None, True, [0.1], np.array([0.1, 0.2]), 1j])
def test_symprec_must_be_a_number(symprec):
    with pytest.raises(TypeError, match=r"symprec=.* must be a number, in Å"):
        as_crystals([rocksalt()]).symmetry(symprec)


# -- where spglib finds nothing --------------------------------------------------------------------


def test_sites_closer_than_symprec_count_as_p1():
    structures = [rocksalt(), split_site(), wurtzite()]
    crystals = as_crystals(structures, ids=["mp-1", "mp-2", "mp-3"])
    with pytest.warns(UserWarning) as caught:
        symmetry = crystals.symmetry()
    assert [str(w.message).partition(", as")[0] for w in caught] == [
        "spglib finds no space group at symprec=0.1 Å for row 1 (mp-2)"
    ]
    assert caught[0].filename == __file__
    assert symmetry.found.tolist() == [True, False, True]
    assert symmetry.space_groups.tolist() == [225, 1, 186]
    assert symmetry.primitive_sizes.tolist() == [2, 3, 4]
    assert symmetry.orbits[8:11].tolist() == [0, 1, 2]
    for lattices in (symmetry.conventional_lattices, symmetry.primitive_lattices):
        np.testing.assert_allclose(
            lengths_and_angles(lattices)[1], [4, 5, 6, 80, 95, 100], rtol=1e-9
        )
        assert not np.triu(lattices[1], 1).any()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a smaller one helps, as the message says
        assert crystals.symmetry(0.005).found.all()


def test_rows_are_named_in_one_warning_and_as_the_slice_has_them():
    crystals = as_crystals([rocksalt()] * 2 + [split_site()] * 7)
    with pytest.warns(UserWarning, match=r"for row 2, row 3, row 4, row 5, row 6 and 2 more") as w:
        crystals.symmetry()
    assert len(w) == 1
    with pytest.warns(UserWarning, match="for row 0, row 2, as where"):
        crystals[[2, 0, 8]].symmetry()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        crystals[:2].symmetry()


@pytest.mark.parametrize("failure", [None, spglib.SpglibError("no symmetry")])
def test_either_way_in_which_spglib_fails(monkeypatch, failure):
    def fail(*args, **kwargs):
        if failure is not None:
            raise failure

    monkeypatch.setattr(spglib, "get_symmetry_dataset", fail)
    with pytest.warns(UserWarning, match="for row 0, row 1, as where"):
        symmetry = symmetry_of(wurtzite(), rocksalt())
    assert symmetry.space_groups.tolist() == [1, 1]
    assert symmetry.primitive_sizes.tolist() == [4, 8]
    assert symmetry.orbits.tolist() == [*range(4), *range(8)]
    np.testing.assert_allclose(
        lengths_and_angles(symmetry.conventional_lattices),
        [[3.82, 3.82, 6.26, 90, 90, 120], [5.64, 5.64, 5.64, 90, 90, 90]],
    )


def test_warnings_as_errors_do_not_stop_spglib():
    """spglib warns of its own deprecations at every call."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert symmetry_of(rocksalt()).space_groups.tolist() == [225]
