"""MEGNet against the paper's equations on whole graphs, its numbers, and crystals without bonds."""

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure
from torch import nn

from skuae.crystals import as_crystals
from skuae.models import ElementEmbedding, MEGNet
from skuae.models._layers import GaussianBasis
from skuae.models._megnet import MLP, Set2Set, activate

SMALL = {"hidden_dim": 16, "block_dim": 8}


def n_parameters(module):
    return sum(p.numel() for p in module.parameters())


# -- numbers that the paper and its code fix -------------------------------------------------------


def test_number_of_parameters_of_matgl():
    """189,521 there, with a table of 89 elements; ours has 118."""
    table = torch.zeros(118, 16)
    assert (
        n_parameters(MEGNet().build(ElementEmbedding(table, False), 1))
        == 189_521 + 29 * 16
        == 189_985
    )
    assert n_parameters(MEGNet().build(ElementEmbedding(table, True), 1)) == 189_521 - 89 * 16


def test_number_of_parameters_of_other_settings():
    def mlp(*widths):
        return sum(a * b + b for a, b in itertools.pairwise(widths))

    spec = MEGNet(n_blocks=2, hidden_dim=10, block_dim=6, set2set_steps=5, cutoff=5.0)
    expected = mlp(7, 10, 6) + mlp(100, 10, 6) + mlp(2, 10, 6)
    expected += 2 * (mlp(24, 10, 10, 6) + 2 * mlp(18, 10, 10, 6)) + 3 * mlp(6, 10, 6)
    expected += 2 * (4 * 6 * (12 + 6) + 2 * 4 * 6)
    expected += mlp(30, 32, 16, 4)
    assert n_parameters(spec.build(ElementEmbedding(torch.zeros(118, 7), True), 4)) == expected


def test_activation():
    x = torch.tensor([0.0, 1.0, -3.0, 200.0], dtype=torch.float64)
    assert activate(x).tolist() == pytest.approx(
        [0, 0.620115, math.log((1 + math.exp(-3)) / 2), 200 - math.log(2)], abs=1e-6
    )


def test_gaussians():
    basis = MEGNet().build(ElementEmbedding(torch.zeros(118, 16), False), 1).basis
    assert len(basis) == 100
    values = basis(torch.tensor([2.0, 0.0, 5.0]))
    assert values[0, 39].item() == pytest.approx(0.996334, abs=1e-6)
    assert values[0, 40].item() == pytest.approx(0.998369, abs=1e-6)
    assert values[1, 0].item() == values[2, 99].item() == 1.0


def test_graph_is_all_within_the_cutoff(sample):
    crystals = as_crystals(sample[:4])
    assert MEGNet().inputs(crystals).graphs is crystals.reduced_graph(4.0)
    nearest = MEGNet(cutoff=6.0, max_neighbors=3).inputs(crystals).graphs
    assert nearest is crystals.reduced_graph(6.0, 3, whole_shell=True)


def test_element_vectors_start_at_random_and_are_learned():
    assert (MEGNet.native_table, MEGNet.native_frozen) == ("random16", False)


# -- parity with the equations, on graphs with every site and bond ---------------------------------


def plain_mlp(layers, x):
    for layer in layers:
        x = torch.log((1 + torch.exp(layer(x))) / 2)
    return x


def plain_mean(x):
    return x.mean(0) if len(x) else x.new_zeros(x.shape[1])


def plain_block(block, v, e, u, graph):
    """Update bonds, then atoms, then crystals, one after the other, by concatenation."""
    skip = v, e, u
    if block.dense is not None:
        v, e, u = (plain_mlp(m, x) for m, x in zip(block.dense, (v, e, u), strict=True))
    of_bond = graph.crystal[graph.centers]
    e = plain_mlp(block.phi_e, torch.cat([v[graph.centers], v[graph.neighbors], e, u[of_bond]], 1))
    around = torch.stack([plain_mean(e[graph.centers == i]) for i in range(len(v))])
    v = plain_mlp(block.phi_v, torch.cat([around, v, u[graph.crystal]], dim=1))
    rows = [
        torch.cat([plain_mean(e[of_bond == i]), v[graph.crystal == i].mean(0), u[i]])
        for i in range(graph.n_crystals)
    ]
    u = plain_mlp(block.phi_u, torch.stack(rows))
    return tuple(a + b for a, b in zip(skip, (v, e, u), strict=True))


