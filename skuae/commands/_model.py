"""The argument MODEL, and what `skuae train` noted about it."""

import hashlib
import json
from pathlib import Path
from typing import Any

from skuae._hub import MODEL_FILE
from skuae.estimators import load_pretrained

NOTES = "metrics.json"


def load_model(name: str, args: Any) -> Any:
    """Return the fitted estimator that MODEL stands for.

    Parameters
    ----------
    name : str
        The folder of a saved model.
    args : argparse.Namespace
        With the options `device` and `quiet`.

    Returns
    -------
    estimator
    """
    model = load_pretrained(name, device=args.device or "auto")
    return model.set_params(verbose=int(not args.quiet))


def digest_of(folder: str | Path) -> str:
    """Return the checksum of a saved model, by which notes are known to be on it.

    Parameters
    ----------
    folder : str or Path

    Returns
    -------
    str
    """
    return hashlib.sha256((Path(folder) / MODEL_FILE).read_bytes()).hexdigest()


def notes_on(folder: str | Path) -> dict[str, Any]:
    """Return what `skuae train` wrote about the model in a folder.

    Parameters
    ----------
    folder : str or Path

    Returns
    -------
    dict
        Empty if there is nothing, or if it is about another model.
    """
    try:
        notes = json.loads((Path(folder) / NOTES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    known = isinstance(notes, dict) and notes.get("model_sha256") == digest_of(folder)
    return notes if known else {}


def units_of(model: Any) -> dict[str, str]:
    """Return the units of targets by name, of those that have one.

    Parameters
    ----------
    model : estimator
        Fitted, and read from a folder.

    Returns
    -------
    dict of str to str
    """
    pairs = zip(model.target_names_ or [], model.target_units_ or [], strict=False)
    return {name: unit for name, unit in pairs if unit}
