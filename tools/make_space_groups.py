"""Write `skuae/crystals/data/space_groups.csv`: what the 230 space groups are called.

    python tools/make_space_groups.py

Symbols, crystal systems and operations are those of pymatgen. Its point groups do not say how they
lie: it calls that of P-4m2 and that of P-42m by one name, for instance. This table tells them
apart, as MatInFormer and CrystalBERT do. For groups of a rhombohedral lattice the short symbol is
taken: there is one setting only.
"""

import csv
from pathlib import Path

import numpy as np
from pymatgen.symmetry.groups import SpaceGroup

TARGET = Path(__file__).parents[1] / "skuae" / "crystals" / "data" / "space_groups.csv"
COLUMNS = ["number", "symbol", "point_group", "crystal_system", "laue_class", "symmetry_class"]

SETTINGS = {
    "-42m": [111, 112, 113, 114, 121, 122],
    "-4m2": [115, 116, 117, 118, 119, 120],
    "312": [149, 151, 153],
    "321": [150, 152, 154],
    "32": [155],
    "3m1": [156, 158],
    "31m": [157, 159],
    "3m": [160, 161],
    "-31m": [162, 163],
    "-3m1": [164, 165],
    "-3m": [166, 167],
    "-6m2": [187, 188],
    "-62m": [189, 190],
}
LAUE = {
    "-1": "1 -1",
    "2/m": "2 m 2/m",
    "mmm": "222 mm2 mmm",
    "4/m": "4 -4 4/m",
    "4/mmm": "422 4mm -42m 4/mmm",
    "-3": "3 -3",
    "-3m": "32 3m -3m",
    "6/m": "6 -6 6/m",
    "6/mmm": "622 6mm -6m2 6/mmm",
    "m-3": "23 m-3",
    "m-3m": "432 -43m m-3m",
}


def row(number):
    """Return the names of a space group."""
    group = SpaceGroup.from_int_number(number)
    point_group = group.point_group
    (laue,) = (name for name, groups in LAUE.items() if point_group in groups.split())
    for setting, numbers in SETTINGS.items():
        if number in numbers:
            point_group = setting
    symbol = group.full_symbol.replace(" ", "")
    return number, symbol, point_group, group.crystal_system, laue, symmetry_class(group)


def symmetry_class(group):
    """Return whether there is an inversion, rotations only, or neither."""
    turns = [np.asarray(op.rotation_matrix) for op in group.symmetry_ops]
    if any((turn == -np.eye(3)).all() for turn in turns):
        return "Centrosymmetric"
    return "Enantiomorphic" if all(np.linalg.det(turn) > 0 for turn in turns) else "None"


if __name__ == "__main__":
    with TARGET.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *map(row, range(1, 231))])
