"""Processes that fetch one data set into one folder at the same time, some of them killed."""

import gzip
import hashlib
import json
import os
import time
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from local_server import Server

from campaign.case import Fault, Outcome, outcome_of
from campaign.worker import CONTEXT
from skuae.datasets import _matbench, fetch_matbench, make_toy_crystals

_TASK, _N, _SECONDS = "perovskites", 200, 60.0


@cache
def _published() -> bytes:
    toy = make_toy_crystals(_N, random_state=0)
    rows = zip(toy.structures, toy.target.tolist(), strict=True)
    data = [[structure.as_dict(), label] for structure, label in rows]
    table = {"index": list(range(_N)), "columns": ["structure", "label"], "data": data}
    return gzip.compress(json.dumps(table).encode(), mtime=0)


def _fetch(url: str, sha256: str, folder: Path, connection: Any) -> None:
    os.environ["SKUAE_DATA"] = str(folder)
    facts = _matbench._TASKS[_TASK]._replace(sha256=sha256, n_rows=_N)
    _matbench._TASKS[_TASK] = facts
    _matbench._URL = f"{url}/{{}}"
    try:
        data = fetch_matbench(_TASK)
        connection.send((data.structures.lattices.tobytes(), data.target.tobytes()))
    except Exception as error:
        connection.send(f"{type(error).__name__}: {error}")


def fetch_at_once(n_processes: int, rng: np.random.Generator) -> None:
    """Fetch in several processes at once, kill one of them, and fetch again.

    Parameters
    ----------
    n_processes : int
    rng : Generator
        Draws the moments, and how slow the server is.

    Raises
    ------
    Fault
        If one of the others does not get what was published.
    """
    toy = make_toy_crystals(_N, random_state=0)
    expected = toy.structures.lattices.tobytes(), toy.target.tobytes()
    server = Server()
    name = f"/matbench_{_TASK}.json.gz"
    server.answers[name] = {"body": _published(), "delay": float(rng.uniform(0, 0.3))}
    sha256 = hashlib.sha256(_published()).hexdigest()
    with TemporaryDirectory() as place:
        fetching = partial(_Fetcher, server.url, sha256, Path(place))
        try:
            fetchers = [fetching() for _ in range(n_processes)]
            time.sleep(float(rng.uniform(0, 1.0)))
            fetchers.pop().process.kill()
            got = [fetcher.result() for fetcher in [*fetchers, fetching()]]
        finally:
            server.close()
    for one in got:
        if one != expected:
            raise Fault("fetched", one if isinstance(one, str) else "another content")


class _Fetcher:
    """A process that fetches."""

    def __init__(self, *args: Any) -> None:
        self._connection, other = CONTEXT.Pipe()
        self.process = CONTEXT.Process(target=_fetch, args=(*args, other), daemon=True)
        self.process.start()
        other.close()

    def result(self) -> Any:
        """Return what it got, or what went wrong."""
        try:
            answer = self._connection.recv() if self._connection.poll(_SECONDS) else "no answer"
        except EOFError:
            answer = "it crashed"
        self.process.kill()
        self.process.join()
        return answer


def run(seed: int, n: int) -> Iterator[Outcome]:
    """Fetch with four processes at once, so many times.

    Parameters
    ----------
    seed, n : int

    Yields
    ------
    Outcome
    """
    for index in range(n):
        rng = np.random.default_rng([seed, index])
        yield outcome_of("fetch", seed, partial(fetch_at_once, 4, rng))
