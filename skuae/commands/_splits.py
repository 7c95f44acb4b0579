"""Held-out rows: one part, or each row once in folds."""

import math
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
)

from skuae._warnings import warn
from skuae.commands._warnings import left_out
from skuae.crystals import Crystals
from skuae.datasets import formula_groups

Splits = list[tuple[np.ndarray, np.ndarray]]


def check_split_options(folds: int | None, test_fraction: float) -> None:
    """Raise ValueError if no rows can be held out like that.

    Parameters
    ----------
    folds : int or None
    test_fraction : float
    """
    if folds is not None and folds < 2:
        raise ValueError(f"--folds {folds}: at least 2")
    if not 0 <= test_fraction < 1:
        raise ValueError(f"--test-fraction {test_fraction}: from 0 up to 1")


def make_splits(
    crystals: Crystals,
    classes: pd.Series | None,
    *,
    folds: int | None,
    test_fraction: float,
    by_formula: bool,
    random_state: int,
) -> Splits:
    """Return the rows to train on and the rows held out, for each fold.

    Parameters
    ----------
    crystals : Crystals
    classes : Series or None
        The labels of a classifier, whose classes are shared out evenly.
    folds : int or None
        Folds of a cross-validation; None holds out one part.
    test_fraction : float
        How large that part is; 0 for none.
    by_formula : bool
        Whether crystals of one reduced formula are held out together.
    random_state : int

    Returns
    -------
    list of tuple (train, test) of ndarray of int

    Raises
    ------
    ValueError
        If there are too few rows, or a class would be in held-out rows only.
    """
    if folds is None and test_fraction == 0:
        return []
    groups = formula_groups(crystals) if by_formula else None
    kinds: Any
    if classes is not None and not (folds is None and by_formula):
        _check_sizes(classes, folds)
    if folds is not None:
        _check_folds(folds, *_counted(crystals, groups))
        kinds = ((KFold, GroupKFold), (StratifiedKFold, StratifiedGroupKFold))
        kind = kinds[classes is not None][by_formula]
        splitter = kind(folds, shuffle=True, random_state=random_state)
    else:
        kind = ShuffleSplit if classes is None else StratifiedShuffleSplit
        kind = GroupShuffleSplit if by_formula else kind
        n_classes = 1 if classes is None or by_formula else classes.nunique()
        _check_fraction(test_fraction, *_counted(crystals, groups), n_classes)
        splitter = kind(1, test_size=test_fraction, random_state=random_state)
    with left_out("The least populated class in y"):  # `_check_sizes` has said so
        splits = list(splitter.split(np.zeros(len(crystals)), classes, groups))
    if classes is not None:
        _check_classes(classes, splits)
    return splits


def _counted(crystals: Crystals, groups: np.ndarray | None) -> tuple[int, str]:
    """Return how many there are of what is shared out, and what it is."""
    n, what = (len(crystals), "row") if groups is None else (int(groups.max()) + 1, "formula")
    return n, what if n == 1 else f"{what}s"


def _check_folds(folds: int, n: int, what: str) -> None:
    """Raise ValueError if there are fewer rows or formulas than folds."""
    if n < folds:
        way = f"give at most {n}" if n > 1 else "give more crystals"
        raise ValueError(
            f"--folds {folds}: there {'are' if n > 1 else 'is'} {n} {what} only; {way}"
        )


def _check_fraction(fraction: float, n: int, what: str, n_classes: int) -> None:
    """Raise ValueError if one of the two parts has too few rows or formulas."""
    n_test = math.ceil(fraction * n)  # as scikit-learn counts
    for part, way, size in (("to train on", "less", n - n_test), ("held out", "more", n_test)):
        if size < n_classes:
            least = "none" if n_classes == 1 else f"{size}, fewer than the {n_classes} classes"
            raise ValueError(
                f"--test-fraction {fraction:g}: of {n} {what}, the part {part} has {least}; hold "
                f"out {way}, or give more crystals"
            )


def _check_sizes(classes: pd.Series, folds: int | None) -> None:
    """Raise ValueError if classes have too few rows to be shared out; warn if some nearly have."""
    sizes = classes.value_counts()
    names, counts = sizes.index.tolist(), sizes.tolist()  # no numpy scalars in messages
    alone = counts.count(1)
    if alone:
        have = "have one row" if alone > 1 else "has one row"
        raise ValueError(
            f"{classes.name!r} has {len(names)} classes, of which {alone} {have}, such as "
            f"{names[-1]!r}; a classifier needs at least two rows in each"
        )
    if folds is not None and counts[0] < folds:
        raise ValueError(
            f"--folds {folds}: the largest class, {names[0]!r}, has {counts[0]} rows only; give at "
            f"most {counts[0]}"
        )
    if folds is not None and counts[-1] < folds:
        warn(
            f"--folds {folds}: the class {names[-1]!r} has {counts[-1]} rows only; some folds hold "
            "out none of it"
        )


def _check_classes(classes: pd.Series, splits: Splits) -> None:
    """Raise ValueError if a class is in held-out rows only."""
    for train, _ in splits:
        lacking = set(classes) - set(classes.iloc[train])
        if lacking:
            name = min(lacking, key=str)
            raise ValueError(
                f"all {(classes == name).sum()} rows of the class {name!r} would be held out "
                "together; add rows to it, leave it out, or choose another --random-state, --folds "
                "or --test-fraction"
            )
