"""SEN: its numbers, its equations on whole graphs, poses, presence, and what changes nothing."""

import copy
import math

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer
from scipy.stats import ortho_group
from small_backbones import small
from torch import nn
from torch.nn import functional as F

from skuae.crystals import Crystals, as_crystals
from skuae.models import SEN, ElementEmbedding, check_backbone
from skuae.models._layers import GaussianBasis
from skuae.models._sen import POSES
from skuae.models._sen_layers import affine, element_shares, invariants, softmax_over_sites

SMALL = {"site_dim": 12, "bond_dim": 6, "n_blocks": 2, "n_capsules": 4, "capsule_dim": 8,
         "crystal_dim": 10, "hidden_dim": 5}  # fmt: skip


def elements(n_dims=6, frozen=False):
    return ElementEmbedding(torch.randn(118, n_dims), frozen)


def build(n_outputs=2, **options):
    """A network in float64 whose biases and power are not those of a fresh one."""
    spec = SEN(**{**SMALL, **options})
    module = spec.build(elements(), n_outputs).double()
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.Linear) and layer.bias is not None:
                layer.bias.normal_(std=0.3)
        module.stoichiometry.power.fill_(1.7)
    return spec, module.eval()


def tensors(structures, spec, dtype=torch.float64, **options):
    """Put crystals into one batch; options as of `SEN.inputs`."""
    crystals = as_crystals(structures)
    packed = spec.inputs(crystals, **options).pack(crystals, dtype=dtype)
    return packed.batch(np.arange(len(structures)))


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
    assert (spec.bond_dim, spec.crystal_dim, spec.cutoff, spec.pose) == (64, 256, 5.0, "affine")
    assert module.parts.out_features == 6 + 16 + 1
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
    assert SEN().inputs(crystals).graphs is crystals.reduced_graph(5.0)
    assert SEN().inputs(crystals).coords is None
    tensor = SEN(pose="tensor", cutoff=4.0).inputs(crystals)
    assert tensor.graphs is crystals.graph(4.0)
    assert tensor.coords == "given"


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"pose": "image"}, "pose must be one of affine, tensor; got 'image'"),
        ({"pose": None}, "pose must be one of affine, tensor; got None"),
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


def plain_affine(pose):
    sx, sy, angle, shear, tx, ty = pose.tolist()
    sx, sy = (F.selu(torch.tensor(s, dtype=torch.float64)).item() + 0.01 for s in (sx, sy))
    t, k = 2 * math.pi * angle, math.tanh(5 * shear)
    tx, ty = math.tanh(5 * tx), math.tanh(5 * ty)
    cos, sin = math.cos(t), math.sin(t)
    return [sx * cos + k * sy * sin, -sx * sin + k * sy * cos, tx, sy * sin, sy * cos, ty]


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
    spec, module = build()
    batch, graph = tensors(structures, spec), full_graph(structures, 5.0)
    assert batch.site_counts.sum() == len(graph.crystal)
    assert len(batch.centers) < 0.7 * len(graph.centers)
    got, expected = module(batch), plain(module, graph, graph.distances)
    assert expected.std(0).min() > 1e-3
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-5 * expected.abs().max().item())


def test_tensor_and_affine_share_the_environments(sample, alloy):
    """On whole graphs and on merged ones."""
    structures = [*sample[:8], alloy]
    affine_spec, module = build()
    tensor_spec, other = build(pose="tensor")
    other.load_state_dict(
        {k: v for k, v in module.state_dict().items() if k in other.state_dict()
         and v.shape == other.state_dict()[k].shape}, strict=False
    )  # fmt: skip
    merged = tensors(structures, affine_spec, merge=False)
    found = module.site_vectors(merged)
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


# -- poses and presence ----------------------------------------------------------------------------


def test_affine_map_of_zeros():
    expected = torch.tensor([[0.01, 0, 0], [0, 0.01, 0]])
    torch.testing.assert_close(affine(torch.zeros(4, 3, 6)), expected.expand(4, 3, 2, 3))


def test_affine_maps():
    pose = torch.randn(5, 6, dtype=torch.float64)
    expected = torch.tensor([plain_affine(p) for p in pose], dtype=torch.float64)
    torch.testing.assert_close(affine(pose).flatten(1), expected)
    assert torch.autograd.gradcheck(affine, (pose.requires_grad_(),))


