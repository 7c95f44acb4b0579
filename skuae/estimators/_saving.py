"""Fitted estimators as a folder: one file, model.safetensors, and its card. No pickle."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from skuae._cards import take
from skuae._doc_links import DocLinks
from skuae._files import (
    check_companions,
    checked_content,
    make_folder,
    write_bytes,
    write_safetensors,
)
from skuae._hub import CARD_FILE, CARD_MARKS, MODEL_FILE
from skuae._nested import NestedParams
from skuae._version import __version__
from skuae.embedding import ElementTable, table_names
from skuae.estimators._card import model_card
from skuae.estimators._reading import (
    FORMAT,
    read_epochs_tried,
    read_history,
    read_model_folder,
    read_module,
    read_params,
    read_texts,
    read_units,
)
from skuae.estimators._settings import settings_of
from skuae.models import decode_params, encode_params, resolve_backbone
from skuae.training import (
    CrystalNet,
    ElementInput,
    FittedTask,
    Network,
    Task,
    check_training_params,
    make_net,
    resolve_device,
)

_NOT_SAVED = {"callbacks", "checkpoint_dir", "init_from", "warm_start", "random_state", "device",
              "verbose"}  # fmt: skip
_DTYPES = ("float32", "float16")  # of weights in a file
_TABLES = ("embedding", "element_features")  # parameters that may be tables


class PretrainedEstimator(NestedParams, DocLinks, BaseEstimator):
    """What a fitted crystal estimator consists of, to a folder and back."""

    task_: FittedTask
    network_: Network
    net_: CrystalNet
    device_: torch.device
    history_: list[dict[str, Any]]
    n_iter_: int
    epochs_tried_: list[dict[str, float]]
    target_names_: list[str] | None
    target_units_: list[str] | None
    _fit_params: dict[str, Any]

    def _task(self) -> Task:
        raise NotImplementedError

    def _load_elements(self, config: dict, arrays: dict[str, np.ndarray]) -> ElementInput:
        raise NotImplementedError

    @property
    def element_table_(self) -> ElementTable:
        """The element vectors as they are after fit, an `ElementTable`."""
        check_is_fitted(self)
        return self.network_.element_table(self.net_.module_)

    def save_pretrained(
        self,
        folder: str | PathLike[str],
        *,
        units: Mapping[str, str] | Sequence[str] | None = None,
        license: str | None = None,
        notes: str = "",
        dtype: str = "float32",
    ) -> None:
        """Write the fitted estimator to a folder, for `from_pretrained`.

        Graph settings, element table, target scaling and weights are all in one file,
        ``model.safetensors``; the training state (optimiser, random state, callbacks) is not.
        ``README.md`` says in words what the model is, with a header that Hugging Face reads.

        Parameters
        ----------
        folder : str or path-like
            Made if missing; an older model in it is replaced at once: if the process is killed, the
            folder holds the older model or this one.
        units : dict of str by target name, list of str or None, default=None
            Units of the targets, for `target_units_` of the model that is read. None keeps those
            that it was read with.
        license : str, optional
            Of the model, as Hugging Face abbreviates it, e.g. ``"cc-by-4.0"``.
        notes : str, optional
            What else people should know, in Markdown: data, errors, limits.
        dtype : {"float32", "float16"}, default="float32"
            Of the weights in the file. "float16" halves the file and rounds weights to three
            digits; the model that is read computes in float32.

        Raises
        ------
        ValueError
            If there are units of unknown targets, or a weight is too large for float16.
        OSError
            If the file cannot be written, or the folder has a README.md that is not of a model. An
            older model is still there.
        """
        check_is_fitted(self)
        for name, text in (("license", license), ("notes", notes)):
            if not isinstance(text, str) and not (text is None and name == "license"):
                raise ValueError(f"{name} must be a text; got {text!r}")
        if dtype not in _DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(_DTYPES)}; got {dtype!r}")
        config, tensors = self._content(units)
        if dtype == "float16":
            weights = {f"module.{name}" for name, _ in self.net_.module_.named_parameters()}
            tensors |= {name: _halved(name, tensors[name]) for name in weights}
        folder = make_folder(folder)
        write_model(folder, config, tensors, model_card(self, config, license, notes))

    def _content(
        self, units: Mapping[str, str] | Sequence[str] | None = None
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return what a file holds of the fitted estimator."""
        if units is None:
            units = self.target_units_
        else:
            units = read_units(units, self.target_names_, self.task_.n_targets)
        task, arrays = self.task_.state()
        network, tensors = self.network_.state()
        module = self.net_.module_.state_dict()
        tensors |= {f"module.{k}": v.cpu().numpy() for k, v in module.items()} | arrays
        config = {
            "skuae": __version__,
            "class": type(self).__name__,
            "params": self._fit_params,
            "target_names": self.target_names_,
            "target_units": units,
            "history": self.history_,
            "epochs_tried": self.epochs_tried_,
            "task": task,
            "network": network,
        }
        return config, tensors

    @classmethod
    def from_pretrained(
        cls, folder: str | PathLike[str], *, device: str | torch.device = "auto"
    ) -> Self:
        """Read an estimator that `save_pretrained` wrote, ready to predict.

        Parameters
        ----------
        folder : str or path-like
            The folder; or the name of a model that ships with skuae, see
            `skuae.pretrained.names`; or ``hf://owner/name`` for one at Hugging Face
            (``pip install "skuae[hub]"``), perhaps with ``@revision``.
        device : str or torch.device, default="auto"

        Returns
        -------
        estimator : object
            Fitted.

        Raises
        ------
        FileNotFoundError
            If the folder holds no model.
        ValueError
            If the file was changed or cut short, holds a model of another class, or one that this
            version cannot read; or if a folder has the name of a model that ships with skuae.
        """
        config, tensors = read_model_folder(folder)
        if config.get("class") != cls.__name__:
            raise ValueError(
                f"{folder} holds a {config.get('class')}: use its from_pretrained, or skuae.load"
            )
        return cls._restore(folder, config, tensors, device)

    @classmethod
    def _restore(
        cls,
        folder: Any,
        config: dict[str, Any],
        tensors: dict[str, np.ndarray],
        device: str | torch.device,
    ) -> Self:
        resolved = resolve_device(device)
        with checked_content(folder, f"a {cls.__name__}"):
            estimator = cls._unfitted(config, device)
            estimator._fit_params = config["params"]
            estimator._restore_fit(config, dict(tensors), resolved)
        return estimator

    @classmethod
    def _unfitted(cls, config: dict[str, Any], device: str | torch.device) -> Self:
        names = {*cls._get_param_names()} - _NOT_SAVED
        return cls(**read_params(config, names), device=device)

    def _restore_fit(
        self, config: dict[str, Any], arrays: dict[str, np.ndarray], device: torch.device
    ) -> None:
        """Set what `fit` has learned."""
        check_training_params(self)
        self.device_ = device
        self.history_ = read_history(config)
        self.n_iter_ = len(self.history_)
        self.epochs_tried_ = read_epochs_tried(config)
        task = self.task_ = self._task().load(take(config, "task", dict), arrays)
        self.target_names_ = read_texts(config, "target_names", task.n_targets)
        self.target_units_ = read_texts(config, "target_units", task.n_targets)
        saved = take(config, "network", dict)
        elements = self._load_elements(take(saved, "elements", dict), arrays)
        backbone = decode_params({"spec": take(saved, "backbone", dict)})["spec"]
        network = self.network_ = Network(
            resolve_backbone(backbone), elements, self._dtype, take(saved, "precision", str)
        )
        module = read_module(network, task.n_outputs, arrays)
        settings = settings_of(self, network, device, 0, self.max_epochs)
        self.net_ = make_net(module, task, settings)


