"""Options that commands share, and their values."""

import argparse
import json
import re
import textwrap
from collections.abc import Iterable
from typing import Any

# Of an option with several values; given twice, it adds to the first.
SEVERAL: dict[str, Any] = {"nargs": "+", "action": "extend"}
# Names of `skuae.models.BACKBONES`, here because that needs torch; a test keeps them equal.
BACKBONES = (
    "alignn", "cgcnn", "cogn", "crystal_transformer", "crystalbert", "gated_gcn", "megnet", "sen",
)  # fmt: skip
# Of `skuae.crystals.Limits`, here for the same reason.
LIMITS = ("sites", "operations", "file_bytes", "table_bytes")
DATA_HELP = (
    "parquet, JSON, JSON lines or CSV files, or folders with id_prop.csv; see "
    "skuae.datasets.read_file"
)
FILES_HELP = (
    "structure files (CIF, POSCAR, JSON), folders of them, or tables with structures; - reads a "
    "list of files from stdin, one a line"
)


def new_parser(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    *,
    help: str,
    description: str,
    example: str,
) -> argparse.ArgumentParser:
    """Return the parser of a command, whose help ends with an example.

    Parameters
    ----------
    subparsers : argparse._SubParsersAction
    name : str
    help : str
        One line for ``skuae --help``.
    description : str
        What the command does.
    example : str
        A command line.

    Returns
    -------
    ArgumentParser
    """
    return subparsers.add_parser(
        name,
        help=help,
        description=textwrap.fill(description, 79),
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,  # a command line is not broken
    )


def add_machine_options(
    parser: argparse.ArgumentParser,
    *,
    device: bool = False,
    jobs: str = "processes that read structures; -1 takes all cores",
) -> None:
    """Add the options about where a command runs and what it says meanwhile.

    Parameters
    ----------
    parser : ArgumentParser
    device : bool, default=False
        Whether it runs networks.
    jobs : str
        What there are processes for.
    """
    if device:
        parser.add_argument("--device", help="auto (default), cpu, cuda or mps")
    parser.add_argument("--jobs", type=_jobs, metavar="N", help=jobs)
    parser.add_argument("--quiet", action="store_true", default=None, help="no progress bar")


def add_limit(parser: argparse.ArgumentParser) -> None:
    """Add the option to read larger files.

    Parameters
    ----------
    parser : ArgumentParser
    """
    parser.add_argument(
        "--limit",
        type=_limit,
        action="append",
        metavar="NAME=N",
        help="read larger files than usual: a message that refuses a file names the limit "
        f"({', '.join(LIMITS)}) and the number that it needs",
    )


def _limit(text: str) -> tuple[str, int]:
    """Return a limit and its number."""
    name, _, value = text.partition("=")
    if name not in LIMITS or re.fullmatch("0*[1-9][0-9]*", value) is None:
        raise argparse.ArgumentTypeError(
            f"{text!r}: write NAME=N with a name of {', '.join(LIMITS)} and a positive integer"
        )
    return name, int(value)


def _jobs(text: str) -> int:
    """Return the number of processes that a text means."""
    if re.fullmatch("-1|0*[1-9][0-9]*", text) is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number of processes: give 1 or more, or -1 for all cores"
        )
    return int(text)


def add_scheduler(parser: argparse.ArgumentParser) -> None:
    """Add the option to have workers of dask do the work.

    Parameters
    ----------
    parser : ArgumentParser
    """
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="let workers of dask do it: the address of a scheduler, such as tcp://host:8786, or "
        "local for --jobs processes on this machine. FILES are then parquet files or folders of "
        "them, and -o is a folder, which gets a file for each; those that are there are not made "
        "again unless their input has changed",
    )


def add_overwrite(parser: argparse.ArgumentParser) -> None:
    """Add the option to replace what is there.

    Parameters
    ----------
    parser : ArgumentParser
    """
    parser.add_argument("--overwrite", action="store_true", help="replace output that is there")


def parse_settings(settings: Iterable[str]) -> dict[str, Any]:
    """Return the values of ``--set`` by name.

    Parameters
    ----------
    settings : iterable of str
        ``NAME=VALUE`` each. Values are JSON; what is not JSON is a word.

    Returns
    -------
    dict
        The last value of every name.

    Raises
    ------
    ValueError
        If a setting has no equals sign.

    Examples
    --------
    >>> from skuae.commands import parse_settings
    >>> parse_settings(["max_epochs=8", "readout=first"])
    {'max_epochs': 8, 'readout': 'first'}
    """
    values: dict[str, Any] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"--set {setting}: write NAME=VALUE")
        try:
            values[name] = json.loads(value)
        except ValueError:
            values[name] = value
    return values
