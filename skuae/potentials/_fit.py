"""From the parameters of a `CrystalPotential` to a trained one."""

from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from skuae.crystals import Crystals
from skuae.embedding import ElementTable, crystals_and_table
from skuae.potentials._checkpoint import PotentialCheckpoint
from skuae.potentials._checks import check_at_least, check_flags, check_numbers
from skuae.potentials._fitted import FittedPotential, edges_at_once
from skuae.potentials._labels import Labels, read_labels
from skuae.potentials._published import PUBLISHED
from skuae.potentials._saving import DTYPES, read_potential
from skuae.potentials._start import (
    check_vectors,
    fit_references,
    given_references,
    new_potential,
    published_potential,
    resolve_potential,
)
from skuae.potentials._training import LOSSES, LossSettings, TorchLabels, TrainingSettings, train
from skuae.training import SCHEDULES, resolve_device, seed_of

History = list[dict[str, Any]]


def fit_potential(estimator: Any, X: Any, y: Any) -> tuple[FittedPotential, History]:
    """Train a potential.

    Parameters
    ----------
    estimator : CrystalPotential
        Read only.
    X : array-like of crystals
    y : DataFrame, list of dicts or None

    Returns
    -------
    fitted : FittedPotential
    history : list of dict
    """
    _check_params(estimator)
    crystals, table = crystals_and_table(X)
    labels = read_labels(y, crystals, X)
    rows = np.flatnonzero(_known(estimator, labels, crystals))
    if not len(rows):
        raise ValueError("y has no known label with a weight: there is nothing to learn from")
    seed = seed_of(estimator.random_state)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fitted = _start(estimator, crystals, table)
    fitted.module.to(resolve_device(estimator.device))
    _set_references(estimator, fitted, crystals, labels, rows)
    packed = fitted.pack(crystals)
    on_device = TorchLabels(
        labels, fitted.energies_of_elements(crystals), crystals.sizes, crystals.offsets,
        fitted.device, fitted.dtype,
    )  # fmt: skip
    trained = [p for p in fitted.module.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=estimator.lr, weight_decay=estimator.weight_decay)
    checkpoint = PotentialCheckpoint.of(estimator, fitted, crystals, labels, optimizer)
    history = checkpoint.resume() if checkpoint else []
    train(
        fitted.module, packed, on_device, rows, _settings(estimator, seed, fitted.device),
        history=history, optimizer=optimizer, after_epoch=checkpoint.keep if checkpoint else None,
    )  # fmt: skip
    if np.isfinite(labels.magmoms).any() and estimator.magmom_weight:
        fitted.has_magmoms = True
    elif estimator.init_from is not None:
        fitted.has_magmoms = False  # the vectors that moments are read from have changed
    return fitted, history


def read_source(source: str | PathLike[str]) -> tuple[FittedPotential, History]:
    """Read a potential that is published, or saved in a folder.

    Parameters
    ----------
    source : str or path-like

    Returns
    -------
    fitted : FittedPotential
    history : list of dict
    """
    if isinstance(source, str) and source in PUBLISHED:
        return published_potential(source), []
    return read_potential(source)


def loss_of(estimator: Any) -> LossSettings:
    """Return how labels weigh.

    Parameters
    ----------
    estimator : CrystalPotential

    Returns
    -------
    LossSettings
    """
    weights = (
        estimator.energy_weight,
        estimator.force_weight,
        estimator.stress_weight,
        estimator.magmom_weight,
    )
    return LossSettings(weights, estimator.loss, estimator.huber_delta)


def _settings(estimator: Any, seed: int, device: torch.device) -> TrainingSettings:
    max_edges = edges_at_once(estimator.max_edges, device)
    return TrainingSettings(
        estimator.max_epochs, estimator.batch_size, max_edges, estimator.lr,
        estimator.lr_schedule, estimator.clip_norm, seed, estimator.verbose, loss_of(estimator),
    )  # fmt: skip