def _halved(name: str, weights: np.ndarray) -> np.ndarray:
    """Return weights in float16."""
    if np.abs(weights).max(initial=0) > np.finfo(np.float16).max:
        raise ValueError(f'{name!r} has weights that are too large for dtype="float16"')
    return weights.astype(np.float16)


def write_model(
    folder: Path, config: dict[str, Any], tensors: dict[str, np.ndarray], card: str
) -> None:
    """Write a model to a folder: its file at once, and its card.

    Parameters
    ----------
    folder : Path
    config : dict
        What JSON can hold.
    tensors : dict of ndarray
    card : str
        Markdown.

    Raises
    ------
    OSError
        If the file cannot be written, or there is a README.md that is not of a model. An older
        model is still there.
    """
    check_companions(folder, CARD_MARKS)
    with suppress(FileNotFoundError):
        (folder / CARD_FILE).unlink()  # that of an older model must not stand by this one
    write_safetensors(folder / MODEL_FILE, tensors, config, format=FORMAT)
    write_bytes(folder / CARD_FILE, card.encode())


def encode_estimator(estimator: Any) -> dict[str, Any]:
    """Return the parameters that a fitted estimator is saved with, as they are now.

    Parameters
    ----------
    estimator : CrystalGNNRegressor, CrystalGNNClassifier or CrystalTransformerRegressor

    Returns
    -------
    dict
        What JSON can hold.
    """
    params = estimator.get_params(deep=False)
    saved = encode_params({k: v for k, v in params.items() if k not in _NOT_SAVED})
    # A path means nothing elsewhere; the table is in the file.
    return saved | {name: _names_alone(saved[name]) for name in _TABLES if name in saved}


def encode_whole(
    estimator: PretrainedEstimator, units: Mapping[str, str] | Sequence[str] | None = None
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return what a file holds of an estimator, fitted or not; see `decode_whole`.

    Parameters
    ----------
    estimator : CrystalGNNRegressor, CrystalGNNClassifier or CrystalTransformerRegressor
    units : dict of str by target name, list of str or None, default=None
        Units of the targets, if it is fitted.

    Returns
    -------
    config : dict
        What JSON can hold.
    tensors : dict of ndarray
    """
    if hasattr(estimator, "net_"):
        return estimator._content(units)
    return {"class": type(estimator).__name__, "params": encode_estimator(estimator)}, {}


def _names_alone(saved: Any) -> Any:
    """Return encoded tables: names of known tables, None for others."""
    if isinstance(saved, dict):
        return {kind: _names_alone(tables) for kind, tables in saved.items()}
    if isinstance(saved, list):
        return [_names_alone(table) for table in saved]
    return saved if saved in table_names() else None
