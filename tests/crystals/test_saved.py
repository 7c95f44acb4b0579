"""Files of crystals that are whole, but are not what `Crystals.save` writes."""

import os

import numpy as np
import pytest

from skuae.crystals import Crystals, _packing, as_crystals


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("occ_sites", None),
        ("occ_sites", lambda array: array[:0]),
        ("occ_values", None),
        ("occ_numbers", None),
        ("lattices", lambda array: array.astype(np.int64)),
        ("frac_coords", lambda array: array.astype(np.float32)),
        ("numbers", lambda array: array.astype(bool)),
        ("offsets", lambda array: array.astype(float)),
        ("occ_sites", lambda array: array.astype(bool)),
        ("ids", lambda array: np.arange(len(array))),
        ("ids", lambda array: array.astype("S")),
    ],
)
def test_files_with_other_arrays_are_refused(structures, disordered, tmp_path, name, change):
    """The arrays of a forged file are not cast, nor left out."""
    as_crystals([structures[0], disordered], ids=["a", "b"]).save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as file:
        arrays = dict(file)
    array = arrays.pop(name)
    np.savez(tmp_path / "a.npz", **arrays, **({} if change is None else {name: change(array)}))
    with pytest.raises(ValueError, match=r"a\.npz is not a file of crystals"):
        Crystals.load(tmp_path / "a.npz")


def test_files_that_expand_without_end_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(_packing, "_LARGE", 10_000)
    np.savez_compressed(tmp_path / "a.npz", format=np.zeros(10**6))
    with pytest.raises(ValueError, match=r"a\.npz is not a file.*would expand to 8000"):
        Crystals.load(tmp_path / "a.npz")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_nothing_waits_for_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileNotFoundError, match=r"there is no file .*pipe"):
        Crystals.load(tmp_path / "pipe")
