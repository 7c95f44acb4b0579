"""Bases for distances and angles of atoms, smooth at the cutoff."""

import math

import torch
from torch import Tensor, nn


def envelope(x: Tensor, exponent: int) -> Tensor:
    """Return a polynomial that is 1 at 0 and vanishes at 1 with two derivatives.

    Parameters
    ----------
    x : Tensor
        Distances as parts of the cutoff; at least 0.
    exponent : int
        The power p of its first term: 1 - (p + 1)(p + 2)/2 x^p + p(p + 2) x^(p + 1) -
        p(p + 1)/2 x^(p + 2).

    Returns
    -------
    Tensor
        0 beyond 1.
    """
    p = exponent
    inner = (p + 1) * (p + 2) / 2 - x * (p * (p + 2) - x * (p * (p + 1) / 2))
    return torch.where(x < 1, 1 - x.pow(p) * inner, 0.0)


class RadialBasis(nn.Module):
    """Spherical Bessel functions of order 0 times an envelope, with frequencies that are learned.

    Parameters
    ----------
    n_radial : int
    cutoff : float
        In Å.
    exponent : int
        Of the envelope.
    """

    def __init__(self, n_radial: int, cutoff: float, exponent: int) -> None:
        super().__init__()
        self.cutoff, self.exponent = cutoff, exponent
        self.frequencies = nn.Parameter(math.pi * torch.arange(1.0, n_radial + 1))

    def forward(self, distances: Tensor) -> Tensor:
        """Return sqrt(2 / cutoff) sin(f x) / r times the envelope, for r in Å, x = r / cutoff.

        Parameters
        ----------
        distances : Tensor of shape (n,)

        Returns
        -------
        Tensor of shape (n, n_radial)
        """
        x = distances / self.cutoff
        factor = math.sqrt(2 / self.cutoff) * envelope(x, self.exponent) / distances
        return torch.sin(x[:, None] * self.frequencies) * factor[:, None]


class AngularBasis(nn.Module):
    """A Fourier series of the angle, with frequencies that are learned.

    Parameters
    ----------
    n_angular : int
        Odd: a constant, sines and cosines.
    """

    def __init__(self, n_angular: int) -> None:
        super().__init__()
        self.frequencies = nn.Parameter(torch.arange(1.0, n_angular // 2 + 1))

    def forward(self, cosines: Tensor) -> Tensor:
        """Return [1/sqrt(2), sin k a, cos k a] / sqrt(pi) of angles a.

        Parameters
        ----------
        cosines : Tensor of shape (n,)

        Returns
        -------
        Tensor of shape (n, n_angular)
        """
        # The derivative of acos is infinite at 1 and -1.
        angles = torch.acos(cosines * (1 - 1e-6))[:, None] * self.frequencies
        constant = angles.new_full((len(angles), 1), math.sqrt(0.5))
        return torch.cat([constant, angles.sin(), angles.cos()], dim=1) / math.sqrt(math.pi)
