"""Files of commands: crystals with labels, test sets and lists of ids."""

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from sklearn.utils import Bunch

from skuae.commands._labels import check_alike, warn_unlabelled
from skuae.commands._options import Options
from skuae.commands._warnings import left_out
from skuae.crystals import Crystals
from skuae.datasets import ID_COLUMNS, STRUCTURE_COLUMNS, read_file, read_labels


def read_labelled(
    paths: Sequence[str], targets: list[str], jobs: int | None, quiet: bool
) -> tuple[Crystals, pd.DataFrame, int]:
    """Return the crystals of DATA files that have a label.

    Parameters
    ----------
    paths : list of str
    targets : list of str
        Columns that are read as numbers or classes.
    jobs : int or None
    quiet : bool

    Returns
    -------
    crystals : Crystals
    labels : DataFrame of shape (n_crystals, n_labels)
    n_read : int
        Rows of DATA, with a label or not.

    Raises
    ------
    ValueError
        If a file or an id is given twice, only some of the files have ids, a label is a number in
        one of them and a text in another, or no row has one.

    Warns
    -----
    UserWarning
        Rows have no label.
    """
    crystals, labels, sizes = _read_all(paths, targets, jobs, quiet)
    check_alike(labels[targets], paths, sizes)
    known = labels[targets].notna().any(axis=1).to_numpy()
    if not known.any():
        raise ValueError(f"no row has a label in {', '.join(targets)}")
    warn_unlabelled(labels[targets], paths, sizes)
    return crystals[known], labels[known], len(labels)


def _read_all(
    paths: Sequence[str], targets: list[str] | None, jobs: int | None, quiet: bool
) -> tuple[Crystals, pd.DataFrame, list[int]]:
    """Return the crystals of DATA files end to end, their labels, and the rows of each file."""
    real = [os.path.realpath(path) for path in paths]
    for place, path in enumerate(real):
        if path in real[:place]:
            raise ValueError(f"{paths[place]} is given twice")
    with left_out("unknown labels: "):  # `warn_unlabelled` counts those of all files
        bunches = [
            read_file(path, target=targets, n_jobs=jobs, verbose=int(not quiet)) for path in paths
        ]
    nameless = [p for p, b in zip(paths, bunches, strict=True) if b.structures.ids is None]
    if 0 < len(nameless) < len(paths):  # the ids of the others would be lost
        raise ValueError(
            f"{nameless[0]} has no ids, and other DATA files have some: name its rows in a column "
            f"{', '.join(ID_COLUMNS)}"
        )
    structures = Crystals.concatenate([bunch.structures for bunch in bunches])
    labels = pd.concat([bunch.labels for bunch in bunches], ignore_index=bool(nameless))
    if structures.ids is not None and not labels.index.is_unique:
        again = labels.index[labels.index.duplicated()][0]
        one, other, *_ = (
            path for path, bunch in zip(paths, bunches, strict=True) if again in bunch.labels.index
        )
        raise ValueError(f"the id {again!r} is in {one} and in {other}; keep it in one of them")
    return structures, labels, [len(bunch.labels) for bunch in bunches]


def targets_in(paths: Sequence[str], targets: list[str]) -> list[str]:
    """Return the targets of a model that are columns of all DATA files.

    Parameters
    ----------
    paths : list of str
    targets : list of str

    Returns
    -------
    list of str

    Raises
    ------
    ValueError
        If there are none.
    """
    found = targets
    for path in paths:
        columns = list(map(str, read_labels(path).columns))
        sought, found = found, [name for name in found if name in columns]
        if not found:
            missing = ", ".join(map(repr, sought))
            columns = [name for name in columns if name not in STRUCTURE_COLUMNS]
            raise ValueError(
                f"{path} has no column {missing}; it has {', '.join(columns) or 'no labels'}. If "
                "labels have other names than the targets of the model, give one --target for each "
                f"target, in this order: {', '.join(targets)}"
            )
    return found


def read_data(options: Options) -> tuple[Crystals, pd.DataFrame]:
    """Return the crystals of all files, and their labels row by row."""
    structures, labels, sizes = _read_all(
        options["data"], None, options.get("jobs"), "quiet" in options
    )
    for path in options.get("labels", []):
        labels = _fill_in(labels, path, structures.ids is not None)
    missing = [target for target in options["targets"] if target not in labels]
    if missing:
        raise ValueError(
            f"no file has the column {missing[0]!r}; there are "
            f"{', '.join(map(str, labels.columns))}"
        )
    warn_unlabelled(labels[options["targets"]], options["data"], sizes)
    return structures, labels


def read_test_sets(options: Options) -> dict[str, Crystals]:
    """Return the crystals of the test sets by file name, which the card will list."""
    sets: dict[str, Crystals] = {}
    for path in options.get("hold_out", []):
        name = Path(path).name
        if name in sets:
            raise ValueError(
                f"two --hold-out files are called {name}, and the card tells them apart by name: "
                "rename one"
            )
        sets[name] = _read(path, options).structures
    return sets


def read_ids(path: str) -> list[str]:
    """Return the lines of a file, which a spreadsheet may have saved."""
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text ({error}); save it as UTF-8") from error
    ids = [line.strip() for line in lines if line.strip()]
    if len(ids) == 1 and "," in ids[0]:
        raise ValueError(f"{path} has one line, {ids[0][:40]!r}; write one id a line")
    return ids


def _read(path: str, options: Options) -> Bunch:
    return read_file(path, n_jobs=options.get("jobs"), verbose=int("quiet" not in options))


def _fill_in(labels: pd.DataFrame, path: str, with_ids: bool) -> pd.DataFrame:
    """Return the labels, and fill gaps with the labels of a file."""
    more = read_labels(path)
    if not (with_ids and more.index.name == "id"):
        what = path if with_ids else "a DATA file"
        raise ValueError(
            f"--labels are matched by id, and {what} has none: name its rows in a column "
            f"{', '.join(ID_COLUMNS)}"
        )
    if not labels.index.isin(more.index).any():
        raise ValueError(
            f"none of the {len(more)} ids in {path} (such as {more.index[0]!r}) is in DATA (such "
            f"as {labels.index[0]!r})"
        )
    more = more.reindex(labels.index)
    filled = {
        name: labels[name].where(labels[name].notna(), more[name]) if name in labels else more[name]
        for name in more
    }
    return labels.assign(**filled)
