"""Columns and cells of tables that hold structures."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from pymatgen.core import Structure

from skuae._cells import short_repr
from skuae._elements import SYMBOLS, atomic_number
from skuae._numbers import as_floats
from skuae.crystals import as_lists, is_file, parse_structure
from skuae.datasets._id_prop import TABLE, check_once, elsewhere, leads_out

ONE_COLUMN = ("structure", "atoms", "cif", "file", "path")
_PACKED = ("lattice", "atomic_numbers", "frac_coords")
_OCCUPANCIES = "site_occupancies"
STRUCTURE_COLUMNS = (*ONE_COLUMN, *_PACKED, _OCCUPANCIES)
_FORMULAS = ("formula", "composition", "reduced_formula")


class _Empty(NamedTuple):
    """A row without a structure."""

    column: str


class Outside(NamedTuple):
    """The name of a file that must not be read."""

    name: str


def cells_of(path, frame, allow_outside, *, once=True, first=None, start=0):
    """Return the columns of a table that are not structures, and the cells that are.

    Parameters
    ----------
    path : Path
        Of the table.
    frame : DataFrame
        All or some of its rows.
    allow_outside : bool
    once : bool, default=True
        Raise ValueError if two rows name one file.
    first : dict, optional
        As of `check_once`.
    start : int, default=0
        Number of the first row in the table.

    Returns
    -------
    labels : DataFrame of shape (n_crystals, n_labels)
    cells : list of length n_crystals
        For `read_cell`.
    """
    used = _structure_columns(path, frame)
    rows = frame[list(used)].itertuples(index=False, name=None)
    cells = [_cell(used, row) for row in rows]
    if not allow_outside:
        cells = [Outside(cell) if _is_name(cell) and leads_out(cell) else cell for cell in cells]
    if once:
        rows = enumerate(cells, start)
        named = ((f"row {row}", path.parent / cell) for row, cell in rows if _is_name(cell))
        check_once(path, named, first)
    return frame.drop(columns=list(used)), cells


def _structure_columns(path, frame):
    """Return the names of the columns that hold the structures."""
    if set(_PACKED) <= set(frame):
        return _PACKED + (_OCCUPANCIES,) * (_OCCUPANCIES in frame)
    column = next((name for name in ONE_COLUMN if name in frame), None)
    if column is None:
        raise ValueError(f"{path} has no column of structures. {_way_out(path, frame)}")
    return (column,)


def _way_out(path: Path, frame: pd.DataFrame) -> str:
    """Say what to do about a table without structures."""
    if path.name == TABLE:
        return f"It lists the files of its folder: give the folder, {path.parent}"
    *most, last = ONE_COLUMN
    text = (
        f"Call it {', '.join(most)} or {last}; or give the columns {', '.join(_PACKED[:-1])} and "
        f"{_PACKED[-1]}. Its columns are {', '.join(map(str, frame.columns)) or 'none but ids'}"
    )
    if {str(name).lower() for name in frame}.isdisjoint(_FORMULAS):
        return text
    return f"{text}. Formulas without structures are read in Python only, by skuae.UAETransformer"


def _cell(names: tuple[str, ...], values: tuple[Any, ...]) -> Any:
    """Return what `read_cell` reads of a row."""
    empty = [
        name
        for name, value in zip(names, values, strict=True)
        if name != _OCCUPANCIES and _is_empty(value)
    ]
    if empty:
        return _Empty(empty[0])
    return values if len(values) > 1 else values[0]


def _is_empty(value: Any) -> bool:
    if isinstance(value, str):
        return not value.strip()
    return pd.api.types.is_scalar(value) and bool(pd.isna(value))


def read_cell(cell, limits, folder):
    """Return the structure in a cell, and the remarks of the parser."""
    if isinstance(cell, _Empty):
        raise ValueError(f"the cell of column {cell.column} is empty; fill it, or take the row out")
    if isinstance(cell, Outside):
        raise ValueError(elsewhere(cell.name, folder))
    if isinstance(cell, tuple):
        return _from_arrays(*as_lists(cell), limits=limits), []
    if not isinstance(cell, (str, dict)):
        raise ValueError(f"there is no structure ({short_repr(cell)})")
    if not _is_name(cell):
        return parse_structure(cell, limits=limits)
    if not is_file(folder / cell):
        raise ValueError(
            f"{short_repr(cell, 42)} is no CIF text, and there is no such file in {folder}"
        )
    return parse_structure(folder / cell, limits=limits)


def _is_name(cell):
    """Tell whether a cell is the name of a file, not a CIF or JSON text."""
    if not isinstance(cell, str) or cell.lstrip()[:1] in ("{", "["):
        return False
    return not re.search(r"^\s*data_", cell, re.MULTILINE | re.IGNORECASE)


def _from_arrays(lattice, numbers, coords, occupancies=None, *, limits):
    limits.check("sites", len(numbers), "sites")
    lattice, coords = as_floats(lattice), as_floats(coords)
    if occupancies is None:
        return Structure(lattice, [_symbol(z) for z in numbers], coords)
    species = [{_symbol(z): x for z, x in site} for site in occupancies]
    if any(not x > 0 for site in species for x in site.values()):
        raise ValueError(f"{_OCCUPANCIES} holds one that is not above 0")
    return Structure(lattice, species, coords)


def _symbol(element):
    return SYMBOLS[atomic_number(element) - 1]
