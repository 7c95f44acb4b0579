import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from skuae.models import CGCNN, ElementEmbedding, MEGNet
from skuae.models._elements import element_rows
from skuae.models._layers import CountedNormSiLU, GaussianBasis, mean_over_sites


def test_gaussians():
    basis = GaussianBasis(0.0, 8.0, 41, width=0.2)
    assert len(basis) == 41
    assert not list(basis.parameters())
    assert basis.state_dict() == {}
    values = basis(torch.tensor([2.03, 0.0, 8.0]))
    assert values.shape == (3, 41)
    assert values[0, 10].item() == pytest.approx(0.977751, abs=1e-6)  # center 2.0 Å
    assert values[0, 11].item() == pytest.approx(math.exp(-((0.17 / 0.2) ** 2)), abs=1e-6)
    assert values[1, 0].item() == values[2, 40].item() == 1.0
    assert (values[1].diff() < 0)[:6].all()


def test_gaussians_against_the_formula():
    r = torch.linspace(0, 9, 50)
    centers = np.arange(41) * 0.2
    expected = np.exp(-(((r.numpy()[:, None] - centers) / 0.2) ** 2))
    got = GaussianBasis(0.0, 8.0, 41, width=0.2)(r).numpy()
    np.testing.assert_allclose(got, expected, atol=1e-6)
    assert got.min() > 1e-37  # no denormal numbers


def test_rows_of_elements(pack, alloy, sample):
    table = torch.randn(118, 5, dtype=torch.float64)
    structures = [sample[0], alloy, sample[1], alloy]
    batch = pack(structures)
    expected = [
        sum(amount * table[element.Z - 1] for element, amount in site.species.items())
        for structure in structures
        for site in structure
    ]
    torch.testing.assert_close(element_rows(table, batch), torch.stack(expected))


def test_gradient_of_element_rows(pack, alloy, sample):
    batch = pack([sample[0], alloy])
    table = torch.randn(118, 2, dtype=torch.float64, requires_grad=True)
    element_rows(table, batch).sum().backward()
    amounts = np.zeros(118)
    for structure in (sample[0], alloy):
        for element, amount in structure.composition.items():
            amounts[element.Z - 1] += amount
    np.testing.assert_allclose(table.grad, np.stack([amounts, amounts], axis=1), atol=1e-12)


def test_frozen_and_trained_embedding():
    values = torch.randn(118, 4)
    frozen, trained = ElementEmbedding(values, True), ElementEmbedding(values, False)
    assert list(frozen.parameters()) == []
    assert [p.shape for p in trained.parameters()] == [(118, 4)]
    assert frozen.state_dict().keys() == trained.state_dict().keys() == {"weight"}
    values.zero_()  # it was copied
    assert trained.weight.abs().sum() > 0
    assert frozen.weight.abs().sum() > 0


def test_mean_over_sites(pack, sample):
    batch = pack(sample[:5], CGCNN(), merge=False)
    x = torch.randn(len(batch.numbers), 3, dtype=torch.float64)
    parts = x.split(batch.sizes.tolist())
    torch.testing.assert_close(mean_over_sites(x, batch), torch.stack([p.mean(0) for p in parts]))


def test_centers_out_of_reach_are_those_that_add_nothing():
    basis = GaussianBasis(0.0, 8.0, 41, width=0.2)
    distances = torch.tensor([1.1, 2.9, 4.05])
    n = basis.n_reached(distances)
    assert 25 < n < len(basis)
    full = basis(distances)
    torch.testing.assert_close(basis(distances, n), full[:, :n], rtol=0, atol=0)
    assert full[:, n:].max() < 1e-17
    assert basis.n_reached(torch.tensor([7.9])) == len(basis)
    assert basis.n_reached(torch.tensor([])) == len(basis)