def plain_set2set(reader, x):
    """Read one set of vectors x (n, d): (2d,)."""
    d = x.shape[1]
    query, cell, read = x.new_zeros(1, d), x.new_zeros(1, d), x.new_zeros(1, 2 * d)
    for _ in range(reader.steps):
        query, cell = reader.lstm(read, (query, cell))
        attention = torch.softmax(x @ query[0], dim=0)
        read = torch.cat([query, (attention @ x)[None]], dim=1)
    return read[0]


def plain(module, graph):
    """The whole network."""
    v = plain_mlp(module.atoms, graph.occupancies @ module.elements.weight)
    centers = torch.linspace(0, 5, 100, dtype=torch.float64)
    e = torch.exp(-(((graph.distances[:, None] - centers) / 0.5) ** 2))
    e = plain_mlp(module.bonds, e)
    u = plain_mlp(module.state, torch.zeros(graph.n_crystals, 2, dtype=torch.float64))
    for block in module.blocks:
        v, e, u = plain_block(block, v, e, u, graph)
    of_bond = graph.crystal[graph.centers]
    rows = [
        torch.cat(
            [
                plain_set2set(module.read_atoms, v[graph.crystal == i]),
                plain_set2set(module.read_bonds, e[of_bond == i]),
                u[i],
            ]
        )
        for i in range(graph.n_crystals)
    ]
    return module.head(plain_mlp(module.hidden, torch.stack(rows)))


def build(n_outputs=2, **options):
    """A network in float64 that tells crystals apart: as torch draws it, all outputs are alike."""
    module = (
        MEGNet(**{**SMALL, **options})
        .build(ElementEmbedding(torch.randn(118, 6), False), n_outputs)
        .double()
    )
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name != "elements.weight":
                parameter.mul_(1.7)
    return module


def test_parity_with_the_equations(pack, sample, lone, alloy, full_graph):
    """Merged sites and bonds give what all give; so do the gradients."""
    structures = [*sample[:40], alloy, lone]
    batch, graph = pack(structures, MEGNet()), full_graph(structures, 4.0)
    assert batch.site_counts.sum() == len(graph.crystal)
    assert (batch.edge_counts * batch.site_counts[batch.centers]).sum() == len(graph.centers)
    assert len(batch.centers) < len(graph.centers) / 2
    ours = build()
    theirs = copy.deepcopy(ours)
    got, expected = ours(batch), plain(theirs, graph)
    assert expected.std(0).min() > 1e-2
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-6)

    weights = torch.randn_like(got)
    (got * weights).sum().backward()
    (expected * weights).sum().backward()
    for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        scale = b.grad.abs().max()
        assert scale > 0 or name == "state.0.weight"  # the state starts from zeros
        torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=1e-6 * scale.item(), msg=name)


def test_parity_with_other_settings(pack, sample, full_graph):
    options = {"n_blocks": 1, "set2set_steps": 4, "max_neighbors": 5, "cutoff": 4.0}
    module = build(**options)
    batch = pack(sample[:10], MEGNet(**options))
    torch.testing.assert_close(
        module(batch), plain(module, full_graph(sample[:10], 4.0, 5)), rtol=1e-6, atol=1e-6
    )


def test_training_changes_nothing_but_gradients(pack, sample):
    """There is neither dropout nor a norm over the batch."""
    module, batch = build(), pack(sample[:5], MEGNet())
    assert torch.equal(module.train()(batch), module.eval()(batch))


# -- read-out --------------------------------------------------------------------------------------


def read(reader, sets, counts=None):
    crystal = torch.repeat_interleave(torch.tensor([len(x) for x in sets]))
    x = torch.cat(sets)
    counts = torch.ones(len(x), dtype=x.dtype) if counts is None else torch.cat(counts)
    return reader(x, crystal, counts, len(sets))


def test_set2set_does_not_depend_on_order():
    reader = Set2Set(5, 3).double()
    sets = [torch.randn(n, 5, dtype=torch.float64) for n in (4, 1, 7)]
    expected = read(reader, sets)
    assert expected.shape == (3, 10)
    torch.testing.assert_close(read(reader, [x.flip(0) for x in sets]), expected)
    torch.testing.assert_close(read(reader, sets[::-1]).flip(0), expected)
    for x, row in zip(sets, expected, strict=True):
        torch.testing.assert_close(read(reader, [x])[0], row)
        torch.testing.assert_close(plain_set2set(reader, x), row)


