"""Fitted estimators as a folder: config.json, model.safetensors and a README. No pickle."""

import hashlib
import json
from os import PathLike
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch.overrides import TorchFunctionMode

from skuae._files import read_safetensors, write_bytes, write_safetensors
from skuae._version import __version__
from skuae.embedding import ElementTable, table_names
from skuae.estimators._settings import settings_of
from skuae.models import decode_params, encode_params
from skuae.training import (
    CrystalNet,
    ElementInput,
    FittedTask,
    Network,
    Task,
    make_net,
    resolve_device,
)

FORMAT = "skuae-model-2"
_NOT_SAVED = {"callbacks", "checkpoint_dir", "init_from", "warm_start", "random_state", "device"}


class PretrainedEstimator(BaseEstimator):
    """What a fitted crystal estimator consists of, to a folder and back."""

    task_: FittedTask
    network_: Network
    net_: CrystalNet
    device_: torch.device
    history_: list[dict[str, Any]]
    n_iter_: int
    target_names_: list[str] | None
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

    def save_pretrained(self, folder: str | PathLike[str]) -> None:
        """Write the fitted estimator to a folder, for `from_pretrained`.

        Graph settings, element table, target scaling and weights are all in it; the training state
        (optimiser, random state, callbacks) is not.

        Parameters
        ----------
        folder : str or path-like
            Made if missing; files of an older model in it are replaced.
        """
        check_is_fitted(self)
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        task, arrays = self.task_.state()
        network, tensors = self.network_.state()
        module = self.net_.module_.state_dict()
        tensors |= {f"module.{k}": v.cpu().numpy() for k, v in module.items()} | arrays
        config = {
            "format": FORMAT,
            "skuae": __version__,
            "class": type(self).__name__,
            "params": self._fit_params,
            "target_names": self.target_names_,
            "history": self.history_,
            "task": task,
            "network": network,
        }
        # The file of weights has a checksum of its own, and that of the config it belongs to.
        card = {"config": config_digest(config)}
        write_safetensors(folder / "model.safetensors", tensors, card, format=FORMAT)
        write_bytes(folder / "config.json", json.dumps(config, indent=2).encode())
        write_bytes(folder / "README.md", self._model_card(config).encode())

    @classmethod
    def from_pretrained(
        cls, folder: str | PathLike[str], *, device: str | torch.device = "auto"
    ) -> Self:
        """Read an estimator that `save_pretrained` wrote, ready to predict.

        Parameters
        ----------
        folder : str or path-like
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
            If a file was changed or cut short, or holds a model of another class.
        """
        config, tensors = read_model_folder(folder)
        if config["class"] != cls.__name__:
            raise ValueError(f"{folder} holds a {config['class']}: use its from_pretrained")
        return cls._restore(config, tensors, device)

    @classmethod
    def _restore(
        cls, config: dict[str, Any], tensors: dict[str, np.ndarray], device: str | torch.device
    ) -> Self:
        estimator = cls(**decode_params(config["params"]), device=device)
        estimator._fit_params = config["params"]
        estimator.device_ = resolve_device(device)
        estimator.target_names_ = config["target_names"]
        estimator.history_ = config["history"]
        estimator.n_iter_ = len(estimator.history_)
        task = estimator.task_ = estimator._task().load(config["task"], tensors)
        backbone = decode_params({"spec": config["network"]["backbone"]})["spec"]
        elements = estimator._load_elements(config["network"]["elements"], tensors)
        precision = config["network"]["precision"]
        network = estimator.network_ = Network(backbone, elements, estimator._dtype, precision)
        with _NothingDrawn():  # the first weights are replaced
            module = network.build(task.n_outputs)
        module.load_state_dict(
            {
                k.removeprefix("module."): torch.tensor(v)
                for k, v in tensors.items()
                if k.startswith("module.")
            }
        )
        settings = settings_of(estimator, network, estimator.device_, seed=0)
        estimator.net_ = make_net(module, task, settings)
        return estimator

    def _model_card(self, config: dict[str, Any]) -> str:
        table = self.element_table_
        n_parameters = sum(p.numel() for p in self.net_.module_.parameters())
        targets = ", ".join(self.target_names_ or ["(not named)"])
        classes = ""
        if "classes" in config["task"]:
            classes = f"\n- Classes: {', '.join(map(str, config['task']['classes']['labels']))}"
        params = "\n".join(f"| {k} | {json.dumps(v)} |" for k, v in config["params"].items())
        name = type(self).__name__
        return f"""# {name}

Fitted with skuae {__version__}.

```python
from skuae import {name}
model = {name}.from_pretrained("path/of/this/folder")
model.predict(structures)
```

- Targets: {targets}{classes}
- Trained parameters: {n_parameters:,} in {self.n_iter_} epochs
- Element table: {table.name}, {len(table.symbols)} elements x {table.n_dims} columns

| parameter | value |
|---|---|
{params}
"""


class _NothingDrawn(TorchFunctionMode):
    """Build modules without random numbers: a fit in another thread may be using torch's."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name.endswith(("normal_", "uniform_")):
            return args[0] if args else kwargs["tensor"]
        return torch.zeros(*args, **kwargs) if name == "randn" else func(*args, **kwargs)


def read_model_folder(folder: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return config and tensors that `save_pretrained` wrote, checked."""
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{folder} holds no model: there is no config.json in it")
    try:
        config = json.loads((folder / "config.json").read_text())
        found = config["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / 'config.json'} is damaged ({error})") from error
    if found != FORMAT:
        raise ValueError(f"{folder} has format {found!r}, this skuae reads {FORMAT!r}")
    tensors, card = read_safetensors(folder / "model.safetensors", format=FORMAT)
    if card["config"] != config_digest(config):
        raise ValueError(
            f"{folder / 'config.json'} was changed since it was written, or belongs to another "
            "model.safetensors: its checksum does not match"
        )
    return config, tensors


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
    if saved.get("embedding") not in (None, *table_names()):
        saved["embedding"] = None  # a path means nothing elsewhere; the table is in the file
    return saved


def config_digest(config: dict[str, Any]) -> str:
    """Return a fingerprint of what is in a config.json."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()
