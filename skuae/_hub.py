"""Folders of saved models: those that ship with skuae, those of users, those at Hugging Face."""

import difflib
from contextlib import suppress
from pathlib import Path
from typing import Any

from skuae._warnings import warn

_HUB = "hf://"
MODEL_FILE = "model.safetensors"  # all of a model: a folder holds the old one or the new one
# The card beside it, and how it is told from files of the user.
CARD_FILE = "README.md"
CARD_MARKS = {CARD_FILE: "^Fitted with skuae "}
_SHIPPED = Path(__file__).parent / "pretrained" / "models"


def shipped_models() -> dict[str, Path]:
    """Return the folders of the models that ship with skuae, by name.

    Returns
    -------
    dict of str to Path
        Sorted by name.
    """
    return {path.parent.name: path.parent for path in sorted(_SHIPPED.glob(f"*/{MODEL_FILE}"))}


def find_model(source: Any) -> Path:
    """Return the folder of a model.

    Parameters
    ----------
    source : str or path-like
        The name of a model that ships with skuae, a folder, or ``hf://owner/name`` at Hugging Face,
        perhaps with ``@revision``.

    Returns
    -------
    Path
        It has a file `MODEL_FILE`.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or no model in it.
    ImportError
        If it is at Hugging Face, and huggingface_hub is not installed.
    ValueError
        If it is a file, no address at Hugging Face, or both a name and a folder.
    """
    if isinstance(source, str) and source.startswith(_HUB):
        return _fetch(source)
    folder, shipped = Path(source), shipped_models()
    if isinstance(source, str) and source in shipped:
        if (folder / MODEL_FILE).is_file():
            raise ValueError(
                f"{source} is a model that ships with skuae, and the folder of another model here; "
                f"pass ./{source} for the folder, or read the other with skuae.pretrained.load"
            )
        return shipped[source]
    if folder.is_file():
        raise ValueError(f"{folder} is a file; pass the folder that save_pretrained wrote")
    if not (folder / MODEL_FILE).is_file():
        near = close_name(str(source).rstrip("/"), list(shipped))
        hint = f'. Did you mean the model "{near}", which ships with skuae?' if near else ""
        why = f"no {MODEL_FILE} in it" if folder.is_dir() else f"no folder {folder}"
        raise FileNotFoundError(f"{folder} holds no model: there is {why}{hint}")
    return folder


def shipped_first(source: Any) -> Any:
    """Return the folder of a model that ships with skuae, and other sources as they are.

    A default such as ``model="mp"`` means the same in every working folder.

    Parameters
    ----------
    source : object

    Returns
    -------
    object
        A Path if `source` is the name of such a model.

    Warns
    -----
    UserWarning
        A model of the user is in a folder of that name.
    """
    if not isinstance(source, str) or source not in (shipped := shipped_models()):
        return source
    if Path(source, MODEL_FILE).is_file():
        warn(f'"{source}" is the model that ships with skuae; "./{source}" is the folder')
    return shipped[source]


def close_name(name: str, known: list[str]) -> str | None:
    """Return the name that another one is most like, whatever its case, if it is like any.

    Parameters
    ----------
    name : str
    known : list of str

    Returns
    -------
    str or None
    """
    return next(iter(difflib.get_close_matches(name.lower(), known, n=1)), None)


def _fetch(address: str) -> Path:
    """Download a model from Hugging Face, unless it is there already."""
    name, _, revision = address.removeprefix(_HUB).partition("@")
    if name.count("/") != 1 or not all(name.split("/")):
        raise ValueError(f"{address} is no address of a model; write hf://owner/name")
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import (
            EntryNotFoundError,
            HfHubHTTPError,
            LocalEntryNotFoundError,
        )
    except ImportError as error:
        raise ImportError(
            f'{address} is read by huggingface_hub: pip install "skuae[hub]"'
        ) from error
    try:
        path = hf_hub_download(name, MODEL_FILE, revision=revision or None)
        with suppress(EntryNotFoundError):  # a model without a card
            hf_hub_download(name, CARD_FILE, revision=revision or None)
    except LocalEntryNotFoundError as error:
        raise FileNotFoundError(
            f"{address} cannot be fetched: there is no connection; download the repository "
            "elsewhere, and pass its folder"
        ) from error
    except EntryNotFoundError as error:
        raise FileNotFoundError(
            f"{address} holds no model of skuae: there is no {MODEL_FILE} in it"
        ) from error
    except (HfHubHTTPError, OSError) as error:
        raise FileNotFoundError(f"{address} cannot be fetched ({error})") from error
    return Path(path).parent