def test_set2set_counts_members():
    reader = Set2Set(5, 2).double()
    sets = [torch.randn(n, 5, dtype=torch.float64) for n in (3, 2)]
    counts = [torch.tensor([2, 1, 5]), torch.tensor([1, 3])]
    repeated = [x.repeat_interleave(n, dim=0) for x, n in zip(sets, counts, strict=True)]
    torch.testing.assert_close(
        read(reader, sets, [n.double() for n in counts]), read(reader, repeated)
    )


def test_set2set_of_large_scores_and_of_nothing():
    reader = Set2Set(2, 2).double()
    large = torch.tensor([[1e6, -1e6], [2e6, 3e6]], dtype=torch.float64, requires_grad=True)
    empty = torch.zeros(0, 2, dtype=torch.float64)
    out = read(reader, [empty, large, empty])
    assert out.isfinite().all()
    assert not out[[0, 2], 2:].any()
    out.sum().backward()
    assert large.grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in reader.parameters())


def test_gradient_of_set2set():
    reader = Set2Set(3, 2).double()
    crystal, counts = torch.tensor([0, 0, 1, 3]), torch.tensor([1.0, 4.0, 2.0, 1.0]).double()
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: reader(x, crystal, counts, 4), (x,))


# -- batches, lone atoms ---------------------------------------------------------------------------


@pytest.fixture
def one_atom():
    return Structure(Lattice([[0, 2, 2], [2, 0, 2], [2, 2, 0]]), ["Cu"], [[0.3, 0.1, 0.2]])


def test_batches_equal_singles(pack, sample, lone, one_atom):
    structures = [sample[0], lone, sample[1], one_atom]
    module = build().eval()
    together = module(pack(structures, MEGNet()))
    for structure, row in zip(structures, together, strict=True):
        torch.testing.assert_close(
            module(pack([structure], MEGNet()))[0], row, rtol=1e-12, atol=1e-12
        )
    pair = module(pack(structures[:2], MEGNet()))
    torch.testing.assert_close(pair, together[:2], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("which", ["lone", "one atom", "mixed"])
def test_few_or_no_neighbours(pack, sample, lone, one_atom, which, training):
    structures = {
        "lone": [lone, lone],
        "one atom": [one_atom],
        "mixed": [lone, sample[0], one_atom, lone],
    }[which]
    module, batch = build().train(training), pack(structures, MEGNet())
    assert (len(batch.centers) == 0) == (which == "lone")
    out = module(batch)
    assert out.shape == (len(structures), 2)
    assert out.isfinite().all()
    out.sum().backward()
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    assert all(g.isfinite().all() for g in gradients)
    assert module.atoms[0].weight.grad.abs().sum() > 0


def test_state_tells_lone_atoms_apart(pack, lone):
    """Without bonds, the element decides."""
    other = Structure(lone.lattice, ["Xe"], lone.frac_coords)
    out = build()(pack([lone, other, lone], MEGNet()))
    torch.testing.assert_close(out[0], out[2])
    assert (out[0] - out[1]).abs().max() > 1e-3


def test_parts_are_drawn_alike_from_a_seed():
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(MEGNet().build(ElementEmbedding(torch.zeros(118, 3), False), 1).state_dict())
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])
    assert not torch.equal(states[0]["head.weight"], states[2]["head.weight"])


@pytest.mark.parametrize("name", ["n_blocks", "hidden_dim", "block_dim", "set2set_steps"])
def test_refuses_what_makes_no_sense(name):
    for value in (0, 1.5, True):
        with pytest.raises(ValueError, match=f"{name} must be an integer, at least 1"):
            MEGNet(**{name: value}).check()
    MEGNet(**{name: np.int64(3)}).check()


def test_refuses_impossible_neighbourhoods():
    with pytest.raises(ValueError, match="max_neighbors must be an integer, at least 1; got 0"):
        MEGNet(max_neighbors=0).check()
    with pytest.raises(ValueError, match=r"cutoff must be a number of Å, at least 0\.5; got 0\.1"):
        MEGNet(cutoff=0.1).check()
    MEGNet(max_neighbors=None).check()


def test_layers_end_in_the_activation():
    layers = MLP(3, 4, 2).double()
    x = torch.randn(5, 3, dtype=torch.float64)
    torch.testing.assert_close(layers(x), plain_mlp(layers, x))
    assert isinstance(layers, nn.ModuleList)
    assert isinstance(
        MEGNet().build(ElementEmbedding(torch.zeros(118, 2), True), 1).basis, GaussianBasis
    )
