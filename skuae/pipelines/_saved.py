"""Whole models in a folder: pipelines and other estimators of scikit-learn with those of skuae."""

import copy
import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from skuae._cards import check_all_taken, take
from skuae._files import checked_content, make_folder
from skuae._hub import find_model
from skuae._version import __version__
from skuae.embedding import ElementTable, UAETransformer, decode_table, encode_table
from skuae.estimators import (
    CrystalEstimator,
    decode_whole,
    encode_whole,
    read_model_folder,
    write_model,
)
from skuae.featurizers import PotentialTransformer
from skuae.pipelines._about import about, end_of
from skuae.pipelines._card import card_of, notes_of
from skuae.pipelines._catboost import decode_catboost, encode_catboost, is_catboost
from skuae.potentials import CrystalPotential, decode_potential, encode_potential, is_potential
from skuae.training import resolve_device

_OWN = (CrystalEstimator, CrystalPotential)  # with networks, which skops does not write
_PART = "a part that skuae saves"  # key of the dict that stands for it
_SKOPS = "scikit-learn"  # name of the array with what skops wrote
# Beside what skops trusts. All are data, and none runs what a file names.
_TRUSTED = frozenset(
    [
        "numpy.dtype",
        "numpy.number",
        "skuae.datasets._folds.FormulaKFold",
        "skuae.datasets._folds.StratifiedFormulaKFold",
        "skuae.embedding._uae.UAETransformer",
        "skuae.estimators._stacking.CrystalStackingClassifier",
        "skuae.estimators._stacking.CrystalStackingRegressor",
        "skuae.estimators._voting.CrystalVotingRegressor",
        "skuae.featurizers._backbone.BackboneTransformer",
        "skuae.featurizers._potential.PotentialTransformer",
        "skuae.featurizers._symmetry.SymmetryTransformer",
        "skuae.pipelines._blend.AbsoluteErrorBlend",
        "skuae.pipelines._gp.ActivationGPClassifier",
        "skuae.pipelines._gp.ActivationGPRegressor",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.calibration._TemperatureScaling",
        "sklearn.compose._column_transformer.make_column_selector",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.feature_selection._univariate_selection.f_classif",
        "sklearn.feature_selection._univariate_selection.f_regression",
        "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
        "sklearn.feature_selection._mutual_info.mutual_info_classif",
        "sklearn.feature_selection._mutual_info.mutual_info_regression",
        "sklearn.neighbors._ball_tree.BallTree",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.tree._tree.Tree",
        "sklearn.utils._bunch.Bunch",
        *(
            f"sklearn.gaussian_process.kernels.{name}"
            for name in (
                "CompoundKernel", "ConstantKernel", "DotProduct", "ExpSineSquared",
                "Exponentiation", "Matern", "Product", "RBF", "RationalQuadratic", "Sum",
                "WhiteKernel",
            )
        ),
        *(
            f"sklearn.metrics._dist_metrics.{name}Distance64"
            for name in ("Chebyshev", "Euclidean", "Manhattan", "Minkowski")
        ),
        *(
            f"sklearn.model_selection._split.{name}"
            for name in (
                "GroupKFold", "GroupShuffleSplit", "KFold", "LeaveOneGroupOut", "LeaveOneOut",
                "ShuffleSplit", "StratifiedGroupKFold", "StratifiedKFold",
                "StratifiedShuffleSplit",
            )
        ),
    ]
)  # fmt: skip


