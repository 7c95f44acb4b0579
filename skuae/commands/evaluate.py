"""``skuae evaluate``: errors of a saved model on labelled crystals."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from skuae.commands._settings import (
    DATA_HELP,
    add_limit,
    add_machine_options,
    add_overwrite,
    new_parser,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["add_parser", "run"]


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its options to the command line.

    Parameters
    ----------
    subparsers : argparse._SubParsersAction
        As ``ArgumentParser.add_subparsers`` returns it.
    """
    parser = new_parser(
        subparsers,
        "evaluate",
        help="measure the errors of a saved model on labelled crystals",
        description="Predict labelled crystals with a saved model and compare: MAE, RMSE and R2, "
        "or accuracy, balanced accuracy and log-loss. The best constant (the mean or the shares of "
        "the classes in DATA) is measured as well. With -o, a folder gets metrics.json, "
        "predictions.csv and parity.png, or confusion.png for classes. Rows that the model was "
        "trained on have smaller errors than new ones.",
        example="skuae evaluate my_model test_set.parquet --target band_gap -o report",
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="folder of a saved network or pipeline, or a network that "
        "ships with skuae: mp, mp-energy-gap, mp-metal, mp-topology")  # fmt: skip
    add("data", nargs="+", metavar="DATA", help=DATA_HELP)
    add("--target", action="append", metavar="COLUMN", help="the label. With the name of a target "
        "of the model, it is compared with that target; labels of other names are given once for "
        "each target, in order; default: those of the model that are columns of DATA")  # fmt: skip
    add("-o", "--output", metavar="FOLDER", help="default: print the errors only")
    add("--json", action="store_true", help="print JSON instead of a table")
    add_machine_options(parser, device=True)
    add_limit(parser)
    add_overwrite(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Predict, compare, and print or write the errors.

    Parameters
    ----------
    args : argparse.Namespace
        The parsed options.

    Returns
    -------
    int
        The exit status: 1 if rows have no prediction.
    """
    from pathlib import Path

    from skuae.commands._data import read_labelled, targets_in
    from skuae.commands._model import load_model
    from skuae.commands._output import check_free, show, show_json
    from skuae.commands._scores import FILES, as_table, clear, match_targets, score, write_notes

    folder = None if args.output is None else Path(args.output)
    if folder is not None:
        if folder.is_file():
            raise ValueError(f"-o {folder}: there is a file of that name; give a folder")
        if Path(args.model).is_dir() and folder.resolve() == Path(args.model).resolve():
            raise ValueError(
                "-o is the folder of the model, whose own errors are there; give another"
            )
        check_free([folder / name for name in FILES], args.overwrite)
    model = load_model(args.model, device=args.device, verbose=int(not args.quiet))
    targets = args.target
    if targets is None:
        if model.targets is None:
            raise ValueError("the model has no names of targets; give --target")
        targets = targets_in(args.data, model.targets)
        left_out = [name for name in model.targets if name not in targets]
        if left_out:
            print(
                f"skuae evaluate: left out, since DATA has no such column: {', '.join(left_out)}; "
                "if a label has another name, rename its column",
                file=sys.stderr,
            )
    if model.targets is not None:  # else `score` knows the names
        known = match_targets(targets, model.targets)
    elif model.n_targets not in (None, len(targets)):
        raise ValueError(
            f"give one --target for each target of the model (--target: {len(targets)}, of the "
            f"model: {model.n_targets})"
        )
    else:
        known = targets
    crystals, labels, _ = read_labelled(args.data, targets, args.jobs, bool(args.quiet))
    _check_renamed(targets, known, labels)
    labels = labels[targets]
    scored = score(model, crystals, labels, labels)
    errors = scored.measure()
    pairs = zip(targets, scored.predicted, strict=True)
    units = {target: model.units[name] for target, name in pairs if name in model.units}
    if folder is not None:
        clear(folder)
        scored.write(folder, units)
        facts = {"model": args.model, "data": args.data, "targets": targets, "units": units}
        write_notes(folder, {**facts, "rows": len(labels), "errors": errors})
    if args.json:
        show_json(errors)
    else:
        show(as_table(errors, units), index=True)
    if scored.n_failed:
        print(
            f"skuae evaluate: {scored.n_failed} of {len(labels)} rows have no prediction and are "
            f"not in these numbers; the first is {scored.first_failure()}",
            file=sys.stderr,
        )
    return int(scored.n_failed > 0)


def _check_renamed(targets: Sequence[str], known: Sequence[str], labels: "pd.DataFrame") -> None:
    """Say which labels are compared with targets of another name, unless they have labels, too."""
    for label, target in zip(targets, known, strict=True):
        if label == target:
            continue
        if target in labels:
            raise ValueError(
                f"--target {label} would be compared with the predictions of {target}, and DATA "
                f"has a column {target}; leave --target out, or take that column out of DATA"
            )
        print(
            f"skuae evaluate: {label} is compared with the predictions of {target}",
            file=sys.stderr,
        )
