"""The ways by which a structure file comes into skuae."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from joblib.externals.loky import get_reusable_executor

from campaign.mutate import pick
from campaign.sample import Atoms
from campaign.use import check_atoms, check_use
from skuae import Crystals, as_crystals
from skuae.datasets import read_file, read_folder


def _listed(path: Path) -> Crystals:
    return as_crystals([path])


def _from_folder(path: Path) -> Crystals:
    (path.parent / "id_prop.csv").write_text(f"{path.name},1.5\n")
    return read_folder(path.parent).structures


def _in_two_processes(path: Path) -> Crystals:
    (path.parent / "id_prop.csv").write_text(f"{path.name},1.5\n")
    try:
        return read_folder(path.parent, n_jobs=2).structures
    finally:
        get_reusable_executor().shutdown()  # they have limits of their own, and what they say


def _from_table(path: Path) -> Crystals:
    table = path.with_name("table.csv")
    table.write_text(f"file\n{path.name}\n")
    return read_file(table).structures


DOORS: dict[str, Callable[[Path], Crystals]] = {
    "as_crystals": _listed,
    "read_folder": _from_folder,
    "read_file": _from_table,
    "two processes": _in_two_processes,
}
_RARE = 0.01  # starting processes takes seconds


def names_of(file: str) -> tuple[str, ...]:
    """Return what an error may call the only structure of a file."""
    return file, "row 0"


def enter(file: str, expected: Atoms | None, rng: np.random.Generator) -> Callable[[Path], None]:
    """Return a check that reads a file by one of the doors, counts its atoms and uses it.

    Parameters
    ----------
    file : str
    expected : dict or None
        None if the atoms are not known.
    rng : Generator
    """
    rare = rng.random() < _RARE
    door = DOORS["two processes" if rare else pick(rng, "as_crystals", "read_folder", "read_file")]

    def check(folder: Path) -> None:
        crystals = door(folder / file)
        if expected is not None:
            check_atoms(crystals, 0, expected)
        check_use(crystals)

    return check
