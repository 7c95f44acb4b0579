"""Spherical Bessel functions of distances, and sums of Legendre polynomials of angles."""

import itertools
import math

import numpy as np
import torch
from numpy.polynomial import legendre
from scipy.optimize import brentq
from scipy.special import spherical_jn
from torch import Tensor

from skuae.potentials._incidence import Incidence


def bessel_zeros(max_l: int, max_n: int) -> np.ndarray:
    """Return the first zeros above 0 of the spherical Bessel functions j_0 to j_(max_l - 1).

    Parameters
    ----------
    max_l, max_n : int

    Returns
    -------
    ndarray of float64 of shape (max_l, max_n)
    """
    zeros = [math.pi * np.arange(1, max_l + max_n)]
    for order in range(1, max_l):  # between two zeros of one order is one of the next
        pairs = itertools.pairwise(zeros[-1])
        zeros.append(np.array([brentq(lambda x, n=order: spherical_jn(n, x), *p) for p in pairs]))
    return np.stack([row[:max_n] for row in zeros])


class SphericalBessel:
    """Spherical Bessel functions that vanish at the cutoff, of several orders.

    Parameters
    ----------
    max_l : int
        Orders from 0 to ``max_l - 1``.
    max_n : int
        Functions of each order.
    cutoff : float
        In Å.
    """

    def __init__(self, max_l: int, max_n: int, cutoff: float) -> None:
        self.max_l, self.max_n, self.cutoff = max_l, max_n, cutoff
        self.zeros = bessel_zeros(max_l, max_n)
        beyond = [np.abs(spherical_jn(order + 1, row)) for order, row in enumerate(self.zeros)]
        self.norms = math.sqrt(2 / cutoff**3) / np.stack(beyond)

    @property
    def width(self) -> int:
        """Number of functions."""
        return self.max_l * self.max_n

    def __call__(self, distances: Tensor) -> Tensor:
        """Return j_l(z r / cutoff) for the zeros z of each order l, normalised.

        Parameters
        ----------
        distances : Tensor of shape (n,)
            In Å; above 0, and at most the cutoff.

        Returns
        -------
        Tensor of shape (n, max_l * max_n)
            All functions of order 0, then those of order 1, ... The integral of the square of each
            times r² is 1.
        """
        x = distances[:, None] * distances.new_tensor(self.zeros.ravel() / self.cutoff)
        sines, cosines = x.sin() / x, x.cos()
        columns = []
        for order in range(self.max_l):
            place = slice(order * self.max_n, (order + 1) * self.max_n)
            here = x[:, place]
            before, value = cosines[:, place] / here, sines[:, place]  # of orders -1 and 0
            for lower in range(order):
                before, value = value, (2 * lower + 1) / here * value - before
            columns.append(value)
        return torch.cat(columns, dim=1) * distances.new_tensor(self.norms.ravel())


class SmoothBessel:
    """Orthogonal functions of a distance that vanish at the cutoff with two derivatives.

    Parameters
    ----------
    max_n : int
        Number of functions.
    cutoff : float
        In Å.

    Notes
    -----
    Kocer, Mason and Erturk, J. Chem. Phys. 150, 154102 (2019): each is a sum of spherical Bessel
    functions of order 0, sin(k π r / cutoff) / r, for k up to ``max_n + 1``.
    """

    def __init__(self, max_n: int, cutoff: float) -> None:
        self.width, self.cutoff = max_n, cutoff
        n = np.arange(max_n)
        k = np.arange(1, max_n + 2)
        size = (-1.0) ** n * math.sqrt(2) * math.pi / cutoff**1.5
        size = size * (n + 1) * (n + 2) / np.sqrt((n + 1) ** 2 + (n + 2) ** 2)
        raw = np.eye(max_n, max_n + 1) + np.eye(max_n, max_n + 1, 1)
        raw = raw * size[:, None] * cutoff / (k * math.pi)
        e = n**2 * (n + 2) ** 2 / (4 * (n + 1) ** 4 + 1)
        d, rows = [1.0], [raw[0]]
        for i in range(1, max_n):
            d.append(1 - e[i] / d[-1])
            rows.append((raw[i] + math.sqrt(e[i] / d[i - 1]) * rows[-1]) / math.sqrt(d[i]))
        self.coefficients = np.stack(rows)

    def __call__(self, distances: Tensor) -> Tensor:
        """Return the functions.

        Parameters
        ----------
        distances : Tensor of shape (n,)
            In Å; above 0, and at most the cutoff.

        Returns
        -------
        Tensor of shape (n, max_n)
            The integral of the product of two of them, times r², is 1 or 0.
        """
        k = math.pi / self.cutoff * np.arange(1, self.width + 2)
        waves = (distances[:, None] * distances.new_tensor(k)).sin() / distances[:, None]
        return waves @ distances.new_tensor(self.coefficients.T)


