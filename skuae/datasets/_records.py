"""Tables in JSON: a list of records, a record a line, or matminer's index, columns and data."""

import io
import json

import pandas as pd

from skuae.crystals import LIMITS, load_json, read_bytes
from skuae.datasets._id_prop import TABLE


def read_records(path, kind):
    """Read a table from a JSON file.

    Parameters
    ----------
    path : Path
    kind : str
        ``".json"`` or ``".jsonl"``, and ``".gz"`` if it is compressed.

    Returns
    -------
    DataFrame

    Raises
    ------
    ValueError, OSError
        If it is damaged, or another layout.
    """
    with _opened(path, kind) as file:
        if kind.startswith(".jsonl"):
            return _frame_of_records(_lines(file))
        return _frame_of(_content(file.read()))


def _opened(path, kind):
    if not kind.endswith(".gz"):
        return open(path, encoding="utf-8-sig")
    content = read_bytes(path, LIMITS.table_bytes, "table_bytes")
    return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig")


def _lines(file):
    rows = []
    for number, line in enumerate(file, 1):
        try:
            rows += [load_json(line)] if line.strip() else []
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from error
    return rows


def _content(text):
    try:
        return load_json(text)
    except json.JSONDecodeError as error:
        if not error.msg.startswith("Extra data"):
            raise
        raise ValueError(f"{error}; if each line is a record, call the file *.jsonl") from error


def _frame_of(content):
    if isinstance(content, dict) and {"columns", "data"} <= set(content):
        return pd.DataFrame(content["data"], content.get("index"), content["columns"])
    if isinstance(content, dict) and {"sites", "atoms", "lattice"} & set(content):
        raise ValueError(
            f"it holds one structure, which has no labels; give its folder, with a table {TABLE} "
            "of names and labels"
        )
    if not isinstance(content, list):
        held = (
            f"one object with the entries {', '.join(map(repr, list(content)[:3]))}"
            if isinstance(content, dict)
            else f"{str(content)[:40]!r}"
        )
        raise ValueError(
            f"it holds {held}, expected a list of records, [{{...}}, ...]; a data frame of pandas "
            'is written so by frame.to_json(path, orient="records")'
        )
    return _frame_of_records(content)


def _frame_of_records(records):
    for row, record in enumerate(records):
        if not isinstance(record, dict):
            raise ValueError(f"row {row} is {str(record)[:40]!r}, no record of names and values")
    return pd.DataFrame(records)
