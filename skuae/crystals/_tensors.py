"""Packed crystals as tensors on a device, and batches of them by index arithmetic."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from skuae.crystals._arrays import arrays_by_level
from skuae.crystals._batch import RESERVED, CrystalBatch
from skuae.crystals._crystals import Crystals
from skuae.crystals._levels import LEVELS, Arrays, Column, Levels, schema_of, take_levels
from skuae.crystals._reduced import ReducedGraphs
from skuae.crystals._search import wrap

Coords = Literal["wrapped", "given"]
Rows = Sequence[int] | np.ndarray | Tensor


class PackedTensors:
    """Crystals (and their graphs) on a device, ready to be cut into batches.

    Parameters
    ----------
    crystals : Crystals
    graphs : CrystalGraphs, ReducedGraphs, other levels of these crystals, or None
        Without graphs, batches carry coordinates and lattices instead of neighbours.
    device : torch.device or str, default="cpu"
    dtype : torch.dtype, default=torch.float32
        Of all floats.
    coords : {"wrapped", "given"} or None, default=None
        Coordinates that batches carry, with lattices. ``"wrapped"`` moves all sites into the cell.
        ``"given"`` leaves them where they are; batches then also carry the images of edges, which
        go with these coordinates. Graphs must have all sites then, as with ``merge=False``. None
        stands for no coordinates with graphs, for ``"wrapped"`` without.
    columns : dict of array-like of shape (n_crystals, ...), optional
        Further columns of crystals; a batch has them as attributes. Floats become `dtype`, integers
        int64.

    Attributes
    ----------
    columns : dict of Tensor
        What batches are cut from.
    degree : int or None
        Edges per site if all sites have the same number.

    Raises
    ------
    ValueError
        If `coords` is none of these, sites of the graphs are merged but coordinates wanted, or a
        column has a wrong length, a name that is taken or no numbers.
    """

    def __init__(
        self,
        crystals: Crystals,
        graphs: Levels | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        *,
        coords: Coords | None = None,
        columns: Mapping[str, ArrayLike] | None = None,
    ) -> None:
        if coords not in (None, "wrapped", "given"):
            raise ValueError(f"coords must be 'wrapped', 'given' or None; got {coords!r}")
        if graphs is None and coords is None:
            coords = "wrapped"
        arrays, schema = _gather(crystals, graphs, coords)
        for name, values in (columns or {}).items():
            arrays[name] = _check_column(name, values, len(crystals))
            schema[name] = Column("crystals", arrays[name].dtype)
        self._levels = {
            name: _Owned(arrays[level.offsets], device)
            for name, level in LEVELS.items()
            if level.offsets in arrays
        }
        self._n_rows = _count_rows(arrays, len(crystals))
        self._sizes = arrays["sizes"]
        self._schema = {name: column for name, column in schema.items() if name in arrays}
        self.columns = {
            name: _to_tensor(arrays[name], column, device, dtype)
            for name, column in self._schema.items()
        }
        self.degree = self._levels["edges"].degree if graphs is not None else None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def offsets(self) -> Tensor:
        """Crystal ``i`` owns the sites ``offsets[i]:offsets[i + 1]``, shape (n_crystals + 1,)."""
        return self._levels["sites"].offsets

    def n_rows(self, level: str) -> np.ndarray:
        """Count the rows of a level that each crystal has.

        Parameters
        ----------
        level : {"sites", "edges", "angles", "entries"}

        Returns
        -------
        ndarray of int64 of shape (n_crystals,)
        """
        return self._n_rows[level]

    def batch(self, rows: Rows) -> CrystalBatch:
        """Cut out some crystals.

        Parameters
        ----------
        rows : array-like of int of shape (B,)
            If they are on a GPU, the host waits for them.

        Returns
        -------
        CrystalBatch
        """
        rows = np.asarray(rows.cpu() if isinstance(rows, Tensor) else rows)
        totals = {name: int(n_rows[rows].sum()) for name, n_rows in self._n_rows.items()}
        cut = _Cut(to_device(rows, self.offsets.device), self._levels, totals)
        columns = dict(cut.owners)
        # On a CPU, index_select takes a quarter of the time of indexing.
        for name, column in self._schema.items():
            if column.level in cut.index:
                values = self.columns[name].index_select(0, cut.index[column.level])
                if column.refers_to is not None:
                    values = values + cut.shift(column.refers_to, column.level)
                columns[name] = values
        return CrystalBatch(columns, self.degree, int(self._sizes[rows].max(initial=0)))


class _Owned:
    """The rows of a level that each row of the level above owns."""

    def __init__(self, offsets: np.ndarray, device: torch.device | str) -> None:
        self.offsets = torch.tensor(offsets, device=device)
        sizes = np.diff(offsets)
        same = len(sizes) > 0 and sizes[0] > 0 and np.ptp(sizes) == 0
        self.degree = int(sizes[0]) if same else None
        self._within = torch.arange(self.degree or 0, device=device)

    def take(self, owners: Tensor, total: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the rows of some owners, the place of the owner of each, and offsets of these.

        The number of rows, `total`, comes from the host: it would have to wait for the device.
        """
        places = torch.arange(len(owners), device=owners.device)
        if self.degree is not None:  # owners alone say it all
            rows = (owners[:, None] * self.degree + self._within).flatten()
            own = places.repeat_interleave(self.degree, output_size=total)
            return rows, own, torch.arange(0, total + 1, self.degree, device=owners.device)
        starts = self.offsets.index_select(0, owners)
        sizes = self.offsets.index_select(0, owners + 1) - starts
        offsets = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
        own = places.repeat_interleave(sizes, output_size=total)
        rows = torch.arange(total, device=owners.device)
        rows += (starts - offsets[:-1]).index_select(0, own)
        return rows, own, offsets


