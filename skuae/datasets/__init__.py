"""Crystals with labels: bundled, synthetic, fetched or read from files; duplicates and folds."""

from skuae.datasets._bunch import CrystalBunch
from skuae.datasets._bundled import load_mp_mini, load_mp_perovskites
from skuae.datasets._duplicates import find_duplicates, formula_groups, leaking_rows
from skuae.datasets._file import ID_COLUMNS, read_file, read_labels
from skuae.datasets._folder import read_folder
from skuae.datasets._folds import FormulaKFold, StratifiedFormulaKFold
from skuae.datasets._jarvis import fetch_jarvis
from skuae.datasets._labels import as_numbers
from skuae.datasets._matbench import fetch_matbench
from skuae.datasets._materials_project import fetch_mp
from skuae.datasets._mptrj import fetch_mptrj
from skuae.datasets._shard_writing import write_shards
from skuae.datasets._shards import Shards, open_shards
from skuae.datasets._structure_cells import STRUCTURE_COLUMNS
from skuae.datasets._structures import read_structures
from skuae.datasets._toy import make_toy_crystals

__all__ = [
    "ID_COLUMNS",
    "STRUCTURE_COLUMNS",
    "CrystalBunch",
    "FormulaKFold",
    "Shards",
    "StratifiedFormulaKFold",
    "as_numbers",
    "fetch_jarvis",
    "fetch_matbench",
    "fetch_mp",
    "fetch_mptrj",
    "find_duplicates",
    "formula_groups",
    "leaking_rows",
    "load_mp_mini",
    "load_mp_perovskites",
    "make_toy_crystals",
    "open_shards",
    "read_file",
    "read_folder",
    "read_labels",
    "read_structures",
    "write_shards",
]
