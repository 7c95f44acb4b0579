"""A process that tries inputs under a limit of memory, and its supervisor, with one of time."""

import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from campaign.case import Case, Outcome, judge

SECONDS = 10  # of CPU time for one input
_PATIENCE = 60.0  # seconds on the clock: others may be at work on this machine, or it may sleep
_MEMORY = 4 << 30  # bytes beside what an idle worker has mapped
Make = Callable[[np.random.Generator], Case]
CONTEXT = multiprocessing.get_context("forkserver")
# Imported once, and not in every process that is started. torch imports _dynamo in the first fit.
CONTEXT.set_forkserver_preload(["campaign.run", "torch._dynamo", "skuae.training"])


def build(kind: str, make: Make, seed: int, index: int) -> Case:
    """Return the input of a kind, a seed and a running number, the same every time."""
    return make(np.random.default_rng([seed, *kind.encode(), index]))


def limit_memory() -> None:
    """Let this process map so much more memory, where the system can limit that."""
    if sys.platform.startswith("linux"):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * os.sysconf("SC_PAGE_SIZE") + _MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def limit_time(seconds: int) -> None:
    """End this process by SIGXCPU when it has used so much more CPU time."""
    most = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + 1 + seconds, most))


def _work(kind: str, make: Make, connection: Connection, said: Path, seconds: int) -> None:
    from campaign.use import fitted

    os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash need not write all that memory down
    fitted()
    limit_memory()
    connection.send("ready")
    while (job := connection.recv()) is not None:
        seed, index, folder = job
        before = said.stat().st_size
        case = build(kind, make, seed, index)
        for name, content in case.files.items():
            (folder / name).write_bytes(content)
        limit_time(seconds)
        outcome = judge(case, folder)
        if outcome.end != "fault" and said.stat().st_size > before:
            outcome = Outcome("fault", "stderr", said.read_text()[before:], case.mutations)
        connection.send(outcome)


class Supervisor:
    """Keeps one worker alive, and starts another after a crash or a hang.

    Parameters
    ----------
    kind : str
        Name of the kind of input.
    make : callable
        Makes one input from a generator of random numbers.
    """

    def __init__(self, kind: str, make: Make) -> None:
        self._kind, self._make = kind, make
        self._folder = tempfile.TemporaryDirectory()
        self._process: Any = None

    def __enter__(self) -> "Supervisor":
        return self

    def __exit__(self, *error: object) -> None:
        if self._process is not None:
            self._connection.send(None)
        self._end()
        self._folder.cleanup()

    def _start(self) -> None:
        self._connection, other = CONTEXT.Pipe()
        said = Path(self._folder.name) / "stderr"
        self._process = CONTEXT.Process(
            target=_work, args=(self._kind, self._make, other, said, SECONDS)
        )
        self._process.start()
        other.close()
        assert self._connection.recv() == "ready"

    def _end(self, patience: float = 5.0) -> int | None:
        """Kill the worker and return how it had ended, None if it had not."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.join(patience)
        code = process.exitcode
        process.kill()
        process.join()
        self._connection.close()
        return code

    def try_input(self, seed: int, index: int) -> Outcome:
        """Try one input.

        Parameters
        ----------
        seed, index : int

        Returns
        -------
        Outcome
        """
        if self._process is None:
            self._start()
        where: dict[str, int | str] = {"kind": self._kind, "seed": seed, "index": index}
        with tempfile.TemporaryDirectory() as folder:
            self._connection.send((seed, index, Path(folder)))
            outcome = Outcome("fault", "hang", "it goes on and on")
            try:
                if self._connection.poll(_PATIENCE):
                    outcome = self._connection.recv()
                else:
                    self._end(patience=0.0)
            except (EOFError, OSError):
                code = self._end()
                if code != -signal.SIGXCPU:
                    outcome = Outcome("fault", "crash", f"the process ended with {code}")
        mutations = outcome.mutations or build(self._kind, self._make, seed, index).mutations
        return Outcome(outcome.end, outcome.fault, outcome.text, mutations, where)
