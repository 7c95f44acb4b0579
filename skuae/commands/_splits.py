"""Held-out rows: one part, or each row once in folds."""

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
    if folds is not None:
        if groups is not None and groups.max() + 1 < folds:
            raise ValueError(f"--folds {folds}: there are {groups.max() + 1} formulas only")
        kinds = ((KFold, GroupKFold), (StratifiedKFold, StratifiedGroupKFold))
        kind = kinds[classes is not None][by_formula]
        splitter = kind(folds, shuffle=True, random_state=random_state)
    else:
        kind = ShuffleSplit if classes is None else StratifiedShuffleSplit
        kind = GroupShuffleSplit if by_formula else kind
        splitter = kind(1, test_size=test_fraction, random_state=random_state)
    splits = list(splitter.split(np.zeros(len(crystals)), classes, groups))
    if classes is not None:
        _check_classes(classes, splits)
    return splits


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
