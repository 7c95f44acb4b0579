"""Whole campaigns: everything that there is to try, from a seed and a size."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from campaign import fetches, kills, memory
from campaign.case import Outcome
from campaign.kinds import KINDS
from campaign.worker import Supervisor


@dataclass(frozen=True)
class Size:
    """How much a campaign tries.

    Parameters
    ----------
    inputs : int
        Of all kinds together.
    kills : int
        Of fits, and of each writer.
    rounds : int
        Of fits, predictions and the like in one process.
    fetches : int
        By four processes at once.
    """

    inputs: int
    kills: int
    rounds: int
    fetches: int


SIZES = {
    "small": Size(inputs=240, kills=2, rounds=5, fetches=1),
    "middle": Size(inputs=2000, kills=10, rounds=20, fetches=5),
    "large": Size(inputs=10_000, kills=50, rounds=100, fetches=20),
}

OTHERS: dict[str, Callable[[int, Size], Iterator[Outcome]]] = {
    "kill": lambda seed, size: kills.run(seed, size.kills),
    "memory": lambda seed, size: memory.run(seed, size.rounds),
    "fetch": lambda seed, size: fetches.run(seed, size.fetches),
}

# What files look like can go wrong in more ways than what skuae wrote itself.
_SHARES = {"CIF": 3, "POSCAR": 2, "dict": 2, "id_prop": 2}


def inputs_of(kind: str, size: Size) -> int:
    """Return how many inputs of a kind a campaign tries."""
    shares = {name: _SHARES.get(name, 1) for name in KINDS}
    return max(1, size.inputs * shares[kind] // sum(shares.values()))


def try_inputs(kind: str, seed: int, indices: Iterator[int] | range) -> Iterator[Outcome]:
    """Try inputs of a kind in a worker.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    seed : int
    indices : iterable of int

    Yields
    ------
    Outcome
    """
    with Supervisor(kind, KINDS[kind]) as supervisor:
        for index in indices:
            yield supervisor.try_input(seed, index)


def run(name: str, seed: int, size: Size) -> Iterator[Outcome]:
    """Run one part of a campaign.

    Parameters
    ----------
    name : str
        One of `KINDS` or of `OTHERS`.
    seed : int
    size : Size

    Yields
    ------
    Outcome
    """
    if name in KINDS:
        yield from try_inputs(name, seed, range(inputs_of(name, size)))
    else:
        yield from OTHERS[name](seed, size)
