"""Sites that hold several elements, or fewer atoms than one."""

import pytest
from pymatgen.core import Lattice, Species, Structure

from skuae.crystals import as_crystals


def test_disordered_sites_are_kept(structures, disordered, assert_same):
    mixed = [structures[0], disordered, structures[1], disordered]
    crystals = as_crystals(mixed)
    assert_same(crystals, mixed)
    assert crystals.is_disordered.tolist() == [False, True, False, True]
    assert crystals.numbers[2:6].tolist() == [29, 29, 79, 47]  # majority elements
    assert crystals.occ_sites.tolist() == [2, 2, 3, 5, 5, 5, 11, 11, 12, 14, 14, 14]
    assert sorted(zip(crystals.occ_numbers[3:6], crystals.occ_values[3:6], strict=True)) == [
        (46, 0.2), (47, 0.4), (78, 0.3),
    ]  # fmt: skip


def test_ions_of_one_element_on_a_site_are_one_element():
    structure = Structure(
        Lattice.cubic(4),
        [
            {Species("Fe", 2): 0.5, Species("Fe", 3): 0.5},
            {Species("Fe", 2): 0.3, Species("Fe", 3): 0.3, "Co": 0.4},
            {"H": 0.25, "D": 0.25},
        ],
        [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0, 0]],
    )
    crystals = as_crystals([structure])
    assert crystals.numbers.tolist() == [26, 26, 1]
    assert crystals.occ_sites.tolist() == [1, 1, 2]  # the first site is iron, whatever its charge
    back = crystals[0]
    assert back[0].species.as_dict() == {"Fe": 1.0}
    assert back[1].species.as_dict() == pytest.approx({"Fe": 0.6, "Co": 0.4})
    assert back[2].species.as_dict() == pytest.approx({"H": 0.5})


def test_majority_element_does_not_depend_on_the_order_of_species():
    numbers = [
        as_crystals([Structure(Lattice.cubic(4), [mix], [[0, 0, 0]])]).numbers[0]
        for mix in ({"Cu": 0.5, "Au": 0.5}, {"Au": 0.5, "Cu": 0.5})
    ]
    assert numbers[0] == numbers[1]
