"""Structures from dicts and files, without running what these name."""

import gzip
import json
import os
import re
from os import PathLike
from pathlib import Path
from typing import Any

from pymatgen.core import Structure


def structure_from_dict(content: dict[str, Any]) -> Structure:
    """Return the Structure of an ``as_dict()``, without the properties of its sites.

    pymatgen imports and calls whatever these name under ``@module`` and ``@class``.

    Parameters
    ----------
    content : dict

    Returns
    -------
    Structure

    Raises
    ------
    ValueError
        If it is no dictionary of a periodic structure.
    """
    if "sites" not in content:
        raise ValueError(
            "the dictionary is none of pymatgen's: it has no 'sites', but "
            f"{', '.join(map(repr, list(content)[:5])) or 'nothing'}"
        )
    if "lattice" not in content:
        raise ValueError("the dictionary has no 'lattice': skuae models are for crystals")
    sites = [{**site, "properties": None} for site in content["sites"]]
    return Structure.from_dict({**content, "sites": sites})


def structure_from_file(path: str | PathLike) -> Structure:
    """Return the Structure of a file in any format that pymatgen reads, but YAML.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    Structure

    Raises
    ------
    ValueError
        If the file is YAML, which could name code to run.
    """
    name = Path(path).name.lower()
    if re.search(r"\.ya?ml", name):
        raise ValueError("YAML is not read; save the structure as CIF or JSON")
    if re.search(r"\.[jm]son", name):
        opened = gzip.open if name.endswith(".gz") else open
        with opened(path, "rt", encoding="utf-8") as file:
            return structure_from_dict(json.load(file))
    return Structure.from_file(os.fspath(path))
