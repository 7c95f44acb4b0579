"""Checkpoints of potentials: one file, from which the same fit continues."""

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
from skuae.potentials._state import History, TrainingState

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
    state : TrainingState
    """

    def __init__(self, path: Path, state: TrainingState) -> None:
        self.path, self.state = path, state
        self.written = time.monotonic()

    @classmethod
    def of(
        cls, estimator: Any, fitted: FittedPotential, crystals: Crystals, labels: Labels,
        rows: np.ndarray, state: TrainingState,
    ) -> Self | None:  # fmt: skip
        """Return the checkpoint of a fit that is about to start, or None.

        Parameters
        ----------
        estimator : CrystalPotential
        fitted : FittedPotential
        crystals : Crystals
        labels : Labels
        rows : ndarray of int
            Crystals to train on.
        state : TrainingState

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
        plain = {k: v.item() if isinstance(v, np.generic) else v for k, v in params.items()}
        relevant = {k: repr(v) for k, v in plain.items() if k not in _NOT_IN_FINGERPRINT}
        relevant["backbone"] = json.dumps(fitted.backbone.get_params(), sort_keys=True)
        digest = hashlib.sha256(json.dumps(relevant, sort_keys=True).encode())
        module = fitted.module
        arrays = [crystals.numbers, crystals.frac_coords, crystals.lattices, crystals.offsets]
        arrays += [labels.energies, labels.forces, labels.stresses, labels.magmoms]
        arrays += [rows, fitted.references]
        arrays += [v.cpu().numpy() for v in module.state_dict().values()]
        for array in arrays:
            digest.update(np.ascontiguousarray(array).tobytes())
        name = f"{digest.hexdigest()[:16]}.safetensors"
        path = make_folder(estimator.checkpoint_dir) / name
        return cls(path, state)

    def resume(self) -> None:
        """Bring the state of training to where the file left off, if there is one.

        Raises
        ------
        ValueError
            If the file is damaged.
        """
        if not self.path.exists():
            return
        try:
            arrays, card = read_safetensors(self.path, format=FORMAT)
            with checked_content(self.path, "a checkpoint of this fit"):
                self._take(arrays, card)
        except ValueError as error:
            raise ValueError(f"{error}. Delete the file to start this fit anew") from error

    def _take(self, arrays: dict[str, np.ndarray], card: dict[str, Any]) -> None:
        """Take over what a file holds, all or nothing."""
        state = self.state
        history: History = take(card, "history", list)
        if not 0 < len(history) <= state.max_epochs:
            raise ValueError(f"it has {len(history)} epochs of {state.max_epochs}")
        module = {
            name: _take_like(value, arrays, f"module/{name}")
            for name, value in state.module.state_dict().items()
        }
        weights = state.weights
        mean, best = (
            None if kind is None else [
                _take_like(value, arrays, f"{name}/{i}") for i, value in enumerate(weights)
            ]
            for name, kind in (("mean", state.mean), ("best", state.best))
        )  # fmt: skip
        slots: dict[int, dict[str, torch.Tensor]] = {}
        for index in take(card, "trained", list):
            like = weights[index]
            slots[index] = {
                slot: _take_like(
                    torch.zeros(()) if slot == "step" else like, arrays, f"{index}/{slot}"
                )
                for slot in _SLOTS
            }
        check_all_taken(arrays)
        state.module.load_state_dict(module)
        optimizer = state.optimizer
        optimizer.load_state_dict({**optimizer.state_dict(), "state": slots})
        device = weights[0].device
        state.history = history
        state.mean = None if mean is None else [value.to(device) for value in mean]
        state.best = None if best is None else [value.to(device) for value in best]

    def keep(self) -> None:
        """Write the file if the last one is old, or training ends here."""
        training = self.state
        if not training.is_done and time.monotonic() - self.written < SECONDS_BETWEEN:
            return
        state = training.optimizer.state_dict()["state"]
        tensors = {f"module/{k}": v for k, v in training.module.state_dict().items()}
        for name, kind in (("mean", training.mean), ("best", training.best)):
            tensors |= {f"{name}/{i}": value for i, value in enumerate(kind or ())}
        for index, slot in state.items():
            tensors |= {f"{index}/{k}": torch.as_tensor(slot[k]) for k in _SLOTS}
        arrays = {k: v.detach().cpu().numpy() for k, v in tensors.items()}
        write_safetensors(
            self.path, arrays, {"history": training.history, "trained": list(state)}, format=FORMAT
        )
        self.written = time.monotonic()


def _take_like(value: torch.Tensor, arrays: dict[str, np.ndarray], name: str) -> torch.Tensor:
    return torch.tensor(take_array(arrays, name, value.cpu().numpy().dtype, tuple(value.shape)))
