"""Structures without labels: files, folders of files, and tables, one after the other."""

import gzip
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd

from skuae._cells import shortened
from skuae._warnings import warn
from skuae.crystals import Crystals, format_of, is_file, warn_remarks
from skuae.datasets._bunch import make_bunch
from skuae.datasets._file import SPREADSHEETS, read_table_rows
from skuae.datasets._folder import read_files, read_listed
from skuae.datasets._id_prop import TABLE
from skuae.datasets._rows import LONGEST, Rows, check_on_error, not_read

# Spreadsheets are refused as tables are, with the advice to save them as CSV.
_TABLES = (".csv", ".parquet", ".jsonl", ".jsonl.gz", *SPREADSHEETS)
# How a JSON file begins that holds records, or matminer's index, columns and data.
_TABLE_IN_JSON = re.compile(rb'(\xef\xbb\xbf)?\s*(\[|\{\s*"(index|columns|data)"\s*:)')
_MOST_LISTED = 10


def read_structures(paths, *, n_jobs=None, verbose=0, on_error="raise", allow_outside=False):
    """Read the structures in files, folders and tables, with or without labels.

    Use it for crystals to predict. :func:`read_file` and :func:`read_folder` read crystals with
    labels to learn from.

    Parameters
    ----------
    paths : str, path-like, or list of these
        - a structure file: CIF, POSCAR or JSON, by its name;
        - a folder: the structure files in it in the order of their names, or those that its
          ``id_prop.csv`` lists, if there is one;
        - a table that :func:`read_file` reads.
    n_jobs : int, optional
        Processes that read structures; -1 takes all cores.
    verbose : int, default=0
        Show a progress bar if above 0.
    on_error : {"raise", "skip"}, default="raise"
        What to do when structures cannot be read: raise one error that names them, or leave those
        rows out and list them in `errors`, with the files that are missing or must not be read and
        the tables that cannot be understood. A table without rows then adds none.
    allow_outside : bool, default=False
        Also read files that a table names by absolute paths or by ``..``.

    Returns
    -------
    CrystalBunch
        With `structures` (None if no row could be read), `ids` (of a file, its path; of the rows of
        a table, their ids, or the name of the table and their number), `rows` (ndarray of int of
        shape (n_crystals,): their places among all rows), `errors` (DataFrame with columns row, id,
        reason: the rows that could not be read), `labels` (the other columns of tables), `frame`
        and `DESCR`.

    Raises
    ------
    FileNotFoundError
        If a file is missing and `on_error` is ``"raise"``, or all are missing.
    ValueError
        If a path is given twice, a folder holds no structure files, or a structure or table cannot
        be read and `on_error` is ``"raise"``; or if tables are given alone, and all cannot be read.

    Warns
    -----
    UserWarning
        Files in a folder were left out because their names are not those of structure files, or
        pymatgen had remarks on structures.

    Examples
    --------
    >>> from skuae.datasets import read_structures
    >>> data = read_structures(["my_cifs", "more.parquet"], n_jobs=-1)  # doctest: +SKIP
    >>> model.predict(data.structures)  # doctest: +SKIP
    """
    check_on_error(on_error)
    given = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    parts: list[tuple[list[str], pd.DataFrame, Rows]] = []
    files: list[Path] = []  # which are read together, though each is a path of its own
    unread: list[Exception] = []  # of tables
    if "" in given:
        raise FileNotFoundError("there is no file of the empty name ''")
    for path in _sources([Path(path) for path in given], on_error):
        if not path.is_dir() and not (path.is_file() and is_table(path)):
            files.append(path)
            continue
        parts += _read_all(files, n_jobs, verbose)
        files = []
        try:
            parts.append(_read_source(path, n_jobs, verbose, allow_outside, on_error))
        except (OSError, ValueError) as error:
            if on_error == "raise":
                raise
            unread.append(error)
            name = _text(path)
            reasons = {0: shortened(str(error), LONGEST)}
            parts.append(([name], pd.DataFrame(index=[name]), Rows(None, reasons, {})))
    parts += _read_all(files, n_jobs, verbose)
    if unread and len(unread) == len(parts):
        raise unread[0]
    names = [name for part_names, _, _ in parts for name in part_names]
    rows = _join([part for _, _, part in parts], [len(part_names) for part_names, _, _ in parts])
    errors = pd.DataFrame(
        [(row, names[row], reason) for row, reason in sorted(rows.reasons.items())],
        columns=["row", "id", "reason"],
    )
    if on_error == "raise" and len(errors):
        source = ", ".join(map(str, given[:3])) + (", ..." if len(given) > 3 else "")
        raise ValueError(
            not_read(errors.id, errors.reason, len(names), source)
            + '\nRepair these or leave them out; or pass on_error="skip" (data.errors then lists '
            "them)"
        )
    warn_remarks({names[row]: said for row, said in sorted(rows.remarks.items())})
    kept = rows.kept(len(names))
    frames = [frame for _, frame, _ in parts]
    labels = pd.concat([frame for frame in frames if len(frame)] or frames)
    labels.index = pd.Index(names, name="id", dtype=object)
    return make_bunch(
        _named(rows.crystals, [names[row] for row in kept]),
        labels.iloc[kept],
        [],
        return_X_y=False,
        as_frame=False,
        rows=np.array(kept, dtype=np.int64),
        errors=errors,
        DESCR=f"{len(kept)} crystals of {len(names)} rows",
    )


