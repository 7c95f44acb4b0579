"""The contract of an interatomic potential: a specification, and the network that it builds."""

from typing import NamedTuple

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor, nn

from skuae._elements import N_ELEMENTS
from skuae.crystals import CrystalBatch
from skuae.models import Elements
from skuae.potentials._incidence import Incidence

GPA = 160.21766208  # of 1 eV/Å³


class Potential(BaseEstimator):
    """Base class of specifications: parameters of a network from atoms to energies.

    Attributes
    ----------
    cutoff : float
        How far an atom sees, in Å.
    dim : int
        Columns of the vectors of elements that it reads without a layer of its own.
    has_magmoms : bool
        Whether its networks have magnetic moments.
    """

    cutoff: float
    dim: int
    has_magmoms: bool = False

    @property
    def width(self) -> int:
        """Columns of what energies of sites are read from."""
        return self.dim

    def covered(self) -> np.ndarray:
        """Tell which elements its networks have weights for, apart from a vector.

        Returns
        -------
        ndarray of bool of shape (118,)
        """
        return np.ones(N_ELEMENTS, dtype=bool)

    def check(self) -> None:
        """Raise ValueError at the first parameter that makes no sense."""
        raise NotImplementedError

    def build(self, elements: Elements) -> "PotentialModule":
        """Return the network, its weights drawn from torch's global generator.

        Parameters
        ----------
        elements : Elements

        Returns
        -------
        PotentialModule
        """
        raise NotImplementedError


class SiteOutputs(NamedTuple):
    """What a network says of the sites of a batch.

    Attributes
    ----------
    energies : Tensor of shape (N,)
        In eV.
    magmoms : Tensor of shape (N,), or None
        Sizes of magnetic moments in Bohr magnetons; None if the network has none.
    features : Tensor of shape (N, width)
        What energies are read from.
    """

    energies: Tensor
    magmoms: Tensor | None
    features: Tensor


class PotentialModule(nn.Module):
    """Base class of networks of potentials. All they do has two derivatives.

    Attributes
    ----------
    elements : Elements
        From a batch to the element vectors of its sites.
    """

    elements: Elements

    def forward(self, batch: CrystalBatch, vectors: Tensor) -> SiteOutputs:
        """Return energies of sites.

        Parameters
        ----------
        batch : CrystalBatch
            Cut from what `pack_edges` returned. B crystals, N sites, E edges.
        vectors : Tensor of shape (E, 3)
            Of its edges, in Å.

        Returns
        -------
        SiteOutputs
        """
        raise NotImplementedError


def element_layer(elements: Elements, dim: int) -> nn.Module:
    """Return a layer that brings vectors of elements to `dim` columns; none is needed for so many.

    Parameters
    ----------
    elements : Elements
    dim : int

    Returns
    -------
    Module
    """
    if elements.n_dims == dim:
        return nn.Identity()
    return nn.Linear(elements.n_dims, dim, bias=False)


class Outputs(NamedTuple):
    """Energies of a batch and their derivatives.

    Attributes
    ----------
    energies : Tensor of shape (B,)
        In eV per cell.
    forces : Tensor of shape (N, 3), or None
        In eV/Å.
    stresses : Tensor of shape (B, 3, 3), or None
        In GPa: the derivative of the energy by strain, per volume; positive under tension.
    magmoms : Tensor of shape (N,), or None
        In Bohr magnetons.
    site_energies : Tensor of shape (N,)
        In eV.
    """

    energies: Tensor
    forces: Tensor | None
    stresses: Tensor | None
    magmoms: Tensor | None
    site_energies: Tensor


def evaluate(
    module: PotentialModule,
    batch: CrystalBatch,
    *,
    derivatives: bool = True,
    create_graph: bool = False,
) -> Outputs:
    """Return energies, forces and stresses of a batch.

    Parameters
    ----------
    module : PotentialModule
    batch : CrystalBatch
        Cut from what `pack_edges` returned.
    derivatives : bool, default=True
        Whether to find forces and stresses, too.
    create_graph : bool, default=False
        Whether these are differentiated in turn, as a loss of them is.

    Returns
    -------
    Outputs
    """
    crystal = Incidence(batch.crystal, len(batch))
    if not derivatives:
        sites = module(batch, batch.vectors)
        energies = _total(sites.energies, crystal)
        return Outputs(energies, None, None, sites.magmoms, sites.energies)
    with torch.enable_grad():
        vectors = batch.vectors
        if not vectors.requires_grad:
            vectors = vectors.detach().requires_grad_()
        sites = module(batch, vectors)
        energies = _total(sites.energies, crystal)
        # With materialize_grads, crystals without any edge have forces of zero.
        (slopes,) = torch.autograd.grad(
            energies.sum(), vectors, create_graph=create_graph, materialize_grads=True
        )
        centers = Incidence(batch.centers, len(batch.numbers))
        neighbors = Incidence(batch.neighbors, len(batch.numbers))
        forces = centers.sum(slopes) - neighbors.sum(slopes)
        # A strain ε moves the end of an edge by r ε: its derivative is that of r ⊗ slope.
        virials = (vectors[:, :, None] * slopes[:, None, :]).flatten(1)
        virials = crystal.sum(centers.sum(virials)).view(-1, 3, 3)
    stresses = virials * (GPA / batch.volumes)[:, None, None]
    if create_graph:
        return Outputs(energies, forces, stresses, sites.magmoms, sites.energies)
    magmoms = None if sites.magmoms is None else sites.magmoms.detach()
    return Outputs(
        energies.detach(), forces.detach(), stresses.detach(), magmoms, sites.energies.detach()
    )


def _total(energies: Tensor, crystal: Incidence) -> Tensor:
    """Add up energies of sites per crystal, in double precision where the device has it."""
    exact = energies if energies.device.type == "mps" else energies.double()
    return crystal.sum(exact[:, None])[:, 0]
