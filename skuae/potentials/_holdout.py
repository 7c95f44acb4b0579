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
            f"validation_fraction={fraction} holds back every row with a known label "
            f"({n_valid} of {len(rows)}), which leaves none to train on; set early_stopping=False, "
            "or pass more rows"
        )
    order = rows[np.random.default_rng(seed).permutation(len(rows))]
    train, valid = order[n_valid:], order[:n_valid]
    new = has_new_elements(crystals, train, valid)
    train, valid = np.sort(np.append(train, valid[new])), np.sort(valid[~new])
    if not len(valid):
        raise ValueError(
            f"each row that validation_fraction={fraction} holds back ({n_valid} of {len(rows)}) "
            "has an element that no other row has; set early_stopping=False, or a larger "
            "validation_fraction"
        )
    check_both_parts(n_known[train], n_known[valid], drawn=True)
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


def check_both_parts(train: np.ndarray, valid: np.ndarray, *, drawn: bool) -> None:
    """Raise ValueError at the first kind of label that only one part has.

    Parameters
    ----------
    train, valid : ndarray of int of shape (n, 4)
        Known labels with a weight of each crystal.
    drawn : bool
        Whether `hold_back` drew the rows; if not, the user gave them as `X_val`.
    """
    parts = ("train on", "hold back") if drawn else ("X", "X_val")
    counts = train.sum(axis=0), valid.sum(axis=0)
    if not drawn and not counts[1].any():
        raise ValueError(
            "y_val has no known label with a weight: there is nothing to measure the loss of X_val "
            "with; give it labels of the kinds that y has"
        )
    for name, ours, theirs in zip(NAMES, *counts, strict=True):
        if bool(ours) == bool(theirs):
            continue
        lacking, having = reversed(parts) if ours else parts
        if drawn:
            raise ValueError(
                f"no row to {lacking} has a known label {name!r}, and a row to {having} has one; "
                f"set {_WEIGHTS[name]}=0, another validation_fraction, or early_stopping=False"
            )
        raise ValueError(
            f"no row of {lacking} has a known label {name!r}, and a row of {having} has one; set "
            f"{_WEIGHTS[name]}=0, or pass that label for rows of {lacking}, too"
        )


_WEIGHTS = {
    "energy": "energy_weight",
    "forces": "force_weight",
    "stress": "stress_weight",
    "magmoms": "magmom_weight",
}
