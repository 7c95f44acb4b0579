"""``skuae featurize``: features of crystals from an element table."""

import argparse
from typing import TYPE_CHECKING, Any

from skuae.commands._settings import (
    FILES_HELP,
    SEVERAL,
    add_limit,
    add_machine_options,
    add_overwrite,
    add_scheduler,
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
        "magpie, a .safetensors or .csv file, or a folder of skuae pretrain; default: "
        "ct-uae-mt")  # fmt: skip
    add("--set", **SEVERAL, metavar="NAME=VALUE", help="parameters of UAETransformer, such as "
        'statistics=\'["mean","max"]\' on_missing_element=mean')  # fmt: skip
    add_machine_options(parser)
    add_limit(parser)
    add_scheduler(parser)
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
    from skuae.commands._files import read_inputs
    from skuae.commands._output import check_table_path
    from skuae.commands._params import with_params
    from skuae.commands._settings import parse_settings
    from skuae.commands._tables import table_at
    from skuae.embedding import UAETransformer

    if args.scheduler is None:
        check_table_path(args.output, args.overwrite)
    settings = parse_settings(args.set or [])
    word = settings.get("statistics")
    if isinstance(word, str):
        raise ValueError(
            f"--set statistics={word}: it takes a list; write --set statistics='[\"mean\"]', with "
            "both kinds of quotes"
        )
    transformer = with_params(UAETransformer(table_at(args.embedding)), settings)
    transformer.feature_labels()  # what is wrong is said before minutes of reading
    transformer.featurize_many([], pbar=False)
    if args.scheduler is not None:
        return _run_parts(args, transformer, settings)
    inputs = read_inputs(args)
    return inputs.finish(args, _table(transformer, inputs), {})


def _run_parts(args: argparse.Namespace, transformer: Any, settings: dict[str, Any]) -> int:
    """Have workers of dask featurize the parts of a large table."""
    from skuae.commands._parts import run_parts
    from skuae.embedding import resolve_table
    from skuae.training import table_digest

    table = table_digest(resolve_table(transformer.embedding)[0])
    facts = {"table": table, "settings": settings, "features": list(transformer.feature_labels())}
    return run_parts(args, featurize_part, (_same, transformer), facts, labels=True)


def _same(transformer: Any) -> Any:
    return transformer


def _table(transformer: Any, inputs: Any) -> "pd.DataFrame":
    """Return the features of all rows of inputs."""
    import numpy as np
    import pandas as pd

    from skuae.crystals import attempt_rows

    names = transformer.feature_labels()
    taken = inputs.labels.columns.intersection(["id", "error", *names])
    if len(taken):
        raise ValueError(f"DATA has a column {taken[0]!r}, as the output will have; rename it")
    done = attempt_rows(transformer.fit_transform, inputs.crystals)
    values = np.concatenate([np.empty((0, len(names)), np.float32), *done.results])
    features = pd.DataFrame(values, done.rows, names).reindex(range(len(inputs.crystals)))
    reasons = pd.Series(done.reasons, features.index, dtype=object, name="error")
    labels = inputs.labels.set_axis(features.index)
    frame = pd.concat([labels, features, reasons], axis=1)
    return inputs.table(frame.set_axis(inputs.labels.index))


def featurize_part(transformer: Any, source: str) -> "tuple[pd.DataFrame, dict[str, Any]]":
    """Return the features of the rows of a table; runs in a worker.

    Parameters
    ----------
    transformer : UAETransformer
    source : str

    Returns
    -------
    table : DataFrame
    types : dict
        Empty: the table tells the types of features.
    """
    from skuae.commands._files import inputs_of

    return _table(transformer, inputs_of([source])), {}
