"""ALIGNN against the paper's equations on whole graphs, its numbers, and crystals without bonds."""

import copy
import itertools

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure
from torch import nn
from torch.nn import functional as F

from skuae.crystals import as_crystals
from skuae.embedding import get_table
from skuae.models import ALIGNN, ElementEmbedding
from skuae.models._alignn import GatedConv
from skuae.models._interpolation import Tabulated, interpolate

SMALL = {"hidden_dim": 12, "expansion_dim": 8, "n_alignn": 2, "n_gcn": 2}


def n_parameters(module):
    return sum(p.numel() for p in module.parameters())


def build(n_outputs=2, **options):
    """A network in float64 whose norms are not those of a fresh one."""
    spec = ALIGNN(**{**SMALL, **options})
    module = spec.build(ElementEmbedding(torch.randn(118, 6), False), n_outputs).double()
    with torch.no_grad():
        for norm in module.modules():
            if isinstance(norm, nn.BatchNorm1d):
                norm.weight.uniform_(0.5, 1.5)
                norm.bias.normal_()
                norm.running_mean.normal_(std=0.1)
                norm.running_var.uniform_(0.5, 2)
    return spec, module


# -- numbers that the paper and its code fix -------------------------------------------------------


def test_number_of_parameters_of_the_paper():
    table = torch.tensor(np.nan_to_num(get_table("cgcnn").values))
    assert n_parameters(ALIGNN().build(ElementEmbedding(table, True), 1)) == 4_026_753
    assert n_parameters(GatedConv(256)) == 329_984
    spec = ALIGNN()
    assert (spec.native_table, spec.native_frozen) == ("cgcnn", True)


def test_number_of_parameters_of_other_settings():
    def layer(a, b):
        return a * b + 3 * b

    spec = ALIGNN(hidden_dim=10, n_alignn=2, n_gcn=1, expansion_dim=7, cutoff=5.0)
    conv = 5 * (100 + 10) + 4 * 10
    expected = layer(6, 10) + layer(80, 7) + layer(40, 7) + 2 * layer(7, 10) + 5 * conv + 10 * 3 + 3
    assert n_parameters(spec.build(ElementEmbedding(torch.zeros(118, 6), True), 3)) == expected
    assert (
        n_parameters(spec.build(ElementEmbedding(torch.zeros(118, 6), False), 3))
        == expected + 118 * 6
    )


def test_gaussians():
    module = build()[1].float()
    values = module.bond_basis(torch.tensor([2.0, 0.0, 8.0]))
    assert values.shape == (3, 80)
    assert values[0, 19].item() == pytest.approx(0.944630, abs=1e-6)
    assert values[0, 20].item() == pytest.approx(0.993691, abs=1e-6)
    assert values[1, 0].item() == values[2, 79].item() == 1.0
    cosines = torch.tensor([-1.0, 0.3, 1.0])
    expected = torch.exp(-19.5 * (cosines[:, None] - torch.linspace(-1, 1, 40)) ** 2)
    torch.testing.assert_close(module.angle_basis(cosines), expected)


def test_graph_is_that_of_the_paper(sample):
    crystals = as_crystals(sample[:4])
    assert ALIGNN().inputs(crystals).graphs is crystals.reduced_graph(8.0, 12, True, angles=True)
    cut = ALIGNN(cutoff=6.0, max_neighbors=4, whole_shell=False, n_alignn=0).inputs(crystals).graphs
    assert cut is crystals.reduced_graph(6.0, 4, False, angles=False)
    assert cut.cosines is None


# -- angles ----------------------------------------------------------------------------------------


def test_straight_chain(pack):
    """Bonds a -> b and b -> c of a straight chain enclose cos = -1; a bond and its reverse, +1."""
    chain = Structure(Lattice.orthorhombic(2, 30, 30), ["C"], [[0.2, 0.1, 0.4]])
    batch = pack([chain], ALIGNN(max_neighbors=2, cutoff=3.0))
    assert batch.distances.tolist() == [2.0]
    assert batch.edge_counts.tolist() == [2.0]
    assert sorted(batch.cosines.tolist()) == [-1.0, 1.0]
    assert batch.angle_counts.tolist() == [1.0, 1.0]


