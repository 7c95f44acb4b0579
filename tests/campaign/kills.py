"""Processes killed at random moments, while they write files and while they fit."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from campaign.case import Fault, Outcome, outcome_of
from campaign.use import small_network
from campaign.worker import CONTEXT
from skuae import CrystalGNNRegressor, Crystals, ElementTable
from skuae.datasets import make_toy_crystals
from skuae.training import _checkpoint

_EPOCHS = 8


@dataclass(frozen=True)
class Writer:
    """What can be written: made from a number, saved to a folder, read back and told apart."""

    make: Callable[[int], Any]
    save: Callable[[Any, Path], object]
    load: Callable[[Path], Any]
    print: Callable[[Any], bytes]  # equal for equal content alone


@cache
def _crystals(number: int) -> Crystals:
    return make_toy_crystals(2000, random_state=number).structures


@cache
def _table(number: int) -> ElementTable:
    values = np.random.default_rng(number).normal(size=(100, 500))
    return ElementTable(values, range(1, 101), name="mine")


@cache
def _model(number: int) -> CrystalGNNRegressor:
    toy = make_toy_crystals(16, random_state=0)
    return small_network(random_state=number).fit(toy.structures, toy.target)


def _weights(model: CrystalGNNRegressor) -> bytes:
    return b"".join(v.numpy().tobytes() for v in model.net_.module_.state_dict().values())


WRITERS = {
    "save_pretrained": Writer(
        _model,
        lambda model, folder: model.save_pretrained(folder / "model"),
        lambda folder: CrystalGNNRegressor.from_pretrained(folder / "model", device="cpu"),
        _weights,
    ),
    "ElementTable.save": Writer(
        _table,
        lambda table, folder: table.save(folder / "a.safetensors"),
        lambda folder: ElementTable.load(folder / "a.safetensors"),
        lambda table: table.values.tobytes(),
    ),
    "ElementTable.to_csv": Writer(
        _table,
        lambda table, folder: table.to_csv(folder / "a.csv"),
        lambda folder: ElementTable.load(folder / "a.csv"),
        lambda table: table.values.tobytes(),
    ),
    "Crystals.save": Writer(
        _crystals,
        lambda crystals, folder: crystals.save(folder / "a.npz"),
        lambda folder: Crystals.load(folder / "a.npz"),
        lambda crystals: crystals.lattices.tobytes() + crystals.numbers.tobytes(),
    ),
}


def _write(name: str, new: Any, folder: Path, connection: Any) -> None:
    writer = WRITERS[name]
    writer.save(new, folder / "rehearsal")  # what is slow once is over before the clock starts
    connection.send("ready")
    connection.recv()
    writer.save(new, folder)
    connection.send("done")


def _kill(target: Callable, *args: Any, after: float) -> None:
    """Start a process, and kill it so many seconds after it says that it is ready."""
    connection, other = CONTEXT.Pipe()
    process = CONTEXT.Process(target=target, args=(*args, other))
    process.start()
    try:
        assert connection.recv() == "ready"
        connection.send("go")
        time.sleep(after)
        process.kill()
        process.join()
    finally:
        connection.close()
        other.close()


@cache
def _seconds(name: str) -> float:
    """Return how long a write takes that is not killed."""
    writer = WRITERS[name]
    with TemporaryDirectory() as folder:
        times = []
        for number in (0, 1):
            content = writer.make(number)
            start = time.perf_counter()
            writer.save(content, Path(folder))
            times.append(time.perf_counter() - start)
    return times[-1]


def kill_writer(name: str, rng: np.random.Generator) -> None:
    """Kill a process that writes over an older content.

    Parameters
    ----------
    name : str
        Of one of `WRITERS`.
    rng : Generator
        Draws the moment.

    Raises
    ------
    Fault
        If the old and the new content are lost, or what the dead writer left stays for good.
    """
    writer = WRITERS[name]
    old, new = (writer.print(writer.make(number)) for number in (0, 1))
    with TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "rehearsal").mkdir()
        writer.save(writer.make(0), folder)
        whole = _left_in(folder)
        after = float(rng.uniform(0, 1.5 * _seconds(name)))
        _kill(_write, name, writer.make(1), folder, after=after)
        try:
            found = writer.print(writer.load(folder))
        except Exception as error:
            raise Fault("lost", f"killed after {after:.4f} s: {error}") from error
        if found not in (old, new):
            raise Fault("mixed", f"killed after {after:.4f} s: neither old nor new")
        writer.save(writer.make(1), folder)
        if _left_in(folder) != whole:
            raise Fault("left over", f"{sorted(_left_in(folder) - whole)} beside a whole write")


def _left_in(folder: Path) -> set[str]:
    paths = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return {path for path in paths if not path.startswith("rehearsal")}


# -- fits -----------------------------------------------------------------------------------------


def _network(seed: int, **params: Any) -> CrystalGNNRegressor:
    return small_network(max_epochs=_EPOCHS, random_state=seed, early_stopping=True, **params)


def _fit(seed: int, folder: Path, connection: Any) -> None:
    _checkpoint.SECONDS_BETWEEN = 0.0
    toy = make_toy_crystals(48, random_state=seed)
    connection.send("ready")
    connection.recv()
    _network(seed, checkpoint_dir=folder).fit(toy.structures, toy.target)


def kill_fit(rng: np.random.Generator) -> None:
    """Kill a fit again and again, let it end, and compare it with one that was never killed.

    Parameters
    ----------
    rng : Generator
        Draws the fit and the moments.

    Raises
    ------
    Fault
        If weights or predictions differ by a bit.
    """
    seed = int(rng.integers(2**31))
    toy = make_toy_crystals(48, random_state=seed)
    start = time.perf_counter()
    whole = _network(seed).fit(toy.structures, toy.target)
    took = time.perf_counter() - start
    with TemporaryDirectory() as place:
        folder = Path(place)
        moments = rng.uniform(0, took, int(rng.integers(1, 4)))
        for after in moments:
            _kill(_fit, seed, folder, after=float(after))
        try:
            resumed = _network(seed, checkpoint_dir=folder).fit(toy.structures, toy.target)
        except Exception as error:
            raise Fault("lost", f"cannot go on: {error}") from error
    if _weights(resumed) != _weights(whole) or resumed.n_iter_ != whole.n_iter_:
        raise Fault("other bits", f"killed after {moments} s")


def run(seed: int, n: int) -> Iterator[Outcome]:
    """Kill each of the writers, and so many fits.

    Parameters
    ----------
    seed, n : int

    Yields
    ------
    Outcome
    """
    attempts: dict[str, Callable[[np.random.Generator], None]] = {"fit": kill_fit}
    attempts |= {name: partial(kill_writer, name) for name in WRITERS}
    for number, (name, attempt) in enumerate(attempts.items()):
        for index in range(n):
            rng = np.random.default_rng([seed, number, index])
            yield outcome_of(f"kill {name}", seed, partial(attempt, rng))
