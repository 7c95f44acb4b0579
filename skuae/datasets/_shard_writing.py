"""Writing of shards, one after the other, so that writing can continue after a kill."""

from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from skuae._cells import short_repr
from skuae._files import make_folder
from skuae._locks import sole_writer
from skuae._warnings import warn
from skuae.crystals import warn_remarks
from skuae.datasets._manifest import FILE, Manifest
from skuae.datasets._rows import check_on_error, not_read, read_rows
from skuae.datasets._shard_labels import check_exact, encoded, kind_of, widened
from skuae.datasets._shard_sources import pieces_of, read_item
from skuae.datasets._shards import open_shards

_PER_TASK = 64
_COMPARED = ("numbers", "frac_coords", "lattices", "offsets", "ids", "occ_values")


def write_shards(
    X,
    y,
    folder,
    *,
    shard_size=4096,
    append=False,
    restart=False,
    on_error="raise",
    n_jobs=None,
    verbose=0,
    allow_outside=False,
):
    """Write crystals to a folder in shards, without ever holding all of them in memory.

    After a kill, the same call goes on where it stopped: the rows that are written are skipped, not
    read again. Their labels, and the crystals of the last shard that was written, are compared with
    the source. The folder stays as it is until the first shard of the source is read and found
    right.

    Parameters
    ----------
    X : Crystals, Shards, iterable of structures, path or list of paths
        - any iterable, such as a generator, of what :func:`skuae.as_crystals` takes for a row;
        - a parquet file, or a folder of parquet files: read a piece at a time;
        - a folder of structure files, with or without ``id_prop.csv``;
        - another table that :func:`read_file` reads, or a list of tables: each is read as a whole,
          without its structures.
    y : array-like or iterator of length n_crystals, str, list of str, or None
        Labels: numbers, booleans or names of classes; an iterator yields numbers, names, tuples of
        these, or dicts. If X is a path: the names of columns. None for none. Integers become floats
        if other rows have gaps or floats; so do booleans with gaps.
    folder : str or path-like
        New, or one whose writing was interrupted.
    shard_size : int, default=4096
        Rows of the source in a shard.
    append : bool, default=False
        Write to a folder that has shards already, behind these. If that is interrupted,
        `open_shards` opens the shards that were there before. After it has finished, the same call
        adds the same crystals once more.
    restart : bool, default=False
        Drop what an interrupted call has written, and begin anew. Shards that were finished before
        are kept.
    on_error : {"raise", "skip"}, default="raise"
        What to do when structures cannot be read: raise one error that names them, or leave those
        rows out and list them in `Shards.errors`.
    n_jobs : int, optional
        Processes that read structures; -1 takes all cores.
    verbose : int, default=0
        Show a progress bar if above 0.
    allow_outside : bool, default=False
        Read files, too, that a table names by absolute paths or by ``..``.

    Returns
    -------
    Shards

    Raises
    ------
    BlockingIOError
        If another process writes to the folder (not on Windows).
    FileExistsError
        If the folder has shards, and `append` is False.
    TypeError
        If X is no iterable, or y is no sequence of labels.
    ValueError
        If the source is empty or makes no sense, labels are of other kinds or names than those
        written before, or an interrupted writing was of other crystals. If `shard_size` rows of a
        parquet file exceed ``skuae.crystals.LIMITS``.

    Warns
    -----
    UserWarning
        Only the crystals in the folder have ids, or only the new ones; or pymatgen had remarks on
        structures.

    Examples
    --------
    >>> from skuae.datasets import write_shards
    >>> shards = write_shards("mp.parquet", "band_gap", "mp_shards")  # doctest: +SKIP
    >>> gnn.fit(shards, shards.target)  # doctest: +SKIP
    """
    check_on_error(on_error)
    if not isinstance(shard_size, (int, np.integer)) or isinstance(shard_size, bool):
        raise ValueError(f"shard_size must be an integer; got {shard_size!r}")
    if shard_size < 1:
        raise ValueError(f"shard_size must be above 0; got {shard_size!r}")
    pieces, whole = pieces_of(X, y, int(shard_size), allow_outside)
    folder = make_folder(folder)
    with sole_writer(folder):
        manifest = _begin(folder, int(shard_size), append, restart)
        options = {"on_error": on_error, "n_jobs": n_jobs, "verbose": verbose}
        _write(pieces, whole, y, folder, manifest, **options)
    return open_shards(folder)


