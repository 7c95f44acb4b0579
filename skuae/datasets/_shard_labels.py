"""Labels of shards, whose kinds must agree between shards."""

from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

import numpy as np

from skuae._cells import number_in, short_repr
from skuae.datasets._labels import as_labels, as_numbers, is_unknown

Where = Callable[[int], str]

# By kind, those of the dtypes that its shards may have: a kind widens while shards are written.
KINDS = {
    "unknown": "f",
    "bool": "b",
    "bool with gaps": "bf",
    "integer": "i",
    "number": "if",
    "text": "Uf",
}
_WIDER = {
    frozenset(("bool", "bool with gaps")): "bool with gaps",
    frozenset(("bool", "unknown")): "bool with gaps",
    frozenset(("integer", "number")): "number",
    frozenset(("integer", "unknown")): "number",
}
_BOOL = (bool, np.bool_)
_NUMBERS = ("integer", "number")


def kind_of(cells: Sequence[Any], where: Where, *, checked: bool) -> str:
    """Return the kind of a label.

    Parameters
    ----------
    cells : sequence of length n_rows
    where : callable
        From a row to what messages call its cell.
    checked : bool
        Whether texts are known to be names of classes, not numbers that are written badly.

    Returns
    -------
    str
        One of `KINDS`; "unknown" if no cell is known.

    Raises
    ------
    ValueError
        If the cells are of several kinds, no finite numbers, or integers of more than 64 bits.
    """
    known = [cell for cell in cells if not is_unknown(cell)]
    if not known:
        return "unknown"
    if all(isinstance(cell, _BOOL) for cell in known):
        return "bool" if len(known) == len(cells) else "bool with gaps"
    if all(isinstance(cell, Integral) and not isinstance(cell, _BOOL) for cell in known):
        for row, cell in enumerate(cells):
            if not is_unknown(cell) and not -(2**63) <= int(cell) < 2**63:
                raise ValueError(
                    f"{where(row)} is {short_repr(int(cell))}, too large for an integer of 64 "
                    "bits; give floats, or names of classes that begin with a letter"
                )
        if len(known) == len(cells):
            return "integer"
    if checked and all(isinstance(cell, str) and number_in(cell) is None for cell in known):
        return "text"
    return "text" if isinstance(as_labels(cells, where), list) else "number"


def encoded(cells: Sequence[Any], kind: str, where: Where) -> np.ndarray:
    """Return the cells of a label of a kind as an array without objects.

    Parameters
    ----------
    cells : sequence of length n_rows
    kind : str
    where : callable

    Returns
    -------
    ndarray of shape (n_rows,)
        NaN, or an empty text, where a cell is unknown.

    Raises
    ------
    ValueError
        If a text has a NUL character, with which arrays of texts end.
    """
    if kind == "text":
        row = next(
            (i for i, cell in enumerate(cells) if isinstance(cell, str) and "\0" in cell), None
        )
        if row is not None:
            raise ValueError(
                f"{where(row)} is {short_repr(cells[row])}, with a NUL character, which cannot be "
                "stored; take it out of the names of classes"
            )
        return np.array(["" if is_unknown(cell) else cell.strip() for cell in cells], np.str_)
    if kind in ("bool", "integer"):
        return np.array(cells, dtype=bool if kind == "bool" else np.int64)
    return as_numbers(cells, where)


def decoded(array: np.ndarray, kind: str) -> np.ndarray:
    """Return a label of a shard as `kind` has it, which may be wider than that of the shard.

    Parameters
    ----------
    array : ndarray of shape (n_rows,)
    kind : str

    Returns
    -------
    ndarray of shape (n_rows,)
        Texts are objects, None where they are unknown.

    Raises
    ------
    ValueError
        If the array is of another kind.
    """
    if array.dtype.kind not in KINDS[kind]:
        raise ValueError(f"a label is {array.dtype}, expected the kind {kind!r}")
    if kind == "text":
        if array.dtype.kind == "f" and not np.isnan(array).all():
            raise ValueError("a label holds numbers, expected names of classes")
        texts = array if array.dtype.kind == "U" else np.full(len(array), "")
        return np.array([text or None for text in texts.tolist()], dtype=object)
    return np.array(array) if kind in ("bool", "integer") else array.astype(np.float64)


def widened(before: str | None, kind: str, cells: Sequence[Any], where: Where) -> str:
    """Return the kind of the labels before and of these.

    Parameters
    ----------
    before : str or None
        None if there are none.
    kind : str
        That of the cells.
    cells : sequence
    where : callable

    Raises
    ------
    ValueError
        If no kind holds both.
    """
    if before is None or before == kind:
        return kind
    wider = _WIDER.get(frozenset((before, kind)))
    if wider is None and "unknown" in (before, kind):
        wider = kind if before == "unknown" else before
    if before in _NUMBERS and kind in ("text", "integer"):
        as_numbers(cells, where)  # which names a cell that is none
    if wider is not None:
        return wider
    row = next(row for row, cell in enumerate(cells) if not is_unknown(cell))
    names = {"text": "names of classes", "integer": "numbers", "number": "numbers"}
    remedy = (
        "begin names of classes with a letter, or leave the cell empty where the label is unknown"
        if "text" in (before, kind)
        else "give all of them as numbers: y.astype(float)"
    )
    raise ValueError(
        f"{where(row)} is {short_repr(cells[row])}, and the labels before it are "
        f"{names.get(before, 'booleans')}; {remedy}"
    )


def check_exact(array: np.ndarray, name: str, where: str) -> None:
    """Raise ValueError if integers that are to become floats would lose digits.

    Parameters
    ----------
    array : ndarray of shape (n_rows,)
    name : str
        Of the label.
    where : str
        What the message calls the place that makes them floats.
    """
    if array.dtype.kind != "i":
        return
    lost = [cell for cell in array[np.abs(array) > 2**53].tolist() if int(float(cell)) != cell]
    if lost:
        raise ValueError(
            f"{where} makes the label {name!r} a float, which cannot hold {lost[0]} of the rows "
            "before it; give floats, or names of classes that begin with a letter"
        )
