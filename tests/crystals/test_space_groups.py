"""The names of the 230 space groups, against the rules that make them."""

import numpy as np
import pytest
from pymatgen.symmetry.groups import SpaceGroup

from skuae.crystals import CRYSTAL_SYSTEMS, N_SPACE_GROUPS, space_group_names


def test_numbers_that_the_paper_gives():
    names = space_group_names()
    assert {len(column) for column in names.values()} == {N_SPACE_GROUPS} == {230}
    distinct = {name: len(set(column)) for name, column in names.items()}
    assert distinct == {
        "symbol": 230, "point_group": 40, "crystal_system": 7, "laue_class": 11,
        "symmetry_class": 3,
    }  # fmt: skip
    assert tuple(dict.fromkeys(names["crystal_system"].tolist())) == CRYSTAL_SYSTEMS
    assert set(names["laue_class"]) < set(names["point_group"])
    assert len({word for column in names.values() for word in column}) == 280
    assert len(set(zip(*names.values(), strict=True))) == 230
    classes, counts = np.unique(names["symmetry_class"], return_counts=True)
    assert dict(zip(classes.tolist(), counts.tolist(), strict=True)) == {
        "Centrosymmetric": 92, "Enantiomorphic": 65, "None": 73,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (1, ["P1", "1", "triclinic", "-1", "Enantiomorphic"]),
        (14, ["P12_1/c1", "2/m", "monoclinic", "2/m", "Centrosymmetric"]),
        (119, ["I-4m2", "-4m2", "tetragonal", "4/mmm", "None"]),
        (122, ["I-42d", "-42m", "tetragonal", "4/mmm", "None"]),
        (149, ["P312", "312", "trigonal", "-3m", "Enantiomorphic"]),
        (166, ["R-32/m", "-3m", "trigonal", "-3m", "Centrosymmetric"]),
        (190, ["P-62c", "-62m", "hexagonal", "6/mmm", "None"]),
        (225, ["F4/m-32/m", "m-3m", "cubic", "m-3m", "Centrosymmetric"]),
    ],
)
def test_names_of_a_group(number, expected):
    assert [column[number - 1] for column in space_group_names().values()] == expected


@pytest.mark.slow
def test_names_are_those_of_pymatgen():
    names = space_group_names()
    for number in range(1, 231):
        group = SpaceGroup.from_int_number(number)
        assert names["symbol"][number - 1] == group.full_symbol.replace(" ", "")
        assert names["crystal_system"][number - 1] == group.crystal_system
        turns = [np.asarray(op.rotation_matrix) for op in group.symmetry_ops]
        centered = any((turn == -np.eye(3)).all() for turn in turns)
        proper = all(np.linalg.det(turn) > 0 for turn in turns)
        expected = "Centrosymmetric" if centered else "Enantiomorphic" if proper else "None"
        assert names["symmetry_class"][number - 1] == expected