def test_bent_molecule(pack):
    """Water: the angle of both bonds at O, and that of each bond with its reverse."""
    angle = np.radians(104.5)
    sites = [[5, 5, 5], [5.96, 5, 5], [5 + 0.96 * np.cos(angle), 5 + 0.96 * np.sin(angle), 5]]
    water = Structure(Lattice.cubic(20), ["O", "H", "H"], sites, coords_are_cartesian=True)
    batch = pack([water], ALIGNN(cutoff=1.2))
    assert batch.site_counts.tolist() == [1.0, 2.0]
    # H -> O meets the bonds of O: its reverse and the other; O -> H meets its reverse only
    found = sorted(zip(batch.edges.tolist(), batch.cosines.tolist(), strict=True))
    centers = batch.numbers[batch.centers[[e for e, _ in found]]].tolist()
    values = sorted(zip(centers, [round(c, 6) for _, c in found], strict=True))
    assert values == [(1, round(np.cos(angle), 6)), (1, 1.0), (8, 1.0)]


# -- parity with the equations, on graphs with every site, bond and angle --------------------------


def plain_norm(norm, x):
    """SiLU of torch's batch norm over all rows; there are no statistics of nothing."""
    return F.silu(nn.BatchNorm1d.forward(norm, x)) if len(x) else x


def plain_conv(conv, h, e, u, v):
    """Edge-gated graph convolution with five linear layers; u sends along the edge to v."""
    weights, biases = conv.nodes.weight.chunk(4), conv.nodes.bias.chunk(4)
    A, B, D, E = (h @ w.T + b for w, b in zip(weights, biases, strict=True))
    C = e @ conv.edges.weight.T + conv.edges.bias
    m = A[u] + B[v] + C
    gate = torch.sigmoid(m)
    total = torch.zeros_like(h).index_add(0, v, gate * E[u])
    weight = torch.zeros_like(h).index_add(0, v, gate)
    h = h + plain_norm(conv.node_norm, D + total / (weight + 1e-6))
    return h, e + plain_norm(conv.edge_norm, m)


def plain(module, graph):
    """The whole network."""
    x = graph.occupancies @ module.elements.weight
    x = plain_norm(module.atoms.norm, module.atoms.linear(x))
    centers = torch.linspace(0, 8, 80, dtype=torch.float64)
    y = torch.exp(-79 / 8 * (graph.distances[:, None] - centers) ** 2)
    for layer in module.bonds:
        y = plain_norm(layer.norm, layer.linear(y))
    centers = torch.linspace(-1, 1, 40, dtype=torch.float64)
    z = torch.exp(-39 / 2 * (graph.cosines[:, None] - centers) ** 2)
    for layer in module.angles if len(module.angle_convs) else ():
        z = plain_norm(layer.norm, layer.linear(z))
    for bond_conv, angle_conv in itertools.zip_longest(module.bond_convs, module.angle_convs):
        x, y = plain_conv(bond_conv, x, y, graph.neighbors, graph.centers)
        if angle_conv is not None:
            y, z = plain_conv(angle_conv, y, z, graph.others, graph.edges)
    pooled = [x[graph.crystal == i].mean(0) for i in range(graph.n_crystals)]
    return module.head(torch.stack(pooled))


# Bonds after the last convolution of SMALL, and angles after their last, are read by nobody.
UNREAD = ("bond_convs.3.edge_norm", "angle_convs.1.edge_norm")


