"""Ensembles whose weights are learned from predictions on inner folds."""

from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from sklearn import get_config
from sklearn.base import is_classifier
from sklearn.ensemble import StackingClassifier, StackingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import check_cv
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skuae._doc_links import DocLinks
from skuae._messages import such_rows
from skuae.crystals import Crystals
from skuae.estimators._members import read_labelled, read_once
from skuae.training import check_targets, check_two_classes, read_labels


class _Stacking(DocLinks):
    """Reads structures once for all members and folds; before a stacking class of scikit-learn."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit clones of the members, and the final estimator on their predictions.

        Parameters
        ----------
        X : array-like of structures
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,), optional
            A pipeline among the members takes none, so that there must be no pipeline.

        Returns
        -------
        self : object

        Raises
        ------
        TypeError
            If a pipeline is among the members, and there are weights.
        ValueError
            If a member cannot be fitted, y has several columns or missing values, makes no sense,
            or names the rows of X in another order, as the weights may, where X has ids.
        """
        own: Any = self
        pipelines = [name for name, member in own.estimators if isinstance(member, Pipeline)]
        if sample_weight is not None and pipelines and not get_config()["enable_metadata_routing"]:
            raise TypeError(
                f"sample_weight: the member {pipelines[0]!r} is a Pipeline, which passes no "
                "weights on; leave sample_weight out, or the member"
            )
        X, crystals = read_labelled(X, y, sample_weight)
        if crystals is not None:
            if getattr(self, "passthrough", False):
                raise ValueError("passthrough=True needs columns of numbers, and X has structures")
            y = self._read_y(y, crystals)  # before all fits, not when the final estimator reads it
            self._check_folds(y, crystals)
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        parent: Any = super()
        return parent.fit(X, y, **weights)

    def _read_y(self, y: Any, crystals: Crystals) -> Any:
        raise NotImplementedError

    def _check_folds(self, y: Any, crystals: Crystals) -> None:
        """Raise ValueError before the fits if there are too few rows, formulas or labels."""
        own: Any = self
        if isinstance(own.cv, str) or isinstance(own.cv, Iterable):
            return  # "prefit", or folds that may be made once only
        try:
            folds = list(check_cv(own.cv, y, classifier=is_classifier(self)).split(crystals, y))
        except ValueError as error:
            kind = "StratifiedFormulaKFold" if is_classifier(self) else "FormulaKFold"
            raise ValueError(
                f"the inner folds, cv={own.cv!r}, cannot be made: {error} Give more crystals, or "
                f"set cv to fewer folds, such as skuae.datasets.{kind}(2), which keeps crystals of "
                "one formula together"
            ) from error
        if is_classifier(self):
            classes = np.unique(y)
            for train, _ in folds:
                missing = np.setdiff1d(classes, np.asarray(y)[train])
                if len(missing):
                    raise ValueError(
                        f"an inner fold trains without the class {missing.tolist()[0]!r}, of which "
                        f"there are {int(np.sum(np.asarray(y) == missing[0]))} rows; set cv to "
                        "other folds, add rows of this class, or leave it out"
                    )

    def transform(self, X: Any) -> np.ndarray:
        """Return what each member predicts.

        Parameters
        ----------
        X : array-like of structures

        Returns
        -------
        ndarray of shape (n_samples, n_columns)
            What the final estimator reads.
        """
        parent: Any = super()
        return parent.transform(read_once(X))

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the columns that `transform` gives.

        Parameters
        ----------
        input_features : object
            Not used; present for scikit-learn.

        Returns
        -------
        ndarray of str
        """
        check_is_fitted(self)
        own: Any = self
        members = [name for name, member in own.estimators if not isinstance(member, str)]
        kind = type(self).__name__.lower()
        names = []
        for member, width in zip(members, own._n_feature_outs, strict=True):
            numbers = [""] if width == 1 else range(width)
            names += [f"{kind}_{member}{number}" for number in numbers]
        return np.array(names, dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        # An interrupted fit may leave fitted members.
        final = getattr(self, "final_estimator_", None)
        try:
            check_is_fitted(final)
        except (NotFittedError, TypeError):
            return False
        return True

    def __sklearn_tags__(self) -> Any:
        parent: Any = super()
        tags = parent.__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        return tags


class CrystalStackingRegressor(_Stacking, StackingRegressor):
    """Combination of several models, learned from their predictions on inner folds.

    scikit-learn's `StackingRegressor`, except that structures are read once for all members and
    folds. Members may be networks and pipelines that end with any other regressor. Each is fitted
    to all rows, and once for each fold.

    Parameters
    ----------
    estimators : list of (str, estimator)
        Regressors or pipelines, with names. Clones of them are fitted.
    final_estimator : estimator, optional
        Learns from the predictions of the members; `RidgeCV` by default. A
        ``LinearRegression(positive=True)`` gives weights that are not negative.
    cv : int, splitter or iterable, optional
        The inner folds; five by default. :class:`skuae.datasets.FormulaKFold` keeps crystals of one
        formula together.
    n_jobs : int, optional
        How many fits run at a time, each in a process of its own; one by default.
    passthrough : bool, default=False
        Must be False for structures, which a final estimator cannot read.
    verbose : int, default=0
        Above 0, print which folds are done.

    Attributes
    ----------
    estimators_ : list of estimators
        Fitted to all rows.
    named_estimators_ : Bunch
        The same by their names.
    final_estimator_ : estimator
        Fitted.

    See Also
    --------
    skuae.crystal_pipeline : Makes a stack of the members that performed best.
    skuae.CrystalVotingRegressor : Plain mean with standard deviations; fits each member once.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression, Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> from skuae import CrystalGNNRegressor, CrystalStackingRegressor, UAETransformer
    >>> from skuae.datasets import make_toy_crystals
    >>> toy = make_toy_crystals(n_samples=16, random_state=0)
    >>> members = [
    ...     ("network", CrystalGNNRegressor(max_epochs=2, random_state=0)),
    ...     ("ridge", make_pipeline(UAETransformer("magpie"), Ridge())),
    ... ]
    >>> stack = CrystalStackingRegressor(members, LinearRegression(positive=True), cv=2)
    >>> stack.fit(toy.structures, toy.target).final_estimator_.coef_.shape
    (2,)
    """

    def _read_y(self, y: Any, crystals: Crystals) -> np.ndarray:
        values, *_ = check_targets(y, crystals)
        if values.shape[1] > 1:
            raise ValueError(
                f"y has shape {values.shape}: a stack has one target; fit one for each column"
            )
        unknown = np.flatnonzero(np.isnan(values[:, 0]))
        if len(unknown):
            raise ValueError(
                f"{crystals.where(int(unknown[0]))}: y is missing{such_rows(len(unknown))}; a "
                "stack learns its weights from all rows: drop these"
            )
        return values[:, 0]


class CrystalStackingClassifier(_Stacking, StackingClassifier):
    """Combination of several classifiers, learned from their probabilities on inner folds.

    scikit-learn's `StackingClassifier`, except that structures are read once for all members and
    folds.

    Parameters
    ----------
    estimators : list of (str, estimator)
        Classifiers or pipelines, with names. Clones of them are fitted.
    final_estimator : estimator, optional
        Learns from the probabilities of the members; `LogisticRegression` by default.
    cv : int, splitter or iterable, optional
        The inner folds; five by default. :class:`skuae.datasets.StratifiedFormulaKFold` keeps
        crystals of one formula together.
    stack_method : {"auto", "predict_proba", "decision_function", "predict"}, default="auto"
        What the final estimator reads.
    n_jobs : int, optional
        How many fits run at a time, each in a process of its own; one by default.
    passthrough : bool, default=False
        Must be False for structures, which a final estimator cannot read.
    verbose : int, default=0
        Above 0, print which folds are done.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels.
    estimators_ : list of estimators
        Fitted to all rows.
    named_estimators_ : Bunch
        The same by their names.
    final_estimator_ : estimator
        Fitted.

    See Also
    --------
    skuae.crystal_pipeline : Makes a stack of the members that performed best.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from skuae import CrystalStackingClassifier, UAETransformer
    >>> from skuae.datasets import make_toy_crystals
    >>> toy = make_toy_crystals(n_samples=16, random_state=0)
    >>> members = [
    ...     (table, make_pipeline(UAETransformer(table), LogisticRegression(max_iter=10_000)))
    ...     for table in ("magpie", "ct-uae-mt")
    ... ]
    >>> stack = CrystalStackingClassifier(members, cv=2)
    >>> stack.fit(toy.structures, toy.target > toy.target.mean()).predict(toy.structures[:2]).shape
    (2,)
    """

    def _read_y(self, y: Any, crystals: Crystals) -> Any:
        classes, *_ = read_labels(y, crystals)
        check_two_classes(classes)
        return y
