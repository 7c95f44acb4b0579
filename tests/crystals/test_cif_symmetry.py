"""The symmetry operations of a CIF are those of its structure, or the CIF is refused."""

import numpy as np
import pytest
from pymatgen.symmetry.groups import SpaceGroup

from skuae.crystals import parse_structure

ATOMS = (
    "loop_\n_atom_site_label\n_atom_site_type_symbol\n"
    "_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n"
)
NAME = "_symmetry_space_group_name_H-M"
NUMBER = "_symmetry_Int_Tables_number"
ORTHORHOMBIC = (5, 6, 7, 90, 90, 90)
MONOCLINIC = (5, 6, 7, 90, 100, 90)
RHOMBOHEDRAL = (4.7459, 4.7459, 4.7459, 57.24, 57.24, 57.24)
CUBIC = (5.64, 5.64, 5.64, 90, 90, 90)
NACL = "Na1 Na 0 0 0\nCl1 Cl .5 .5 .5"


def cif(cell, symmetry, rows):
    parts = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines = [f"_cell_{part} {x}" for part, x in zip(parts, cell, strict=True)]
    return "\n".join(["data_x", *lines, symmetry, ATOMS + rows, ""])


def listed(*operations, tag="_symmetry_equiv_pos_as_xyz"):
    return "\n".join(["loop_", tag, *(f"'{text}'" for text in operations)])


def n_sites(cell, symmetry, rows="Si1 Si .11 .27 .31"):
    return len(parse_structure(cif(cell, symmetry, rows))[0])


@pytest.mark.parametrize(
    ("cell", "operations", "wrong"),
    [
        ((4, 6, 8, 90, 90, 90), ["-y,x,z", "-x,-y,z", "y,-x,z"], "-y, x, z"),
        ((4, 4, 4, 90, 90, 90), ["x,x,z"], "x, x, z"),
        ((4, 4, 4, 90, 90, 90), ["x,y,1/2"], "x, y, 1/2"),
        ((4, 4, 4, 90, 90, 90), ["2x,y,z"], "2x, y, z"),
        ((4, 4.06, 8, 90, 90, 90), ["y,x,z"], "y, x, z"),
        ((4, 5, 8, 90, 91, 90), ["-x,-y,z"], "-x, -y, z"),
    ],
)
def test_operations_that_change_distances_are_refused(cell, operations, wrong):
    with pytest.raises(ValueError, match=rf"operation '{wrong}' does not fit the cell \({cell[0]}"):
        n_sites(cell, listed("x,y,z", *operations))


def test_cells_may_be_rounded():
    for cell in ((4, 4.01, 8, 90, 90, 90), (4, 4, 8, 90.1, 90, 90)):
        assert n_sites(cell, listed("x,y,z", "y,x,-z")) == 2


@pytest.mark.parametrize(
    ("cell", "symmetry"),
    [
        (RHOMBOHEDRAL, f"{NAME} 'R -3 m'"),
        (RHOMBOHEDRAL, f"{NUMBER} 166"),
        ((5, 6, 7, 90, 90, 100), f"{NUMBER} 14"),
    ],
)
def test_groups_in_another_setting_than_the_cell_are_refused(cell, symmetry):
    with pytest.raises(ValueError, match=r"do not fit its cell .*add the operations of this sett"):
        n_sites(cell, symmetry)


def test_groups_in_the_setting_of_the_cell_are_read():
    assert n_sites((4.5, 4.5, 11.8, 90, 90, 120), f"{NAME} 'R -3 m'", "Bi1 Bi 0 0 .234") == 6
    assert n_sites(MONOCLINIC, f"{NUMBER} 14") == 4
    assert n_sites(CUBIC, f"{NAME} 'F m -3 m'", NACL) == 8


@pytest.mark.parametrize("number", [48, 59, 85, 88, 141, 203, 227])
def test_a_guessed_origin_is_refused(number):
    group = SpaceGroup.from_int_number(number)
    cell = (5, 5, 5 if number > 194 else 6, 90, 90, 90)
    for symmetry in (f"{NUMBER} {number}", f"{NAME} '{group.symbol.replace('_', '')}'"):
        with pytest.raises(ValueError, match="two choices of the origin"):
            n_sites(cell, symmetry)
    operations = [op.as_xyz_str() for op in group.symmetry_ops]
    assert n_sites(cell, listed(*operations)) == len(operations)


