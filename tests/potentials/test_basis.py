"""Bases for distances and angles, against numbers worked out by hand."""

import math

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from skuae.potentials._basis import AngularBasis, RadialBasis, envelope
from skuae.potentials._incidence import Incidence, Incidences
from skuae.potentials._precision import flushed_denormals


@pytest.mark.parametrize(
    ("exponent", "cutoff", "expected"), [(8, 6.0, 0.2194401), (5, 5.0, 0.1956659)]
)
def test_first_radial_function(exponent, cutoff, expected):
    basis = RadialBasis(3, cutoff, exponent).double()
    assert basis(torch.tensor([2.5], dtype=torch.float64))[0, 0].item() == pytest.approx(
        expected, abs=1e-7
    )


def test_envelope():
    x = torch.tensor([0.0, 0.5, 1.0, 1.5], dtype=torch.float64)
    assert envelope(x, 5).tolist() == [1.0, 0.7734375, 0.0, 0.0]


@pytest.mark.parametrize("exponent", [5, 8])
def test_envelope_ends_with_two_derivatives(exponent):
    x = torch.tensor(1.0 - 1e-9, dtype=torch.float64, requires_grad=True)
    value = envelope(x, exponent)
    (slope,) = torch.autograd.grad(value, x, create_graph=True)
    (bend,) = torch.autograd.grad(slope, x)
    assert max(abs(value.item()), abs(slope.item()), abs(bend.item())) < 1e-5


def test_radial_functions():
    basis = RadialBasis(4, 5.0, 5).double()
    r = 2.0
    expected = [
        math.sqrt(2 / 5) * math.sin(n * math.pi * r / 5) / r * envelope(torch.tensor(0.4), 5).item()
        for n in range(1, 5)
    ]
    got = basis(torch.tensor([r], dtype=torch.float64))[0]
    assert got.tolist() == pytest.approx(expected, rel=1e-6)


def test_angular_functions():
    angle = 1.1
    got = AngularBasis(5).double()(torch.tensor([math.cos(angle)], dtype=torch.float64))[0]
    expected = [math.sqrt(0.5), math.sin(angle), math.sin(2 * angle), math.cos(angle),
                math.cos(2 * angle)]  # fmt: skip
    assert got.tolist() == pytest.approx([x / math.sqrt(math.pi) for x in expected], abs=2e-6)


def test_straight_angles_have_finite_derivatives():
    cosines = torch.tensor([-1.0, 1.0], requires_grad=True)
    values = AngularBasis(31)(cosines)
    (slopes,) = torch.autograd.grad(values.sum(), cosines, create_graph=True)
    (bends,) = torch.autograd.grad(slopes.sum(), cosines)
    assert torch.isfinite(slopes).all() and torch.isfinite(bends).all()


INDEX = torch.tensor([2, 0, 2, 2, 3])


def test_sums_and_rows():
    incidence = Incidence(INDEX, 5)
    x = torch.arange(10.0).view(5, 2)
    assert torch.equal(incidence.take(x), x[INDEX])
    expected = torch.zeros(5, 2).index_add(0, INDEX, x)
    assert torch.equal(incidence.sum(x), expected)
    assert incidence.sum(x)[[1, 4]].abs().sum() == 0


def test_sums_and_rows_have_two_derivatives():
    incidence = Incidence(INDEX, 5)
    x = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    for f in (lambda x: incidence.take(x).sin(), lambda x: incidence.sum(x).sin()):
        assert gradcheck(f, x) and gradgradcheck(f, x)


def test_rows_of_several_arrays_are_added():
    other = torch.tensor([1, 1, 0, 2, 0])
    both = Incidences([Incidence(INDEX, 5), Incidence(other, 3)])
    x, y = (torch.randn(n, 2, dtype=torch.float64, requires_grad=True) for n in (5, 3))
    assert torch.allclose(both.take(x, y), x[INDEX] + y[other], atol=1e-14, rtol=0)
    assert gradcheck(lambda x, y: both.take(x, y).sin(), (x, y))
    assert gradgradcheck(lambda x, y: both.take(x, y).sin(), (x, y))
    # One array may need no gradient.
    (slope,) = torch.autograd.grad(both.take(x, y.detach()).sum(), x)
    assert slope[:, 0].tolist() == [1, 0, 3, 1, 0]


def test_nothing_refers_to_nothing():
    incidence = Incidence(torch.empty(0, dtype=torch.int64), 3)
    assert torch.equal(incidence.sum(torch.empty(0, 2)), torch.zeros(3, 2))
    x = torch.ones(3, 2, requires_grad=True)
    (slope,) = torch.autograd.grad(incidence.take(x).sum(), x)
    assert torch.equal(slope, torch.zeros(3, 2))
    assert Incidences([incidence, incidence]).take(x, x).shape == (0, 2)


@pytest.mark.skipif(not torch.set_flush_denormal(False), reason="the processor cannot")
@pytest.mark.parametrize("before", [False, True])
def test_denormals_are_zero_for_a_while(before):
    def is_zero():
        return (torch.full((8,), 1e-30) * 1e-10 == 0).all().item()

    torch.set_flush_denormal(before)
    try:
        with pytest.raises(ZeroDivisionError), flushed_denormals():
            assert is_zero()
            raise ZeroDivisionError
        assert is_zero() == before
    finally:
        torch.set_flush_denormal(False)
