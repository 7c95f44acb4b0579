"""Predictions of a fitted potential."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from skuae._progress import show_progress
from skuae.crystals import Crystals
from skuae.embedding import crystals_and_table
from skuae.potentials._fitted import Predictions
from skuae.potentials._pretrained import PretrainedPotential
from skuae.training import library_defaults


def index_of(X: Any) -> pd.Index | None:
    """Return the index of a Series or data frame, None for anything else.

    Parameters
    ----------
    X : object

    Returns
    -------
    Index or None
    """
    return X.index if isinstance(X, (pd.Series, pd.DataFrame)) else None


class PredictingPotential(PretrainedPotential):
    """Predictions of a fitted potential."""

    max_edges: int
    verbose: int

    def predict(self, X: Any) -> np.ndarray:
        """Predict energies.

        Parameters
        ----------
        X : array-like of crystals of shape (n_samples,)

        Returns
        -------
        ndarray of float64 of shape (n_samples,)
            In eV per cell.

        Raises
        ------
        ValueError
            If a crystal is disordered or has an element that was not trained on.
        """
        return self._predict(X, derivatives=False)[1].energies

    def predict_forces(self, X: Any) -> list[np.ndarray]:
        """Predict forces.

        Parameters
        ----------
        X : array-like of crystals of shape (n_samples,)

        Returns
        -------
        list of ndarray of float64 of shape (n_sites, 3)
            In eV/Å, one array per crystal.
        """
        return self.predict_all(X)["forces"].tolist()

    def predict_stress(self, X: Any) -> np.ndarray:
        """Predict stresses.

        Parameters
        ----------
        X : array-like of crystals of shape (n_samples,)

        Returns
        -------
        ndarray of float64 of shape (n_samples, 3, 3)
            In GPa, positive under tension.
        """
        stresses: Any = self._predict(X, derivatives=True)[1].stresses
        return stresses

    def predict_all(self, X: Any) -> pd.DataFrame:
        """Predict all labels at once.

        Parameters
        ----------
        X : array-like of crystals of shape (n_samples,)

        Returns
        -------
        DataFrame
            Columns ``energy``, ``forces`` and ``stress`` in the units of labels, and ``magmoms`` if
            the potential was trained on them. The index is that of X, if X is of pandas.
        """
        crystals, found = self._predict(X, derivatives=True)
        cuts = crystals.offsets[1:-1]
        forces: Any = found.forces
        stresses: Any = found.stresses
        columns = {
            "energy": found.energies,
            "forces": np.split(forces, cuts),
            "stress": list(stresses),
        }
        if found.magmoms is not None:
            columns["magmoms"] = np.split(found.magmoms, cuts)
        return pd.DataFrame(columns, index=index_of(X))

    def site_features(self, X: Any) -> list[np.ndarray]:
        """Return what the energies of atoms are read from.

        Parameters
        ----------
        X : array-like of crystals of shape (n_samples,)

        Returns
        -------
        list of ndarray of shape (n_sites, width)
            One array per crystal, in the precision of the network. CHGNet and M3GNet have `dim`
            columns: the vectors of atoms after the last update, and after the layer norm where
            there is one. MACE has `dim` scalars of each update.

        Raises
        ------
        ValueError
            If a crystal is disordered or has an element that was not trained on.
        """
        check_is_fitted(self)
        with library_defaults(), show_progress(self.verbose):
            crystals, _ = crystals_and_table(X)
            features = self.fitted_.site_features(crystals, self.max_edges)
        return np.split(features, crystals.offsets[1:-1])

    def _predict(self, X: Any, *, derivatives: bool) -> tuple[Crystals, Predictions]:
        check_is_fitted(self)
        with library_defaults(), show_progress(self.verbose):
            crystals, _ = crystals_and_table(X)
            return crystals, self.fitted_.predict(
                crystals, self.max_edges, derivatives=derivatives, bar="predictions"
            )
