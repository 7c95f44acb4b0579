"""Sources of crystals with labels, read in pieces: tables, folders, files, iterables."""

import os
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from skuae.crystals import Crystals, parse_structure
from skuae.datasets._file import (
    cells_of,
    indexed,
    label_of,
    parquet,
    read_cell,
    read_labels,
    targets_of,
)
from skuae.datasets._folder import find_listed
from skuae.datasets._id_prop import TABLE
from skuae.datasets._shards import Shards
from skuae.datasets._structures import files_in, is_table

_ONE = "target"


class Piece(NamedTuple):
    """Some rows of a source.

    Attributes
    ----------
    items : list or Crystals
        What `read_item` reads; or crystals that are packed already.
    ids : list of str or None
    labels : DataFrame of shape (n_rows, n_labels) or None
    """

    items: Any
    ids: list[str] | None
    labels: pd.DataFrame | None


class _Cell(NamedTuple):
    """A cell of a table."""

    value: Any
    folder: Path


def read_item(item, limits):
    """Return the structure that an item stands for, and the remarks of the parser."""
    if isinstance(item, _Cell):
        return read_cell(item.value, limits, item.folder)
    if isinstance(item, (str, dict, os.PathLike)):
        return parse_structure(item, limits=limits)
    return item, []


def is_path(X):
    """Return whether X is a path, or a list of paths of tables."""
    if isinstance(X, (str, os.PathLike)):
        return True
    return (
        isinstance(X, (list, tuple))
        and len(X) > 0
        and all(isinstance(item, (str, os.PathLike)) for item in X)
        and all("\n" not in str(item) and is_table(Path(item)) for item in X)
    )


def pieces_of(X, y, size, allow_outside):
    """Yield the rows of a source, `size` at a time.

    Parameters
    ----------
    X, y : object
        As of `write_shards`.
    size : int
    allow_outside : bool

    Yields
    ------
    Piece
        The last one may have fewer rows.
    """
    names = None
    if is_path(X):
        if y is None or _are_names(y):
            names, y = [] if y is None else y, None
        X = [X] if isinstance(X, (str, os.PathLike)) else X
        found = chain.from_iterable(
            _pieces_at(Path(path), names, size, allow_outside) for path in X
        )
        pieces = _even(found, size)
    elif isinstance(X, (Crystals, Shards)):
        pieces = (
            Piece(_part(X, start, min(start + size, len(X))), None, None)
            for start in range(0, len(X), size)
        )
    else:
        pieces = _pieces_in(X, size)
    return pieces if y is None else _labelled(pieces, y)


def _are_names(y):
    return isinstance(y, str) or (
        isinstance(y, (list, tuple)) and all(isinstance(name, str) for name in y)
    )


def _part(X, start, stop):
    return X[start:stop] if isinstance(X, Crystals) else X.read(slice(start, stop))


def _pieces_in(X, size):
    """Yield the items of an iterable."""
    if not isinstance(X, Iterable) or isinstance(X, dict):
        raise TypeError(
            f"X is a {type(X).__name__}; pass an iterable of structures, Crystals, or a path"
        )
    if isinstance(X, pd.DataFrame):
        raise TypeError("X is a data frame; pass the column that holds the structures")
    named = isinstance(X, pd.Series) and not X.index.equals(pd.RangeIndex(len(X)))
    ids = iter(X.index.map(str)) if named and isinstance(X, pd.Series) else None
    items = iter(X)
    while True:
        found = list(islice(items, size))
        if not found:
            return
        yield Piece(found, None if ids is None else list(islice(ids, size)), None)


