"""Interpolation in a table: exact for cubic polynomials, close for a network, and its gradient."""

import pytest
import torch

from skuae.models import ElementEmbedding, MEGNet
from skuae.models._interpolation import interpolate


@pytest.fixture(params=["cpu", "other"])
def path(request, monkeypatch):
    """Take the path of a CPU, or that of other devices."""
    monkeypatch.setattr(torch.Tensor, "is_cpu", request.param == "cpu", raising=False)


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cubic_polynomials_are_exact_and_extrapolated(dtype):
    def cubic(x):
        return torch.stack([1 - x + 0.5 * x**2, 0.1 * x**3 - x], dim=1)

    grid = torch.arange(7, dtype=dtype)
    x = torch.tensor([-0.5, 0.0, 0.3, 1.0, 2.75, 5.2, 6.0, 7.1], dtype=dtype)
    torch.testing.assert_close(interpolate(cubic(grid), x), cubic(x))
    torch.testing.assert_close(interpolate(cubic(grid[:4]), x[:5]), cubic(x[:5]))
    assert interpolate(cubic(grid), x[:0]).shape == (0, 2)


@pytest.mark.usefixtures("path")
def test_gradient():
    table = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    x = torch.tensor([4.9, 0.2, 2.5, 2.4, 5.0, 2.5], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda table: interpolate(table, x), (table,))
    gradient = torch.autograd.grad(interpolate(table, x[:0]).sum(), table)[0]
    assert not gradient.any()


def test_is_continuous():
    table = torch.randn(9, 2, dtype=torch.float64)
    x = torch.arange(1.0, 8, dtype=torch.float64)
    torch.testing.assert_close(interpolate(table, x), table[1:8])
    torch.testing.assert_close(interpolate(table, x - 1e-12), table[1:8])


def test_error_falls_with_the_fourth_power_of_the_step():
    x = torch.linspace(0.2, 3, 1000, dtype=torch.float64)
    errors = []
    for step in (0.1, 0.05):
        grid = step * torch.arange(3 / step + 3, dtype=torch.float64)
        error = interpolate(grid.sin()[:, None], x / step)[:, 0] - x.sin()
        errors.append(error.abs().max().item())
        assert errors[-1] < 3 / 128 * step**4
    assert errors[1] < errors[0] / 14


@pytest.mark.parametrize("scale", [1.0, 4.0])
@pytest.mark.parametrize("cutoff", [4.0, 5.555])
def test_vectors_of_bonds(scale, cutoff):
    """The error is smaller than that of evaluating the network in single precision."""
    module = MEGNet(cutoff=cutoff).build(ElementEmbedding(torch.zeros(118, 2), True), 1).double()
    with torch.no_grad():
        for parameter in module.bonds.parameters():
            parameter.mul_(scale)
        distances = torch.cat([torch.rand(5000) * cutoff, torch.tensor([0.0, cutoff])]).double()
        exact = module.bonds(module.basis(distances))
        error = (module.bond_vectors(distances) - exact).norm() / exact.norm()
        module.float()
        single = module.bonds(module.basis(distances.float()))
        assert error < (single - exact).norm() / exact.norm()
        assert error < 2e-7
