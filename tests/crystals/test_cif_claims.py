"""A CIF that contradicts its own atoms is read with a remark."""

import pytest
from pymatgen.core import Composition, Lattice, Structure
from pymatgen.io.cif import CifWriter

from skuae.crystals import parse_structure

CELL = (
    "data_x\n_cell_length_a 5.64\n_cell_length_b 5.64\n_cell_length_c 5.64\n"
    "_cell_angle_alpha 90\n_cell_angle_beta 90\n_cell_angle_gamma 90\n"
)
IDENTITY = "loop_\n_symmetry_equiv_pos_as_xyz\n'x,y,z'\n"
COLUMNS = [
    "label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy", "symmetry_multiplicity",
]  # fmt: skip
AXES = "".join(f"_atom_site_fract_{axis}\n" for axis in "xyz")
SITE = IDENTITY + "loop_\n_atom_site_label\n" + AXES + "Na1 0 0 0\n"
GROUP = "_symmetry_space_group_name_H-M 'F m -3 m'\n"


def remarks(*rows, claims="", symmetry=IDENTITY):
    loop = "".join(f"_atom_site_{name}\n" for name in COLUMNS)
    return parse_structure(CELL + claims + symmetry + "loop_\n" + loop + "\n".join(rows) + "\n")[1]


def formula(text, units):
    return f"_chemical_formula_sum '{text}'\n_cell_formula_units_Z {units}\n"


def nacl(multiplicity=1):
    return f"Na1 Na 0 0 0 1 {multiplicity}", f"Cl1 Cl .5 .5 .5 1 {multiplicity}"


@pytest.mark.parametrize(
    ("text", "units", "meant"), [("Na Cl", 4, 8), ("Na4 Cl4", 4, 32), ("Na Cl2", 1, 3)]
)
def test_other_numbers_of_atoms_than_formula_and_z_mean(text, units, meant):
    said = remarks(*nacl(), claims=GROUP + formula(text, units))
    assert said[-1] == (
        "it holds 2 atoms in a cell (without hydrogen), but its formula and _cell_formula_units_Z "
        f"mean {meant}; symmetry operations or rows may be missing"
    )


@pytest.mark.parametrize(
    ("text", "units"),
    [("Na Cl", 1), ("Na1 Cl1", 1), ("Na Cl H2", 1), ("Na2 Cl2", "?"), ("Na Cl", "0.5"), ("?", 4),
     ("Na(Cl)", 4), ("H2", 4), ("Na0.5 Cl0.5", 2), ("Na1.02 Cl", 1)],
)  # fmt: skip
def test_formulas_that_fit_or_say_nothing(text, units):
    said = remarks(*nacl(), claims=formula(text, units))
    assert [remark for remark in said if "atoms in a cell" in remark] == []


@pytest.mark.parametrize("symbol", ["O", "Si", "Na"])
def test_formulas_of_the_whole_cell_as_pymatgen_writes_them(symbol):
    structure = Structure(Lattice.cubic(6), [symbol] * 4, [[i / 4, i / 5, 0] for i in range(4)])
    mixed = Structure(Lattice.cubic(6), [symbol, "Cl"] * 2, [[i / 4, i / 5, 0] for i in range(4)])
    for one in (structure, mixed, mixed * [1, 1, 2]):
        assert parse_structure(str(CifWriter(one)))[1] == []


@pytest.mark.parametrize("unit", sorted(Composition.special_formulas))
@pytest.mark.parametrize("n_units", [1, 2, 3, 4])
def test_units_that_pymatgen_doubles(unit, n_units):
    symbols = [element.symbol for element in Composition(unit)] * n_units
    coords = [[i / 8, i / 10, 0] for i in range(len(symbols))]
    structure = Structure(Lattice.cubic(8), symbols, coords)
    assert parse_structure(str(CifWriter(structure)))[1] == []


def test_half_of_a_peroxide_is_remarked_on():
    claims = formula("Li4 O4", 2)
    (said,) = remarks("Li1 Li 0 0 0 1 1", "O1 O .5 .5 .5 1 1", claims=claims)
    assert said.startswith("it holds 2 atoms in a cell")


def test_multiplicities_without_operations():
    (remark,) = remarks(*nacl(4), claims=GROUP)
    assert remark.startswith("_atom_site_symmetry_multiplicity is above 1")
    for harmless in ("1", ".", "?"):
        assert remarks(*nacl(harmless), claims=GROUP) == []
    inverted = IDENTITY + "'-x,-y,-z'\n"
    assert remarks(*nacl(2), symmetry=inverted) == []
    assert remarks(*nacl(4), claims=formula("Na Cl", 1)) == []


def test_labels_that_name_another_element():
    (remark,) = remarks("Na1 Cl 0 0 0 1 1")
    assert remark == "atom 1 ('Na1') is Cl by _atom_site_type_symbol, which counts"
    for row in ("Na1 Na 0 0 0 1 1", "Ca1 C 0 0 0 1 1", "Na1 K 0 0 0 .5 1", "M1 Fe 0 0 0 1 1",
                "Xx1 Fe 0 0 0 1 1", "NaA Cl 0 0 0 1 1"):  # fmt: skip
        assert remarks(row) == []


@pytest.mark.parametrize("value", ["-5.64", "0", "-0.0"])
def test_lengths_are_above_zero(value):
    text = CELL.replace("length_a 5.64", f"length_a {value}")
    with pytest.raises(ValueError, match=rf"^_cell_length_a is {value}, expected above 0"):
        parse_structure(text + SITE)


@pytest.mark.parametrize(
    ("setting", "cell", "missing"),
    [
        ("trigonal", {"length_a": 4}, "length_b"), ("orthorhombic", {"length_a": 4}, "length_b"),
        ("tetragonal", {"length_a": 4}, "length_c"), ("?", {"length_a": 4}, "length_b"),
        ("rhombohedral", {"length_a": 4}, "angle_alpha"), ("cubic", {}, "length_a"),
    ],
)  # fmt: skip
def test_missing_parts_of_the_cell_are_named(setting, cell, missing):
    items = "".join(f"_cell_{name} {value}\n" for name, value in cell.items())
    with pytest.raises(ValueError, match=f"^it has no _cell_{missing}$"):
        parse_structure(f"data_x\n_symmetry_cell_setting {setting}\n{items}{SITE}")


@pytest.mark.parametrize(
    ("setting", "cell", "volume"),
    [
        ("cubic", {"length_a": 4}, 64), ("Cubic", {"length_a": 4}, 64),
        ("tetragonal", {"length_a": 4, "length_c": 5}, 80),
        ("orthorhombic", {"length_a": 4, "length_b": 5, "length_c": 6}, 120),
        ("hexagonal", {"length_a": 4, "length_c": 5}, 80 * 0.75**0.5),
    ],
)  # fmt: skip
def test_a_setting_completes_the_cell(setting, cell, volume):
    items = "".join(f"_cell_{name} {value}\n" for name, value in cell.items())
    structure, _ = parse_structure(f"data_x\n_symmetry_cell_setting {setting}\n{items}{SITE}")
    assert structure.volume == pytest.approx(volume)


def test_a_setting_does_not_overrule_the_cell():
    text = f"data_x\n_symmetry_cell_setting cubic\n_cell_length_a 4\n_cell_length_c 6\n{SITE}"
    with pytest.raises(ValueError, match="_cell_length_c is 6, but 4 by the setting of the"):
        parse_structure(text)
