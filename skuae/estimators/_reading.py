"""Reading of saved models. All content of a file is checked before use."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from skuae._cards import check_all_taken, take, take_array, take_texts
from skuae._files import read_safetensors
from skuae._hub import MODEL_FILE, find_model
from skuae._numbers import is_real
from skuae.models import CrystalModule, SparingBuild, decode_params
from skuae.training import Network

FORMAT = "skuae-model-6"


def read_model_folder(folder: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return what `save_pretrained` wrote, as it is in the file; the checksum is right.

    Parameters
    ----------
    folder : str or path-like
        As in `from_pretrained`.

    Returns
    -------
    config : dict
    tensors : dict of ndarray

    Raises
    ------
    FileNotFoundError, ValueError
        If the folder holds no model, or its file is damaged or of another version.
    """
    tensors, config = read_safetensors(find_model(folder) / MODEL_FILE, format=FORMAT)
    return config, tensors


def read_params(config: dict[str, Any], names: set[str]) -> dict[str, Any]:
    """Return the parameters of an estimator, which must be those of these names."""
    saved = take(config, "params", dict)
    differing = sorted(names ^ saved.keys())
    if differing:
        what = "lacks" if differing[0] in names else "has an unknown"
        raise ValueError(f"it {what} parameter {differing[0]!r:.80}")
    return decode_params(saved)


def read_history(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Return number, loss and seconds of every epoch."""
    history: list[dict[str, Any]] = take(config, "history", list)
    for number, epoch in enumerate(history, start=1):
        take(epoch, "train_loss", float)
        if not all(is_real(value) and np.isfinite(value) for value in epoch.values()):
            raise ValueError(f"'history' of epoch {number} is {epoch!r:.80}")
    return history


def read_epochs_tried(config: dict[str, Any]) -> list[dict[str, float]]:
    """Return numbers of epochs that early stopping has tried, and their errors."""
    tried: list[dict[str, float]] = take(config, "epochs_tried", list)
    for entry in tried:
        in_range = 0 <= take(entry, "epochs", int) and np.isfinite(take(entry, "error", float))
        if not in_range or len(entry) > 2:
            raise ValueError(f"'epochs_tried' has {entry!r:.80}")
    return tried


def read_texts(config: dict[str, Any], key: str, n_targets: int) -> list[str] | None:
    """Return the names or the units of the targets."""
    if take(config, key, list, None) is None:
        return None
    texts = take_texts(config, key)
    if len(texts) != n_targets:
        raise ValueError(f"{key!r} has {len(texts)} entries for {n_targets} targets")
    return texts


def read_units(
    units: Mapping[str, str] | Sequence[str], names: list[str] | None, n_targets: int
) -> list[str] | None:
    """Return the units of all targets, as a user gives them."""
    if isinstance(units, Mapping):
        if units and names is None:
            raise ValueError("y of fit had no names: give units as a list, one per target")
        unknown = [name for name in units if name not in (names or [])]
        if unknown:
            raise ValueError(f"units has {unknown[0]!r}; targets are {names}")
        if not units:
            return None
        units = [units.get(name, "") for name in names or []]
    if not isinstance(units, Sequence) or isinstance(units, str):
        raise ValueError(f"units must be texts, one per target; got {units!r}")
    if not all(isinstance(unit, str) for unit in units):
        raise ValueError(f"units must be texts, one per target; got {units!r}")
    if len(units) != n_targets:
        raise ValueError(f"units has {len(units)} entries for {n_targets} targets")
    return list(units)


def read_module(network: Network, n_outputs: int, arrays: dict[str, np.ndarray]) -> CrystalModule:
    """Return the module of a network with the weights that are left in a file."""
    with SparingBuild(arrays):
        module = network.build(n_outputs)
    state = {}
    for name, value in module.state_dict().items():
        key, dtype = f"module.{name}", value.numpy().dtype
        if dtype == np.float32 and key in arrays and arrays[key].dtype == np.float16:
            dtype = arrays[key].dtype  # as `save_pretrained` halves files
        array = take_array(arrays, key, dtype, tuple(value.shape))
        state[name] = torch.tensor(array, dtype=value.dtype)
    check_all_taken(arrays)
    negative = next((n for n in state if n.endswith("running_var") and (state[n] < 0).any()), None)
    if negative is not None:
        raise ValueError(f"the variances 'module.{negative}' are negative")
    module.load_state_dict(state)
    return module
