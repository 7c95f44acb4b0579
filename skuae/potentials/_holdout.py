"""Rows that early stopping holds back."""

import numpy as np

from skuae._elements import N_ELEMENTS
from skuae.crystals import Crystals
from skuae.potentials._labels import NAMES


def hold_back(
    crystals: Crystals, n_known: np.ndarray, rows: np.ndarray, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw rows to hold back. Each element of theirs is among the other rows, too.

    Parameters
    ----------
    crystals : Crystals
    n_known : ndarray of int of shape (n, 4)
        Known labels with a weight of each crystal: energies, forces, stresses and moments.
    rows : ndarray of int
        Crystals with such labels.
    fraction : float
        Of the rows, to hold back.
    seed : int

    Returns
    -------
    train, valid : ndarray of int

    Raises
    ------
    ValueError
        If rows are too few, or a kind of label is not known in both parts.
    """
    n_valid = max(1, round(fraction * len(rows)))
    if len(rows) - n_valid < 1:
        raise ValueError(
            f"{len(rows)} rows with a known label leave none to train on with early_stopping=True "
            f"and validation_fraction={fraction}; set early_stopping=False, or pass more rows"
        )
    order = rows[np.random.default_rng(seed).permutation(len(rows))]
    train, valid = order[n_valid:], order[:n_valid]
    new = has_new_elements(crystals, train, valid)
    train, valid = np.sort(np.append(train, valid[new])), np.sort(valid[~new])
    if not len(valid):
        raise ValueError(
            f"validation_fraction={fraction} held back {n_valid} rows, all with an element that no "
            "other row has; set early_stopping=False, or a larger validation_fraction"
        )
    check_both_parts(n_known[train], n_known[valid])
    return train, valid


def has_new_elements(crystals: Crystals, known: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Tell which rows have an element that other rows lack.

    Parameters
    ----------
    crystals : Crystals
    known, rows : ndarray of int
        Rows whose elements are known; rows to look at.

    Returns
    -------
    ndarray of bool of shape (len(rows),)
    """
    present = np.zeros((len(crystals), N_ELEMENTS), dtype=bool)
    owners, numbers, _ = crystals.composition()
    present[owners, numbers - 1] = True
    unknown = ~present[known].any(axis=0)
    new: np.ndarray = present[np.ix_(rows, unknown)].any(axis=1)
    return new


def check_both_parts(train: np.ndarray, valid: np.ndarray) -> None:
    """Raise ValueError at the first kind of label that only one part has.

    Parameters
    ----------
    train, valid : ndarray of int of shape (n, 4)
        Known labels with a weight of each crystal.
    """
    counts = train.sum(axis=0), valid.sum(axis=0)
    for name, ours, theirs in zip(NAMES, *counts, strict=True):
        if bool(ours) != bool(theirs):
            where = "held back" if ours else "to train on"
            raise ValueError(
                f"no row {where} has a known {name}, and other rows have one; set "
                f"{_WEIGHTS[name]}=0, another validation_fraction, or early_stopping=False"
            )


_WEIGHTS = {
    "energy": "energy_weight",
    "forces": "force_weight",
    "stress": "stress_weight",
    "magmoms": "magmom_weight",
}
