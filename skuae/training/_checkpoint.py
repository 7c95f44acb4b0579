"""Checkpoints of a running fit: one file, from which the very same fit goes on."""

import hashlib
import json
import time
from numbers import Integral
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from skorch.callbacks import Callback

from skuae._files import read_safetensors, write_safetensors
from skuae.models import CrystalModule, encode_params
from skuae.training._net import CrystalNet, StopEarly
from skuae.training._settings import Settings
from skuae.training._task import FitData

FORMAT = "skuae-checkpoint-2"
SECONDS_BETWEEN = 10.0
_NOT_IN_FINGERPRINT = {
    "verbose",
    "device",
    "callbacks",
    "checkpoint_dir",
    "init_from",
    "warm_start",
    "embedding",
}  # fmt: skip  (what the last three say is in the module's first weights)


class Checkpoint(Callback):
    """Write the state of training at the end of an epoch, at most every ten seconds.

    The file's name is a fingerprint of data, parameters and first weights: a fit that differs in
    any of these finds no checkpoint and starts anew, so that one folder serves a whole grid search.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.written = time.monotonic()

    @classmethod
    def of(cls, settings: Settings, data: FitData, module: CrystalModule) -> Self | None:
        """Return the checkpoint of a fit that is about to start, or None."""
        if settings.checkpoint_dir is None:
            return None
        params = settings.params
        if not isinstance(params["random_state"], Integral):
            raise ValueError(
                "checkpoint_dir needs random_state to be an int: a fit with random weights cannot "
                f"be found again; got random_state={params['random_state']!r}"
            )
        relevant = {k: v for k, v in params.items() if k not in _NOT_IN_FINGERPRINT}
        # repr of a long back-end is cut short; what JSON cannot hold has its repr alone
        relevant = {k: [encode_params({k: v}), repr(v)] for k, v in relevant.items()}
        # A table may be frozen whatever `freeze_embedding` says: that of the paper always is.
        rates = settings.lr, settings.element_lr_ratio, settings.clip_norm
        relevant["rates"] = repr(rates)  # some are the backbone's to say
        relevant["precision"] = repr(module.edge_dtype)
        relevant["trained"] = [name for name, _ in module.named_parameters()]
        digest = hashlib.sha256(json.dumps(relevant, sort_keys=True).encode())
        crystals = data.crystals
        arrays: list[np.ndarray | None]
        arrays = [crystals.numbers, crystals.frac_coords, crystals.lattices, crystals.offsets]
        for entry in ("occ_sites", "occ_numbers", "occ_values"):
            arrays.append(getattr(crystals, entry))
        arrays += [data.targets.values, data.sample_weight]
        arrays += [v.cpu().numpy() for v in module.state_dict().values()]
        for array in arrays:
            digest.update(b"none" if array is None else np.ascontiguousarray(array).tobytes())
        folder = Path(settings.checkpoint_dir)
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder / f"{digest.hexdigest()[:16]}.safetensors")

    def resume(self, net: CrystalNet) -> None:
        """Bring a freshly initialised net to where the file left off, if there is one."""
        if not self.path.exists():
            return
        try:
            tensors, card = read_safetensors(self.path, format=FORMAT)
        except ValueError as error:
            raise ValueError(f"{error}. Delete the file to start this fit anew") from error
        parts: dict = {"module": {}, "best": {}}
        slots: dict = {}
        for name, array in tensors.items():
            part, _, key = name.partition("/")
            if part in parts:
                parts[part][key] = torch.tensor(array)
            else:
                index, _, key = key.partition("/")
                slots.setdefault(int(index), {})[key] = torch.tensor(array)
        net.module_.load_state_dict(parts["module"])
        state = net.optimizer_.state_dict()
        net.optimizer_.load_state_dict({**state, "state": slots})
        for epoch in card["history"]:
            net.history.new_epoch()
            for key, value in epoch.items():
                net.history.record(key, value)
        stop_early = _stop_early(net)
        if stop_early is not None and parts["best"]:
            stop_early.best_loss = card["best_loss"]
            stop_early.best_epoch = card["best_epoch"]
            stop_early.best_weights = parts["best"]
        for name, parameter in net.module_.named_parameters():
            parameter.requires_grad_(name not in card["frozen"])  # by a callback
        net.stopped_ = card["stopped"]

    def on_epoch_end(self, net: CrystalNet, **kwargs: Any) -> None:
        """Write the file if the last one is old, or training ends here."""
        last = net.stop_ or len(net.history) == net.max_epochs
        if last or time.monotonic() - self.written >= SECONDS_BETWEEN:
            self._write(net)
            self.written = time.monotonic()

    def _write(self, net: CrystalNet) -> None:
        tensors = {f"module/{k}": v for k, v in net.module_.state_dict().items()}
        for index, slot in net.optimizer_.state_dict()["state"].items():
            tensors |= {f"optimizer/{index}/{k}": v for k, v in slot.items()}
        card = {
            "history": [{k: v for k, v in e.items() if k != "batches"} for e in net.history],
            "stopped": net.stop_,
            "frozen": [k for k, v in net.module_.named_parameters() if not v.requires_grad],
        }
        stop_early = _stop_early(net)
        if stop_early is not None and stop_early.best_weights is not None:
            card |= {"best_loss": stop_early.best_loss, "best_epoch": stop_early.best_epoch}
            tensors |= {f"best/{k}": v for k, v in stop_early.best_weights.items()}
        arrays = {k: v.cpu().numpy() for k, v in tensors.items()}
        write_safetensors(self.path, arrays, card, format=FORMAT)


def _stop_early(net: CrystalNet) -> StopEarly | None:
    return dict(net.callbacks_).get("stop_early")
