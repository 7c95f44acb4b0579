"""Every atom that a CIF names arrives as its element, with its occupancy, or the CIF is refused."""

import gzip
import re

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter

from skuae.crystals import Limits, as_crystals, parse_structure
from skuae.crystals._symbols import element_of_symbol

CELL = (
    "data_x\n_cell_length_a 4\n_cell_length_b 4\n_cell_length_c 4\n"
    "_cell_angle_alpha 90\n_cell_angle_beta 90\n_cell_angle_gamma 90\n"
)
IDENTITY = "loop_\n_symmetry_equiv_pos_as_xyz\n'x, y, z'\n"
AXES = "_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n"
ATOMS = f"loop_\n_atom_site_type_symbol\n_atom_site_label\n{AXES}_atom_site_occupancy\n"


def cif(*rows, columns=""):
    return CELL + IDENTITY + ATOMS + columns + "\n".join(rows) + "\n"


def of_labels(*labels, formula=None):
    rows = [f"{label} {i / 8} 0 {i / 4}" for i, label in enumerate(labels)]
    known = f"_chemical_formula_sum '{formula}'\n" if formula else ""
    loop = f"loop_\n_atom_site_label\n{AXES}"
    return CELL + known + IDENTITY + loop + "\n".join(rows) + "\n"


def read(text):
    return parse_structure(text)[0].composition.element_composition.as_dict()


FEO = cif("Fe A1 0 0 0 1", "O O1 .5 .5 .5 1")


@pytest.mark.parametrize(
    ("symbol", "element"),
    [
        ("2H", "H"), ("D", "H"), ("T", "H"), ("13C", "C"), ("57Fe", "Fe"), ("235U", "U"),
        ("Fe3+", "Fe"), ("Fe+3", "Fe"), ("O2-", "O"), ("Fe2.5+", "Fe"), ("Fe0+", "Fe"),
        ("Fe3+,spin=5", "Fe"), ("FE", "Fe"), ("fe", "Fe"), ("CL", "Cl"), ("D+", "H"),
        ("Co", "Co"), ("Nh", "Nh"),
    ],
)  # fmt: skip
def test_spellings_of_elements(symbol, element):
    assert element_of_symbol(symbol) == element
    structure, _ = parse_structure(cif(f"{symbol} A1 0 0 0 1", "Na Na1 .5 .5 .5 1"))
    assert as_crystals([structure])[0].composition.as_dict() == {element: 1, "Na": 1}


@pytest.mark.parametrize(
    "symbol",
    ["OH", "?", ".", "NH4", "CN1", "CO3", "PO4", "NO3", "H2O", "Wat", "O-H", "Vac", "Va", "X", "M",
     "CO", "co", "NO", "2O", "99H", "H(SDS)", "Fe3", "T1", "FeNi", "Fe/Ni", "O2", "\u2212"],
)  # fmt: skip
def test_groups_vacancies_and_unknown_symbols_are_refused(symbol):
    text = cif("O O1 .5 .5 .5 1", f"{symbol} A1 0 0 0 1")
    with pytest.raises(ValueError, match=rf"^atom 2 \('A1'\): {re.escape(repr(symbol))} "):
        parse_structure(text)


def test_numbers_of_labels_are_no_charges():
    assert read(cif("Fe3 Fe3 0 0 0 1", "O2 O2a .5 .5 .5 1")) == {"Fe": 1, "O": 1}


def test_the_formula_tells_cobalt_from_carbon_monoxide():
    text = cif("CO A1 0 0 0 1", "O O1 .5 .5 .5 1")
    for formula, ok in (("Co O", True), ("C O2", False), ("Co C O", False)):
        known = text.replace("loop_", f"_chemical_formula_sum '{formula}'\nloop_", 1)
        if ok:
            assert read(known) == {"Co": 1, "O": 1}
        else:
            with pytest.raises(ValueError, match="'CO' may mean Co or C and O"):
                parse_structure(known)


