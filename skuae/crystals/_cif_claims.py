"""Redundant statements of a CIF, compared with the atoms that were read."""

import math
import re

from pymatgen.core import Structure

from skuae._elements import SYMBOLS
from skuae.crystals._cif_rows import ATOM_LOOP, Row
from skuae.crystals._cif_text import Block

_ELEMENTS = frozenset(SYMBOLS)
_PART = re.compile(r"([A-Z][a-z]?)(\d*\.?\d*)")
_LABEL = re.compile(r"([A-Z][a-z])\d+")
_MULTIPLICITY = "_atom_site_symmetry_multiplicity"
_HYDROGEN = frozenset("HDT")  # often in the formula alone
# Equal amounts of these elements are units of two atoms each in pymatgen: Li2O2, not LiO.
_DOUBLED = frozenset(
    map(frozenset, (("N",), ("O",), ("F",), ("Cl",), ("H", "O"), ("Li", "O"), ("Na", "O"),
                    ("K", "O"), ("Rb", "O"), ("Cs", "O")))
)  # fmt: skip
_NEAR = 0.05  # of the number of atoms: files are sloppy


def remarks_on_claims(
    block: Block, rows: list[Row], structure: Structure, n_operations: int
) -> list[str]:
    """Return a remark for each statement of a CIF that contradicts its atoms.

    The atoms are trusted. The other statements are wrong too often to refuse such files.

    Parameters
    ----------
    block : Block
    rows : list of Row
    structure : Structure
    n_operations : int

    Returns
    -------
    list of str
    """
    return [*_on_number(block, structure, n_operations), *_on_labels(block, rows)]


def _on_number(block: Block, structure: Structure, n_operations: int) -> list[str]:
    meant = _meant(block)
    if not meant:
        loop = block.columns[ATOM_LOOP]
        if n_operations > 1 or _MULTIPLICITY not in loop.names:
            return []
        if not any(text.isdecimal() and int(text[:9]) > 1 for text in loop.column(_MULTIPLICITY)):
            return []
        return [f"{_MULTIPLICITY} is above 1, but there are no symmetry operations; add them"]
    found = sum(
        amount
        for site in structure
        for species, amount in site.species.items()
        if species.symbol not in _HYDROGEN
    )
    if any(abs(found - number) <= _NEAR * number for number in meant):
        return []
    return [
        f"it holds {found:g} atoms in a cell (without hydrogen), but its formula and "
        f"_cell_formula_units_Z mean {meant[0]:g}; symmetry operations or rows may be missing"
    ]


def _meant(block: Block) -> list[float]:
    """Return the number of atoms by the formula and Z, without hydrogen.

    CIF asks for the formula of a unit; pymatgen writes that of the whole cell beside Z.
    """
    units = block.value("_cell_formula_units_z")
    parts = [_PART.fullmatch(text) for text in block.value("_chemical_formula_sum").split()]
    if not units.isdecimal() or len(units) > 4 or not parts or not all(parts):
        return []
    amounts = [(part[1], float(part[2] or 1)) for part in parts if part]
    whole = [int(amount) for _, amount in amounts]
    in_formula = sum(amount for name, amount in amounts if name not in _HYDROGEN)
    number = int(units) * in_formula
    if not number:
        return []
    if whole != [amount for _, amount in amounts]:
        return [number]
    n_units = math.gcd(*whole)
    is_doubled = frozenset(name for name, _ in amounts) in _DOUBLED and {*whole} == {n_units}
    if is_doubled and int(units) == n_units // 2:  # Cl16 of 8 Cl2, Li4 O4 of 2 Li2O2
        return [number, in_formula]
    return [number, number / n_units]


def _on_labels(block: Block, rows: list[Row]) -> list[str]:
    labels = block.columns[ATOM_LOOP].column("_atom_site_label")
    for row in rows:
        match = _LABEL.fullmatch(labels[row.row])
        if (
            match
            and row.occupancy > 0.999
            and match[1][0] != row.element[0]  # Ca1 may be a carbon, Ho1 a hydrogen
            and match[1] in _ELEMENTS
        ):
            return [f"{row.name} is {row.element} by _atom_site_type_symbol, which counts"]
    return []
