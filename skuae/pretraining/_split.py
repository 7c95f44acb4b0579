"""The part of each row: training, validation or left out, with the reason."""

import numpy as np

from skuae._warnings import warn
from skuae.datasets import ID_COLUMNS, formula_groups, leaking_rows


def find_rows(crystals, ids, what):
    """Find the rows that ids name.

    Parameters
    ----------
    crystals : Crystals
    ids : iterable of str
    what : str
        How messages call the ids.

    Returns
    -------
    ndarray of int
        Ascending.

    Raises
    ------
    TypeError
        If the ids are one text.
    ValueError
        If the crystals have no ids, or none of these.

    Warns
    -----
    UserWarning
        Some ids are not there.
    """
    if isinstance(ids, str):  # an iterable of letters
        raise TypeError(f"{what}={str(ids)!r} is one text; pass a list, [{str(ids)!r}]")
    if crystals.ids is None:
        raise ValueError(
            f"{what} need structures with ids: pass as_crystals(list(X), ids=...), or name the "
            f"rows of a file in a column {', '.join(ID_COLUMNS)}"
        )
    ids = np.unique(np.array(list(ids), dtype=np.str_))
    rows = np.flatnonzero(np.isin(crystals.ids, ids))
    if not len(rows):
        raise ValueError(
            f"none of the {len(ids)} {what} is among the structures' ids (such as "
            f"{str(crystals.ids[0])!r})"
        )
    missing = np.setdiff1d(ids, crystals.ids)
    if len(missing):
        warn(
            f"{len(missing)} of {len(ids)} {what} are not among the structures' ids, e.g. "
            f"{str(missing[0])!r}"
        )
    return rows


def split_rows(crystals, y, sets, kept_out, by, validation_ids, fraction, max_sites, seed):
    """Say of each row what becomes of it.

    Parameters
    ----------
    crystals : Crystals
    y : DataFrame of shape (n_crystals, n_targets)
    sets : dict of str to Crystals
        What rows must not leak into.
    kept_out : ndarray of int
        Rows that are held out whatever their ids and structures.
    by, validation_ids, fraction, max_sites
        As `pretrain` takes them.
    seed : int

    Returns
    -------
    ndarray of object of shape (n_crystals,)
        ``"train"``, ``"validation"``, ``"near validation"``, ``"held out"``, ``"too large"`` or
        ``"no label"``.
    """
    split = np.full(len(crystals), "train", dtype=object)  # names as long as they need to be
    valid = _validation_rows(crystals, validation_ids, fraction, seed)
    if valid.any():
        split[leaking_rows(crystals, crystals[valid], by="formula")] = "near validation"
        split[valid] = "validation"
    for held_out in sets.values():
        split[leaking_rows(crystals, held_out, by=by)] = "held out"
    split[kept_out] = "held out"
    if max_sites is not None:
        split[(crystals.sizes > max_sites) & (split != "held out")] = "too large"
    unknown = y.isna().all(axis=1).to_numpy()
    split[unknown & np.isin(split, ["train", "validation"])] = "no label"
    return split


def _validation_rows(crystals, ids, fraction, seed):
    if ids is not None:
        valid = np.zeros(len(crystals), dtype=bool)
        valid[find_rows(crystals, ids, "validation_ids")] = True
        return valid
    formulas = formula_groups(crystals)
    n_formulas = formulas.max() + 1
    drawn = np.random.default_rng(seed).permutation(n_formulas) < fraction * n_formulas
    return drawn[formulas]


def counts_of(split):
    """Write how many rows each part has, the largest first.

    Parameters
    ----------
    split : ndarray of str

    Returns
    -------
    str
    """
    parts, counts = np.unique(split.astype(str), return_counts=True)
    order = np.argsort(-counts)
    return ", ".join(f"{counts[i]:,} {parts[i]}" for i in order)
