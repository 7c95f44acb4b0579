"""From the parameters of a `CrystalPotential` to a trained one."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from skuae._elements import atomic_number
from skuae._hub import shipped_models
from skuae._messages import such_rows
from skuae._numbers import is_real
from skuae._ranks import refuse_ranks
from skuae.crystals import Crystals
from skuae.embedding import ElementTable, crystals_and_table
from skuae.potentials._checkpoint import PotentialCheckpoint
from skuae.potentials._checks import check_at_least, check_flags, check_numbers
from skuae.potentials._edges import check_ordered
from skuae.potentials._fitted import FittedPotential, edges_at_once, refuse_elements
from skuae.potentials._holdout import check_both_parts, has_new_elements, hold_back
from skuae.potentials._labels import Labels, read_labels
from skuae.potentials._mace_models import read_mace
from skuae.potentials._published import PUBLISHED
from skuae.potentials._saving import DTYPES, read_potential
from skuae.potentials._start import (
    check_vectors,
    fit_references,
    given_references,
    new_potential,
    published_potential,
    resolve_potential,
    with_vectors,
)
from skuae.potentials._state import History, TrainingState
from skuae.potentials._training import LOSSES, LossSettings, TorchLabels, TrainingSettings, train
from skuae.training import SCHEDULES, resolve_device, seed_generators, seed_of, seeded_section

_CPU = torch.device("cpu")  # where weights are drawn


def fit_potential(
    estimator: Any, X: Any, y: Any, X_val: Any, y_val: Any
) -> tuple[FittedPotential, History]:
    """Train a potential.

    Parameters
    ----------
    estimator : CrystalPotential
        Read only.
    X : array-like of crystals
    y : DataFrame, list of dicts or None
    X_val, y_val : same, or None
        To hold back in place of rows of X.

    Returns
    -------
    fitted : FittedPotential
    history : list of dict
    """
    refuse_ranks("CrystalPotential.fit")
    _check_params(estimator)
    crystals, table = crystals_and_table(X)
    labels = read_labels(y, crystals, X)
    n_train = len(crystals)
    if X_val is not None or y_val is not None:
        crystals, labels = _with_validation(estimator, crystals, labels, X_val, y_val)
    n_known = _n_known(estimator, crystals, labels)
    rows = np.flatnonzero(n_known.any(axis=1))
    rows, valid = rows[rows < n_train], rows[rows >= n_train]
    if not len(rows):
        raise ValueError("y has no known label with a weight: there is nothing to learn from")
    seed = seed_of(estimator.random_state)
    if X_val is not None:
        check_both_parts(n_known[rows], n_known[valid], drawn=False)
    elif estimator.early_stopping:
        rows, valid = hold_back(crystals, n_known, rows, estimator.validation_fraction, seed)
    with seeded_section(_CPU):
        seed_generators(seed, _CPU)
        fitted = _start(estimator, crystals, table)
    fitted.module.to(resolve_device(estimator.device))
    _set_references(estimator, fitted, crystals, labels, rows)
    packed = fitted.pack(crystals)
    on_device = TorchLabels(
        labels, fitted.energies_of_elements(crystals), crystals.sizes, crystals.offsets,
        fitted.device, fitted.dtype,
    )  # fmt: skip
    trained = fitted.module.requires_grad_(True).parameters()
    optimizer = torch.optim.AdamW(trained, lr=estimator.lr, weight_decay=estimator.weight_decay)
    patience = estimator.n_iter_no_change if estimator.early_stopping else None
    state = TrainingState(
        fitted.module, optimizer, estimator.max_epochs, estimator.ema_decay, patience
    )
    checkpoint = PotentialCheckpoint.of(estimator, fitted, crystals, labels, rows, state)
    if checkpoint is not None:
        checkpoint.resume()
    train(
        packed, on_device, rows, valid, _settings(estimator, seed, fitted.device), state,
        after_epoch=checkpoint.keep if checkpoint else None,
    )  # fmt: skip
    state.finish()
    optimizer.zero_grad()
    fitted.module.requires_grad_(False)
    if n_known[rows, 3].any():
        fitted.has_magmoms = True
    elif estimator.init_from is not None:
        fitted.has_magmoms = False  # the vectors that moments are read from have changed
    return fitted, state.history


def _with_validation(
    estimator: Any, crystals: Crystals, labels: Labels, X_val: Any, y_val: Any
) -> tuple[Crystals, Labels]:
    """Return crystals and labels: those of training, then those of validation by the user."""
    if not estimator.early_stopping or X_val is None:
        wrong = "y_val without X_val" if X_val is None else "X_val with early_stopping=False"
        raise ValueError(f"{wrong}: pass both, and set early_stopping=True")
    try:
        held_back, _ = crystals_and_table(X_val)
        more = read_labels(y_val, held_back, X_val)
        check_ordered(held_back)
    except (TypeError, ValueError) as error:
        raise type(error)(f"X_val and y_val: {error}") from error
    joined = Crystals.concatenate([crystals, held_back])
    train, valid = (
        np.flatnonzero(_n_known(estimator, *part).any(axis=1))
        for part in ((crystals, labels), (held_back, more))
    )
    new = has_new_elements(joined, train, valid + len(crystals))
    if len(train) and new.any():
        row = int(valid[new.argmax()])
        raise ValueError(
            f"X_val and y_val: {held_back.where(row)} has an element that no row of X with a "
            "known label has; drop the row, or move it to X"
            f"{such_rows(int(new.sum()))}"
        )
    return joined, labels.joined(more)


def _n_known(estimator: Any, crystals: Crystals, labels: Labels) -> np.ndarray:
    """Count known labels that have a weight: (n, 4), by crystal and kind."""
    known: np.ndarray = labels.n_known(crystals.offsets)
    return known * (np.array(loss_of(estimator).weights) > 0)


def read_source(source: str | PathLike[str] | torch.nn.Module) -> tuple[FittedPotential, History]:
    """Read a potential that is published, saved in a folder, or a model of mace-torch.

    Parameters
    ----------
    source : str, path-like, or a model of the mace-torch package

    Returns
    -------
    fitted : FittedPotential
    history : list of dict

    Raises
    ------
    FileNotFoundError, ImportError, TypeError, ValueError
        As of `CrystalPotential.from_pretrained`.
    """
    if isinstance(source, torch.nn.Module):
        return read_mace(source), []
    if isinstance(source, str) and source in PUBLISHED:
        return published_potential(source), []
    if isinstance(source, str) and source in shipped_models() and not Path(source).exists():
        raise ValueError(
            f"{source} is a model that ships with skuae, and no potential; read it with "
            f"skuae.load. Published potentials are {', '.join(PUBLISHED)}"
        )
    if isinstance(source, str) and not Path(source).exists():
        raise FileNotFoundError(
            f"there is no folder {source}, and no published potential of that name; these are "
            f"{', '.join(PUBLISHED)}"
        )
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
    has_magmoms = resolve_potential(estimator.backbone).has_magmoms
    weights = (
        float(estimator.energy_weight),
        float(estimator.force_weight),
        float(estimator.stress_weight),
        float(estimator.magmom_weight) if has_magmoms else 0.0,
    )
    return LossSettings(weights, estimator.loss, float(estimator.huber_delta))


def _settings(estimator: Any, seed: int, device: torch.device) -> TrainingSettings:
    max_edges = edges_at_once(estimator.max_edges, device)
    return TrainingSettings(
        estimator.max_epochs, estimator.batch_size, max_edges, estimator.lr,
        estimator.lr_schedule, estimator.clip_norm, seed, estimator.verbose, loss_of(estimator),
    )  # fmt: skip


def _start(estimator: Any, crystals: Crystals, table: ElementTable | None) -> FittedPotential:
    """Return the potential to train, a copy of its own."""
    backbone, dtype = resolve_potential(estimator.backbone), DTYPES[estimator.dtype]
    frozen, source = estimator.freeze_embedding, _start_of(estimator)
    embedding = table if estimator.embedding is None else estimator.embedding
    if source is None:
        return new_potential(backbone, embedding, frozen, crystals, dtype)
    start = _source(source).copied(dtype, frozen)
    if source is estimator.backbone and embedding is not None:
        return with_vectors(start, embedding, frozen, crystals)
    if estimator.embedding is not None:
        raise ValueError(
            "init_from brings its own vectors of elements: leave embedding=None, or init_from=None"
        )
    if type(start.backbone) is not type(backbone) or (
        start.backbone.get_params() != backbone.get_params()
    ):
        raise ValueError(
            f"init_from has backbone {start.backbone}, this potential {backbone}; set "
            f"backbone={start.backbone}"
        )
    check_vectors(crystals, backbone, len(start.module.elements.table()))
    return start


def _start_of(estimator: Any) -> Any:
    """Return where weights come from: a model that is the backbone, `init_from`, or None."""
    if not isinstance(estimator.backbone, torch.nn.Module):
        return estimator.init_from
    if estimator.init_from is not None:
        raise ValueError(
            "backbone is a model that brings its own weights: leave init_from=None, or pass a "
            "specification such as MACE() as backbone"
        )
    return estimator.backbone


def _source(source: Any) -> FittedPotential:
    if isinstance(source, FrozenEstimator):  # as needed in the grid of a search
        source = source.estimator
    if isinstance(source, (str, PathLike, torch.nn.Module)):
        return read_source(source)[0]
    if not isinstance(getattr(source, "fitted_", None), FittedPotential):
        if type(source).__name__ == "CrystalPotential":
            check_is_fitted(source)
        raise TypeError(
            f"init_from is a {type(source).__name__}; pass one of {', '.join(PUBLISHED)}, the "
            "folder of a saved potential, a fitted CrystalPotential, or a model of mace-torch"
        )
    fitted: FittedPotential = source.fitted_
    return fitted


def _set_references(
    estimator: Any, fitted: FittedPotential, crystals: Crystals, labels: Labels, rows: np.ndarray
) -> None:
    """Set the energies of elements, and mark the elements that are known."""
    fitted.seen = fitted.seen.copy()
    fitted.seen[crystals[rows].numbers.astype(int) - 1] = True
    given = estimator.reference_energies
    if isinstance(given, Mapping):
        fitted.references = given_references(given, fitted.references)
        if _start_of(estimator) is None:
            known = ~fitted.seen  # of those that nobody trains on, none is needed
            known[[atomic_number(element) - 1 for element in given]] = True
            refuse_elements(
                crystals, known, "reference_energies has no energy of {}; add one, in eV "
                'per atom, or set reference_energies="fit"',
            )  # fmt: skip
    elif given == "fit":
        rest = labels.energies - fitted.energies_of_elements(crystals)
        if _start_of(estimator) is not None:
            known = rows[np.isfinite(rest[rows])]
            found = fitted.predict(crystals[known], estimator.max_edges, derivatives=False)
            rest = labels.energies.copy()
            rest[known] -= found.energies
        fitted.references = fitted.references + fit_references(crystals, rest, rows)


def _check_params(estimator: Any) -> None:
    for name in ("max_epochs", "batch_size", "max_edges", "n_iter_no_change"):
        check_at_least(estimator, name, 1)
    check_at_least(estimator, "verbose", 0)
    check_flags(estimator, "freeze_embedding", "early_stopping")
    check_numbers(estimator, "lr", "huber_delta")
    check_numbers(
        estimator, "energy_weight", "force_weight", "stress_weight", "magmom_weight",
        "weight_decay", zero=True,
    )  # fmt: skip
    if estimator.clip_norm is not None:
        check_numbers(estimator, "clip_norm")
    for name in ("validation_fraction", "ema_decay"):
        value = getattr(estimator, name)
        if not (name == "ema_decay" and value is None) and not (is_real(value) and 0 < value < 1):
            raise ValueError(f"{name} must lie between 0 and 1, exclusive; got {value!r}")
    for name, choices in (
        ("loss", LOSSES), ("dtype", tuple(DTYPES)), ("lr_schedule", SCHEDULES),
    ):  # fmt: skip
        if getattr(estimator, name) not in choices:
            raise ValueError(
                f"{name} must be one of {', '.join(choices)}; got {getattr(estimator, name)!r}"
            )
    folder = estimator.checkpoint_dir
    if folder is not None and not isinstance(folder, (str, PathLike)):
        raise TypeError(f"checkpoint_dir must be the path of a folder, or None; got {folder!r}")
    given = estimator.reference_energies
    if not (given is None or isinstance(given, Mapping) or given == "fit"):
        raise ValueError(
            'reference_energies must be "fit", a dict of eV per atom by symbol, or None; got '
            f"{given!r}"
        )
