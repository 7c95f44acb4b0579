"""Generators of torch, which a fit has for itself."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# torch has one generator for the whole process: fits in several threads would draw from each
# other's numbers. So they wait for one another; fits in processes (`n_jobs`) do not.
_ONE_AT_A_TIME = threading.RLock()


@contextmanager
def seeded_section(device: torch.device) -> Iterator[None]:
    """Have the generators of the CPU and of one device for oneself; put them back afterwards.

    Parameters
    ----------
    device : torch.device

    Yields
    ------
    None
    """
    devices = [device] if device.type == "cuda" else []
    with _ONE_AT_A_TIME, torch.random.fork_rng(devices=devices):
        before = torch.mps.get_rng_state() if device.type == "mps" else None
        try:
            yield
        finally:
            if before is not None:
                torch.mps.set_rng_state(before)


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed the generators of the CPU and of one device.

    `torch.manual_seed` seeds all devices: a fit on the CPU would disturb what runs on a GPU.

    Parameters
    ----------
    seed : int
    device : torch.device
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
