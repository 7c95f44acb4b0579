"""Folders of structure files with an ``id_prop.csv``, as CGCNN and ALIGNN use them."""

import os
from pathlib import Path

import pandas as pd
from joblib import Parallel, delayed
from tqdm.auto import tqdm

from skuae._warnings import warn
from skuae.crystals import LIMITS, Crystals, as_crystals, parse_structure, warn_remarks
from skuae.datasets._bunch import make_bunch, warn_unknown
from skuae.datasets._id_prop import SUFFIXES, TABLE, check_inside, check_once, find_file, read_table

# Large enough that a task costs more than sending it, small enough for a steady progress bar.
_FILES_PER_TASK = 32


def read_folder(
    path, *, target_names=None, n_jobs=None, verbose=0, on_error="raise", allow_outside=False
):
    """Read a folder of structure files and the table ``id_prop.csv`` in it.

    The layout of CGCNN and ALIGNN: each line of ``id_prop.csv`` holds the name of a structure file,
    with or without its extension, and one or more labels. A header line is recognised. The files
    are CIF, POSCAR (``.vasp``) or pymatgen's JSON.

    Reading CIF files takes longer than all that follows. Do it once and keep the result::

        data = read_folder("my_folder", n_jobs=-1, verbose=1)
        data.structures.save("my_crystals.npz")    # later: Crystals.load("my_crystals.npz")
        data.labels.to_csv("my_labels.csv")

    Parameters
    ----------
    path : str or path-like
        The folder.
    target_names : list of str, optional
        Names of the label columns. Where the table has a header they select columns of it.
        Default: the header, or ``target``, or ``target_0``, ``target_1``, ...
    n_jobs : int, optional
        Processes; -1 takes all cores. None is 1, unless in a `joblib.parallel_config` context.
    verbose : int, default=0
        Show a progress bar if above 0.
    on_error : {"raise", "skip"}, default="raise"
        What to do when files are missing or cannot be read: raise one error that names them all, or
        leave those rows out, warn, and list them in `errors`.
    allow_outside : bool, default=False
        Read files, too, that the table names by absolute paths or by ``..``. Leave it False for
        folders that come from others.

    Returns
    -------
    CrystalBunch
        With `structures` (:class:`~skuae.Crystals`), `target` (None if the table has ids only),
        `target_names`, `labels`, `ids`, `frame`, `files` (path of each structure, relative to the
        folder), `errors` (DataFrame with columns id, file, reason: the rows left out), `remarks`
        (DataFrame with columns id, file, remark: what pymatgen remarked on files) and `DESCR`.
        Empty labels, ``nan``, ``NA`` and ``null`` are NaN, which skuae's estimators take for
        unknown. A column without any number holds class names, unless most of them were meant as
        numbers, such as ``1,5`` or ``1.5 eV``.

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
    if on_error not in ("raise", "skip"):
        raise ValueError(f"on_error={on_error!r} must be 'raise' or 'skip'")
    folder = Path(path)
    labels = read_table(folder, target_names)
    ids = list(labels.index)
    if not allow_outside:
        check_inside(folder / TABLE, ids)
    files = [find_file(folder, name) for name in ids]
    found = [row for row, file in enumerate(files) if file is not None]
    check_once(folder / TABLE, {row: files[row] for row in found}, [repr(name) for name in ids])
    tasks = [found[i : i + _FILES_PER_TASK] for i in range(0, len(found), _FILES_PER_TASK)]
    results = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(_read_files)([files[row] for row in task], [ids[row] for row in task], LIMITS)
        for task in tasks
    )
    reasons = {
        row: f"no such file (tried {', '.join(s or 'the name itself' for s in SUFFIXES)})"
        for row, file in enumerate(files)
        if file is None
    }
    parts, remarks = [], {}
    with tqdm(total=len(found), unit=" files", disable=verbose < 1) as progress:
        for task, (part, failures, said) in zip(tasks, results, strict=True):
            parts.append(part)
            reasons.update({task[i]: reason for i, reason in failures.items()})
            remarks.update({task[i]: text for i, text in said.items()})
            progress.update(len(task))

    errors = pd.DataFrame(
        [(ids[r], files[r].name if files[r] else "", reasons[r]) for r in sorted(reasons)],
        columns=["id", "file", "reason"],
    )
    _report(folder, errors, len(ids), on_error)
    warn_remarks({ids[row]: said for row, said in sorted(remarks.items())})
    kept = [row for row in range(len(ids)) if row not in reasons]
    labels = labels.iloc[kept]
    warn_unknown(labels)
    return make_bunch(
        Crystals.concatenate([part for part in parts if part is not None]),
        labels,
        list(labels.columns),
        return_X_y=False,
        as_frame=False,
        files=[Path(os.path.relpath(files[row], folder)).as_posix() for row in kept],
        errors=errors,
        remarks=pd.DataFrame(
            [(ids[r], files[r].name, text) for r, said in sorted(remarks.items()) for text in said],
            columns=["id", "file", "remark"],
        ),
        DESCR=f"{len(kept)} crystals read from {folder}",
    )


def _read_files(files, ids, limits):
    """Read some files; runs in a worker process.

    Returns
    -------
    crystals : Crystals or None
        Those that could be read.
    failures : dict from int to str
        Position in `files` and reason.
    remarks : dict from int to list of str
        Position in `files` and what pymatgen warned of.
    """
    structures, failures, remarks = {}, {}, {}
    for i, file in enumerate(files):
        try:
            structures[i], said = parse_structure(file, limits=limits)
        except ValueError as error:
            failures[i] = str(error)
        else:
            remarks.update({i: said} if said else {})
    try:
        return _pack(structures, ids), failures, remarks
    except (TypeError, ValueError):  # which ones? as_crystals names the first only
        for i, structure in list(structures.items()):
            try:
                _pack({i: structure}, ids)
            except (TypeError, ValueError) as error:
                failures[i] = str(error).removeprefix(f"row 0 ({ids[i]}): ")
                del structures[i]
                remarks.pop(i, None)
        return _pack(structures, ids), failures, remarks


def _pack(structures, ids):
    if not structures:
        return None
    return as_crystals(list(structures.values()), ids=[ids[i] for i in structures])


def _report(folder, errors, n_rows, on_error):
    """Raise or warn about what could not be read."""
    if len(errors):
        lines = [f"  {e.file or e.id}: {e.reason}" for e in errors.head(50).itertuples()]
        if len(errors) > 50:
            lines.append(f"  ... and {len(errors) - 50} more")
        message = f"{len(errors)} of {n_rows} structures in {folder} were not read:\n" + "\n".join(
            lines
        )
        if on_error == "raise" or len(errors) == n_rows:
            raise ValueError(
                message + f"\nRepair these files or take their lines out of {TABLE}; or pass "
                'on_error="skip" to leave them out (data.errors then lists them)'
            )
        warn(message + "\nThese rows are left out")