@pytest.mark.parametrize("pose", POSES)
def test_presence(sample, pose):
    """It adds up to 1, is noisy in training and certain at prediction."""
    spec, module = build(pose=pose)
    batch = tensors(sample[:6], spec)
    first, second = (module.capsule_parts(batch) for _ in range(2))
    assert first.features.shape == (6, 4, 16)
    assert first.pose.shape == ((6, 4, 2, 3) if pose == "affine" else (6, 4, 3, 3))
    torch.testing.assert_close(first.presence.sum(1), torch.ones(6).double())
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b)
    noisy = [module.train().capsule_parts(batch) for _ in range(30)]
    torch.testing.assert_close(noisy[0].presence.sum(1), torch.ones(6).double())
    for parts in noisy:
        assert torch.equal(parts.features, first.features)
        assert torch.equal(parts.pose, first.pose)
        noise = parts.presence.log() - first.presence.log()
        noise = noise - noise.mean(1, keepdim=True)
        assert 1e-3 < noise.abs().max() < 4  # uniform between -2 and 2, less the mean
    assert max((p.presence - first.presence).abs().max() for p in noisy) > 0.1


def turn(structure, matrix):
    return Structure(
        Lattice(structure.lattice.matrix @ matrix), structure.species_and_occu,
        structure.frac_coords,
    )  # fmt: skip


def poses_of(module, structures, spec):
    with torch.no_grad():
        return module.capsule_parts(tensors(structures, spec)).pose


def test_tensors_turn_with_the_crystal(sample, alloy):
    spec, module = build(pose="tensor")
    structures = [*sample[:20], alloy]
    rng = np.random.default_rng(0)
    turns = [ortho_group.rvs(3, random_state=rng) for _ in structures]
    turned = [turn(s, matrix) for s, matrix in zip(structures, turns, strict=True)]
    p, q = poses_of(module, structures, spec), poses_of(module, turned, spec)
    r = torch.tensor(np.array(turns))[:, None]  # rows are vectors: x' = x R, P' = R^T P R
    scale = p.abs().max().item()
    torch.testing.assert_close(q, r.transpose(2, 3) @ p @ r, rtol=0, atol=1e-5 * scale)
    assert (p - q).abs().max() > 0.01 * scale
    torch.testing.assert_close(p, p.transpose(2, 3))
    torch.testing.assert_close(invariants(q), invariants(p), rtol=0, atol=1e-5 * scale)


def test_invariants():
    p = torch.randn(2, 3, 3, 3, dtype=torch.float64)
    p = p + p.transpose(2, 3)
    found = invariants(p)
    for b in range(2):
        for k in range(3):
            assert found[b, k, 0].item() == pytest.approx(torch.trace(p[b, k]).item())
            for j in range(3):
                expected = torch.trace(p[b, k] @ p[b, j]).item()
                assert found[b, k, 1 + j].item() == pytest.approx(expected)


def test_tensor_of_a_chain():
    """All bonds point along z, so that r r^T has one entry, and so has its mean."""
    spec, module = build(pose="tensor")
    chain = Structure(Lattice.orthorhombic(20, 20, 3.0), ["Fe"], [[0.1, 0.2, 0.3]])
    with torch.no_grad():
        module.tensors.weights.weight.zero_()
        module.tensors.weights.bias.fill_(0.8)
    expected = torch.zeros(4, 3, 3).double()
    expected[:, 2, 2] = 0.8
    torch.testing.assert_close(poses_of(module, [chain], spec)[0], expected)


def distinct(values):
    """Count eigenvalues that differ by more than a thousandth of the largest."""
    values = values.sort().values
    return 1 + (values.diff() > 1e-3 * values.abs().max()).sum().item()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensors_are_as_symmetric_as_the_crystal(sample):
    """One eigenvalue in cubic crystals, at most two in tetragonal, trigonal and hexagonal ones."""
    spec, module = build(pose="tensor", n_capsules=3)
    system = [SpacegroupAnalyzer(s, 1e-3).get_crystal_system() for s in sample]
    found = {"cubic": [], "uniaxial": [], "other": []}
    for name, of_capsules in zip(system, poses_of(module, sample, spec), strict=True):
        if name in ("tetragonal", "trigonal", "hexagonal"):
            name = "uniaxial"
        kind = name if name in found else "other"
        found[kind] += [distinct(torch.linalg.eigvalsh(p)) for p in of_capsules]
    assert {kind: max(counts) for kind, counts in found.items()} == {
        "cubic": 1, "uniaxial": 2, "other": 3,
    }  # fmt: skip
    assert np.mean(np.array(found["uniaxial"]) == 2) > 0.8
    assert np.mean(np.array(found["other"]) == 3) > 0.5


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