def save(
    model: Any,
    folder: str | PathLike[str],
    *,
    units: Mapping[str, str] | Sequence[str] | None = None,
    license: str | None = None,
    notes: str = "",
    scores: Mapping[str, float] | None = None,
    trained_on: Any = None,
) -> None:
    """Write a fitted model to a folder, for `load`.

    The model is one of skuae's estimators, or one of scikit-learn with such estimators in it: a
    `Pipeline`, a `TransformedTargetRegressor`, an ensemble. All of it is in one file,
    ``model.safetensors``; ``README.md`` says in words what it is. Nothing is pickled.

    Estimators of scikit-learn are written by skops (``pip install "skuae[save]"``), those of skuae
    as by `save_pretrained`, without the state of their training, and those of CatBoost in its own
    format. Interatomic potentials may be parts, too, as in a `PotentialTransformer`.

    Parameters
    ----------
    model : estimator
        Fitted.
    folder : str or path-like
        Made if missing; an older model in it is replaced at once.
    units : dict of str by target name, list of str or None, default=None
        Units of the targets. A dict also tells the names of the targets. A pipeline that ends with
        a network also keeps them as its `target_units_`.
    license : str, optional
        Of the model, as Hugging Face abbreviates it, e.g. ``"cc-by-4.0"``.
    notes : str, optional
        What else people should know, in Markdown.
    scores : dict of float, optional
        Errors on rows that the model has not seen, by name, for the card: ``{"MAE (eV)": 0.21}``.
    trained_on : array-like of structures or formulas, optional
        The training rows. The card tells their number and their formulas, so that others can leave
        these out of a test. ``skuae predict`` names elements that these rows lack.

    Raises
    ------
    ImportError
        If skops is needed and not installed.
    TypeError
        If a part cannot be saved without pickle: a function of your own, an estimator of another
        library (which have files of their own), or a search (save its ``best_estimator_``).
    ValueError
        If `license` or `notes` is no text, a score is no finite number, units do not fit the
        targets, or a row of `trained_on` cannot be read.
    OSError
        If the file cannot be written, or the folder has a README.md that is not of a model. An
        older model is still there.

    See Also
    --------
    skuae.load : Read it.

    Examples
    --------
    >>> import numpy as np
    >>> import skuae
    >>> from sklearn.compose import TransformedTargetRegressor
    >>> gnn = skuae.CrystalGNNRegressor()
    >>> model = TransformedTargetRegressor(gnn, func=np.log, inverse_func=np.exp)
    >>> model.fit(X, y)  # doctest: +SKIP
    >>> skuae.save(model, "my_model", units=["GPa"])  # doctest: +SKIP
    >>> skuae.load("my_model").predict(X)  # doctest: +SKIP
    """
    if hasattr(model, "best_estimator_"):
        raise TypeError(f"{type(model).__name__} is a search; save its best_estimator_")
    check_is_fitted(model)
    notes = notes_of(notes, scores, trained_on)
    if isinstance(model, CrystalEstimator):
        model.save_pretrained(folder, units=units, license=license, notes=notes)
        return
    skops = _skops()
    known = about(model, units, trained_on)
    parts, bare = _taken_apart(model)
    content = _dumped(skops, bare)
    tensors = {_SKOPS: np.frombuffer(content, dtype=np.uint8)}
    configs = []
    for number, part in enumerate(parts):
        sort, (config, arrays) = _encoded(part, units if part is end_of(model) else None)
        configs.append({sort: config})
        tensors |= {f"{number}.{name}": array for name, array in arrays.items()}
    kind = type(model).__name__
    config = {"skuae": __version__, "class": kind, "parts": configs, "about": known}
    card = card_of(model, parts, known, license, notes)
    write_model(make_folder(folder), config, tensors, card)


def load(
    folder: str | PathLike[str],
    *,
    device: str | torch.device = "auto",
    verbose: int | None = None,
) -> Any:
    """Read a model that `save` or `save_pretrained` wrote, whatever it is: potentials, too.

    Nothing is unpickled, and only classes of scikit-learn and skuae that are known to be data are
    made. (A file that somebody forged may still make the compiled parts of scikit-learn crash.)

    Parameters
    ----------
    folder : str or path-like
        The folder, or ``hf://owner/name`` for one at Hugging Face.
    device : str or torch.device, default="auto"
        Where networks run.
    verbose : int, optional
        The new value of `verbose` in all parts of skuae: 0 hides progress bars, 1 shows them.
        The default keeps the values that were saved.

    Returns
    -------
    estimator
        Fitted. Tables from your own files or frames are in it, but no longer parameters of its
        networks.

    Raises
    ------
    FileNotFoundError
        If the folder holds no model.
    ImportError
        If skops is needed and not installed.
    ValueError
        If the file was changed or cut short, this version cannot read it, or there is no such
        device.

    Warns
    -----
    InconsistentVersionWarning
        Another version of scikit-learn wrote it.

    See Also
    --------
    skuae.save : Write it.

    Examples
    --------
    >>> import skuae
    >>> model = skuae.load("my_model")  # doctest: +SKIP
    """
    resolve_device(device)  # what is wrong with it is no fault of the file
    model = _read(folder, device)
    if verbose is not None:
        for item in _items_in(model, set()):
            if type(item).__module__.startswith("skuae.") and hasattr(item, "verbose"):
                item.verbose = verbose
    return model


def _read(folder: Any, device: Any) -> Any:
    if is_potential(path := find_model(folder)):
        return CrystalPotential.from_pretrained(path, device=str(device))
    config, tensors = read_model_folder(path)
    return (_restored if "parts" in config else decode_whole)(folder, config, tensors, device)


def _restored(folder: Any, config: dict[str, Any], tensors: dict[str, Any], device: Any) -> Any:
    """Return the model of several parts in a file."""
    skops = _skops()
    with checked_content(folder, "a model"):
        parts = [
            _part(folder, entry, _named(tensors, f"{number}."), device)
            for number, entry in enumerate(take(config, "parts", list))
        ]
        model = _filled(_loaded(skops, tensors.pop(_SKOPS).tobytes()), parts, set())
        check_all_taken(tensors)
        if type(model).__name__ != config.get("class") or not isinstance(model, BaseEstimator):
            raise ValueError(
                f"it holds a {type(model).__name__}, not a {config.get('class')!r:.80}"
            )
        check_is_fitted(model)
    return model


