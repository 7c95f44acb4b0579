"""Learning rates as functions of the progress of training."""

import math

SCHEDULES = ("onecycle", "cosine", "constant")
_WARM_UP = 0.3  # part of a cycle in which the rate rises
_START = 1 / 25  # of the peak


def learning_rate(schedule: str, progress: float) -> float:
    """Return the learning rate relative to its peak.

    Parameters
    ----------
    schedule : {"onecycle", "cosine", "constant"}
        One cycle rises from 1/25 over the first 30 % and falls to nothing, along cosines (Smith and
        Topin 2019); cosine only falls.
    progress : float
        Part of all steps that is done, 0 to 1.

    Returns
    -------
    float
    """
    if schedule == "constant":
        return 1.0
    if schedule == "cosine":
        return (1 + math.cos(math.pi * progress)) / 2
    if progress < _WARM_UP:
        return _START + (1 - _START) * (1 - math.cos(math.pi * progress / _WARM_UP)) / 2
    return (1 + math.cos(math.pi * (progress - _WARM_UP) / (1 - _WARM_UP))) / 2
