"""A feature matrix that carries the crystals of its rows."""

from typing import Any

import numpy as np
import pandas as pd

from skuae._warnings import warn
from skuae.crystals import Crystals, as_crystals
from skuae.embedding._table import ElementTable

# Functions that may append columns, with the default of their axis.
_COLUMNWISE = {np.hstack: 1, np.concatenate: 0}


class StructureFeatures(np.ndarray):
    """Matrix of crystal features that carries its crystals and its element table.

    scikit-learn sees a float matrix. A crystal estimator reads the crystals and the table instead
    of the numbers. Selecting rows, copying, pickling and appending columns (`FeatureUnion`,
    `ColumnTransformer`) keep crystals and table. Other operations, and changes of rows in place,
    set ``crystals`` and ``table`` to None, so that rows and crystals are never mis-paired.

    joblib's cache hashes the numbers alone, so it cannot tell crystals of the same composition
    apart. In a ``Pipeline(memory=...)``, put the crystal estimator directly after `UAETransformer`.

    Parameters
    ----------
    values : array-like of shape (n_crystals, n_features)
        Converted to float32.
    crystals : Crystals, optional
        The crystals of the rows.
    table : ElementTable, optional
        The table that the features were pooled from.
    feature_names : sequence of str of length n_features, optional
        Names of the columns.

    Attributes
    ----------
    crystals : Crystals or None
    table : ElementTable or None
    feature_names : list of str or None

    Examples
    --------
    >>> from skuae.datasets import make_toy_crystals
    >>> from skuae.embedding import UAETransformer
    >>> features = UAETransformer("magpie").fit_transform(make_toy_crystals(6).structures)
    >>> features.shape
    (6, 88)
    >>> features[2:4].crystals
    Crystals(n_crystals=2, ...)
    >>> (2 * features).crystals is None
    True
    """

    feature_names: list[str] | None = None
    _crystals: Crystals | None = None
    _table: ElementTable | None = None
    _row_sums: np.ndarray | None = None

    def __new__(cls, values, crystals=None, table=None, feature_names=None):
        features = np.asarray(values, dtype=np.float32).view(cls)
        if features.ndim != 2 or (crystals is not None and len(crystals) != len(features)):
            n = "?" if crystals is None else len(crystals)
            raise ValueError(f"features have shape {features.shape}, expected ({n}, n_features)")
        return features._attach(crystals, table, feature_names, features._sum_rows())

    def _attach(self, crystals, table, feature_names, row_sums):
        self._crystals = crystals
        self._table = table
        self.feature_names = None if feature_names is None else list(feature_names)
        self._row_sums = row_sums
        return self

    def _luggage(self):
        return self._crystals, self._table, self.feature_names, self._row_sums

    def _sum_rows(self):
        # Random weights: plain sums would not see columns that change places.
        weights = np.random.default_rng(0).random(self.shape[1])
        # in the order of rows whatever the memory layout is, so that sums are rounded alike
        return np.multiply(np.asarray(self), weights, order="C").sum(axis=1)

    @property
    def crystals(self):
        """Crystals of the rows; None if they are unknown or rows were changed in place."""
        if self._crystals is None or self._row_sums is None:
            return None
        unchanged = np.array_equal(self._sum_rows(), self._row_sums, equal_nan=True)
        return self._crystals if unchanged else None

    @property
    def table(self):
        """Element table that the features were pooled from; None if ``crystals`` is None."""
        return None if self.crystals is None else self._table

    # Only what follows hands crystals on: numpy makes every new array without (the class attributes
    # above), and `__array_finalize__`, which could inherit them, is not defined on purpose.

    def __getitem__(self, key):
        result = super().__getitem__(key)
        crystals, row_sums = self._crystals, self._row_sums
        if crystals is None or row_sums is None or not isinstance(result, StructureFeatures):
            return result
        rows = _rows_selected(key)
        if rows is not None:
            result._attach(crystals[rows], self._table, self.feature_names, row_sums[rows])
        return result

    def copy(self, order="C"):
        """Return a copy that keeps crystals and table.

        Parameters
        ----------
        order : {"C", "F", "A", "K"}, default="C"
            Memory layout.

        Returns
        -------
        StructureFeatures
        """
        return super().copy(order)._attach(*self._luggage())

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, memo):
        return self.copy()  # crystals and tables are immutable

    def __reduce__(self):
        reduced: Any = super().__reduce__()  # of an array: no text
        rebuild, arguments, state = reduced
        return rebuild, arguments, (state, self._luggage())

    def __setstate__(self, state):
        super().__setstate__(state[0])
        self._attach(*state[1])

    def __array_function__(self, func, types, args, kwargs):
        result = super().__array_function__(func, types, args, kwargs)
        if func in _COLUMNWISE and "out" not in kwargs and np.ndim(result) == 2:
            axis = kwargs.get("axis", args[1] if len(args) > 1 else _COLUMNWISE[func])
            carrier = _common_carrier(args[0]) if axis in (1, -1) else None
            if carrier is not None:
                result = result.view(StructureFeatures)
                result._attach(carrier._crystals, carrier._table, None, result._sum_rows())
        return result


