"""Element tables by name, and the meaning of ``embedding=``."""

import difflib
from functools import cache
from importlib import resources
from os import PathLike

import numpy as np
import pandas as pd
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.frozen import FrozenEstimator

from skuae._warnings import warn
from skuae.embedding import _handmade
from skuae.embedding._interchange import import_element_embeddings
from skuae.embedding._table import ElementTable

TABLE_FILES = (".safetensors", ".csv")
ONE_TABLE = (str, PathLike, ElementTable, pd.DataFrame)  # where several may be given

_COMPUTED = {
    "cgcnn": _handmade.cgcnn,
    "onehot": _handmade.onehot,
    "random": _handmade.random,
    "random16": _handmade.random16,
}

# Tables of the optional ElementEmbeddings package that are not shipped with skuae, and whether they
# hold properties in raw units, which are standardised column by column.
_ELEMENT_EMBEDDINGS = {
    "cgnf": False,
    "chemeleon": False,
    "chgnet": False,
    "crystallm": False,
    "mace_mp0": False,
    "magpie_sc": False,
    "matscholar": False,
    "matscibert": False,
    "mod_petti": False,
    "oliynyk": True,
    "oliynyk_sc": False,
    "orb_v2": False,
    "sevennet": False,
    "skipatom": False,
    "xenonpy": True,
}


def shipped_files():
    """Return the table files of the package by name: what lies in ``tables/`` is known.

    Returns
    -------
    dict of str to importlib.resources.abc.Traversable
    """
    folder = resources.files("skuae.embedding") / "tables"
    return {
        file.name.removesuffix(".safetensors"): file
        for file in sorted(folder.iterdir(), key=lambda file: file.name)
        if file.name.endswith(".safetensors")
    }


def table_names():
    """List the names of the element tables that skuae knows.

    Returns
    -------
    list of str
        Tables that are computed, shipped, or read from the optional ElementEmbeddings package
        (``pip install "skuae[embeddings]"``).

    Examples
    --------
    >>> from skuae.embedding import table_names
    >>> {"onehot", "random", "cgcnn", "magpie", "mat2vec", "megnet16"} <= set(table_names())
    True
    """
    return sorted({*_COMPUTED, *shipped_files(), *_ELEMENT_EMBEDDINGS})


@cache
def get_table(name):
    """Load an element table by its name; the same object on every call.

    Parameters
    ----------
    name : str
        One of :func:`table_names`.

    Returns
    -------
    ElementTable

    Raises
    ------
    ValueError
        If there is no table of that name.
    ImportError
        If the table comes from the optional ElementEmbeddings package, and that is not installed.

    Examples
    --------
    >>> from skuae.embedding import get_table
    >>> get_table("cgcnn")
    ElementTable('cgcnn', 100 elements x 92 columns)
    """
    if name in _COMPUTED:
        return _COMPUTED[name]()
    shipped = shipped_files()
    if name in shipped:
        with resources.as_file(shipped[name]) as path:
            return ElementTable.load(path)
    if name in _ELEMENT_EMBEDDINGS:
        return _from_element_embeddings(name)
    raise ValueError(_unknown(name))


def _from_element_embeddings(name):
    embedding = import_element_embeddings().Embedding.load_data(name)
    table = ElementTable.from_element_embeddings(embedding, name=name)
    return table.standardize() if _ELEMENT_EMBEDDINGS[name] else table


def _unknown(name):
    near = difflib.get_close_matches(str(name).lower(), table_names(), n=3)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else "."
    return (
        f"there is no element table named {name!r}{hint} Known are {', '.join(table_names())}; "
        "your own go in as ElementTable, data frame or path (*.safetensors, *.csv)"
    )


