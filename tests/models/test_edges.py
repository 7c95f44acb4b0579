"""The hand-written sums and means over edges against the plain formulas, values and gradients."""

from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from skuae.crystals import Links
from skuae.models._edges import counted_sum, gated_sum, linear_at_edges
from skuae.models._layers import TrackedNorm


def make_links(fixed, n_sites=6, degree=3):
    """Random edges; of two sites without any if the degree is not fixed."""
    generator = torch.Generator().manual_seed(5)
    if fixed:
        degrees = torch.full((n_sites,), degree)
    else:
        degrees = torch.tensor([2, 0, 5, 1, 0, 4])
    centers = torch.repeat_interleave(degrees)
    neighbors = torch.randint(0, n_sites, (len(centers),), generator=generator)
    return Links(centers, neighbors, n_sites, degree if fixed else None)


@pytest.fixture(params=[True, False], ids=["fixed degree", "ragged"])
def links(request):
    return make_links(request.param)


def random(*shape, scale=1.0):
    return (scale * torch.randn(*shape, dtype=torch.float64)).requires_grad_()


def make_norm(width, training, dtype=torch.float64):
    norm = TrackedNorm(width).to(dtype)
    with torch.no_grad():
        norm.weight.copy_(torch.randn(width))  # some negative
        norm.bias.copy_(torch.randn(width))
        norm.running_mean.copy_(torch.randn(width))
        norm.running_var.copy_(torch.rand(width) + 0.5)
    return norm.train(training)


def plain_sum(x, links):
    rows = [x[links.centers == i].sum(0) for i in range(links.n_nodes)]
    return torch.stack(rows)


def plain_gated_sum(s, norm, links):
    gate, core = norm(s).chunk(2, dim=1)
    return plain_sum(torch.sigmoid(gate) * torch.logaddexp(core, torch.zeros_like(core)), links)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sum(links, dtype):
    x = torch.randn(4, len(links.centers), dtype=dtype).t()  # not contiguous
    weights = torch.rand(len(x), dtype=dtype)
    torch.testing.assert_close(links.sum(x.contiguous()), plain_sum(x, links))
    torch.testing.assert_close(links.sum(x, weights), plain_sum(x * weights[:, None], links))
    turned = Links(links.neighbors, links.centers, links.n_nodes)
    torch.testing.assert_close(links.sum_at_neighbors(x), plain_sum(x, turned))


def test_sum_of_no_links():
    empty = torch.empty(0, dtype=torch.int64)
    nothing, x = Links(empty, empty, 3), torch.empty(0, 2)
    for total in (nothing.sum(x), nothing.sum(x, x[:, 0]), nothing.sum_at_neighbors(x)):
        assert total.tolist() == [[0.0, 0.0]] * 3


def test_linear_at_edges(links):
    center, neighbor, edge = random(6, 4), random(6, 4), random(len(links.centers), 5)
    weight = random(4, 5)
    expected = torch.stack(
        [
            center[i] + neighbor[j] + weight @ edge[e]
            for e, (i, j) in enumerate(zip(links.centers, links.neighbors, strict=True))
        ]
    )
    torch.testing.assert_close(linear_at_edges(center, neighbor, edge, weight, links), expected)


def test_gradient_of_linear_at_edges(links):
    inputs = random(6, 4), random(6, 4), random(len(links.centers), 5), random(4, 5)
    assert torch.autograd.gradcheck(lambda *x: linear_at_edges(*x, links), inputs)
    fixed_edges = inputs[2].detach()
    assert torch.autograd.gradcheck(
        lambda c, n, w: linear_at_edges(c, n, fixed_edges, w, links), (*inputs[:2], inputs[3])
    )


def test_one_tensor_at_both_ends(links):
    """Gradients of the two ends add up where they are one tensor."""
    v, edge, weight = random(6, 4), random(len(links.centers), 5), random(4, 5)
    assert torch.autograd.gradcheck(lambda x: linear_at_edges(x, x, edge, weight, links), (v,))