def _write(pieces, whole, y, folder, manifest, *, on_error, n_jobs, verbose):
    """Write the rows that are not written yet, and the manifest."""
    kinds = None if whole is None else _kinds(whole, 0, checked=False)
    if whole is not None and kinds is not None:
        _joined(manifest, whole, kinds, 0)
    written = manifest.shards[manifest.begun :]
    start = sum(entry.rows for entry in written)
    row, reasons = 0, []
    with tqdm(unit=" crystals", delay=0.5, disable=verbose < 1) as progress:
        for piece in pieces:
            number, n = row // manifest.shard_size, len(piece.items)
            if n < manifest.shard_size and row + n < start:  # the source ends too early
                row += n
                break
            if number < len(written) - 1:  # only labels are compared
                crystals, errors = None, written[number].errors
            else:
                crystals, errors = _read(piece, row, n_jobs, on_error)
                reasons += errors[:1]
            kept = np.setdiff1d(np.arange(n), [error[0] for error in errors])
            own = _kinds(piece.labels, row, piece.checked) if kinds is None else kinds
            joined = _joined(manifest, piece.labels, own, row)
            labels = _encoded(piece.labels, kept, own, row)
            if number < len(written):
                place = manifest.begun + number
                if n != written[number].rows or not _is_same(
                    folder, manifest, place, crystals, labels
                ):
                    raise ValueError(
                        f"the writing of {folder} was interrupted, and this is not the same source:"
                        f" rows {row} to {row + n - 1} are other crystals or labels; give the "
                        "source as it was, another folder, or restart=True to drop what was written"
                    )
            else:
                _check_exact(folder, manifest, joined, row)
                _warn_of_ids(folder, manifest, crystals)
                one = manifest.one_target if manifest.shards else _is_one(y, piece.labels)
                facts = {**vars(manifest), "kinds": joined, "one_target": one}
                manifest = Manifest(**facts).add(folder, crystals, labels, errors, n)
            row += n
            progress.update(n)
    if row < start:
        raise ValueError(
            f"the writing of {folder} was interrupted after {start} rows, and this source has "
            f"{row}; give the source as it was, or restart=True to drop what was written"
        )
    if not row or not manifest.counts[manifest.begun :].sum():
        manifest.drop(folder)
        why = "".join(f" ({name}: {reason})" for _, name, reason in reasons[:1])
        raise ValueError(f"X holds no structures that can be read; at least one is needed{why}")
    Manifest(**{**vars(manifest), "complete": True}).write(folder)
    return open_shards(folder)


def _begin(folder: Path, shard_size: int, append: bool, restart: bool) -> Manifest:
    """Return the manifest to continue. It is written with the first shard."""
    if not (folder / FILE).exists():
        return Manifest(shard_size=shard_size)
    manifest = Manifest.read(folder)
    if restart and not manifest.complete:
        if manifest.begun and not append:
            raise ValueError(f"{folder} has finished shards, too: pass append=True with restart")
        manifest.drop(folder)
        if not manifest.begun:
            return Manifest(shard_size=shard_size)
        manifest = manifest.before()
    if not manifest.complete:
        if manifest.shard_size != shard_size:
            raise ValueError(
                f"the writing of {folder} was interrupted; go on with the same "
                f"shard_size={manifest.shard_size}, or pass restart=True to drop what was written"
            )
        return manifest
    if not append:
        raise FileExistsError(
            f"{folder} has shards already: pass append=True to write behind them, or give another "
            "folder"
        )
    facts = {
        "complete": False,
        "begun": len(manifest.shards),
        "begun_kinds": manifest.kinds,
        "shard_size": shard_size,
    }
    return Manifest(**{**vars(manifest), **facts})


