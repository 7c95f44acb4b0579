"""SEN: its numbers, its equations on whole graphs, and what changes nothing."""

import copy

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer
from sen_networks import SMALL, build, elements, plain_affine, tensors
from small_backbones import small
from torch.nn import functional as F

from skuae.crystals import Crystals, as_crystals
from skuae.models import SEN, check_backbone
from skuae.models._layers import GaussianBasis
from skuae.models._sen import POSES
from skuae.models._sen_layers import element_shares, softmax_over_sites


def n_parameters(module):
    return sum(p.numel() for p in module.parameters())


# -- numbers ---------------------------------------------------------------------------------------


def count(n, d, m, blocks, k, c, x, h, outputs, tensor):
    """Count parameters: n columns of elements, d sites, m bonds, k capsules of c, crystal x."""
    entry = n * d + d + 32 * m + m
    block = (d * m + m) + (3 * m * m + m) + (2 * m * d + d) + (m * d + d)
    crystal = (d + 1) + 2 * d * x + x
    capsules = k * c + d * c + (d * c + c) + 2 * c
    pose, read = (0, 1 + k) if tensor else (6, 6)
    parts = c * (pose + 17) + pose + 17 + (read + 16) + 1
    parts += m * k + k if tensor else 0
    return (
        entry
        + blocks * block
        + crystal
        + capsules
        + parts
        + (2 * k + x) * h
        + h
        + h * outputs
        + outputs
    )


@pytest.mark.parametrize("pose", POSES)
def test_number_of_parameters(pose):
    tensor = pose == "tensor"
    table = 118 * 128
    module = SEN(pose=pose).build(elements(128), 1)
    expected = {"affine": 399_728, "tensor": 400_005}[pose]
    assert n_parameters(module) == expected
    assert count(128, 192, 64, 3, 16, 128, 256, 64, 1, tensor) + table == expected
    frozen = SEN(pose=pose, **SMALL).build(elements(6, frozen=True), 4)
    assert n_parameters(frozen) == count(6, 12, 6, 2, 4, 8, 10, 5, 4, tensor)


def test_widths_of_the_paper():
    module = SEN().build(elements(128), 1)
    spec = SEN()
    assert (spec.site_dim, spec.n_blocks, spec.n_capsules, spec.capsule_dim) == (192, 3, 16, 128)
    assert (spec.bond_dim, spec.crystal_dim, spec.cutoff, spec.pose) == (64, 256, 5.0, "tensor")
    assert module.parts.out_features == 16 + 1
    assert SEN(pose="affine").build(elements(128), 1).parts.out_features == 6 + 16 + 1
    assert module.hidden.in_features == 288
    assert (SEN.native_table, SEN.native_frozen) == ("random", False)


def test_32_gaussians_span_what_100_span():
    """The published ones are 100, 0.06 Å apart and 0.5 Å wide."""
    d = torch.linspace(0, 5, 2001, dtype=torch.float64)
    ours, theirs = (GaussianBasis(0.0, 6.0, n, width=0.5).double()(d) for n in (32, 100))
    fitted = ours @ torch.linalg.lstsq(ours, theirs, driver="gelsd").solution
    assert (fitted - theirs).abs().max() < 2e-5


def test_graphs(sample):
    crystals = as_crystals(sample[:4])
    affine = SEN(pose="affine").inputs(crystals)
    assert affine.graphs is crystals.reduced_graph(5.0)
    assert affine.coords is None
    tensor = SEN(pose="tensor", cutoff=4.0).inputs(crystals)
    assert tensor.graphs is crystals.reduced_graph(4.0, moments=True)
    assert tensor.coords is None


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"pose": "image"}, "pose must be one of tensor, affine; got 'image'"),
        ({"pose": None}, "pose must be one of tensor, affine; got None"),
        ({"n_capsules": 0}, "n_capsules must be an integer, at least 1; got 0"),
        ({"bond_dim": 1.5}, "bond_dim must be an integer, at least 1; got 1.5"),
        ({"cutoff": 0.1}, "cutoff must be a number of Å, at least 0.5; got 0.1"),
    ],
)
def test_parameters_that_make_no_sense(params, message):
    with pytest.raises(ValueError, match=message):
        SEN(**params).check()


