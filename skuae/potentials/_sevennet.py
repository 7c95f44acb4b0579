"""SevenNet: equivariant message passing after NequIP, computed by the sevenn package."""

from skuae.models import Elements
from skuae.potentials._checks import FARTHEST, check_at_least, check_numbers
from skuae.potentials._contract import Potential, PotentialModule

# A file may name these settings, so they must not ask for more than a machine has.
_MOST = {"channel": 1024, "lmax": 4, "num_convolution_layer": 16}


class SevenNet(Potential):
    """Specification of SevenNet, whose network comes from the sevenn package.

    Parameters have the names of that package. The defaults are those of SevenNet-0.

    Parameters
    ----------
    channel : int, default=128
        Scalars of an atom; vectors are half as many, and each higher order half of the one before.
    lmax : int, default=2
        Highest order of the vectors of atoms and of the spherical harmonics of an edge.
    num_convolution_layer : int, default=5
        Updates of atoms.
    cutoff : float, default=5.0
        How far an atom sees, in Å.

    See Also
    --------
    CrystalPotential : Trains it, and predicts.

    Notes
    -----
    Park et al., J. Chem. Theory Comput. 20, 4857 (2024); Batzner et al., Nature Communications 13,
    2453 (2022). Networks need the sevenn package (MIT licence), which brings the weights of
    SevenNet-0: ``pip install "skuae[sevennet]"``. That package and mace-torch need different
    versions of e3nn, so take an environment for each.

    Vectors of elements are the rows of the node embedding of the package, divided by the root of
    the number of elements, as its layer divides them. Elements have no other weights.

    Equal sites of a crystal are not merged, since forces differ between them.

    Examples
    --------
    >>> from skuae.potentials import SevenNet
    >>> SevenNet(32, lmax=1)
    SevenNet(channel=32, lmax=1)
    """

    def __init__(
        self,
        channel: int = 128,
        *,
        lmax: int = 2,
        num_convolution_layer: int = 5,
        cutoff: float = 5.0,
    ) -> None:
        self.channel = channel
        self.lmax = lmax
        self.num_convolution_layer = num_convolution_layer
        self.cutoff = cutoff

    @property
    def dim(self) -> int:  # type: ignore[override]
        """Scalars of an atom: columns of the vectors of elements."""
        return self.channel

    def check(self) -> None:
        for name, most in _MOST.items():
            check_at_least(self, name, int(name != "lmax"))
            if getattr(self, name) > most:
                raise ValueError(f"{name} must be at most {most}; got {getattr(self, name)}")
        if self.channel < 2**self.lmax or self.channel % 2:
            raise ValueError(
                f"channel must be even and at least 2**lmax; got channel={self.channel}, "
                f"lmax={self.lmax}"
            )
        check_numbers(self, "cutoff")
        if self.cutoff > FARTHEST:
            raise ValueError(f"cutoff must be at most {FARTHEST} Å; got {self.cutoff}")

    def build(self, elements: Elements) -> PotentialModule:
        from skuae.potentials._sevennet_module import SevenNetModule

        return SevenNetModule(elements, self)
