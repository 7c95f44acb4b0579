"""CHGNet: its size, its physics, and the same network in the chgnet package."""

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure
from small_potentials import PLAIN, SMALL, build, moved, outputs, rattled, sample
from torch.autograd import gradgradcheck

from skuae import as_crystals
from skuae.models import ElementEmbedding
from skuae.potentials import CHGNet
from skuae.potentials._contract import GPA, evaluate
from skuae.potentials._edges import pack_edges
from skuae.potentials._published import _0_2_0, convert, read_published

BOTH = pytest.mark.parametrize("spec", [SMALL, PLAIN], ids=["norms", "plain"])
PUBLISHED_SIZES = [(CHGNet(), 412_525), (_0_2_0, 400_438)]


@pytest.mark.parametrize(("spec", "size"), PUBLISHED_SIZES)
def test_as_many_parameters_as_published(spec, size):
    module = build(spec)
    assert sum(p.numel() for p in module.parameters()) + 94 == size  # 94 reference energies


@BOTH
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


@BOTH
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


def test_stress_is_symmetric_and_forces_add_up_to_nothing():
    structures = sample()
    found = outputs(build(), structures)
    assert found.forces.abs().max() > 1e-3
    torch.testing.assert_close(found.stresses, found.stresses.transpose(1, 2), rtol=0, atol=1e-9)
    for forces in found.forces.split([len(s) for s in structures]):
        assert forces.sum(0).abs().max() < 1e-10


def test_forces_turn_with_the_crystal():
    structure = sample()[0]
    turn, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))
    turned = Structure(structure.lattice.matrix @ turn, structure.species, structure.frac_coords)
    module = build()
    here, there = outputs(module, [structure]), outputs(module, [turned])
    turn = torch.tensor(turn)
    torch.testing.assert_close(there.energies, here.energies, rtol=0, atol=1e-10)
    torch.testing.assert_close(there.forces, here.forces @ turn, rtol=0, atol=1e-10)
    torch.testing.assert_close(there.stresses, turn.T @ here.stresses @ turn, rtol=0, atol=1e-9)
    torch.testing.assert_close(there.magmoms, here.magmoms, rtol=0, atol=1e-10)


@BOTH
def test_a_larger_cell_has_more_of_the_same(spec):
    module, structure = build(spec), sample()[1]
    large = structure.copy()
    large.make_supercell([[2, 1, 0], [0, 1, 0], [0, 0, 1]])
    one, two = outputs(module, [structure], spec), outputs(module, [large], spec)
    assert two.energies.item() == pytest.approx(2 * one.energies.item(), rel=1e-10)
    torch.testing.assert_close(two.stresses, one.stresses, rtol=0, atol=1e-9)
    torch.testing.assert_close(two.forces[::2], one.forces[[0, 1]], rtol=0, atol=1e-10)


@BOTH
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


@BOTH
def test_a_batch_is_its_crystals(spec):
    module, structures = build(spec), [*sample(), Structure(Lattice.cubic(9), ["Na"], [[0] * 3])]
    with pytest.warns(UserWarning, match="no atom has a neighbour"):
        together = outputs(module, structures, spec)
        alone = [outputs(module, [s], spec) for s in structures]
    torch.testing.assert_close(together.energies, torch.cat([o.energies for o in alone]))
    torch.testing.assert_close(together.forces, torch.cat([o.forces for o in alone]))
    torch.testing.assert_close(together.stresses, torch.cat([o.stresses for o in alone]))


def molecule(*places, edge=20.0):
    return Structure(Lattice.cubic(edge), ["Si"] * len(places), places, coords_are_cartesian=True)


@BOTH
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


def test_an_atom_that_is_alone_has_an_energy_and_no_force():
    module = build()
    with pytest.warns(UserWarning, match="row 0: no atom has a neighbour within 6 Å"):
        found = outputs(module, [molecule([0, 0, 0])])
        twice = outputs(module, [molecule([0, 0, 0], [10, 10, 10])])
    assert found.energies.abs().item() > 0
    assert twice.energies.item() == pytest.approx(2 * found.energies.item(), rel=1e-12)
    assert found.forces.tolist() == [[0.0, 0.0, 0.0]]
    assert found.stresses.abs().max() == 0


def test_atoms_without_bonds_among_others():
    far = molecule([0, 0, 0], [2.4, 0, 0], [0, 4.5, 0])
    found = outputs(build(), [far])
    assert torch.isfinite(found.forces).all() and found.forces[2].abs().max() > 1e-6


def test_a_cell_of_one_atom_sees_its_images():
    cell = Structure(Lattice.cubic(2.6), ["Fe"], [[0.3, 0.1, 0.2]])
    found = outputs(build(), [cell])
    assert found.forces.abs().max() < 1e-10  # each image pulls the other way
    assert found.stresses.abs().max() > 1e-3


