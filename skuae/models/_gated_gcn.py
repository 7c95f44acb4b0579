"""Edge-gated graph convolutions, Bresson and Laurent 2017, as ALIGNN has them, without angles."""

from skuae.crystals import Crystals
from skuae.models._alignn import ALIGNN, FARTHEST, ALIGNNModule
from skuae.models._backbone import Backbone, CrystalModule, Inputs
from skuae.models._elements import Elements


class GatedGCN(Backbone):
    """Specification of a gated graph network: atoms and bonds have vectors, and both are updated.

    It is `ALIGNN` without the angles, which take most of its time.

    Parameters
    ----------
    hidden_dim : int, default=128
        Width of the vectors of atoms and bonds.
    n_layers : int, default=5
    expansion_dim : int, default=64
        Width of the layer between the Gaussians of a length and its vector.
    cutoff : float, default=8.0
        Radius in Å within which neighbours are searched; 8 at most, where the Gaussians end.
    max_neighbors : int, default=12
        Nearest neighbours that are taken; an atom that is taken by another takes that one in turn.
    whole_shell : bool, default=True
        Take all neighbours as far as the last one.

    See Also
    --------
    ALIGNN : The same with angles. ``ALIGNN(128, 0, 5)`` is this network.

    Notes
    -----
    The convolution is that of Bresson and Laurent, arXiv:1711.07553, as ALIGNN has it (Choudhary
    and DeCost, npj Comput. Mater. 7, 185, 2021). Equal sites and bonds of a crystal are computed
    once and counted.
    """

    native_table = "cgcnn"  # features of atoms, not trained
    native_frozen = True
    default_lr = 3e-3
    has_bf16 = True
    reads = "distances to the 12 nearest neighbours within 8 Å, whole shells"

    def __init__(
        self,
        hidden_dim: int = 128,
        n_layers: int = 5,
        expansion_dim: int = 64,
        *,
        cutoff: float = FARTHEST,
        max_neighbors: int = 12,
        whole_shell: bool = True,
    ) -> None:
        self.hidden_dim = hidden_dim
        self.n_layers = n_layers
        self.expansion_dim = expansion_dim
        self.cutoff = cutoff
        self.max_neighbors = max_neighbors
        self.whole_shell = whole_shell

    def check(self) -> None:
        self._check_at_least(1, "n_layers")
        self._as_alignn().check()

    def inputs(self, crystals: Crystals, *, merge: bool = True) -> Inputs:
        return self._as_alignn().inputs(crystals, merge=merge)

    def build(self, elements: Elements, n_outputs: int) -> CrystalModule:
        return ALIGNNModule(self._as_alignn(), elements, n_outputs)

    def _as_alignn(self) -> ALIGNN:
        return ALIGNN(
            self.hidden_dim,
            0,
            self.n_layers,
            self.expansion_dim,
            cutoff=self.cutoff,
            max_neighbors=self.max_neighbors,
            whole_shell=self.whole_shell,
        )
