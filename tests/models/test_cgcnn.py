"""CGCNN against the published layer, its numbers of parameters, and what it must not depend on."""

import math

import numpy as np
import pytest
import torch
from pymatgen.core import Structure
from pymatgen.core.operations import SymmOp
from scipy.spatial.transform import Rotation
from torch import nn
from torch.nn import functional as F

from skuae.crystals import PackedTensors, as_crystals
from skuae.embedding import get_table
from skuae.models import (
    ALIGNN,
    BACKBONES,
    CGCNN,
    ElementEmbedding,
    MEGNet,
    resolve_backbone,
)
from skuae.models._cgcnn import CGConv


def n_parameters(module):
    return sum(p.numel() for p in module.parameters())


# -- numbers that the paper and its code fix -------------------------------------------------------


def test_number_of_parameters_of_the_paper():
    table = torch.tensor(np.nan_to_num(get_table("cgcnn").values))
    assert table.shape == (118, 92)
    assert n_parameters(CGCNN().build(ElementEmbedding(table, True), 1)) == 80_833


def test_number_of_parameters_with_one_hot_and_width_128():
    one_hot = torch.eye(118, 100)
    assert n_parameters(CGCNN(atom_dim=128).build(ElementEmbedding(one_hot, True), 1)) == 260_737


def test_number_of_parameters_of_other_settings():
    table = torch.zeros(118, 10)
    spec = CGCNN(atom_dim=8, n_conv=2, hidden_dim=16, n_hidden=3, cutoff=6.0)
    conv = (2 * 8 + 31) * 16 + 16 + 2 * 16 + 2 * 8
    head = (8 * 16 + 16) + 2 * (16 * 16 + 16) + (16 * 4 + 4)
    expected = (10 * 8 + 8) + 2 * conv + head
    assert n_parameters(spec.build(ElementEmbedding(table, True), 4)) == expected
    assert n_parameters(spec.build(ElementEmbedding(table, False), 4)) == expected + 118 * 10


def test_convolution_of_nothing(pack, sample):
    """Zero weights, twelve neighbours: 12 sigmoid(0) softplus(0), then two norms and softplus."""
    batch = pack(sample[:3], CGCNN())
    conv = CGConv(64, 41).double().eval()
    nn.init.zeros_(conv.linear.weight)
    nn.init.zeros_(conv.linear.bias)
    v = torch.zeros(len(batch.numbers), 64, dtype=torch.float64)
    u = torch.zeros(len(batch.centers), 41, dtype=torch.float64)
    assert math.isclose(12 * 0.5 * math.log(2), 4.158883, abs_tol=1e-6)
    out = conv(v, u, batch.bonds)
    torch.testing.assert_close(out, torch.full_like(out, 4.174366), rtol=0, atol=1e-6)


# -- parity with the published layer ---------------------------------------------------------------


class PlainConv(nn.Module):
    """The published layer: concatenate, one linear layer, norm over edges, gate, sum, norm."""

    def __init__(self, ours):
        super().__init__()
        self.linear = nn.Linear(ours.linear.in_features, ours.linear.out_features)
        self.edge_norm = nn.BatchNorm1d(ours.edge_norm.num_features)
        self.site_norm = nn.BatchNorm1d(ours.site_norm.num_features)
        self.to(ours.linear.weight.dtype).load_state_dict(ours.state_dict())

    def forward(self, v, u, bonds, n_sites=None, n_bonds=None):
        z = torch.cat([v[bonds.centers], v[bonds.neighbors], u], dim=1)
        gate, core = self.edge_norm(self.linear(z)).chunk(2, dim=1)
        messages = torch.sigmoid(gate) * F.softplus(core)
        total = torch.zeros_like(v).index_add(0, bonds.centers, messages)
        return F.softplus(v + self.site_norm(total))


def plain(module, spec):
    """The whole network with plain layers, on the same weights."""
    copy = spec.build(
        ElementEmbedding(module.elements.weight.detach(), False), module.head.out_features
    )
    copy = copy.to(module.head.weight.dtype)
    copy.load_state_dict(module.state_dict())
    copy.convs = nn.ModuleList(PlainConv(conv) for conv in module.convs)
    return copy


