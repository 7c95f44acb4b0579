"""Rows of structures, read in parallel, with a reason for each row that fails."""

from typing import Any, NamedTuple

from joblib import Parallel, delayed
from tqdm.auto import tqdm

from skuae._cells import shortened
from skuae.crystals import LIMITS, Crystals, as_crystals

_MOST_NAMED = 50
LONGEST = 1000  # characters of a reason
_DELAY = 0.5  # s; shorter steps show no bar


class Rows(NamedTuple):
    """What became of some rows.

    Attributes
    ----------
    crystals : Crystals or None
        Those that could be read, in their order.
    reasons : dict of int to str
        Why the others could not, by position.
    remarks : dict of int to list of str
        What the parser remarked on those that could.
    """

    crystals: Crystals | None
    reasons: dict[int, str]
    remarks: dict[int, list[str]]

    def kept(self, n_rows):
        """Return the positions of the rows that could be read, as a list."""
        return [row for row in range(n_rows) if row not in self.reasons]


def read_rows(read, items, ids, *, per_task, n_jobs, verbose):
    """Read structures in parallel.

    Parameters
    ----------
    read : callable
        Takes an item and the limits; returns a Structure and a list of remarks. It can be pickled.
    items : list
    ids : list of str or None
        Names of the rows.
    per_task : int
        Rows that a process reads at a time: large enough that a task costs more than sending it,
        small enough for a steady progress bar.
    n_jobs : int or None
    verbose : int
        Show a progress bar if above 0.

    Returns
    -------
    Rows
    """
    tasks = [slice(i, i + per_task) for i in range(0, len(items), per_task)]
    results = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(_read_task)(read, items[task], ids and ids[task], LIMITS) for task in tasks
    )
    parts: list[Crystals] = []
    reasons: dict[int, str] = {}
    remarks: dict[int, list[str]] = {}
    options = {"unit": " crystals", "delay": _DELAY, "disable": verbose < 1}
    with tqdm(total=len(items), **options) as progress:
        for task, part in zip(tasks, results, strict=True):
            parts += [] if part.crystals is None else [part.crystals]
            reasons |= {task.start + i: reason for i, reason in part.reasons.items()}
            remarks |= {task.start + i: said for i, said in part.remarks.items()}
            progress.update(len(items[task]))
    return Rows(Crystals.concatenate(parts) if parts else None, reasons, remarks)


def _read_task(read, items, ids, limits):
    """Read some rows; runs in a worker process."""
    structures: dict[int, Any] = {}
    reasons: dict[int, str] = {}
    remarks: dict[int, list[str]] = {}
    for row, item in enumerate(items):
        try:
            structures[row], said = read(item, limits)
        except Exception as error:  # pymatgen raises all sorts
            reasons[row] = shortened(str(error), LONGEST)
        else:
            remarks |= {row: said} if said else {}
    try:
        crystals = _pack(structures, ids)
    except (TypeError, ValueError):  # which ones? as_crystals names the first only
        for row, structure in list(structures.items()):
            try:
                as_crystals([structure])
            except (TypeError, ValueError) as error:
                reasons[row] = shortened(str(error).removeprefix("row 0: "), LONGEST)
                del structures[row]
                remarks.pop(row, None)
        crystals = _pack(structures, ids)
    return Rows(crystals, reasons, remarks)


def _pack(structures, ids):
    if not structures:
        return None
    return as_crystals(list(structures.values()), ids=ids and [ids[row] for row in structures])


def check_on_error(on_error):
    """Raise ValueError unless `on_error` is ``"raise"`` or ``"skip"``."""
    if on_error not in ("raise", "skip"):
        raise ValueError(f"on_error={on_error!r} must be 'raise' or 'skip'")


def noted(error, note):
    """Return an error with a way out that the command line does not have.

    Python prints the note below the error; the command ``skuae`` leaves it out.

    Parameters
    ----------
    error : Exception
    note : str

    Returns
    -------
    Exception
    """
    error.add_note(note)
    return error


def not_read(names, reasons, n_rows, source):
    """Say which rows were not read, and why.

    Parameters
    ----------
    names : list of str
        What the message calls them.
    reasons : list of str
    n_rows : int
        How many rows there are in all.
    source : str
        Where the rows are.

    Returns
    -------
    str
    """
    pairs = list(zip(names, reasons, strict=True))
    lines = [f"  {name}: {reason}" for name, reason in pairs[:_MOST_NAMED]]
    if len(pairs) > _MOST_NAMED:
        lines.append(f"  ... and {len(pairs) - _MOST_NAMED} more")
    return f"{len(pairs)} of {n_rows} structures in {source} were not read:\n" + "\n".join(lines)
