"""Checkpoints of potentials: one file, from which the very same fit goes on."""

import hashlib
import json
import time
from numbers import Integral
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from skuae._cards import check_all_taken, take, take_array
from skuae._files import checked_content, make_folder, read_safetensors, write_safetensors
from skuae.crystals import Crystals
from skuae.potentials._fitted import FittedPotential
from skuae.potentials._labels import Labels

FORMAT = "skuae-potential-checkpoint-1"
SECONDS_BETWEEN = 10.0
_SLOTS = ("step", "exp_avg", "exp_avg_sq")  # what AdamW remembers of a weight
# First weights, vectors of elements and reference energies say what these do.
_NOT_IN_FINGERPRINT = {
    "checkpoint_dir", "device", "embedding", "init_from", "reference_energies",
    "verbose",
}  # fmt: skip


class PotentialCheckpoint:
    """Keeps the state of training in a file, whose name is a fingerprint of the fit.

    Parameters
    ----------
    path : Path
    module : torch.nn.Module
    optimizer : torch.optim.Optimizer
    max_epochs : int
    """

    def __init__(
        self,
        path: Path,
        module: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        max_epochs: int,
    ) -> None:
        self.path, self.module, self.optimizer = path, module, optimizer
        self.max_epochs = max_epochs
        self.written = time.monotonic()

    @classmethod
    def of(
        cls, estimator: Any, fitted: FittedPotential, crystals: Crystals, labels: Labels,
        optimizer: torch.optim.Optimizer,
    ) -> Self | None:  # fmt: skip
        """Return the checkpoint of a fit that is about to start, or None.

        Parameters
        ----------
        estimator : CrystalPotential
        fitted : FittedPotential
        crystals : Crystals
        labels : Labels
        optimizer : torch.optim.Optimizer

        Returns
        -------
        PotentialCheckpoint or None

        Raises
        ------
        ValueError
            If the fit could not be found again.
        """
        if estimator.checkpoint_dir is None:
            return None
        if not isinstance(estimator.random_state, Integral):
            raise ValueError(
                "checkpoint_dir needs random_state to be an int: a fit with random weights cannot "
                f"be found again; got random_state={estimator.random_state!r}"
            )
        params = estimator.get_params(deep=False)
        relevant = {k: repr(v) for k, v in params.items() if k not in _NOT_IN_FINGERPRINT}
        relevant["backbone"] = json.dumps(fitted.backbone.get_params(), sort_keys=True)
        digest = hashlib.sha256(json.dumps(relevant, sort_keys=True).encode())
        module = fitted.module
        arrays = [crystals.numbers, crystals.frac_coords, crystals.lattices, crystals.offsets]
        arrays += [labels.energies, labels.forces, labels.stresses, labels.magmoms]
        arrays += [fitted.references, *(v.cpu().numpy() for v in module.state_dict().values())]
        for array in arrays:
            digest.update(np.ascontiguousarray(array).tobytes())
        name = f"{digest.hexdigest()[:16]}.safetensors"
        path = make_folder(estimator.checkpoint_dir) / name
        return cls(path, module, optimizer, estimator.max_epochs)

    def resume(self) -> list[dict[str, Any]]:
        """Bring module and optimiser to where the file left off, and return the epochs done."""
        if not self.path.exists():
            return []
        arrays, card = read_safetensors(self.path, format=FORMAT)
        with checked_content(self.path, "a checkpoint of this fit"):
            history: list[dict[str, Any]] = take(card, "history", list)
            if not 0 < len(history) <= self.max_epochs:
                raise ValueError(f"it has {len(history)} epochs of {self.max_epochs}")
            module = {
                name: _take_like(value, arrays, f"module/{name}")
                for name, value in self.module.state_dict().items()
            }
            slots: dict[int, dict[str, torch.Tensor]] = {}
            for index in take(card, "trained", list):
                like = self._weights()[index]
                slots[index] = {
                    slot: _take_like(
                        torch.zeros(()) if slot == "step" else like, arrays, f"{index}/{slot}"
                    )
                    for slot in _SLOTS
                }
            check_all_taken(arrays)
        self.module.load_state_dict(module)
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": slots})
        return history

    def keep(self, history: list[dict[str, Any]]) -> None:
        """Write the file if the last one is old, or training ends here.

        Parameters
        ----------
        history : list of dict
            Epochs that are done.
        """
        last = len(history) == self.max_epochs
        if not last and time.monotonic() - self.written < SECONDS_BETWEEN:
            return
        state = self.optimizer.state_dict()["state"]
        tensors = {f"module/{k}": v for k, v in self.module.state_dict().items()}
        for index, slot in state.items():
            tensors |= {f"{index}/{k}": torch.as_tensor(slot[k]) for k in _SLOTS}
        arrays = {k: v.detach().cpu().numpy() for k, v in tensors.items()}
        write_safetensors(
            self.path, arrays, {"history": history, "trained": list(state)}, format=FORMAT
        )
        self.written = time.monotonic()

    def _weights(self) -> list[torch.Tensor]:
        return [p.detach() for group in self.optimizer.param_groups for p in group["params"]]


def _take_like(value: torch.Tensor, arrays: dict[str, np.ndarray], name: str) -> torch.Tensor:
    return torch.tensor(take_array(arrays, name, value.cpu().numpy().dtype, tuple(value.shape)))