# -- parity with the equations, site by site -------------------------------------------------------


def plain_element_share(graph, rows):
    """Return how far the sites of a crystal are filled, and the share of their elements."""
    occupancies = graph.occupancies[rows]
    share = occupancies.sum(0) / occupancies.sum()
    filled = occupancies.sum(1)
    return filled, (occupancies * share).sum(1) / filled


def plain(module, graph, distances):
    """The whole network with affine poses, site by site and crystal by crystal."""
    silu = F.silu
    z = v = silu(module.atoms(graph.occupancies @ module.elements.weight))
    centers = torch.linspace(0, 6, 32, dtype=torch.float64)
    e = module.bonds(torch.exp(-(((distances[:, None] - centers) / 0.5) ** 2)))
    for block in module.blocks:
        p = silu(block.dense(v))
        f = block.phi_e(torch.cat([p[graph.centers], p[graph.neighbors], e], dim=1))
        f = f * ((f + 3) / 6).clamp(0, 1)
        rows = [f[graph.centers == i] for i in range(len(v))]
        mean = torch.stack([r.mean(0) if len(r) else f.new_zeros(f.shape[1]) for r in rows])
        h = block.phi_v(torch.cat([mean, p], dim=1)) * torch.sigmoid(block.gate(mean))
        v, e = v + 0.6 * h, e + 0.6 * f
    capsules, outputs = module.capsules, []
    for i in range(graph.n_crystals):
        own = graph.crystal == i
        filled, share = plain_element_share(graph, own)
        a = torch.exp(module.stoichiometry.gate(z[own])[:, 0])
        a = a * filled * share ** (module.stoichiometry.power - 1)
        x = (a / a.sum()) @ torch.cat([z[own], v[own]], dim=1)
        x = silu(module.crystal(x))
        keys, values = capsules.keys(v[own]), capsules.values(v[own])
        width = keys.shape[1]
        seen = torch.stack(
            [torch.softmax(keys @ q / width**0.5, 0) @ values for q in capsules.queries]
        )
        y = capsules.queries + seen
        y = capsules.norm(y + torch.softmax(y @ y.T / width**0.5, 1) @ y)
        pose, features, logits = module.parts(y).split([6, 16, 1], dim=1)
        presence = torch.softmax(logits[:, 0], 0)
        pose = torch.tensor([plain_affine(row) for row in pose], dtype=torch.float64)
        c = module.number(torch.cat([pose, features], dim=1))[:, 0]
        outputs.append(silu(module.hidden(torch.cat([c, c * presence, x]))))
    return module.head(torch.stack(outputs))


def test_parity_with_the_equations(sample, lone, alloy, full_graph):
    """Merged sites and bonds give what all give; shared and partly empty sites, and none."""
    structures = [*sample[:5], alloy, lone]
    spec, module = build(pose="affine")
    batch, graph = tensors(structures, spec), full_graph(structures, 5.0)
    assert batch.site_counts.sum() == len(graph.crystal)
    assert len(batch.centers) < 0.7 * len(graph.centers)
    got, expected = module(batch), plain(module, graph, graph.distances)
    assert expected.std(0).min() > 1e-3
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-5 * expected.abs().max().item())


def test_tensor_and_affine_share_the_environments(sample, alloy):
    structures = [*sample[:8], alloy]
    affine_spec, module = build(pose="affine")
    tensor_spec, other = build(pose="tensor")
    other.load_state_dict(
        {k: v for k, v in module.state_dict().items() if k in other.state_dict()
         and v.shape == other.state_dict()[k].shape}, strict=False
    )  # fmt: skip
    found = module.site_vectors(tensors(structures, affine_spec))
    expected = other.site_vectors(tensors(structures, tensor_spec))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


