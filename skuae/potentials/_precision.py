"""The precision of constants of networks, and of the numbers in them."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def in_double() -> Iterator[None]:
    """Make float64 the default dtype for a while.

    Yields
    ------
    None
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Count numbers below 1e-38 as 0 on the CPU for a while.

    Inputs of the gates of published networks have hundreds as their standard deviation, and a
    processor takes five times as long where the exponential function of such a number is denormal.
    This holds for the thread that calls, and for good in threads that are started meanwhile, but
    not in those that torch has started before. In double precision the limit is 2e-308.

    Yields
    ------
    None
    """
    was = not (torch.full((), 1e-39, dtype=torch.float32) * 0.5).item()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(was)
