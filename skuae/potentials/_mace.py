"""MACE: higher-order equivariant message passing, computed by the mace-torch package."""

import re

import numpy as np

from skuae._elements import N_ELEMENTS, atomic_number
from skuae.models import Elements
from skuae.potentials._checks import FARTHEST, check_at_least, check_flags, check_numbers
from skuae.potentials._contract import Potential, PotentialModule

# A file may name these settings, so they must not ask for more than a machine has.
_IRREPS = re.compile(r"[1-9]\d{0,3}x[0-6][eo](\+[1-9]\d{0,3}x[0-6][eo])*")
_WIDTHS = re.compile(r"([1-9]\d{0,3}( [1-9]\d{0,3}){0,9})?")
_MOST = {
    "num_interactions": 8, "num_bessel": 256, "num_polynomial_cutoff": 100, "correlation": 5,
    "max_ell": 6,
}  # fmt: skip
_LARGEST_PRODUCT = 400_000  # of harmonics of all the neighbours that one term takes together
_CHOICES = {
    "gate": ("silu", "tanh", "abs", "None"),
    "radial_type": ("bessel", "gaussian", "chebyshev"),
    "distance_transform": ("None", "Agnesi", "Soft"),
}
_FLAGS = (
    "pair_repulsion", "apply_cutoff", "use_reduced_cg", "use_so3", "use_agnostic_product",
    "use_last_readout_only", "use_edge_irreps_first",
)  # fmt: skip


