"""What a POSCAR says is what arrives."""

import numpy as np
import pytest

from skuae.crystals import Limits, as_crystals, parse_structure

NACL = "NaCl\n1\n4 0 0\n0 4 0\n0 0 4\nNa Cl\n1 1\nDirect\n0 0 0\n.5 .5 .5\n"
XDATCAR = "".join(f"Direct configuration=     {i}\n0 0 0\n.5 .5 .5\n" for i in (1, 2))


@pytest.fixture
def read(tmp_path):
    def parse(text, limits=None):
        (tmp_path / "POSCAR").write_text(text, encoding="utf-8")
        return parse_structure(tmp_path / "POSCAR", limits=limits or Limits())[0]

    return parse


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Na Cl\n", "Na_pv Cl_h\n"),
        ("Na Cl\n", "Na_pv/f474ac0d Cl/79d9987ad87\n"),
        ("Na Cl\n", "Na CL ! comment\n"),
        ("Na Cl\n1 1", "Na K Cl\n1 0 1"),
        ("Na Cl\n1 1", "Na\nCl\n1\n1"),
        ("Direct", "Selective dynamics\nDirect"),
        ("NaCl\n", "\n"),
        ("0 0 0\n.5 .5 .5\n", "0 0 0\n.5 .5 .5\n\n0 0 0\n0 0 0\n"),
        ("NaCl\n1\n4 0 0\n0 4 0\n0 0 4", "NaCl\n4\n1 0 0\n0 1 0\n0 0 1"),
        ("Direct\n0 0 0\n.5 .5 .5", "Cartesian\n0 0 0\n2 2 2"),
        ("\n1\n", "\n-64\n"),
        ("Na Cl\n1 1\nDirect\n0 0 0\n.5 .5 .5", "1 1\nDirect\n0 0 0 Na\n.5 .5 .5 Cl"),
        ("Na Cl\n1 1\nDirect\n0 0 0\n.5 .5 .5", "1 0 1\nDirect\n0 0 0 Na\n.5 .5 .5 Cl"),
        ("\n1\n", "\n1.0d0 scaling\n"),
        ("\n1\n", "\n1.0 1.0 1.0\n"),
        ("\n4 0 0\n", "\n4.0D+00 0 0 a\n"),
        ("0 0 0\n.5 .5 .5", "0 0 0 Na1 1\n.5d0 5d-1 .5 Cl- here"),
        ("0 0 0\n.5 .5 .5", "0 0 0 site 1\n.5 .5 .5 in the centre"),
        ("Direct\n0 0 0\n.5 .5 .5", "Selective\nDirect\n0 0 0 F F F\n.5 .5 .5 T T F Cl"),
        (
            "0 0 0\n.5 .5 .5\n",
            "0 0 0\n.5 .5 .5\nLattice velocities\n1\n" + 6 * "0.0E+00 0.0E+00 0.0E+00\n",
        ),
    ],
)
def test_forms_of_one_crystal(read, old, new):
    assert old in NACL
    structure = read(NACL.replace(old, new))
    assert [site.specie.symbol for site in structure] == ["Na", "Cl"]
    np.testing.assert_allclose(structure.frac_coords, [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert structure.volume == pytest.approx(64)


def test_a_negative_scale_is_a_volume_for_cartesian_coordinates_too(read):
    text = NACL.replace("\n1\n", "\n-512\n").replace("Direct\n0 0 0\n.5 .5 .5", "C\n0 0 0\n1 2 3")
    assert read(text).frac_coords[1].tolist() == pytest.approx([0.25, 0.5, 0.75])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Na Cl\n", "", "no line of elements"),
        (
            "Na Cl\n1 1\nDirect\n0 0 0\n.5 .5 .5",
            "1 1\nDirect\n0 0 0 T\n.5 .5 .5 F",
            "no line of el",
        ),
        ("Na Cl\n1 1\nDirect\n0 0 0\n.5 .5 .5", "2\nDirect\n0 0 0 Na\n.5 .5 .5 Cl", "several symb"),
        ("Na Cl", "X Cl", "'X' is no element"),
        ("Na Cl", "Vac Cl", "'Vac' is no element"),
        ("Na Cl", "NH4 Cl", "'NH4' is no element"),
        ("Na Cl", "CO Cl", "'CO' may mean Co or C and O"),
        ("Na Cl", "H1.25 Cl", "'H1.25' is no element"),
        ("\n1 1\n", "\n1 1 1\n", r"2 elements \(Na Cl\), but 3 counts of atoms \(1 1 1\)"),
        ("\n1 1\n", "\n2\n", r"2 elements \(Na Cl\), but 1 counts of atoms \(2\)"),
        ("\n1 1\n", "\n1 2\n", "3 atoms are counted, but 2 lines"),
        (".5 .5 .5", ".5 .5 .5\n.2 .2 .2", "2 atoms are counted, but more lines"),
        ("\n1 1\n", "\n-1 1\n", "no line counts the atoms"),
        ("\n1 1\n", "\n999999999 1\n", "sites: 1,000,000,000, more than 50,000"),
        ("Direct\n", "", "line 8 is '0 0 0', expected Direct or Cartesian"),
        ("\n1\n", "\n1 1 2\n", "line 2 is '1 1 2', expected the scale"),
        ("\n1\n", "\n1 1\n", "line 2 is '1 1', expected the scale"),
        ("NaCl\n1\n", "\nNaCl\n1\n", "line 2 is 'NaCl', expected the scale"),
        ("\n0 4 0\n", "\n0 4\n", "line 4 is '0 4', expected a lattice vector"),
        (".5 .5 .5", "\u2212.5 .5 .5", "line 10 is '\u2212.5 .5 .5', expected the coordinates"),
        (".5 .5 .5", "**** .5 .5", r"line 10 is '\*\*\*\* .5 .5', expected the coordinates"),
        (".5 .5 .5", ".5, .5, .5", "line 10 is '.5, .5, .5', expected the coordinates"),
        (".5 .5 .5", "nan .5 .5", "line 10 is 'nan .5 .5', expected the coordinates"),
        ("\n4 0 0\n", "\n4_0 0 0\n", "line 3 is '4_0 0 0', expected a lattice vector"),
        (".5 .5 .5", ".5 .5_1 .5", "line 10 is '.5 .5_1 .5', expected the coordinates"),
        ("0 0 0\n.5", "1 0 0 0\n2 .5", "line 9 is '1 0 0 0', .* more numbers follow"),
        (".5 .5 .5", ".5 .5 .5 1.0", "line 10 .* more numbers follow"),
        ("4 0 0\n", "4 0 0 0\n", "line 3 .* more numbers follow"),
        (
            "0 0 0\n.5 .5 .5",
            "0 0 0 Cl\n.5 .5 .5 Na",
            "line 9 names its atom 'Cl', but is one of Na",
        ),
        (
            "1 1\nDirect\n0 0 0\n.5 .5 .5",
            "2 1\nS\nDirect\n0 0 0 T T T Na\n.5 .5 .5 T T T Cl1\n.1 0 0 F F F Na",
            "line 11 names its atom 'Cl1', but is one of Na",
        ),
        ("Direct\n0 0 0\n.5 .5 .5\n", XDATCAR, "several structures"),
        (NACL, NACL + NACL, "several structures"),
        (NACL, NACL + "\n" + NACL, "several structures"),
        (NACL, NACL + NACL.replace("\n1\n", "\n1 1 1\n"), "several structures"),
        (NACL, "", "the file is empty"),
    ],
)
def test_what_would_arrive_as_something_else_is_refused(read, old, new, message):
    assert old in NACL
    with pytest.raises(ValueError, match=message):
        read(NACL.replace(old, new))