def _skops() -> Any:
    try:
        return import_module("skops.io")
    except ImportError as error:
        raise ImportError(
            'estimators of scikit-learn are saved by skops: pip install "skuae[save]"'
        ) from error


# -- writing --------------------------------------------------------------------------------------


def _encoded(part: Any, units: Any) -> tuple[str, tuple[dict[str, Any], dict[str, np.ndarray]]]:
    """Return the name of a part in the file, and its content."""
    if isinstance(part, ElementTable):
        return "table", encode_table(part)
    if is_catboost(part):
        return "catboost", encode_catboost(part)
    if isinstance(part, CrystalPotential):
        return "potential", encode_potential(part)
    return "estimator", encode_whole(part, units)


def _taken_apart(model: Any) -> tuple[list[Any], Any]:
    """Return the parts that skuae saves itself, and a copy of the model with numbers for them."""
    parts: list[Any] = []
    places: dict[int, Any] = {}  # by the identity of what they stand for
    for item in _items_in(model, set()):
        own = isinstance(item, (*_OWN, ElementTable)) or is_catboost(item)
        if own and id(item) not in places:
            places[id(item)] = {_PART: len(parts)}
            parts.append(item)
    for item in _items_in(model, set()):
        if isinstance(item, UAETransformer) and hasattr(item, "element_table_"):
            if isinstance(item.embedding, (pd.DataFrame, PathLike)):
                places[id(item.embedding)] = places[id(item.element_table_)]
        if isinstance(item, PotentialTransformer) and hasattr(item, "model_"):
            if isinstance(item.model, torch.nn.Module):
                places[id(item.model)] = places[id(item.model_)]
    return parts, copy.deepcopy(model, places)


def _items_in(item: Any, seen: set[int]) -> Iterator[Any]:
    """Yield the parts of a model, down to those that skuae saves itself."""
    if id(item) in seen:
        return
    seen.add(id(item))
    yield item
    if isinstance(item, _OWN):
        return
    inner: Any = ()
    if isinstance(item, dict):
        inner = item.values()
    elif isinstance(item, (list, tuple)):
        inner = item
    elif _has_parts(item):
        inner = vars(item).values()
    for part in inner:
        yield from _items_in(part, seen)


def _dumped(skops: Any, bare: Any) -> bytes:
    try:
        content: bytes = skops.dumps(bare, compression=zipfile.ZIP_STORED)
    except Exception as error:  # skops meets what it has no way to write
        raise TypeError(f"a part of the model cannot be saved without pickle: {error}") from error
    refused = sorted({*skops.get_untrusted_types(data=content)} - _TRUSTED)
    if refused:
        raise TypeError(
            f"the model holds {', '.join(refused[:5])}, which skuae does not know to be data "
            "alone: use other estimators of scikit-learn, and functions of numpy (np.log, np.exp) "
            "or transformers in place of your own functions; save models of other libraries as "
            "these say"
        )
    return content


# -- reading --------------------------------------------------------------------------------------


def _loaded(skops: Any, content: bytes) -> Any:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ValueError("what skops wrote is compressed, and might expand without end")
    types = skops.get_untrusted_types(data=content)
    refused = sorted({*types} - _TRUSTED)
    if refused:
        raise ValueError(f"it asks for {', '.join(refused[:5])}, which skuae does not load")
    return skops.loads(content, trusted=types)


def _named(tensors: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Take the arrays of a part from the file."""
    names = [name for name in tensors if name.startswith(prefix)]
    return {name.removeprefix(prefix): tensors.pop(name) for name in names}


def _part(folder: Any, entry: Any, arrays: dict[str, np.ndarray], device: Any) -> Any:
    if "table" in entry:
        return decode_table(ElementTable, take(entry, "table", dict), arrays)
    if "catboost" in entry:
        return decode_catboost(take(entry, "catboost", dict), arrays)
    if "potential" in entry:
        return decode_potential(take(entry, "potential", dict), arrays, device)
    return decode_whole(folder, take(entry, "estimator", dict), arrays, device)


def _filled(item: Any, parts: list[Any], seen: set[int]) -> Any:
    """Return the model with its parts put back."""
    if isinstance(item, dict) and set(item) == {_PART}:
        return parts[item[_PART]]
    if isinstance(item, tuple) and type(item) is tuple:
        return tuple(_filled(part, parts, seen) for part in item)
    if id(item) in seen:
        return item
    seen.add(id(item))
    if isinstance(item, dict):
        for key in item:
            item[key] = _filled(item[key], parts, seen)
    elif isinstance(item, list):
        item[:] = [_filled(part, parts, seen) for part in item]
    elif _has_parts(item):
        _filled(vars(item), parts, seen)
    return item


def _has_parts(item: Any) -> bool:
    """Tell whether an object is an estimator, or a helper of one, as in calibrated classifiers."""
    of_sklearn = type(item).__module__.startswith("sklearn.") and hasattr(item, "__dict__")
    return isinstance(item, BaseEstimator) or (of_sklearn and not isinstance(item, type))
