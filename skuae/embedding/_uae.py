"""`UAETransformer`: element vectors, pooled over crystals."""

from functools import partial
from os import PathLike
from typing import ClassVar

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from skuae._cells import number_in, why_no_number
from skuae.crystals import (
    LIMITS,
    Compositions,
    Crystals,
    as_contents,
    parse_structure,
    warn_remarks,
)
from skuae.embedding._features import StructureFeatures
from skuae.embedding._featurizer import FeaturizerMixin
from skuae.embedding._pooling import check_pooling, pool
from skuae.embedding._registry import labels_for, resolve_table

_CITATION = """\
@article{jin2025transformer,
  title = {Transformer-generated atomic embeddings to enhance prediction accuracy of crystal
           properties with machine learning},
  author = {Jin, Luozhijie and Du, Zijian and Shu, Le and Cen, Yan and Xu, Yuanfeng and
            Mei, Yongfeng and Zhang, Hao},
  journal = {Nature Communications}, volume = {16}, pages = {1210}, year = {2025},
  doi = {10.1038/s41467-025-56481-x}
}"""


class UAETransformer(FeaturizerMixin, TransformerMixin, BaseEstimator):
    """Features of crystals from universal atomic embeddings (UAE).

    Every element has a vector. The features of a crystal are statistics of the vectors of its
    atoms, weighted by their amounts (occupancies count on disordered sites). The result is a float
    matrix for any scikit-learn estimator. It also carries the crystals and the element table for
    crystal estimators such as `CrystalGNNRegressor`. The class has the methods of a matminer
    featurizer.

    X may hold formulas (``"Li0.5CoO2"``, pymatgen Compositions) instead of structures, since the
    statistics need no positions of atoms. An estimator as `embedding`, and a crystal estimator
    after this one, need structures and refuse formulas.

    Parameters
    ----------
    embedding : str, path, ElementTable, DataFrame or estimator, default="ct-uae-mt"
        Source of the element vectors: the name of a table (:func:`skuae.embedding.table_names`); a
        file (``.safetensors``, ``.csv``); a table; a data frame indexed by symbol; or an estimator
        such as ``CrystalTransformerRegressor()``, a clone of which learns them in ``fit(X, y)``.
    statistics : tuple of {"mean", "std", "min", "max"}, default=("mean", "std", "min", "max")
        One block of columns each.
    on_missing_element : {"raise", "mean", "nan"}, default="raise"
        For elements that the table does not cover: an error that names row and element, the mean
        vector of the table, or NaN features.
    n_jobs : int, default=None
        Processes that read files, if X holds paths of CIF or POSCAR files. The rest is vectorised
        and runs in one process.
    verbose : int, default=0
        Above 0, show the progress of reading files.

    Attributes
    ----------
    element_table_ : ElementTable
        The table that the features are pooled from.
    embedding_ : estimator or None
        The fitted clone, if `embedding` is an estimator.
    n_features_out_ : int
        Number of features.

    See Also
    --------
    skuae.matminer.UAEFeaturizer : The same as a subclass of matminer's ``BaseFeaturizer``.

    References
    ----------
    .. [1] L. Jin et al., "Transformer-generated atomic embeddings to enhance prediction accuracy of
       crystal properties with machine learning", Nature Communications 16, 1210 (2025).

    Examples
    --------
    >>> from skuae.datasets import make_toy_crystals
    >>> from skuae.embedding import UAETransformer
    >>> structures = make_toy_crystals(6).structures
    >>> uae = UAETransformer("magpie", statistics=("mean", "max")).fit(structures)
    >>> uae.transform(structures).shape
    (6, 44)
    >>> uae.get_feature_names_out()[:2]
    array(['magpie_mean_Number', 'magpie_mean_MendeleevNumber'], dtype=object)
    """

    def __init__(
        self,
        embedding="ct-uae-mt",
        *,
        statistics=("mean", "std", "min", "max"),
        on_missing_element="raise",
        n_jobs=None,
        verbose=0,
    ):
        self.embedding = embedding
        self.statistics = statistics
        self.on_missing_element = on_missing_element
        self.n_jobs = n_jobs
        self.verbose = verbose

    # A table has no use for sample weights: a pipeline must not stop to ask. To let an estimator as
    # embedding have them under metadata routing, set_fit_request(sample_weight=True).
    __metadata_request__fit: ClassVar = {"sample_weight": False}

    def fit(self, X, y=None, sample_weight=None):
        """Find the element table; learn it if `embedding` is an estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples,)
            Crystals, as :func:`skuae.as_crystals` reads them; or their formulas.
        y : array-like of shape (n_samples,) or (n_samples, n_targets), optional
            Their properties; needed if `embedding` is an estimator. If that is a regressor, classes
            with names become columns of 0 and 1, and classes that are numbers count as numbers.
        sample_weight : array-like of shape (n_samples,), optional
            Passed to ``fit`` of `embedding`, if that is an estimator.

        Returns
        -------
        self : object

        Raises
        ------
        TypeError
            If an estimator as `embedding` would have to learn from formulas.
        ValueError
            If a crystal or a parameter is invalid, or a crystal has an element that the table does
            not cover.
        """
        self.fit_transform(X, y, sample_weight)  # costs little more, and checks all it needs to
        return self

    def fit_transform(self, X, y=None, sample_weight=None):
        """Fit, and return the features of X; see :meth:`fit` and :meth:`transform`.

        Parameters
        ----------
        X : array-like of shape (n_samples,)
            Crystals, or their formulas.
        y : array-like of shape (n_samples,) or (n_samples, n_targets), optional
            Their properties.
        sample_weight : array-like of shape (n_samples,), optional
            Passed to ``fit`` of `embedding`, if that is an estimator.

        Returns
        -------
        StructureFeatures of shape (n_samples, n_features)
            A float32 matrix; one block of columns per statistic.
        """
        check_pooling(self.statistics, self.on_missing_element)
        crystals = self._read(X)
        self._check_learnable(crystals)
        if _are_texts(y):
            y = labels_for(self.embedding, y, classes=True)
        table, estimator = resolve_table(self.embedding, crystals, y, sample_weight=sample_weight)
        features = self._pool(table, crystals)  # may refuse; only then is this fitted
        self.element_table_, self.embedding_ = table, estimator
        return self._carry(features, crystals)

    def transform(self, X):
        """Return the features of crystals.

        Parameters
        ----------
        X : array-like of shape (n_samples,)
            Crystals, as :func:`skuae.as_crystals` reads them; or their formulas.

        Returns
        -------
        StructureFeatures of shape (n_samples, n_features)
            A float32 matrix; one block of columns per statistic.

        Raises
        ------
        ValueError
            If a crystal is invalid, or has an element that the table does not cover.
        """
        check_is_fitted(self)
        crystals = self._read(X)
        return self._carry(self._pool(self.element_table_, crystals), crystals)

    def _read(self, X):
        return as_contents(_read_files(X, self.n_jobs, self.verbose))

    def _check_learnable(self, crystals):
        """Raise TypeError if a network would have to learn the table from formulas."""
        learns = hasattr(self.embedding, "fit") and not isinstance(self.embedding, FrozenEstimator)
        if learns and isinstance(crystals, Compositions):
            raise TypeError(
                f"embedding={type(self.embedding).__name__}(...) learns from crystal structures, "
                "and X holds formulas: fit it on structures before, and pass its element_table_"
            )

    def _carry(self, features, crystals):
        table = self.element_table_
        if self.on_missing_element == "mean":  # a crystal estimator follows the same policy
            table = table.fill_missing()
        carried = crystals if isinstance(crystals, Crystals) else None
        return StructureFeatures(features, carried, table, self.feature_labels())

    # -- what FeaturizerMixin builds on -----------------------------------------------------------

    def _table(self):
        if hasattr(self, "element_table_"):
            return self.element_table_
        if hasattr(self.embedding, "fit") and not isinstance(self.embedding, FrozenEstimator):
            raise NotFittedError(
                f"embedding={type(self.embedding).__name__}(...) learns its table: call fit(X, y)"
            )
        return resolve_table(self.embedding)[0]

    def _pool(self, table, crystals):
        return pool(table, crystals, self.statistics, self.on_missing_element)

    def _accept(self, X):
        return as_contents(X)

    def _featurizer(self):
        check_pooling(self.statistics, self.on_missing_element)
        return partial(self._pool, self._table())

    def feature_labels(self):
        """Return the names of the features, before ``fit`` too.

        Returns
        -------
        list of str
            ``"<table>_<statistic>_<column>"``.
        """
        table = self._table()
        return [f"{table.name}_{s}_{column}" for s in self.statistics for column in table.columns]

    def citations(self):
        """Return what to cite, in BibTeX: the embeddings' paper and that of the table.

        Returns
        -------
        list of str
        """
        own = self._table().metadata.get("citation") or []
        return [_CITATION, *([own] if isinstance(own, str) else own)]

    def set_n_jobs(self, n_jobs):
        """Set the parameter `n_jobs`; what matminer calls it.

        Parameters
        ----------
        n_jobs : int or None
            Number of processes; -1 for all cores.
        """
        self.n_jobs = n_jobs

    # -- what scikit-learn asks for ---------------------------------------------------------------

    @property
    def n_features_out_(self):
        """Number of features."""
        if not hasattr(self, "element_table_"):
            raise AttributeError("n_features_out_ is there after fit")
        return len(self.statistics) * self.element_table_.n_dims

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = hasattr(self.embedding, "fit")
        return tags


