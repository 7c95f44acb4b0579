"""Batches of crystals, which networks read."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor

from skuae.crystals._crystals import Crystals
from skuae.crystals._graphs import CrystalGraphs
from skuae.crystals._levels import LEVELS, schema_of
from skuae.crystals._links import Links
from skuae.crystals._reduced import ReducedGraphs

# What a batch may lack: then it is None.
_DECLARED = frozenset(
    name
    for cls in (Crystals, CrystalGraphs, ReducedGraphs)
    for name, column in schema_of(cls).items()
    if column.in_batch
).union(level.owner for level in LEVELS.values())


class CrystalBatch:
    """Batch of crystals as tensors: N sites, B crystals, E edges, A angles, M entries.

    With `ReducedGraphs`, sites, edges and angles are one of each kind, with counts. A column that
    the batch lacks is None. Columns given to `PackedTensors` are attributes, too.

    Parameters
    ----------
    columns : dict of Tensor
        By name.
    degree : int or None, default=None
        Edges per site if all sites have the same number, so that (E, ...) may be seen as
        (N, degree, ...).
    max_size : int or None, default=None
        Sites of the largest crystal, if the host knows them; see the attribute.

    Attributes
    ----------
    numbers : (N,) int64
        Atomic numbers.
    sizes : (B,) int64
        Sites per crystal, all of each kind counted.
    max_size : int
        The largest of `sizes`. If it was not given, the host waits for the device to compute it.
    crystal : (N,) int64
        Which crystal a site belongs to.
    frac_coords : (N, 3) float, or None
        Wrapped into the cell or as given; see `PackedTensors`.
    lattices : (B, 3, 3) float, or None
        Rows a, b, c in Å.
    centers, neighbors : (E,) int64, or None
        Sites at the two ends of an edge; edges are sorted by center.
    distances : (E,) float, or None
        In Å.
    images : (E, 3) float, or None
        Lattice translation of the neighbour: the edge is ``(frac_coords[neighbors] + images -
        frac_coords[centers]) @ lattice``. Only beside coordinates as given.
    site_counts : (N,) float, or None
        Sites of this kind in the crystal.
    edge_counts : (E,) float, or None
        Edges of this kind that the center has.
    moments : (E, 6) float, or None
        Mean of ``r r^T`` over all edges of this kind in the crystal, with unit vectors r along
        them; xx, xy, xz, yy, yz, zz. Sum it over whole crystals: equal sites may be turned, and
        each of them has its own sum over its neighbours.
    edges, others : (A,) int64, or None
        Two edges that meet in a site: the neighbour of `edges` is the center of `others`. Sorted by
        `edges`.
    cosines : (A,) float, or None
        Cosine of the angle between them.
    angle_counts : (A,) float, or None
        Angles of this kind that the edge has.
    occ_sites, occ_numbers, occ_values : (M,) int64, int64, float, or None
        Species of disordered sites, as in `Crystals`.
    """

    columns: dict[str, Tensor]
    degree: int | None

    def __init__(
        self,
        columns: Mapping[str, Tensor],
        degree: int | None = None,
        max_size: int | None = None,
    ) -> None:
        # Not by attribute: a batch is not written to.
        self.__dict__.update(columns=dict(columns), degree=degree)
        if max_size is not None:
            self.__dict__["max_size"] = max_size

    def __getattr__(self, name: str) -> Any:
        columns = self.__dict__.get("columns", {})
        if name in columns:
            return columns[name]
        if name in _DECLARED:
            return None
        raise AttributeError(f"the batch has no column {name!r}; it has {', '.join(columns)}")

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.columns, *_DECLARED})

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a batch stays as it is: use batch.replace({name}=...)")

    def __len__(self) -> int:
        return len(self.columns["sizes"])

    @cached_property
    def max_size(self) -> int:
        """Sites of the largest crystal."""
        return int(self.sizes.max())

    @cached_property
    def bonds(self) -> Links:
        """The edges as links between sites."""
        return Links(self.centers, self.neighbors, len(self.numbers), self.degree, self.edge_counts)

    @cached_property
    def angles(self) -> Links:
        """The angles as links between edges."""
        return Links(self.edges, self.others, len(self.centers), None, self.angle_counts)

    def replace(self, **columns: Tensor) -> Self:
        """Return a batch with other values in some columns.

        Parameters
        ----------
        **columns : Tensor
            New values of columns that the batch has, of the same length.

        Returns
        -------
        CrystalBatch
        """
        for name in columns:
            if name not in self.columns:
                raise ValueError(f"the batch has no column {name!r} to replace")
        max_size = None if "sizes" in columns else self.__dict__.get("max_size")
        return type(self)({**self.columns, **columns}, self.degree, max_size)

    def to(self, device: torch.device | str) -> Self:
        """Return the batch on another device.

        Parameters
        ----------
        device : torch.device or str

        Returns
        -------
        CrystalBatch
        """
        columns = {k: v.to(device, non_blocking=True) for k, v in self.columns.items()}
        return type(self)(columns, self.degree, self.__dict__.get("max_size"))


# Names that columns cannot have.
RESERVED = _DECLARED.union(dir(CrystalBatch), ("columns", "degree", "sizes"))
