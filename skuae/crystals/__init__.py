"""Crystals and their neighbour graphs as packed arrays."""

from typing import TYPE_CHECKING

from skuae._lazy import lazy_names
from skuae.crystals._attempts import Attempts, ReadRows, attempt_rows, read_readable
from skuae.crystals._compositions import Compositions, as_contents
from skuae.crystals._contents import count_electrons
from skuae.crystals._crystals import Crystals
from skuae.crystals._derived import symmetry_of_rows
from skuae.crystals._graphs import CrystalGraphs
from skuae.crystals._levels import Column, Levels, offsets_of
from skuae.crystals._limits import LIMITS, LimitError, Limits
from skuae.crystals._packing import offsets_from_sizes, take_rows
from skuae.crystals._parsing import (
    as_lists,
    format_of,
    is_file,
    load_json,
    parse_structure,
    read_bytes,
)
from skuae.crystals._reading import as_crystals, rows_of
from skuae.crystals._reduced import ReducedGraphs
from skuae.crystals._remarks import warn_remarks
from skuae.crystals._shard import Shard, join_shards, read_shard, write_shard
from skuae.crystals._space_groups import (
    CRYSTAL_SYSTEMS,
    N_SPACE_GROUPS,
    space_group_names,
)
from skuae.crystals._symmetry import CrystalSymmetry, check_symprec
from skuae.crystals._validation import check_geometry, check_same_order

if TYPE_CHECKING:
    from skuae.crystals._augment import augment, random_orthogonal
    from skuae.crystals._batch import CrystalBatch
    from skuae.crystals._links import Links
    from skuae.crystals._tensors import PackedTensors, to_device
else:  # what needs torch
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "skuae.crystals._augment": ["augment", "random_orthogonal"],
            "skuae.crystals._batch": ["CrystalBatch"],
            "skuae.crystals._links": ["Links"],
            "skuae.crystals._tensors": ["PackedTensors", "to_device"],
        },
    )

__all__ = [
    "CRYSTAL_SYSTEMS",
    "LIMITS",
    "N_SPACE_GROUPS",
    "Attempts",
    "Column",
    "Compositions",
    "CrystalBatch",
    "CrystalGraphs",
    "CrystalSymmetry",
    "Crystals",
    "Levels",
    "LimitError",
    "Limits",
    "Links",
    "PackedTensors",
    "ReadRows",
    "ReducedGraphs",
    "Shard",
    "as_contents",
    "as_crystals",
    "as_lists",
    "attempt_rows",
    "augment",
    "check_geometry",
    "check_same_order",
    "check_symprec",
    "count_electrons",
    "format_of",
    "is_file",
    "join_shards",
    "load_json",
    "offsets_from_sizes",
    "offsets_of",
    "parse_structure",
    "random_orthogonal",
    "read_bytes",
    "read_readable",
    "read_shard",
    "rows_of",
    "space_group_names",
    "symmetry_of_rows",
    "take_rows",
    "to_device",
    "warn_remarks",
    "write_shard",
]
