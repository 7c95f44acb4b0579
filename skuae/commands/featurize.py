"""``skuae featurize``: features of crystals from an element table."""

import argparse

from skuae.commands._settings import (
    FILES_HELP,
    SEVERAL,
    add_machine_options,
    add_overwrite,
    new_parser,
)

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
        "featurize",
        help="make features of crystals from an element table",
        description="Make features of crystals: statistics of the vectors of their elements, as "
        "skuae.UAETransformer does. The table has a row for each crystal: its id, the other "
        "columns of DATA, and the features. A row has an error instead if the file cannot be read "
        "or the table lacks an element. Exit status: 0 if all rows have features, 1 if some have "
        "none, 2 if an argument makes no sense.",
        example="skuae featurize my_folder --embedding magpie -o features.parquet",
    )
    add = parser.add_argument
    add("files", nargs="+", metavar="DATA", help=FILES_HELP)
    add("-o", "--output", metavar="FILE", required=True, help="*.csv, *.parquet or *.json")
    add("--embedding", default="ct-uae-mt", metavar="TABLE", help="element table: a name such as "
        "magpie, or a .safetensors or .csv file; default: ct-uae-mt")  # fmt: skip
    add("--set", **SEVERAL, metavar="NAME=VALUE", help="parameters of UAETransformer, such as "
        'statistics=\'["mean","max"]\' on_missing_element=mean')  # fmt: skip
    add_machine_options(parser)
    add_overwrite(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Make the features and write them.

    Parameters
    ----------
    args : argparse.Namespace
        The parsed options.

    Returns
    -------
    int
        The exit status: 1 if rows have no features.
    """
    import numpy as np
    import pandas as pd

    from skuae.commands._files import read_inputs
    from skuae.commands._options import with_params
    from skuae.commands._output import check_table_path
    from skuae.commands._settings import parse_settings
    from skuae.crystals import attempt_rows
    from skuae.embedding import UAETransformer

    check_table_path(args.output, args.overwrite)
    transformer = with_params(UAETransformer(args.embedding), parse_settings(args.set or []))
    names = transformer.feature_labels()  # what is wrong is said before minutes of reading
    transformer.featurize_many([], pbar=False)
    inputs = read_inputs(args)
    taken = inputs.labels.columns.intersection(["id", "error", *names])
    if len(taken):
        raise ValueError(f"DATA has a column {taken[0]!r}, as the output will have; rename it")
    frame = pd.DataFrame(columns=[*names, "error"])
    if inputs.crystals is not None:
        done = attempt_rows(transformer.fit_transform, inputs.crystals)
        values = np.concatenate([np.empty((0, len(names)), np.float32), *done.results])
        features = pd.DataFrame(values, done.rows, names).reindex(range(len(inputs.crystals)))
        reasons = pd.Series(done.reasons, features.index, dtype=object, name="error")
        labels = inputs.labels.set_axis(features.index)
        frame = pd.concat([labels, features, reasons], axis=1).set_axis(inputs.crystals.ids)
    return inputs.finish(args, inputs.table(frame), {})
