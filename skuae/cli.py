"""The command ``skuae``."""

import argparse
import json
import os
import sys
from pathlib import Path

import skuae

__all__ = ["main"]

_FRONT_ENDS = ("transformer", "cgcnn", "megnet", "alignn")
_LISTS_OF_PATHS = ("data", "labels", "hold_out")
_PATHS = ("hold_out_ids", "validation_ids")


def main(arguments=None):
    """Run the command line; return its exit status.

    Parameters
    ----------
    arguments : list of str, optional
        Those of the process by default.

    Returns
    -------
    int
        0; 2 after an error in what the user gave, which is printed without a traceback; 130 after
        Ctrl-C.
    """
    parser = argparse.ArgumentParser(
        prog="skuae", description="Universal atomic embeddings for crystals."
    )
    parser.add_argument("--version", action="version", version=f"skuae {skuae.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_pretrain(commands)
    _add_analyze(commands)
    args = parser.parse_args(arguments)
    try:
        args.run(args)
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"skuae {args.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(f"\nskuae {args.command}: {str(stop) or 'stopped'}", file=sys.stderr)
        return 130
    return 0


def _add_pretrain(commands):
    p = commands.add_parser(
        "pretrain",
        help="learn an element table from crystals and their properties",
        description="Learn an element table from crystals and their properties, and write it with "
        "a card that says what it has seen. The same command again goes on where a stopped run "
        "was.",
    )
    add = p.add_argument
    add("data", nargs="*", metavar="DATA", help="parquet, JSON, JSON lines or CSV files, or folders"
        " with id_prop.csv; see skuae.datasets.read_file")  # fmt: skip
    add("-o", "--output", metavar="FOLDER", required=True)
    add("--config", metavar="FILE", help="config.json of an earlier run; options given here win")
    add("--labels", nargs="+", metavar="FILE", help="files with labels by id, where DATA lack them")
    add("--targets", nargs="+", metavar="COLUMN", help="what to learn from")
    add("--units", nargs="+", metavar="UNIT", help="of the targets, for the card")
    add("--task-weights", nargs="+", type=float, metavar="W", help="of the targets in the loss")
    add("--front-end", choices=_FRONT_ENDS, help="transformer (default), or a graph network")
    add("--set", nargs="+", metavar="NAME=VALUE", help="parameters of the front-end, such as "
        "max_epochs=8 n_layers=8 readout=first; others of a --config stay")  # fmt: skip
    add("--hold-out", nargs="+", metavar="FILE", help="test sets, as DATA")
    add("--hold-out-ids", metavar="FILE", help="ids of rows to keep out, one a line")
    add("--hold-out-by", choices=("formula", "structure", "id"), help="default: formula")
    add("--validation-ids", metavar="FILE", help="ids of rows to measure errors on, one a line")
    add("--validation-fraction", type=float, help="without those; default: 0.05")
    add("--max-sites", type=int, help="leave out larger cells")
    add("--name", help="of the table; default: ct-uae")
    add("--source", help="of the data, for the card")
    add("--licence", help="of the data, for the card")
    add("--random-state", type=int, help="default: 0")
    add("--device", help="default: auto")
    add("--jobs", type=int, help="processes that read structures; -1 takes all cores")
    add("--threads", type=int, help="threads of PyTorch on the CPU")
    add("--quiet", action="store_true", default=None, help="no progress bar")
    p.set_defaults(run=_pretrain)


def _pretrain(args):
    import torch

    from skuae._files import write_bytes
    from skuae.pretraining import pretrain

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
    run = pretrain(
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
    path = run.folder / "config.json"
    config = {"command": _absolute(options), **json.loads(path.read_text(encoding="utf-8"))}
    write_bytes(path, json.dumps(config, indent=2).encode())
    print(run.metrics.round(4).to_string())
    print(f"{run.table} -> {run.folder}")


def _add_analyze(commands):
    p = commands.add_parser(
        "analyze",
        help="write what an element table knows as one HTML page",
        description="Write what an element table knows, and what of it noise would give, as one "
        "HTML page, with the figures as PNG and the numbers as CSV beside it.",
    )
    add = p.add_argument
    add("table", metavar="TABLE", help="name of a table, or a .safetensors or .csv file")
    add("-o", "--output", metavar="FOLDER", required=True)
    add("--compare-with", nargs="+", metavar="TABLE", help="default: all that skuae ships")
    add("--space", choices=("umap", "pca", "table"), default="umap", help="where classes are "
        "sought; default: umap")  # fmt: skip
    add("--seeds", type=int, default=5, metavar="N", help="how often; default: 5")
    add("--random-state", type=int, default=0, help="default: 0")
    add("--jobs", type=int, help="processes; -1 takes all cores")
    add("--quiet", action="store_true", help="no progress bar")
    p.set_defaults(run=_analyze)


def _analyze(args):
    import matplotlib

    matplotlib.use("Agg")  # there may be no screen
    from skuae.analysis import write_report

    report = write_report(
        args.table,
        args.output,
        compare_with=args.compare_with,
        space=args.space,
        n_seeds=args.seeds,
        random_state=args.random_state,
        n_jobs=args.jobs,
        verbose=int(not args.quiet),
    )
    print(report.page)


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
        settings = {key: _absolute_tables(value) for key, value in _settings(options).items()}
        options = options | {"set": [f"{k}={json.dumps(v)}" for k, v in settings.items()]}
    lists = {k: [os.path.abspath(p) for p in options[k]] for k in _LISTS_OF_PATHS if k in options}
    return options | lists | {k: os.path.abspath(options[k]) for k in _PATHS if k in options}


def _absolute_tables(value):
    """Return the value of a setting with the files of tables as `_absolute` has them."""
    if isinstance(value, list):
        return [_absolute_tables(item) for item in value]
    is_file = isinstance(value, str) and value.endswith((".csv", ".safetensors"))
    return os.path.abspath(value) if is_file else value


def _require(options, key, text):
    if not options.get(key):
        raise ValueError(f"needs {text}")


def _read(path, options):
    from skuae.datasets import read_file

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
    import pandas as pd

    from skuae.crystals import Crystals
    from skuae.datasets._file import ID_COLUMNS

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
    from skuae.datasets._file import ID_COLUMNS, read_labels

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


def _settings(options):
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
    params = _settings(options)
    for key in ("random_state", "device", "task_weights"):
        if key in options:
            params[key] = options[key]
    kind = _kind(options)
    if kind == "transformer":
        front_end = skuae.CrystalTransformerRegressor(random_state=0)
    else:
        front_end = skuae.CrystalGNNRegressor(kind, embedding="onehot", random_state=0)
    return front_end.set_params(**params)