class _Cut:
    """The rows of all levels that some crystals own."""

    def __init__(
        self, crystals: Tensor, levels: Mapping[str, _Owned], totals: Mapping[str, int]
    ) -> None:
        self.index = {"crystals": crystals}
        self.owners: dict[str, Tensor] = {}
        self._offsets: dict[str, Tensor] = {}
        for name, owned in levels.items():
            level = LEVELS[name]
            if totals[name] or not level.rare:
                rows, owners, offsets = owned.take(self.index[level.parent], totals[name])
                self.index[name] = rows
                self.owners[level.owner] = owners
                self._offsets[name] = offsets

    def shift(self, target: str, level: str) -> Tensor:
        """Return, for each row of a level, the first row of a level above in its crystal."""
        if level == "crystals":
            return self._first(target)
        owners = self.owners[LEVELS[level].owner]
        return self.shift(target, LEVELS[level].parent).index_select(0, owners)

    def _first(self, level: str) -> Tensor:
        parent = LEVELS[level].parent
        offsets = self._offsets[level]
        return offsets[:-1] if parent == "crystals" else offsets[self._first(parent)]


def to_device(values: np.ndarray | Tensor, device: torch.device) -> Tensor:
    """Return values of the host as a tensor on a device, which goes on working meanwhile.

    Parameters
    ----------
    values : ndarray, or Tensor on the CPU
    device : torch.device

    Returns
    -------
    Tensor
        On a CPU, it shares the memory of the values.
    """
    tensor = torch.as_tensor(values)
    if device.type != "cuda":
        return tensor.to(device)
    # From other than pinned memory, CUDA copies when all work before is done, and the host waits.
    return tensor.pin_memory().to(device, non_blocking=True)


def _count_rows(arrays: Arrays, n_crystals: int) -> dict[str, np.ndarray]:
    """Count the rows of each level that each crystal has, shape (n_crystals,)."""
    first = {"crystals": np.arange(n_crystals + 1)}
    for name, level in LEVELS.items():
        if level.offsets in arrays:
            first[name] = arrays[level.offsets][first[level.parent]]
    return {name: np.diff(rows) for name, rows in first.items()}


def _gather(
    crystals: Crystals, graphs: Levels | None, coords: Coords | None
) -> tuple[Arrays, dict[str, Column]]:
    """Collect what batches are to carry, and how these columns are declared."""
    if graphs is not None and len(graphs) != len(crystals):
        raise ValueError(
            f"{len(graphs)} graphs for {len(crystals)} crystals: they belong to others"
        )
    arrays, schema = arrays_by_level(crystals), {**schema_of(Crystals)}
    arrays["sizes"], schema["sizes"] = crystals.sizes, Column("crystals", np.int64)
    if coords is None:
        del arrays["frac_coords"], arrays["lattices"]
    elif coords == "wrapped":
        arrays["frac_coords"], _ = wrap(arrays["frac_coords"])
    if isinstance(graphs, ReducedGraphs):
        if coords is not None and len(graphs.sites) != crystals.n_sites:
            raise ValueError("sites of these graphs are merged: build graphs with merge=False")
        sites = graphs.sites + np.repeat(crystals.offsets[:-1], np.diff(graphs.offsets))
        arrays |= take_levels(arrays, schema, sites, "sites")
    if graphs is not None:
        arrays |= graphs.arrays()
        schema |= schema_of(type(graphs))
    return arrays, {
        name: column
        for name, column in schema.items()
        if column.in_batch and (coords == "given" or not column.unwrapped)
    }


def _check_column(name: str, values: ArrayLike, n_crystals: int) -> np.ndarray:
    """Return a column of crystals as an array, or raise ValueError."""
    array = np.asarray(values)
    if name in RESERVED or not name.isidentifier():
        raise ValueError(f"columns: the name {name!r} is taken or no identifier; choose another")
    if array.ndim == 0 or len(array) != n_crystals:
        raise ValueError(
            f"columns: {name!r} has shape {array.shape}, expected one entry for each of "
            f"{n_crystals} crystals"
        )
    if array.dtype.kind not in "fiub":
        raise ValueError(f"columns: {name!r} holds {array.dtype}, expected numbers or bools")
    return array.astype(np.int64) if array.dtype.kind in "iu" else array


def _to_tensor(
    array: np.ndarray, column: Column, device: torch.device | str, dtype: torch.dtype
) -> Tensor:
    """Copy an array to a device: floats as `dtype`, integers as int64."""
    kind = array.dtype.kind
    if kind == "f" or column.real:
        return torch.tensor(array, device=device, dtype=dtype)
    if kind == "b" or column.refers_to is not None:  # a shift makes int64 of references
        return torch.tensor(array, device=device)
    return torch.tensor(array, device=device, dtype=torch.int64)