def resolve_table(embedding, X=None, y=None, *, sample_weight=None, **fit_params):
    """Return the element table for a value of ``embedding=``.

    Parameters
    ----------
    embedding : str, path, ElementTable, DataFrame or estimator
        Name of a table, file of a table (``.safetensors`` or ``.csv``), a table, a data frame
        indexed by symbol, or an estimator that learns one: a clone is fitted on X and y, and its
        ``element_table_`` taken. ``sklearn.frozen.FrozenEstimator(fitted)`` gives the table of an
        estimator that is fitted already.
    X : Crystals or anything that `as_crystals` reads, optional
        Crystals to learn from; used by estimators only, as all that follows.
    y : array-like of shape (n_crystals,) or (n_crystals, n_targets), optional
        Their properties.
    sample_weight : array-like of shape (n_crystals,), optional
        Passed to the estimator's ``fit`` if given.
    **fit_params : dict
        Passed to the estimator's ``fit``.

    Returns
    -------
    table : ElementTable
    estimator : estimator or None
        The fitted clone, if `embedding` is an estimator.

    Raises
    ------
    TypeError
        If `embedding` is none of these, or fit parameters are given that nothing would use.
    ValueError
        If the name is not known, or y is missing though it is needed.
    """
    if isinstance(embedding, type):
        raise TypeError(f"embedding is the class {embedding.__name__}; pass an instance of it")
    if hasattr(embedding, "fit"):
        if sample_weight is not None:
            fit_params["sample_weight"] = sample_weight
        return _learn(embedding, X, y, fit_params)
    if fit_params:
        raise TypeError(
            f"fit got {sorted(fit_params)}, which only an estimator as embedding would use; "
            f"embedding is {embedding!r}"
        )
    if isinstance(embedding, ElementTable):
        return embedding, None
    if isinstance(embedding, pd.DataFrame):
        return ElementTable(embedding, name="custom"), None
    if isinstance(embedding, PathLike) or str(embedding).lower().endswith(TABLE_FILES):
        return ElementTable.load(embedding), None
    if isinstance(embedding, str):
        return get_table(embedding), None
    raise TypeError(
        f"embedding is a {type(embedding).__name__}; pass the name of a table, an ElementTable, a "
        "data frame indexed by symbol, the path of one, or an estimator that learns one. An array "
        "needs its elements: ElementTable(values, symbols, name=...)"
    )


def _learn(estimator, X, y, fit_params):
    name = type(estimator).__name__
    frozen = isinstance(estimator, FrozenEstimator)
    if not frozen and (X is None or y is None):
        raise ValueError(
            f"embedding={name}(...) learns its table from X and y: it requires y to be passed, but "
            "the target y is None; pass y to fit"
        )
    if not frozen and (hasattr(estimator, "net_") or hasattr(estimator, "table_")):
        warn(
            f"embedding={name}(...) is fitted already, and yet a clone of it is fitted anew, as "
            "scikit-learn does; to use what it has learned pass its element_table_, or "
            "sklearn.frozen.FrozenEstimator of it"
        )
    fitted = clone(estimator).fit(X, y, **fit_params)
    table = getattr(fitted, "element_table_", None)
    if not isinstance(table, ElementTable):
        raise TypeError(
            f"embedding={name}(...) has no element_table_ after fit; use one of skuae's crystal "
            "estimators, or the name of a table"
        )
    return table, fitted


def labels_for(embedding, y, classes):
    """Return the targets that an estimator learns a table from.

    These are y itself, unless y holds classes and the estimator is a regressor. Then each class
    becomes a column of 0 and 1; two classes become one column.

    Parameters
    ----------
    embedding : object
        What users pass as ``embedding=``.
    y : array-like of shape (n_samples,) or (n_samples, n_targets)
    classes : bool
        Whether y holds classes.

    Returns
    -------
    array-like of shape (n_samples,) or (n_samples, n_columns)

    Raises
    ------
    ValueError
        If the estimator learns from classes, and y holds numbers.
    """
    learner = getattr(embedding, "estimator", embedding)  # that of a FrozenEstimator
    if not hasattr(learner, "fit") or is_classifier(learner) == classes:
        return y
    if is_classifier(learner):
        raise ValueError(
            f"embedding={type(learner).__name__}(...) learns from classes, and y holds numbers; "
            "fit it on classes before, and pass its element_table_"
        )
    if not is_regressor(learner):
        return y  # a UAETransformer, say
    names, codes = np.unique(y, return_inverse=True)
    columns = np.eye(len(names))[codes]
    return columns[:, 1] if len(names) == 2 else columns
