"""What was made of a download, kept beside it: crystals and labels."""

import gzip
import json
import zlib
from pathlib import Path

import pandas as pd

from skuae._download import data_folder, make_folder
from skuae._files import write_bytes
from skuae.crystals import Crystals

_FORMAT = 2  # of what `keep` writes: raise it when conversions change


def keep(name, make):
    """Return crystals and labels kept under a name, or make them and keep them.

    They are made anew where what was kept is damaged: nothing is lost, it was made before.

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
    """
    path = data_folder() / f"{name}.skuae{_FORMAT}"
    structures_path, labels_path = Path(f"{path}.npz"), Path(f"{path}.json.gz")
    kept = _kept(structures_path, labels_path)
    if kept is None:
        kept = structures, labels = make()
        make_folder(structures_path.parent)
        # JSON has Python's numbers and text exactly; CSV takes "001" for 1
        columns = [(name, str(column.dtype), column.tolist()) for name, column in labels.items()]
        content = json.dumps({"ids": labels.index.tolist(), "columns": columns})
        write_bytes(labels_path, gzip.compress(content.encode(), compresslevel=1))
        structures.save(structures_path)
    return kept


def _kept(structures_path, labels_path):
    """Read what `keep` wrote; None if it is not there, damaged, or not of one piece."""
    try:
        structures = Crystals.load(structures_path)
        content = json.loads(gzip.decompress(labels_path.read_bytes()))
    except (OSError, EOFError, ValueError, zlib.error):
        return None
    if structures.ids is None or structures.ids.tolist() != content["ids"]:
        return None
    index = pd.Index(content["ids"], name="id")
    columns = {
        name: pd.Series(values, index=index, dtype=dtype)
        for name, dtype, values in content["columns"]
    }
    return structures, pd.DataFrame(columns, index=index)