@pytest.mark.slow
def test_every_group_is_known_and_24_have_two_origins():
    from skuae.crystals import _cif_symmetry as symmetry

    refused = []
    for number in range(1, 231):
        operations = SpaceGroup.from_int_number(number).symmetry_ops
        matrices = np.array([op.affine_matrix for op in operations])
        settings = symmetry._settings(symmetry._key(matrices))
        assert [setting["number"] for setting in settings] == [number]
        inversions = matrices[(matrices[:, :3, :3] == -np.eye(3)).all(axis=(1, 2)), :3, 3]
        if len(inversions) and (inversions - inversions.round()).any(axis=1).all():
            refused.append(number)
            assert settings[0]["universal_h_m"].endswith(":1")
    assert len(refused) == 24


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("P 21/c", "P121/c1"), ("P 21/n", "P121/n1"), ("C 2/c", "C12/c1"), ("C m c a", "Cmce"),
        ("F m 3 m", "Fm-3m"), ("R -3 m :H", "R-3m"), ("F d -3 m :2", None), ("F d -3 m S", None),
    ],
)  # fmt: skip
def test_names_that_pymatgen_does_not_know_come_with_one_that_it_knows(name, way):
    message = f"space group '{name}' .*; add them" + (f", or write '{way}'$" if way else "$")
    with pytest.raises(ValueError, match=message):
        n_sites(MONOCLINIC, f"{NAME} '{name}'")


@pytest.mark.parametrize(
    ("cell", "name", "number", "sites"),
    [
        (MONOCLINIC, "P 21/c", 14, 4), (MONOCLINIC, "P2_1/c", 14, 4),
        (ORTHORHOMBIC, "C m c a", 64, 16),
        (CUBIC, "F m 3 m", 225, 192), (CUBIC, "F 4/m -3 2/m", 225, 192),
        ((4.5, 4.5, 11.8, 90, 90, 120), "R -3 m :H", 166, 36),
    ],
)  # fmt: skip
def test_names_of_the_setting_that_the_number_means(cell, name, number, sites):
    assert n_sites(cell, f"{NAME} '{name}'\n{NUMBER} {number}") == sites


@pytest.mark.parametrize(
    ("cell", "symmetry"),
    [
        (MONOCLINIC, f"{NAME} 'P 21/n'\n{NUMBER} 14"),
        (CUBIC, f"{NAME} 'P 1'\n{NUMBER} 225"),
        (CUBIC, f"{NAME} 'P m -3 m'\n{NUMBER} 225"),
        (CUBIC, "_symmetry_space_group_name_Hall '-F 4 2 3'"),
        (CUBIC, "_space_group_name_Hall '-F 4 2 3'"),
        (CUBIC, "_space_group_name_H-M_full 'F 4/m -3 2/m'"),
        (CUBIC, f"{NAME} 'P 1'\n" + listed("-x,-y,-z", tag="_symmetry_equiv_pos_as_xyz_all")),
    ],
)
def test_groups_that_are_read_as_another_are_refused(cell, symmetry):
    with pytest.raises(ValueError, match=r"names the space group|operations are in _symmetry"):
        n_sites(cell, symmetry)


def test_a_hall_symbol_may_stand_beside():
    assert n_sites(CUBIC, f"{NUMBER} 225\n_space_group_name_Hall '-F 4 2 3'", NACL) == 8
    assert n_sites(CUBIC, f"{NAME} 'P 1'\n_space_group_name_Hall 'P 1'", NACL) == 2


def test_lists_of_all_atoms_may_name_the_group():
    symmetry = f"{NAME} 'F d -3 m'\n{NUMBER} 227\n"
    assert n_sites(CUBIC, symmetry + listed("x,y,z"), NACL) == 2


def test_two_lists_of_operations():
    old, new = "_symmetry_equiv_pos_as_xyz", "_space_group_symop_operation_xyz"
    for first, second in ((old, new), (new, old)):
        texts = listed("x,y,z", tag=first), listed("x,y,z", "-x,-y,-z", tag=second)
        with pytest.raises(ValueError, match=r"operations in .* and .* differ; keep the right"):
            n_sites(CUBIC, "\n".join(texts))
    texts = listed("x,y,z", "-x,-y,1/2-z", tag=old), listed("-X,-Y,-Z+0.5", "X, Y, Z", tag=new)
    assert n_sites(CUBIC, "\n".join(texts)) == 2


@pytest.mark.parametrize(
    "text",
    ["x,y," + "1" * 20_000, "x,y,z+" + "1" * 400, "x,y,z+1/0", "x,y,z+1/00", "x,y,z+1/" + "3" * 99,
     "x,y,z+." + "3" * 400],
)  # fmt: skip
def test_endless_and_impossible_numbers_in_operations(text):
    with pytest.raises(ValueError, match=r"^the symmetry operation 'x,y.{3,60}' is not understood"):
        n_sites(CUBIC, listed(text))


def test_operations_without_quotes():
    with pytest.raises(ValueError, match="operation 'x,' is not understood; put it in quotes"):
        n_sites(CUBIC, "loop_\n_symmetry_equiv_pos_as_xyz\nx, y, z")


HEXAGONAL = (3.2, 3.2, 5.2, 90, 90, 120)
MOVED = "atoms moved onto the special position that they stand beside, by less than 0.05 Å: "


