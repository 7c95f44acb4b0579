"""The argument TABLE: a name, a file, or the folder that ``skuae pretrain`` wrote."""

from pathlib import Path

from skuae._hub import MODEL_FILE
from skuae.embedding import table_names


def table_at(name: str) -> str:
    """Return the file of the table in a folder; other names and paths as they are.

    Parameters
    ----------
    name : str

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If a folder holds no table, or several.
    """
    folder = Path(name)
    if not name or name in table_names() or not folder.is_dir():
        return name
    tables = tables_in(folder)
    if not tables:
        held = "a model" if (folder / MODEL_FILE).is_file() else "no file *.safetensors"
        raise ValueError(f"{name} is no element table: the folder holds {held}")
    if len(tables) > 1:
        raise ValueError(
            f"{name} holds several element tables; give one of {', '.join(map(str, tables))}"
        )
    return str(tables[0])


def tables_in(folder: Path) -> list[Path]:
    """Return the files of element tables in a folder.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    list of Path
    """
    return sorted(path for path in folder.glob("*.safetensors") if path.name != MODEL_FILE)