def _read_files(X, n_jobs, verbose):
    """Read the files in X in parallel; leave other items and unreadable files as they are."""
    if isinstance(X, pd.DataFrame) and X.shape[1] == 1:
        X = X.iloc[:, 0]
    if isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 2 and X.shape[1] == 1:
        X = X[:, 0]
    one_dimensional = isinstance(X, (list, tuple, pd.Series)) or (
        isinstance(X, np.ndarray) and X.ndim == 1
    )
    if (n_jobs in (None, 1) and not verbose) or not one_dimensional:
        return X
    if not any(isinstance(item, (str, PathLike)) for item in X):
        return X
    read = Parallel(n_jobs=n_jobs, verbose=verbose)(delayed(_read_file)(x, LIMITS) for x in X)
    warn_remarks({str(item)[:200]: said for item, (_, said) in zip(X, read, strict=True)})
    items = [item for item, _ in read]
    return pd.Series(items, index=X.index, dtype=object) if isinstance(X, pd.Series) else items


def _read_file(item, limits):
    """Return the structure in a file, or the unchanged item, and the remarks of the parser."""
    if not isinstance(item, (str, PathLike)):
        return item, []
    try:
        return parse_structure(item, limits=limits)
    except ValueError:
        return item, []  # as_crystals names the row and says what is wrong


def _are_texts(y):
    """Tell whether y must hold classes. Numbers, also as texts, may be labels of both kinds.

    Texts that were meant as numbers, such as ``1,5``, are no classes: a regressor refuses them.
    """
    labels = np.asarray(y)
    if labels.ndim != 1 or labels.dtype.kind not in "OU":
        return False
    texts = labels.tolist()
    if not all(isinstance(text, str) for text in texts) or any(map(why_no_number, texts)):
        return False
    return any(number_in(text) is None for text in texts)
