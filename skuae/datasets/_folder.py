"""Folders of structure files with an ``id_prop.csv``, as CGCNN and ALIGNN use them."""

import os
from pathlib import Path

import pandas as pd

from skuae._warnings import warn
from skuae.crystals import parse_structure, warn_remarks
from skuae.datasets._bunch import make_bunch, warn_unknown
from skuae.datasets._id_prop import (
    SUFFIXES,
    TABLE,
    check_inside,
    check_once,
    elsewhere,
    find_file,
    leads_out,
    read_table,
)
from skuae.datasets._rows import Rows, check_on_error, not_read, read_rows

_FILES_PER_TASK = 32


def read_folder(
    path, *, target_names=None, n_jobs=None, verbose=0, on_error="raise", allow_outside=False
):
    """Read a folder of structure files and the table ``id_prop.csv`` in it.

    The layout of CGCNN and ALIGNN: each line of ``id_prop.csv`` holds the name of a structure file,
    with or without its extension, and one or more labels. A header line is recognised. The files
    are CIF, POSCAR (``.vasp``) or pymatgen's JSON.

    Reading CIF files is slow. Do it once and keep the result::

        data = read_folder("my_folder", n_jobs=-1, verbose=1)
        data.structures.save("my_crystals.npz")    # later: Crystals.load("my_crystals.npz")
        data.labels.to_csv("my_labels.csv")

    Parameters
    ----------
    path : str or path-like
        The folder.
    target_names : list of str, optional
        Names of the label columns. If the table has a header, they select columns. Default: the
        header, or ``target``, or ``target_0``, ``target_1``, ...
    n_jobs : int, optional
        Processes; -1 takes all cores. None is 1, unless in a `joblib.parallel_config` context.
    verbose : int, default=0
        Show a progress bar if above 0.
    on_error : {"raise", "skip"}, default="raise"
        What to do when files are missing, must not be read or cannot be read: raise an error that
        names them, or leave those rows out, warn, and list them in `errors`.
    allow_outside : bool, default=False
        Also read files that the table names by absolute paths or by ``..``. Leave it False for
        folders from other people.

    Returns
    -------
    CrystalBunch
        With `structures` (:class:`~skuae.Crystals`), `target` (None if the table has ids only),
        `target_names`, `labels`, `ids`, `frame`, `files` (path of each structure, relative to the
        folder), `errors` (DataFrame with columns id, file, reason: the rows left out), `remarks`
        (DataFrame with columns id, file, remark: what pymatgen remarked on files) and `DESCR`.
        Empty labels, ``nan``, ``NA`` and ``null`` are NaN; skuae's estimators treat NaN as unknown.
        A column without numbers holds class names. It is refused if most texts look like numbers,
        such as ``1,5`` or ``1.5 eV``.

    Raises
    ------
    FileNotFoundError
        If the folder has no ``id_prop.csv``.
    ValueError
        If the table cannot be understood (line and reason are named), or if files are missing or
        unreadable and `on_error` is ``"raise"``.

    Warns
    -----
    UserWarning
        Labels are unknown, rows were left out, or pymatgen had remarks on files.

    Examples
    --------
    >>> from skuae.datasets import read_folder
    >>> data = read_folder("my_folder", n_jobs=-1, verbose=1)  # doctest: +SKIP
    >>> data.structures, data.target  # doctest: +SKIP
    """
    check_on_error(on_error)
    folder = Path(path)
    labels, files, rows = read_listed(
        folder, target_names, n_jobs, verbose, allow_outside, on_error=on_error
    )
    errors = _report(folder, labels, files, rows, on_error)
    ids, remarks = list(labels.index), sorted(rows.remarks.items())
    kept = rows.kept(len(ids))
    labels = labels.iloc[kept]
    warn_unknown(labels)
    return make_bunch(
        rows.crystals,
        labels,
        list(labels.columns),
        return_X_y=False,
        as_frame=False,
        files=[Path(os.path.relpath(files[row], folder)).as_posix() for row in kept],
        errors=errors,
        remarks=pd.DataFrame(
            [(ids[r], files[r].name, text) for r, said in remarks for text in said],
            columns=["id", "file", "remark"],
        ),
        DESCR=f"{len(kept)} crystals read from {folder}",
    )


