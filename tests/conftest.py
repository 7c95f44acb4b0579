"""Fixtures for all tests, and where the tests marked gpu may run."""

import os
import signal

# Two worker processes with all threads each would share two cores with the tests themselves.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import numpy as np
import pytest
import torch

# A process that was started in the background ignores Ctrl-C, which some tests press.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        return
    skip = pytest.mark.skip(reason="needs CUDA or MPS")
    for item in items:
        if item.get_closest_marker("gpu"):  # keywords would have the names of folders, too
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def seeded():
    """Tests that draw from the global generators draw the same in any order."""
    np.random.seed(0)  # noqa: NPY002  (the legacy generator is the one to be pinned here)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def mp_mini():
    """The Materials Project sample that comes with the package, read once."""
    from skuae.datasets import load_mp_mini

    return load_mp_mini()