class MACE(Potential):
    """Specification of MACE, whose network comes from the mace-torch package.

    Parameters have the names and mostly the defaults of that package. They say all that its weights
    do not; `CrystalPotential.from_pretrained` reads them from a model.

    Parameters
    ----------
    hidden_irreps : str, default="128x0e+128x1o"
        Vectors of atoms: numbers of scalars, of vectors, and so on. Scalars come first.
    elements : str or None, default=None
        Symbols of the elements that have weights, with spaces between them. None: all elements with
        a vector, H to Pu or those of `embedding`.
    cutoff : float, default=5.0
        How far an atom sees, in Å; ``r_max`` of the package.
    num_interactions : int, default=2
        Updates of atoms.
    num_bessel : int, default=8
        Radial basis functions.
    num_polynomial_cutoff : int, default=5
        Exponent of the envelope that is zero at the cutoff.
    max_ell : int, default=3
        Highest order of the spherical harmonics of an edge.
    correlation : int, default=3
        Neighbours that one term of an update takes together.
    MLP_irreps : str, default="16x0e"
        Hidden layer of the last read-out.
    radial_MLP : str, default="64 64 64"
        Hidden layers from functions of a distance to weights.
    gate : {"silu", "tanh", "abs", "None"}, default="silu"
        Activation of the last read-out.
    interaction_cls, interaction_cls_first : str
        Names of classes of the package; ``"RealAgnosticResidualInteractionBlock"`` by default.
    readout_cls : str, default="NonLinearReadoutBlock"
        Class of the last read-out.
    edge_irreps : str or None, default=None
        Width of the vectors of atoms that messages read; None for that of `hidden_irreps`.
    avg_num_neighbors : float, default=40.0
        Sums over neighbours are divided by it.
    radial_type : {"bessel", "gaussian", "chebyshev"}, default="bessel"
    distance_transform : {"None", "Agnesi", "Soft"}, default="None"
    pair_repulsion : bool, default=False
        Whether the repulsion of nuclei is added (Ziegler, Biersack and Littmark).
    apply_cutoff, use_reduced_cg : bool, default=True
    use_so3, use_agnostic_product, use_last_readout_only : bool, default=False
    use_edge_irreps_first : bool, default=False
        See the package.

    See Also
    --------
    CrystalPotential : Trains it, and predicts.

    Notes
    -----
    Batatia et al., NeurIPS 2022 (arXiv:2206.07697). Networks need the mace-torch package (MIT
    licence): ``pip install "skuae[mace]"``.

    Vectors of elements are the rows of the node embedding of the package, divided by the root of
    the number of elements, as its layer divides them. Elements have other weights besides: in the
    products of neighbours and in the skip connections. A table does not reach those.

    Equal sites of a crystal are not merged, since forces differ between them.

    Examples
    --------
    >>> from skuae.potentials import MACE
    >>> MACE("32x0e+32x1o", cutoff=4.5)
    MACE(cutoff=4.5, hidden_irreps='32x0e+32x1o')
    """

    def __init__(
        self,
        hidden_irreps: str = "128x0e+128x1o",
        *,
        elements: str | None = None,
        cutoff: float = 5.0,
        num_interactions: int = 2,
        num_bessel: int = 8,
        num_polynomial_cutoff: int = 5,
        max_ell: int = 3,
        correlation: int = 3,
        MLP_irreps: str = "16x0e",
        radial_MLP: str = "64 64 64",
        gate: str = "silu",
        interaction_cls: str = "RealAgnosticResidualInteractionBlock",
        interaction_cls_first: str = "RealAgnosticResidualInteractionBlock",
        readout_cls: str = "NonLinearReadoutBlock",
        edge_irreps: str | None = None,
        avg_num_neighbors: float = 40.0,
        radial_type: str = "bessel",
        distance_transform: str = "None",
        pair_repulsion: bool = False,
        apply_cutoff: bool = True,
        use_reduced_cg: bool = True,
        use_so3: bool = False,
        use_agnostic_product: bool = False,
        use_last_readout_only: bool = False,
        use_edge_irreps_first: bool = False,
    ) -> None:
        self.hidden_irreps = hidden_irreps
        self.elements = elements
        self.cutoff = cutoff
        self.num_interactions = num_interactions
        self.num_bessel = num_bessel
        self.num_polynomial_cutoff = num_polynomial_cutoff
        self.max_ell = max_ell
        self.correlation = correlation
        self.MLP_irreps = MLP_irreps
        self.radial_MLP = radial_MLP
        self.gate = gate
        self.interaction_cls = interaction_cls
        self.interaction_cls_first = interaction_cls_first
        self.readout_cls = readout_cls
        self.edge_irreps = edge_irreps
        self.avg_num_neighbors = avg_num_neighbors
        self.radial_type = radial_type
        self.distance_transform = distance_transform
        self.pair_repulsion = pair_repulsion
        self.apply_cutoff = apply_cutoff
        self.use_reduced_cg = use_reduced_cg
        self.use_so3 = use_so3
        self.use_agnostic_product = use_agnostic_product
        self.use_last_readout_only = use_last_readout_only
        self.use_edge_irreps_first = use_edge_irreps_first

    @property
    def dim(self) -> int:  # type: ignore[override]
        """Scalars of an atom: columns of the vectors of elements."""
        return int(self.hidden_irreps.partition("x")[0])

    @property
    def width(self) -> int:
        """Scalars of an atom after all updates."""
        return self.dim * self.num_interactions

    @property
    def numbers(self) -> list[int] | None:
        """Atomic numbers of `elements`, in their order."""
        return None if self.elements is None else [*map(atomic_number, self.elements.split())]

    def covered(self) -> np.ndarray:
        if self.numbers is None:
            return super().covered()
        known = np.zeros(N_ELEMENTS, dtype=bool)
        known[np.array(self.numbers) - 1] = True
        return known

    def check(self) -> None:
        for name, most in _MOST.items():
            check_at_least(self, name, int(name != "max_ell"))
            if getattr(self, name) > most:
                raise ValueError(f"{name} must be at most {most}; got {getattr(self, name)}")
        if (self.max_ell + 1) ** (2 * self.correlation) > _LARGEST_PRODUCT:
            raise ValueError(
                f"max_ell={self.max_ell} with correlation={self.correlation} takes too much memory;"
                " lower one of them"
            )
        check_flags(self, *_FLAGS)
        check_numbers(self, "cutoff", "avg_num_neighbors")
        if self.cutoff > FARTHEST:
            raise ValueError(f"cutoff must be at most {FARTHEST} Å; got {self.cutoff}")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name} must be one of {', '.join(choices)}; got {getattr(self, name)!r}"
                )
        self._check_texts()
        if self.numbers is not None and not 0 < len(self.numbers) == len(set(self.numbers)):
            raise ValueError(
                f"elements must be symbols with spaces between them; got {self.elements!r}"
            )

    def _check_texts(self) -> None:
        for name in ("interaction_cls", "interaction_cls_first", "readout_cls"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"{name} must be a name; got {getattr(self, name)!r}")
        for name in ("hidden_irreps", "MLP_irreps", "edge_irreps"):
            value = getattr(self, name)
            if value is None and name == "edge_irreps":
                continue
            if not isinstance(value, str) or not _IRREPS.fullmatch(value):
                raise ValueError(f'{name} must be a text such as "128x0e+128x1o"; got {value!r}')
        if "x0e" not in self.hidden_irreps.partition("+")[0]:
            raise ValueError(
                f"hidden_irreps must begin with scalars (0e); got {self.hidden_irreps!r}"
            )
        if not isinstance(self.radial_MLP, str) or not _WIDTHS.fullmatch(self.radial_MLP):
            raise ValueError(
                f'radial_MLP must be a text such as "64 64 64"; got {self.radial_MLP!r}'
            )

    def build(self, elements: Elements) -> PotentialModule:
        from skuae.potentials._mace_module import MACEModule

        return MACEModule(elements, self)