# -- composition -----------------------------------------------------------------------------------


def test_shares_of_elements(alloy):
    spec, _ = build()
    structures = [Structure(Lattice.cubic(4), ["Cu", "O", "O"], np.eye(3) / 2), alloy]
    filled, shares = element_shares(tensors(structures, spec, merge=False))
    # Of the alloy: Cu 0.75 and 0.5, Au 0.25 and 1, Pd 0.2, Pt 0.3, Ag 0.4 of 3.4 atoms.
    cu, au = 1.25 / 3.4, 1.25 / 3.4
    mixed = (0.2 * 0.2 + 0.3 * 0.3 + 0.4 * 0.4) / 3.4 / 0.9
    expected = [1 / 3, 2 / 3, 2 / 3, 0.75 * cu + 0.25 * au, cu, au, mixed]
    torch.testing.assert_close(shares, torch.tensor(expected, dtype=torch.float64))
    assert filled.tolist() == pytest.approx([1, 1, 1, 1, 0.5, 1, 0.9])


def test_power_of_the_share_is_that_of_roost(sample):
    """Weights of an element add up to share^power exp(gate), over the same of all elements."""
    spec, module = build()
    batch = tensors(sample[:6], spec)
    z = F.silu(module.atoms(module.elements(batch)))
    weights = module.stoichiometry(z, batch)
    gates = module.stoichiometry.gate(F.silu(module.atoms(module.elements.weight)))[:, 0]
    for row, structure in enumerate(sample[:6]):
        amounts = structure.composition.fractional_composition
        numbers = torch.tensor([e.Z for e in amounts])
        terms = torch.tensor(list(amounts.values())).double() ** 1.7 * gates[numbers - 1].exp()
        of_crystal = batch.crystal == row
        found = [weights[of_crystal & (batch.numbers == z)].sum() for z in numbers]
        torch.testing.assert_close(torch.stack(found), terms / terms.sum())


def test_softmax_counts_equal_sites(sample):
    spec, _ = build()
    batch = tensors(sample[:10], spec)
    assert batch.site_counts.max() > 1
    weights = softmax_over_sites(50 * torch.randn(len(batch.numbers), 3).double(), batch)
    total = torch.zeros(10, 3).double().index_add(0, batch.crystal, weights)
    torch.testing.assert_close(total, torch.ones(10, 3).double())
    even = softmax_over_sites(torch.full((len(batch.numbers), 1), 1e4).double(), batch)
    torch.testing.assert_close(even[:, 0], batch.site_counts / batch.sizes[batch.crystal])


@pytest.mark.parametrize("occupancy", [1e-3, 1e-12, 1e-60])
def test_almost_empty_sites(occupancy):
    full = as_crystals([Structure(Lattice.cubic(4), ["Cu", "O"], [[0, 0, 0], [0.5] * 3])])
    arrays = {n: getattr(full, n) for n in ("numbers", "frac_coords", "lattices", "offsets")}
    crystals = Crystals(**arrays, occ_sites=[0], occ_numbers=[29], occ_values=[occupancy])
    spec, module = build()
    for dtype in (torch.float32, torch.float64):
        batch = spec.inputs(crystals).pack(crystals, dtype=dtype).batch([0])
        out = module.to(dtype)(batch)
        assert out.isfinite().all()
        module.zero_grad()
        out.sum().backward()
        assert module.stoichiometry.power.grad.isfinite()


# -- what changes nothing --------------------------------------------------------------------------


@pytest.mark.parametrize("pose", POSES)
def test_contract(pose):
    check_backbone(small(SEN, pose=pose))


def supercells(structure):
    yield structure * (2, 1, 1)
    yield structure * (1, 3, 2)
    yield structure * [[1, 1, 0], [-1, 1, 0], [0, 0, 2]]


