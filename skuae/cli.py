"""The command ``skuae``."""

import argparse
import sys

from skuae._version import __version__

__all__ = ["main"]

_FRONT_ENDS = ("transformer", "cgcnn", "megnet", "alignn")
_SEVERAL = {"nargs": "+", "action": "extend"}  # an option that is given twice adds to the first


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
    parser.add_argument("--version", action="version", version=f"skuae {__version__}")
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
    add("--labels", **_SEVERAL, metavar="FILE", help="labels by id, where DATA lack them")
    add("--targets", **_SEVERAL, metavar="COLUMN", help="what to learn from")
    add("--units", **_SEVERAL, metavar="UNIT", help="of the targets, for the card")
    add("--task-weights", **_SEVERAL, type=float, metavar="W", help="of the targets in the loss")
    add("--front-end", choices=_FRONT_ENDS, help="transformer (default), or a graph network")
    add("--set", **_SEVERAL, metavar="NAME=VALUE", help="parameters of the front-end, such as "
        "max_epochs=8 n_layers=8 readout=first; others of a --config stay")  # fmt: skip
    add("--hold-out", **_SEVERAL, metavar="FILE", help="test sets, as DATA")
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
    from skuae.commands._data import run

    run(args)


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
    add("--compare-with", **_SEVERAL, metavar="TABLE", help="default: all that skuae ships")
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
