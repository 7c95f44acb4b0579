"""Sources of crystals with labels, read in pieces: tables, folders, files, iterables."""

import os
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from skuae._cells import short_repr, shortened
from skuae.crystals import Crystals, LimitError, parse_structure
from skuae.datasets._file import indexed, label_of, read_labels, targets_of
from skuae.datasets._folder import find_listed
from skuae.datasets._id_prop import TABLE, leads_out
from skuae.datasets._labels import is_unknown
from skuae.datasets._parquet import read_parquet_pieces
from skuae.datasets._shard_frame import as_frame
from skuae.datasets._shards import Shards
from skuae.datasets._structure_cells import Outside, cells_of, read_cell
from skuae.datasets._structures import files_in, is_table


class Piece(NamedTuple):
    """Some rows of a source.

    Attributes
    ----------
    items : list or Crystals
        What `read_item` reads; or crystals that are packed already.
    ids : list of str or None
    labels : DataFrame of shape (n_rows, n_labels) or None
    checked : bool
        Whether texts in the labels are known to be names of classes.
    """

    items: Any
    ids: list[str] | None
    labels: pd.DataFrame | None
    checked: bool = False


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
    """Return the rows of a source, `size` at a time, and all of y if it is at hand.

    Parameters
    ----------
    X, y : object
        As of `write_shards`.
    size : int
    allow_outside : bool

    Returns
    -------
    pieces : iterator of Piece
        The last one may have fewer rows.
    labels : DataFrame of shape (n_rows, n_labels) or None
        None if they are read with the pieces.
    """
    at_path = is_path(X)
    if at_path:
        names = None
        if y is None or _are_names(y):
            names, y = [] if y is None else y, None
        X = [X] if isinstance(X, (str, os.PathLike)) else X
        found = chain.from_iterable(
            _pieces_at(Path(path), names, size, allow_outside) for path in X
        )
        pieces = _even(found, size)
    elif isinstance(X, (Crystals, Shards)):
        _refuse_names_of(X, y)
        pieces = (
            Piece(_part(X, start, min(start + size, len(X))), None, None)
            for start in range(0, len(X), size)
        )
    else:
        _refuse_names_of(X, y)
        pieces = _pieces_in(X, size)
    if y is None:
        return pieces, None
    labels = None if isinstance(y, Iterator) else as_frame(y)
    if labels is not None and not at_path and hasattr(X, "__len__"):
        _check_lengths(len(X), len(labels))
    return _labelled(pieces, y, labels), labels


def _refuse_names_of(X, y):
    """Raise TypeError if y names columns, but X is no table."""
    shards = isinstance(X, Shards)
    if not isinstance(y, str) and not (
        shards
        and isinstance(y, (list, tuple))
        and len(y) != len(X)
        and all(isinstance(name, str) and name in X.target_names for name in y)
    ):
        return
    names = short_repr(y if isinstance(y, str) else list(y))
    if shards:
        raise TypeError(f"y={names} names labels, but X is Shards; pass y=shards.labels[{names}]")
    raise TypeError(
        f"y={names} is the name of a column, but X is no path of a table; pass the labels "
        "themselves: an array, a Series or a data frame"
    )


def _are_names(y):
    return isinstance(y, str) or (
        isinstance(y, (list, tuple)) and all(isinstance(name, str) for name in y)
    )


def _part(X, start, stop):
    return X[start:stop] if isinstance(X, Crystals) else X.read(slice(start, stop))


def _pieces_in(X, size):
    """Return an iterator of the items of an iterable."""
    if not isinstance(X, Iterable) or isinstance(X, dict):
        raise TypeError(
            f"X is a {type(X).__name__}; pass an iterable of structures, Crystals, or a path"
        )
    if isinstance(X, pd.DataFrame):
        raise TypeError("X is a data frame; pass the column that holds the structures")
    return _pieces_of_items(X, size)