def count_bonds(batch):
    return batch.edge_counts * batch.site_counts[batch.centers]


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_parity_with_the_equations(pack, sample, lone, alloy, full_graph, training):
    """Merged sites, bonds and angles give what all give; so do gradients and statistics."""
    structures = [*sample[:40], alloy, lone]
    spec, ours = build()
    batch, graph = pack(structures, spec), full_graph(structures, 8.0, 12)
    n_bonds = count_bonds(batch)
    assert batch.site_counts.sum() == len(graph.crystal)
    assert n_bonds.sum() == len(graph.centers)
    assert (batch.angle_counts * n_bonds[batch.edges]).sum() == len(graph.edges)
    assert len(batch.edges) < len(graph.edges) / 2

    ours.train(training)
    theirs = copy.deepcopy(ours)
    got, expected = ours(batch), plain(theirs, graph)
    assert expected.std(0).min() > 1e-2
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)

    weights = torch.randn_like(got)
    (got * weights).sum().backward()
    (expected * weights).sum().backward()
    for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        if a.grad is None:
            assert b.grad is None, name
            assert name.startswith(UNREAD), name
            continue
        tolerance = 1e-5 * max(b.grad.abs().max().item(), 1e-6)
        torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=tolerance, msg=name)
    for (name, a), b in zip(ours.named_buffers(), theirs.buffers(), strict=True):
        if not name.startswith(UNREAD):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6, msg=name)


def shaken(structure, seed):
    """Break all symmetries, so that no two neighbours are equally far, but at +image and -image."""
    shifts = np.random.default_rng(seed).normal(0, 0.02, (len(structure), 3))
    return Structure(structure.lattice, structure.species, structure.frac_coords + shifts)


@pytest.mark.parametrize(
    "options",
    [
        {"whole_shell": False, "max_neighbors": 6},
        {"n_alignn": 0},
        {"n_gcn": 0},
        {"n_alignn": 0, "n_gcn": 0},
        {"cutoff": 4.0, "max_neighbors": 5},
    ],
    ids=str,
)
def test_parity_with_other_settings(pack, sample, full_graph, options):
    spec, module = build(**options)
    structures = [shaken(s, i) for i, s in enumerate(sample) if len(s) > 6][:8]
    graph = full_graph(structures, spec.cutoff, spec.max_neighbors)
    batch = pack(structures, spec)
    assert count_bonds(batch).sum() == len(graph.centers)  # no shell was cut
    torch.testing.assert_close(module(batch), plain(module, graph), rtol=1e-5, atol=1e-5)


def test_cut_shells_are_fewer_bonds(pack, sample):
    spec, module = build(whole_shell=False)
    cut, whole = pack(sample[:20], spec), pack(sample[:20], build()[0])
    assert count_bonds(cut).sum() < count_bonds(whole).sum()
    assert module(cut).isfinite().all()


# -- layers ----------------------------------------------------------------------------------------


def test_convolution_of_nothing_is_the_identity(pack, sample):
    batch = pack(sample[:3], ALIGNN())
    conv = GatedConv(6).double().eval()
    for layer in (conv.nodes, conv.edges):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    h = torch.randn(len(batch.numbers), 6, dtype=torch.float64)
    e = torch.randn(len(batch.centers), 6, dtype=torch.float64)
    new_h, new_e = conv(h, e, batch.bonds, batch.site_counts, batch.edge_counts)
    assert torch.equal(new_h, h)
    assert torch.equal(new_e, e)


# -- batches, lone atoms ---------------------------------------------------------------------------


@pytest.fixture
def one_atom():
    return Structure(Lattice([[0, 2, 2], [2, 0, 2], [2, 2, 0]]), ["Cu"], [[0.3, 0.1, 0.2]])


def test_batches_equal_singles(pack, sample, lone, one_atom):
    structures = [sample[0], lone, sample[1], one_atom]
    spec, module = build()
    module.eval()
    together = module(pack(structures, spec))
    for structure, row in zip(structures, together, strict=True):
        alone = module(pack([structure], spec))[0]
        torch.testing.assert_close(alone, row, rtol=1e-12, atol=1e-12)
    pair = module(pack(structures[:2], spec))
    torch.testing.assert_close(pair, together[:2], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("which", ["one lone", "lone", "one atom", "mixed"])
@pytest.mark.parametrize("n_alignn", [0, 2])
def test_few_or_no_neighbours(pack, sample, lone, one_atom, which, training, n_alignn):
    structures = {
        "one lone": [lone],
        "lone": [lone, Structure(lone.lattice, ["Xe"], lone.frac_coords)],
        "one atom": [one_atom],
        "mixed": [lone, sample[0], one_atom, lone],
    }[which]
    spec, module = build(n_alignn=n_alignn)
    module.train(training)
    batch = pack(structures, spec)
    assert (len(batch.centers) == 0) == ("lone" in which)
    out = module(batch)
    assert out.shape == (len(structures), 2)
    assert out.isfinite().all()
    out.sum().backward()
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    assert all(g.isfinite().all() for g in gradients)
    assert module.atoms.norm.bias.grad.abs().sum() > 0
    assert all(b.isfinite().all() for b in module.buffers())
    if which == "lone":
        assert (out[0] - out[1]).abs().max() > 1e-3  # the element decides


def test_parts_are_drawn_alike_from_a_seed():
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(
            ALIGNN(**SMALL).build(ElementEmbedding(torch.zeros(118, 3), False), 1).state_dict()
        )
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])
    assert not torch.equal(states[0]["head.weight"], states[2]["head.weight"])


