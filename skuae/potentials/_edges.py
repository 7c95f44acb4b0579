"""Edges between atoms as interatomic potentials read them: vectors, and both directions."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch

from skuae._messages import such_rows
from skuae.crystals import Column, Crystals, Levels, PackedTensors, offsets_of


@dataclass(frozen=True, eq=False, kw_only=True)
class Edges(Levels):
    """Packed neighbour lists with vectors; never merged by symmetry.

    Attributes
    ----------
    offsets : ndarray of int64 of shape (n_crystals + 1,)
        Crystal ``i`` owns the sites ``offsets[i]:offsets[i + 1]``.
    edge_offsets : ndarray of int64 of shape (n_sites + 1,)
        Site ``s`` owns the edges ``edge_offsets[s]:edge_offsets[s + 1]``, nearest first.
    neighbors : ndarray of int32 of shape (n_edges,)
        Index of the neighbour within its crystal.
    reverse : ndarray of int32 of shape (n_edges,)
        Index of the edge that runs the other way, counted from the first edge of the crystal.
    vectors : ndarray of float64 of shape (n_edges, 3)
        From the site to its neighbour, in Å.
    """

    edge_offsets: Annotated[np.ndarray, offsets_of("edges")]
    neighbors: Annotated[np.ndarray, Column("edges", np.int32, refers_to="sites")]
    reverse: Annotated[np.ndarray, Column("edges", np.int32, refers_to="edges")]
    vectors: Annotated[np.ndarray, Column("edges", np.float64, (3,))]


def find_edges(crystals: Crystals, cutoff: float) -> Edges:
    """Find all neighbours within a cutoff.

    Parameters
    ----------
    crystals : Crystals
    cutoff : float
        In Å.

    Returns
    -------
    Edges
        Vectors are those of the coordinates as given, in double precision.
    """
    graphs = crystals.graph(cutoff)
    degrees = np.diff(graphs.edge_offsets)
    crystal = np.repeat(np.arange(len(crystals)), crystals.sizes)
    center = np.repeat(np.arange(crystals.n_sites), degrees)
    neighbor = graphs.neighbors + crystals.offsets[crystal[center]]
    image = graphs.images.astype(np.int64)
    kept, reverse = _pair(center, neighbor, image)
    center, neighbor, image = center[kept], neighbor[kept], image[kept]
    steps = crystals.frac_coords[neighbor] - crystals.frac_coords[center] + image
    owner = crystal[center]
    edge_offsets = np.searchsorted(center, np.arange(crystals.n_sites + 1))
    return Edges(
        offsets=crystals.offsets,
        edge_offsets=edge_offsets,
        neighbors=neighbor - crystals.offsets[owner],
        reverse=reverse - edge_offsets[crystals.offsets[owner]],
        vectors=np.einsum("ei,eij->ej", steps, crystals.lattices[owner]),
    )


def _pair(
    center: np.ndarray, neighbor: np.ndarray, image: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the edges that run both ways, and for each of these its reverse among them.

    Within rounding of the cutoff, an edge may have been found in one direction only. It counts for
    nothing there, since potentials vanish at the cutoff.
    """
    # All in one integer, which is much faster to sort than columns.
    codes, names = np.unique(_codes(np.concatenate([image, -image])), return_inverse=True)
    n = 1 + max(int(center.max(initial=0)), int(neighbor.max(initial=0)))
    there = (center * n + neighbor) * len(codes) + names[: len(center)]
    here = (neighbor * n + center) * len(codes) + names[len(center) :]
    _, forth, reverse = np.intersect1d(there, here, assume_unique=True, return_indices=True)
    kept = np.sort(forth)
    place = np.empty(len(center), np.int64)
    place[kept] = np.arange(len(kept))
    reversed_ = np.empty(len(kept), np.int64)
    reversed_[place[reverse]] = place[forth]
    return kept, reversed_


def _codes(image: np.ndarray) -> np.ndarray:
    """Return one integer for each lattice translation of 16 bits."""
    return (image + 32_768) @ np.array([1 << 34, 1 << 17, 1])


def pack_edges(
    crystals: Crystals, cutoff: float, device: torch.device | str, dtype: torch.dtype
) -> PackedTensors:
    """Return crystals with their edges on a device, ready to be cut into batches.

    Parameters
    ----------
    crystals : Crystals
    cutoff : float
        In Å.
    device : torch.device or str
    dtype : torch.dtype

    Returns
    -------
    PackedTensors
        Batches have the volumes of cells in Å³, too.

    Raises
    ------
    ValueError
        If a crystal is disordered.
    """
    check_ordered(crystals)
    edges = find_edges(crystals, cutoff)
    return PackedTensors(crystals, edges, device, dtype, columns={"volumes": crystals.volumes})


def check_ordered(crystals: Crystals) -> None:
    """Raise ValueError at the first crystal with sites that are shared or partly empty.

    Parameters
    ----------
    crystals : Crystals
    """
    disordered = np.flatnonzero(crystals.is_disordered)
    if len(disordered):
        raise ValueError(
            f"{crystals.where(int(disordered[0]))} has sites that are shared or partly empty"
            f"{such_rows(len(disordered))}; an interatomic potential needs whole atoms: order the "
            "structure (pymatgen's OrderDisorderedStructureTransformation), or drop the row"
        )
