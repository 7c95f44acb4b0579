"""Fixed defaults of torch and numpy while skuae computes."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch

_AUTOCAST = ("cpu", "cuda", "mps")


class _Float32AsDefault:
    """Set float32 for the process in the first thread, and restore the dtype in the last.

    Threads that predict at the same time would otherwise put back what another one has set.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = torch.float32

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._before = torch.get_default_dtype()
                torch.set_default_dtype(torch.float32)
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                torch.set_default_dtype(self._before)


_FLOAT32 = _Float32AsDefault()


@contextmanager
def library_defaults() -> Iterator[None]:
    """Compute by the defaults of torch and numpy; the caller's settings are back afterwards.

    The default dtype is float32, the default device the CPU, gradients are recorded, and neither
    autocast nor inference mode is on. numpy warns of overflow and ignores underflow.

    Yields
    ------
    None
    """
    _keep_freed_memory()
    with ExitStack() as stack:
        stack.enter_context(_FLOAT32)
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for kind in _AUTOCAST:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":  # the context slows every call of torch
            stack.enter_context(torch.device("cpu"))
        stack.enter_context(np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"))
        yield


def _keep_freed_memory() -> None:
    """Let glibc keep up to 62 MiB that are freed, which the next batch takes again.

    Fresh pages of the system cost up to a tenth of the time of a fit. glibc keeps twice the largest
    block below 32 MiB that was ever freed, so that one is made, and freed untouched.
    """
    np.empty(31 * 2**20, dtype=np.uint8)  # of torch, it would count as weights of a network
