"""Files with a crystal in each row: parquet, JSON, JSON lines or CSV."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from skuae._csv import as_table, as_typed, check_names, read_lines
from skuae.crystals import LimitError, format_of, warn_remarks
from skuae.datasets._bunch import make_bunch, warn_unknown
from skuae.datasets._folder import read_all_listed
from skuae.datasets._id_prop import TABLE, check_inside
from skuae.datasets._id_prop import read_table as read_id_prop
from skuae.datasets._labels import as_labels
from skuae.datasets._parquet import read_parquet
from skuae.datasets._records import read_records
from skuae.datasets._rows import read_rows
from skuae.datasets._structure_cells import ONE_COLUMN, Outside, cells_of, read_cell

ID_COLUMNS = ("material_id", "id", "mp_id", "jid", "task_id", "entry_id")
SPREADSHEETS = (".xlsx", ".xls", ".xlsm", ".xlsb", ".ods", ".numbers")
ROWS_PER_TASK = 64
_MOST_NAMED = 5  # rows of a message
_LARGEST_EXACT = 2**53  # above it, a float64 skips integers


def read_file(path, *, target=None, n_jobs=None, verbose=0, allow_outside=False):
    """Read crystals and their labels from one file, or from a folder with ``id_prop.csv``.

    Parameters
    ----------
    path : str or path-like
        - ``.parquet`` (needs ``pip install "skuae[parquet]"``);
        - ``.json`` or ``.json.gz``: a list of records, or matminer's index, columns and data;
        - ``.jsonl`` or ``.jsonl.gz``: a record a line;
        - ``.csv``: with CIF texts, or names of structure files beside it;
        - a folder: see :func:`read_folder`.

        A row's structure is in the column ``structure``, ``atoms`` (JARVIS), ``cif``, ``file`` or
        ``path``: a dictionary, its JSON text, a CIF text, or the name of a file relative to the
        table. Or it is in three columns ``lattice`` (3 x 3, rows a, b, c, in Å), ``atomic_numbers``
        and ``frac_coords``, and may have a fourth, ``site_occupancies``: pairs of atomic number and
        occupancy for each site. The name of a row is in the column ``material_id``, ``id``,
        ``mp_id``, ``jid``, ``task_id`` or ``entry_id`` (in any case), or in the index of matminer's
        JSON or pandas' parquet files. Otherwise the crystals have no ids.
    target : str or list of str, optional
        Columns to predict. Empty cells and JARVIS's ``na`` are NaN. A column of texts without
        numbers holds class names. It is refused if most texts look like numbers, such as ``1,5`` or
        ``1.5 eV``. Booleans without gaps stay booleans if they are the only target.
    n_jobs : int, optional
        Processes that read structures; -1 takes all cores.
    verbose : int, default=0
        Show a progress bar if above 0.
    allow_outside : bool, default=False
        Also read files that the table names by absolute paths or by ``..``. Leave it False for
        tables from other people.

    Returns
    -------
    CrystalBunch
        With `structures`, `target` (None unless asked for), `target_names`, `labels` (all columns
        that are not structures), `ids`, `frame` and `DESCR`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, a column is missing or given twice, a label is not a finite number,
        two rows name one file, a file lies outside the folder, or the table exceeds
        ``skuae.crystals.LIMITS``. If a row cannot be read; the error names row and reason.

    Warns
    -----
    UserWarning
        Labels of the target are unknown, or pymatgen had remarks on structures: each kind of
        remark, with the rows.

    Examples
    --------
    >>> from skuae.datasets import read_file
    >>> data = read_file("mp.parquet", target="band_gap", verbose=1)  # doctest: +SKIP
    """
    path = Path(path)
    if path.is_dir():
        labels, structures = read_all_listed(path, n_jobs, verbose, allow_outside)
    else:
        labels, rows = read_table_rows(path, n_jobs, verbose, allow_outside)
        if rows.reasons:
            raise ValueError(f"{path}, {_reason(labels, rows.reasons)}")
        warn_remarks({f"row {row}": said for row, said in sorted(rows.remarks.items())})
        structures = rows.crystals
    names = targets_of(path, labels, target)
    for name in [] if path.is_dir() else names:
        labels[name] = label_of(path, labels[name], alone=len(names) == 1)
    warn_unknown(labels[names])
    return make_bunch(
        structures,
        labels,
        names,
        return_X_y=False,
        as_frame=False,
        DESCR=f"{len(structures)} crystals of {path.name}",
    )


def targets_of(path, labels, target):
    """Return the names of the targets that are asked for, as a list.

    Parameters
    ----------
    path : Path
    labels : DataFrame
        The columns of the table.
    target : str, list of str or None

    Raises
    ------
    TypeError, ValueError
        If that is no name of a column, or a column is named twice.
    """
    names = _names_of(target)
    missing = [name for name in names if name not in labels]
    if missing:
        raise ValueError(
            f"{path} has no column {missing[0]!r}; it has {', '.join(map(str, labels.columns))}"
        )
    if len(set(names)) < len(names):
        raise ValueError(f"target={names} names a column twice")
    return names


def _names_of(target):
    """Return the names of the targets as a list."""
    names = [target] if isinstance(target, str) else [] if target is None else target
    if not np.iterable(names) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"target={target!r} must be the name of a column, or a list of names")
    return list(names)


def read_labels(path):
    """Read the columns of a file, or of a folder with ``id_prop.csv``, structures or not.

    Parameters
    ----------
    path : str or path-like
        As in `read_file`.

    Returns
    -------
    DataFrame
        The index is called ``id`` if it holds ids, and has no name if it counts the rows.
    """
    path = Path(path)
    return read_id_prop(path, None) if path.is_dir() else _read_frame(path)


def label_of(path, column, alone):
    """Return a label column as floats, NaN where it is empty; or classes as they are."""
    cells = list(column.astype(object))  # or dates would become nanoseconds
    if alone and all(isinstance(cell, (bool, np.bool_)) for cell in cells):
        return column.astype(bool)
    labels = as_labels(cells, lambda row: f"{path}, row {column.index[row]}: {column.name}")
    dtype = object if isinstance(labels, list) else None
    return pd.Series(labels, column.index, dtype, column.name)


def _read_frame(path, may_be_empty=False):
    """Return the table in a file, indexed by id, or by row if rows have no names."""
    frame = _read_table(path)
    if not len(frame) and not (may_be_empty and len(frame.columns)):
        raise ValueError(f"{path} holds no rows")
    return indexed(path, frame)


def indexed(path, frame, start=0):
    """Return the rows of a table, indexed by id, or by row if they have no names.

    `start` is the number of the first row, for messages.
    """
    check_names(path, list(frame.columns))
    others = {str(name).lower(): name for name in frame.columns[::-1]}  # "ID", say
    found = others | {name: name for name in ID_COLUMNS if name in frame}
    column = next((found[name] for name in ID_COLUMNS if name in found), None)
    if column is not None:
        frame = frame.set_index(column)
    elif frame.index.equals(pd.RangeIndex(len(frame))):
        return frame.rename_axis(None)  # row numbers are no ids: those of two files are equal
    frame.index = _names(path, frame.index, start)
    return frame


def _names(path, index, start):
    """Return the ids of the rows as text."""
    if pd.api.types.is_float_dtype(index) and (index == index.round()).all():
        if abs(index).max() >= _LARGEST_EXACT:
            raise ValueError(
                f"{path}: the ids in {index.name} are floats, which hold no more than 15 digits; "
                "save ids as texts or integers"
            )
        index = index.astype(np.int64)  # whole numbers, as parquet and JSON may hold them
    ids = pd.Index(index.astype(str).str.strip(), name="id")
    missing = index.isna() | (ids == "")
    if missing.any():
        raise ValueError(
            f"{path}, row {start + int(missing.argmax())}: it has no {index.name or 'id'}; give "
            "each row one, or leave out that column"
        )
    if not ids.is_unique:
        again = ids[ids.duplicated()][0]
        rows = start + np.flatnonzero(ids == again)
        *most, last = rows[:_MOST_NAMED] if len(rows) <= _MOST_NAMED else [*rows[:4], "others"]
        raise ValueError(
            f"{path}: rows {', '.join(map(str, most))} and {last} have the id {again!r}; keep one "
            "of them, or give them different ids"
        )
    return ids


def _read_table(path):
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = "".join(suffixes[-2:] if suffixes[-1:] == [".gz"] else suffixes[-1:])
    if kind == ".csv":
        return _read_csv(path)
    try:
        if kind == ".parquet":
            return read_parquet(path)
        if kind in (".json", ".json.gz", ".jsonl", ".jsonl.gz"):
            return read_records(path, kind)
    except LimitError as error:
        raise LimitError(f"{path} is too large: {error}") from error
    except (ValueError, OSError) as error:  # of pandas, json and gzip
        raise ValueError(f"{path} is damaged, or not what its name says: {error}") from error
    if path.name.lower().endswith(SPREADSHEETS):
        raise ValueError(f"{path}: skuae reads no spreadsheets; save it as CSV")
    if format_of(path):
        raise ValueError(
            f"{path} is a structure file, which has no labels: give its folder, with a table "
            f"{TABLE} of names and labels"
        )
    raise ValueError(
        f"{path}: name it *.parquet, *.json, *.jsonl (both may be .gz) or *.csv, after what it is"
    )


def _read_csv(path):
    frame = as_table(path, read_lines(path))
    for name in frame:
        # ids and names of files as they are: "007" is no number
        if name not in ONE_COLUMN and name.lower() not in ID_COLUMNS:
            frame[name] = as_typed(frame[name])
    return frame


def read_table_rows(path, n_jobs, verbose, allow_outside, *, on_error="raise", once=True):
    """Read the structures in a table, without warning of those that cannot be read.

    Parameters
    ----------
    path : Path
    n_jobs : int or None
    verbose : int
    allow_outside : bool
    on_error : {"raise", "skip"}, default="raise"
        What to do with files outside of the folder and with a table without rows: raise ValueError,
        or give these rows reasons and that table none.
    once : bool, default=True
        Raise ValueError if two rows name one file.

    Returns
    -------
    labels : DataFrame of shape (n_crystals, n_labels)
        The columns that are not structures, of all rows. The index is called ``id`` if it holds
        ids.
    rows : Rows
    """
    frame = _read_frame(path, may_be_empty=on_error == "skip")
    labels, cells = cells_of(path, frame, allow_outside, once=once)
    if on_error == "raise":
        check_inside(path, [cell.name for cell in cells if isinstance(cell, Outside)])
    rows = read_rows(
        partial(read_cell, folder=path.parent),
        cells,
        list(labels.index) if labels.index.name == "id" else None,
        per_task=ROWS_PER_TASK,
        n_jobs=n_jobs,
        verbose=verbose,
    )
    return labels, rows


def _where(labels, row):
    return f"row {row}" + (f" ({labels.index[row]})" if labels.index.name == "id" else "")


def _reason(labels, reasons):
    """Say why rows were not read: the first reason, and the rows that it holds for."""
    said = reasons[min(reasons)]
    rows = [row for row, reason in sorted(reasons.items()) if reason == said]
    named = ", ".join(_where(labels, row) for row in rows[:_MOST_NAMED])
    named += f" and {len(rows) - _MOST_NAMED} more" if len(rows) > _MOST_NAMED else ""
    others = len(reasons) - len(rows)
    more = f" (and {others} other row{'s' * (others > 1)} cannot be read)" if others else ""
    return f"{named}: {said}{more}"
