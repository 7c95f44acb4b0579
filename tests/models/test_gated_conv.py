"""The convolution of ALIGNN in blocks of links, against its plain formulas."""

import pytest
import torch

from skuae.crystals import Links, _links
from skuae.models._gated_conv import gated_conv
from skuae.models._layers import CountedNormSiLU


def random(*shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


@pytest.fixture(params=["fixed degree", "ragged", "counted"])
def links(request):
    """Links of seven nodes, of which the first and another one may have none."""
    if request.param == "fixed degree":
        centers, degree = torch.arange(7).repeat_interleave(3), 3
    else:
        centers, degree = torch.repeat_interleave(torch.tensor([0, 2, 5, 1, 0, 4, 3])), None
    counts = torch.randint(1, 4, (len(centers),)).double() if request.param == "counted" else None
    return Links(centers, torch.randint(0, 7, (len(centers),)), 7, degree, counts)


@pytest.fixture(params=[1, 4, 2048], ids="blocks of {}".format, autouse=True)
def block_size(request, monkeypatch):
    monkeypatch.setattr(_links, "BLOCK_SIZE", request.param)


def make(links, training):
    norm = CountedNormSiLU(4).double().train(training)
    with torch.no_grad():
        for value in (norm.weight, norm.bias, norm.running_mean):
            value.normal_()
    n = len(links.centers)
    return norm, [random(7, 4), random(7, 4), random(7, 4), random(n, 4), random(4, 4)]


def plain(center, neighbor, values, e, weight, norm, links, n_links):
    i, j = links.centers, links.neighbors
    m = center[i] + neighbor[j] + e @ weight.t()
    counts = torch.ones(len(i)) if links.counts is None else links.counts
    gate = torch.sigmoid(m) * counts[:, None]
    total = torch.zeros_like(center).index_add(0, i, gate) + 1e-6
    mean = torch.zeros_like(center).index_add(0, i, gate * values[j]) / total
    return mean, e + norm(m, n_links)


def test_blocks_cover_all_links(links):
    seen, nodes = [], []
    for of_nodes, rows, block in links.blocks:
        assert torch.equal(block.centers + of_nodes.start, links.centers[rows])
        assert torch.equal(block.neighbors, links.neighbors[rows])
        assert block.n_nodes == of_nodes.stop - of_nodes.start
        seen.append(torch.arange(len(links.centers))[rows])
        nodes.append(torch.arange(7)[of_nodes])
    assert torch.equal(torch.cat(seen), torch.arange(len(links.centers)))
    assert torch.equal(torch.cat(nodes), torch.arange(7))


@pytest.mark.parametrize("training", [True, False])
def test_values_gradients_and_statistics(links, training):
    norm, inputs = make(links, training)
    other = CountedNormSiLU(4).double().train(training)
    other.load_state_dict(norm.state_dict())
    n_links = torch.rand(len(links.centers), dtype=torch.float64) * 3 + 1
    got = gated_conv(*inputs, norm, links, n_links)
    expected = plain(*inputs, other, links, n_links)
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(norm.state_dict(), other.state_dict())
    weights = [torch.randn_like(x) for x in got]
    gradients = [
        torch.autograd.grad(
            sum((x * w).sum() for x, w in zip(out, weights, strict=True)),
            [*inputs, norm_.weight, norm_.bias],
        )
        for out, norm_ in ((got, norm), (expected, other))
    ]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("training", [True, False])
def test_without_new_links(links, training):
    norm, inputs = make(links, training)
    before = norm.state_dict()["running_mean"].clone()
    mean, new = gated_conv(*inputs, norm, links, None)
    assert new is None
    assert torch.equal(norm.running_mean, before)
    expected, _ = plain(*inputs, lambda m, n: m, links, None)
    torch.testing.assert_close(mean, expected)
    torch.testing.assert_close(
        torch.autograd.grad(mean.square().sum(), inputs),
        torch.autograd.grad(expected.square().sum(), inputs),
    )


@pytest.mark.parametrize("training", [True, False])
def test_a_product_that_is_known(links, training):
    """With W e given, outputs and all gradients are the same."""
    norm, inputs = make(links, training)
    *nodes, e, weight = inputs
    n_links = torch.rand(len(links.centers), dtype=torch.float64) + 1
    results = []
    for product in (None, e @ weight.t()):
        norm.running_mean.zero_()
        mean, new = gated_conv(*nodes, e, weight, norm, links, n_links, product)
        loss = mean.square().sum() + new.sin().sum()
        results.append([mean, new, *torch.autograd.grad(loss, [*inputs, *norm.parameters()])])
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("value", [-1e4, -100.0, -20.0, 20.0, 1e4])
def test_closed_and_open_gates(links, dtype, value):
    """Where gates are closed, 1e-6 keeps the division sane; wide open, they are one."""
    counts = None if links.counts is None else links.counts.to(dtype)
    links = Links(links.centers, links.neighbors, 7, links.degree, counts)
    norm, inputs = make(links, False)
    inputs = [x.detach().to(dtype).requires_grad_() for x in inputs]
    values, weight = inputs[2], inputs[4]
    with torch.no_grad():
        inputs[0].fill_(value)
        inputs[1].zero_()
        weight.zero_()
    got, _ = gated_conv(*inputs, norm, links, None)
    expected, _ = plain(*inputs, lambda m, n: m, links, None)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)
    differentiated = [inputs[0], values]
    a = torch.autograd.grad(got.sum(), differentiated)
    b = torch.autograd.grad(expected.sum(), differentiated)
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_no_links():
    empty = torch.empty(0, dtype=torch.int64)
    norm = CountedNormSiLU(4)
    e, weight, x = torch.empty(0, 4), torch.randn(4, 4), torch.randn(3, 4)
    mean, new = gated_conv(x, x, x, e, weight, norm, Links(empty, empty, 3), torch.empty(0))
    assert mean.tolist() == [[0.0] * 4] * 3
    assert new.shape == (0, 4)
    assert not norm.running_mean.any()
