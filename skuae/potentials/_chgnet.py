"""CHGNet: the crystal Hamiltonian graph network, Deng et al. 2023."""

from skuae.models import Elements
from skuae.potentials._checks import check_at_least, check_cutoffs, check_flags
from skuae.potentials._chgnet_module import CHGNetModule
from skuae.potentials._contract import Potential, PotentialModule


class CHGNet(Potential):
    """Specification of CHGNet, which updates vectors of atoms, bonds and angles.

    The defaults are those of version 0.3.0 of the chgnet package.

    Parameters
    ----------
    dim : int, default=64
        Width of the vectors of atoms, bonds and angles.
    n_blocks : int, default=4
        Updates of atoms. Between two of them, bonds and angles are updated.
    n_radial : int, default=31
        Radial basis functions.
    n_angular : int, default=31
        Angular basis functions; an odd number.
    n_readout : int, default=3
        Hidden layers from the vector of an atom to its energy.
    cutoff : float, default=6.0
        Cutoff radius of atoms in Å.
    bond_cutoff : float, default=3.0
        Longest bond that is part of angles, in Å.
    exponent : int, default=8
        Exponent of the envelope that is zero at a cutoff.
    norm : bool, default=True
        Whether gates and the read-out have layer norms.
    message_bias : bool, default=False
        Whether sums of messages pass through a layer with a bias. With one, the energy is not
        smooth where the last angle of a crystal vanishes.

    See Also
    --------
    CrystalPotential : Trains it, and predicts.

    Notes
    -----
    Deng et al., Nature Machine Intelligence 5, 1031 (2023). Version 0.2.0, that of the paper, is
    ``CHGNet(n_radial=9, n_angular=9, n_readout=2, cutoff=5.0, exponent=5, norm=False,
    message_bias=True)``. Version 0.3.0 has 412,525 parameters, 94 of which are the reference
    energies of elements. The last update of angles (33,408 parameters) reaches no output; it exists
    but is not computed.

    Equal sites of a crystal are not merged, since forces differ between them.

    Examples
    --------
    >>> from skuae.potentials import CHGNet
    >>> CHGNet(n_blocks=3)
    CHGNet(n_blocks=3)
    """

    has_magmoms = True

    def __init__(
        self,
        dim: int = 64,
        n_blocks: int = 4,
        n_radial: int = 31,
        n_angular: int = 31,
        n_readout: int = 3,
        *,
        cutoff: float = 6.0,
        bond_cutoff: float = 3.0,
        exponent: int = 8,
        norm: bool = True,
        message_bias: bool = False,
    ) -> None:
        self.dim = dim
        self.n_blocks = n_blocks
        self.n_radial = n_radial
        self.n_angular = n_angular
        self.n_readout = n_readout
        self.cutoff = cutoff
        self.bond_cutoff = bond_cutoff
        self.exponent = exponent
        self.norm = norm
        self.message_bias = message_bias

    def check(self) -> None:
        for name, least in (
            ("dim", 1), ("n_blocks", 1), ("n_radial", 1), ("n_angular", 1), ("n_readout", 0),
            ("exponent", 3),
        ):  # fmt: skip
            check_at_least(self, name, least)
        if self.n_angular % 2 == 0:
            raise ValueError(
                f"n_angular must be odd: a constant, sines and cosines; got {self.n_angular}"
            )
        check_flags(self, "norm", "message_bias")
        check_cutoffs(self)

    def build(self, elements: Elements) -> PotentialModule:
        return CHGNetModule(
            elements, self.dim, self.n_blocks, self.n_radial, self.n_angular, self.n_readout,
            cutoff=self.cutoff, bond_cutoff=self.bond_cutoff, exponent=self.exponent,
            norm=self.norm, message_bias=self.message_bias,
        )  # fmt: skip
