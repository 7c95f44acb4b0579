"""The contract of a back-end: a specification of parameters, and the network that it builds.

A back-end is a class of parameters (`Backbone`, an estimator of scikit-learn without ``fit``). It
defines the input of the network (`Inputs`) and builds the network (`CrystalModule`). The page "Add
a back-end" of the documentation shows how to write one; `check_backbone` tests it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor, nn

from skuae._doc_links import DocLinks
from skuae._nested import NestedParams
from skuae._numbers import is_real
from skuae.crystals import CrystalBatch, CrystalGraphs, Crystals, PackedTensors, ReducedGraphs
from skuae.models._elements import Elements
from skuae.models._layers import mean_over_sites

Augmentation = Callable[[CrystalBatch, torch.Generator], CrystalBatch]
_FARTHEST = 100.0  # Å, of neighbours

# All back-ends that were ever defined, by the name of their class: saved models are read with
# those that are there, and nothing is imported because a file names it.
SPECIFICATIONS: dict[str, list[type["Backbone"]]] = {}


@dataclass(frozen=True, eq=False)
class Inputs:
    """Input of a network besides the elements.

    Attributes
    ----------
    graphs : CrystalGraphs, ReducedGraphs or None
        Neighbours, as `Crystals.graph` and `Crystals.reduced_graph` find them.
    coords : {"wrapped", "given"} or None
        Whether batches carry fractional coordinates and lattices: wrapped into the cell, or as
        given, which is what the images of edges refer to.
    columns : dict of str to ndarray of shape (n_crystals, ...)
        Further facts about each crystal. A batch has them as attributes of these names.
    """

    graphs: CrystalGraphs | ReducedGraphs | None = None
    coords: Literal["wrapped", "given"] | None = None
    columns: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.coords not in (None, "wrapped", "given"):
            raise ValueError(f'coords must be "wrapped", "given" or None; got {self.coords!r}')

    def pack(
        self,
        crystals: Crystals,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        *,
        coords: Literal["wrapped", "given"] | None = None,
    ) -> PackedTensors:
        """Return the crystals with their inputs as tensors, ready to be cut into batches.

        Parameters
        ----------
        crystals : Crystals
        device : torch.device or str, default="cpu"
        dtype : torch.dtype, default=torch.float32
        coords : {"wrapped", "given"} or None, default=None
            Coordinates that batches carry even if the back-end does not ask for any.

        Returns
        -------
        PackedTensors
        """
        return PackedTensors(
            crystals,
            self.graphs,
            device=device,
            dtype=dtype,
            coords=self.coords or coords,
            columns=self.columns,
        )


class CrystalModule(nn.Module):
    """Base class of networks on crystals. Shapes: N sites, B crystals.

    A subclass sets `elements`, `head` and `width` in its constructor, and has `embed`, or
    `site_vectors` if it averages vectors of sites, or both. If it builds another back-end inside
    itself, ``elements`` is a property that returns the inner one's, so that they are registered
    once.

    Attributes
    ----------
    elements : Elements
        From a batch to the element vectors of its sites, (N, elements.n_dims).
    head : torch.nn.Module
        From the vectors of crystals to the outputs. Transfer to other targets leaves it out.
    width : int
        Columns of `embed`.
    edge_dtype : torch.dtype or None
        dtype of the vectors of edges and angles, as `set_precision` sets it; None for that of the
        weights. Weights, norms, sums and vectors of sites do not have it.
    """

    elements: Elements
    head: nn.Module
    width: int
    edge_dtype: torch.dtype | None = None

    @property
    def first_layer(self) -> nn.Module:
        """The layer that reads element vectors, from (n, elements.n_dims) to (n, any)."""
        raise NotImplementedError

    def site_vectors(self, batch: CrystalBatch) -> Tensor:
        """Return vectors of sites. Unless a class has its own `embed`, that is their mean.

        Parameters
        ----------
        batch : CrystalBatch

        Returns
        -------
        Tensor of shape (N, width), or (N, any) where a class has its own `embed`
        """
        raise NotImplementedError

    def embed(self, batch: CrystalBatch) -> Tensor:
        """Return what the head reads: one vector per crystal.

        Parameters
        ----------
        batch : CrystalBatch

        Returns
        -------
        Tensor of shape (B, width)
        """
        return mean_over_sites(self.site_vectors(batch), batch)

    def layer_vectors(self, batch: CrystalBatch) -> dict[str, Tensor]:
        """Return one vector per crystal after each layer of the network, as features of crystals.

        A network without a method of its own hands out `embed` alone. Those of skuae average the
        vectors of sites after each layer.

        Parameters
        ----------
        batch : CrystalBatch

        Returns
        -------
        dict of str to Tensor of shape (B, any)
            By the name of the layer, in order: the same names and widths for all batches. The last
            one is "embed", what `embed` returns.
        """
        return {"embed": self.embed(batch)}

    def forward(self, batch: CrystalBatch) -> Tensor:
        """Return the outputs, (B, n_outputs)."""
        return self.head(self.embed(batch))

    @property
    def has_site_vectors(self) -> bool:
        """Whether the class defines `site_vectors`."""
        return type(self).site_vectors is not CrystalModule.site_vectors

    @property
    def is_additive(self) -> bool:
        """Whether each output is a mean over sites of linear functions of `site_vectors`."""
        kind = type(self)
        return (
            self.has_site_vectors
            and kind.embed is CrystalModule.embed
            and kind.forward is CrystalModule.forward
            and isinstance(self.head, nn.Linear)
        )


def set_precision(module: CrystalModule, precision: str) -> None:
    """Have a network compute the vectors of edges and angles in single or half precision.

    Parameters
    ----------
    module : CrystalModule
    precision : {"float32", "bf16"}
        bfloat16 halves the memory of these vectors. It is meant for hardware that multiplies it.
        Weights, norms, sums and vectors of sites stay as they are.

    Raises
    ------
    ValueError
        If it is neither of these.
    """
    if precision not in ("float32", "bf16"):
        raise ValueError(f'precision must be "float32" or "bf16"; got {precision!r}')
    for part in module.modules():
        if isinstance(part, CrystalModule):
            part.edge_dtype = torch.bfloat16 if precision == "bf16" else None


class Backbone(NestedParams, DocLinks, BaseEstimator):
    """Base class of back-ends: parameters, input and construction of a network.

    Subclass it as an estimator of scikit-learn: the constructor takes keyword parameters and stores
    them under their names. Then it can be searched, cloned, compared and saved. A parameter may be
    another back-end.

    Attributes
    ----------
    native_table : str
        Element table to use where none is given; one of `skuae.embedding.table_names`.
    native_frozen : bool
        Whether that table holds features, which are not trained.
    default_lr : float
        Peak learning rate that ``lr="auto"`` stands for.
    clip_norm : float or None
        Largest norm of the gradient.
    pads : bool
        Whether batches should hold crystals of about equal size.
    has_bf16 : bool
        Whether the network computes in `CrystalModule.edge_dtype`.
    invariant : bool
        Whether the prediction is independent of the order of the sites, the orientation of the
        crystal and the origin of the cell.
    reads : str
        What the network reads of a crystal besides the elements, for tables of back-ends.
    """

    native_table: ClassVar[str]
    native_frozen: ClassVar[bool]
    default_lr: ClassVar[float]
    clip_norm: ClassVar[float | None] = None
    pads: ClassVar[bool] = False
    has_bf16: ClassVar[bool] = False
    invariant: ClassVar[bool] = True
    reads: ClassVar[str] = ""

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)
        known = SPECIFICATIONS.setdefault(cls.__name__, [])
        known[:] = [kind for kind in known if kind.__module__ != cls.__module__]  # defined again
        known.append(cls)

    def check(self) -> None:
        """Raise ValueError at the first parameter that makes no sense.

        Here, parameters that are back-ends are checked, or lists of these. A class that has such
        parameters and a `check` of its own calls ``super().check()``.
        """
        for value in self.get_params(deep=False).values():
            for inner in value if isinstance(value, (list, tuple)) else [value]:
                if isinstance(inner, Backbone):
                    inner.check()

    def spelled_out(self) -> dict[str, Any]:
        """Return the parameters, to compare back-ends by.

        Where a name means another back-end than elsewhere, a class puts that in its place.

        Returns
        -------
        dict
        """
        params: dict[str, Any] = self.get_params(deep=False)
        return params

    def inputs(self, crystals: Crystals, *, merge: bool = True) -> Inputs:
        """Return what the network reads of crystals.

        Parameters
        ----------
        crystals : Crystals
        merge : bool, default=True
            Whether equal sites may be represented by one. They may not if sites know where they
            are, or if each is to be looked at.

        Returns
        -------
        Inputs
        """
        raise NotImplementedError

    def build(self, elements: Elements, n_outputs: int) -> CrystalModule:
        """Return the network, its weights drawn from torch's global generator.

        Parameters
        ----------
        elements : Elements
            From a batch to the element vectors of its sites, (N, elements.n_dims).
        n_outputs : int

        Returns
        -------
        CrystalModule
        """
        raise NotImplementedError

    def augmentation(self) -> Augmentation | None:
        """Return a function that varies training batches, or None.

        Returns
        -------
        callable or None
            From a `CrystalBatch` and a `torch.Generator` to a new batch.
        """
        return None

    def _check_at_least(self, least: int, *names: str, most: int = 2**31 - 1) -> None:
        """Raise ValueError unless these parameters are integers, `least` to `most`."""
        for name in names:
            value = getattr(self, name)
            if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
                raise ValueError(f"{name} must be an integer, at least {least}; got {value!r}")
            if int(value) > most:
                raise ValueError(f"{name} must be at most {most}; got {value!r}")

    def _check_cutoff(self) -> None:
        """Raise ValueError unless `cutoff` is a sensible number of Å."""
        if not is_real(self.cutoff) or not 0.5 <= self.cutoff < math.inf:
            raise ValueError(f"cutoff must be a number of Å, at least 0.5; got {self.cutoff!r}")
        if self.cutoff > _FARTHEST:
            raise ValueError(
                f"cutoff must be at most {_FARTHEST} Å: a site of a dense crystal has 400,000 "
                f"neighbours within that; got {self.cutoff!r}"
            )
