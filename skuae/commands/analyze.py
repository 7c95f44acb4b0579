"""``skuae analyze``: a report on an element table."""

import argparse

from skuae.commands._settings import SEVERAL, add_machine_options, add_overwrite, new_parser

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
        "analyze",
        help="write an HTML report on an element table",
        description="Write an HTML report on an element table, compared with random controls, with "
        "the figures as PNG and the numbers as CSV in the same folder.",
        example="skuae analyze ct-uae-mt -o report",
    )
    add = parser.add_argument
    add("table", metavar="TABLE", help="name of a table, a .safetensors or .csv file, or a "
        "folder of skuae pretrain")  # fmt: skip
    add("-o", "--output", metavar="FOLDER", required=True)
    add("--compare-with", **SEVERAL, metavar="TABLE", help="default: all tables of skuae")
    add("--space", choices=("umap", "pca", "table"), default="umap", help="space "
        "of the clustering; default: umap")  # fmt: skip
    add("--seeds", type=int, default=5, metavar="N", help="repetitions; default: 5")
    add("--random-state", type=int, default=0, help="default: 0")
    add_machine_options(parser, jobs="processes; -1 takes all cores")
    add_overwrite(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the report, and print the path of its page.

    Parameters
    ----------
    args : argparse.Namespace
        The parsed options.

    Returns
    -------
    int
        0, the exit status.
    """
    from pathlib import Path

    import matplotlib

    from skuae.analysis import write_report
    from skuae.commands._output import check_free
    from skuae.commands._tables import table_at

    check_free([Path(args.output) / "report.html"], args.overwrite)
    matplotlib.use("Agg")  # there may be no screen
    report = write_report(
        table_at(args.table),
        args.output,
        compare_with=args.compare_with and [table_at(name) for name in args.compare_with],
        space=args.space,
        n_seeds=args.seeds,
        random_state=args.random_state,
        n_jobs=args.jobs,
        verbose=int(not args.quiet),
    )
    print(report.page)
    return 0
