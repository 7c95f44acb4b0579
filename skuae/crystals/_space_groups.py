"""Names of the 230 space groups."""

import csv
from functools import lru_cache
from pathlib import Path

import numpy as np

N_SPACE_GROUPS = 230
CRYSTAL_SYSTEMS = (
    "triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal", "cubic",
)  # fmt: skip
_TABLE = Path(__file__).parent / "data" / "space_groups.csv"


@lru_cache
def space_group_names() -> dict[str, np.ndarray]:
    """Return the names of all space groups, from 1 to 230.

    Returns
    -------
    dict of str to ndarray of str of shape (230,)
        ``"symbol"`` is the full Hermann-Mauguin symbol without spaces, ``"point_group"`` the point
        group as it lies in the cell (-42m is not -4m2), ``"crystal_system"`` one of seven,
        ``"laue_class"`` one of eleven, and ``"symmetry_class"`` is "Centrosymmetric",
        "Enantiomorphic" (rotations only) or "None".
    """
    with _TABLE.open(newline="", encoding="ascii") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([row[name] for row in rows]) for name in rows[0] if name != "number"}