@pytest.mark.parametrize(
    ("labels", "formula", "elements"),
    [
        (["Fe1A", "O1'"], None, {"Fe": 1, "O": 1}),
        (["Fe3+", "O2-"], None, {"Fe": 1, "O": 1}),
        (["D1", "Ow1"], None, {"H": 1, "O": 1}),
        (["AlM1", "SiT1", "OA1", "OB0"], "Al Si O2", {"Al": 1, "Si": 1, "O": 2}),
        (["CA1", "O1"], "Ca O", {"Ca": 1, "O": 1}),
        (["CO1", "O1"], "Co O", {"Co": 1, "O": 1}),
        (["B1", "O1"], None, {"B": 1, "O": 1}),
    ],
)
def test_labels_alone(labels, formula, elements):
    assert read(of_labels(*labels, formula=formula)) == elements


@pytest.mark.parametrize(
    ("label", "formula"),
    [
        ("T1", None), ("M1", None), ("CO1", None), ("CA1", None), ("CO1", "C O2"),
        ("NH4", "N H4 O"), ("NH4", None), ("O-H", None), ("Wat", None), ("H2O", None),
        ("Vac1", None), ("Site1", None),
        ("OH1", "Ca O2 H2"), ("B1", "Sr Ti O3"), ("V1", "Li O"), ("2H", None),
    ],
)  # fmt: skip
def test_labels_with_several_readings_or_none_are_refused(label, formula):
    with pytest.raises(ValueError, match=rf"^atom 2 \('{label}'\): .*'{label}'"):
        parse_structure(of_labels("O1", label, formula=formula))


@pytest.mark.parametrize(
    ("occupancy", "amount"), [(".", 1), ("1", 1), ("0.5(1)", 0.5), ("1e-1", 0.1), ("0", 0)]
)
def test_occupancies(occupancy, amount):
    found = read(cif(f"Ce Ce1 0 0 0 {occupancy}", "O O1 .5 .5 .5 1"))
    assert found.get("Ce", 0) == amount


@pytest.mark.parametrize("occupancy", ["?", "0,5", "1/2", "nan", "2.0", "-1", ".5(", "1_0"])
def test_occupancies_that_are_no_numbers_up_to_1_are_refused(occupancy):
    with pytest.raises(ValueError, match=r"^atom 1 \('Ce1'\): occupancy .*" + re.escape(occupancy)):
        parse_structure(cif(f"Ce Ce1 0 0 0 {occupancy}", "O O1 .5 .5 .5 1"))


@pytest.mark.parametrize("hydrogen", ["H", "D", "2H"])
def test_oxygen_and_hydrogen_on_one_site(hydrogen):
    text = cif("O O1 0 0 0 .1", f"{hydrogen} H1 0 0 0 .9", "Ce Ce1 .5 .5 .5 1")
    structure, remarks = parse_structure(text)
    crystal = as_crystals([structure])[0]
    assert crystal.composition.as_dict() == pytest.approx({"H": 0.9, "O": 0.1, "Ce": 1})
    assert remarks == []


def test_a_written_mixture_of_oxygen_and_hydrogen_comes_back(tmp_path):
    mixed = Structure(Lattice.cubic(4), ["Ce", {"H": 0.9, "O": 0.1}], [[0, 0, 0], [0.5] * 3])
    mixed.to(filename=str(tmp_path / "oh.cif"))
    assert as_crystals([tmp_path / "oh.cif"])[0].composition == mixed.composition


def test_rows_that_symmetry_joins_are_added():
    rows = cif("Li L1 0 0 0 .5", "Na N1 .5 0 0 .4")
    text = rows.replace("'x, y, z'", "'x, y, z'\n'x+1/2, y, z'")
    assert read(text) == pytest.approx({"Li": 1.0, "Na": 0.8})


def test_rows_of_one_place_are_named_if_they_are_more_than_an_atom():
    with pytest.raises(ValueError, match=r"atom 1 \('A'\), atom 2 \('B'\) share one place.* 1.8"):
        parse_structure(cif("Li A 0 0 0 .9", "Na B 0 0 0 .9"))