def _start(estimator: Any, crystals: Crystals, table: ElementTable | None) -> FittedPotential:
    """Return the potential that is to be trained, which nobody else holds."""
    backbone, dtype = resolve_potential(estimator.backbone), DTYPES[estimator.dtype]
    frozen = estimator.freeze_embedding
    if estimator.init_from is None:
        embedding = table if estimator.embedding is None else estimator.embedding
        return new_potential(backbone, embedding, frozen, crystals, dtype)
    if estimator.embedding is not None:
        raise ValueError(
            "init_from brings its own vectors of elements: leave embedding=None, or init_from=None"
        )
    start = _source(estimator.init_from).copied(dtype, frozen)
    if type(start.backbone) is not type(backbone) or (
        start.backbone.get_params() != backbone.get_params()
    ):
        raise ValueError(
            f"init_from has backbone {start.backbone}, this potential {backbone}; set "
            f"backbone={start.backbone}"
        )
    check_vectors(crystals, len(start.module.elements.table()))
    return start


def _source(source: Any) -> FittedPotential:
    if isinstance(source, FrozenEstimator):  # as needed in the grid of a search
        source = source.estimator
    if isinstance(source, (str, PathLike)):
        return read_source(source)[0]
    if not isinstance(getattr(source, "fitted_", None), FittedPotential):
        if type(source).__name__ == "CrystalPotential":
            check_is_fitted(source)
        raise TypeError(
            f"init_from is a {type(source).__name__}; pass one of {', '.join(PUBLISHED)}, the "
            "folder of a saved potential, or a fitted CrystalPotential"
        )
    fitted: FittedPotential = source.fitted_
    return fitted


def _set_references(
    estimator: Any, fitted: FittedPotential, crystals: Crystals, labels: Labels, rows: np.ndarray
) -> None:
    """Set energies of elements, and which of these are known from here on."""
    fitted.seen = fitted.seen.copy()
    fitted.seen[crystals[rows].numbers.astype(int) - 1] = True
    given = estimator.reference_energies
    if isinstance(given, Mapping):
        fitted.references = given_references(given)
    elif given == "fit":
        rest = labels.energies - fitted.energies_of_elements(crystals)
        if estimator.init_from is not None:
            known = rows[np.isfinite(rest[rows])]
            found = fitted.predict(crystals[known], estimator.max_edges, derivatives=False)
            rest = labels.energies.copy()
            rest[known] -= found.energies
        fitted.references = fitted.references + fit_references(crystals, rest, rows)


def _known(estimator: Any, labels: Labels, crystals: Crystals) -> np.ndarray:
    """Return which crystals have a label that counts."""
    starts = crystals.offsets[:-1]
    parts = (
        (estimator.energy_weight, np.isfinite(labels.energies)),
        (estimator.stress_weight, np.isfinite(labels.stresses).any(axis=(1, 2))),
        (estimator.force_weight, _any_site(np.isfinite(labels.forces).any(axis=1), starts)),
        (estimator.magmom_weight, _any_site(np.isfinite(labels.magmoms), starts)),
    )
    known = np.zeros(len(crystals), dtype=bool)
    for weight, mask in parts:
        if weight:
            known |= mask
    return known


def _any_site(mask: np.ndarray, starts: np.ndarray) -> np.ndarray:
    return np.logical_or.reduceat(mask, starts)


def _check_params(estimator: Any) -> None:
    for name in ("max_epochs", "batch_size", "max_edges"):
        check_at_least(estimator, name, 1)
    check_at_least(estimator, "verbose", 0)
    check_flags(estimator, "freeze_embedding")
    check_numbers(estimator, "lr", "huber_delta")
    check_numbers(
        estimator, "energy_weight", "force_weight", "stress_weight", "magmom_weight",
        "weight_decay", zero=True,
    )  # fmt: skip
    if estimator.clip_norm is not None:
        check_numbers(estimator, "clip_norm")
    for name, choices in (
        ("loss", LOSSES), ("dtype", tuple(DTYPES)), ("lr_schedule", SCHEDULES),
    ):  # fmt: skip
        if getattr(estimator, name) not in choices:
            raise ValueError(
                f"{name} must be one of {', '.join(choices)}; got {getattr(estimator, name)!r}"
            )
    given = estimator.reference_energies
    if not (given is None or isinstance(given, Mapping) or given == "fit"):
        raise ValueError(
            'reference_energies must be "fit", a dict of eV per atom by symbol, or None; got '
            f"{given!r}"
        )
