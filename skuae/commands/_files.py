"""FILES of commands: a row for each structure, readable or not."""

import argparse
import shutil
import sys
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from skuae.commands._output import records_of, show_json, write_table
from skuae.commands._printed import printed
from skuae.datasets import read_structures

_ERROR = "error"
_WIDTH = 100  # characters of a line, where there is no terminal


class Inputs(NamedTuple):
    """What FILES hold.

    Attributes
    ----------
    crystals : Crystals or list
        Those that could be read; an empty list if there are none.
    labels : DataFrame of shape (n_crystals, n_labels)
        Other columns of tables.
    rows : ndarray of int of shape (n_crystals,)
        Their places among all rows.
    errors : DataFrame with columns row, id, reason
        The other rows.
    """

    crystals: Any
    labels: pd.DataFrame
    rows: np.ndarray
    errors: pd.DataFrame

    def table(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return a table of all rows.

        Parameters
        ----------
        frame : DataFrame of shape (n_crystals, n_columns)
            Of the crystals, indexed by id; its last column is ``error``.

        Returns
        -------
        DataFrame
            With the columns ``id`` and those of `frame`; in rows that could not be read, these are
            empty but for ``error``.
        """
        ids = frame.index.to_numpy(object)
        table = frame.set_axis(self.rows)
        table.insert(0, "id", ids)
        table = table.reindex(range(len(frame) + len(self.errors)))
        failed = self.errors.to_numpy(object)
        table.loc[failed[:, 0].astype(int), ["id", _ERROR]] = failed[:, 1:]
        return table

    def finish(self, args: argparse.Namespace, table: pd.DataFrame, units: dict[str, str]) -> int:
        """Write or print the table; return the exit status.

        Parameters
        ----------
        args : argparse.Namespace
            With `output`, and `json` unless that is required.
        table : DataFrame
        units : dict of str to str
            Units of targets.

        Returns
        -------
        int
            1 if some rows have an error.
        """
        failed = table[table[_ERROR].notna()]
        if args.output is not None:
            write_table(args.output, table)
        elif args.json:
            show_json(records_of(table))
        else:
            width = shutil.get_terminal_size((_WIDTH, 24)).columns
            print(printed(table, units, width))
        if len(failed):
            first = failed.iloc[0]
            print(
                f"skuae {args.command}: {len(failed)} of {len(table)} rows failed; the first is "
                f"{first['id']}: {first[_ERROR]}",
                file=sys.stderr,
            )
        if args.output is not None:
            print(f"{len(table)} rows -> {args.output}")
        return int(len(failed) > 0)


def read_inputs(args: argparse.Namespace) -> Inputs:
    """Read the structures of FILES; ``-`` is a list of files on stdin.

    Parameters
    ----------
    args : argparse.Namespace
        With the options `files`, `jobs` and `quiet`.

    Returns
    -------
    Inputs

    Raises
    ------
    ValueError, OSError
        If all files are missing, one is given twice, or a table makes no sense.
    """
    paths: list[str] = []
    for path in args.files:
        lines = [path] if path != "-" else [line.strip("\ufeff \t\r\n") for line in sys.stdin]
        paths += filter(None, lines)
    return inputs_of(paths, args.jobs, int(not args.quiet))


def inputs_of(paths: list[str], n_jobs: int | None = None, verbose: int = 0) -> Inputs:
    """Read the structures of paths; see `read_inputs`.

    Parameters
    ----------
    paths : list of str
    n_jobs : int, optional
    verbose : int, default=0

    Returns
    -------
    Inputs
    """
    data = read_structures(paths, n_jobs=n_jobs, verbose=verbose, on_error="skip")
    crystals = [] if data.structures is None else data.structures
    return Inputs(crystals, data.labels, data.rows, data.errors)
