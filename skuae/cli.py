"""The command ``skuae``: parses the command line and runs the command that it names."""

import argparse
import sys
from collections.abc import Sequence

from skuae._version import __version__
from skuae.commands import analyze, pretrain

__all__ = ["main"]

_COMMANDS = (pretrain, analyze)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status.

    Parameters
    ----------
    arguments : list of str, optional
        Those of the process by default.

    Returns
    -------
    int
        0 after success; 2 after an error in the user's input, which is printed without a traceback;
        130 after Ctrl-C.
    """
    parser = argparse.ArgumentParser(
        prog="skuae", description="Universal atomic embeddings for crystals."
    )
    parser.add_argument("--version", action="version", version=f"skuae {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add_parser(subparsers)
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
