"""Errors of potentials, beside those of a prediction without a network."""

import numpy as np
import pandas as pd

from skuae.crystals import Crystals
from skuae.potentials._fitted import Predictions
from skuae.potentials._labels import Labels

_COLUMNS = (
    ("energy", "meV/atom"),
    ("forces", "eV/Å"),
    ("stress", "GPa"),
    ("magmoms", "μB"),
)


def error_table(
    found: Predictions, labels: Labels, crystals: Crystals, of_elements: np.ndarray
) -> pd.DataFrame:
    """Return mean absolute and root mean squared errors.

    Parameters
    ----------
    found : Predictions
    labels : Labels
    crystals : Crystals
    of_elements : ndarray of shape (n,)
        Energies in eV per cell that elements alone have.

    Returns
    -------
    DataFrame
        Rows ``model`` and ``elements``.
    """
    scale = 1000 / crystals.sizes
    known = (labels.energies * scale, labels.forces, labels.stresses, labels.magmoms)
    models = {
        "model": (found.energies * scale, found.forces, found.stresses, found.magmoms),
        "elements": (of_elements * scale, 0.0, 0.0, 0.0),
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