def test_mean_over_sites_that_stand_for_several(pack, sample):
    batch, full = pack(sample[:5], MEGNet()), pack(sample[:5])
    table = torch.randn(118, 3, dtype=torch.float64)
    assert len(batch.numbers) < len(full.numbers)
    torch.testing.assert_close(
        mean_over_sites(element_rows(table, batch), batch),
        mean_over_sites(element_rows(table, full), full),
    )


# -- counted batch norm ----------------------------------------------------------------------------


def make_norm(training, dtype=torch.float64, width=4):
    norm = CountedNormSiLU(width).to(dtype)
    with torch.no_grad():
        norm.weight.copy_(torch.randn(width))  # some negative
        norm.bias.copy_(torch.randn(width))
        norm.running_mean.copy_(torch.randn(width))
        norm.running_var.copy_(torch.rand(width) + 0.5)
    return norm.train(training)


def plain_norm(norm, x, counts):
    """torch's layers, on every row as often as it is there."""
    theirs = nn.BatchNorm1d(norm.num_features).to(x.dtype).train(norm.training)
    theirs.load_state_dict(norm.state_dict())
    rows = torch.repeat_interleave(torch.arange(len(x)), counts.long())
    first = rows.diff(prepend=torch.tensor([-1])) > 0
    return F.silu(theirs(x[rows]))[first], theirs


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 1e-5)], ids=str
)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_counted_norm(training, dtype, tolerance):
    norm = make_norm(training, dtype)
    x = (3 * torch.randn(7, 4, dtype=dtype) + 1).requires_grad_()
    counts = torch.tensor([1, 4, 2, 1, 6, 3, 1], dtype=dtype)
    expected, theirs = plain_norm(norm, x, counts)
    got = norm(x, counts)
    torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance)
    for ours, value in zip(norm.buffers(), theirs.buffers(), strict=True):
        torch.testing.assert_close(ours, value, rtol=tolerance, atol=tolerance)

    weights = torch.randn_like(got)
    a = torch.autograd.grad((got * weights).sum(), [x, norm.weight, norm.bias])
    b = torch.autograd.grad((expected * weights).sum(), [x, theirs.weight, theirs.bias])
    torch.testing.assert_close(a, b, rtol=10 * tolerance, atol=10 * tolerance)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_gradient_of_counted_norm(training):
    norm = make_norm(training)
    counts = torch.tensor([1, 4, 2, 1, 6], dtype=torch.float64)
    x = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    names = ["weight", "bias"]

    def function(x, *parameters):
        values = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(norm, values, (x, counts))

    parameters = [getattr(norm, name).detach().clone().requires_grad_() for name in names]
    assert torch.autograd.gradcheck(function, (x, *parameters))


def test_counted_norm_of_one_row_and_of_none():
    """One row is its own mean; torch refuses it. Nothing leaves the statistics alone."""
    norm = make_norm(True)
    x = torch.randn(1, 4, dtype=torch.float64, requires_grad=True)
    state = {k: v.clone() for k, v in norm.state_dict().items()}
    out = norm(x, torch.ones(1, dtype=torch.float64))
    torch.testing.assert_close(out[0], F.silu(norm.bias))
    out.sum().backward()
    assert not x.grad.any()
    state["num_batches_tracked"] += 1
    assert all(torch.equal(v, state[k]) for k, v in norm.state_dict().items())
    assert norm(x[:0], torch.ones(0, dtype=torch.float64)).shape == (0, 4)
    assert all(torch.equal(v, state[k]) for k, v in norm.state_dict().items())


def test_counted_norm_far_from_zero():
    """Deviations are taken before squares, so that a large mean costs no digits."""
    norm = CountedNormSiLU(2)
    x = torch.randn(1000, 2) + 1e3
    got = norm(x, torch.ones(1000))
    expected = F.silu((x - x.double().mean(0)) / x.double().std(0, correction=0))
    torch.testing.assert_close(got.double(), expected, rtol=1e-3, atol=1e-3)
