"""Crystals in a file that is mapped into memory, and their graphs in files beside it.

Graphs take longer to build than to read. Those of the crystals of a shard are written when they are
first asked for, in a file whose name is a fingerprint of their setting.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from skuae._files import checked_content, map_safetensors, write_safetensors
from skuae._row_names import rows_called
from skuae._warnings import warn
from skuae.crystals._arrays import arrays_by_level, joined_arrays
from skuae.crystals._crystals import Crystals
from skuae.crystals._derived import Derived
from skuae.crystals._graphs import CrystalGraphs, Neighbors, warn_of_isolated
from skuae.crystals._levels import Levels, check_levels, schema_of
from skuae.crystals._reduced import ReducedGraphs
from skuae.crystals._symmetry import CrystalSymmetry, warn_of_no_symmetry

_FORMAT, _FORMAT_DERIVED = "skuae-shard-1", "skuae-derived-1"
_DERIVED = {cls.__name__: cls for cls in (CrystalGraphs, ReducedGraphs, CrystalSymmetry)}
_LABEL = "label/"
_NOT_KEPT: set[Path] = set()  # folders that a warning has named
_ARRAYS = (*schema_of(Crystals), "occ_sites")


class Shard(NamedTuple):
    """What a file of `write_shard` holds.

    Attributes
    ----------
    crystals : Crystals
        What is derived from them is kept in files beside this one.
    labels : dict of str to ndarray of shape (n_crystals,)
        By name; numbers, booleans or texts.
    checksum : str
        Of all of it.
    """

    crystals: Crystals
    labels: dict[str, np.ndarray]
    checksum: str


def write_shard(
    path: str | PathLike, crystals: Crystals, labels: Mapping[str, np.ndarray] | None = None
) -> str:
    """Write crystals and labels to a file that can be mapped, all or nothing.

    Parameters
    ----------
    path : str or path-like
        Ends in ``.safetensors``.
    crystals : Crystals
    labels : dict of str to ndarray of shape (n_crystals,), optional
        Numbers, booleans or texts.

    Returns
    -------
    str
        The checksum.
    """
    arrays: dict[str, Any] = {name: getattr(crystals, name) for name in _ARRAYS}
    arrays |= {_LABEL + name: values for name, values in (labels or {}).items()}
    tensors = {name: _coded(array) for name, array in arrays.items() if array is not None}
    texts = [name for name in tensors if arrays[name].dtype.kind == "U"]
    return write_safetensors(path, tensors, {"texts": texts}, format=_FORMAT)


def read_shard(path: str | PathLike, start: int = 0) -> Shard:
    """Read what `write_shard` wrote, and check it. Nothing is unpickled.

    Parameters
    ----------
    path : str or path-like
    start : int, default=0
        Number of the first crystal among those in the folder, for messages.

    Returns
    -------
    Shard

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is of another kind or version, or is damaged.
    """
    tensors, card, checksum = map_safetensors(path, format=_FORMAT)
    with checked_content(path, "crystals"):
        for name in card["texts"]:
            tensors[name] = _text(tensors[name])
        labels = {n.removeprefix(_LABEL): v for n, v in tensors.items() if n.startswith(_LABEL)}
        crystals = Crystals(**{n: v for n, v in tensors.items() if not n.startswith(_LABEL)})
        wrong = next((name for name, v in labels.items() if v.shape != (len(crystals),)), None)
        if wrong is not None:
            raise ValueError(f"{wrong!r} has shape {labels[wrong].shape}")
    crystals._derived = _Kept(Path(path), checksum, start)
    return Shard(crystals, labels, checksum)


def join_shards(parts: Sequence[tuple[Crystals, np.ndarray | None]]) -> Crystals:
    """Join crystals of shards end to end. What is derived from them is joined, too.

    Parameters
    ----------
    parts : sequence of (Crystals, ndarray of int or None)
        At least one. Crystals that `read_shard` read, and the rows of them to take; None for all.

    Returns
    -------
    Crystals
    """
    taken = [_rows_of(crystals, rows) for crystals, rows in parts]
    arrays = joined_arrays([arrays_by_level(crystals) for crystals in taken])
    return Crystals._from_arrays(arrays, _Joined(taken))


def _rows_of(crystals: Crystals, rows: np.ndarray | None) -> Crystals:
    if rows is None:
        return crystals
    part = crystals[rows]
    part._derived = Derived(parent=(crystals, rows))  # also of a small part: it need not be built
    return part


class _Kept(Derived):
    """Results derived from the crystals in a file, kept in files beside it."""

    warns = False  # but once, when it is computed

    def __init__(self, path: Path, checksum: str, start: int) -> None:
        super().__init__()
        self.path, self.checksum, self.start = path, checksum, start

    def get(self, crystals: Crystals, setting: tuple, build: Callable[[Crystals], Any]) -> Any:
        if setting not in self.ready:
            self.ready[setting] = self._read_or_build(crystals, setting, build)
        return self.ready[setting]

    def _read_or_build(
        self, crystals: Crystals, setting: tuple, build: Callable[[Crystals], Any]
    ) -> Levels:
        card = {"setting": json.loads(json.dumps(setting)), "of": self.checksum}
        key = hashlib.sha256(json.dumps(card["setting"]).encode()).hexdigest()[:12]
        path = self.path.with_suffix(f".{key}.safetensors")
        if path.is_file():
            found = _read_derived(path, card, crystals)
            if found is not None:
                return found
        folder = path.parent
        with rows_called(lambda row: f"row {self.start + row} of {folder}"):
            built: Levels = build(crystals)
            if isinstance(built, CrystalSymmetry):
                warn_of_no_symmetry(crystals, built)
            elif isinstance(built, Neighbors):
                warn_of_isolated(crystals, built)
        card |= {"class": type(built).__name__, "settings": built.settings()}
        card["settings"] = json.loads(json.dumps(card["settings"], default=np.generic.item))
        try:
            write_safetensors(path, built.arrays(), card, format=_FORMAT_DERIVED)
        except OSError as error:
            if folder not in _NOT_KEPT:
                _NOT_KEPT.add(folder)
                warn(
                    f"graphs or symmetry of crystals in {folder} are not kept "
                    f"({error.strerror or error}): each epoch of fit and each prediction computes "
                    "them anew; make room there, make the folder writable, or copy it"
                )
        return built


def _read_derived(path: Path, expected: dict[str, Any], crystals: Crystals) -> Levels | None:
    """Read results derived from these crystals; None if they belong to former crystals."""
    try:
        tensors, card, _ = map_safetensors(path, format=_FORMAT_DERIVED)
    except ValueError as error:
        raise ValueError(f"{error}; delete the file, and it is made again") from error
    with checked_content(path, "what is derived from crystals"):
        if {name: card[name] for name in expected} != expected:
            return None
        cls = _DERIVED[card["class"]]
        check_levels(tensors, schema_of(cls))
        fields: dict[str, Any] = {**tensors, **card["settings"]}
        found = cls(**fields)
        sites = getattr(found, "sites", None)
        if len(found) != len(crystals) or (
            np.any(found.offsets != crystals.offsets)
            if sites is None
            else np.any(sites >= np.repeat(crystals.sizes, np.diff(found.offsets)))
        ):
            raise ValueError("it belongs to other crystals")
    return found


class _Joined(Derived):
    """Results derived from joined crystals: those of the parts, joined at first use."""

    warns = False

    def __init__(self, parts: Sequence[Crystals]) -> None:
        super().__init__()
        self.parts = parts

    def get(self, crystals: Crystals, setting: tuple, build: Callable[[Crystals], Any]) -> Any:
        if setting not in self.ready:
            found = []
            for part in self.parts:
                found.append(part._derived.get(part, setting, build))
                part._derived.forget(setting)
            self.ready[setting] = _join(found)
        return self.ready[setting]


def _join(parts: list[Any]) -> Any:
    """Join graphs of one setting; some may be whole, others merged."""
    if len({type(part) for part in parts}) > 1:
        parts = [_with_counts(p) if isinstance(p, CrystalGraphs) else p for p in parts]
    return parts[0] if len(parts) == 1 else type(parts[0]).concatenate(parts)


def _with_counts(graphs: CrystalGraphs) -> ReducedGraphs:
    """Return whole graphs as merged ones, in which each site stands for itself."""
    sites = np.arange(graphs.offsets[-1]) - np.repeat(graphs.offsets[:-1], np.diff(graphs.offsets))
    fields: dict[str, Any] = graphs.arrays() | graphs.settings()
    del fields["images"]
    return ReducedGraphs(
        **fields,
        sites=sites,
        site_counts=np.ones(len(sites)),
        edge_counts=np.ones(len(graphs.neighbors)),
    )


def _coded(array: np.ndarray) -> np.ndarray:
    """Return an array as safetensors can hold it: texts as numbers of their characters."""
    if array.dtype.kind != "U":
        return array
    array = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    return array.view(np.uint32).reshape(len(array), -1)


def _text(codes: np.ndarray) -> np.ndarray:
    """Return the texts of an array from `_coded`."""
    if codes.ndim != 2 or not codes.shape[1]:
        raise ValueError(f"texts have shape {codes.shape}")
    return np.ascontiguousarray(codes).view(f"U{codes.shape[1]}")[:, 0]
