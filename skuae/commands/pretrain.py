"""``skuae pretrain``: an element table learned from crystals and their properties."""

import argparse
from typing import TYPE_CHECKING, Any

from skuae.commands._settings import (
    DATA_HELP,
    SEVERAL,
    add_limit,
    add_machine_options,
    add_overwrite,
    new_parser,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FRONT_ENDS", "add_parser", "run"]

# The transformer and all invariant back-ends; a test keeps them equal to the registry's.
FRONT_ENDS = ("transformer", "alignn", "cgcnn", "cogn", "crystalbert", "gated_gcn", "megnet", "sen")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its options to the command line.

    Parameters
    ----------
    subparsers : argparse._SubParsersAction
        As ``ArgumentParser.add_subparsers`` returns it.
    """
    parser = new_parser(
        subparsers,
        "pretrain",
        help="learn an element table from crystals and their properties",
        description="Learn an element table from crystals and their properties, and write it with "
        "a card that lists the training data. The same command resumes a stopped run. The table of "
        "another run in FOLDER is replaced with --overwrite only.",
        example="skuae pretrain mp.parquet --targets formation_energy band_gap -o my_table",
    )
    add = parser.add_argument
    add("data", nargs="*", metavar="DATA", help=DATA_HELP)
    add("-o", "--output", metavar="FOLDER", required=True)
    add("--config", metavar="FILE", help="config.json of an earlier run; options given here win")
    add("--labels", **SEVERAL, metavar="FILE", help="tables with labels by id that DATA lack")
    add("--targets", **SEVERAL, metavar="COLUMN", help="labels to learn from")
    add("--units", **SEVERAL, metavar="UNIT", help="units of the targets, for the card")
    add(
        "--task-weights",
        **SEVERAL,
        type=float,
        metavar="W",
        help="weights of the targets in the loss",
    )
    add("--front-end", choices=FRONT_ENDS, help="transformer (default), or a graph network")
    add("--set", **SEVERAL, metavar="NAME=VALUE", help="parameters of the front-end, such as "
        "max_epochs=8 n_layers=8 readout=first; other settings of a --config stay")  # fmt: skip
    add("--hold-out", **SEVERAL, metavar="FILE", help="test sets, in the formats of DATA")
    add("--hold-out-ids", metavar="FILE", help="ids of rows to keep out, one a line")
    add("--hold-out-by", choices=("formula", "structure", "id"), help="default: formula")
    add("--validation-ids", metavar="FILE", help="ids of rows to measure errors on, one a line")
    add("--validation-fraction", type=float, help="share of the rows, without "
        "--validation-ids; default: 0.05")  # fmt: skip
    add("--max-sites", type=int, help="leave out larger cells")
    add("--name", help="name of the table; default: ct-uae")
    add("--source", help="source of the data, for the card")
    add("--licence", help="licence of the data, for the card")
    add("--random-state", type=int, help="default: 0")
    add("--threads", type=int, help="threads of PyTorch on the CPU")
    add_machine_options(parser, device=True)
    add_limit(parser)
    add_overwrite(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Learn the table, write it, and print its errors.

    Parameters
    ----------
    args : argparse.Namespace
        The parsed options.

    Returns
    -------
    int
        0, the exit status.
    """
    import json
    from pathlib import Path

    import torch

    from skuae._files import write_bytes
    from skuae._ranks import is_first
    from skuae.commands._data import read_data, read_ids, read_test_sets
    from skuae.commands._finished import check_unfinished, table_in_use
    from skuae.commands._options import ID_FILES, absolute, build_front_end, with_config
    from skuae.commands._output import show
    from skuae.commands._scores import as_table
    from skuae.commands._warnings import left_out
    from skuae.pretraining import pretrain

    options = with_config(args)
    _require(options.get("data"), "DATA: at least one file to learn from")
    _require(options.get("targets"), "--targets: the columns to learn from")
    targets, units = options["targets"], options.get("units") or []
    if len(units) not in (0, len(targets)):
        raise ValueError(
            f"give one of --units for each of --targets (--units: {len(units)}, "
            f"--targets: {len(targets)})"
        )
    if "threads" in options:
        if options["threads"] < 1:
            raise ValueError(f"--threads {options['threads']}: at least 1")
        torch.set_num_threads(options["threads"])
    front_end = build_front_end(options)
    check_unfinished(Path(args.output), options, args.overwrite)
    older = table_in_use(Path(args.output))
    structures, labels = read_data(options)
    named = dict(zip(targets, units, strict=False))
    ids = {key: read_ids(options[key]) for key in ID_FILES if key in options}
    given = ("hold_out_by", "validation_fraction", "max_sites", "name", "source", "licence")
    with left_out("training interrupted"):  # the table is not kept
        done = pretrain(
            structures,
            labels[targets],
            args.output,
            front_end=front_end,
            units=named,
            hold_out=read_test_sets(options),
            verbose=int("quiet" not in options),
            **ids,
            **{key: options[key] for key in given if key in options},
        )
    if older not in (None, done.folder / f"{done.table.name}.safetensors") and is_first():
        older.unlink(missing_ok=True)  # its card has gone
    path = done.folder / "config.json"
    config = {"command": absolute(options), **json.loads(path.read_text(encoding="utf-8"))}
    write_bytes(path, json.dumps(config, indent=2).encode())
    show(as_table(_errors(done.metrics), named), index=True)
    print(f"{done.table} -> {done.folder}")
    return 0


def _errors(metrics: "pd.DataFrame") -> dict[str, dict[str, Any]]:
    """Return the errors of `pretrain` as those of `skuae train` are."""
    errors: dict[str, dict[str, Any]] = {}
    for target, row in metrics.to_dict(orient="index").items():
        errors[target] = {"n": row["n_validation"]}
        if row["n_validation"]:
            constant = {"MAE": row["mae_of_mean"], "RMSE": row["rmse_of_mean"]}
            errors[target] |= {"MAE": row["mae"], "RMSE": row["rmse"], "R2": row["r2"]}
            errors[target]["constant"] = constant
    return errors


def _require(value: list[str] | None, text: str) -> None:
    if not value:
        raise ValueError(f"needs {text}")