@pytest.mark.parametrize(
    "xy", [".333 .667", ".3333 .6667", "0.33 0.67", ".334 .666", "1.333 -.333"]
)
def test_rounded_thirds_are_one_atom(xy):
    text = cif(HEXAGONAL, f"{NAME} 'P 63/m m c'", f"Mg1 Mg {xy} .25")
    structure, remarks = parse_structure(text)
    assert sorted(structure.frac_coords.round(6).tolist()) == [
        [0.333333, 0.666667, 0.25],
        [0.666667, 0.333333, 0.75],
    ]
    assert (MOVED + "1" in remarks) == ("3333" not in xy)


def test_atoms_beside_a_special_position_are_moved_onto_it():
    inversion = listed("x,y,z", "-x,-y,-z")
    structure, remarks = parse_structure(
        cif(CUBIC, inversion, "Na1 Na .0003 0 1\nCl1 Cl .5 .498 .5\nO1 O .1 0 0")
    )
    assert remarks == [MOVED + "2"]
    assert structure.composition.as_dict() == {"Na": 1, "Cl": 1, "O": 2}
    assert {(s.specie.symbol, *s.frac_coords) for s in structure} == {
        ("Na", 0, 0, 0), ("Cl", 0.5, 0.5, 0.5), ("O", 0.1, 0, 0), ("O", 0.9, 0, 0),
    }  # fmt: skip


def test_atoms_further_from_a_special_position_stay():
    for x, sites in ((".004", 1), (".005", 2)):  # images 0.045 and 0.056 Å apart
        assert n_sites(CUBIC, listed("x,y,z", "-x,-y,-z"), f"Na1 Na {x} 0 0") == sites


@pytest.mark.parametrize(
    ("x", "occupancies", "sites"),
    [(0.006, [0.5], 2), (0.001, [0.5], 1), (0.001, [0.5, 0.5], 1), (0.001, [0.2, 0.2], 1)],
)
def test_halves_of_a_split_site_stay(x, occupancies, sites):
    """Atoms 0.07 Å apart are two places of half an atom; those 0.01 Å apart are one."""
    rows = [f"A{i} {'Fe' if i else 'Co'} {x} 0 0 {o}" for i, o in enumerate(occupancies)]
    text = cif(CUBIC, listed("x,y,z", "-x,-y,-z"), "\n".join(rows))
    structure, _ = parse_structure(text.replace("fract_z\n", "fract_z\n_atom_site_occupancy\n"))
    assert len(structure) == sites
    assert structure[0].species.num_atoms == pytest.approx(sum(occupancies))


def test_a_site_of_high_symmetry_is_moved_to_the_middle_of_all_images():
    group = SpaceGroup("Pm-3m").symmetry_ops
    operations = listed(*(op.as_xyz_str() for op in group))
    assert n_sites(CUBIC, operations, "Na1 Na .499 .502 .4985") == 1
    assert n_sites(CUBIC, operations, "Na1 Na .5 .002 .001") == 3


@pytest.mark.parametrize(
    ("group", "cell", "place", "sites"),
    [
        ("R-3m", (7, 7, 17, 90, 90, 120), "0.1667 -0.1667 -0.1667", 9),
        ("R3m", (5, 5, 8, 90, 90, 120), "0.1671 0.3341 0.1", 9),
        ("R-3m", (7, 7, 17, 90, 90, 120), "0.1680 0.3359 0.1", 18),
        ("P6_3/mmc", (5, 5, 8, 90, 90, 120), "0.333 0.667 0.25", 2),
        ("P6/mmm", (9, 9, 15, 90, 90, 120), "0.003333 0 0", 1),  # 0.03 Å
        ("Pm-3m", (8, 8, 8, 90, 90, 90), "0.00375 0 0", 1),
        ("Pm-3m", (8, 8, 8, 90, 90, 90), "0.00006 0 0", 1),
    ],
)
@pytest.mark.parametrize("occupancy", [1, 0.5, 0.15])
def test_images_of_a_rounded_place_are_one(group, cell, place, sites, occupancy):
    operations = listed(*(op.as_xyz_str() for op in SpaceGroup(group).symmetry_ops))
    text = cif(cell, operations, f"Na1 Na {place} {occupancy}")
    structure, _ = parse_structure(text.replace("fract_z\n", "fract_z\n_atom_site_occupancy\n"))
    assert len(structure) == sites
    assert structure.composition.num_atoms == pytest.approx(sites * occupancy)


def test_shares_of_a_row_are_moved_together():
    operations = listed(*(op.as_xyz_str() for op in SpaceGroup("P6_3/mmc").symmetry_ops))
    text = cif(HEXAGONAL, operations, "M1 '0.8Nb + 0.2Zr' .333 .667 .25 1")
    structure, remarks = parse_structure(
        text.replace("fract_z\n", "fract_z\n_atom_site_occupancy\n")
    )
    assert structure.composition.as_dict() == pytest.approx({"Nb": 1.6, "Zr": 0.4})
    assert MOVED + "2" in remarks
