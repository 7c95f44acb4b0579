"""Checkpoints of a running fit: one file, from which the same fit continues."""

import hashlib
import json
import time
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from skorch.callbacks import Callback
from torch import Tensor

from skuae._cards import check_all_taken, take, take_array
from skuae._files import checked_content, make_folder, read_safetensors, write_safetensors
from skuae._ranks import agreed
from skuae._warnings import warn
from skuae.datasets import Shards
from skuae.models import CrystalModule, encode_params
from skuae.training._net import CrystalNet
from skuae.training._settings import Settings
from skuae.training._task import FitData

FORMAT = "skuae-checkpoint-3"
SECONDS_BETWEEN = 10.0
_SLOTS = {
    "adamw": frozenset({"step", "exp_avg", "exp_avg_sq"}),
    "adam": frozenset({"step", "exp_avg", "exp_avg_sq"}),
    "sgd": frozenset({"momentum_buffer"}),
}  # what each optimiser remembers of a parameter
_OF_CRYSTALS = (
    *("numbers", "frac_coords", "lattices", "offsets"),
    *("occ_sites", "occ_numbers", "occ_values"),
)
_NOT_IN_FINGERPRINT = {
    "verbose",
    "device",
    "callbacks",
    "checkpoint_dir",
    "init_from",
    "warm_start",
    "embedding",
    "early_stopping",
    "refit",
    "validation_fraction",
    "max_epochs",
}  # fmt: skip  (first weights, training rows and number of epochs say what the last seven do)


