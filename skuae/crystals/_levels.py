"""Levels: crystals, their sites, the edges of sites and the angles of edges, stored end to end.

A level has offsets, which say what rows of it each row of the level above owns, and named columns
with one entry per row. A class declares each column once, in the annotation of a field. The code
here takes, joins, checks and saves all columns of a class; `PackedTensors` moves them to a device
and cuts batches.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from os import PathLike
from typing import Annotated, Any, Self, get_type_hints

import numpy as np
from numpy.typing import DTypeLike

from skuae.crystals._packing import frozen, offsets_from_sizes, read_npz, take_rows, write_npz

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Level:
    """The place of a level among the others.

    Attributes
    ----------
    parent : str
        The level above.
    offsets : str
        Name of the offsets: row ``r`` of the level above owns the rows
        ``offsets[r]:offsets[r + 1]`` of this level.
    owner : str
        Name of the column of a batch that holds, for each row, its owner in the level above.
    rare : bool
        Most crystals have no rows here. A batch without rows has none of the columns.
    """

    parent: str
    offsets: str
    owner: str
    rare: bool = False


# A level stands below its parent. Entries are the species of disordered sites.
LEVELS = {
    "sites": Level("crystals", "offsets", "crystal"),
    "edges": Level("sites", "edge_offsets", "centers"),
    "angles": Level("edges", "angle_offsets", "edges"),
    "entries": Level("sites", "occ_offsets", "occ_sites", rare=True),
}
OFFSETS = {level.offsets: name for name, level in LEVELS.items()}


@dataclass(frozen=True)
class Column:
    """Declaration of one array, in the annotation of a field.

    Attributes
    ----------
    level : str
        The array has one entry per row of this level.
    dtype : type
        dtype of the packed array.
    shape : tuple of int
        Shape of one entry.
    refers_to : {"sites", "edges"} or None
        Entries are rows of this level, counted from the first row of the crystal. A batch counts
        from the first row of the batch.
    real : bool
        Batches hold floats even if the packed array holds integers.
    in_batch : bool
        Whether batches have the column.
    unwrapped : bool
        Entries go with the coordinates as given. Batches have the column only beside these.
    """

    level: str
    dtype: DTypeLike
    shape: tuple[int, ...] = ()
    refers_to: str | None = None
    real: bool = False
    in_batch: bool = True
    unwrapped: bool = False


Schema = Mapping[str, Column]


def offsets_of(level: str) -> Column:
    """Declare the offsets of a level.

    Parameters
    ----------
    level : str

    Returns
    -------
    Column
    """
    return Column(LEVELS[level].parent, np.int64, in_batch=False)


def take_levels(
    arrays: Arrays, schema: Schema, rows: np.ndarray, level: str = "crystals"
) -> Arrays:
    """Take some rows of a level, with all that they own.

    Parameters
    ----------
    arrays : dict of ndarray
        Columns and offsets.
    schema : dict of Column
    rows : ndarray of int
        In any order.
    level : str, default="crystals"

    Returns
    -------
    dict of ndarray
        Arrays of this level and of those below.
    """
    index, taken = {level: rows}, {}
    for name, below in LEVELS.items():
        if below.parent in index and below.offsets in arrays:
            offsets = arrays[below.offsets]
            index[name], taken[below.offsets] = take_rows(offsets, index[below.parent])
    for name, array in arrays.items():
        if name not in OFFSETS and schema[name].level in index:
            taken[name] = array.take(index[schema[name].level], axis=0)  # faster than array[index]
    return taken


def join_levels(parts: Sequence[Arrays]) -> Arrays:
    """Join the arrays of several parts end to end.

    Parameters
    ----------
    parts : sequence of dict of ndarray
        At least one; all with the same names.

    Returns
    -------
    dict of ndarray
    """
    names = set(parts[0])
    for part in parts[1:]:
        if names != set(part):
            raise ValueError(f"only some parts have {', '.join(sorted(names ^ set(part)))}")
    joined = {}
    for name in parts[0]:
        columns = [part[name] for part in parts]
        if name in OFFSETS:
            joined[name] = offsets_from_sizes(np.concatenate([np.diff(c) for c in columns]))
        else:
            joined[name] = np.concatenate(columns)
    return joined


def check_levels(arrays: Arrays, schema: Schema) -> None:
    """Raise ValueError unless arrays have the dtypes, shapes and entries that a schema asks for.

    Parameters
    ----------
    arrays : dict of ndarray
        Columns and offsets.
    schema : dict of Column
    """
    for name, array in arrays.items():
        if name not in schema or array.dtype != schema[name].dtype:
            raise ValueError(f"{name} is no column, or has another dtype")
    # For each level, where the rows of each crystal begin.
    bounds = {"crystals": np.arange(len(arrays["offsets"]))}
    for name, level in LEVELS.items():
        if level.offsets in arrays:
            offsets, n_owners = arrays[level.offsets], bounds[level.parent][-1]
            if (
                offsets.shape != (n_owners + 1,)
                or offsets[0] != 0
                or np.any(offsets[1:] < offsets[:-1])
            ):
                raise ValueError(f"{level.offsets} are no offsets of {n_owners} rows")
            bounds[name] = offsets[bounds[level.parent]]
    for name in arrays.keys() - OFFSETS.keys():
        _check_column(name, arrays[name], schema[name], bounds)


def _check_column(name: str, array: np.ndarray, column: Column, bounds: Arrays) -> None:
    expected = (bounds[column.level][-1], *column.shape)
    if array.shape != expected:
        raise ValueError(f"{name} has shape {array.shape}, expected {expected}")
    if column.refers_to is not None:
        n_rows = np.repeat(np.diff(bounds[column.refers_to]), np.diff(bounds[column.level]))
        if np.any(array < 0) or np.any(array >= n_rows):
            raise ValueError(f"{name} names {column.refers_to} that the crystal does not have")


def schema_of(cls: type) -> Schema:
    """Return the columns and offsets that a class declares.

    Parameters
    ----------
    cls : type

    Returns
    -------
    dict of Column
    """
    return _read_schema(cls)


@cache
def _read_schema(cls: type) -> Schema:
    hints = get_type_hints(cls, include_extras=True)
    facts = {name: getattr(hint, "__metadata__", (None,))[0] for name, hint in hints.items()}
    return {name: column for name, column in facts.items() if isinstance(column, Column)}


@dataclass(frozen=True, eq=False, kw_only=True)
class Levels:
    """Packed arrays of some crystals, on one or more levels.

    A field annotated with a `Column` is an array, and becomes read-only; None by default if the
    column is optional. Other fields are settings of all crystals together, which JSON can hold.

    Examples
    --------
    >>> from skuae.crystals._levels import Column, Levels
    >>> @dataclass(frozen=True, eq=False, kw_only=True)
    ... class Charges(Levels):
    ...     charges: Annotated[np.ndarray, Column("sites", np.float32)]
    >>> charges = Charges(offsets=[0, 2, 3], charges=[1, -1, 0])
    >>> charges.take([1, 0]).charges
    array([ 0.,  1., -1.], dtype=float32)
    """

    offsets: Annotated[np.ndarray, offsets_of("sites")]

    def __post_init__(self) -> None:
        for name, column in schema_of(type(self)).items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, frozen(value, column.dtype))
        self._check_whole()

    def _check_whole(self) -> None:
        """Raise ValueError unless an optional level, such as angles, has all of its columns."""
        schema = schema_of(type(self))
        optional = {f.name for f in fields(self) if f.default is None}
        for name, level in LEVELS.items():
            if level.offsets in optional:
                names = [level.offsets, *(c for c in schema if schema[c].level == name)]
                if len({getattr(self, column) is None for column in names}) > 1:
                    raise ValueError(f"{', '.join(names)} go together: some are missing")

    def __reduce__(self) -> tuple:
        # Through the constructor, since copies and pickles of arrays are writeable.
        return _rebuild, (type(self), {f.name: getattr(self, f.name) for f in fields(self)})

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def nbytes(self) -> int:
        """Memory of the packed arrays in bytes."""
        return sum(array.nbytes for array in self.arrays().values())

    def arrays(self) -> Arrays:
        """Return the arrays by name, without those that are None."""
        values = {name: getattr(self, name) for name in schema_of(type(self))}
        return {name: value for name, value in values.items() if value is not None}

    def settings(self) -> dict[str, Any]:
        """Return the fields that are not arrays."""
        names = [f.name for f in fields(self) if f.name not in schema_of(type(self))]
        return {name: getattr(self, name) for name in names}

    def take(self, rows: Any) -> Self:
        """Take some crystals.

        Parameters
        ----------
        rows : array-like of int, mask or slice

        Returns
        -------
        object of the same class
            In the order of `rows`.
        """
        rows = np.arange(len(self))[rows]
        return replace(self, **take_levels(self.arrays(), schema_of(type(self)), rows))

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Join several of this class end to end.

        Parameters
        ----------
        parts : sequence of objects of this class
            At least one; all with the same columns and settings.

        Returns
        -------
        object of the same class

        Raises
        ------
        ValueError
            If settings or columns differ.
        """
        settings = parts[0].settings()
        for part in parts[1:]:
            if part.settings() != settings:
                raise ValueError(f"the parts differ: {settings} and {part.settings()}")
        return cls(**join_levels([part.arrays() for part in parts]), **settings)

    def save(self, path: str | PathLike) -> None:
        """Write the arrays and settings to one compressed ``.npz`` file, all or nothing.

        Parameters
        ----------
        path : str or path-like
        """
        settings = np.array(json.dumps(self.settings(), default=np.generic.item))
        write_npz(path, self._format(), {**self.arrays(), "settings": settings})

    @classmethod
    def load(cls, path: str | PathLike) -> Self:
        """Read what :meth:`save` wrote. Nothing is unpickled.

        Parameters
        ----------
        path : str or path-like

        Returns
        -------
        object of this class

        Raises
        ------
        ValueError
            If the file is not one that :meth:`save` wrote, or is damaged.
        """
        return read_npz(path, cls._format(), cls._from_file, what=cls.__name__, cls=cls.__name__)

    @classmethod
    def _format(cls) -> str:
        return f"skuae-{cls.__name__}-1"

    @classmethod
    def _from_file(cls, arrays: Arrays) -> Self:
        settings = json.loads(str(arrays.pop("settings")))
        check_levels(arrays, schema_of(cls))
        return cls(**arrays, **settings)


def _rebuild(cls: type, values: dict[str, Any]) -> Any:
    return cls(**values)
