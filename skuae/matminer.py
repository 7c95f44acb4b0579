"""`UAETransformer` as a featurizer of the matminer package."""

try:
    from matminer.featurizers.base import BaseFeaturizer
except ImportError as error:
    raise ImportError(
        'skuae.matminer needs the matminer package: pip install "skuae[matminer]"'
    ) from error
from sklearn.utils.validation import check_is_fitted

from skuae._doc_links import DocLinks
from skuae.embedding import UAETransformer

__all__ = ["UAEFeaturizer"]


class UAEFeaturizer(DocLinks, BaseFeaturizer):
    """Universal atomic embeddings, pooled, as a matminer featurizer for structures.

    Use it where a ``BaseFeaturizer`` is asked for, as in ``MultipleFeaturizer``; elsewhere
    `skuae.UAETransformer` has the same methods and is a full scikit-learn transformer. Features
    are computed for all rows at once: no processes are started, whatever `n_jobs` is.

    Parameters
    ----------
    embedding : str, path, ElementTable, DataFrame or estimator, default="ct-uae-mt"
        Where the element vectors come from, as in `UAETransformer`. An estimator learns them in
        ``fit(X, y)``.
    statistics : tuple of {"mean", "std", "min", "max"}, default=("mean", "std", "min", "max")
        One block of columns each.
    on_missing_element : {"raise", "mean", "nan"}, default="raise"
        What to do about elements that the table does not cover. With "raise", ``transform`` gives
        NaN rows, since matminer ignores errors there.

    Attributes
    ----------
    transformer_ : UAETransformer
        There after ``fit``, which is needed only if `embedding` is an estimator.

    Examples
    --------
    >>> from matminer.featurizers.base import MultipleFeaturizer  # doctest: +SKIP
    >>> from matminer.featurizers.structure import DensityFeatures  # doctest: +SKIP
    >>> from skuae.matminer import UAEFeaturizer  # doctest: +SKIP
    >>> features = MultipleFeaturizer([UAEFeaturizer(), DensityFeatures()])  # doctest: +SKIP
    """

    def __init__(
        self,
        embedding="ct-uae-mt",
        statistics=("mean", "std", "min", "max"),
        on_missing_element="raise",
    ):
        self.embedding = embedding
        self.statistics = statistics
        self.on_missing_element = on_missing_element

    def _transformer(self):
        if hasattr(self, "transformer_"):
            return self.transformer_
        return UAETransformer(
            self.embedding,
            statistics=self.statistics,
            on_missing_element=self.on_missing_element,
        )

    def fit(self, X, y=None, **fit_kwargs):
        """Find the element table; learn it if `embedding` is an estimator.

        Parameters
        ----------
        X : list, Series or array of structures
            To learn from, if `embedding` is an estimator; else they are only checked.
        y : array-like of shape (n_structures,), optional
            Their property, if `embedding` is an estimator.
        **fit_kwargs : dict
            Passed to ``fit`` of `embedding`, if that is an estimator.

        Returns
        -------
        self : object
        """
        self.__dict__.pop("transformer_", None)
        self.transformer_ = self._transformer().fit(X, y, **fit_kwargs)
        return self

    def featurize(self, structure):
        """Return the features of one structure.

        Parameters
        ----------
        structure : Structure

        Returns
        -------
        list of float
        """
        return self._transformer().featurize(structure)

    def featurize_many(self, entries, ignore_errors=False, return_errors=False, pbar=True):
        """Return the features of several structures, all at once.

        Parameters
        ----------
        entries : list, Series or array of structures
        ignore_errors : bool, default=False
            Give rows of NaN for structures that cannot be featurised, instead of an error.
        return_errors : bool, default=False
            Append the traceback (NaN where all went well) to the features of each row.
        pbar : bool or dict, default=True
            Show a progress bar; a dict holds arguments for it.

        Returns
        -------
        list of list
        """
        return self._transformer().featurize_many(entries, ignore_errors, return_errors, pbar)

    def precheck(self, structure):
        """Tell whether a structure can be featurised.

        Parameters
        ----------
        structure : Structure

        Returns
        -------
        bool
        """
        return self._transformer().precheck(structure)

    def feature_labels(self):
        """Return the names of the features.

        Returns
        -------
        list of str
        """
        return self._transformer().feature_labels()

    def get_feature_names_out(self, input_features=None):
        """Return the names of the features, for scikit-learn's ``set_output``.

        Parameters
        ----------
        input_features : ignored
            For scikit-learn.

        Returns
        -------
        ndarray of str of shape (n_features,)
        """
        check_is_fitted(self)
        return self.transformer_.get_feature_names_out(input_features)

    def citations(self):
        """Return what to cite, in BibTeX.

        Returns
        -------
        list of str
        """
        return self._transformer().citations()

    def implementors(self):
        """Return who wrote this.

        Returns
        -------
        list of str
        """
        return self._transformer().implementors()