def read_all_listed(folder, n_jobs, verbose, allow_outside):
    """Read what ``id_prop.csv`` lists, or raise; say nothing of unknown labels.

    Parameters
    ----------
    folder : Path
    n_jobs : int or None
    verbose : int
    allow_outside : bool

    Returns
    -------
    labels : DataFrame of shape (n_crystals, n_labels)
    structures : Crystals
    """
    labels, files, rows = read_listed(folder, None, n_jobs, verbose, allow_outside)
    _report(folder, labels, files, rows, None)
    return labels, rows.crystals


def read_listed(
    folder, target_names, n_jobs, verbose, allow_outside, *, on_error="raise", once=True
):
    """Read what ``id_prop.csv`` lists, without warning of what cannot be read.

    Parameters
    ----------
    folder : Path
    target_names : list of str or None
    n_jobs : int or None
    verbose : int
    allow_outside : bool
    on_error : {"raise", "skip"}, default="raise"
        What to do with files outside of the folder: raise ValueError, or give the rows reasons.
    once : bool, default=True
        Raise ValueError if two rows name one file.

    Returns
    -------
    labels : DataFrame of shape (n_crystals, n_labels)
        Indexed by id.
    files : list of Path or None
        Those of the rows; None where there is none.
    rows : Rows
    """
    labels, files = find_listed(folder, target_names, allow_outside, on_error=on_error, once=once)
    ids = list(labels.index)
    found = [row for row, file in enumerate(files) if file is not None]
    rows = read_files(
        [files[row] for row in found], [ids[row] for row in found], n_jobs=n_jobs, verbose=verbose
    )
    reasons = {found[i]: reason for i, reason in rows.reasons.items()}
    tried = ", ".join(s or "the name itself" for s in SUFFIXES)
    for row in sorted(set(range(len(files))) - set(found)):
        away = not allow_outside and leads_out(ids[row])
        reasons[row] = elsewhere(ids[row], folder) if away else f"no such file (tried {tried})"
    remarks = {found[i]: said for i, said in rows.remarks.items()}
    return labels, files, Rows(rows.crystals, reasons, remarks)


def find_listed(folder, target_names, allow_outside, *, on_error="raise", once=True):
    """Find the files that ``id_prop.csv`` lists.

    Parameters
    ----------
    folder : Path
    target_names : list of str or None
    allow_outside : bool
    on_error, once
        As in `read_listed`.

    Returns
    -------
    labels : DataFrame of shape (n_crystals, n_labels)
        Indexed by id.
    files : list of Path or None
        Those of the rows; None where there is none that may be read.
    """
    labels = read_table(folder, target_names)
    ids = list(labels.index)
    if not allow_outside and on_error == "raise":
        check_inside(folder / TABLE, ids)
    files = [
        find_file(folder, name) if allow_outside or not leads_out(name) else None for name in ids
    ]
    if once:
        named = zip(map(repr, ids), files, strict=True)
        check_once(folder / TABLE, ((name, file) for name, file in named if file is not None))
    return labels, files


def read_files(files, ids, *, n_jobs, verbose):
    """Read structure files in parallel.

    Parameters
    ----------
    files : list of Path
    ids : list of str
    n_jobs : int or None
    verbose : int

    Returns
    -------
    Rows
    """
    return read_rows(
        _read_file, files, ids, per_task=_FILES_PER_TASK, n_jobs=n_jobs, verbose=verbose
    )


def _read_file(file, limits):
    return parse_structure(file, limits=limits)


def _report(folder, labels, files, rows, on_error):
    """Raise or warn of unreadable files, warn of remarks, and return the errors.

    `on_error` is None for readers that have no such parameter; they raise.
    """
    ids, reasons = list(labels.index), rows.reasons
    errors = pd.DataFrame(
        [(ids[r], files[r].name if files[r] else "", reasons[r]) for r in sorted(reasons)],
        columns=["id", "file", "reason"],
    )
    if len(errors):
        names = errors.file.where(errors.file != "", errors.id)
        message = not_read(names, errors.reason, len(ids), folder)
        if on_error != "skip" or len(errors) == len(ids):
            message += f"\nRepair these files or take their lines out of {TABLE}"
            if on_error is not None:
                message += (
                    '; or pass on_error="skip" to leave them out (data.errors then lists them)'
                )
            raise ValueError(message)
        warn(message + "\nThese rows are left out")
    warn_remarks({ids[row]: said for row, said in sorted(rows.remarks.items())})
    return errors
