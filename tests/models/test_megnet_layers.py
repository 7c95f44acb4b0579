"""The hand-written update of bonds and attention of MEGNet against plain formulas."""

import itertools

import pytest
import torch
from torch.nn import functional as F

from skuae.crystals import Links
from skuae.models import _megnet_layers as layers
from skuae.models._megnet_layers import activate, attend, update_bonds


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(layers, "_ROWS", 5)


@pytest.fixture(params=["cpu", "other"])
def path(request, monkeypatch):
    """Take the path of a CPU, or that of other devices."""
    monkeypatch.setattr(torch.Tensor, "is_cpu", request.param == "cpu", raising=False)


def random(*shape, scale=1.0):
    return (scale * torch.randn(*shape, dtype=torch.float64)).requires_grad_()


def make(n_layers, counted=True, scale=1.0):
    """Arguments of `update_bonds`: 12 bonds between six sites, of which two have none."""
    centers = torch.repeat_interleave(torch.tensor([2, 0, 5, 1, 0, 4]))
    neighbors = torch.randint(0, 6, (12,))
    counts = torch.randint(1, 4, (12,)).double() if counted else None
    widths = [3, 6, 2, 5, 4, 3][-n_layers - 1 :]
    widths[0] = 3
    weights = [random(b, a, scale=scale) for a, b in itertools.pairwise(widths)]
    biases = [random(b, scale=scale) for b in widths[1:]]
    width = len(biases.pop(-3))
    links = Links(centers, neighbors, 6, None, counts)
    return random(12, 3), random(6, width), random(6, width), weights, biases, links


def plain(e, center, neighbor, weights, biases, links):
    y, biases = e, [*biases[:-2], None, *biases[-2:]]
    for weight, bias in zip(weights, biases, strict=True):
        x = center[links.centers] + neighbor[links.neighbors] if bias is None else bias
        y = torch.logaddexp(y @ weight.t() + x, torch.zeros((), dtype=y.dtype)) - torch.log(
            torch.tensor(2.0, dtype=y.dtype)
        )
    counted = y if links.counts is None else y * links.counts[:, None]
    return e + y, y.new_zeros(len(center), 3).index_add(0, links.centers, counted)


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("n_layers", [3, 5])
def test_bonds(n_layers, counted):
    *tensors, weights, biases, links = make(n_layers, counted)
    got, expected = (f(*tensors, weights, biases, links) for f in (update_bonds, plain))
    with torch.no_grad():
        without_gradients = update_bonds(*tensors, weights, biases, links)
    torch.testing.assert_close(without_gradients, got, rtol=1e-14, atol=1e-14)
    factors = [torch.randn_like(x) for x in got]
    inputs = [*tensors, *weights, *biases]
    for x, y in zip(got, expected, strict=True):
        torch.testing.assert_close(x, y)
    for x, y in zip(
        *(torch.autograd.grad(o, inputs, factors) for o in (got, expected)), strict=True
    ):
        torch.testing.assert_close(x, y)


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("n_layers", [3, 5])
def test_bonds_in_bfloat16(n_layers):
    """Only the vectors of bonds are short."""
    *tensors, weights, biases, links = make(n_layers, scale=0.3)
    inputs = [x.detach().float().requires_grad_() for x in (*tensors, *weights, *biases)]
    links = Links(links.centers, links.neighbors, 6, None, links.counts.float())

    def update(dtype):
        e, center, neighbor, *others = inputs
        weights, biases = others[:n_layers], others[n_layers:]
        return update_bonds(e.to(dtype), center, neighbor, weights, biases, links)

    results = []
    for dtype in (torch.float32, torch.bfloat16):
        got = update(dtype)
        assert [x.dtype for x in got] == [dtype, torch.float32]
        with torch.no_grad():
            for x, y in zip(update(dtype), got, strict=True):
                torch.testing.assert_close(x, y, rtol=0.01, atol=1e-5)
        results.append([*got, *torch.autograd.grad(sum(x.square().sum() for x in got), inputs)])
    for x, y in zip(*results, strict=True):
        assert 0 < (x - y).norm() < 0.015 * x.norm()


def test_gradcheck_of_bonds():
    *tensors, weights, biases, links = make(5)
    n = len(weights)

    def function(e, center, neighbor, *parameters):
        return update_bonds(e, center, neighbor, parameters[:n], parameters[n:], links)

    assert torch.autograd.gradcheck(function, (*tensors, *weights, *biases))


def test_bonds_where_one_result_is_not_used():
    *tensors, weights, biases, links = make(3)
    for i in range(2):
        got, expected = (f(*tensors, weights, biases, links)[i] for f in (update_bonds, plain))
        inputs = [*tensors, *weights]
        for x, y in zip(
            *(torch.autograd.grad(o.sum(), inputs) for o in (got, expected)), strict=True
        ):
            torch.testing.assert_close(x, y)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bonds_of_large_numbers(dtype):
    """Softplus neither overflows nor loses its slope."""
    *tensors, weights, biases, links = make(3, scale=100.0)
    tensors, weights, biases = (
        [x.detach().to(dtype).requires_grad_() for x in some] for some in (tensors, weights, biases)
    )
    links = Links(links.centers, links.neighbors, 6)
    got, expected = (f(*tensors, weights, biases, links) for f in (update_bonds, plain))
    assert expected[0].max() > 1e4
    torch.testing.assert_close(got[0], expected[0], rtol=1e-4, atol=1e-2)
    for x, y in zip(
        *(torch.autograd.grad(o[0].sum(), [*tensors, *weights, *biases]) for o in (got, expected)),
        strict=True,
    ):
        torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-4 * y.abs().max().item())


def test_activation_is_that_of_torch():
    x = torch.linspace(-150, 150, 1001)[:, None].expand(-1, 3).contiguous()
    n = torch.zeros(len(x), dtype=torch.int64)
    eye, nought = torch.eye(3), torch.zeros(3)
    links = Links(n, n, 1)
    y = update_bonds(x, torch.zeros(1, 3), torch.zeros(1, 3), [eye] * 3, [nought] * 2, links)[0] - x
    torch.testing.assert_close(y, activate(activate(activate(x))), rtol=1e-5, atol=3e-5)


@pytest.mark.usefixtures("path")
def test_attention():
    sets = torch.repeat_interleave(torch.tensor([4, 0, 7, 1]))
    counts = torch.randint(1, 4, (12,)).double()
    x, query = random(12, 3), random(4, 3)
    members = Links(sets, sets, 4)
    rows = []
    for i in range(4):
        own = x[sets == i]
        score = own @ query[i] + counts[sets == i].log()
        rows.append(F.softmax(score, dim=0) @ own)
    got, expected = attend(x, query, members, counts), torch.stack(rows)
    torch.testing.assert_close(got, expected)
    factors = torch.randn_like(got)
    for a, b in zip(
        *(torch.autograd.grad(o, (x, query), factors) for o in (got, expected)), strict=True
    ):
        torch.testing.assert_close(a, b)
