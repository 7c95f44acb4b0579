"""Files that skuae wrote itself, damaged or forged: models, element tables, crystals, checkpoints.

A damaged file must be refused by name, or be what was written. A forged one has a right checksum;
it must be refused by name, or give finite results.
"""

import io
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from safetensors import safe_open

from campaign.case import Case, Fault
from campaign.damage import damage, disturb
from campaign.mutate import pick
from campaign.use import check_use, fitted, small_network
from skuae import CrystalGNNRegressor, Crystals, ElementTable, UAETransformer, as_crystals
from skuae._files import read_safetensors, write_safetensors
from skuae.datasets import make_toy_crystals

Files = dict[str, bytes]
Names = tuple[str, ...]


@cache
def toy() -> Any:
    """Return crystals and targets for all of this."""
    return make_toy_crystals(16, random_state=0)


def _written(save: Callable[[Path], object]) -> Files:
    with TemporaryDirectory() as folder:
        save(Path(folder))
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def _same(one: np.ndarray, other: np.ndarray, what: str) -> None:
    if not np.array_equal(one, other):
        raise Fault("changed", f"{what} differ from what was written")


def _finite(values: np.ndarray, what: str) -> None:
    if not np.isfinite(values).all():
        raise Fault("not finite", what)


# -- forging --------------------------------------------------------------------------------------


def _forge_arrays(arrays: dict[str, Any], rng: np.random.Generator) -> tuple[Names, dict[str, Any]]:
    """Change one array at random."""
    name = str(rng.choice(list(arrays)))
    array = np.array(arrays[name])
    flat = array.reshape(-1)
    ways: dict[str, Callable[[], Any]] = {
        "dropped": lambda: None,
        "shorter": lambda: array[:-1] if array.ndim else np.zeros(2, array.dtype),
        "doubled": lambda: np.concatenate([array, array]) if array.ndim else array,
        "transposed": lambda: array.T,
        "flat": lambda: flat,
        "empty": lambda: array[:0] if array.ndim else np.empty(0, array.dtype),
        "half precision": lambda: array.astype(np.float16),
        "integers": lambda: array.astype(np.int64),
        "complex": lambda: array.astype(complex),
        "zero": lambda: np.zeros_like(array),
        "shuffled": lambda: rng.permutation(flat).reshape(array.shape),
        "one huge": lambda: _put(array, rng, 1e30),
        "one negative": lambda: _put(array, rng, -1),
        "one NaN": lambda: _put(array.astype(np.float32), rng, np.nan),
        "scaled": lambda: (array * pick(rng, 1e-3, 1e3, 255)).astype(array.dtype),
    }
    way = str(rng.choice(list(ways)))
    try:
        with np.errstate(all="ignore"):
            changed = ways[way]()
    except (TypeError, ValueError, OverflowError):  # letters are not scaled
        way, changed = "dropped", None
    kept = {key: value for key, value in arrays.items() if key != name}
    return (name, way), kept if changed is None else {**kept, name: changed}


def _put(array: np.ndarray, rng: np.random.Generator, value: float) -> np.ndarray:
    if array.size:
        array.reshape(-1)[int(rng.integers(array.size))] = value
    return array