@BOTH
def test_the_whole_network_has_two_derivatives(spec):
    spec = spec.__class__(**{**spec.get_params(), "dim": 4, "n_radial": 3, "n_angular": 3})
    module = build(spec)
    chain = molecule([0, 0, 0], [2.2, 0.1, 0], [1.0, 2.1, 0.2])
    batch = pack_edges(as_crystals([chain]), spec.cutoff, "cpu", torch.float64).batch([0])
    name = "bond_updates.0.message.first.weight"
    weight = module.get_parameter(name).detach().clone().requires_grad_()

    def energy(vectors, weight):
        found = torch.func.functional_call(module, {name: weight}, (batch, vectors))
        return found.energies.sum() + found.magmoms.square().sum()

    vectors = batch.vectors.clone().requires_grad_()
    assert gradgradcheck(energy, (vectors, weight), fast_mode=True)


def test_a_loss_of_forces_reaches_the_weights():
    module = build()
    found = outputs(module, sample(), create_graph=True)
    (found.forces.square().sum() + found.stresses.square().sum()).backward()
    without = {name for name, p in module.named_parameters() if p.grad is None}
    # The bias of the last layer moves no force; the last angles reach nothing.
    assert {name.rsplit(".", 1)[0] for name in without if "angle" not in name} <= {
        "magmom", "readout.2"
    }  # fmt: skip
    assert all(name.startswith("angle_updates.1.") for name in without if "angle" in name)
    assert module.elements.weight.grad[[11, 7, 13, 25]].abs().min() > 0


def test_an_equal_table_of_elements_gives_equal_energies():
    learned = build()
    values = learned.elements.weight.detach()
    frozen = build()
    frozen.elements = ElementEmbedding(values, frozen=True)
    for ours, theirs in zip(outputs(learned, sample()), outputs(frozen, sample()), strict=True):
        assert torch.equal(ours, theirs)


def test_a_table_of_another_width_passes_a_layer():
    torch.manual_seed(0)
    module = SMALL.build(ElementEmbedding(torch.randn(118, 5), frozen=True)).double()
    assert module.embedding.weight.shape == (8, 5)
    assert torch.isfinite(outputs(module, sample()).energies).all()


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"n_angular": 4}, "n_angular must be odd"),
        ({"cutoff": 0.0}, "cutoff must be a finite number, above 0"),
        ({"bond_cutoff": 7.0}, "bond_cutoff must be at most the cutoff"),
        ({"exponent": 2}, "exponent must be an integer, at least 3"),
        ({"n_blocks": 0}, "n_blocks must be an integer, at least 1"),
        ({"dim": 8.0}, "dim must be an integer"),
        ({"cutoff": 500.0}, "cutoff must be at most"),
        ({"norm": "layer"}, "norm must be True or False"),
    ],
)
def test_senseless_parameters_are_refused(params, said):
    with pytest.raises(ValueError, match=said):
        CHGNet(**params).check()


# -- the same network in the chgnet package -------------------------------------------------------


def published(name):
    found = read_published(name)
    module = found.backbone.build(ElementEmbedding(found.elements, frozen=True))
    missing, unexpected = module.load_state_dict(found.weights, strict=False)
    assert (missing, unexpected) == (["elements.weight"], [])
    return found, module.requires_grad_(False)


def compare(name, rows):
    """Return the largest differences of energy per atom, force, stress and moment."""
    pytest.importorskip("chgnet", reason="the chgnet package is the oracle")
    from chgnet.model import CHGNet as Theirs

    from skuae.datasets import load_mp_mini

    crystals = load_mp_mini().structures[rows]
    oracle = Theirs.load(model_name=name.removeprefix("chgnet-"), use_device="cpu", verbose=False)
    found, module = published(name)
    packed = pack_edges(crystals, found.backbone.cutoff, "cpu", torch.float32)
    worst = np.zeros(4)
    for i, structure in enumerate(crystals):
        ours = evaluate(module, packed.batch([i]))
        theirs = oracle.predict_structure(structure, task="efsm")
        numbers = np.array(structure.atomic_numbers)
        energy = ours.energies.item() / len(numbers) + found.reference_energies[numbers - 1].mean()
        differences = [
            energy - theirs["e"],
            ours.forces.numpy() - theirs["f"],
            ours.stresses[0].numpy() - theirs["s"],
            ours.magmoms.numpy() - theirs["m"],
        ]
        worst = np.maximum(worst, [np.abs(d).max() for d in differences])
    return worst


@pytest.mark.slow
def test_parity_with_the_published_potential():
    rows = np.random.default_rng(0).permutation(2573)[:50]
    assert (compare("chgnet-0.3.0", rows) < [1e-5, 1e-4, 1e-3, 1e-4]).all()


@pytest.mark.parametrize("name", ["chgnet-0.2.0", "chgnet-r2scan"])
def test_parity_with_other_published_potentials(name):
    assert (compare(name, [3, 600, 1500]) < [1e-5, 1e-4, 1e-3, 1e-4]).all()


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match=r"no potential 'chgnet-1'; known are chgnet-0\.3\.0"):
        read_published("chgnet-1")


def test_foreign_weights_are_refused():
    with pytest.raises(KeyError):
        convert({}, CHGNet())


def test_the_way_to_the_weights_is_said(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"skuae\[chgnet\]"):
        read_published("chgnet-0.3.0")


def test_rattled_crystals_have_no_symmetry():
    structure = rattled(sample()[0])
    assert as_crystals([structure]).symmetry().space_groups.tolist() == [1]
