"""Callbacks of the user: refused before training if they cannot work; they may end training."""

import dis
from typing import Any

from sklearn.base import clone
from skorch.callbacks import (
    BatchScoring,
    Callback,
    EarlyStopping,
    EpochScoring,
    InputShapeSetter,
    LoadInitState,
    LRScheduler,
    PassthroughScoring,
    TrainEndCheckpoint,
    WandbLogger,
)

_UNFIT: dict[type[Callback], str] = {  # that would stop the fit in the middle, or do nothing
    EpochScoring: "early_stopping=True scores rows that are held back: epochs_tried_",
    BatchScoring: "early_stopping=True scores rows that are held back: epochs_tried_",
    PassthroughScoring: "history_ has the losses",
    LRScheduler: "lr_schedule sets the learning rate of every step",
    TrainEndCheckpoint: "save_pretrained saves the fitted model, checkpoint_dir what is running",
    LoadInitState: "checkpoint_dir resumes a killed fit, init_from starts from a fitted model",
    InputShapeSetter: "the network knows the width of its inputs",
}
_RECORDED = ("epoch", "dur", "train_loss", "train_loss_best", "train_batch_count")


class StoppedByCallback(KeyboardInterrupt):
    """A callback ended the training, as skorch's EarlyStopping does."""


def check_callbacks(callbacks: Any) -> None:
    """Raise ValueError at the first callback that cannot work.

    Parameters
    ----------
    callbacks : list of skorch callbacks, of their classes or of (name, callback), or None
    """
    callbacks = callbacks or []
    if not isinstance(callbacks, (list, tuple)):
        raise ValueError(f"callbacks must be a list of skorch callbacks; got {callbacks!r}")
    made = [_made(_without_name(given), given) for given in callbacks]
    recorded = {*_RECORDED, *(getattr(callback, "event_name", None) for callback in made)}
    for callback in made:
        name, wanted = type(callback).__name__, _wanted(callback)
        for unfit, instead in _UNFIT.items():
            if isinstance(callback, unfit):
                raise ValueError(f"callbacks: {name} does not work in skuae's loop; {instead}")
        others = any(not type(c).__module__.startswith("skorch.") for c in made)  # may record it
        if isinstance(wanted, str) and wanted not in recorded and not others:
            raise ValueError(
                f"callbacks: {name} looks at {wanted!r}, which nothing records; set "
                f"{_way_out(callback)}"
            )


def _without_name(given: Any) -> Any:
    return given[1] if isinstance(given, tuple) and len(given) == 2 else given


def _made(callback: Any, given: Any) -> Callback:
    """Return a callback; a class is instantiated, as skorch does."""
    if isinstance(callback, type) and issubclass(callback, Callback):
        try:
            return callback()
        except TypeError as error:
            raise ValueError(
                f"callbacks: {callback.__name__} cannot be made without arguments ({error}); pass "
                f"an object, {callback.__name__}(...)"
            ) from error
    if not isinstance(callback, Callback):
        raise ValueError(f"callbacks must be skorch callbacks; one is {given!r}")
    return callback


def _wanted(callback: Callback) -> Any:
    """Return the entry of the history that a callback needs."""
    if isinstance(callback, WandbLogger):
        return "valid_loss_best" if callback.save_model else None
    return getattr(callback, "monitor", None)


def _way_out(callback: Callback) -> str:
    if isinstance(callback, WandbLogger):
        return "save_model=False of the logger"
    if isinstance(callback, EarlyStopping):
        return 'monitor="train_loss", or early_stopping=True of the estimator instead'
    return 'monitor="train_loss_best", or monitor=None for every epoch'


def name_uncloneable(callbacks: Any, error: Exception) -> None:
    """Raise TypeError if a callback is why an estimator cannot be cloned.

    Parameters
    ----------
    callbacks : list or None
    error : Exception
        What cloning raised.
    """
    for given in callbacks if isinstance(callbacks, (list, tuple)) else []:
        callback = _without_name(given)
        try:
            clone(callback, safe=False)
        except Exception as reason:
            kind = callback if isinstance(callback, type) else type(callback)
            raise TypeError(
                f"callbacks: {kind.__name__} cannot be copied ({reason}), and clone, "
                "cross-validation and searches copy an estimator with its callbacks. Set "
                "callbacks=None for these, or pass a callback of your own that opens its writer, "
                "run or file in on_train_begin and closes it in on_train_end"
            ) from error


def was_raised(error: BaseException) -> bool:
    """Return whether a ``raise`` statement made an error; Ctrl-C comes in between statements."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return False
    code = trace.tb_frame.f_code.co_code
    return dis.opname[code[trace.tb_lasti]] == "RAISE_VARARGS"
