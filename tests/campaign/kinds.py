"""The kinds of input that a campaign mutates, by name."""

from collections.abc import Callable

import numpy as np

from campaign import cif, dicts, elements, poscar, saved, tables
from campaign.case import Case

KINDS: dict[str, Callable[[np.random.Generator], Case]] = {
    "CIF": cif.make,
    "POSCAR": poscar.make,
    "dict": dicts.make,
    "id_prop": tables.make,
    "element CSV": elements.make,
    "model": saved.make_model,
    "element table": saved.make_table,
    "crystals": saved.make_packed,
    "checkpoint": saved.make_checkpoint,
}
