"""The table ``id_prop.csv``: names of structure files and their labels."""

import os
import re
from itertools import pairwise

import pandas as pd

from skuae._cells import number_in, says_unknown, short_repr, shortened, why_no_number
from skuae._csv import check_names, check_widths, read_lines, without_empty_end, wrong_delimiter
from skuae._warnings import warn
from skuae.crystals import is_file
from skuae.datasets._labels import as_labels
from skuae.datasets._rows import noted

TABLE = "id_prop.csv"
SUFFIXES = ("", ".cif", ".CIF", ".vasp", ".POSCAR", ".json")
_INTEGER = re.compile("[+-]?[0-9]+")
_FRACTION = re.compile(r"0[0-9]+|[0-9]+(e[+-][0-9]+|\([0-9]+\))", re.IGNORECASE)
_ID_NAMES = {
    "id", "ids", "name", "names", "file", "files", "filename", "path", "cif", "structure",
    "jid", "materialid", "mpid", "taskid", "entryid", "cifid",
}  # fmt: skip


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
        raise noted(
            FileNotFoundError(
                f"no {TABLE} in {folder}: write one with a line `name,label` per structure file"
            ),
            "Structures without any table are read by skuae.datasets.read_structures(folder)",
        )
    lines = read_lines(table, strict=False)
    if not lines:
        raise ValueError(f"{table} is empty; expected a line `name,label` per structure file")
    _check_lines(folder, table, lines)
    lines = without_empty_end(lines)
    width = len(lines[0][1])
    header = lines.pop(0)[1] if _is_header(folder, [line for _, line in lines]) else None
    if header is not None and not _is_id_name(header[0]):
        warn(
            f"{table}: the first line, {','.join(header)!r}, is taken for a header, since it names "
            "no file"
        )
    if header is not None:
        check_names(table, header)
    if header is None and len(lines) == 1 and _is_header_alone(folder, lines[0][1]):
        raise ValueError(f"{table} has a header only; expected a line `name,label` for each file")
    ids = [line[0] for _, line in lines]
    names = _label_names(table, header, width - 1, target_names)
    if header is None:
        _check_commas(table, lines)
    columns = {
        name: as_labels([line[c] for _, line in lines], _where(table, name, lines))
        for name, c in names.items()
    }
    labels = pd.DataFrame(columns, index=pd.Index(ids, name="id", dtype=object))
    repeated = labels.index[labels.index.duplicated()].unique()
    if len(repeated):
        raise ValueError(
            f"{table} names {_listed(repeated)} more than once; keep one line each, or a crystal "
            "may end up in the training and in the test set"
        )
    return labels


def _where(table, name, lines):
    return lambda row: f"{table} line {lines[row][0]}, column {name!r}"


def _check_lines(folder, table, lines):
    """Raise ValueError for lines that do not hold a name and labels."""
    for number, line in lines:
        broken = next((cell for cell in line if "\n" in cell or "\r" in cell), None)
        if broken is not None:
            raise ValueError(
                f"{table} line {number}: {broken[:40]!r} goes on over lines; close the quote that "
                "begins it"
            )
    names = [line[0] for _, line in lines]
    delimiter = _delimiter(folder, names)
    if delimiter is not None:
        raise wrong_delimiter(table, delimiter)
    check_widths(table, lines)


def _check_commas(table, lines):
    """Raise ValueError if decimal commas were read as separators.

    A header would have fewer columns than the lines below it.
    """
    if any("." in cell for _, line in lines for cell in line[1:]):  # decimals have points
        return
    for number, line in lines:
        for whole, fraction in pairwise(line[1:]):
            if _INTEGER.fullmatch(whole) and (
                _FRACTION.fullmatch(fraction) or (whole == "-0" and fraction.isdigit())
            ):
                raise ValueError(
                    f"{table} line {number}: {whole!r} and {fraction!r} look like {whole},"
                    f"{fraction}; write decimals with a point. If these are two labels, put a line "
                    "with the names of the columns first"
                )


def _delimiter(folder, names):
    """Return the separator of columns if it is no comma, judged by file names; else None."""
    if any(find_file(folder, name) for name in names):
        return None
    for delimiter in ";\t| ":
        first = [name.partition(delimiter)[0].strip() for name in names if delimiter in name]
        if any(find_file(folder, name) for name in first):
            return delimiter
        if len(first) == len(names) and delimiter != " ":
            return delimiter
    return None


def _is_header(folder, lines):
    """Tell whether a line is a header: it names no file and differs from the lines below."""
    first, *others = lines
    if not others or _is_name(first[0]) or find_file(folder, first[0]) is not None:
        return False
    if _is_id_name(first[0]):
        return True
    return len(first) > 1 and all(
        _is_word(first[c]) and any(number_in(line[c]) is not None for line in others)
        for c in range(1, len(first))
    )


def _is_name(text):
    """Tell whether a text looks like the name of a file, which need not exist."""
    return leads_out(text) or text.endswith(SUFFIXES[1:])


def _is_header_alone(folder, line):
    return _is_id_name(line[0]) and find_file(folder, line[0]) is None


def _is_id_name(text):
    return re.sub("[ _-]", "", text.lower()) in _ID_NAMES


def _is_word(text):
    return not says_unknown(text) and number_in(text) is None and why_no_number(text) is None


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
    return next((p for s in SUFFIXES if is_file(p := folder / f"{name}{s}")), None)


def check_inside(table, names):
    """Raise ValueError if a name leads out of the folder of its table.

    Parameters
    ----------
    table : Path
    names : list of str

    Raises
    ------
    ValueError
        If one is an absolute path, or leads upwards by ``..``.
    """
    outside = [name for name in names if leads_out(name)]
    if outside:
        raise noted(
            ValueError(
                f"{table}: {_listed(outside, 3)} would be read from outside of {table.parent}; "
                "move the files there"
            ),
            "Or pass allow_outside=True if you trust the table",
        )


def elsewhere(name, folder):
    """Say that a file is not read because it lies elsewhere."""
    return f"{short_repr(name, 80)} would be read from outside of {folder}; move the file there"


def check_once(table, named, first=None):
    """Raise ValueError if two rows of a table are one file; a name without a file is none.

    Parameters
    ----------
    table : Path
    named : iterable of tuple of (str, Path)
        How messages call the rows, and their files.
    first : dict of str to str, optional
        The rows that were first to name a file, of earlier parts of the table; added to.

    Raises
    ------
    ValueError
    """
    first = {} if first is None else first
    for row, file in named:
        other = first.setdefault(os.path.normpath(file), row)
        if other != row and is_file(file):
            raise ValueError(
                f"{table}: {other} and {row} are the same file, "
                f"{shortened(str(file), 200)}; keep one "
                "row, or a crystal may end up in the training and in the test set"
            )


def leads_out(name):
    """Tell whether a name is an absolute path, or leads upwards by ``..``."""
    path = os.path.normpath(name.replace("\\", "/"))
    return os.path.isabs(path) or path.split("/")[0] == ".." or name[1:2] == ":"


def _listed(names, most=10):
    names = [f"{name!r:.80}" for name in names]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
