"""Splits that keep crystals of one formula together."""

from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

from skuae.datasets._duplicates import formula_groups


class FormulaKFold(GroupKFold):
    """Folds that keep crystals of one reduced formula together.

    scikit-learn's `GroupKFold` with groups from :func:`formula_groups`. Polymorphs and duplicates
    of a training crystal, which would be too easy to predict, are in no test fold.

    Parameters
    ----------
    n_splits : int, default=5
    shuffle : bool, default=True
    random_state : int, RandomState instance or None, default=0

    See Also
    --------
    formula_groups : The groups.

    Examples
    --------
    >>> from sklearn.model_selection import cross_val_score
    >>> from skuae import CrystalGNNRegressor
    >>> from skuae.datasets import FormulaKFold, make_toy_crystals
    >>> toy = make_toy_crystals(n_samples=16, random_state=0)
    >>> gnn = CrystalGNNRegressor(max_epochs=1, random_state=0)
    >>> cross_val_score(gnn, toy.structures, toy.target, cv=FormulaKFold(2)).shape
    (2,)
    """

    def __init__(self, n_splits=5, *, shuffle=True, random_state=0):
        super().__init__(n_splits, shuffle=shuffle, random_state=random_state)

    def split(self, X, y=None, groups=None):
        """Return an iterator over the folds.

        Parameters
        ----------
        X : array-like of structures
            Anything that :func:`skuae.as_crystals` reads.
        y : array-like of shape (n_samples,), optional
        groups : ignored
            For scikit-learn.

        Yields
        ------
        train : ndarray of int
        test : ndarray of int
        """
        return super().split(X, y, formula_groups(X))


class StratifiedFormulaKFold(StratifiedGroupKFold):
    """Stratified folds that keep crystals of one reduced formula together.

    scikit-learn's `StratifiedGroupKFold` with groups from :func:`formula_groups`. The folds have
    about equal shares of the classes.

    Parameters
    ----------
    n_splits : int, default=5
    shuffle : bool, default=True
    random_state : int, RandomState instance or None, default=0

    See Also
    --------
    FormulaKFold : For targets that are numbers.

    Examples
    --------
    >>> from skuae.datasets import StratifiedFormulaKFold, make_toy_crystals
    >>> toy = make_toy_crystals(n_samples=16, random_state=0)
    >>> is_high = toy.target > toy.target.mean()
    >>> len(list(StratifiedFormulaKFold(2).split(toy.structures, is_high)))
    2
    """

    def __init__(self, n_splits=5, *, shuffle=True, random_state=0):
        super().__init__(n_splits, shuffle=shuffle, random_state=random_state)

    def split(self, X, y, groups=None):
        """Return an iterator over the folds.

        Parameters
        ----------
        X : array-like of structures
            Anything that :func:`skuae.as_crystals` reads.
        y : array-like of shape (n_samples,)
            Classes.
        groups : ignored
            For scikit-learn.

        Yields
        ------
        train : ndarray of int
        test : ndarray of int
        """
        return super().split(X, y, formula_groups(X))