def crystals_and_table(X):
    """Return the crystals in X, and the element table that came with them.

    Parameters
    ----------
    X : StructureFeatures, Crystals or anything that `as_crystals` reads
        Input of the estimator.

    Returns
    -------
    crystals : Crystals
        One per row of X.
    table : ElementTable or None
        The table that came with the features, if X is a `StructureFeatures`.

    Raises
    ------
    TypeError
        If X is a matrix of features that has lost its crystals, or holds no structures.
    ValueError
        If a structure is invalid.
    """
    carried = X.crystals if isinstance(X, StructureFeatures) else None
    if carried is not None:
        if X.feature_names is None:
            warn(
                "X has columns beside those of UAETransformer; a crystal estimator reads the "
                "structures only and ignores them"
            )
        return carried, X.table
    if isinstance(X, StructureFeatures) and X._crystals is None and X._table is not None:
        raise TypeError(
            "X holds features of formulas, which have no positions of atoms, and a crystal "
            "estimator needs structures: give the pipeline structures, or let an estimator of "
            "scikit-learn follow UAETransformer, e.g. RandomForestRegressor()"
        )
    frame_of_numbers = isinstance(X, pd.DataFrame) and all(
        map(pd.api.types.is_numeric_dtype, X.dtypes)
    )
    array_of_numbers = isinstance(X, np.ndarray) and X.dtype.kind in "iufb"
    if frame_of_numbers or array_of_numbers:
        raise TypeError(
            f"X is a matrix of features of shape {X.shape} without its crystals. UAETransformer "
            "sends them along, but the step after it (a scaler, a column selection, a union of "
            'several tables, set_output(transform="pandas"), a change in place) dropped them. Let '
            "the crystal "
            "estimator follow UAETransformer directly, or give it the structures and "
            "embedding=... instead"
        )
    return as_crystals(X), None


def _rows_selected(key):
    """Return the row part of an index that selects whole rows, or None."""
    if isinstance(key, tuple):
        if len(key) == 2 and (key[1] is Ellipsis or _is_all(key[1])):
            key = key[0]
        elif len(key) == 1:
            key = key[0]
    if isinstance(key, slice):
        return key
    if isinstance(key, (list, np.ndarray)):
        rows = np.asarray(key)
        if rows.ndim == 1 and rows.size == 0:
            return rows.astype(np.int64)
        if rows.ndim == 1 and rows.dtype.kind in "iub":
            return rows
    return None


def _is_all(key):
    return isinstance(key, slice) and key == slice(None)


def _common_carrier(arrays):
    """Return an array whose crystals and table belong to all arrays, or None."""
    carriers = [a for a in arrays if getattr(a, "crystals", None) is not None]
    if not carriers:
        return None
    first = carriers[0]
    same = all(c._table == first._table and _equal(c._crystals, first._crystals) for c in carriers)
    return first if same else None


def _equal(a, b):
    """Tell whether two `Crystals` are equal, since each branch of a union reads a list anew."""
    names = ("offsets", "numbers", "frac_coords", "lattices", "occ_sites", "occ_numbers",
             "occ_values")  # fmt: skip
    return a is b or all(np.array_equal(getattr(a, name), getattr(b, name)) for name in names)
