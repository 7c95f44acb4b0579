"""Bonds and angles of a batch: index arithmetic, and geometry that gradients run through."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from skuae.crystals import CrystalBatch
from skuae.potentials._incidence import Incidence, Incidences


@dataclass(frozen=True, eq=False)
class Neighborhood:
    """What a potential reads of a batch. N sites, E edges, P pairs, S bonds, T angles.

    An edge runs from a site to a neighbour. The two edges of opposite direction are one pair. Pairs
    within the cutoff of bonds come first; their edges are bonds.

    Attributes
    ----------
    batch : CrystalBatch
    distances : Tensor of shape (P,)
        In Å.
    centers, neighbors : Incidence of E edges in N sites
    pairs : Incidence of E edges in P pairs
    n_short : int
        Pairs within the cutoff of bonds.
    bonds : Incidence of S bonds in E edges
    bond_centers : Incidence of S bonds in N sites
    bond_pairs : Incidence of S bonds in the first `n_short` pairs
    directions : Tensor of shape (S, 3)
        Unit vectors of bonds.
    """

    batch: CrystalBatch
    distances: Tensor
    centers: Incidence
    neighbors: Incidence
    pairs: Incidence
    n_short: int
    bonds: Incidence
    bond_centers: Incidence
    bond_pairs: Incidence
    directions: Tensor

    @property
    def n_sites(self) -> int:
        """N."""
        return len(self.batch.numbers)

    @cached_property
    def ends(self) -> Incidences:
        """Centers and neighbours of edges."""
        return Incidences([self.centers, self.neighbors])

    @cached_property
    def ends_and_pairs(self) -> Incidences:
        """Centers, neighbours and pairs of edges."""
        return Incidences([self.centers, self.neighbors, self.pairs])

    @cached_property
    def bond_pairs_and_centers(self) -> Incidences:
        """Pairs and centers of bonds."""
        return Incidences([self.bond_pairs, self.bond_centers])

    @cached_property
    def legs(self) -> Incidences:
        """Both bonds of angles."""
        return Incidences([self.own_legs, self.other_legs])

    @cached_property
    def own_legs(self) -> Incidence:
        """A bond of each of T angles, then the other bond of each: 2 T of them.

        An angle is between two bonds at one site, and occurs once.
        """
        legs = _angles(self.bond_centers.index, self.n_sites)
        return Incidence(torch.cat(legs), len(self.bond_centers))

    @cached_property
    def other_legs(self) -> Incidence:
        """The bonds that span the angles with `own_legs`."""
        first, second = self.own_legs.index.chunk(2)
        return Incidence(torch.cat([second, first]), len(self.bond_centers))

    def cosines(self) -> Tensor:
        """Return the cosine of each angle, shape (T,)."""
        first, second = self.own_legs.take(self.directions).chunk(2)
        return (first * second).sum(1)


def neighborhood(batch: CrystalBatch, vectors: Tensor, bond_cutoff: float) -> Neighborhood:
    """Find pairs, bonds and angles of a batch.

    Parameters
    ----------
    batch : CrystalBatch
    vectors : Tensor of shape (E, 3)
        Of its edges, in Å.
    bond_cutoff : float
        Longest bond in Å; bonds of one site span angles.

    Returns
    -------
    Neighborhood
    """
    n_sites = len(batch.numbers)
    first, pair, n_short = _pairs(batch.reverse, vectors.detach(), bond_cutoff)
    bonds = (pair < n_short).nonzero()[:, 0]
    bond_centers = batch.centers.index_select(0, bonds)
    bond_vectors = vectors.index_select(0, bonds)
    return Neighborhood(
        batch=batch,
        distances=_lengths(vectors.index_select(0, first)),
        centers=Incidence(batch.centers, n_sites),
        neighbors=Incidence(batch.neighbors, n_sites),
        pairs=Incidence(pair, len(first)),
        n_short=n_short,
        bonds=Incidence(bonds, len(batch.centers)),
        bond_centers=Incidence(bond_centers, n_sites),
        bond_pairs=Incidence(pair.index_select(0, bonds), n_short),
        directions=bond_vectors / _lengths(bond_vectors)[:, None],
    )


def _lengths(vectors: Tensor) -> Tensor:
    return vectors.square().sum(1).sqrt()


def _pairs(reverse: Tensor, vectors: Tensor, bond_cutoff: float) -> tuple[Tensor, Tensor, int]:
    """Return an edge of each pair, the pair of each edge, and the number of short pairs.

    Short ones come first; otherwise pairs are in the order of their first edges.
    """
    edges = torch.arange(len(reverse), device=reverse.device)
    first = (edges < reverse).nonzero()[:, 0]
    short = _lengths(vectors.index_select(0, first)) < bond_cutoff
    first = torch.cat([first[short], first[~short]])
    pair = torch.empty_like(edges)
    places = edges[: len(first)]
    pair[first] = places
    pair[reverse.index_select(0, first)] = places
    return first, pair, int(short.sum())


def _angles(bond_centers: Tensor, n_sites: int) -> tuple[Tensor, Tensor]:
    """Return the two bonds of each angle; bonds are sorted by their centers."""
    bonds = torch.arange(len(bond_centers), device=bond_centers.device)
    last = torch.bincount(bond_centers, minlength=n_sites).cumsum(0) - 1
    later = last.index_select(0, bond_centers) - bonds  # bonds of the same site that follow
    first = bonds.repeat_interleave(later)
    ends = later.cumsum(0)
    within = torch.arange(len(first), device=first.device) - (ends - later).index_select(0, first)
    return first, first + 1 + within
