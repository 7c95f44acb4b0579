"""Colours of sites and edges: equal ones get equal numbers, by hashing and sorting."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from skuae.crystals._crystals import Crystals

TOLERANCE = 1e-4  # Å, and of cosines; closer than this is equal
STEPS = 1 << 24  # of an Å, or of a cosine; both are compared as integers
EQUAL = int(TOLERANCE * STEPS)
_FAR = 1 << 62


class Kinds(NamedTuple):
    """What sites or edges are of one colour; kinds are numbered in order of appearance."""

    of: np.ndarray  # the kind of each site or edge
    first: np.ndarray  # the first site or edge of each kind
    counts: np.ndarray  # of each kind


def kinds_of(colors: np.ndarray) -> Kinds:
    """Return what sites or edges are of one kind."""
    _, first, inverse, counts = np.unique(
        colors, return_index=True, return_inverse=True, return_counts=True
    )
    order = np.argsort(first)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return Kinds(rank[inverse], first[order], counts[order])


def element_colors(crystals: Crystals, first: int, n_sites: int) -> np.ndarray:
    """Colour sites by element, disordered ones by all their species."""
    colors = crystals.numbers[first : first + n_sites].astype(np.uint64)
    if crystals.occ_sites is not None:
        entries = slice(*np.searchsorted(crystals.occ_sites, [first, first + n_sites]))
        amounts = np.round(crystals.occ_values[entries] * 1e6).astype(np.uint64)
        species = mix(crystals.occ_numbers[entries].astype(np.uint64), amounts)
        np.add.at(colors, crystals.occ_sites[entries] - first, species)
    return colors


def number_equal(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Give the distinct values (integers below 2^32) within groups, known by hashes, a number each.

    Group and value share one integer: to sort by one key is much faster than by two. The 31 bits of
    the hash may send two groups to the same place; values that differ stay distinct there.
    """
    key = ((groups >> np.uint64(33)) << np.uint64(32)).astype(np.int64) + values
    order = np.argsort(key)
    starts = starts_of(key[order])
    numbers = np.empty(len(order), dtype=np.uint64)
    numbers[order] = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(order)))
    return numbers


def starts_of(values: np.ndarray, rows: slice | np.ndarray = slice(1)) -> np.ndarray:
    """Find where, in sorted integers, the next value begins; and, if there are many, the next row.

    Values that lie close together are one, unless a chain of them gets longer than the tolerance:
    such a chain is cut at smaller gaps.
    """
    gaps = np.diff(values, prepend=values[:1])
    gaps[rows] = _FAR
    limits = np.full(len(values), EQUAL)
    while True:
        starts = np.flatnonzero(gaps > limits)
        sizes = np.diff(starts, append=len(values))
        too_long = values[starts + sizes - 1] - values[starts] > EQUAL
        if not too_long.any():
            return starts
        limits[np.repeat(too_long, sizes)] //= 10


def sum_rows(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Sum the rows of a ragged array of uint64, modulo 2^64."""
    total = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(values, dtype=np.uint64)])
    return total[offsets[1:]] - total[offsets[:-1]]


def count_distinct(colors: np.ndarray) -> int:
    """Count the colours; much faster than `numpy.unique` for some thousands."""
    colors = np.sort(colors)
    return int(np.count_nonzero(colors[1:] != colors[:-1])) + min(len(colors), 1)


def mix(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Hash pairs of uint64 (splitmix64's finaliser); not symmetric in a and b."""
    shifted = b >> np.uint64(29)
    x = a * np.uint64(0x9E3779B97F4A7C15)
    x += np.bitwise_xor(shifted, b, out=shifted)
    x ^= np.right_shift(x, np.uint64(30), out=shifted)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= np.right_shift(x, np.uint64(27), out=shifted)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= np.right_shift(x, np.uint64(31), out=shifted)
    return x
