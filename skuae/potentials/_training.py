"""The training loop of potentials: losses of energies, forces, stresses and moments."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from skuae.crystals import CrystalBatch, PackedTensors
from skuae.potentials._contract import Outputs, PotentialModule, evaluate
from skuae.potentials._fitted import count_edges, cut_by_edges
from skuae.potentials._labels import Labels
from skuae.potentials._precision import flushed_denormals
from skuae.potentials._state import TrainingState
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
        # By which a step that is cut into parts weighs these.
        self.n_known = labels.n_known(offsets)

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
    packed: PackedTensors,
    labels: TorchLabels,
    rows: np.ndarray,
    held_back: np.ndarray,
    settings: TrainingSettings,
    state: TrainingState,
    *,
    after_epoch: Callable[[], None] | None = None,
) -> None:
    """Train a network in place; what it becomes depends on the seed alone.

    Parameters
    ----------
    packed : PackedTensors
    labels : TorchLabels
        Of all crystals of `packed`.
    rows : ndarray of int
        Crystals to train on.
    held_back : ndarray of int
        Crystals to measure the loss on after each epoch; may be empty.
    settings : TrainingSettings
    state : TrainingState
        With the epochs that are done.
    after_epoch : callable, optional
        Called after each.
    """
    n_edges = count_edges(packed)
    n_batches = -(-len(rows) // settings.batch_size)
    n_steps = n_batches * settings.max_epochs
    while not state.is_done:
        start, epoch = time.monotonic(), len(state.history)
        order = rows[np.random.default_rng([settings.seed, epoch]).permutation(len(rows))]
        total = 0.0
        for i, batch in enumerate(np.array_split(order, n_batches), epoch * n_batches):
            rate = settings.lr * learning_rate(settings.lr_schedule, i / n_steps)
            for group in state.optimizer.param_groups:
                group["lr"] = rate
            with flushed_denormals():
                total += _step(packed, labels, batch, n_edges, settings, state)
            state.average(i)
        losses = {"train_loss": total / n_batches}
        if len(held_back):
            with state.averaged():
                losses["valid_loss"] = mean_loss(
                    state.module, packed, labels, held_back, n_edges, settings
                )
        if not np.isfinite(list(losses.values())).all():
            raise ValueError(
                f"the loss of epoch {epoch + 1} is not finite: training diverged; choose a smaller "
                "lr, or look for labels that are wrong"
            )
        state.end_epoch({"epoch": epoch + 1, **losses, "dur": time.monotonic() - start})
        if settings.verbose:
            said = f", of rows held back {losses['valid_loss']:.6f}" if len(held_back) else ""
            print(f"epoch {epoch + 1}: loss {losses['train_loss']:.6f}{said}")
        if after_epoch is not None:
            after_epoch()


def mean_loss(
    module: PotentialModule, packed: PackedTensors, labels: TorchLabels, rows: np.ndarray,
    n_edges: np.ndarray, settings: TrainingSettings,
) -> float:  # fmt: skip
    """Return the loss of crystals that are not trained on.

    Parameters
    ----------
    module : PotentialModule
    packed : PackedTensors
    labels : TorchLabels
    rows : ndarray of int
    n_edges : ndarray of int
        Of all crystals of `packed`.
    settings : TrainingSettings

    Returns
    -------
    float
        As `CrystalPotential.score` measures it, with the other sign.
    """
    factors, derivatives = _factors(labels, rows, settings.loss)
    total = 0.0
    with _fixed_weights(module), flushed_denormals(), torch.set_grad_enabled(derivatives):
        for part in cut_by_edges(rows, n_edges, settings.max_edges):
            batch = packed.batch(part)
            found = evaluate(module, batch, derivatives=derivatives)
            sums = summed_losses(found, labels.take(part), batch, settings.loss)
            total += sum(f * s.item() for f, s in zip(factors, sums, strict=True) if f)
    return total


@contextmanager
def _fixed_weights(module: torch.nn.Module) -> Iterator[None]:
    """Let gradients run to positions only: slopes by weights take time and memory."""
    module.requires_grad_(False)
    try:
        yield
    finally:
        module.requires_grad_(True)


def _step(
    packed: PackedTensors, labels: TorchLabels, rows: np.ndarray, n_edges: np.ndarray,
    settings: TrainingSettings, state: TrainingState,
) -> float:  # fmt: skip
    """Take one step; a batch with too many edges is computed in parts, with the same result."""
    factors, derivatives = _factors(labels, rows, settings.loss)
    state.optimizer.zero_grad()
    loss = 0.0
    for part in cut_by_edges(rows, n_edges, settings.max_edges):
        batch = packed.batch(part)
        found = evaluate(state.module, batch, derivatives=derivatives, create_graph=True)
        sums = summed_losses(found, labels.take(part), batch, settings.loss)
        weighted = sum(f * s for f, s in zip(factors, sums, strict=True) if f)
        if isinstance(weighted, Tensor):
            weighted.backward()
            loss += weighted.item()
    if settings.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(state.module.parameters(), settings.clip_norm)
    state.optimizer.step()
    return loss


def _factors(labels: TorchLabels, rows: np.ndarray, loss: LossSettings) -> tuple[list[float], bool]:
    """Return the factors of the sums of losses, and whether forces or stresses count."""
    n_known = labels.n_known[rows].sum(axis=0)
    factors = [w / n if n else 0.0 for w, n in zip(loss.weights, n_known, strict=True)]
    return factors, bool(factors[1] or factors[2])