def _forge_safetensors(content: bytes, rng: np.random.Generator) -> tuple[Names, bytes]:
    """Change an array, or what is written beside the arrays, under a new checksum."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.safetensors"
        path.write_bytes(content)
        with safe_open(path, framework="numpy") as file:
            format = json.loads(file.metadata()["skuae"])["format"]
        tensors, card = read_safetensors(path, format=format)
        names: Names
        if rng.random() < 0.4:
            names, card = disturb(card, rng)
        else:
            names, tensors = _forge_arrays(tensors, rng)
        # safetensors has no complex numbers
        tensors = {k: np.array(v.real if v.dtype.kind == "c" else v) for k, v in tensors.items()}
        write_safetensors(path, tensors, card, format=format)
        return names, path.read_bytes()


def _damage_one(files: Files, rng: np.random.Generator) -> tuple[Names, Files]:
    file = str(rng.choice(sorted(files)))
    if rng.random() < 0.1:
        return (file, "missing"), {k: v for k, v in files.items() if k != file}
    way, content = damage(files[file], rng)
    return (file, way), {**files, file: content}


# -- models ---------------------------------------------------------------------------------------


@cache
def _model() -> Files:
    return _written(fitted().save_pretrained)


def make_model(rng: np.random.Generator) -> Case:
    """Make a folder of a model, damaged or forged."""
    files = {k: v for k, v in _model().items() if k != "README.md"}
    forged = rng.random() < 0.7
    if forged:
        names, content = _forge_safetensors(files["model.safetensors"], rng)
        files = {**files, "model.safetensors": content}
    else:
        names, files = _damage_one(files, rng)

    def check(folder: Path) -> None:
        model = CrystalGNNRegressor.from_pretrained(folder, device="cpu")
        prediction = model.predict(toy().structures)
        if forged:
            _finite(prediction, "predictions")
        else:
            _same(prediction, fitted().predict(toy().structures), "predictions")

    said = ("model.safetensors", "{folder}")
    return Case(names, files, "either", check, said)


# -- element tables -------------------------------------------------------------------------------


@cache
def _table() -> ElementTable:
    values = np.random.default_rng(0).normal(size=(90, 4))
    return ElementTable(values, range(1, 91), name="mine", metadata={"source": "here"})


def make_table(rng: np.random.Generator) -> Case:
    """Make a file of an element table, damaged or forged."""
    file = "table.safetensors"
    content = _written(lambda folder: _table().save(folder / file))[file]
    forged = rng.random() < 0.6
    if forged:
        names, content = _forge_safetensors(content, rng)
    else:
        way, content = damage(content, rng)
        names = (way,)

    def check(folder: Path) -> None:
        table = ElementTable.load(folder / file)
        if not forged:
            _same(table.values[:90], _table().values[:90], "values")
        _finite(table.values[table.seen], "values")
        features = UAETransformer(table, on_missing_element="mean").fit_transform(toy().structures)
        _finite(np.asarray(features, float), "features")

    return Case(names, {file: content}, "either", check, (file, "table '"))


# -- packed crystals ------------------------------------------------------------------------------


@cache
def _packed() -> Files:
    structures = [*toy().structures[:3]]
    structures[1].replace(0, {"Li": 0.5, "Na": 0.4})
    crystals = as_crystals(structures, ids=["a", "b", "c"])
    crystals.symmetry()
    return _written(lambda folder: crystals.save(folder / "a.npz"))


def make_packed(rng: np.random.Generator) -> Case:
    """Make a file of packed crystals, damaged or forged."""
    content = _packed()["a.npz"]
    forged = rng.random() < 0.6
    if forged:
        with np.load(io.BytesIO(content)) as file:
            names, arrays = _forge_arrays(dict(file), rng)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        content = buffer.getvalue()
    else:
        way, content = damage(content, rng)
        names = (way,)

    def check(folder: Path) -> None:
        crystals = Crystals.load(folder / "a.npz")
        if not forged:
            (folder / "b.npz").write_bytes(_packed()["a.npz"])
            whole = Crystals.load(folder / "b.npz")
            for part in ("numbers", "frac_coords", "lattices", "occ_values", "ids"):
                _same(getattr(crystals, part), getattr(whole, part), part)
            _same(crystals.symmetry().orbits, whole.symmetry().orbits, "orbits")
        check_use(crystals)

    return Case(names, {"a.npz": content}, "either", check, ("a.npz", "row "))


# -- checkpoints ----------------------------------------------------------------------------------


@cache
def _checkpoint() -> Files:
    return _written(lambda folder: _resumed(folder))


def _resumed(folder: Path) -> np.ndarray:
    network = small_network(checkpoint_dir=folder)
    return network.fit(toy().structures, toy().target).predict(toy().structures)


@cache
def _never_stopped() -> np.ndarray:
    network = small_network()
    return network.fit(toy().structures, toy().target).predict(toy().structures)


def make_checkpoint(rng: np.random.Generator) -> Case:
    """Make a checkpoint, damaged or forged."""
    ((file, content),) = _checkpoint().items()
    forged = rng.random() < 0.6
    if forged:
        names, content = _forge_safetensors(content, rng)
    else:
        way, content = damage(content, rng)
        names = (way,)

    def check(folder: Path) -> None:
        prediction = _resumed(folder)
        if forged:
            _finite(prediction, "predictions")
        else:
            _same(prediction, _never_stopped(), "predictions")

    return Case(names, {file: content}, "either", check, (file,))
