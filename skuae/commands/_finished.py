"""Finished runs of ``skuae pretrain``, whose tables are not replaced unasked."""

import json
from pathlib import Path
from typing import Any

from skuae.commands._options import Options, absolute
from skuae.commands._output import check_free

_OF_THE_MACHINE = {"device", "jobs", "quiet", "threads"}  # they change no result but for rounding


def check_unfinished(folder: Path, options: Options, overwrite: bool) -> None:
    """Raise if a folder holds the table of another run; the same run may be repeated.

    Parameters
    ----------
    folder : Path
    options : dict
    overwrite : bool
        Whether the table may be replaced.

    Raises
    ------
    FileExistsError
    """
    config = _config_in(folder)
    if config is None:
        check_free([folder / f"{options.get('name', 'ct-uae')}.safetensors"], overwrite)
        return
    other = _differences(config.get("command"), absolute(options))
    if other and not overwrite:
        raise FileExistsError(
            f"{folder} holds a finished table {other}; give another folder, or pass --overwrite"
        )


def table_in_use(folder: Path) -> Path | None:
    """Return the table that a finished run left in a folder.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    Path or None
    """
    config = _config_in(folder)
    name = None if config is None else config.get("name")
    return folder / f"{name}.safetensors" if isinstance(name, str) else None


def _config_in(folder: Path) -> dict[str, Any] | None:
    """Return the config.json that a run has written last; None if there is none of skuae."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return config if isinstance(config, dict) and "front_end" in config else None


def _differences(then: Any, now: Options) -> str:
    """Return how a finished run differs from one with these options; nothing if it does not."""
    if not isinstance(then, dict):
        return "that was learned in Python"
    then, now = ({**command, "set": sorted(command.get("set", []))} for command in (then, now))
    keys = sorted({*then, *now} - _OF_THE_MACHINE)
    names = ["DATA" if key == "data" else f"--{key.replace('_', '-')}" for key in keys
             if then.get(key) != now.get(key)]  # fmt: skip
    return f"with other settings ({', '.join(names)})" if names else ""
