"""Files that are written all or nothing, and checked when they are read. Nothing is unpickled."""

import hashlib
import json
import os
import uuid
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

_KEY = "skuae"  # one key only: safetensors writes several in random order


def write_bytes(path: str | PathLike[str], content: bytes) -> None:
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


def write_safetensors(
    path: str | PathLike[str],
    tensors: Mapping[str, np.ndarray],
    card: dict[str, Any],
    *,
    format: str,
) -> None:
    """Write arrays with a card in the file's metadata, and a checksum over both.

    Parameters
    ----------
    path : str or path-like
        Ends in ``.safetensors``.
    tensors : dict of ndarray
    card : dict
        JSON-able.
    format : str
        What kind of file it is, and in which version.

    Raises
    ------
    ValueError
        If the file name does not say what it is.
    TypeError
        If the card holds what JSON cannot.
    """
    if Path(path).suffix != ".safetensors":
        raise ValueError(f"{path}: name the file *.safetensors")
    # safetensors writes the memory of an array as it lies, so let it lie in order.
    tensors = {
        name: array.astype(array.dtype.newbyteorder("="), order="C", copy=False)
        for name, array in tensors.items()
    }
    try:
        card = json.loads(json.dumps(card))  # as it will be read: keys are strings, tuples lists
        text = json.dumps({"format": format, "sha256": _sha256(tensors, card), **card})
    except TypeError as error:
        raise TypeError(f"what is saved beside the numbers must fit into JSON: {error}") from error
    write_bytes(path, save(tensors, metadata={_KEY: text}))


def read_safetensors(
    path: str | PathLike[str], *, format: str
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `write_safetensors` wrote.

    Parameters
    ----------
    path : str or path-like
    format : str
        As when it was written.

    Returns
    -------
    tensors : dict of ndarray
    card : dict

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is of another kind or version, is damaged, or was changed since it was written.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        with safe_open(path, framework="numpy") as file:
            card = json.loads((file.metadata() or {})[_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        found, expected = card.pop("format"), card.pop("sha256")
    except (SafetensorError, KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not a {format} file, or is damaged ({error})") from error
    if found != format:
        raise ValueError(f"{path} has format {found!r}, expected {format!r}; update skuae?")
    if expected != _sha256(tensors, card):
        raise ValueError(f"{path} was changed since it was written: its checksum does not match")
    return tensors, card


def _sha256(tensors: Mapping[str, np.ndarray], card: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(card, sort_keys=True).encode())
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
