"""What every network of a potential does: slopes, symmetry, size and smoothness."""

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure
from small_potentials import (
    PLAIN,
    SMALL,
    THREE_BODY,
    build,
    molecule,
    moved,
    outputs,
    rattled,
    sample,
)

from skuae import as_crystals
from skuae.models import ElementEmbedding
from skuae.potentials._contract import GPA

EVERY = pytest.mark.parametrize(
    "spec", [SMALL, PLAIN, THREE_BODY], ids=["chgnet", "plain chgnet", "m3gnet"]
)


@EVERY
def test_forces_are_the_slope_of_the_energy(spec):
    module, structures = build(spec), sample()
    forces = outputs(module, structures, spec).forces
    step, first = 1e-4, 0
    for place, structure in enumerate(structures):
        for site in (0, len(structure) - 1):
            for axis in range(3):
                shift = step * np.eye(3)[axis]
                up, down = (
                    outputs(module, [moved(structure, site, s)], spec, derivatives=False).energies
                    for s in (shift, -shift)
                )
                slope = (up - down).item() / (2 * step)
                expected = -forces[first + site, axis].item()
                assert slope == pytest.approx(expected, rel=1e-5, abs=1e-8), place
        first += len(structure)


@EVERY
def test_stress_is_the_slope_of_the_energy_by_strain(spec):
    module, structures = build(spec), sample()
    stresses = outputs(module, structures, spec).stresses
    step = 1e-4
    for structure, stress in zip(structures, stresses, strict=True):
        for i, j in ((0, 0), (1, 2), (2, 1), (2, 0)):
            energies = []
            for sign in (1, -1):
                strain = np.eye(3)
                strain[i, j] += sign * step
                strained = Structure(
                    structure.lattice.matrix @ strain, structure.species, structure.frac_coords
                )
                energies.append(outputs(module, [strained], spec, derivatives=False).energies)
            slope = (energies[0] - energies[1]).item() / (2 * step) / structure.volume * GPA
            assert slope == pytest.approx(stress[i, j].item(), rel=1e-5, abs=1e-7)


@EVERY
def test_stress_is_symmetric_and_forces_add_up_to_nothing(spec):
    structures = sample()
    found = outputs(build(spec), structures, spec)
    assert found.forces.abs().max() > 1e-3
    torch.testing.assert_close(found.stresses, found.stresses.transpose(1, 2), rtol=0, atol=1e-9)
    for forces in found.forces.split([len(s) for s in structures]):
        assert forces.sum(0).abs().max() < 1e-10


@EVERY
def test_forces_turn_with_the_crystal(spec):
    structure = sample()[0]
    turn, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))
    turned = Structure(structure.lattice.matrix @ turn, structure.species, structure.frac_coords)
    module = build(spec)
    here, there = outputs(module, [structure], spec), outputs(module, [turned], spec)
    turn = torch.tensor(turn)
    torch.testing.assert_close(there.energies, here.energies, rtol=0, atol=1e-10)
    torch.testing.assert_close(there.forces, here.forces @ turn, rtol=0, atol=1e-10)
    torch.testing.assert_close(there.stresses, turn.T @ here.stresses @ turn, rtol=0, atol=1e-9)
    if here.magmoms is not None:
        torch.testing.assert_close(there.magmoms, here.magmoms, rtol=0, atol=1e-10)


@EVERY
def test_a_larger_cell_has_more_of_the_same(spec):
    module, structure = build(spec), sample()[1]
    large = structure.copy()
    large.make_supercell([[2, 1, 0], [0, 1, 0], [0, 0, 1]])
    one, two = outputs(module, [structure], spec), outputs(module, [large], spec)
    assert two.energies.item() == pytest.approx(2 * one.energies.item(), rel=1e-10)
    torch.testing.assert_close(two.stresses, one.stresses, rtol=0, atol=1e-9)
    torch.testing.assert_close(two.forces[::2], one.forces[[0, 1]], rtol=0, atol=1e-10)


