"""Crystals on disk, in shards that are mapped into memory, for sets that do not fit into it."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skuae._files import checked_content
from skuae._row_names import row_name
from skuae._warnings import warn
from skuae.crystals import Crystals, join_shards
from skuae.datasets._manifest import Manifest
from skuae.datasets._shard_labels import decoded

BUFFER = 32_768
# Rows of a shard that enter a window together: with fewer, shards are opened more often.
_CHUNK = 512
_ONE_AXIS = "Shards have one axis: index them with a slice, a list or a mask of rows"


def open_shards(folder, *, buffer=BUFFER):
    """Open crystals that :func:`write_shards` wrote.

    Nothing but the list of shards is read before it is needed. Several processes may read one
    folder at the same time.

    Parameters
    ----------
    folder : str or path-like
    buffer : int, default=32768
        Crystals that `fit`, `predict` and `Shards.parts` hold in memory at a time, `fit` and
        `predict` with their graphs. `fit` takes pieces of shards, 512 crystals each, in random
        order until the buffer is full, shuffles the crystals in it, and deals batches from these.
        `fit` and `predict` never hold less than one piece, or four batches, however small `buffer`
        is.

    Returns
    -------
    Shards

    Raises
    ------
    FileNotFoundError
        If the folder has no manifest.
    ValueError
        - If `buffer` is no integer above 0.
        - If the manifest is damaged or was changed: copy the folder again, or write it again.
        - If the first writing is not finished. Wait for it; after an interruption, call
          `write_shards` again as before, and it goes on.

    Warns
    -----
    UserWarning
        A later writing with ``append=True`` is not finished: what it wrote is left out.

    Examples
    --------
    >>> import tempfile
    >>> from skuae.datasets import make_toy_crystals, open_shards, write_shards
    >>> toy = make_toy_crystals(n_samples=16, random_state=0)
    >>> folder = tempfile.mkdtemp()
    >>> shards = write_shards(toy.structures, toy.target, folder, shard_size=6)
    >>> open_shards(folder)[::2]
    Shards(n_crystals=8, n_shards=3)
    """
    if not isinstance(buffer, (int, np.integer)) or isinstance(buffer, bool) or buffer < 1:
        raise ValueError(f"buffer must be an integer above 0; got {buffer!r}")
    folder = Path(folder).absolute()  # which another working directory does not change
    manifest = Manifest.read(folder)
    if not manifest.complete:
        said = (
            f"the writing of {folder} is not finished: another process is at it, or it was "
            "interrupted. If it was, call write_shards again as before, and it goes on where it "
            "stopped; or pass restart=True to begin it anew"
        )
        if not manifest.begun:
            raise ValueError(said)
        manifest = manifest.before()
        n = len(manifest.shards)
        warn(f"{said}. Until it is finished, these are the {n} shards written before it")
    return Shards(folder, manifest, int(buffer))


class Shards:
    """Crystals in a folder, with labels; see :func:`open_shards`.

    `fit`, `predict` and `score` of skuae's estimators read them piece by piece. Other estimators
    and transformers of skuae take them too, and load all crystals into memory. Indexing with an int
    gives a pymatgen Structure; with a slice, an int array or a mask, other `Shards` of these rows,
    as cross-validation needs. Graphs are built once, and kept in files beside the shards.

    Parameters
    ----------
    folder : Path
    manifest : Manifest
    buffer : int
    rows : ndarray of int, optional
        The rows of the folder that these are; all by default.

    Attributes
    ----------
    labels : DataFrame of shape (n_crystals, n_labels)
        Indexed by id.
    target : ndarray of shape (n_crystals,) or (n_crystals, n_targets), or None
        The labels as an array.
    target_names : list of str
    ids : ndarray of str of shape (n_crystals,), or None
        None where some crystals have none.
    errors : DataFrame with columns source, row, id, reason
        Rows that were left out when the shards were written. `source` counts the calls of
        `write_shards`, and `row` the rows of its source, both from 0.
    crystals : Crystals
        All crystals, read into memory each time.

    Examples
    --------
    >>> import tempfile
    >>> from skuae.datasets import make_toy_crystals, write_shards
    >>> toy = make_toy_crystals(n_samples=16, random_state=0)
    >>> shards = write_shards(toy.structures, toy.target, tempfile.mkdtemp(), shard_size=6)
    >>> shards[10:], shards[10:].crystals
    (Shards(n_crystals=6, n_shards=2), Crystals(n_crystals=6, n_sites=12))
    >>> [len(part) for part in shards.parts()]
    [16]
    """

    ndim = 1

    def __init__(self, folder: Path, manifest: Manifest, buffer: int, rows: Any = None) -> None:
        self.folder, self.buffer = folder, buffer
        self._manifest = manifest
        self._bounds = np.append(0, np.cumsum(manifest.counts))
        self._rows = rows
        self._labels: pd.DataFrame | None = None

    def __len__(self) -> int:
        return int(self._bounds[-1]) if self._rows is None else len(self._rows)

    @property
    def shape(self) -> tuple[int]:
        """Tuple ``(n_crystals,)``, as scikit-learn's splitters ask for it."""
        return (len(self),)

    def __repr__(self) -> str:
        n_shards = len(np.unique(self._places(np.arange(len(self)))[0]))
        return f"Shards(n_crystals={len(self)}, n_shards={n_shards})"

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, tuple):  # scikit-learn's indexing asks for X[rows, ...]
            if len(key) != 2 or key[1] is not Ellipsis:
                raise IndexError(_ONE_AXIS)
            key = key[0]
        if isinstance(key, np.ndarray) and key.ndim == 0:
            key = key[()]
        if isinstance(key, (int, np.integer)):
            row = range(len(self))[key]
            (shard,), (local,) = self._places(np.array([row]))
            return self._read(int(shard))[int(local)]
        own = self._own(key)
        rows = own if self._rows is None else self._rows[own]
        part = Shards(self.folder, self._manifest, self.buffer, rows)
        if self._labels is not None:
            part._labels = self._labels.iloc[own]
        return part

    def __iter__(self) -> Iterator[Any]:
        for part in self.parts():
            yield from part

    def __reduce__(self) -> tuple:
        return Shards, (self.folder, self._manifest, self.buffer, self._rows)

    # -- labels -----------------------------------------------------------------------------------

    @property
    def labels(self) -> pd.DataFrame:
        """All labels, indexed by id."""
        if self._labels is None:
            parts = [self._frame(n) for n in np.flatnonzero(self._manifest.counts).tolist()]
            frame = pd.concat(parts) if parts else pd.DataFrame(columns=list(self._manifest.kinds))
            if any(part.index.name is None for part in parts):
                frame = frame.reset_index(drop=True)
            self._labels = frame if self._rows is None else frame.iloc[self._rows]
        return self._labels

    def _frame(self, number: int) -> pd.DataFrame:
        shard = self._manifest.read_shard(self.folder, number)
        ids = shard.crystals.ids
        index = None if ids is None else pd.Index(ids, name="id", dtype=object)
        index = pd.RangeIndex(len(shard.crystals)) if index is None else index
        frame = pd.DataFrame(index=index)
        with checked_content(self.folder / self._manifest.shards[number].file, "these labels"):
            for name, kind in self._manifest.kinds.items():
                values = decoded(shard.labels[name], kind)
                frame[name] = pd.Series(values, index, values.dtype)
        return frame

    @property
    def target_names(self) -> list[str]:
        """Names of the labels."""
        return list(self._manifest.kinds)

    @property
    def target(self) -> np.ndarray | None:
        """The labels as an array; one-dimensional if y was."""
        if not self._manifest.kinds:
            return None
        values = self.labels.to_numpy(copy=True)
        return values[:, 0] if self._manifest.one_target else values

    @property
    def ids(self) -> np.ndarray | None:
        """Names of the crystals."""
        index = self.labels.index
        return index.to_numpy(dtype=str) if index.name == "id" else None

    @property
    def errors(self) -> pd.DataFrame:
        """Rows of the sources that were left out."""
        found: list[list[Any]] = []
        starts: dict[int, int] = {}
        for entry in self._manifest.shards:
            start = starts.get(entry.source, 0)
            found += [[entry.source, start + row, *why] for row, *why in entry.errors]
            starts[entry.source] = start + entry.rows
        return pd.DataFrame(found, columns=["source", "row", "id", "reason"])

    # -- crystals ---------------------------------------------------------------------------------

    @property
    def crystals(self) -> Crystals:
        """All crystals, read into memory."""
        return self.read(np.arange(len(self)))

    def where(self, row: int) -> str:
        """Return how messages call a crystal; see :meth:`skuae.Crystals.where`.

        Parameters
        ----------
        row : int

        Returns
        -------
        str
        """
        return row_name(row, self.ids)

    def composition(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Count the atoms of each element in each crystal; see :meth:`skuae.Crystals.composition`.

        Returns
        -------
        rows, numbers, amounts : ndarray of shape (n_entries,)
        """
        parts: list[tuple[np.ndarray, ...]] = [(*np.zeros((2, 0), dtype=np.int64), np.zeros(0))]
        for number, own, local in self._by_shard(np.arange(len(self))):
            crystals = self._read(number)
            for start in range(0, len(own), self.buffer):
                piece = slice(start, start + self.buffer)
                rows, numbers, amounts = crystals[local[piece]].composition()
                parts.append((own[piece][rows], numbers, amounts))
        rows, numbers, amounts = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.argsort(rows, kind="stable")
        return rows[order], numbers[order], amounts[order]

    def parts(self) -> Iterator[Crystals]:
        """Yield all crystals, in their order, so many at a time as the buffer holds.

        Rows in random order open each shard again and again.

        Yields
        ------
        Crystals
        """
        for start in range(0, len(self), self.buffer):
            yield self.read(np.arange(start, min(start + self.buffer, len(self))))

    def read(self, rows: Any) -> Crystals:
        """Read some crystals into memory. Their graphs are those kept beside the shards.

        Parameters
        ----------
        rows : array-like of int, mask or slice

        Returns
        -------
        Crystals
            In the order of `rows`.
        """
        rows = self._own(rows)
        if not len(rows):
            raise ValueError("there are no crystals in these rows; at least one is needed")
        parts, places = [], []
        for number, own, local in self._by_shard(rows):
            crystals = self._read(number)
            whole = np.array_equal(local, np.arange(len(crystals)))
            parts.append((crystals, None if whole else local))
            places.append(own)
        joined, order = join_shards(parts), np.concatenate(places)
        if np.array_equal(order, np.arange(len(order))):
            return joined
        return joined[np.argsort(order)]

    def windows(self, size: int, rng: np.random.Generator | None) -> list[np.ndarray]:
        """Divide the rows among windows of pieces of shards.

        Parameters
        ----------
        size : int
            Crystals in a window, about.
        rng : numpy.random.Generator or None
            For the order of the pieces; None keeps it.

        Returns
        -------
        list of ndarray of int
            In each of several windows, rows are sorted by shard and place.
        """
        rows, n = np.arange(len(self)), len(self)
        n_windows = -(-n // size)
        if n_windows <= 1:
            return [rows]
        shards, local = self._places(rows)
        order = np.lexsort((local, shards))
        chunks = np.stack([shards, local // _CHUNK])[:, order]
        parts = np.split(order, 1 + np.flatnonzero(np.diff(chunks).any(axis=0)))
        drawn = np.arange(len(parts)) if rng is None else rng.permutation(len(parts))
        sizes = np.array([len(parts[i]) for i in drawn])
        middles = np.cumsum(sizes) - sizes / 2
        window = np.minimum((middles * n_windows / n).astype(int), n_windows - 1)
        return [
            np.concatenate([parts[i] for i in np.sort(drawn[window == number])])
            for number in np.unique(window)
        ]

    @property
    def sizes(self) -> np.ndarray:
        """Sites per crystal, shape (n_crystals,)."""
        sizes = np.zeros(len(self), dtype=np.int64)
        for number, own, local in self._by_shard(np.arange(len(self))):
            sizes[own] = self._read(number).sizes[local]
        return sizes

    @property
    def checksum(self) -> str:
        """Fingerprint of the crystals and their order."""
        digest = hashlib.sha256("".join(e.checksum for e in self._manifest.shards).encode())
        if self._rows is not None:
            digest.update(np.ascontiguousarray(self._rows, np.int64).tobytes())
        return digest.hexdigest()

    def _own(self, key: Any) -> np.ndarray:
        """Return the rows that a key selects."""
        rows = np.arange(len(self))[key]
        if rows.ndim != 1:
            raise IndexError(_ONE_AXIS)
        return rows

    def _by_shard(self, rows: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Yield the number of each shard, which of the rows are in it, and their places there."""
        shards, local = self._places(rows)
        order = np.argsort(shards, kind="stable")
        numbers, starts = np.unique(shards[order], return_index=True)
        for number, own in zip(numbers.tolist(), np.split(order, starts)[1:], strict=True):
            yield number, own, local[own]

    def _places(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the shards of rows, and the places in these."""
        rows = rows if self._rows is None else self._rows[rows]
        shards = np.searchsorted(self._bounds, rows, side="right") - 1
        return shards, rows - self._bounds[shards]

    def _read(self, number: int) -> Crystals:
        return self._manifest.read_shard(self.folder, number).crystals