class Checkpoint(Callback):
    """Write the state of training at the end of an epoch, at most every ten seconds.

    The file's name is a fingerprint of data, parameters and first weights: a fit that differs in
    any of these finds no checkpoint and starts anew, so that one folder serves a whole grid search.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.path, self.failed = path, False
        self.written = time.monotonic()

    @classmethod
    def of(cls, settings: Settings, data: FitData, module: CrystalModule) -> Self | None:
        """Return the checkpoint of a fit that is about to start, or None."""
        if settings.checkpoint_dir is None:
            return None
        random_state = settings.params["random_state"]
        if not isinstance(random_state, Integral):
            raise ValueError(
                "checkpoint_dir needs random_state to be an int: a fit with random weights cannot "
                f"be found again; got random_state={random_state!r}"
            )
        folder = make_folder(settings.checkpoint_dir)
        return cls(folder / f"{fingerprint(settings, data, module)[:16]}.safetensors")

    def resume(self, net: CrystalNet) -> bool:
        """Bring a fresh net to where the file left off; return whether there is one."""
        is_there = self.path.exists()
        if not agreed(is_there):
            return False
        if not is_there:
            raise FileNotFoundError(
                f"{self.path}, a checkpoint of rank 0, is not on this machine: checkpoint_dir must "
                "be a folder that all ranks share"
            )
        try:
            tensors, card = read_safetensors(self.path, format=FORMAT)
            with checked_content(self.path, "a checkpoint of this fit"):
                state = _State.of(net, tensors, card)
        except ValueError as error:
            raise ValueError(f"{error}. Delete the file to start this fit anew") from error
        state.put(net)
        return True

    def on_epoch_end(self, net: CrystalNet, **kwargs: Any) -> None:
        """Write the file if the last one is old, or training ends here."""
        last = len(net.history) == net.max_epochs
        if last or time.monotonic() - self.written >= SECONDS_BETWEEN:
            self._try_to_write(net)
            self.written = time.monotonic()

    def _try_to_write(self, net: CrystalNet) -> None:
        """Write the file; if that fails, warn once, and let the fit go on without it."""
        try:
            self._write(net)
        except (OSError, TypeError) as error:
            if not self.failed:
                warn(
                    f"no checkpoint could be written ({error}); the fit goes on, but cannot be "
                    "resumed from here if it is killed"
                )
            self.failed = True

    def _write(self, net: CrystalNet) -> None:
        tensors = {f"module/{k}": v for k, v in net.module_.state_dict().items()}
        for index, slot in net.optimizer_.state_dict()["state"].items():
            tensors |= {f"optimizer/{index}/{k}": v for k, v in slot.items()}
        card: dict[str, Any] = {
            "history": [{k: v for k, v in e.items() if k != "batches"} for e in net.history],
            "frozen": [k for k, v in net.module_.named_parameters() if not v.requires_grad],
            "trained": list(net.optimizer_.state_dict()["state"]),
        }
        arrays = {k: v.cpu().numpy() for k, v in tensors.items()}
        write_safetensors(self.path, arrays, card, format=FORMAT)


def fingerprint(settings: Settings, data: FitData, module: CrystalModule) -> str:
    """Return a hexadecimal digest of a fit that is about to start.

    Parameters
    ----------
    settings : Settings
    data : FitData
    module : CrystalModule
        With its first weights.

    Returns
    -------
    str
    """
    relevant = {k: v for k, v in settings.params.items() if k not in _NOT_IN_FINGERPRINT}
    if not isinstance(relevant["random_state"], Integral):
        del relevant["random_state"]  # the first weights come from it
    # repr of a long back-end is cut short; what JSON cannot hold has its repr alone
    relevant = {k: [encode_params({k: v}), repr(v)] for k, v in relevant.items()}
    # A table may be frozen whatever `freeze_embedding` says: that of the paper always is.
    rates = settings.lr, settings.element_lr_ratio, settings.clip_norm
    relevant["rates"] = repr(rates)  # some are the backbone's to say
    relevant["epochs"] = settings.max_epochs
    relevant["precision"] = repr(module.edge_dtype)
    relevant["trained"] = [name for name, _ in module.named_parameters()]
    digest = hashlib.sha256(json.dumps(relevant, sort_keys=True).encode())
    crystals = data.crystals
    arrays: list[np.ndarray | None] = []
    if isinstance(crystals, Shards):
        digest.update(f"{crystals.checksum} {crystals.buffer}".encode())
    else:
        arrays += [getattr(crystals, name) for name in _OF_CRYSTALS]
    arrays += [data.targets.values, data.sample_weight, data.train]
    arrays += [v.cpu().numpy() for v in module.state_dict().values()]
    for array in arrays:
        digest.update(b"none" if array is None else np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


class _State(NamedTuple):
    """Content of a checkpoint, checked against the net that continues from it."""

    module: dict[str, Tensor]
    slots: dict[int, dict[str, Tensor]]
    history: list[dict[str, Any]]
    frozen: list[str]

    @classmethod
    def of(cls, net: CrystalNet, tensors: dict[str, np.ndarray], card: dict[str, Any]) -> Self:
        """Read a state; raise ValueError if it is not one of this net."""
        arrays = dict(tensors)
        history = take(card, "history", list)
        if not 0 < len(history) <= net.max_epochs:
            raise ValueError(f"it has {len(history)} epochs of {net.max_epochs}")
        for number, epoch in enumerate(history, start=1):
            if not np.isfinite(take(epoch, "train_loss", float)):
                raise ValueError(f"the loss of epoch {number} is {epoch['train_loss']}")
            take(epoch, "dur", float)
            if take(epoch, "epoch", int) != number or "batches" in epoch:
                raise ValueError(f"epoch {number} is {epoch!r:.80}")
        module = {
            name: _take_like(value, arrays, f"module/{name}")
            for name, value in net.module_.state_dict().items()
        }
        slots = _take_slots(net, arrays)
        if list(slots) != take(card, "trained", list):
            raise ValueError("the optimiser's tensors of some weights are missing")
        check_all_taken(arrays)
        frozen = take(card, "frozen", list)
        names = [name for name, _ in net.module_.named_parameters()]
        if any(name not in names for name in frozen):
            raise ValueError(f"'frozen' names what is no weight: {frozen!r:.80}")
        return cls(module, slots, history, frozen)

    def put(self, net: CrystalNet) -> None:
        """Bring a net to this state."""
        net.module_.load_state_dict(self.module)
        net.optimizer_.load_state_dict({**net.optimizer_.state_dict(), "state": self.slots})
        for epoch in self.history:
            net.history.new_epoch()
            for key, value in epoch.items():
                net.history.record(key, value)
        for name, parameter in net.module_.named_parameters():
            parameter.requires_grad_(name not in self.frozen)  # by a callback


def _take_slots(net: CrystalNet, arrays: dict[str, np.ndarray]) -> dict[int, dict[str, Tensor]]:
    """Return the optimiser's tensors by the number of the parameter."""
    slots: dict[int, dict[str, Tensor]] = {}
    parameters = [p for group in net.optimizer_.param_groups for p in group["params"]]
    for index, parameter in enumerate(parameters):
        prefix = f"optimizer/{index}/"
        for name in [name for name in arrays if name.startswith(prefix)]:
            like = torch.zeros(()) if name == f"{prefix}step" else parameter.detach()
            slots.setdefault(index, {})[name.removeprefix(prefix)] = _take_like(like, arrays, name)
    if {frozenset(slot) for slot in slots.values()} != {_SLOTS[net.optimizer]}:
        raise ValueError(f"its optimiser is not {net.optimizer}")
    return slots


def _take_like(value: Tensor, arrays: dict[str, np.ndarray], name: str) -> Tensor:
    return torch.tensor(take_array(arrays, name, value.cpu().numpy().dtype, tuple(value.shape)))
