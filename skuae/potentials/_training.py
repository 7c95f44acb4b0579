"""The training loop of potentials: losses of energies, forces, stresses and moments."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from skuae.crystals import CrystalBatch, PackedTensors
from skuae.potentials._contract import Outputs, PotentialModule, evaluate
from skuae.potentials._fitted import count_edges, cut_by_edges
from skuae.potentials._labels import Labels
from skuae.training import learning_rate

LOSSES = ("huber", "mse", "mae")


@dataclass(frozen=True)
class LossSettings:
    """How labels weigh.

    Attributes
    ----------
    weights : tuple of float
        Of energies per atom, forces, stresses and moments.
    loss : {"huber", "mse", "mae"}
    huber_delta : float
        Where the Huber loss turns from a square to a line; in the unit of each label.
    """

    weights: tuple[float, float, float, float]
    loss: str
    huber_delta: float

    def measure(self, errors: Tensor) -> Tensor:
        """Return the loss of each error.

        Parameters
        ----------
        errors : Tensor

        Returns
        -------
        Tensor
        """
        if self.loss == "mse":
            return errors.square()
        if self.loss == "mae":
            return errors.abs()
        return F.huber_loss(errors, torch.zeros_like(errors), "none", delta=self.huber_delta)


@dataclass(frozen=True)
class TrainingSettings:
    """Parameters of the loop, as `CrystalPotential` documents them."""

    max_epochs: int
    batch_size: int
    max_edges: int
    lr: float
    lr_schedule: str
    clip_norm: float | None
    seed: int
    verbose: int
    loss: LossSettings


class TorchLabels:
    """Labels on a device, relative to reference energies.

    Parameters
    ----------
    labels : Labels
    references : ndarray of shape (n,)
        Energies in eV per cell that the network is not to learn.
    sizes, offsets : ndarray of int
        Of the crystals.
    device : torch.device
    dtype : torch.dtype
    """

    def __init__(
        self, labels: Labels, references: np.ndarray, sizes: np.ndarray, offsets: np.ndarray,
        device: torch.device, dtype: torch.dtype,
    ) -> None:  # fmt: skip
        columns = ((labels.energies - references) / sizes, labels.forces, labels.stresses,
                   labels.magmoms)  # fmt: skip
        self._columns = [torch.tensor(c, device=device, dtype=dtype) for c in columns]
        self._offsets = offsets
        # Known labels of each crystal, by which a step that is cut into parts weighs these.
        known = [np.isfinite(c).reshape(len(c), -1).sum(axis=1) for c in columns]
        sites = [np.add.reduceat(known[i], offsets[:-1]) for i in (1, 3)]
        self.n_known = np.stack([known[0], sites[0], known[2], sites[1]], axis=1)

    def take(self, rows: np.ndarray) -> list[Tensor]:
        """Return energies per atom, forces, stresses and moments of some crystals.

        Parameters
        ----------
        rows : ndarray of int

        Returns
        -------
        list of Tensor
        """
        sites = np.concatenate([np.arange(*self._offsets[[r, r + 1]]) for r in rows])
        return [c[sites if i % 2 else rows] for i, c in enumerate(self._columns)]


def summed_losses(
    found: Outputs, known: list[Tensor], batch: CrystalBatch, settings: LossSettings
) -> list[Tensor]:
    """Add up the losses of known labels: of energies per atom, forces, stresses and moments.

    Parameters
    ----------
    found : Outputs
    known : list of Tensor
        As `TorchLabels.take` returns them; NaN where unknown.
    batch : CrystalBatch
    settings : LossSettings

    Returns
    -------
    list of Tensor of shape ()
    """
    predicted = [found.energies / batch.sizes, found.forces, found.stresses, found.magmoms]
    losses = []
    for ours, theirs in zip(predicted, known, strict=True):
        if ours is None:
            losses.append(found.energies.new_zeros(()))
            continue
        mask = torch.isfinite(theirs)
        losses.append(settings.measure(ours[mask] - theirs[mask]).sum())
    return losses


def train(
    module: PotentialModule,
    packed: PackedTensors,
    labels: TorchLabels,
    rows: np.ndarray,
    settings: TrainingSettings,
    *,
    history: list[dict[str, Any]],
    optimizer: torch.optim.Optimizer,
    after_epoch: Callable[[list[dict[str, Any]]], None] | None = None,
) -> None:
    """Train a network in place; what it becomes depends on the seed alone.

    Parameters
    ----------
    module : PotentialModule
    packed : PackedTensors
    labels : TorchLabels
        Of all crystals of `packed`.
    rows : ndarray of int
        Crystals to train on.
    settings : TrainingSettings
    history : list of dict
        Epochs that are done; one is appended after each.
    optimizer : torch.optim.Optimizer
        Of the weights of the module.
    after_epoch : callable, optional
        Called with the history after each.
    """
    n_edges = count_edges(packed)
    n_batches = -(-len(rows) // settings.batch_size)
    n_steps = n_batches * settings.max_epochs
    for epoch in range(len(history), settings.max_epochs):
        start = time.monotonic()
        order = rows[np.random.default_rng([settings.seed, epoch]).permutation(len(rows))]
        total = 0.0
        for i, batch in enumerate(np.array_split(order, n_batches)):
            rate = settings.lr * learning_rate(
                settings.lr_schedule, (epoch * n_batches + i) / n_steps
            )
            for group in optimizer.param_groups:
                group["lr"] = rate
            total += _step(module, packed, labels, batch, n_edges, settings, optimizer)
        history.append({"epoch": epoch + 1, "train_loss": total / n_batches,
                        "dur": time.monotonic() - start})  # fmt: skip
        if not np.isfinite(total):
            raise ValueError(
                f"the loss of epoch {epoch + 1} is not finite: training diverged; choose a smaller "
                "lr, or look for labels that are wrong"
            )
        if settings.verbose:
            print(f"epoch {epoch + 1}: loss {total / n_batches:.6f}")
        if after_epoch is not None:
            after_epoch(history)


def _step(
    module: PotentialModule, packed: PackedTensors, labels: TorchLabels, rows: np.ndarray,
    n_edges: np.ndarray, settings: TrainingSettings, optimizer: torch.optim.Optimizer,
) -> float:  # fmt: skip
    """Take one step; a batch with too many edges is computed in parts, with the same result."""
    n_known = labels.n_known[rows].sum(axis=0)
    factors = [w / n if n else 0.0 for w, n in zip(settings.loss.weights, n_known, strict=True)]
    optimizer.zero_grad()
    loss = 0.0
    derivatives = bool(n_known[1] * factors[1] or n_known[2] * factors[2])
    for part in cut_by_edges(rows, n_edges, settings.max_edges):
        batch = packed.batch(part)
        found = evaluate(module, batch, derivatives=derivatives, create_graph=True)
        sums = summed_losses(found, labels.take(part), batch, settings.loss)
        weighted = sum(f * s for f, s in zip(factors, sums, strict=True) if f)
        if isinstance(weighted, Tensor):
            weighted.backward()
            loss += weighted.item()
    if settings.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(module.parameters(), settings.clip_norm)
    optimizer.step()
    return loss
