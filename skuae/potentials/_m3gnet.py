"""M3GNet: graph networks with three-body interactions, Chen and Ong 2022."""

from skuae.models import Elements
from skuae.potentials._checks import (
    check_at_least,
    check_cutoffs,
    check_flags,
)
from skuae.potentials._contract import Potential, PotentialModule
from skuae.potentials._m3gnet_module import M3GNetModule

_MOST_ORDERS = 6  # the recursion of spherical Bessel functions loses digits beyond
_MOST_ZEROS = 64  # of a Bessel function, each found in turn


class M3GNet(Potential):
    """Specification of M3GNet: edges learn of the angles at their atoms, and atoms of their edges.

    The defaults are those of the m3gnet package.

    Parameters
    ----------
    dim : int, default=64
        Width of the vectors of atoms and edges.
    n_blocks : int, default=3
        Updates of edges and atoms.
    max_n : int, default=3
        Functions of a distance for each order, at most 64.
    max_l : int, default=3
        Legendre polynomials of the angle, of the orders 0 to ``max_l - 1``; at most 6.
    n_layers : int, default=2
        Layers of the gated perceptrons that update edges and atoms.
    n_readout : int, default=2
        Hidden layers from the vector of an atom to its energy.
    cutoff : float, default=5.0
        How far an atom sees, in Å.
    bond_cutoff : float, default=4.0
        Longest bond that spans angles, in Å.
    smooth : bool, default=True
        Whether functions of distances are `max_n` combinations that vanish at the cutoff with two
        derivatives. False takes ``max_n * max_l`` spherical Bessel functions: then forces jump
        where a neighbour comes within the cutoff.
    edge_bias : bool, default=False
        Whether the layer from functions of distances to vectors of edges has a bias.
    activated_weights : bool, default=True
        Whether the weights of messages to atoms pass through silu.

    See Also
    --------
    CrystalPotential : Trains it, and predicts.

    Notes
    -----
    Chen and Ong, Nature Computational Science 2, 718 (2022). The defaults have 227,549 parameters,
    as published, with 94 elements and one row of the package's table that stands for none. The
    version of the matgl package is ``M3GNet(n_layers=3, n_readout=3, smooth=False, edge_bias=True,
    activated_weights=False)``, with 288,157 parameters for 89 elements.

    It has no magnetic moments; labels of these do not count. Sums over angles take a time that
    grows with the number of bonds, since each Legendre polynomial is a sum of products.

    Every crystal is taken as it is: equal sites are not merged, since forces tell them apart.

    Examples
    --------
    >>> from skuae.potentials import M3GNet
    >>> M3GNet(n_blocks=2)
    M3GNet(n_blocks=2)
    """

    def __init__(
        self,
        dim: int = 64,
        n_blocks: int = 3,
        max_n: int = 3,
        max_l: int = 3,
        n_layers: int = 2,
        n_readout: int = 2,
        *,
        cutoff: float = 5.0,
        bond_cutoff: float = 4.0,
        smooth: bool = True,
        edge_bias: bool = False,
        activated_weights: bool = True,
    ) -> None:
        self.dim = dim
        self.n_blocks = n_blocks
        self.max_n = max_n
        self.max_l = max_l
        self.n_layers = n_layers
        self.n_readout = n_readout
        self.cutoff = cutoff
        self.bond_cutoff = bond_cutoff
        self.smooth = smooth
        self.edge_bias = edge_bias
        self.activated_weights = activated_weights

    def check(self) -> None:
        for name, least in (
            ("dim", 1), ("n_blocks", 1), ("max_n", 1), ("max_l", 1), ("n_layers", 1),
            ("n_readout", 0),
        ):  # fmt: skip
            check_at_least(self, name, least)
        for name, most in (("max_n", _MOST_ZEROS), ("max_l", _MOST_ORDERS)):
            if getattr(self, name) > most:
                raise ValueError(f"{name} must be at most {most}; got {getattr(self, name)}")
        check_flags(self, "smooth", "edge_bias", "activated_weights")
        check_cutoffs(self)

    def build(self, elements: Elements) -> PotentialModule:
        return M3GNetModule(
            elements, self.dim, self.n_blocks, self.max_n, self.max_l, self.n_layers,
            self.n_readout, cutoff=self.cutoff, bond_cutoff=self.bond_cutoff, smooth=self.smooth,
            edge_bias=self.edge_bias, activated_weights=self.activated_weights,
        )  # fmt: skip