@pytest.mark.parametrize(
    ("name", "least"),
    [("hidden_dim", 1), ("expansion_dim", 1), ("max_neighbors", 1), ("n_alignn", 0), ("n_gcn", 0)],
)
def test_refuses_what_makes_no_sense(name, least):
    for value in (least - 1, 1.5, True, None):
        with pytest.raises(ValueError, match=f"{name} must be an integer, at least {least}"):
            ALIGNN(**{name: value}).check()
    ALIGNN(**{name: np.int64(least)}).check()


def test_refuses_an_impossible_cutoff():
    with pytest.raises(ValueError, match=r"cutoff must be a number of Å, at least 0\.5; got inf"):
        ALIGNN(cutoff=float("inf")).check()


def test_what_the_gaussians_do_not_see_is_refused():
    ALIGNN(cutoff=8.0).check()
    with pytest.raises(ValueError, match=r"cutoff must be at most 8\.0 Å"):
        ALIGNN(cutoff=8.1).check()


# -- angles on a grid ------------------------------------------------------------------------------


def test_vectors_of_many_angles_are_those_of_each(pack, sample):
    """In single precision, a grid of cosines gives the outputs, gradients and statistics."""
    batch = pack(sample, ALIGNN(), torch.float32)
    results = []
    for on_grid in (True, False):
        torch.manual_seed(0)
        spec = ALIGNN(hidden_dim=16, n_alignn=2, n_gcn=1)
        module = spec.build(ElementEmbedding(torch.randn(118, 7), False), 2)
        assert len(batch.cosines) > 4 * len(module.grid)
        if not on_grid:
            embed = module._embed_angles
            module.angle_vectors = embed  # one after the other
        out = module(batch)
        out.square().mean().backward()
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        results.append([out, *gradients, *module.state_dict().values()])
        module.eval()
        results[-1].append(module(batch))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_the_grid_is_not_saved():
    spec = ALIGNN(hidden_dim=8, n_alignn=1, n_gcn=1)
    assert "grid" not in spec.build(ElementEmbedding(torch.randn(118, 7), False), 1).state_dict()


@pytest.mark.parametrize("n_different", [1, 2, 3, 5, 20])
@pytest.mark.parametrize("training", [True, False])
def test_few_different_angles(n_different, training):
    """A norm over few different cosines is steep, too steep for the grid."""
    cosines = torch.linspace(-0.9, 0.77, n_different)[torch.arange(3000) % n_different]
    counts = torch.rand(3000) + 1
    for seed in range(5):
        torch.manual_seed(seed)
        spec = ALIGNN(hidden_dim=16, n_alignn=1, n_gcn=1)
        module = spec.build(ElementEmbedding(torch.randn(118, 7), False), 2).train(training)
        if not training:
            module.angles[0].norm.running_var.fill_(1e-6)
        other = copy.deepcopy(module)
        got, expected = module.angle_vectors(cosines, counts), other._embed_angles(cosines, counts)
        if isinstance(got, Tabulated):
            got = interpolate(*got)
        torch.testing.assert_close(got, expected, rtol=0, atol=2e-4)
        for a, b in zip(module.state_dict().values(), other.state_dict().values(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
