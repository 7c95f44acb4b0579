"""``skuae pretrain``: from options and files to a call of `pretrain`."""

import json
import os
from pathlib import Path

import pandas as pd
import torch

from skuae._files import write_bytes
from skuae.crystals import Crystals
from skuae.datasets import ID_COLUMNS, read_file, read_labels
from skuae.embedding import TABLE_FILES
from skuae.estimators import CrystalGNNRegressor, CrystalTransformerRegressor
from skuae.models import resolve_backbone
from skuae.pretraining import pretrain

_LISTS_OF_PATHS = ("data", "labels", "hold_out")
_PATHS = ("hold_out_ids", "validation_ids")


def run(args):
    """Learn the table that the parsed arguments ask for, and print its errors.

    Parameters
    ----------
    args : argparse.Namespace
    """
    options = _with_config(args)
    _require(options, "data", "DATA: at least one file to learn from")
    _require(options, "targets", "--targets: the columns to learn from")
    targets, units = options["targets"], options.get("units") or []
    if len(units) not in (0, len(targets)):
        raise ValueError(f"{len(units)} --units for {len(targets)} --targets")
    if "threads" in options:
        if options["threads"] < 1:
            raise ValueError(f"--threads {options['threads']}: at least 1")
        torch.set_num_threads(options["threads"])
    structures, labels = _read_data(options)
    ids = {key: _read_ids(options[key]) for key in _PATHS if key in options}
    given = ("hold_out_by", "validation_fraction", "max_sites", "name", "source", "licence")
    done = pretrain(
        structures,
        labels[targets],
        args.output,
        front_end=_front_end(options),
        units=dict(zip(targets, units, strict=False)),
        hold_out=_read_test_sets(options),
        verbose=int("quiet" not in options),
        **ids,
        **{key: options[key] for key in given if key in options},
    )
    path = done.folder / "config.json"
    config = {"command": _absolute(options), **json.loads(path.read_text(encoding="utf-8"))}
    write_bytes(path, json.dumps(config, indent=2).encode())
    print(done.metrics.round(4).to_string())
    print(f"{done.table} -> {done.folder}")


def _with_config(args):
    """Return the options given, over those of the config file."""
    options = {}
    if args.config is not None:
        try:
            options = {**json.loads(Path(args.config).read_text(encoding="utf-8"))["command"]}
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{args.config} is not a config.json that skuae pretrain wrote ({error!r})"
            ) from error
    given = {k: v for k, v in vars(args).items() if v not in (None, [])}
    for key in ("command", "run", "config", "output"):
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
        for setting in given["set"]:  # of those, some have an option of their own
            options.pop(setting.partition("=")[0], None)
        settings = [*options.get("set", []), *given["set"]]
        given["set"] = list({setting.partition("=")[0]: setting for setting in settings}.values())
    return options | given


def _kind(options):
    return options.get("front_end", "transformer")


def _absolute(options):
    """Return the options with paths that mean the same files from any folder."""
    if "set" in options:
        settings = {key: _absolute_tables(value) for key, value in parse_settings(options).items()}
        options = options | {"set": [f"{k}={json.dumps(v)}" for k, v in settings.items()]}
    lists = {k: [os.path.abspath(p) for p in options[k]] for k in _LISTS_OF_PATHS if k in options}
    return options | lists | {k: os.path.abspath(options[k]) for k in _PATHS if k in options}


def _absolute_tables(value):
    """Return the value of a setting with the files of tables as `_absolute` has them."""
    if isinstance(value, list):
        return [_absolute_tables(item) for item in value]
    is_file = isinstance(value, str) and value.lower().endswith(TABLE_FILES)
    return os.path.abspath(value) if is_file else value


def _require(options, key, text):
    if not options.get(key):
        raise ValueError(f"needs {text}")


def _read(path, options):
    return read_file(path, n_jobs=options.get("jobs"), verbose=int("quiet" not in options))


def _read_ids(path):
    """Return the lines of a file, which may have been saved by a spreadsheet."""
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text ({error}); save it as UTF-8") from error
    return [line.strip() for line in lines if line.strip()]


def _read_test_sets(options):
    """Return the crystals of the test sets, by the name of the file that the card will tell."""
    sets = {}
    for path in options.get("hold_out", []):
        name = Path(path).name
        if name in sets:
            raise ValueError(
                f"two --hold-out files are called {name}, and the card tells them apart by name: "
                "rename one"
            )
        sets[name] = _read(path, options).structures
    return sets


def _read_data(options):
    """Return the crystals of all files, and their labels row by row."""
    paths = options["data"]
    if len({os.path.realpath(path) for path in paths}) < len(paths):
        raise ValueError("a DATA file is given twice")
    bunches = [_read(path, options) for path in paths]
    nameless = [p for p, b in zip(paths, bunches, strict=True) if b.structures.ids is None]
    if 0 < len(nameless) < len(paths):  # the ids of the others would be lost
        raise ValueError(
            f"{nameless[0]} has no ids, and other DATA files have some: name its rows in a column "
            f"{', '.join(ID_COLUMNS)}"
        )
    structures = Crystals.concatenate([bunch.structures for bunch in bunches])
    labels = pd.concat([bunch.labels for bunch in bunches])
    if structures.ids is not None and not labels.index.is_unique:
        again = labels.index[labels.index.duplicated()][0]
        raise ValueError(f"the id {again!r} is in two DATA files: ids must be unique")
    for path in options.get("labels", []):
        labels = _fill_in(labels, path, structures.ids is not None)
    missing = [target for target in options["targets"] if target not in labels]
    if missing:
        raise ValueError(
            f"no file has the column {missing[0]!r}; there are "
            f"{', '.join(map(str, labels.columns))}"
        )
    return structures, labels


def _fill_in(labels, path, with_ids):
    """Return the labels, with those of a file where they lack some."""
    more = read_labels(path)
    if not (with_ids and more.index.name == "id"):
        what = path if with_ids else "a DATA file"
        raise ValueError(
            f"--labels are matched by id, and {what} has none: name its rows in a column "
            f"{', '.join(ID_COLUMNS)}"
        )
    if not labels.index.isin(more.index).any():
        raise ValueError(
            f"none of the {len(more)} ids in {path} (such as {more.index[0]!r}) is in DATA (such "
            f"as {labels.index[0]!r})"
        )
    more = more.reindex(labels.index)
    filled = {
        name: labels[name].where(labels[name].notna(), more[name]) if name in labels else more[name]
        for name in more
    }
    return labels.assign(**filled)


def parse_settings(options):
    """Return the values of --set by name."""
    params = {}
    for setting in options.get("set", []):
        key, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"--set {setting}: write NAME=VALUE")
        try:
            params[key] = json.loads(value)
        except ValueError:
            params[key] = value  # a word
    return params


def _front_end(options):
    """Return the estimator that the options describe."""
    params = parse_settings(options)
    for key in ("random_state", "device", "task_weights"):
        if key in options:
            params[key] = options[key]
    kind = _kind(options)
    if kind == "transformer":
        front_end = CrystalTransformerRegressor(random_state=0)
    else:
        front_end = CrystalGNNRegressor(kind, embedding="onehot", random_state=0)
        if any(key.startswith("backbone__") for key in params):
            front_end.set_params(backbone=resolve_backbone(kind))
    try:
        return front_end.set_params(**params)
    except AttributeError as error:  # a parameter of something that has none
        raise ValueError(f"--set {' '.join(options['set'])}: {error}") from error