@EVERY
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sites_in_other_cells_feel_the_same(spec, dtype):
    structure = sample()[0]
    outside = structure.copy()
    for site in range(len(structure)):
        outside.translate_sites([site], [site - 3, 7, -2 * site + 1], to_unit_cell=False)
    module = build(spec, dtype)
    here, there = outputs(module, [structure], spec), outputs(module, [outside], spec)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-11
    torch.testing.assert_close(there.energies, here.energies, rtol=tolerance, atol=0)
    torch.testing.assert_close(there.forces, here.forces, rtol=0, atol=tolerance)


@EVERY
def test_a_batch_is_its_crystals(spec):
    module, structures = build(spec), [*sample(), Structure(Lattice.cubic(9), ["Na"], [[0] * 3])]
    with pytest.warns(UserWarning, match="no atom has a neighbour"):
        together = outputs(module, structures, spec)
        alone = [outputs(module, [s], spec) for s in structures]
    torch.testing.assert_close(together.energies, torch.cat([o.energies for o in alone]))
    torch.testing.assert_close(together.forces, torch.cat([o.forces for o in alone]))
    torch.testing.assert_close(together.stresses, torch.cat([o.stresses for o in alone]))


@EVERY
def test_nothing_jumps_where_a_neighbour_leaves(spec):
    module = build(spec)
    for places in (
        ([0, 0, 0], [spec.cutoff, 0, 0], [0, 2, 0]),
        ([0, 0, 0], [0, spec.bond_cutoff, 0], [2.2, 0.3, 0], [4, 0, 1]),
    ):
        ends = []
        for step in (-1e-5, 1e-5):
            near = [list(place) for place in places]
            axis = int(np.argmax(near[1]))
            near[1][axis] += step
            ends.append(outputs(module, [molecule(*near)], spec))
        inside, outside = ends
        assert abs(inside.energies - outside.energies).item() < 1e-5
        # Forces change by the step times a slope, and by nothing else.
        torch.testing.assert_close(inside.forces, outside.forces, rtol=0, atol=1e-5)
    assert outputs(module, [molecule(*places)], spec).forces.abs().max() > 1e-3


@EVERY
def test_an_atom_that_is_alone_has_an_energy_and_no_force(spec):
    module = build(spec)
    with pytest.warns(UserWarning, match="row 0: no atom has a neighbour within"):
        found = outputs(module, [molecule([0, 0, 0])], spec)
        twice = outputs(module, [molecule([0, 0, 0], [10, 10, 10])], spec)
    assert found.energies.abs().item() > 0
    assert twice.energies.item() == pytest.approx(2 * found.energies.item(), rel=1e-12)
    assert found.forces.tolist() == [[0.0, 0.0, 0.0]]
    assert found.stresses.abs().max() == 0


@EVERY
def test_atoms_without_bonds_among_others(spec):
    far = molecule([0, 0, 0], [2.4, 0, 0], [0, 4.5, 0])
    found = outputs(build(spec), [far], spec)
    assert torch.isfinite(found.forces).all() and found.forces[2].abs().max() > 1e-6


@EVERY
def test_a_cell_of_one_atom_sees_its_images(spec):
    cell = Structure(Lattice.cubic(2.6), ["Fe"], [[0.3, 0.1, 0.2]])
    found = outputs(build(spec), [cell], spec)
    assert found.forces.abs().max() < 1e-10  # each image pulls the other way
    assert found.stresses.abs().max() > 1e-3


@EVERY
def test_an_equal_table_of_elements_gives_equal_energies(spec):
    learned, frozen = build(spec), build(spec)
    frozen.elements = ElementEmbedding(learned.elements.weight.detach(), frozen=True)
    ours, theirs = (outputs(module, sample(), spec) for module in (learned, frozen))
    for one, other in zip(ours[:3], theirs[:3], strict=True):
        assert torch.equal(one, other)


@EVERY
def test_a_table_of_another_width_passes_a_layer(spec):
    torch.manual_seed(0)
    module = spec.build(ElementEmbedding(torch.randn(118, 5), frozen=True)).double()
    assert module.embedding.weight.shape == (8, 5)
    assert torch.isfinite(outputs(module, sample(), spec).energies).all()


def test_rattled_crystals_have_no_symmetry():
    structure = rattled(sample()[0])
    assert as_crystals([structure]).symmetry().space_groups.tolist() == [1]
