"""``skuae predict``: predictions of a saved model for files of structures."""

import argparse
from typing import TYPE_CHECKING, Any

from skuae.commands._settings import (
    FILES_HELP,
    add_limit,
    add_machine_options,
    add_overwrite,
    add_scheduler,
    new_parser,
)

if TYPE_CHECKING:
    import pandas as pd

    from skuae.commands._model import SavedModel

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
        "predict",
        help="predict properties of crystals with a saved model",
        description="Predict crystals. The table has a row for each of them: the prediction, its "
        "standard deviation or the probabilities of classes if the model has them, and the "
        "elements that none of its training crystals has. The printed table is rounded, and shows "
        "a standard deviation as value ± std; -o and --json give all digits. A row has an error "
        "instead if the file cannot be read or the crystal cannot be predicted. Exit status: 0 if "
        "all rows have a prediction, 1 if some have none, 2 if an argument makes no sense.",
        example="skuae predict mp new_crystals/*.cif -o predictions.csv",
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="folder of a saved network or pipeline, or a network that "
        "ships with skuae: mp, mp-energy-gap, mp-metal, mp-topology")  # fmt: skip
    add("files", nargs="+", metavar="FILES", help=FILES_HELP)
    add("-o", "--output", metavar="FILE", help="*.csv, *.parquet or *.json; default: print a table")
    add("--json", action="store_true", help="print JSON instead of a table")
    add_machine_options(parser, device=True)
    add_limit(parser)
    add_scheduler(parser)
    add_overwrite(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Predict, and write or print the table.

    Parameters
    ----------
    args : argparse.Namespace
        The parsed options.

    Returns
    -------
    int
        The exit status: 1 if rows have no prediction.
    """
    from skuae.commands._files import read_inputs
    from skuae.commands._model import load_model
    from skuae.commands._output import check_table_path

    if args.scheduler is not None:
        return _run_parts(args)
    if args.output is not None:
        check_table_path(args.output, args.overwrite)
    model = load_model(args.model, device=args.device, verbose=int(not args.quiet))
    inputs = read_inputs(args)
    table = inputs.table(model.predict(inputs.crystals))
    return inputs.finish(args, table, model.units)


def _run_parts(args: argparse.Namespace) -> int:
    """Have workers of dask predict the parts of a large table."""
    from skuae.commands._model import identity_of
    from skuae.commands._parts import run_parts

    if args.json:
        raise ValueError("--scheduler writes parquet files: leave out --json, and give -o FOLDER")
    return run_parts(args, predict_part, (_load, args.model, args.device), identity_of(args.model))


def _load(name: str, device: str | None) -> "SavedModel":
    """Load the model once, in one worker, which passes it on to the others."""
    from skuae.commands._model import load_model

    return load_model(name, device=device, verbose=0)


def predict_part(model: "SavedModel", source: str) -> "tuple[pd.DataFrame, dict[str, Any]]":
    """Return the predictions of the rows of a table; runs in a worker.

    Parameters
    ----------
    model : SavedModel
    source : str

    Returns
    -------
    table : DataFrame
    types : dict of pyarrow.DataType by name of a column
        Those that a table without predictions does not tell.
    """
    from skuae.commands._files import inputs_of
    from skuae.commands._output import arrow

    inputs = inputs_of([source])
    table = inputs.table(model.predict(inputs.crystals))
    types = {"unseen_elements": arrow().string()}
    if model.classes is not None:
        types[table.columns[1]] = arrow().array(model.classes.tolist()).type
    return table, types
