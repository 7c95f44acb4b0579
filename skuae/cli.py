"""The command ``skuae``: parses the command line and runs the command that it names."""

import argparse
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from skuae._row_names import ids_alone
from skuae._version import __version__
from skuae.commands import analyze, evaluate, featurize, info, predict, pretrain, train

__all__ = ["main"]

_COMMANDS = (train, predict, evaluate, featurize, info, pretrain, analyze)
_EXAMPLE = """\
example:
  skuae train my_folder --target band_gap -o my_model
  skuae predict my_model new_crystals/*.cif

`skuae COMMAND --help` lists the options of a command."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status.

    Parameters
    ----------
    arguments : list of str, optional
        Those of the process by default.

    Returns
    -------
    int
        0 after success; 1 if some rows could not be read or predicted; 2 after an error in the
        user's input, which is printed without a traceback; 130 after Ctrl-C; 141 if the reader of
        the output has gone.
    """
    args = _parser().parse_args(arguments)
    with _short_warnings(f"skuae {args.command}"), ids_alone():
        try:
            with _limits_raised(getattr(args, "limit", None) or []):
                status = args.run(args)
            sys.stdout.flush()
        except BrokenPipeError:  # `| head` has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141
        except (ValueError, TypeError, OSError, ImportError) as error:
            print(f"skuae {args.command}: {_said(error)}", file=sys.stderr)
            return 2
        except KeyboardInterrupt as stop:
            print(f"\nskuae {args.command}: {str(stop) or 'stopped'}", file=sys.stderr)
            return 130
    return status


def _said(error: Exception) -> str:
    """Return what an error says; of the system, without its number."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


class _CommandParser(argparse.ArgumentParser):
    """Parser of a command, which refuses unknown options with its own usage."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="skuae",
        description="Learn properties of crystals, predict them, and look into element tables.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"skuae {__version__}")
    subparsers = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=_CommandParser
    )
    for command in _COMMANDS:
        command.add_parser(subparsers)
    return parser


@contextmanager
def _limits_raised(limits: Sequence[tuple[str, int]]) -> Iterator[None]:
    """Read files up to other limits."""
    if not limits:
        yield
        return
    from skuae.crystals import LIMITS

    usual = {name: getattr(LIMITS, name) for name, _ in limits}
    for name, number in limits:
        setattr(LIMITS, name, number)
    try:
        yield
    finally:
        for name, number in usual.items():
            setattr(LIMITS, name, number)


@contextmanager
def _short_warnings(name: str) -> Iterator[None]:
    """Print warnings on one line, without their line of code."""
    usual = warnings.formatwarning
    warnings.formatwarning = lambda message, *_args, **_more: f"{name}: warning: {message}\n"
    try:
        yield
    finally:
        warnings.formatwarning = usual
