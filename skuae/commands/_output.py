"""Output of commands: files that are free, tables in three formats, JSON without NaN."""

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd

from skuae._files import write_bytes

_SUFFIXES = (".csv", ".parquet", ".json")


def check_table_path(path: str, overwrite: bool) -> None:
    """Raise unless a table can be written there, before anything else is done.

    Parameters
    ----------
    path : str
    overwrite : bool
        Whether a file may be replaced.

    Raises
    ------
    ValueError, FileExistsError, FileNotFoundError, ImportError
    """
    if not path.lower().endswith(_SUFFIXES):
        raise ValueError(f"-o {path}: name it *.csv, *.parquet or *.json")
    if path.lower().endswith(".parquet"):
        arrow()
    check_free([Path(path)], overwrite)
    if not Path(path).absolute().parent.is_dir():
        raise FileNotFoundError(f"-o {path}: there is no folder {Path(path).parent}")


def arrow() -> Any:
    """Return pyarrow with its part for parquet files.

    Returns
    -------
    module

    Raises
    ------
    ImportError
        If it is missing; it says which extra brings it.
    """
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(
            'writing parquet files needs pyarrow: pip install "skuae[parquet]"'
        ) from error
    return pyarrow


def check_free(paths: list[Path], overwrite: bool) -> None:
    """Raise FileExistsError if a file is there and must not be replaced.

    Parameters
    ----------
    paths : list of Path
    overwrite : bool

    Raises
    ------
    FileExistsError
    """
    there = [path for path in paths if path.exists()]
    if there and not overwrite:
        raise FileExistsError(
            f"{there[0]} is there already; give another name, or pass --overwrite"
        )


def write_table(path: str, frame: pd.DataFrame) -> None:
    """Write a table as CSV, parquet or JSON, after its name, all or nothing.

    Parameters
    ----------
    path : str
    frame : DataFrame
        Its index is not written.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    kind = Path(path).suffix.lower()
    if kind == ".csv":
        content = frame.to_csv(index=False).encode()
    elif kind == ".json":
        content = (json.dumps(records_of(frame), indent=1) + "\n").encode()
    else:
        content = frame.to_parquet(index=False)
    write_bytes(path, content)


def records_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table as JSON can hold them, None where a cell is missing.

    Parameters
    ----------
    frame : DataFrame

    Returns
    -------
    list of dict
    """
    objects = frame.astype(object)
    return plain(objects.where(objects.notna(), None).to_dict(orient="records"))


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it: no numpy scalars, and None for NaN and infinity.

    Parameters
    ----------
    value : object

    Returns
    -------
    object
    """
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def show(frame: pd.DataFrame, index: bool = False) -> None:
    """Print a table, numbers with five digits.

    Parameters
    ----------
    frame : DataFrame
    index : bool, default=False
        Whether to print the index.
    """
    print(frame.to_string(index=index, na_rep="", float_format="{:.5g}".format))


def show_json(value: Any) -> None:
    """Print a value as JSON.

    Parameters
    ----------
    value : object
    """
    print(json.dumps(plain(value), indent=1))
