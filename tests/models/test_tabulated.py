"""Weights that interpolation puts on the rows of a table."""

import torch

from skuae.models._interpolation import interpolate, spread


def test_weighted_sums_of_interpolated_rows():
    table = torch.randn(9, 3, dtype=torch.float64)
    positions = 8 * torch.rand(50, dtype=torch.float64)
    counts = torch.rand(50, dtype=torch.float64)
    weights = spread(counts, positions, len(table))
    torch.testing.assert_close(weights @ table, counts @ interpolate(table, positions))
    torch.testing.assert_close(weights.sum(), counts.sum())


def test_no_rows():
    empty = torch.empty(0)
    assert spread(empty, empty, 5).tolist() == [0.0] * 5
