"""Interpolation in a table: exact for cubic polynomials, close for a network, and its gradient."""

import pytest
import torch

from skuae.models import ElementEmbedding, MEGNet
from skuae.models._interpolation import interpolate, is_exact, spread


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cubic_polynomials_are_exact_and_extrapolated(dtype):
    def cubic(x):
        return torch.stack([1 - x + 0.5 * x**2, 0.1 * x**3 - x], dim=1)

    grid = torch.arange(7, dtype=dtype)
    x = torch.tensor([-0.5, 0.0, 0.3, 1.0, 2.75, 5.2, 6.0, 7.1], dtype=dtype)
    torch.testing.assert_close(interpolate(cubic(grid), x), cubic(x))
    torch.testing.assert_close(interpolate(cubic(grid[:4]), x[:5]), cubic(x[:5]))
    assert interpolate(cubic(grid), x[:0]).shape == (0, 2)


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


# -- where it is used ------------------------------------------------------------------------------


def test_weighted_sums_of_interpolated_rows():
    table = torch.randn(9, 3, dtype=torch.float64)
    positions = 8 * torch.rand(50, dtype=torch.float64)
    counts = torch.rand(50, dtype=torch.float64)
    weights = spread(counts, positions, len(table))
    torch.testing.assert_close(weights @ table, counts @ interpolate(table, positions))
    torch.testing.assert_close(weights.sum(), counts.sum())
    assert not spread(counts[:0], positions[:0], 5).any()


@pytest.mark.parametrize("n", [101, 102])
def test_which_tables_are_exact(n):
    x = torch.linspace(0, 3, n)[:, None]
    smooth = torch.cat([x.sin(), 1 - x], dim=1)
    assert is_exact(smooth)
    assert is_exact(smooth * 1e6)
    for odd in ((40 * x).sin(), x.sin() + 1e-3 * (x > 1), x / 0):
        assert not is_exact(torch.cat([smooth, odd], dim=1))


@pytest.mark.parametrize("scale", [1.0, 10.0, 30.0])
def test_bonds_of_large_weights(scale):
    """Where the network is too steep for the table, it is computed bond by bond."""
    module = MEGNet().build(ElementEmbedding(torch.zeros(118, 2), True), 1)
    with torch.no_grad():
        for parameter in module.bonds.parameters():
            parameter.mul_(scale)
        distances = 4 * torch.rand(5000)
        got = module.bond_vectors(distances).double()
        expected = module.double().bonds(module.basis(distances.double()))
    assert (got - expected).abs().max() < 1e-5 * expected.std()
