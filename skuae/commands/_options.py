"""Options of ``skuae pretrain``; given options override those of a config file."""

import argparse
import json
import os
from pathlib import Path
from typing import Any

from skuae.commands._params import with_params
from skuae.commands._settings import parse_settings
from skuae.embedding import TABLE_FILES
from skuae.estimators import CrystalGNNRegressor, CrystalTransformerRegressor

Options = dict[str, Any]  # by name, without those that were not given

ID_FILES = ("hold_out_ids", "validation_ids")
_LISTS_OF_FILES = ("data", "labels", "hold_out")


def with_config(args: argparse.Namespace) -> Options:
    """Return the options given, over those of the config file."""
    options: Options = {}
    if args.config is not None:
        try:
            options = {**json.loads(Path(args.config).read_text(encoding="utf-8"))["command"]}
        except FileNotFoundError as error:
            raise FileNotFoundError(f"--config: there is no file {args.config}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{args.config} is not a config.json that skuae pretrain wrote ({error!r})"
            ) from error
    given = {k: v for k, v in vars(args).items() if v not in (None, [])}
    for key in ("command", "run", "config", "output", "limit", "overwrite"):
        given.pop(key, None)
    if given.get("targets", options.get("targets")) != options.get("targets"):
        for key in ("units", "task_weights"):  # of other targets
            options.pop(key, None)
    if given.get("front_end", _kind(options)) != _kind(options):
        for key in ("set", "task_weights"):  # of another front-end
            options.pop(key, None)
    if "validation_fraction" in given:
        options.pop("validation_ids", None)
    if "set" in given:
        for setting in given["set"]:  # some settings have an option of their own
            options.pop(setting.partition("=")[0], None)
        settings = [*options.get("set", []), *given["set"]]
        given["set"] = list({setting.partition("=")[0]: setting for setting in settings}.values())
    return options | given


def absolute(options: Options) -> Options:
    """Return the options with paths that mean the same files from any folder."""
    if "set" in options:
        settings = {k: _absolute_tables(v) for k, v in parse_settings(options["set"]).items()}
        options = options | {"set": [f"{k}={json.dumps(v)}" for k, v in settings.items()]}
    lists = {k: [os.path.abspath(p) for p in options[k]] for k in _LISTS_OF_FILES if k in options}
    return options | lists | {k: os.path.abspath(options[k]) for k in ID_FILES if k in options}


def build_front_end(options: Options) -> CrystalTransformerRegressor | CrystalGNNRegressor:
    """Return the estimator that the options describe."""
    if "task_weights" in options and _kind(options) != "transformer":
        raise ValueError("--task-weights: a graph network has none; take --front-end transformer")
    params = parse_settings(options.get("set", []))
    for key in ("random_state", "device", "task_weights"):
        if key in options:
            params[key] = options[key]
    kind = _kind(options)
    if kind == "transformer":
        front_end = CrystalTransformerRegressor(random_state=0)
    else:
        front_end = CrystalGNNRegressor(kind, embedding="onehot", random_state=0)
    return with_params(front_end, params)


def _kind(options: Options) -> str:
    return options.get("front_end", "transformer")


def _absolute_tables(value: Any) -> Any:
    """Return the value of a setting with absolute paths of its table files."""
    if isinstance(value, list):
        return [_absolute_tables(item) for item in value]
    is_file = isinstance(value, str) and value.lower().endswith(TABLE_FILES)
    return os.path.abspath(value) if is_file else value