def _pieces_at(path, names, size, allow_outside):
    """Yield the rows of a table or folder; `names` are those of the labels, None for none."""
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    if path.is_dir() and (path / TABLE).is_file():
        labels, files = find_listed(path, None, allow_outside)
        items = [path / name if file is None else file
                 for name, file in zip(labels.index, files, strict=True)]  # fmt: skip
        yield Piece(items, list(labels.index), _chosen(path, labels, names, clean=True))
        return
    if path.is_dir():
        tables = sorted(file for file in path.iterdir() if file.suffix.lower() == ".parquet")
        for table in tables:
            yield from _pieces_at(table, names, size, allow_outside)
        if tables:
            return
        _refuse_names(path, names)
        files = files_in(path)
        yield Piece(files, [str(file) for file in files], None)
        return
    if not is_table(path):
        _refuse_names(path, names)
        yield Piece([path], [str(path)], None)
        return
    for frame in _frames(path, size):
        labels, cells = cells_of(path, frame, allow_outside)
        ids = list(labels.index) if labels.index.name == "id" else None
        items = [_Cell(cell, path.parent) for cell in cells]
        yield Piece(items, ids, _chosen(path, labels, names, clean=False))


def _refuse_names(path, names):
    if names:
        raise ValueError(f"{path} has no table with a column {names!r}; give y as an array")


def _frames(path, size):
    """Yield the rows of a table: those of a parquet file some at a time, others all at once."""
    if path.suffix.lower() != ".parquet":
        yield read_labels(path)
        return
    batches = _batches(path, size)
    while True:
        try:
            batch = next(batches, None)
        except (ValueError, OSError) as error:  # of pyarrow
            raise ValueError(f"{path} is damaged, or not what its name says: {error}") from error
        if batch is None:
            return
        yield indexed(path, batch)


def _batches(path, size):
    with parquet().ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=size):
            yield batch.to_pandas()


def _chosen(path, labels, names, clean):
    """Return the labels that are asked for; None if y is given otherwise."""
    if not names:
        return None
    chosen = targets_of(path, labels, names)
    columns = [labels[name] if clean else label_of(path, labels[name], len(chosen) == 1)
               for name in chosen]  # fmt: skip
    return pd.concat(columns, axis=1)


def _even(pieces, size):
    """Yield pieces of `size` rows, the last one shorter."""
    left: Piece | None = None
    for piece in pieces:
        left = piece if left is None else _join(left, piece)
        while len(left.items) >= size:
            yield _cut(left, slice(0, size))
            left = _cut(left, slice(size, None))
    if left is not None and left.items:
        yield left


def _join(a, b):
    if (a.ids is None) != (b.ids is None):
        raise ValueError("only some of the tables name their rows; give all of them ids, or none")
    labels = None if a.labels is None else pd.concat([a.labels, b.labels])
    return Piece(a.items + b.items, None if a.ids is None else a.ids + b.ids, labels)


def _cut(piece, rows):
    return Piece(
        piece.items[rows],
        None if piece.ids is None else piece.ids[rows],
        None if piece.labels is None else piece.labels.iloc[rows],
    )


def _labelled(pieces: Iterator[Piece], y: Any) -> Iterator[Piece]:
    """Yield pieces with the labels in y, an array or an iterable."""
    whole = None if isinstance(y, Iterator) else _frame(y)
    start = 0
    for piece in pieces:
        n = len(piece.items)
        labels = _frame(list(islice(y, n))) if whole is None else whole.iloc[start : start + n]
        if len(labels) < n:
            raise ValueError(f"y has {start + len(labels)} rows, and X has more")
        start += n
        yield piece._replace(labels=labels)
    more = next(y, None) is not None if whole is None else len(whole) > start
    if more:
        raise ValueError(f"X has {start} rows, and y has more")


def _frame(y: Any) -> pd.DataFrame:
    """Return labels as a data frame; a single column has the name of y, or is called "target"."""
    if isinstance(y, pd.DataFrame):
        return y.set_axis(y.columns.map(str), axis=1)
    if isinstance(y, pd.Series):
        return y.to_frame(_ONE if y.name is None else str(y.name))
    if isinstance(y, list) and y and isinstance(y[0], dict):
        return pd.DataFrame(y)
    values = y if isinstance(y, np.ndarray) else list(y)
    frame = pd.DataFrame(values)
    one = frame.shape[1] == 1 and np.ndim(values[0] if len(values) else 0) == 0
    return frame.set_axis([_ONE] if one else [f"{_ONE}_{i}" for i in frame], axis=1)