def test_a_potcar_beside_it_does_not_change_the_elements(tmp_path, read):
    (tmp_path / "POTCAR").write_text(" PAW_PBE K_sv 06Sep2000\n")
    assert read(NACL).composition.as_dict() == {"Na": 1, "Cl": 1}


def test_flags_are_no_fluorine(read):
    text = NACL.replace("Na Cl", "Li F").replace("\n0 0 0\n", "\n0 0 0 F F F\n")
    assert read(text).composition.as_dict() == {"Li": 1, "F": 1}
    text = NACL.replace("Na Cl", "Li F").replace(".5 .5 .5", ".5 .5 .5 F")
    assert read(text).composition.as_dict() == {"Li": 1, "F": 1}


def test_a_run_of_one_frame_is_read(tmp_path):
    text = NACL.replace("Direct", "Direct configuration=     1")
    (tmp_path / "XDATCAR").write_text(text)
    assert as_crystals([tmp_path / "XDATCAR"])[0].composition.as_dict() == {"Na": 1, "Cl": 1}


def test_grids_are_read_up_to_the_grid(tmp_path):
    (tmp_path / "CHGCAR").write_text(NACL + "\n 2 2 2\n 0.1 0.2\n")
    assert as_crystals([tmp_path / "CHGCAR"])[0].composition.as_dict() == {"Na": 1, "Cl": 1}