def _sources(paths, on_error):
    """Return structure files, tables and folders with a table; raise if one is given twice.

    With ``on_error="skip"``, files may be missing, unless all are: their rows will have a reason.
    """
    if not paths:
        raise ValueError("there are no files to read; give at least one")
    may_miss = on_error == "skip" and any(path.is_file() or path.is_dir() for path in paths)
    for path in [] if may_miss else paths:
        if not path.exists():
            raise FileNotFoundError(f"there is no file {path}")
        if not (path.is_file() or path.is_dir()):
            raise ValueError(f"{path} is no regular file")
    listed = [path.is_dir() and not (path / TABLE).is_file() for path in paths]
    sources = [
        source
        for path, plain in zip(paths, listed, strict=True)
        for source in (files_in(path) if plain else [path])
    ]
    seen = set()
    for source in sources:
        real = os.path.realpath(source)
        if real in seen:
            raise ValueError(f"{source} is given twice")
        seen.add(real)
    return sources


def files_in(path):
    """Return the structure files in a folder."""
    there = sorted(file for file in path.iterdir() if file.is_file() and file.name[0] != ".")
    files = [file for file in there if format_of(file) and not is_table(file)]
    if not files:
        raise ValueError(
            f"{path} holds no structure files: CIF (*.cif), POSCAR (POSCAR*, CONTCAR*, *.vasp) or "
            "JSON (*.json); files in folders inside it are not read"
        )
    others = [file.name for file in there if file not in set(files)]
    if others:
        more = f" and {len(others) - _MOST_LISTED} more" if len(others) > _MOST_LISTED else ""
        warn(
            f"{path}: files are left out that are no structure files by their names "
            f"({', '.join(others[:_MOST_LISTED])}{more})"
        )
    return files


def is_table(path):
    """Return whether a path is that of a table, not of one structure."""
    name = path.name.lower()
    if not is_file(path) or not name.endswith((".json", ".json.gz")):
        return name.endswith(_TABLES)
    try:
        with gzip.open(path) if name.endswith(".gz") else open(path, "rb") as file:
            return bool(_TABLE_IN_JSON.match(file.read(100)))
    except (OSError, EOFError):  # whoever reads it says what is wrong
        return False


def _read_all(files, n_jobs, verbose):
    """Return names, labels and rows of structure files, in a list that may be empty."""
    if not files:
        return []
    names = [_text(file) for file in files]
    rows = read_files(files, names, n_jobs=n_jobs, verbose=verbose)
    return [(names, pd.DataFrame(index=names), rows)]


def _read_source(path, n_jobs, verbose, allow_outside, on_error):
    """Return names, labels and rows of a table, or of a folder with one."""
    options = {"on_error": on_error, "once": False}  # nothing is learned from a file in two rows
    if path.is_dir():
        labels, files, rows = read_listed(path, None, n_jobs, verbose, allow_outside, **options)
        names = [
            _text(path / name if file is None else file)
            for name, file in zip(labels.index, files, strict=True)
        ]
        return names, labels, rows
    labels, rows = read_table_rows(path, n_jobs, verbose, allow_outside, **options)
    if labels.index.name == "id":
        return list(labels.index), labels, rows
    return [f"{_text(path)} row {row}" for row in range(len(labels))], labels, rows


def _text(path):
    """Return a path as UTF-8 text; other bytes are escaped."""
    return str(path).encode(errors="backslashreplace").decode()


def _join(parts, sizes):
    """Join rows end to end."""
    starts = np.cumsum([0, *sizes]).tolist()
    reasons: dict[int, str] = {}
    remarks: dict[int, list[str]] = {}
    for start, part in zip(starts, parts, strict=False):
        reasons |= {start + row: reason for row, reason in part.reasons.items()}
        remarks |= {start + row: said for row, said in part.remarks.items()}
    crystals = [part.crystals for part in parts if part.crystals is not None]
    return Rows(Crystals.concatenate(crystals) if crystals else None, reasons, remarks)


def _named(crystals, ids):
    """Return crystals with these ids."""
    if crystals is None:
        return None
    return Crystals(
        crystals.numbers, crystals.frac_coords, crystals.lattices, crystals.offsets, ids=ids,
        occ_sites=crystals.occ_sites, occ_numbers=crystals.occ_numbers,
        occ_values=crystals.occ_values,
    )  # fmt: skip