@pytest.fixture(params=["12 neighbours", "all neighbours", "with lone atoms"])
def crystals(request, sample, lone, alloy):
    """A specification and crystals, of fixed and of varying degree."""
    if request.param == "12 neighbours":
        return CGCNN(atom_dim=16), [*sample[:8], alloy]
    if request.param == "all neighbours":
        return CGCNN(atom_dim=16, cutoff=4.0, max_neighbors=None), sample[:8]
    return CGCNN(atom_dim=16), [lone, *sample[:8], lone]


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)], ids=str
)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_parity_with_the_plain_layer(pack, crystals, dtype, tolerance, training):
    spec, structures = crystals
    batch = pack(structures, spec, dtype, merge=False)
    ours = CGConv(16, 41).to(dtype)
    with torch.no_grad():  # statistics and norms that are not those of a fresh layer
        for norm in (ours.edge_norm, ours.site_norm):
            for value in (norm.weight, norm.bias, norm.running_mean):
                value.normal_()
            norm.running_var.uniform_(0.5, 2)
    theirs = PlainConv(ours)
    ours.train(training)
    theirs.train(training)
    v = torch.randn(len(batch.numbers), 16, dtype=dtype)
    u = torch.rand(len(batch.centers), 41, dtype=dtype)
    inputs = [(v.clone().requires_grad_(), u.clone().requires_grad_()) for _ in range(2)]
    outputs = [layer(*x, batch.bonds) for layer, x in zip((ours, theirs), inputs, strict=True)]
    torch.testing.assert_close(*outputs, rtol=tolerance, atol=tolerance)

    weights = torch.randn_like(v) / len(v) ** 0.5
    gradients = [
        torch.autograd.grad((out * weights).sum(), [*x, *layer.parameters()])
        for out, x, layer in zip(outputs, inputs, (ours, theirs), strict=True)
    ]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=10 * tolerance, atol=10 * tolerance)
    for name in ("edge_norm", "site_norm"):
        for statistic in ("running_mean", "running_var"):
            a, b = (getattr(getattr(layer, name), statistic) for layer in (ours, theirs))
            torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def test_parity_of_a_training_run(pack, crystals):
    """Ten steps of the whole network stay together with those of the plain one."""
    spec, structures = crystals
    batch = pack(structures, spec, merge=False)
    ours = spec.build(ElementEmbedding(torch.randn(118, 7), False), 2).double()
    theirs = plain(ours, spec)
    theirs.basis.n_reached = lambda distances: len(theirs.basis)  # it takes all or nothing
    target = torch.randn(len(structures), 2, dtype=torch.float64)
    losses = []
    for module in (ours, theirs):
        optimizer = torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9)
        losses.append([])
        for _ in range(10):
            optimizer.zero_grad()
            loss = (module(batch) - target).square().mean()
            loss.backward()
            optimizer.step()
            losses[-1].append(loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-8)
    assert losses[0][-1] < losses[0][0]
    for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-8, msg=name)
    for module in (ours, theirs):
        module.eval()
    torch.testing.assert_close(ours(batch), theirs(batch), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("whole_shell", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-5)])
def test_merged_graphs_change_nothing(
    pack, sample, lone, alloy, dtype, tolerance, whole_shell, training
):
    """Outputs, gradients and running statistics are those of the whole graphs."""
    spec = CGCNN(atom_dim=16, whole_shell=whole_shell)
    crystals = as_crystals([*sample, alloy * (2, 1, 1), lone])
    torch.manual_seed(0)
    table, results = torch.randn(118, 7), []
    target = torch.randn(len(crystals), 2, dtype=dtype)
    for merge in (True, False):
        torch.manual_seed(1)
        module = spec.build(ElementEmbedding(table, False), 2).to(dtype).train(training)
        batch = pack(crystals, spec, dtype, merge=merge)
        out = module(batch)
        (out - target).square().mean().backward()
        assert (batch.edge_counts is not None) == merge
        results.append([out, *(p.grad for p in module.parameters()), *module.buffers()])
    assert len(results[0][0]) == len(crystals)
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=10 * tolerance, atol=tolerance)


