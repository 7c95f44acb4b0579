"""What messages call a row of crystals."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_IDS_ALONE = ContextVar("ids_alone", default=False)
_CALLED: ContextVar[Callable[[int], str]] = ContextVar("called", default="row {}".format)


def row_name(row: int, ids: Any) -> str:
    """Return the name of a row for messages.

    Parameters
    ----------
    row : int
    ids : sequence of str or None
        Of all rows.

    Returns
    -------
    str
        ``"row 5 (mp-149)"``, ``"row 5"`` without ids, or ``"mp-149"`` inside of `ids_alone`.
        Inside of `rows_called`, what that says in place of ``"row 5"``.
    """
    if ids is None:
        return _CALLED.get()(row)
    return str(ids[row]) if _IDS_ALONE.get() else f"{_CALLED.get()(row)} ({ids[row]})"


@contextmanager
def rows_called(called: Callable[[int], str]) -> Iterator[None]:
    """Name rows otherwise inside the ``with`` block, as crystals are rows of something larger.

    Parameters
    ----------
    called : callable
        From a row to its name without the id.
    """
    token = _CALLED.set(called)
    try:
        yield
    finally:
        _CALLED.reset(token)


@contextmanager
def ids_alone() -> Iterator[None]:
    """Name rows by their ids alone inside the ``with`` block.

    A command reads several files and leaves rows out, so that numbers of the rows that are left
    are not those of any file.
    """
    token = _IDS_ALONE.set(True)
    try:
        yield
    finally:
        _IDS_ALONE.reset(token)