class LegendreSums:
    """Sums over the other bonds of a site of Legendre polynomials of the angles between them.

    The polynomial of two directions is a sum of products of functions of one direction each. So a
    sum over all bonds of a site is found once for the site, and what a bond adds to its own sum is
    taken off. That takes a time that grows with the number of bonds, not of angles.

    Parameters
    ----------
    max_l : int
        Orders from 0 to ``max_l - 1``.

    Notes
    -----
    (u·v)^p is the sum over a + b + c = p of p! / (a! b! c!) times x^a y^b z^c of both. Polynomials
    are normalised as the spherical harmonics of m = 0.
    """

    def __init__(self, max_l: int) -> None:
        self.max_l = max_l
        self.powers = [
            (a, b, p - a - b)
            for p in range(max_l)
            for a in range(p, -1, -1)
            for b in range(p - a, -1, -1)
        ]
        degrees = np.array([sum(power) for power in self.powers])
        factorials = np.array([[math.factorial(i) for i in power] for power in self.powers])
        sizes = np.array([math.factorial(p) for p in degrees]) / factorials.prod(axis=1)
        self.roots = np.sqrt(sizes)
        self.orders = []
        for order in range(max_l):
            series = legendre.leg2poly(np.eye(order + 1)[order])
            series = series * math.sqrt((2 * order + 1) / (4 * math.pi))
            columns = np.flatnonzero((degrees <= order) & ((order - degrees) % 2 == 0))
            self.orders.append((columns, series[degrees[columns]], float(series.sum())))

    def monomials(self, directions: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return the functions of one direction for each order, and these with the coefficients.

        Parameters
        ----------
        directions : Tensor of shape (S, 3)
            Unit vectors of bonds.

        Returns
        -------
        list of tuple of Tensor of shape (S, n_functions)
        """
        powers = [torch.ones_like(directions), directions]
        while len(powers) < self.max_l:
            powers.append(powers[-1] * directions)
        columns = [powers[a][:, 0] * powers[b][:, 1] * powers[c][:, 2] for a, b, c in self.powers]
        values = torch.stack(columns, dim=1) * directions.new_tensor(self.roots)
        found = []
        for chosen, coefficients, _ in self.orders:
            part = values[:, torch.as_tensor(chosen, device=values.device)]
            found.append((part, part * directions.new_tensor(coefficients)))
        return found

    def __call__(
        self, weights: Tensor, monomials: list[tuple[Tensor, Tensor]], centers: Incidence
    ) -> Tensor:
        """Sum over the other bonds of the same site.

        Parameters
        ----------
        weights : Tensor of shape (S, max_l * n)
            Of each bond as one of the others: n for order 0, then n for order 1, ...
        monomials : list of tuple of Tensor
            As `monomials` returns them.
        centers : Incidence of S bonds in sites

        Returns
        -------
        Tensor of shape (S, max_l * n)
            For each bond, the sum of the weights of the others times the polynomial of the angle.
        """
        blocks = weights.chunk(self.max_l, dim=1)
        products = [
            (block[:, :, None] * own[:, None, :]).flatten(1)
            for block, (own, _) in zip(blocks, monomials, strict=True)
        ]
        sums = centers.take(centers.sum(torch.cat(products, dim=1)))
        sums = sums.split([product.shape[1] for product in products], dim=1)
        columns = []
        for total, block, (_, own), (_, _, itself) in zip(
            sums, blocks, monomials, self.orders, strict=True
        ):
            total = total.unflatten(1, (block.shape[1], -1))
            columns.append((total * own[:, None, :]).sum(2) - itself * block)
        return torch.cat(columns, dim=1)