def test_a_row_of_several_elements_is_split_and_keeps_all_operations():
    text = cif("'0.8Nb + 0.2Zr' 'Nb,Zr' 0 0 0 1", "O O1 .25 .5 .5 1")
    text = text.replace("'x, y, z'", "'x, y, z'\n'x+1/2, y, z'")
    assert read(text) == pytest.approx({"Nb": 1.6, "Zr": 0.4, "O": 2})


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("_atom_site_attached_hydrogens", "1", "1 attached hydrogens without positions"),
        ("_atom_site_calc_flag", "dum", "a dummy site"),
    ],
)
def test_rows_that_are_not_one_atom(column, value, message):
    rows = [f"O A1 0 0 0 1 {value}", "Na Na1 .5 .5 .5 1 ."]
    with pytest.raises(ValueError, match=rf"^atom 1 \('A1'\): {message}"):
        parse_structure(cif(*rows, columns=column + "\n"))
    for harmless in (".", "?"):
        rows[0] = f"O A1 0 0 0 1 {harmless}"
        assert read(cif(*rows, columns=column + "\n")) == {"O": 1, "Na": 1}


def test_alternatives_cannot_all_be_there():
    column = "_atom_site_disorder_group\n"
    with pytest.raises(ValueError, match=r"atom 2 \('C2'\): fully occupied in disorder group 2"):
        parse_structure(cif("C C1 0 0 0 1 1", "C C2 .5 .5 .5 1 2", columns=column))
    assert read(cif("C C1 0 0 0 .5 1", "C C2 .5 .5 .5 .5 2", columns=column)) == {"C": 1}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (".5 .5 .5", "\u2212.25 .5 .5", "atom 2 .*_atom_site_fract_x is '\u2212.25', no number"),
        (".5 .5 .5", "? ? ?", r"atom 2 .*_atom_site_fract_x is '\?', no number"),
        (".5 .5 .5", ". . .", r"atom 2 .*_atom_site_fract_x is '\.', no number"),
        (".5 .5 .5", "1/3 .5 .5", "atom 2 .*_atom_site_fract_x is '1/3', no number"),
        (".5 .5 .5 1", ".5 .5 .5", "11 values for 6 columns"),
        ("_cell_length_a 4", "_cell_length_a 4,05", "_cell_length_a is '4,05', no number"),
        ("_cell_length_a 4", "_cell_length_a 4\n_cell_length_a 5", "_cell_length_a is given twice"),
        ("_cell_angle_beta 90", "", "no _cell_angle_beta"),
        ("'x, y, z'", "?", r"the symmetry operation '\?' is not understood"),
        ("'x, y, z'", "'x, y, z'\n'\u2212x, y, z'", "the symmetry operation '\u2212x, y, z'"),
        ("'x, y, z'", "'x, y, z'\n'x+1/2; y, z'", "the symmetry operation 'x"),
        ("'x, y, z'", "'-x+1/4, -y, z'", r"^atom 1 \('A1'\) \(Fe\) was lost"),
        (IDENTITY, "_symmetry_space_group_name_H-M 'Q m -3 m'\n", "names the space group 'Q m -3"),
        ("_symmetry_equiv_pos_as_xyz", "_symmetry_equiv_pos_as_xyz_all", "operations are in _symm"),
        ("_atom_site_label", "_atom_site_name", "has no _atom_site_label"),
        ("_fract_", "_Cartn_", "Cartesian coordinates only"),
        ("loop_\n_atom_site_type", "_atom_site_type", "no loop with|not in a loop_"),
        ("_occupancy\n", "_occupancy\nloop_\n_atom_site_type_symbol\nO\nFe\n", "another loop"),
        ("Fe A1", "F\0 A1", "NUL"),
        ("data_x", "x", "no line of it begins with data_"),
    ],
)
def test_texts_that_would_lose_or_move_atoms_are_refused(old, new, message):
    assert old in FEO
    with pytest.raises(ValueError, match=message):
        parse_structure(FEO.replace(old, new))


