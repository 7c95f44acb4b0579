"""What messages call a row of crystals."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_IDS_ALONE = ContextVar("ids_alone", default=False)


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
    """
    if ids is None:
        return f"row {row}"
    return str(ids[row]) if _IDS_ALONE.get() else f"row {row} ({ids[row]})"


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
