"""Inputs by which a worker comes to grief, to see that its supervisor notices."""

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from campaign.case import Case


def _crash(folder: Path) -> None:
    os.abort()


def _hang(folder: Path) -> None:
    while True:
        pass


def _sleep(folder: Path) -> None:
    time.sleep(600)


def _swallow(folder: Path) -> None:
    bytearray(1 << 36)


def _mutter(folder: Path) -> None:
    os.write(2, b"something is wrong")


PLANTED: dict[str, Callable[[Path], None]] = {
    "crash": _crash,
    "hang": _hang,
    "sleep": _sleep,
    "memory": _swallow,
    "stderr": _mutter,
}


def _make(name: str, rng: np.random.Generator) -> Case:
    return Case((name,), {}, "either", PLANTED[name], ("-",))


MAKE = {name: partial(_make, name) for name in PLANTED}