def _read(piece, start, n_jobs, on_error):
    """Return the crystals of a piece, and which rows were left out, and why."""
    if not isinstance(piece.items, list):
        return piece.items, []
    rows = read_rows(
        read_item, piece.items, piece.ids, per_task=_PER_TASK, n_jobs=n_jobs, verbose=0
    )
    names = piece.ids or [f"row {start + i}" for i in range(len(piece.items))]
    reasons = sorted(rows.reasons.items())
    if reasons and on_error == "raise":
        raise ValueError(
            not_read(
                [names[row] for row, _ in reasons],
                [reason for _, reason in reasons],
                len(names),
                f"rows {start} to {start + len(names) - 1}",
            )
            + "\nRepair these and call write_shards again, which goes on here; or pass "
            'on_error="skip" to leave them out'
        )
    warn_remarks({names[row]: said for row, said in sorted(rows.remarks.items())})
    return rows.crystals, [[row, names[row], reason] for row, reason in reasons]


def _is_one(y, labels):
    """Return whether the target is to be one-dimensional."""
    if labels is None or labels.shape[1] != 1:
        return labels is None
    return not isinstance(y, pd.DataFrame) and not (np.ndim(y) == 2 if hasattr(y, "shape") else 0)


def _where(start, name):
    return lambda row: f"row {start + row}, label {name!r:.80}"


def _kinds(labels, start, checked):
    """Return the kind of each label, by name."""
    names = [] if labels is None else labels.columns
    return {
        name: kind_of(list(labels[name]), _where(start, name), checked=checked) for name in names
    }


def _joined(manifest, labels, kinds, start):
    """Return kinds that hold the labels written before and these."""
    if manifest.shards and list(kinds) != list(manifest.kinds):
        raise ValueError(
            f"the labels are {short_repr(list(kinds), 300)}; those written before are "
            f"{short_repr(list(manifest.kinds), 300)}"
        )
    return {
        name: widened(manifest.kinds.get(name), kind, list(labels[name]), _where(start, name))
        for name, kind in kinds.items()
    }


def _check_exact(folder, manifest, kinds, row):
    """Raise if integers in earlier shards have too many digits to become floats."""
    wider = [n for n, kind in manifest.kinds.items() if kind == "integer" and kinds[n] == "number"]
    for number in np.flatnonzero(manifest.counts).tolist() if wider else []:
        shard = manifest.read_shard(folder, number)
        for name in wider:
            check_exact(shard.labels[name], name, f"row {row} or one behind it")


def _warn_of_ids(folder, manifest, crystals):
    """Warn if only these crystals have ids, or only those that were there before."""
    last = np.flatnonzero(manifest.counts)[-1:].tolist()
    if crystals is None or not last or last[0] >= manifest.begun:  # it was said already
        return
    before = manifest.read_shard(folder, last[0]).crystals.ids
    if (before is None) != (crystals.ids is None):
        with_ids = "these crystals" if before is None else f"the crystals in {folder}"
        warn(
            f"only {with_ids} have ids, so that Shards.ids will be None for all; give ids as the "
            "index of a Series, or in the table"
        )


def _encoded(labels, kept, kinds, start):
    """Return the labels of the rows that are kept as arrays."""
    return {
        name: encoded(list(labels[name]), kind, _where(start, name))[kept]
        for name, kind in kinds.items()
    }


def _is_same(folder, manifest, number, crystals, labels):
    """Return whether a shard holds these labels and, if it is the last one, these crystals."""
    entry = manifest.shards[number]
    if number == len(manifest.shards) - 1 and (crystals is None) != (not entry.crystals):
        return False
    if not entry.crystals or (crystals is None and not labels):
        return True
    shard = manifest.read_shard(folder, number)
    pairs = [(labels.get(name), shard.labels[name]) for name in shard.labels]
    for name in _COMPARED if crystals is not None else ():
        pairs.append((getattr(crystals, name), getattr(shard.crystals, name)))
    return labels.keys() == shard.labels.keys() and all(
        (a is None and b is None)
        or (a is not None and b is not None and np.array_equal(a, b, equal_nan=_has_nan(a, b)))
        for a, b in pairs
    )


def _has_nan(a, b):
    return a.dtype.kind == b.dtype.kind == "f"