@pytest.mark.parametrize(
    ("species", "coords", "message"),
    [
        (["Co", "O"], [[0, 0, 0], [0.5] * 3], r"atom 1 \('A1'\) is 1 Fe, but pymatgen reads 0"),
        ([{"Fe": 0.5}, "O"], [[0, 0, 0], [0.5] * 3], "is 1 Fe, but pymatgen reads 0.5"),
        (["Fe", "O"], [[0, 0, 0], [0.4] * 3], r"atom 2 \('O1'\) \(O\) was lost"),
        (["Fe"], [[0, 0, 0]], r"atom 2 \('O1'\) \(O\) was lost"),
        (["Fe", "O", "Na"], [[0, 0, 0], [0.5] * 3, [0.2] * 3], "reads Na, which no row"),
    ],
)
def test_a_parser_that_errs_is_found_out(monkeypatch, species, coords, message):
    wrong = Structure(Lattice.cubic(4), species, coords)
    monkeypatch.setattr("skuae.crystals._cif._parse", lambda text, _: (wrong, np.eye(4)[None], []))
    with pytest.raises(ValueError, match=message):
        parse_structure(FEO)


def test_a_parser_that_adds_atoms_to_a_site_is_found_out(monkeypatch):
    whole = Structure(Lattice.cubic(4), ["Fe", "O"], [[0, 0, 0], [0.5] * 3])
    monkeypatch.setattr("skuae.crystals._cif._parse", lambda text, _: (whole, np.eye(4)[None], []))
    with pytest.raises(ValueError, match=r"is 0\.4 Fe, but pymatgen reads 1 there"):
        parse_structure(FEO.replace("Fe A1 0 0 0 1", "Fe A1 0 0 0 .4"))


def test_many_atoms_without_symmetry_are_read_to_the_same_bits(monkeypatch):
    rng = np.random.default_rng(0)
    cells = [f"Fe A1 {x:.6f} {y:.6f} {z:.6f} 1" for x, y, z in rng.uniform(-2, 2, (40, 3))]
    rows = [row.replace("Fe A", "O B" if i % 3 else "Fe A") for i, row in enumerate(cells)]
    shared = [*rows, "Na C1 .5 .5 .5 .5", "K C2 .5 .5 .5 .5", "Li D1 .3333 -.0 -1e-18 1"]
    texts = [cif(*rows), cif(*shared), cif(*rows, *rows[:1]).replace(" 1\n", " .5\n")]
    texts += [texts[0].replace(IDENTITY, IDENTITY + "'x, y, z'\n")]
    texts += [texts[0].replace(IDENTITY, "_symmetry_equiv_pos_as_xyz 'x, y, z'\n")]
    for text in texts:
        found = {}
        for many in (10**6, 0):
            monkeypatch.setattr("skuae.crystals._cif._MANY", many)
            structure, remarks = parse_structure(text)
            found[many] = structure.as_dict(), structure.frac_coords.tobytes(), remarks
        assert found[0] == found[10**6]


def test_moments_without_magnetic_symmetry():
    axes = "".join(f"_atom_site_moment_crystalaxis_{a}\n" for a in "xyz")
    text = FEO + f"loop_\n_atom_site_moment_label\n{axes}A1 0 0 1\n"
    assert read(text) == {"Fe": 1, "O": 1}
    with pytest.raises(ValueError, match="2 symmetry operations and magnetic moments"):
        parse_structure(text.replace("'x, y, z'", "'x, y, z'\n'x+1/2, y, z'"))


def test_two_structures_in_one_file_are_refused():
    second = cif("Co A1 0 0 0 1")
    for name in ("y", "x"):  # pymatgen keeps the last of two blocks with one name
        with pytest.raises(ValueError, match=rf"holds 2 structures \(x, {name}\)"):
            parse_structure(FEO + second.replace("data_x", f"data_{name}"))


def test_other_blocks_and_texts_are_no_structures():
    text = "data_global\n_publ_author 'x'\n" + FEO.replace(
        "loop_", "_publ_text\n;\nloop_\n_atom_site_fract_x\ndata_inside\n;\nloop_", 1
    )
    assert read(text) == {"Fe": 1, "O": 1}