def _pieces_of_items(X, size):
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
    if not _exists(path):
        raise FileNotFoundError(f"there is no file {shortened(str(path), 300)}")
    if path.is_dir() and (path / TABLE).is_file():
        # Names that lead out of the folder are told when their rows are read, as those in tables.
        labels, files = find_listed(path, None, allow_outside, on_error="skip")
        items = [_listed_item(path, name, file, allow_outside)
                 for name, file in zip(labels.index, files, strict=True)]  # fmt: skip
        yield Piece(
            items, list(labels.index), _chosen(path, labels, names, clean=True), checked=True
        )
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
    start = 0
    first: dict[str, str] = {}  # rows that name files
    for frame in _frames(path, size):
        labels, cells = cells_of(path, frame, allow_outside, first=first, start=start)
        ids = list(labels.index) if labels.index.name == "id" else None
        if ids is None:
            labels.index = pd.RangeIndex(start, start + len(labels))  # as messages call the rows
        start += len(labels)
        items = [_Cell(cell, path.parent) for cell in cells]
        yield Piece(items, ids, _chosen(path, labels, names, clean=False), checked=True)


def _listed_item(folder, name, file, allow_outside):
    """Return what `read_item` reads of a row of ``id_prop.csv``."""
    if file is None and leads_out(name) and not allow_outside:
        return _Cell(Outside(name), folder)
    return folder / name if file is None else file


def _exists(path):
    try:
        return path.exists()
    except OSError:  # a text that is too long for a name
        return False


def _refuse_names(path, names):
    if names:
        raise ValueError(f"{path} has no table with a column {names!r}; give y as an array")


def _frames(path, size):
    """Yield the rows of a table: of a parquet file in pieces, of others at once."""
    if path.suffix.lower() != ".parquet":
        yield read_labels(path)
        return
    batches, start = read_parquet_pieces(path, size), 0
    while True:
        try:
            batch = next(batches, None)
        except LimitError as error:
            raise LimitError(
                f"{path}, {size} rows at a time, is too large: {error}; or pass a smaller "
                "shard_size"
            ) from error
        except (ValueError, OSError) as error:  # of pyarrow
            raise ValueError(f"{path} is damaged, or not what its name says: {error}") from error
        if batch is None:
            return
        yield indexed(path, batch, start)
        start += len(batch)


def _chosen(path, labels, names, clean):
    """Return the requested columns of labels; None if y does not name columns."""
    if not names:
        return None
    chosen = targets_of(path, labels, names)
    if clean:
        return labels[chosen]
    columns = [
        labels[name].astype(object)  # of which a later piece may tell that they have gaps
        if len(chosen) == 1 and _are_booleans(labels[name])
        else label_of(path, labels[name], alone=False)
        for name in chosen
    ]
    return pd.concat(columns, axis=1)


def _are_booleans(column):
    known = [cell for cell in column if not is_unknown(cell)]
    return bool(known) and all(isinstance(cell, (bool, np.bool_)) for cell in known)


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
    labels = None if a.labels is None else _stack(a.labels, b.labels)
    return Piece(a.items + b.items, None if a.ids is None else a.ids + b.ids, labels, a.checked)


def _stack(a, b):
    columns = [
        pd.concat([a[name], b[name]] if a[name].dtype == b[name].dtype
                  else [a[name].astype(object), b[name].astype(object)])
        for name in a
    ]  # fmt: skip
    return pd.concat(columns, axis=1)


def _cut(piece, rows):
    return Piece(
        piece.items[rows],
        None if piece.ids is None else piece.ids[rows],
        None if piece.labels is None else piece.labels.iloc[rows],
        piece.checked,
    )


def _check_lengths(n_rows, n_labels, more=False):
    """Raise ValueError if labels are fewer or more than rows; with `more`, rows may follow."""
    if n_labels < n_rows:
        raise ValueError(f"y has {n_labels} rows, and X has more")
    if n_labels > n_rows and not more:
        raise ValueError(f"X has {n_rows} rows, and y has more")


def _labelled(pieces: Iterator[Piece], y: Any, whole: pd.DataFrame | None) -> Iterator[Piece]:
    """Yield pieces with the labels in y, an array or an iterator."""
    start = 0
    for piece in pieces:
        stop = start + len(piece.items)
        if whole is None:
            labels = as_frame(list(islice(y, stop - start)), start)
        else:
            labels = whole.iloc[start:stop]
        _check_lengths(stop, start + len(labels), more=True)
        start = stop
        yield piece._replace(labels=labels, checked=whole is not None)
    more = sum(1 for _ in islice(y, 1)) if whole is None else len(whole) - start
    _check_lengths(start, start + more)
