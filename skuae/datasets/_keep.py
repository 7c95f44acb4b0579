"""Crystals and labels of a download, kept beside it."""

import gzip
import hashlib
import json
from pathlib import Path

import pandas as pd

from skuae._download import data_folder
from skuae._files import write_bytes
from skuae._warnings import warn
from skuae.crystals import Crystals

_FORMAT = 3  # of what `keep` writes: raise it when conversions change


def keep(name, make):
    """Return crystals and labels kept under a name, or make them and keep them.

    They are made anew where what was kept is damaged or not of one piece: nothing is lost, it was
    made before.

    Parameters
    ----------
    name : str
        Start of the names of the two files.
    make : callable
        Returns Crystals with ids, and a DataFrame of numbers, text and booleans with an index
        ``id`` of the same ids.

    Returns
    -------
    structures : Crystals
    labels : DataFrame of shape (n_crystals, n_labels)
        Indexed by id.

    Warns
    -----
    UserWarning
        The files cannot be written, and the conversion will be done again by the next call.
    """
    path = data_folder() / f"{name}.skuae{_FORMAT}"
    structures_path, labels_path = Path(f"{path}.npz"), Path(f"{path}.json.gz")
    kept = _kept(structures_path, labels_path)
    if kept is None:
        kept = structures, labels = make()
        try:
            _write(structures, labels, structures_path, labels_path)
        except OSError as error:
            warn(
                f"{name} was converted, but cannot be kept ({error}): the next call converts it "
                "again; the environment variable SKUAE_DATA names another folder for downloads"
            )
    return kept


def _write(structures, labels, structures_path, labels_path):
    structures_path.parent.mkdir(parents=True, exist_ok=True)
    structures.save(structures_path)
    # JSON has Python's numbers and text exactly; CSV takes "001" for 1
    columns = [(name, str(column.dtype), column.tolist()) for name, column in labels.items()]
    content = json.dumps({"ids": labels.index.tolist(), "columns": columns})
    digest = _digest(structures_path.read_bytes(), content)
    # Last: labels that go with other structures do not have their checksum.
    text = f"{digest}\n{content}"
    write_bytes(labels_path, gzip.compress(text.encode(), compresslevel=1))


def _digest(structures, content):
    """Return one checksum of the file of structures and of the labels."""
    return hashlib.sha256(structures + content.encode()).hexdigest()


def _kept(structures_path, labels_path):
    """Read the files of `keep`; None if they are missing, damaged or do not belong together."""
    try:
        digest, content = gzip.decompress(labels_path.read_bytes()).decode().split("\n", 1)
        if digest != _digest(structures_path.read_bytes(), content):
            return None
        structures, content = Crystals.load(structures_path), json.loads(content)
        if structures.ids is None or structures.ids.tolist() != content["ids"]:
            return None
        index = pd.Index(content["ids"], name="id")
        columns = {
            name: pd.Series(values, index=index, dtype=dtype)
            for name, dtype, values in content["columns"]
        }
        return structures, pd.DataFrame(columns, index=index)
    except Exception:  # whatever it is, it is not what `keep` wrote: make it anew
        return None