@pytest.mark.parametrize("mark", ["'''", '"""'])
def test_triple_quotes_of_cif_2(mark):
    title = f"_publ_section_title\n{mark}It's\nloop_\n_atom_site_fract_x\ndata_y 1 {mark}\n"
    text = "#\\#CIF_2.0\n" + FEO.replace("loop_", title + "loop_", 1)
    text = text.replace("'x, y, z'", f"{mark}x, y, z{mark}\n{mark}x+1/2, y, z{mark}")
    text = text.replace("Fe A1", f"{mark}Fe{mark} {mark}A'1{mark}")
    assert read(text) == {"Fe": 2, "O": 2}
    loop = f"loop_\n_citation_title\n{mark}two\nlines{mark}\n{mark}one 'line'{mark}\n"
    assert read(text.replace("_publ", loop + "_publ", 1)) == {"Fe": 2, "O": 2}
    for odd in ("{0}{0}", "{0}", "{0}open", "{0}a{0}b", "{0}a{0}b c{0}"):  # no fault of the atoms
        assert read(FEO + "_publ_x " + odd.format(mark) + "\n") == {"Fe": 1, "O": 1}


@pytest.mark.parametrize(
    "change",
    [
        lambda t: "\ufeff" + t,
        lambda t: t.replace("\n", "\r\n"),
        lambda t: t.replace("\n", "\r"),
        lambda t: t.replace(".5 .5 .5", ".5\u00a0.5\u00a0.5"),
        lambda t: t.replace("Fe A1", "'Fe' \"A1'\""),
        lambda t: t.replace("Fe A1 0 0 0 1", "Fe A1 0 0 0 1 # Co A1"),
    ],
    ids=["mark", "Windows", "Mac", "spaces", "quotes", "comment"],
)
def test_what_makes_no_difference(change):
    structure, remarks = parse_structure(change(FEO))
    assert structure.composition.as_dict() == {"Fe": 1, "O": 1}
    assert structure.frac_coords.tolist() == [[0, 0, 0], [0.5, 0.5, 0.5]]
    assert remarks == []


@pytest.mark.parametrize(
    "change",
    [
        lambda name: name.upper(),
        lambda name: name.replace("_site_", "_site.").replace("_cell_", "_cell."),
        lambda name: name.replace("_symmetry_equiv_pos_as_xyz", "_space_group_symop.operation_xyz"),
    ],
    ids=["capitals", "dots", "dotted operations"],
)
def test_names_in_other_spellings(change):
    text = FEO.replace("'x, y, z'", "'x, y, z'\n'X+1/2, Y, Z'")
    assert read(re.sub(r"_[a-z]\w+", lambda m: change(m[0]), text)) == {"Fe": 2, "O": 2}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_files_of_windows(tmp_path, encoding):
    (tmp_path / "a.cif").write_bytes(FEO.encode(encoding))
    assert as_crystals([tmp_path / "a.cif"])[0].composition.as_dict() == {"Fe": 1, "O": 1}


def test_limits(tmp_path):
    operations = "\n".join(f"'x+0.{i:03}, y, z'" for i in range(11))
    text = FEO.replace("'x, y, z'", operations)
    with pytest.raises(
        ValueError, match=r"symmetry operations: 11, more than 10;.*operations = 11"
    ):
        parse_structure(text, limits=Limits(operations=10))
    with pytest.raises(ValueError, match=r"atom rows x operations.: 22, more than 21;"):
        parse_structure(text, limits=Limits(sites=21))
    with gzip.open(tmp_path / "a.cif.gz", "wt") as file:
        file.write(FEO + " " * 5000)
    with pytest.raises(ValueError, match=r"more than 5,000 bytes.*LIMITS.file_bytes"):
        parse_structure(tmp_path / "a.cif.gz", limits=Limits(file_bytes=5000))
    assert read(tmp_path / "a.cif.gz") == {"Fe": 1, "O": 1}


def test_written_and_read_back(structures, disordered):
    for structure in [*structures, disordered]:
        for text in (str(CifWriter(structure)), str(CifWriter(structure, symprec=0.01))):
            found = parse_structure(text)[0].composition
            ratio = found.num_atoms / structure.composition.num_atoms
            assert found.as_dict() == pytest.approx((structure.composition * ratio).as_dict())
