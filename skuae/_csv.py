"""CSV files, read cell by cell as texts, without guesses and without losses."""

import csv
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skuae._cells import number_in, says_unknown

Line = tuple[int, list[str]]  # its number in the file, and its cells

_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "vertical bars", " ": "spaces"}
_LARGEST_EXACT = 2**53
# Within quotes, quotes are doubled.
_AFTER_QUOTE = re.compile(r'(?<!")"[ \t]+(?=[,\r\n]|$)')
_LEADING_ZERO = re.compile("0[0-9]")  # of a number of a sample, say


def read_lines(path: Path, *, strict: bool = True) -> list[Line]:
    """Return the lines of a CSV file that are not empty.

    Parameters
    ----------
    path : Path
    strict : bool, default=True
        Refuse what stands between a closing quote and the next comma, but for spaces.

    Returns
    -------
    list of (int, list of str)
        For each line its number and its cells, without spaces around them.

    Raises
    ------
    ValueError
        If the file is not UTF-8, or quotes do not match.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file, _cells_of_any_length():
            text = (_AFTER_QUOTE.sub('"', line) for line in file) if strict else file
            reader = csv.reader(text, skipinitialspace=True, strict=strict)
            lines = [(reader.line_num, [cell.strip() for cell in line]) for line in reader]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text ({error}); save it as UTF-8") from error
    except csv.Error as error:
        raise ValueError(
            f"{path} is no CSV: line {reader.line_num}: {error}; see whether all quotes are closed"
        ) from error
    if any("\0" in cell for _, line in lines[:1] for cell in line):
        raise ValueError(f"{path} is not UTF-8 text, but perhaps UTF-16; save it as UTF-8")
    return [(number, line) for number, line in lines if any(line)]


@contextmanager
def _cells_of_any_length() -> Iterator[None]:
    """Lift csv's limit of 131,072 characters in a context: CIF texts of large cells are longer."""
    limit = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # a C long, of 32 bits on Windows
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def check_widths(path: Path, lines: list[Line]) -> None:
    """Raise ValueError unless all lines have as many cells as the first."""
    width = len(lines[0][1])
    for number, line in lines:
        if line[0].startswith("#") and len(line) == 1 < max(len(other) for _, other in lines):
            raise ValueError(f"{path} line {number} is a comment, {line[0]!r}; take it out")
        if len(line) != width:
            raise ValueError(
                f"{path} line {number} has {len(line)} columns, the first line has {width}; "
                "separate columns by commas and quote names that contain one"
            )


def without_empty_end(lines: list[Line]) -> list[Line]:
    """Return the lines without last columns in which all is empty: commas at the ends of lines."""
    while len(lines[0][1]) > 1 and not any(line[-1] for _, line in lines):
        lines = [(number, line[:-1]) for number, line in lines]
    return lines


def wrong_delimiter(path: Path, delimiter: str) -> ValueError:
    """Return the error that names a delimiter, and the way out."""
    return ValueError(
        f"{path} separates columns by {_DELIMITERS[delimiter]}; save it with commas between "
        "columns, and write decimals with a point"
    )


def as_table(path: Path, lines: list[Line]) -> pd.DataFrame:
    """Return the lines of a file as a table of texts; the first line is the header.

    Parameters
    ----------
    path : Path
    lines : list of (int, list of str)
        From `read_lines`.

    Returns
    -------
    DataFrame of str of shape (n_rows, n_columns)
        Columns without a name are called ``Unnamed: 0``, ... by their position, as pandas does.

    Raises
    ------
    ValueError
        If there are no lines, other delimiters than commas, or lines with different numbers of
        cells, or the header names a column twice.
    """
    if not lines:
        raise ValueError(f"{path} is empty")
    header = lines[0][1]
    if len(header) == 1 and not header[0].startswith("#"):
        found = [delimiter for delimiter in _DELIMITERS if delimiter in header[0]]
        if found:
            raise wrong_delimiter(path, found[0])
    check_widths(path, lines)
    (_, header), *rows = without_empty_end(lines)
    check_names(path, header)
    names = [name or f"Unnamed: {i}" for i, name in enumerate(header)]
    return pd.DataFrame([cells for _, cells in rows], columns=names, dtype=str)


def check_names(path: Path, names: Sequence[Any]) -> None:
    """Raise ValueError if two columns of a file have one name."""
    twice = next((name for name in names if name != "" and names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{path} has two columns {twice!r}; rename one")


def as_typed(texts: pd.Series) -> pd.Series:
    """Return a column of texts as numbers or booleans, if all that is known in it are such.

    Texts stay texts where one has a leading zero, as ``007``.

    Parameters
    ----------
    texts : Series of str

    Returns
    -------
    Series
        NaN where the cell says that nothing is known.
    """
    cells = [None if says_unknown(text) else text.strip() for text in texts]
    known = [cell for cell in cells if cell is not None]
    numbers = _numbers(known)
    if numbers is not None and not any(map(_LEADING_ZERO.match, known)):
        values = pd.Series(np.nan, index=texts.index, name=texts.name)
        values[[cell is not None for cell in cells]] = numbers
        whole = len(known) == len(cells) > 0 and all(c.lstrip("+-").isdigit() for c in known)
        return values.astype(np.int64) if whole and abs(values).max() < _LARGEST_EXACT else values
    if all(cell.lower() in ("true", "false") for cell in known):
        cells = [np.nan if cell is None else cell.lower() == "true" for cell in cells]
        return pd.Series(
            cells, texts.index, bool if len(known) == len(cells) else object, texts.name
        )
    return pd.Series([np.nan if c is None else c for c in cells], texts.index, object, texts.name)


def _numbers(texts: list[str]) -> list[float] | None:
    numbers = []
    for text in texts:
        number = number_in(text)
        if number is None:
            return None
        numbers.append(number)
    return numbers
