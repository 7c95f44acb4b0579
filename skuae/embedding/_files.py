"""Files of element tables: one safetensors file with its card inside, or CSV."""

import hashlib
import json
import os
import uuid
from pathlib import Path

import pandas as pd
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

FORMAT = "skuae-element-table-1"
_KEY = "skuae"  # one key only: safetensors writes several in random order


def write_bytes(path, content):
    """Write a file all or nothing: a reader never meets half of it.

    Parameters
    ----------
    path : str or path-like
    content : bytes
    """
    path = Path(path)
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_safetensors(path, tensors, card):
    """Write the arrays ``values`` and ``numbers`` with a card in the file's metadata.

    Parameters
    ----------
    path : str or path-like
    tensors : dict of ndarray
    card : dict
        JSON-able.

    Raises
    ------
    ValueError
        If the file name does not say what it is.
    TypeError
        If the card holds what JSON cannot.
    """
    if Path(path).suffix != ".safetensors":
        raise ValueError(f"{path}: name the file *.safetensors (or use to_csv)")
    try:
        text = json.dumps({"format": FORMAT, "sha256": _sha256(tensors), **card})
    except TypeError as error:
        raise TypeError(f"the metadata of a table must fit into JSON: {error}") from error
    write_bytes(path, save(tensors, metadata={_KEY: text}))


def read_safetensors(path):
    """Read what `write_safetensors` wrote.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    tensors : dict of ndarray
    card : dict

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no element table, or was changed since it was written.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no element table at {path}")
    try:
        with safe_open(path, framework="numpy") as file:
            card = json.loads((file.metadata() or {})[_KEY])
            tensors = {name: file.get_tensor(name) for name in ("values", "numbers")}
        found, expected = card.pop("format"), card.pop("sha256")
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} is not an element table of skuae, or is damaged ({error}); such files are "
            "written by ElementTable.save"
        ) from error
    if found != FORMAT:
        raise ValueError(f"{path} has format {found!r}, this skuae reads {FORMAT!r}; update skuae")
    if expected != _sha256(tensors):
        raise ValueError(f"{path} was changed since it was written: its checksum does not match")
    return tensors, card


def _sha256(tensors):
    return hashlib.sha256(b"".join(tensors[k].tobytes() for k in sorted(tensors))).hexdigest()


def read_csv(path):
    """Read a CSV whose first column names the elements.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    DataFrame
        Indexed by symbol or atomic number.
    """
    frame = pd.read_csv(path, index_col=0, float_precision="round_trip")
    if not frame.shape[1]:
        raise ValueError(
            f"{path} has one column only; expected elements in the first and their values after it"
        )
    return frame
