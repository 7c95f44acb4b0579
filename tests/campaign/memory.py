"""Memory of a process that fits and predicts many times."""

import pickle
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from campaign.case import Fault, Outcome, outcome_of
from campaign.use import fitted, small_network
from campaign.worker import CONTEXT
from skuae import CrystalGNNRegressor, UAETransformer, as_crystals
from skuae.datasets import make_toy_crystals

MOST = 24 << 20  # bytes that a process may grow by after its first rounds
_WARM_UP = 5  # rounds


def _toy(number: int = 0) -> Any:
    return make_toy_crystals(32, random_state=number)


def _fit(number: int) -> None:
    toy = _toy(number)
    small_network(random_state=number).fit(toy.structures, toy.target).predict(toy.structures)


def _predict(number: int) -> None:
    for _ in range(5):
        fitted().predict(list(_toy(number).structures))


def _featurize(number: int) -> None:
    UAETransformer().fit_transform(as_crystals(list(_toy(number).structures)))


def _save_and_load(number: int) -> None:
    with TemporaryDirectory() as folder:
        fitted().save_pretrained(folder)
        CrystalGNNRegressor.from_pretrained(folder, device="cpu").predict(_toy(number).structures)


ROUNDS: dict[str, Callable[[int], None]] = {
    "fit": _fit,
    "predict": _predict,
    "featurize": _featurize,
    "save and load": _save_and_load,
}


def _resident() -> int:
    """Return the bytes that this process holds, or, where the system does not say, held at most."""
    if sys.platform.startswith("linux"):
        import os

        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _measure(name: str, n: int, connection: Any) -> None:
    for number in range(_WARM_UP):
        ROUNDS[name](number)
    before = _resident()
    for number in range(n):
        ROUNDS[name](number)
    connection.send(_resident() - before)


def grow(name: str, n: int) -> None:
    """Repeat something in a process of its own.

    Parameters
    ----------
    name : str
        Of one of `ROUNDS`.
    n : int
        How often, after a warm-up.

    Raises
    ------
    Fault
        If the process grows by more than `MOST` bytes.
    """
    connection, other = CONTEXT.Pipe()
    process = CONTEXT.Process(target=_measure, args=(name, n, other))
    process.start()
    other.close()
    more = connection.recv()
    process.join()
    if more > MOST:
        raise Fault("memory grows", f"by {more >> 20} MiB in {n} rounds")


def chain(n: int) -> None:
    """Fit a network from the one before, again and again; raise Fault if its pickle grows."""
    toy = _toy()
    network = small_network(max_epochs=1).fit(toy.structures, toy.target)
    sizes = []
    for _ in range(n):
        network = small_network(max_epochs=1, init_from=network).fit(toy.structures, toy.target)
        sizes.append(len(pickle.dumps(network)))
    if sizes[-1] > 1.2 * sizes[0]:
        raise Fault("pickle grows", f"from {sizes[0]} to {sizes[-1]} bytes in {n} fits")


def run(seed: int, n: int) -> Iterator[Outcome]:
    """Repeat each of `ROUNDS`, and fits that start from one another.

    Parameters
    ----------
    seed, n : int

    Yields
    ------
    Outcome
    """
    for name in ROUNDS:
        yield outcome_of(f"memory {name}", seed, partial(grow, name, n))
    yield outcome_of("memory chain", seed, partial(chain, min(n, 20)))
