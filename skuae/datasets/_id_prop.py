"""The table ``id_prop.csv``: names of structure files and their labels."""

import csv
import math

import pandas as pd

from skuae._warnings import warn

TABLE = "id_prop.csv"
SUFFIXES = ("", ".cif", ".CIF", ".vasp", ".POSCAR", ".json")
UNKNOWN = {"", "nan", "na", "n/a", "none", "null"}
_ID_NAMES = {"id", "ids", "name", "names", "file", "filename", "jid", "material_id", "material-id"}


def read_table(folder, target_names):
    """Read ``id_prop.csv``.

    Parameters
    ----------
    folder : Path
    target_names : list of str or None

    Returns
    -------
    DataFrame of shape (n_crystals, n_labels)
        Indexed by id; NaN where a label is unknown.
    """
    table = folder / TABLE
    if not table.is_file():
        raise FileNotFoundError(
            f"no {TABLE} in {folder}: write one with a line `name,label` per structure file. "
            "Structures without any table are read by "
            'as_crystals(sorted(pathlib.Path(folder).glob("*.cif")))'
        )
    try:
        with open(table, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, skipinitialspace=True)
            lines = [(reader.line_num, [c.strip() for c in line]) for line in reader]
    except UnicodeDecodeError as error:
        raise ValueError(f"{table} is not UTF-8 text ({error}); save it as UTF-8") from error
    lines = [(number, line) for number, line in lines if any(line)]
    if not lines:
        raise ValueError(f"{table} is empty; expected a line `name,label` per structure file")
    width = len(lines[0][1])
    for number, line in lines:
        if len(line) != width:
            raise ValueError(
                f"{table} line {number} has {len(line)} columns, the first line has {width}; "
                "separate columns by commas and quote names that contain one"
            )
    header = lines.pop(0)[1] if _is_header(folder, [line for _, line in lines]) else None
    if header is not None and header[0].lower() not in _ID_NAMES:
        warn(
            f"{table}: the first line, {','.join(header)!r}, is taken for a header, since it names "
            "no file"
        )
    if header is not None and len(set(header)) < len(header):
        raise ValueError(f"{table}: the header names a column twice: {','.join(header)!r}")
    ids = [line[0] for _, line in lines]
    names = _label_names(table, header, width - 1, target_names)
    columns = {
        name: _parse_column(table, name, [(number, line[column]) for number, line in lines])
        for name, column in names.items()
    }
    labels = pd.DataFrame(columns, index=pd.Index(ids, name="id", dtype=object))
    repeated = labels.index[labels.index.duplicated()].unique()
    if len(repeated):
        raise ValueError(
            f"{table} names {_listed(repeated)} more than once; keep one line each, or a crystal "
            "may end up in the training and in the test set"
        )
    return labels


def _is_header(folder, lines):
    """Tell a header from a line of labels: names no file, and is unlike the lines below it."""
    first, *others = lines
    if not others or find_file(folder, first[0]) is not None:
        return False
    if first[0].lower() in _ID_NAMES:
        return True
    texts = [label for label in first[1:] if label.lower() not in UNKNOWN]
    return (
        len(texts) == len(first) - 1 > 0
        and not any(_is_number(text) for text in texts)
        and all(any(_is_number(line[c]) for line in others) for c in range(1, len(first)))
    )


def _label_names(table, header, n_labels, target_names):
    """Return the label columns wanted, as a dict from name to position in the table."""
    if isinstance(target_names, str):
        target_names = [target_names]
    if target_names is not None and len(set(target_names)) < len(target_names):
        raise ValueError(f"target_names={list(target_names)} names a column twice")
    if header is not None:
        known = {name or f"target_{c - 1}": c for c, name in enumerate(header) if c > 0}
        if target_names is None:
            return known
        missing = [name for name in target_names if name not in known]
        if missing:
            raise ValueError(
                f"{table} has no column {_listed(missing)}; its columns are {_listed(known)}"
            )
        return {name: known[name] for name in target_names}
    if target_names is None:
        target_names = ["target"] if n_labels == 1 else [f"target_{i}" for i in range(n_labels)]
    elif len(target_names) != n_labels:
        raise ValueError(
            f"{len(target_names)} target_names for {n_labels} label columns in {table}, which has "
            "no header line; give one name a column"
        )
    return {name: c for c, name in enumerate(target_names, start=1)}


def _parse_column(table, name, cells):
    """Return floats, NaN where unknown; or the texts, if none of them is a number."""
    known = [text for _, text in cells if text.lower() not in UNKNOWN]
    if known and not any(_is_number(text) for text in known):
        return [None if text.lower() in UNKNOWN else text for _, text in cells]
    bad = [
        (number, text)
        for number, text in cells
        if text.lower() not in UNKNOWN and not (_is_number(text) and math.isfinite(float(text)))
    ]
    if bad:
        number, text = bad[0]
        raise ValueError(
            f"{table} line {number}, column {name!r}: {text!r} is not a finite number "
            f"({len(bad)} such lines); leave the cell empty where the label is unknown"
        )
    return [math.nan if text.lower() in UNKNOWN else float(text) for _, text in cells]


def blank_unknown(column):
    """Return a column with NaN where it says that nothing is known, as JARVIS's ``na`` does.

    Parameters
    ----------
    column : Series

    Returns
    -------
    Series
    """
    return column.mask([isinstance(v, str) and v.strip().lower() in UNKNOWN for v in column])


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def find_file(folder, name):
    """Return the path of the structure file that an id stands for.

    Parameters
    ----------
    folder : Path
    name : str

    Returns
    -------
    Path or None
    """
    if not name:
        return None
    return next((p for s in SUFFIXES if (p := folder / f"{name}{s}").is_file()), None)


def _listed(names, most=10):
    names = [repr(name) for name in names]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
