"""The list of the shards in a folder: what they hold, and whether all are there."""

import hashlib
import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self, get_origin

import numpy as np

from skuae._files import checked_content, write_bytes
from skuae.crystals import Crystals, Shard, read_shard, write_shard
from skuae.datasets._shard_labels import KINDS

FILE = "manifest.json"
_FORMAT = "skuae-shards-1"


@dataclass(frozen=True)
class Entry:
    """One shard.

    Attributes
    ----------
    file : str
    crystals, sites : int
        How many it holds.
    rows : int
        Rows of the source that it was read from.
    checksum : str
    source : int
        Number of the call of `write_shards` that wrote it.
    errors : list of [int, str, str]
        Row of the source, counted from the first of the shard; its name; why it was left out.
    """

    file: str
    crystals: int
    sites: int
    rows: int
    checksum: str
    source: int = 0
    errors: list[list[Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Manifest:
    """The shards of a folder.

    Attributes
    ----------
    shards : list of Entry
    kinds : dict of str to str
        One of `KINDS`, by the name of the label.
    one_target : bool
        Whether y was one-dimensional.
    shard_size : int
        Rows of the source in a shard.
    begun : int
        Shards that were there when the last writing began.
    complete : bool
        Whether that has ended.
    begun_kinds : dict of str to str
        `kinds` when the last writing began.
    """

    shards: list[Entry] = field(default_factory=list)
    kinds: dict[str, str] = field(default_factory=dict)
    one_target: bool = True
    shard_size: int = 4096
    begun: int = 0
    complete: bool = False
    begun_kinds: dict[str, str] = field(default_factory=dict)

    @property
    def counts(self) -> np.ndarray:
        """Crystals of each shard, shape (n_shards,)."""
        return np.array([entry.crystals for entry in self.shards], dtype=np.int64)

    def before(self) -> "Manifest":
        """Return the manifest as it was before the last writing began."""
        facts = {"shards": self.shards[: self.begun], "kinds": self.begun_kinds, "complete": True}
        return Manifest(**{**vars(self), **facts})

    def drop(self, folder: Path) -> None:
        """Forget what the last writing has written."""
        if self.begun:
            self.before().write(folder)
        else:
            (folder / FILE).unlink(missing_ok=True)
        for entry in self.shards[self.begun :]:
            (folder / entry.file).unlink(missing_ok=True)

    def write(self, folder: Path) -> None:
        """Write the manifest, all or nothing."""
        shards = [vars(entry) for entry in self.shards]
        content = {"format": _FORMAT, **vars(self), "shards": shards}
        text = json.dumps({**content, "sha256": _checksum(content)}, indent=1)
        write_bytes(folder / FILE, text.encode())

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the manifest of a folder.

        Raises
        ------
        FileNotFoundError
            If there is none.
        ValueError
            If it was changed since it was written, or makes no sense.
        """
        path = folder / FILE
        if not path.is_file():
            raise FileNotFoundError(
                f"there is no {FILE} in {folder}; datasets.write_shards writes such a folder"
            )
        with checked_content(path, "a list of shards"):
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["format"] != _FORMAT:
                raise ValueError("its format is another one")
            if content.pop("sha256") != _checksum(content):
                raise ValueError("it was changed since it was written")
            del content["format"]
            shards = [Entry(**entry) for entry in content.pop("shards")]
            manifest = cls(shards=shards, **content)
            manifest._check()
        return manifest

    def _check(self) -> None:
        _check_fields(self)
        for number, entry in enumerate(self.shards):
            _check_fields(entry)
            if entry.file != _name(number):
                raise ValueError(f"shard {number} is called {entry.file!r:.80}")
            if any([type(cell) for cell in error] != [int, str, str] for error in entry.errors):
                raise ValueError(f"the errors of {entry.file} are {entry.errors!r:.80}")
        if self.begun > len(self.shards) or not self.shard_size:
            raise ValueError(f"begun is {self.begun}, and shard_size is {self.shard_size}")
        if not {*self.kinds.values(), *self.begun_kinds.values()} <= set(KINDS):
            raise ValueError(f"labels are {self.kinds!r:.80}")

    def add(
        self,
        folder: Path,
        crystals: Crystals | None,
        labels: dict[str, np.ndarray],
        errors: list[list[Any]],
        n_rows: int,
    ) -> "Manifest":
        """Write a shard, then the manifest that lists it; return that."""
        file = _name(len(self.shards))
        source = self.shards[self.begun - 1].source + 1 if self.begun else 0
        if crystals is None:
            entry = Entry(file, 0, 0, n_rows, "", source, errors)
        else:
            checksum = write_shard(folder / file, crystals, labels)
            n = len(crystals)
            entry = Entry(file, n, crystals.n_sites, n_rows, checksum, source, errors)
        added = Manifest(**{**vars(self), "shards": [*self.shards, entry]})
        added.write(folder)
        return added

    def read_shard(self, folder: Path, number: int) -> Shard:
        """Read a shard, and check that it is the one that is listed.

        Raises
        ------
        FileNotFoundError, ValueError
            If it is missing, damaged or another one.
        """
        entry = self.shards[number]
        shard = read_shard(folder / entry.file, int(self.counts[:number].sum()))
        if shard.checksum != entry.checksum or len(shard.crystals) != entry.crystals:
            raise ValueError(
                f"{folder / entry.file} is not the shard that {FILE} lists; write the shards again"
            )
        missing = self.kinds.keys() - shard.labels.keys()
        if missing:
            raise ValueError(f"{folder / entry.file} has no label {min(missing)!r}")
        return shard


def _name(number: int) -> str:
    return f"shard-{number:05d}.safetensors"


def _checksum(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _check_fields(part: Entry | Manifest) -> None:
    for one in fields(part):
        value = getattr(part, one.name)
        expected = get_origin(one.type) or one.type
        if type(value) is not expected or (expected is int and value < 0):
            raise ValueError(f"{one.name} is {value!r:.80}")
