"""Functions of distances and angles, against scipy and sums over all angles."""

import numpy as np
import pytest
import torch
from scipy.special import eval_legendre, spherical_jn
from torch.autograd import gradcheck, gradgradcheck

from skuae.potentials._bessel import LegendreSums, SmoothBessel, SphericalBessel, bessel_zeros
from skuae.potentials._incidence import Incidence

R = np.linspace(1e-4, 5.0, 20_001)


def values(basis, dtype=torch.float64):
    return basis(torch.tensor(R, dtype=dtype)).numpy()


def products(found):
    """Return the integrals of all products of two functions, times r²."""
    return np.trapezoid(found[:, :, None] * found[:, None, :] * R[:, None, None] ** 2, R, axis=0)


def test_zeros_are_zeros_and_none_is_left_out():
    zeros = bessel_zeros(4, 5)
    np.testing.assert_allclose(zeros[0], np.pi * np.arange(1, 6))
    np.testing.assert_allclose(zeros[1, :3], [4.493409458, 7.725251837, 10.904121659], atol=1e-8)
    for order, row in enumerate(zeros):
        assert np.abs(spherical_jn(order, row)).max() < 1e-12
        grid = spherical_jn(order, np.linspace(0.5, row[-1] + 0.1, 10_000))
        assert (np.diff(np.sign(grid)) != 0).sum() == 5


def test_spherical_bessel_functions_are_those_of_scipy():
    found = values(SphericalBessel(3, 3, 5.0))
    zeros = bessel_zeros(3, 3)
    for order in range(3):
        for n in range(3):
            norm = np.sqrt(2 / 5.0**3) / abs(spherical_jn(order + 1, zeros[order, n]))
            expected = norm * spherical_jn(order, zeros[order, n] * R / 5.0)
            there = R > 0.3
            np.testing.assert_allclose(
                found[there, 3 * order + n], expected[there], rtol=0, atol=1e-9
            )


def test_functions_of_one_order_are_orthonormal():
    found = values(SphericalBessel(3, 3, 5.0))[:, 3:6]
    there = R > 0.05
    found = np.where(there[:, None], found, 0.0)
    np.testing.assert_allclose(products(found), np.eye(3), atol=1e-4)


def test_single_precision_is_enough_at_distances_of_atoms():
    basis = SphericalBessel(3, 3, 5.0)
    there = R > 0.7
    single = values(basis, torch.float32)[there]
    np.testing.assert_allclose(single, values(basis)[there], atol=3e-6)


@pytest.mark.parametrize("n", [1, 3, 6])
def test_smooth_functions_are_orthonormal(n):
    np.testing.assert_allclose(products(values(SmoothBessel(n, 5.0))), np.eye(n), atol=1e-6)


def test_smooth_functions_end_with_two_derivatives():
    r = torch.tensor([5.0], dtype=torch.float64, requires_grad=True)
    for function in range(3):
        value = SmoothBessel(3, 5.0)(r)[0, function]
        (slope,) = torch.autograd.grad(value, r, create_graph=True)
        (bend,) = torch.autograd.grad(slope, r)
        assert max(abs(value.item()), abs(slope.item()), abs(bend.item())) < 1e-12


def test_first_smooth_function():
    """Written out: two waves, of one and two half periods up to the cutoff."""
    k = np.pi / 5.0
    sizes = np.sqrt(2) * np.pi / 5.0**1.5 * 2 / np.sqrt(5)
    expected = sizes * (np.sin(k * R) / (k * R) + np.sin(2 * k * R) / (2 * k * R))
    np.testing.assert_allclose(values(SmoothBessel(3, 5.0))[:, 0], expected, atol=1e-12)


@pytest.fixture
def bonds():
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((9, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    centers = np.array([0, 0, 0, 0, 2, 2, 2, 3, 4])  # 1 has none; 3 and 4 have one each
    return directions, centers, rng


@pytest.mark.parametrize("max_l", [1, 2, 3, 5])
def test_sums_are_those_over_all_other_bonds(bonds, max_l):
    directions, centers, rng = bonds
    weights = rng.standard_normal((9, 2 * max_l))
    expected = np.zeros_like(weights)
    for i in range(9):
        for k in range(9):
            if k != i and centers[k] == centers[i]:
                for order in range(max_l):
                    size = np.sqrt((2 * order + 1) / (4 * np.pi))
                    value = size * eval_legendre(order, directions[i] @ directions[k])
                    place = slice(2 * order, 2 * order + 2)
                    expected[i, place] += value * weights[k, place]
    sums = LegendreSums(max_l)
    found = sums(
        torch.tensor(weights), sums.monomials(torch.tensor(directions)),
        Incidence(torch.tensor(centers), 5),
    )  # fmt: skip
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert np.abs(expected[:7]).max() > 0.1 and np.abs(expected[7:]).max() == 0


def test_all_have_two_derivatives(bonds):
    directions, centers, rng = bonds
    sums, incidence = LegendreSums(3), Incidence(torch.tensor(centers), 5)

    def run(weights, vectors):
        units = vectors / vectors.norm(dim=1, keepdim=True)
        return sums(weights, sums.monomials(units), incidence)

    inputs = (
        torch.tensor(rng.standard_normal((9, 3)), requires_grad=True),
        torch.tensor(2.0 * directions, requires_grad=True),
    )
    assert gradcheck(run, inputs) and gradgradcheck(run, inputs)
    r = torch.tensor([1.1, 2.5, 4.9], dtype=torch.float64, requires_grad=True)
    for basis in (SphericalBessel(3, 2, 5.0), SmoothBessel(3, 5.0)):
        assert gradcheck(basis, r) and gradgradcheck(basis, r)
