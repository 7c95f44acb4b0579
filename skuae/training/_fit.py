"""Training of a net on checked rows: the split, the loop and its setting."""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from skuae._ranks import agreed, are_together, check_same, is_first
from skuae.models import CrystalModule
from skuae.training._callbacks import StoppedByCallback
from skuae.training._checkpoint import Checkpoint, fingerprint
from skuae.training._data import CrystalLoader
from skuae.training._net import CrystalNet, Progress
from skuae.training._network import Network
from skuae.training._norms import check_norms
from skuae.training._seeds import seed_generators, seeded_section
from skuae.training._settings import Settings
from skuae.training._shard_data import dataset_maker, make_loader
from skuae.training._targets import loss_weights
from skuae.training._task import FitData, FittedTask, Targets, Task

_FARTHEST = 1e18  # standard deviations; the square of more overflows float32


def split_validation(
    task: Task,
    targets: Targets,
    sample_weight: np.ndarray | None,
    seed: int,
    validation_fraction: float | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows to train on and those to hold back.

    Rows that teach nothing, without a known target or with weight zero, are in neither.

    Parameters
    ----------
    task : Task
    targets : Targets
    sample_weight : ndarray of shape (n_samples,) or None
    seed : int
    validation_fraction : float or None
        None to hold none back.

    Returns
    -------
    train, valid : ndarray of int

    Raises
    ------
    ValueError
        If the rows are too few, or a target is not known in both parts.
    """
    known = ~np.isnan(targets.values)
    if sample_weight is not None:
        known &= sample_weight[:, None] > 0
    rows = np.flatnonzero(known.any(axis=1))
    if len(rows) and not known.any(axis=0).all():
        column = int(known.any(axis=0).argmin())
        raise ValueError(
            f"target {_name(targets, column)} is known in rows of "
            "weight 0 only: there is nothing to learn; drop it"
        )
    n = len(rows)
    if n < 2:
        what = "sample" if len(known) < 2 else "rows with a known target and a weight"
        raise ValueError(f"{n} {what}: at least 2 are needed to fit a model")
    if validation_fraction is None:
        return rows, np.arange(0)
    n_valid = max(1, round(validation_fraction * n))
    if n - n_valid < 2:
        raise ValueError(
            f"{n} samples leave fewer than 2 to train on with early_stopping=True and "
            f"validation_fraction={validation_fraction}; set early_stopping=False"
            + (" or a smaller validation_fraction" if n > 2 else "")
        )
    order = rows[np.random.default_rng(seed).permutation(n)]
    train, valid = task.hold_back(targets, order, n_valid)
    train, valid = np.sort(train), np.sort(valid)
    missing = ~known[train].any(axis=0) | ~known[valid].any(axis=0)
    if missing.any():
        column = int(np.flatnonzero(missing)[0])
        raise ValueError(
            f"target {_name(targets, column)} is known in "
            f"{int(known[:, column].sum())} rows, too few to be both learned and validated: "
            "set early_stopping=False or a larger validation_fraction"
        )
    return train, valid


def _name(targets: Targets, column: int) -> str | int:
    return targets.names[column] if targets.names else column


class Trained(NamedTuple):
    """What a training leaves behind.

    Attributes
    ----------
    task : FittedTask
    network : Network
        As it is after training.
    net : CrystalNet
        Trained, or stopped by a callback or by the user.
    error : float or None
        That of the rows held back, if there are any and the user has not interrupted.
    was_cut : bool
        Whether a callback ended the training.
    stop : KeyboardInterrupt or None
        That of the user, to be raised again when all is in place.
    """

    task: FittedTask
    network: Network
    net: CrystalNet
    error: float | None
    was_cut: bool
    stop: KeyboardInterrupt | None


def fit_network(
    task: FittedTask,
    network: Network,
    data: FitData,
    settings: Settings,
    source: CrystalModule | None = None,
    *,
    with_head: bool = False,
) -> Trained:
    """Train a network; the result depends on the seed alone, and not on what else runs.

    Parameters
    ----------
    task : FittedTask
    network : Network
    data : FitData
    settings : Settings
    source : CrystalModule, optional
        Trained, for weights to start from.
    with_head : bool, default=False
        Whether the head starts from them too.

    Returns
    -------
    Trained

    Raises
    ------
    ValueError
        If the source has another architecture, or training diverged.
    """
    train, valid = _loaders(task, network, data, settings)
    net, stop = _fit_net(task, network, data, settings, train, source, with_head)
    was_cut = isinstance(stop, StoppedByCallback)
    stop = None if was_cut else stop
    try:
        network = network.finished(net, data, settings, task)
    except KeyboardInterrupt as again:  # once more: without it, the training would be lost
        stop = again
        network = network.finished(net, data, settings, task)
    error = None
    if valid is not None and stop is None:
        try:
            error = _error(task, net, data, valid)
        except KeyboardInterrupt as again:
            stop = again
    return Trained(task, network, net, error, was_cut, stop)


def _error(task: FittedTask, net: CrystalNet, data: FitData, valid: CrystalLoader) -> float:
    """Return the error of the rows held back."""
    weights = task.weigh(data.targets.values, data.sample_weight)
    error = task.error(
        net.outputs(valid),
        data.targets.values[data.valid],
        None if weights is None else weights[data.valid],
    )
    error = agreed(error)
    if not np.isfinite(error):
        net.raise_diverged("the error of the rows held back is not finite")
    return error


def _fit_net(
    task: FittedTask,
    network: Network,
    data: FitData,
    settings: Settings,
    train: CrystalLoader,
    source: CrystalModule | None,
    with_head: bool,
) -> tuple[CrystalNet, KeyboardInterrupt | None]:
    with seeded_section(settings.device):
        seed_generators(settings.seed, settings.device)
        module = network.build(task.n_outputs)
        if source is not None:
            copy_weights(source, module, with_head=with_head)
        if are_together():
            check_norms(module)
            what = "data, parameters or first weights"
            check_same(fingerprint(settings, data, module), what)
        net = make_net(module, task, settings)
        checkpoint = Checkpoint.of(settings, data, module)
        resumed = False
        if checkpoint is not None:
            resumed = checkpoint.resume(net)
            if is_first():
                net.callbacks_.append(("checkpoint", checkpoint))
        try:
            stop = _train(net, train)
            net.check_outputs(train)
        except ValueError as error:
            if checkpoint is None or not resumed:
                raise
            raise ValueError(
                f"{error}. This fit went on from {checkpoint.path}: delete the file to start anew"
            ) from error
    return net, stop


def _train(net: CrystalNet, train: CrystalLoader) -> KeyboardInterrupt | None:
    """Train a net; return the interruption by the user or a callback, if any."""
    stop = None
    net.notify("on_train_begin", X=None, y=None)
    try:
        net.fit_loop(train)
    except KeyboardInterrupt as error:
        if are_together() and not isinstance(error, StoppedByCallback):
            raise  # other ranks go on, and would wait
        stop = error
    net.notify("on_train_end", X=None, y=None)
    try:
        net.settle(train)
    except KeyboardInterrupt as error:
        if are_together():
            raise
        stop = error
    return stop


def _loaders(
    task: FittedTask, network: Network, data: FitData, settings: Settings
) -> tuple[CrystalLoader, CrystalLoader | None]:
    pack = partial(network.pack, device=settings.device, verbose=settings.verbose)
    make_dataset = dataset_maker(data.crystals, pack)
    options: dict[str, Any] = {
        "batch_size": settings.batch_size,
        "by_size": network.backbone.pads,
    }

    def put(array: np.ndarray | None) -> torch.Tensor | None:
        if array is None:
            return None
        return torch.tensor(array, dtype=network.dtype, device=settings.device)

    encoded = task.encode(data.targets.values)
    _check_near(encoded, data)
    y = put(encoded)
    weighed = task.weigh(data.targets.values, data.sample_weight)
    weights = put(loss_weights(data.targets.values, weighed, data.train))
    train = make_loader(
        make_dataset(data.train, y, weights),
        shuffle=True,
        transform=network.backbone.augmentation(),
        seed=settings.seed,
        shared=True,
        **options,
    )
    if not len(data.valid):
        return train, None
    return train, make_loader(make_dataset(data.valid, y, weights), shuffle=False, **options)


def _check_near(encoded: np.ndarray, data: FitData) -> None:
    """Raise if the square of a scaled target is beyond float32, and name the row."""
    used = np.union1d(data.train, data.valid)
    far = np.argwhere(np.abs(encoded[used]) > _FARTHEST)
    if len(far):
        row, column = int(used[far[0, 0]]), far[0, 1]
        raise ValueError(
            f"{data.crystals.where(row)}: y is {data.targets.values[row, column]:g}, more than "
            f"{_FARTHEST:g} standard deviations from the mean of the training rows; repair it, or "
            "set it to NaN to leave it out"
        )


def make_net(module: CrystalModule, task: FittedTask, settings: Settings) -> CrystalNet:
    """Return the skorch net of a module, ready to be trained or to predict.

    Parameters
    ----------
    module : CrystalModule
    task : FittedTask
    settings : Settings

    Returns
    -------
    CrystalNet
    """
    callbacks: list[Any] = []
    if settings.verbose and is_first():
        callbacks.append(("progress", Progress()))
    net = CrystalNet(
        module,
        task.criterion(),
        seed=settings.seed,
        lr=settings.lr,
        lr_schedule=settings.lr_schedule,
        embedding_lr_ratio=settings.element_lr_ratio,
        weight_decay=settings.weight_decay,
        clip_norm=settings.clip_norm,
        optimizer=settings.optimizer,
        max_epochs=settings.max_epochs,
        device=settings.device,
        callbacks=callbacks + list(settings.callbacks),
        callbacks__print_log=None,
        verbose=0,
    )
    return net.initialize()


def copy_weights(source: CrystalModule, module: CrystalModule, *, with_head: bool) -> None:
    """Copy the weights of one module into another.

    Parameters
    ----------
    source, module : CrystalModule
    with_head : bool
        Whether to copy those of the head.

    Raises
    ------
    ValueError
        If one has no place in the other.
    """
    head = {id(value) for value in source.head.state_dict(keep_vars=True).values()}
    weights = module.state_dict()
    for name, value in source.state_dict(keep_vars=True).items():
        if id(value) in head and not with_head:
            continue
        if name not in weights or weights[name].shape != value.shape:
            raise ValueError(
                f"the model to start from has another architecture: {name} {tuple(value.shape)} "
                "does not fit; use the same backbone, table and widths, or start anew"
            )
        weights[name] = value
    module.load_state_dict(weights)


def history_of(net: CrystalNet) -> list[dict[str, Any]]:
    """Return number, loss and seconds of every epoch.

    Parameters
    ----------
    net : CrystalNet

    Returns
    -------
    list of dict
    """
    return [
        {"epoch": epoch["epoch"], **{k: float(epoch[k]) for k in ("train_loss", "dur")}}
        for epoch in net.history
        if "train_loss" in epoch  # not that of an interruption
    ]
