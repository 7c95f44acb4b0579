"""Errors of potentials, compared with those of constants."""

import numpy as np
import pandas as pd

from skuae.crystals import Crystals
from skuae.potentials._fitted import Predictions, compositions
from skuae.potentials._labels import Labels
from skuae.potentials._start import fit_references

_COLUMNS = (
    ("energy", "meV/atom"),
    ("forces", "eV/Å"),
    ("stress", "GPa"),
    ("magmoms", "μB"),
)


def error_table(found: Predictions, labels: Labels, crystals: Crystals) -> pd.DataFrame:
    """Return mean absolute and root mean squared errors.

    Parameters
    ----------
    found : Predictions
    labels : Labels
    crystals : Crystals

    Returns
    -------
    DataFrame
        Rows ``model`` and ``constant``.
    """
    scale = 1000 / crystals.sizes
    every = np.arange(len(crystals))
    constants = compositions(crystals) @ fit_references(crystals, labels.energies, every)
    known = (labels.energies * scale, labels.forces, labels.stresses, labels.magmoms)
    models = {
        "model": (found.energies * scale, found.forces, found.stresses, found.magmoms),
        "constant": (constants * scale, 0.0, 0.0, 0.0),
    }
    rows = {}
    for name, predicted in models.items():
        row = {}
        for (label, unit), ours, theirs in zip(_COLUMNS, predicted, known, strict=True):
            errors = np.full(1, np.nan) if ours is None else ours - theirs
            errors = errors[np.isfinite(errors)]
            some = len(errors) > 0
            row[f"{label} MAE ({unit})"] = np.abs(errors).mean() if some else np.nan
            row[f"{label} RMSE ({unit})"] = np.sqrt(np.square(errors).mean()) if some else np.nan
        rows[name] = row
    return pd.DataFrame.from_dict(rows, orient="index")
