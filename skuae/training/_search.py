"""Search for the number of epochs: whole trainings, each twice as long as the one before."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from skuae._ranks import are_together
from skuae.training._fit import Trained, history_of

_HALVINGS = 4
_NEAR = 0.1  # of the lowest error
_PATIENCE = 2  # trainings in a row that are not better than the best before
_LEAST_STEPS = 100  # of the optimiser: after fewer, a network has hardly begun to learn


class Found(NamedTuple):
    """The end of a search.

    Attributes
    ----------
    trained : Trained
        On all rows with the best number of epochs, or the best of those with rows held back.
    tried : list of dict
        Numbers of epochs, and the errors that they left on the rows held back.
    stop : KeyboardInterrupt or None
        That of the user; `trained` is the best so far.
    """

    trained: Trained
    tried: list[dict[str, float]]
    stop: KeyboardInterrupt | None = None


def find_epochs(train: Callable[[int, bool], Trained], max_epochs: int, *, refit: bool) -> Found:
    """Train longer and longer, until the error of the rows held back no longer falls.

    A network is good when the learning rate has fallen to nothing, which is at the end of a
    training. What is seen within a training tells little about where to stop: so each number of
    epochs has a training of its own. Two in a row that are no better end the search, but not before
    a training has had 100 steps: a network that has hardly begun to learn says nothing about more.

    Parameters
    ----------
    train : callable
        Trains anew for a number of epochs, with rows held back or on all rows.
    max_epochs : int
    refit : bool
        Whether to train on all rows with the number that is best.

    Returns
    -------
    Found

    Raises
    ------
    KeyboardInterrupt
        If there is no training yet that could be kept.
    """
    done: list[Trained] = []
    tried: list[dict[str, float]] = []
    try:
        for n in epochs_to_try(max_epochs):
            trained = train(n, True)
            if trained.error is None:  # the user has interrupted it
                kept = done[best_of(tried)] if done else trained
                return Found(kept, tried, trained.stop)
            done.append(trained)
            tried.append({"epochs": len(history_of(trained.net)), "error": trained.error})
            errors = [entry["error"] for entry in tried]
            worse = len(errors) - 1 - int(np.argmin(errors))
            if trained.was_cut or (worse >= _PATIENCE and trained.net.n_steps_ >= _LEAST_STEPS):
                break
        best = done[best_of(tried)]
        if refit:
            again = train(best.net.max_epochs, False)
            return Found(best if again.stop else again, tried, again.stop)
        return Found(best, tried)
    except KeyboardInterrupt as stop:  # between two trainings
        if not done or are_together():  # other ranks go on, and would wait
            raise
        return Found(done[best_of(tried)], tried, stop)


def best_of(tried: list[dict[str, float]]) -> int:
    """Return the index of the best number of epochs.

    The errors of a few rows scatter. A parabola over the trainings, each twice as long as the one
    before, evens that out: it decides between those within a tenth of the lowest error.

    Parameters
    ----------
    tried : list of dict
        As in `Found`.

    Returns
    -------
    int
    """
    errors = np.array([entry["error"] for entry in tried])
    if len(errors) < 4:  # three have a parabola that goes through them
        return int(errors.argmin())
    index = np.arange(len(errors))
    scaled = errors / np.abs(errors).max(initial=1e-300)
    curve = np.polyval(np.polyfit(index, scaled, 2), index)
    near = scaled <= scaled.min() + _NEAR * np.abs(scaled.min())
    return int(np.where(near, curve, np.inf).argmin())


def epochs_to_try(max_epochs: int) -> list[int]:
    """Return `max_epochs` halved up to four times, the smallest number first.

    Parameters
    ----------
    max_epochs : int

    Returns
    -------
    list of int
    """
    return sorted({math.ceil(max_epochs / 2**k) for k in range(_HALVINGS + 1)})
