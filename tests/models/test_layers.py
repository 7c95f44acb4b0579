import math

import numpy as np
import pytest
import torch

from skuae.models import CGCNN
from skuae.models._layers import ElementEmbedding, GaussianBasis, element_rows, mean_over_sites


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
    batch = pack(sample[:5], CGCNN())
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
