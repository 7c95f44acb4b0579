"""``skuae pretrain``: an element table learned from crystals and their properties."""

import argparse

from skuae.commands._settings import SEVERAL
from skuae.models import BACKBONES

__all__ = ["add_parser", "front_ends", "run"]


def front_ends() -> tuple[str, ...]:
    """Return the choices of ``--front-end``.

    Returns
    -------
    tuple of str
        The default comes first.
    """
    return ("transformer", *(name for name, kind in BACKBONES.items() if kind().invariant))


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its options to the command line.

    Parameters
    ----------
    subparsers : argparse._SubParsersAction
        As ``ArgumentParser.add_subparsers`` returns it.
    """
    parser = subparsers.add_parser(
        "pretrain",
        help="learn an element table from crystals and their properties",
        description="Learn an element table from crystals and their properties, and write it with "
        "a card that says what it has seen. The same command again goes on where a stopped run "
        "was.",
    )
    add = parser.add_argument
    add("data", nargs="*", metavar="DATA", help="parquet, JSON, JSON lines or CSV files, or folders"
        " with id_prop.csv; see skuae.datasets.read_file")  # fmt: skip
    add("-o", "--output", metavar="FOLDER", required=True)
    add("--config", metavar="FILE", help="config.json of an earlier run; options given here win")
    add("--labels", **SEVERAL, metavar="FILE", help="labels by id, where DATA lack them")
    add("--targets", **SEVERAL, metavar="COLUMN", help="what to learn from")
    add("--units", **SEVERAL, metavar="UNIT", help="of the targets, for the card")
    add("--task-weights", **SEVERAL, type=float, metavar="W", help="of the targets in the loss")
    add("--front-end", choices=front_ends(), help="transformer (default), or a graph network")
    add("--set", **SEVERAL, metavar="NAME=VALUE", help="parameters of the front-end, such as "
        "max_epochs=8 n_layers=8 readout=first; others of a --config stay")  # fmt: skip
    add("--hold-out", **SEVERAL, metavar="FILE", help="test sets, as DATA")
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
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Learn the table, write it, and print its errors.

    Parameters
    ----------
    args : argparse.Namespace
        The parsed options.
    """
    import json

    import torch

    from skuae._files import write_bytes
    from skuae.commands._data import read_data, read_ids, read_test_sets
    from skuae.commands._options import ID_FILES, absolute, build_front_end, with_config
    from skuae.pretraining import pretrain

    options = with_config(args)
    _require(options.get("data"), "DATA: at least one file to learn from")
    _require(options.get("targets"), "--targets: the columns to learn from")
    targets, units = options["targets"], options.get("units") or []
    if len(units) not in (0, len(targets)):
        raise ValueError(f"{len(units)} --units for {len(targets)} --targets")
    if "threads" in options:
        if options["threads"] < 1:
            raise ValueError(f"--threads {options['threads']}: at least 1")
        torch.set_num_threads(options["threads"])
    structures, labels = read_data(options)
    ids = {key: read_ids(options[key]) for key in ID_FILES if key in options}
    given = ("hold_out_by", "validation_fraction", "max_sites", "name", "source", "licence")
    done = pretrain(
        structures,
        labels[targets],
        args.output,
        front_end=build_front_end(options),
        units=dict(zip(targets, units, strict=False)),
        hold_out=read_test_sets(options),
        verbose=int("quiet" not in options),
        **ids,
        **{key: options[key] for key in given if key in options},
    )
    path = done.folder / "config.json"
    config = {"command": absolute(options), **json.loads(path.read_text(encoding="utf-8"))}
    write_bytes(path, json.dumps(config, indent=2).encode())
    print(done.metrics.round(4).to_string())
    print(f"{done.table} -> {done.folder}")


def _require(value: list[str] | None, text: str) -> None:
    if not value:
        raise ValueError(f"needs {text}")
