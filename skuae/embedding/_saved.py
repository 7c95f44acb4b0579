"""Element tables in files: card and numbers, both checked when they are read."""

import numpy as np

from skuae._cards import check_all_taken, take, take_array, take_texts
from skuae._files import checked_content, read_safetensors, write_safetensors

_FORMAT = "skuae-element-table-1"


def write_table(table, path):
    """Write a table to a file, all or nothing.

    Parameters
    ----------
    table : ElementTable
    path : str or path-like
        Ends in ``.safetensors``.
    """
    card, tensors = encode_table(table)
    write_safetensors(path, tensors, card, format=_FORMAT)


def read_table(cls, path):
    """Read what `write_table` wrote.

    Parameters
    ----------
    cls : type
        ElementTable.
    path : Path

    Returns
    -------
    ElementTable

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file holds no element table or is damaged.
    """
    if path.suffix.lower() == ".json" and path.is_file():
        raise ValueError(
            f"{path}: an element table is a .safetensors or .csv file; read JSON with pandas, "
            'ElementTable(pandas.DataFrame(...), name="mine"); the table of CGCNN is '
            'get_table("cgcnn")'
        )
    tensors, card = read_safetensors(path, format=_FORMAT)
    with checked_content(path, "an element table"):
        return decode_table(cls, card, tensors)


def encode_table(table):
    """Return what a file holds of a table.

    Parameters
    ----------
    table : ElementTable

    Returns
    -------
    card : dict
        What JSON can hold.
    tensors : dict of ndarray
    """
    card = {"name": table.name, "columns": table.columns, "metadata": table.metadata}
    tensors = {
        "numbers": (np.flatnonzero(table.seen) + 1).astype(np.uint8),
        "values": table.values[table.seen],
    }
    return card, tensors


def decode_table(kind, card, tensors):
    """Return the table that `encode_table` has taken apart.

    Parameters
    ----------
    kind : type
        ElementTable.
    card : dict
    tensors : dict of ndarray
        Emptied.

    Returns
    -------
    ElementTable

    Raises
    ------
    ValueError
        If they are not those of a table.
    """
    values = take_array(tensors, "values", np.float32, (None, None))
    numbers = take_array(tensors, "numbers", np.uint8, values.shape[:1])
    check_all_taken(tensors)
    name, columns = take(card, "name", str), take_texts(card, "columns")
    return kind(values, numbers, name=name, metadata=take(card, "metadata", dict), columns=columns)
