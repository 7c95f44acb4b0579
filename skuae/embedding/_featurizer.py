"""The methods of a matminer featurizer, built on a vectorised transform."""

import re
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted
from tqdm.auto import tqdm

from skuae._doc_links import DocLinks
from skuae.crystals import as_crystals

_BLOCK = 2000  # rows between two steps of the progress bar


class FeaturizerMixin(DocLinks):
    """Methods that all transformers of crystals share: those of matminer, feature names and tags.

    They work before ``fit`` if there is nothing to learn. The class provides ``feature_labels()``,
    the names of the features, ``citations()``, and ``_featurizer()``, which checks the parameters
    and returns the function from `Crystals` to the feature matrix.
    """

    fit: Callable[..., Any]
    feature_labels: Callable[[], list[str]]
    _featurizer: Callable[[], Callable[[Any], np.ndarray]]

    def _accept(self, X):
        """Return X as the function of `_featurizer` takes it."""
        return as_crystals(X)

    def featurize(self, structure):
        """Return the features of one structure.

        Parameters
        ----------
        structure : Structure, ASE Atoms, dict or path

        Returns
        -------
        list of float
        """
        return self._featurizer()(self._accept([structure]))[0].tolist()

    def featurize_many(self, entries, ignore_errors=False, return_errors=False, pbar=True):
        """Return the features of several structures.

        Parameters
        ----------
        entries : list, Series, array or generator of structures
        ignore_errors : bool, default=False
            Give rows of NaN for structures that cannot be featurised, instead of an error.
        return_errors : bool, default=False
            Append the traceback (NaN where all went well) to the features of each row; needs
            ``ignore_errors=True``.
        pbar : bool or dict, default=True
            Show a progress bar; a dict holds arguments for it.

        Returns
        -------
        list of list
        """
        features, errors = self._featurize(entries, ignore_errors, return_errors, pbar)
        if not return_errors:
            return features.tolist()
        return [[*row, error] for row, error in zip(features.tolist(), errors, strict=True)]

    def _featurize(self, entries, ignore_errors, return_errors, pbar):
        """Return features (n, d), and n tracebacks or NaN."""
        if return_errors and not ignore_errors:
            raise ValueError("set ignore_errors=True to use return_errors")
        compute = self._featurizer()  # may refuse, whatever ignore_errors says
        entries = entries if hasattr(entries, "__len__") else list(entries)  # of a generator
        n = len(entries)
        width = len(self.feature_labels())
        features = np.full((n, width), np.nan, dtype=np.float32)
        errors = [np.nan] * n
        options = {"total": n, "desc": type(self).__name__, "disable": not pbar}
        if isinstance(pbar, dict):
            options |= {"disable": False, **pbar}
        with tqdm(**options) as bar:
            for start in range(0, n, _BLOCK):
                rows = range(start, min(start + _BLOCK, n))
                try:
                    block = _safe_indexing(entries, slice(rows.start, rows.stop))
                    features[rows.start : rows.stop] = compute(self._accept(block))
                    rows = range(0)
                except Exception:
                    if not ignore_errors:
                        compute(self._accept(entries))  # to count the rows from the start
                        raise
                for row in rows:  # out here: or each traceback would tell the block's as well
                    one = _safe_indexing(entries, slice(row, row + 1))
                    features[row], errors[row] = self._try_one(compute, one, row, width)
                bar.update(min(_BLOCK, n - start))
        return features, errors

    def _try_one(self, compute, one, row, width):
        """Return the features of one row, or NaN and the traceback."""
        try:
            return compute(self._accept(one))[0], np.nan
        except Exception:
            said = re.sub(r"\brow 0\b", f"row {row}", traceback.format_exc())
            return np.full(width, np.nan), said

    def featurize_dataframe(
        self,
        df,
        col_id,
        ignore_errors=False,
        return_errors=False,
        inplace=False,
        multiindex=False,
        pbar=True,
    ):
        """Append the features of a column of structures to a data frame.

        Parameters
        ----------
        df : DataFrame
        col_id : str or list of one str
            Column of the structures.
        ignore_errors : bool, default=False
            Give NaN for structures that cannot be featurised, instead of an error.
        return_errors : bool, default=False
            Append a column of tracebacks, ``"<class name> Exceptions"``; needs
            ``ignore_errors=True``.
        inplace : bool, default=False
            Change `df` and return None.
        multiindex : bool, default=False
            Give the columns two levels: the featurizer (``"Input Data"`` for columns that were
            there) and the feature.
        pbar : bool or dict, default=True
            Show a progress bar; a dict holds arguments for it.

        Returns
        -------
        DataFrame or None
        """
        if isinstance(df.columns, pd.MultiIndex) and not multiindex:
            raise ValueError("the data frame has columns of several levels; set multiindex=True")
        column = _column(col_id)
        labels = self.feature_labels()
        if return_errors:
            labels.append(f"{type(self).__name__} Exceptions")
        columns: list[Any] = labels
        if multiindex:
            columns = [(type(self).__name__, label) for label in labels]
        taken = [name for name in columns if name in df.columns]
        if taken:
            raise ValueError(f'"{taken[0]}" exists in input dataframe; drop it first')
        features, errors = self._featurize(df[column], ignore_errors, return_errors, pbar)
        new = pd.DataFrame(features, index=df.index)
        if return_errors:
            new[len(new.columns)] = errors
        new.columns = pd.MultiIndex.from_tuples(columns) if multiindex else columns
        old_columns = df.columns
        if multiindex and old_columns.nlevels == 1:
            old_columns = pd.MultiIndex.from_product([["Input Data"], old_columns])
        if inplace:
            df.columns = old_columns
            df[new.columns] = new
            return None
        return pd.concat([df.set_axis(old_columns, axis=1), new], axis=1)

    def fit_featurize_dataframe(self, df, col_id, fit_args=None, *args, **kwargs):
        """Fit to a column of structures, then append its features.

        Parameters
        ----------
        df : DataFrame
        col_id : str or list of one str
        fit_args : list, optional
            Arguments of ``fit`` after the structures, e.g. ``[y]``.
        *args, **kwargs
            Passed to :meth:`featurize_dataframe`.

        Returns
        -------
        DataFrame or None
        """
        self.fit(df[_column(col_id)], *(fit_args or []))
        return self.featurize_dataframe(df, col_id, *args, **kwargs)

    def precheck(self, structure):
        """Tell whether a structure can be featurised.

        Parameters
        ----------
        structure : Structure, ASE Atoms, dict or path

        Returns
        -------
        bool
        """
        compute = self._featurizer()
        try:
            compute(self._accept([structure]))
        except (TypeError, ValueError):
            return False
        return True

    def precheck_dataframe(self, df, col_id, return_frac=True, inplace=False):
        """Tell which structures of a data frame can be featurised.

        Parameters
        ----------
        df : DataFrame
        col_id : str or list of one str
        return_frac : bool, default=True
            Return their share; else a data frame with a column ``"<class name> precheck pass"``.
        inplace : bool, default=False
            Add that column to `df` and return None.

        Returns
        -------
        float, DataFrame or None
        """
        passed = [self.precheck(structure) for structure in df[_column(col_id)]]
        if return_frac:
            return float(np.mean(passed))
        column = f"{type(self).__name__} precheck pass"
        if inplace:
            df[column] = passed
            return None
        return df.assign(**{column: passed})

    def get_feature_names_out(self, input_features=None):
        """Return the names of the features.

        Parameters
        ----------
        input_features : ignored
            For scikit-learn.

        Returns
        -------
        ndarray of str of shape (n_features,)
        """
        check_is_fitted(self)
        return np.array(self.feature_labels(), dtype=object)

    def __sklearn_tags__(self):
        parent: Any = super()
        tags = parent.__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.no_validation = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def implementors(self):
        """Return who wrote this.

        Returns
        -------
        list of str
        """
        return ["The skuae developers"]


def _column(col_id):
    if not isinstance(col_id, list):
        return col_id
    if len(col_id) != 1:
        raise ValueError(f"col_id names {len(col_id)} columns; structures are in one")
    return col_id[0]
