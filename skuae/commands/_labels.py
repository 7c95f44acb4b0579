"""Labels of several DATA files: whether they are alike, and how many there are."""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from skuae._cells import says_unknown
from skuae._warnings import warn


def check_alike(labels: pd.DataFrame, paths: Sequence[str], sizes: Sequence[int]) -> None:
    """Raise if a label is a number in one file and a text in another.

    Parameters
    ----------
    labels : DataFrame of shape (n_rows, n_targets)
        Of all files, end to end.
    paths : list of str
    sizes : list of int
        Rows of each file.

    Raises
    ------
    ValueError
    """
    for name in labels:
        kinds: dict[str, str] = {}  # the first file of each
        for path, part in _by_file(labels[name], paths, sizes):
            known = part.dropna()
            if len(known):
                texts = any(isinstance(label, str) for label in known)
                kinds.setdefault("texts" if texts else "numbers", path)
        if len(kinds) > 1:
            raise ValueError(
                f"{name} holds numbers in {kinds['numbers']} and texts in {kinds['texts']}; write "
                "the labels alike in all files"
            )


def warn_unlabelled(labels: pd.DataFrame, paths: Sequence[str], sizes: Sequence[int]) -> None:
    """Warn where rows have no label, with their number in each file.

    Parameters
    ----------
    labels : DataFrame of shape (n_rows, n_targets)
        Of all files, end to end.
    paths : list of str
    sizes : list of int
        Rows of each file.

    Warns
    -----
    UserWarning
    """
    said, n = [], 0
    for name in labels:
        gaps = labels[name].map(_is_unknown)
        counts = [(path, int(part.sum())) for path, part in _by_file(gaps, paths, sizes)]
        n = sum(count for _, count in counts)
        if n:
            files = ", ".join(f"{path} {count}" for path, count in counts if count)
            where = f" ({files})" if len(paths) > 1 else ""
            rows = "rows have" if n > 1 else "rows has"
            said.append(f"{n} of {len(labels)} {rows} no label in {name}{where}")
    if said:
        what = (
            "missing labels are" if len(labels.columns) > 1 else "it is" if n == 1 else "they are"
        )
        warn(f"{'; '.join(said)}; {what} left out")


def _by_file(
    column: pd.Series, paths: Sequence[str], sizes: Sequence[int]
) -> Iterator[tuple[str, pd.Series]]:
    """Yield each path with its rows of a column."""
    start = 0
    for path, size in zip(paths, sizes, strict=True):
        yield path, column.iloc[start : start + size]
        start += size


def _is_unknown(cell: Any) -> bool:
    return says_unknown(cell) if isinstance(cell, str) else bool(pd.isna(cell))
