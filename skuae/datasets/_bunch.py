"""The return value of loaders, and the choice of targets."""

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from skuae._html import as_html
from skuae._warnings import warn

_SHOWN, _NAMED = 5, 8  # rows and columns, in notebooks


class CrystalBunch(Bunch):
    """A scikit-learn `Bunch` of crystals and labels.

    `frame` is made at its first use. A pymatgen Structure takes about 0.1 ms, so 100,000 crystals
    take 10 s and several GB.

    Attributes
    ----------
    structures : Crystals
        The crystals, packed; the fastest input for skuae's estimators.
    target : ndarray or pandas object of shape (n_crystals,) or (n_crystals, n_targets), or None
        The labels chosen as target; None where there are none.
    target_names : list of str
        Their names.
    labels : DataFrame of shape (n_crystals, n_labels)
        All labels; the index holds the ids.
    ids : ndarray of str of shape (n_crystals,)
        Names of the crystals, in the order of the rows.
    frame : DataFrame of shape (n_crystals, 1 + n_labels)
        Column ``structure`` with pymatgen Structures, then `labels`.
    DESCR : str
        Where the data are from, units, licence.

    Examples
    --------
    >>> from skuae.datasets import make_toy_crystals
    >>> toy = make_toy_crystals(n_samples=16, random_state=0)
    >>> toy.target_names
    ['electronegativity']
    >>> list(toy.frame)
    ['structure', 'formula', 'electronegativity', 'volume_per_atom', 'prototype']
    """

    def __missing__(self, key):
        if key != "frame":
            raise KeyError(key)
        column = structure_frame(self["structures"], self["labels"].index)
        # side by side, not joined: ids of published sets may occur twice
        self["frame"] = pd.concat([column, self["labels"]], axis=1)
        return self["frame"]

    def __dir__(self):
        return sorted({*self.keys(), "frame"})

    def _repr_html_(self):
        """Return what notebooks show: where the data are from, and the first labels."""
        labels, n = self["labels"], len(self["structures"])
        text = str(self.get("DESCR", "")).strip().partition("\n")[0].lstrip("# ")
        facts = {
            "crystals": f"{n:,}",
            "target": ", ".join(map(str, self["target_names"])) or "none",
            f"labels ({labels.shape[1]})": ", ".join(map(str, labels.columns[:_NAMED])),
            "also": ", ".join(sorted({*self} - {"labels", "target_names"})),
        }
        more = f"... and {n - _SHOWN:,} more" if n > _SHOWN else ""
        return as_html(text or "Crystals with labels", facts, labels.iloc[:_SHOWN, :_NAMED], more)


def structure_frame(structures, index):
    """Return a data frame whose only column ``structure`` holds pymatgen Structures.

    Parameters
    ----------
    structures : Crystals
    index : Index of shape (n_crystals,)

    Returns
    -------
    DataFrame of shape (n_crystals, 1)
    """
    # A Structure is a sequence: pandas and numpy must not get the chance to unpack it.
    column = np.empty(len(structures), dtype=object)
    for row, structure in enumerate(structures):
        column[row] = structure
    return pd.DataFrame({"structure": pd.Series(column, index=index, dtype=object)})


def select_targets(target, known):
    """Return the target names as a list.

    Parameters
    ----------
    target : str or sequence of str
    known : sequence of str

    Returns
    -------
    list of str

    Raises
    ------
    ValueError
        If there is none, or one is not known.
    """
    names = [target] if isinstance(target, str) else list(target)
    if not names or not set(names) <= set(known):
        raise ValueError(f"target={target!r} must be one or several of {', '.join(known)}")
    return names


def warn_unknown(labels):
    """Warn the caller of a loader where labels are unknown.

    Parameters
    ----------
    labels : DataFrame of shape (n_crystals, n_labels)
    """
    unknown = labels.isna().sum()
    unknown = unknown[unknown > 0]
    if len(unknown):
        counts = ", ".join(f"{count} in {name!r}" for name, count in unknown.items())
        warn(
            f"unknown labels: {counts}, of {len(labels)} rows. skuae's regressors leave these "
            "out of the loss; classifiers and other estimators need such rows dropped"
        )


def make_bunch(structures, labels, target_names, *, return_X_y, as_frame, **more):
    """Assemble what a loader returns.

    Parameters
    ----------
    structures : Crystals
    labels : DataFrame of shape (n_crystals, n_labels)
        Indexed by id.
    target_names : list of str
        Columns of `labels` that are the target; one gives a 1-D target, none gives None.
    return_X_y : bool
    as_frame : bool
    **more
        Further keys of the Bunch.

    Returns
    -------
    CrystalBunch or tuple (X, y)
    """
    target = None
    if target_names:
        target = labels[target_names[0] if len(target_names) == 1 else list(target_names)]
        target = target.copy() if as_frame else target.to_numpy(copy=True)
    if return_X_y:
        X = structure_frame(structures, labels.index) if as_frame else structures
        return X, target
    return CrystalBunch(
        structures=structures,
        target=target,
        target_names=list(target_names),
        labels=labels,
        ids=labels.index.to_numpy(dtype=str),
        **more,
    )