@pytest.mark.parametrize("merge", [False, True])
@pytest.mark.parametrize("pose", POSES)
def test_supercells(sample, alloy, pose, merge):
    spec, module = build(pose=pose)
    for structure in (*sample[:4], alloy):
        expected = module(tensors([structure], spec, merge=merge))
        for cell in supercells(structure):
            found = module(tensors([cell], spec, merge=merge))
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("pose", POSES)
def test_batches_equal_singles(sample, lone, alloy, pose):
    structures = [sample[0], lone, *sample[1:12], alloy, lone]
    spec, module = build(pose=pose)
    together = module(tensors(structures, spec))
    assert torch.equal(together, module(tensors(structures, spec)))
    for structure, row in zip(structures, together, strict=True):
        alone = module(tensors([structure], spec))[0]
        torch.testing.assert_close(alone, row, rtol=0, atol=1e-12)


@pytest.mark.parametrize("pose", POSES)
@pytest.mark.parametrize("n", [1, 3])
def test_atoms_without_neighbours(lone, pose, n):
    spec, module = build(pose=pose)
    batch = tensors([lone] * n, spec)
    assert len(batch.centers) == 0
    out = module.train()(batch)
    assert out.isfinite().all()
    out.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())


def glide():
    """Pnma, with its glide plane: four equal Ti, and two sorts of O."""
    return Structure.from_spacegroup(
        "Pnma", Lattice.orthorhombic(5.44, 7.64, 5.38), ["Ca", "Ti", "O", "O"],
        [[0.0358, 0.25, 0.9931], [0, 0, 0.5], [0.4838, 0.25, 0.0707], [0.2896, 0.0370, 0.7106]],
    )  # fmt: skip


@pytest.mark.parametrize("pose", POSES)
def test_environments_of_equivalent_atoms(pose):
    structure = glide()
    analyzer = SpacegroupAnalyzer(structure)
    assert analyzer.get_space_group_symbol() == "Pnma"
    orbits = analyzer.get_symmetry_dataset().equivalent_atoms
    spec, module = build(pose=pose, n_blocks=3)
    with torch.no_grad():
        v = module.site_vectors(tensors([structure], spec, merge=False))
    assert v.shape == (20, 12)
    apart = torch.cdist(v, v)
    same = torch.tensor(orbits[:, None] == orbits)
    assert len(set(orbits)) == 4
    assert apart[same].max() < 1e-6
    oxygen = torch.tensor([site.specie.symbol == "O" for site in structure])
    other = ~same & oxygen[:, None] & oxygen
    assert other.any()
    assert apart[other].min() > 1e-4
    assert apart[~same].min() > 1e-4


@pytest.mark.parametrize("pose", POSES)
def test_gradients(alloy, pose):
    """Of the whole network against finite differences, with respect to the element vectors."""
    spec, module = build(pose=pose, n_blocks=1, cutoff=3.2)
    perovskite = Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(3.9), ["Sr", "Ti", "O"], [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0]]
    )
    batch = tensors([perovskite, alloy], spec)
    numbers = torch.tensor([8, 22, 29, 38, 46, 79]) - 1
    table = module.elements.weight.detach()

    def call(rows):
        weight = table.index_copy(0, numbers, rows)
        return torch.func.functional_call(module, {"elements.weight": weight}, (batch,))

    assert torch.autograd.gradcheck(call, (table[numbers].clone().requires_grad_(),))


def test_every_part_is_trained(sample):
    for pose in POSES:
        spec, module = build(pose=pose)
        before = copy.deepcopy(module)
        optimizer = torch.optim.SGD(module.parameters(), 0.1)
        module.train()(tensors(sample[:8], spec)).square().sum().backward()
        optimizer.step()
        for (name, p), q in zip(module.named_parameters(), before.parameters(), strict=True):
            assert not torch.equal(p, q), name