@pytest.mark.parametrize("max_neighbors", [1, 12])
@pytest.mark.parametrize("length", [3.5, 30], ids=["neighbours", "none"])
def test_one_site_alone_trains_merged_or_not(pack, length, max_neighbors):
    """With one neighbour, there is one edge in all: the statistics of one row are unknown."""
    spec = CGCNN(atom_dim=8, max_neighbors=max_neighbors)
    structure = Structure(np.eye(3) * length, ["Po"], [[0, 0, 0]])
    table, results = torch.randn(118, 7), []
    for merge in (True, False):
        torch.manual_seed(1)
        module = spec.build(ElementEmbedding(table, False), 1).double().train()
        buffers = {name: value.clone() for name, value in module.named_buffers()}
        batch = pack([structure], spec, merge=merge)
        out = module(batch)
        out.sum().backward()
        moved = {
            name.split(".")[2]
            for name, value in module.named_buffers()
            if "running" in name and not torch.equal(value, buffers[name])
        }
        assert moved == ({"edge_norm"} if len(batch.distances) and max_neighbors > 1 else set())
        results.append([out, *(p.grad for p in module.parameters()), *module.buffers()])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)
    assert len(out) == 1


def test_network_against_a_plain_one(pack, sample):
    """Everything around the convolutions, written out."""
    spec = CGCNN(atom_dim=8, n_conv=1, hidden_dim=16, n_hidden=2)
    batch = pack(sample[:4], spec, merge=False)
    module = spec.build(ElementEmbedding(torch.randn(118, 5), False), 3).double().eval()
    v = module.elements.weight[batch.numbers - 1] @ module.project.weight.T + module.project.bias
    r = batch.distances[:, None] - torch.arange(41) * 0.2
    v = PlainConv(module.convs[0]).eval()(v, torch.exp(-((r / 0.2) ** 2)), batch.bonds)
    pooled = torch.stack([part.mean(0) for part in v.split(batch.sizes.tolist())])
    h = F.softplus(pooled)
    for layer in module.hidden:
        h = F.softplus(h @ layer.weight.T + layer.bias)
    torch.testing.assert_close(
        module(batch), h @ module.head.weight.T + module.head.bias, rtol=1e-6, atol=1e-6
    )


def test_lone_atoms_alone(pack, lone):
    """A batch in which nobody has a neighbour trains and predicts."""
    spec = CGCNN(atom_dim=8)
    batch = pack([lone, lone, lone], spec)
    module = spec.build(ElementEmbedding(torch.randn(118, 5), False), 1).double()
    module(batch).sum().backward()
    assert module.project.weight.grad.isfinite().all()
    out = module.eval()(batch)
    assert out.isfinite().all()
    torch.testing.assert_close(pack_and_run(module, pack, [lone], spec), out[:1])
    for value in module.state_dict().values():
        assert value.isfinite().all()


# -- what predictions must not depend on; more in test_invariance.py -------------------------------


def pack_and_run(module, pack, structures, spec):
    with torch.no_grad():
        return module(pack(structures, spec))


@pytest.fixture(scope="module")
def network():
    """A network in float64 whose predictions differ much between crystals."""
    spec = CGCNN(atom_dim=16, whole_shell=True)
    torch.manual_seed(0)
    module = spec.build(ElementEmbedding(torch.randn(118, 12), False), 2).double()
    return spec, module


@pytest.fixture(scope="module")
def predict(network, sample):
    spec, module = network
    crystals = as_crystals(sample)
    packed = PackedTensors(crystals, spec.inputs(crystals).graphs, dtype=torch.float64)
    with torch.no_grad():
        module.train()
        for _ in range(30):
            module(packed.batch(np.arange(len(sample))))  # statistics of real crystals
        module.eval()

    def run(structures):
        crystals = as_crystals(structures)
        packed = PackedTensors(crystals, spec.inputs(crystals).graphs, dtype=torch.float64)
        with torch.no_grad():
            return module(packed.batch(np.arange(len(crystals)))).numpy()

    spread = run(sample).std(axis=0)
    assert (spread > 0.01).all()
    return lambda structures: run(structures) / spread


def rotated(structure, seed):
    matrix = Rotation.random(random_state=seed).as_matrix()
    operation = SymmOp.from_rotation_and_translation(matrix)
    return structure.copy().apply_operation(operation)


def translated(structure, seed):
    shift = np.random.default_rng(seed).uniform(-3, 3, 3)
    return Structure(structure.lattice, structure.species, structure.frac_coords + shift)


