"""The symmetry of a crystal does not depend on how the crystal is written down."""

import numpy as np
import pytest
from pymatgen.core import Structure

from skuae import as_crystals


def samples(mp_mini):
    """Two crystals of each system, one disordered and one ordered."""
    last = [0, 2, 15, 74, 142, 167, 194, 230]
    systems = np.searchsorted(last, mp_mini.labels.spacegroup_number)
    rows = [np.flatnonzero(systems == system)[:2] for system in range(1, 8)]
    structures = mp_mini.structures[np.concatenate(rows)].to_structures()
    for structure in structures[::2]:
        element = structure[-1].specie
        structure.replace_species({element: {element: 0.8, "Xe": 0.1}})
    return structures


def unimodular(rng):
    while True:
        matrix = rng.integers(-1, 2, (3, 3))
        if round(np.linalg.det(matrix)) == 1:
            return matrix


def rotation(rng):
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return turn * np.sign(np.linalg.det(turn))


def shuffled(structure, rng):
    order = rng.permutation(len(structure))
    return Structure.from_sites([structure[i] for i in order]), order


def changed(structure, change, rng):
    """Describe a crystal in another way; return it, and the site that each site was."""
    lattice, coords, species = (
        structure.lattice.matrix,
        structure.frac_coords,
        structure.species_and_occu,
    )
    if change == "order":
        return shuffled(structure, rng)
    if change == "supercell":
        larger = structure * (1, 1, 2)
        return larger, np.repeat(np.arange(len(structure)), 2)
    if change == "rotation":
        lattice = lattice @ rotation(rng)
    if change == "mirror":
        lattice = lattice * [-1, 1, 1]
    if change == "origin":
        coords = coords + rng.random(3)
    if change == "images":
        coords = coords + rng.integers(-3, 4, coords.shape)
    if change == "cell":
        matrix = unimodular(rng)
        lattice, coords = matrix @ lattice, coords @ np.linalg.inv(matrix)
    if change == "left-handed":
        lattice, coords = lattice[[1, 0, 2]], coords[:, [1, 0, 2]]
    return Structure(lattice, species, coords), np.arange(len(structure))


@pytest.mark.parametrize(
    "change",
    ["order", "supercell", "rotation", "mirror", "origin", "images", "cell", "left-handed"],
)
def test_the_description_does_not_matter(mp_mini, change):
    rng = np.random.default_rng(0)
    given = samples(mp_mini)
    others, sites = zip(*(changed(s, change, rng) for s in given), strict=True)
    crystals, described = as_crystals(given), as_crystals(others)
    assert crystals.is_disordered.sum() == 7
    one, other = crystals.symmetry(), described.symmetry()
    mirror_images = {78: 76, 95: 91, 96: 92, 145: 144, 153: 151, 154: 152}
    groups = [[mirror_images.get(n, n) for n in s.space_groups.tolist()] for s in (one, other)]
    assert groups[0] == groups[1]
    assert len(set(one.crystal_systems.tolist())) == 7
    np.testing.assert_array_equal(one.primitive_sizes, other.primitive_sizes)
    np.testing.assert_allclose(one.conventional_lattices, other.conventional_lattices, atol=1e-3)
    for row, was in enumerate(sites):
        orbits = one.orbits[slice(*crystals.offsets[row : row + 2])][was]
        found = other.orbits[slice(*described.offsets[row : row + 2])]
        np.testing.assert_array_equal(orbits[:, None] == orbits, found[:, None] == found)
        first = [found.tolist().index(orbit) for orbit in found]
        np.testing.assert_array_equal(found, first)


def test_batch_mates_do_not_matter(mp_mini):
    crystals = mp_mini.structures[:20]
    together = as_crystals(crystals.to_structures()).symmetry()
    alone = [as_crystals([structure]).symmetry() for structure in crystals]
    for row, one in enumerate(alone):
        for name, array in together.take([row]).arrays().items():
            np.testing.assert_array_equal(getattr(one, name), array, err_msg=name)