@pytest.mark.parametrize("training", [True, False])
def test_gated_sum(links, training):
    s = random(len(links.centers), 8)
    ours, theirs = make_norm(8, training), make_norm(8, training)
    theirs.load_state_dict(ours.state_dict())
    got, expected = gated_sum(s, ours, links), plain_gated_sum(s, theirs, links)
    torch.testing.assert_close(got, expected, rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, theirs.running_var)

    weights = torch.randn_like(got)
    a = torch.autograd.grad((got * weights).sum(), [s, ours.weight, ours.bias])
    b = torch.autograd.grad((expected * weights).sum(), [s, theirs.weight, theirs.bias])
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("training", [True, False])
def test_gradient_of_gated_sum(links, training):
    norm = make_norm(8, training)
    s = random(len(links.centers), 8)

    def function(s, weight, bias):
        names = ("running_mean", "running_var", "training", "momentum", "eps")
        names += ("num_batches_tracked",)
        other = {name: getattr(norm, name) for name in names}
        return gated_sum(s, SimpleNamespace(weight=weight, bias=bias, **other), links)

    assert torch.autograd.gradcheck(function, (s, norm.weight, norm.bias))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gated_sum_of_very_large_values(links, dtype):
    """Where sigmoid(-c) underflows or is one, softplus(c) is c or nothing; no NaN, no infinity."""
    d, n_edges = 4, len(links.centers)
    norm = torch.nn.BatchNorm1d(2 * d, eps=0.0).to(dtype).eval()
    values = torch.tensor([-1e4, -300, -101, -89, -30, 0, 30, 84, 86, 89, 101, 300, 1e4, 1e37])
    for value in values:
        s = torch.zeros(n_edges, 2 * d, dtype=dtype)
        s[:, d:] = value
        s.requires_grad_()
        got, expected = gated_sum(s, norm, links), plain_gated_sum(s, norm, links)
        torch.testing.assert_close(got, expected, rtol=2e-6, atol=1e-6)
        (a,) = torch.autograd.grad(got.sum(), s)
        (b,) = torch.autograd.grad(expected.sum(), s)
        torch.testing.assert_close(a, b, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("value", [-1e4, -200.0, 200.0, 1e4])
def test_gated_sum_of_very_large_gates(links, value):
    norm = torch.nn.BatchNorm1d(8).eval()
    s = torch.randn(len(links.centers), 8)
    s[:, :4] = value
    s.requires_grad_()
    got, expected = gated_sum(s, norm, links), plain_gated_sum(s, norm, links)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)
    (a,) = torch.autograd.grad(got.sum(), s)
    (b,) = torch.autograd.grad(expected.sum(), s)
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_gated_sum_without_edges(training):
    empty = torch.empty(0, dtype=torch.int64)
    nothing = Links(empty, empty, 6)
    norm = make_norm(8, training, torch.float32)
    before = {k: v.clone() for k, v in norm.state_dict().items()}
    s = torch.empty(0, 8, requires_grad=True)
    out = gated_sum(s, norm, nothing)
    assert out.tolist() == [[0.0] * 4] * 6
    out.sum().backward()
    for name, value in norm.state_dict().items():
        assert torch.equal(value, before[name]), name


# -- links that stand for several ------------------------------------------------------------------


@pytest.fixture(params=["fixed degree", "ragged", "counted"])
def counted(request):
    """Links, of which each may stand for several."""
    links = make_links(request.param == "fixed degree")
    if request.param == "counted":
        counts = torch.randint(1, 5, (len(links.centers),)).double()
        links = Links(links.centers, links.neighbors, links.n_nodes, None, counts)
    return links


@pytest.mark.parametrize("training", [True, False])
def test_gated_sum_of_counted_links(training):
    """As if each link were there as often as it is counted, for a site and for the batch."""
    links, n_sites = make_links(False), torch.tensor([3, 1, 2, 1, 1, 4])
    counts = torch.tensor([2, 1, 1, 3, 1, 2, 1, 1, 1, 4, 1, 2])
    merged = Links(links.centers, links.neighbors, 6, None, counts.double())
    n_edges = counts * n_sites[links.centers]
    rows = torch.repeat_interleave(n_edges)  # a copy of the sites is a site of its own
    copies = torch.cat([torch.arange(n) for n in n_sites])
    firsts = torch.cat([torch.zeros(1, dtype=torch.int64), n_sites.cumsum(0)])
    places = torch.cat([torch.arange(n).repeat_interleave(c) for n, c in
                        zip(n_sites[links.centers], counts, strict=True)])  # fmt: skip
    centers = firsts[links.centers[rows]] + places
    order = torch.argsort(centers, stable=True)
    rows, whole = rows[order], Links(centers[order], centers[order] * 0, len(copies))

    s, ours = random(len(counts), 8), make_norm(8, training)
    norm = TrackedNorm(8).double().train(training)
    norm.load_state_dict(ours.state_dict())
    got = gated_sum(s, norm, merged, n_edges.double())
    expected = plain_gated_sum(s[rows], ours, whole)
    torch.testing.assert_close(got.repeat_interleave(n_sites, 0), expected)
    torch.testing.assert_close(norm.state_dict(), ours.state_dict())

    weights = torch.randn_like(expected)
    total = (got.repeat_interleave(n_sites, 0) * weights).sum()
    a = torch.autograd.grad(total, [s, norm.weight, norm.bias])
    b = torch.autograd.grad((expected * weights).sum(), [s, ours.weight, ours.bias])
    torch.testing.assert_close(a, b)


def test_counted_sum(counted):
    x = random(len(counted.centers), 4)
    counts = torch.ones(len(x)) if counted.counts is None else counted.counts
    expected = plain_sum(x * counts[:, None], counted)
    torch.testing.assert_close(counted_sum(x, counted), expected)
    assert torch.autograd.gradcheck(lambda x: counted_sum(x, counted), (x,))


@pytest.mark.parametrize("counted", [False, True])
def test_gated_sum_of_one_edge(counted):
    """Its variance is unknown; that must not spoil the running statistics."""
    norm = make_norm(4, training=True)
    before = norm.running_mean.clone(), norm.running_var.clone()
    one = torch.ones(1, dtype=torch.float64)
    links = Links(torch.tensor([0]), torch.tensor([1]), 2, None, one if counted else None)
    s = random(1, 4)
    got = gated_sum(s, norm, links, one if counted else None)
    gate, core = norm.bias.chunk(2)  # a row is its own mean
    torch.testing.assert_close(got[0], torch.sigmoid(gate) * F.softplus(core))
    assert not got[1].any()
    torch.testing.assert_close((norm.running_mean, norm.running_var), before)
    got.sum().backward()
    assert not s.grad.any()