def test_published_graph_is_invariant_where_no_shell_is_cut(pack, sample, network, shuffle_sites):
    """Without ties, twelve neighbours are the same twelve."""
    spec = CGCNN(atom_dim=16)
    module = network[1].eval()
    rng = np.random.default_rng(0)
    shaken = [
        Structure(s.lattice, s.species, s.frac_coords + rng.normal(0, 0.01, s.frac_coords.shape))
        for s in sample[:20]
        if len(s) > 2
    ]
    # inversion twins of a pair of sites are equal only where both ends are sites of their own
    cells = [s for s in shaken if gap_after(s, 12) > 1e-4]
    assert len(cells) >= 3
    expected = pack_and_run(module, pack, cells, spec)
    for change in (shuffle_sites, rotated, translated, lambda s, i: s * (2, 1, 1)):
        got = pack_and_run(module, pack, [change(s, i) for i, s in enumerate(cells)], spec)
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)


def gap_after(structure, k):
    """Smallest distance between the k-th and the next shell of any site, in Å."""
    distances = [np.sort([n.nn_distance for n in ns]) for ns in structure.get_all_neighbors(8.0)]
    return min(d[k] - d[k - 1] if len(d) > k else np.inf for d in distances)


# -- disordered crystals ---------------------------------------------------------------------------


def test_shared_sites_have_vectors_weighted_by_occupancy(pack, network, alloy):
    """A mixture behaves as one element would that has the mixture's vector."""
    spec, module = network
    module.eval()
    weight = module.elements.weight
    mixtures = {112: {29: 0.75, 79: 0.25}, 113: {29: 0.5}, 114: {46: 0.2, 78: 0.3, 47: 0.4}}
    before = weight.detach().clone()
    with torch.no_grad():
        for z, parts in mixtures.items():
            weight[z - 1] = sum(x * before[e - 1] for e, x in parts.items())
    ordered = Structure(alloy.lattice, [112, 113, 79, 114], alloy.frac_coords)
    # a tie between neighbours is broken by element; whole shells have none
    got, expected = (pack_and_run(module, pack, [s], spec) for s in (alloy, ordered))
    with torch.no_grad():
        weight.copy_(before)
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-12)


def test_disordered_predictions_do_not_depend_on_order(predict, alloy, shuffle_sites):
    turned = Structure(
        alloy.lattice,
        [dict(reversed(list(site.species.items()))) for site in alloy],
        alloy.frac_coords,
    )
    expected = predict([alloy])
    for changed in (shuffle_sites(alloy, 1), turned, alloy * (2, 1, 1)):
        np.testing.assert_allclose(predict([changed]), expected, atol=1e-5)
    half = alloy.copy()
    half.replace(0, {"Cu": 0.5, "Au": 0.5})
    assert abs(predict([half]) - expected).max() > 1e-4


# -- specifications --------------------------------------------------------------------------------


def test_backbone_by_name_or_specification():
    assert {"alignn": ALIGNN, "cgcnn": CGCNN, "megnet": MEGNet}.items() <= BACKBONES.items()
    for name, kind in BACKBONES.items():
        assert type(resolve_backbone(name)) is kind
    spec = CGCNN(n_conv=5)
    copy = resolve_backbone(spec)
    assert copy is not spec
    assert copy.get_params() == spec.get_params()
    known = ", ".join(BACKBONES)
    with pytest.raises(ValueError, match=f"there is no backbone 'algn'; known are {known}"):
        resolve_backbone("algn")
    for bad in (CGCNN, nn.Linear(2, 2), None):
        with pytest.raises(TypeError, match=rf"backbone must be a name \({known}\) or an object"):
            resolve_backbone(bad)


def test_specification_asks_for_its_graph(sample):
    crystals = as_crystals(sample[:3])
    spec = CGCNN(cutoff=5.0, max_neighbors=4, whole_shell=True)
    assert spec.inputs(crystals, merge=False).graphs is crystals.graph(5.0, 4, True)
    assert spec.inputs(crystals).graphs is crystals.merged_graph(5.0, 4, True)
    published = CGCNN().inputs(crystals).graphs
    assert (published.cutoff, published.max_neighbors, published.whole_shell) == (8.0, 12, False)


def test_weights_follow_from_the_seed(pack, sample):
    tables = torch.randn(118, 5)
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(CGCNN().build(ElementEmbedding(tables, False), 1).state_dict())
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])
    assert not torch.equal(states[0]["head.weight"], states[2]["head.weight"])
