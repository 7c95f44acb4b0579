"""CIF texts: pymatgen reads them, and a count of the rows of atoms checks what it read."""

import re
from functools import lru_cache

import numpy as np
from pymatgen.core import Structure
from pymatgen.core.sites import Site

from skuae._elements import SYMBOLS
from skuae.crystals._cif_rows import ATOM_LOOP, MOST, UNKNOWN, Row, check_sums, number, rows_of
from skuae.crystals._cif_text import Block, blocks_of
from skuae.crystals._limits import Limits
from skuae.crystals._remarks import remarks_caught

_OPERATIONS = ("_symmetry_equiv_pos_as_xyz", "_space_group_symop_operation_xyz")
_GROUPS = (
    "_symmetry_space_group_name_H-M",
    "_space_group_name_H-M_alt",
    "_symmetry_Int_Tables_number",
    "_space_group_IT_number",
)
_CELL = [
    f"_cell_{part}"
    for part in ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
]
_SETTINGS = ("_symmetry_cell_setting", "_space_group_crystal_system")  # cubic needs one length
_P1 = ("Defaulting to P1", "using primitive symmetry")  # what pymatgen says then
_NEAR = 5e-4  # in fractions of the cell: pymatgen rounds 0.3333 to 1/3 and joins sites within 1e-4
_PREFIX = "No structure parsed for section 1 in CIF.\n"  # before the reason, in pymatgen


def read_cif(text: str, limits: Limits) -> tuple[Structure, list[str]]:
    """Read the structure of a CIF text.

    The atom-site rows are read here, too: every row must be an element, and must be found at its
    place in what pymatgen read, with its occupancy. Isotopes and odd spellings are put right in
    the text first.

    Parameters
    ----------
    text : str
    limits : Limits

    Returns
    -------
    structure : Structure
    remarks : list of str
        What pymatgen remarked.

    Raises
    ------
    ValueError
        If the text is no CIF of one structure, a row is no single atom, or a row would be lost or
        changed.
    """
    block = _block_with_atoms(text)
    edits = block.mended()
    rows = list(rows_of(block, limits, edits))
    check_sums(rows)
    _check_cell(block)
    n_operations = _check_operations(block, limits)
    limits.check("sites", len(rows) * max(n_operations, 1), "sites (atom rows x operations)")
    structure, remarks = _parse(block.text(text, edits))
    _check_space_group(block, n_operations, remarks)
    _check_arrival(rows, structure)
    return structure, remarks


def _block_with_atoms(text: str) -> Block:
    if "\0" in text:
        raise ValueError("the text holds NUL characters; save it as UTF-8")
    blocks = blocks_of(text)
    if not blocks:
        raise ValueError("no line of it begins with data_, so that it is no CIF")
    found = [block for block in blocks if ATOM_LOOP in block.columns]
    if not found:
        columns = {name for block in blocks for name in block.columns}
        if any(name.startswith("_atom_site_cartn") for name in columns):
            raise ValueError("its atoms have Cartesian coordinates only; convert it to a plain CIF")
        if any(ATOM_LOOP in block.items for block in blocks):
            raise ValueError("its only atom is not in a loop_; put loop_ before _atom_site_label")
        raise ValueError(f"it has no atoms: no loop with {ATOM_LOOP}")
    if len(found) > 1:
        names = ", ".join(block.name for block in found[:6])
        raise ValueError(f"it holds {len(found)} structures ({names}); give each its own file")
    return found[0]


def _check_cell(block: Block) -> None:
    for name in _CELL:
        if name in block.items:
            number(block.value(name), name)
        elif not any(setting in block.items for setting in _SETTINGS):
            raise ValueError(f"it has no {name}")


def _check_operations(block: Block, limits: Limits) -> int:
    """Return how many symmetry operations there are; raise ValueError if one is not understood."""
    n_operations = 0
    for name in [*_OPERATIONS, *(n for n in block.columns if "symop_magn_" in n)]:
        loop = block.columns.get(name)
        if loop is None:
            operations = [block.value(name)] if name in block.items else []
        else:
            operations = [loop.value(name, row) for row in range(len(loop))]
            limits.check("operations", len(operations), "symmetry operations")
        if "xyz" not in name:
            continue
        wrong = [text for text in operations if not _is_operation(text)]
        if wrong:
            raise ValueError(f"the symmetry operation {wrong[0]!r} is not understood; repair it")
        n_operations = max(n_operations, len(operations))
    return n_operations


_TERM = r"(?:\d?[xyz]|\d+/\d+|\d*\.\d+|\d+\.?)"
_PART = re.compile(rf"[-+]?{_TERM}(?:[-+]{_TERM})*", re.ASCII)


@lru_cache(maxsize=4096)
def _is_operation(text: str) -> bool:
    parts = re.sub(r"\s", "", text).lower().split(",")
    if len(parts) == 4 and parts[3] in ("1", "+1", "-1"):  # reversal of time, in magnetic CIFs
        parts.pop()
    return len(parts) == 3 and all(
        _PART.fullmatch(part)
        and not any(part.count(axis) > 1 for axis in "xyz")
        and len([term for term in re.split("[-+]", part) if term and term[-1] not in "xyz"]) < 2
        for part in parts
    )


def _check_space_group(block: Block, n_operations: int, remarks: list[str]) -> None:
    """Raise ValueError if pymatgen took P1 for a symmetry that it did not understand."""
    if not any(said in remark for remark in remarks for said in _P1):
        return
    if n_operations > 1:
        raise ValueError(
            f"it has {n_operations} symmetry operations and magnetic moments, but no magnetic "
            "symmetry, so that pymatgen would lose atoms; delete the loop of the moments"
        )
    if n_operations:
        return
    unused = [name for name in block.columns if "symop" in name or "equiv_pos_as" in name]
    if unused:
        raise ValueError(
            f"its symmetry operations are in {unused[0]}, which pymatgen does not know"
        )
    for name in _GROUPS:
        group = block.value(name)
        if group not in UNKNOWN and group.replace(" ", "").upper() not in ("P1", "1"):
            raise ValueError(
                f"it names the space group {group!r} ({name}), which pymatgen does not know, and "
                "lists no symmetry operations, so that most atoms would be lost; add them"
            )


def _parse(text: str) -> tuple[Structure, list[str]]:
    """Return what pymatgen reads, and its remarks."""
    from pymatgen.io.cif import CifParser  # slow to import

    with remarks_caught() as remarks:
        parser = CifParser.from_str(text, occupancy_tolerance=MOST)
        try:
            structures = parser.parse_structures(primitive=False, on_error="ignore")
        except ValueError as error:
            said: list[str] = parser.warnings  # type: ignore[attr-defined]  # set in from_str
            reasons = [text.removeprefix(_PREFIX) for text in said if text.startswith(_PREFIX)]
            raise ValueError("; ".join(reasons) or str(error)) from None
    structure = structures[0]
    remarks += parser.warnings  # type: ignore[attr-defined]
    for site in structure:
        # O and H on one site: pymatgen takes the H for hydrogens of the O, and keeps it apart.
        hydrogens = site.properties.pop("implicit_hydrogens", 0)
        if hydrogens:
            site.species = {**site.species.as_dict(), "H": hydrogens}
            remarks = [text for text in remarks if not text.startswith("Missing elements H ")]
    return structure, remarks


def _check_arrival(rows: list[Row], structure: Structure) -> None:
    """Raise ValueError unless all rows are where they should be, with element and occupancy."""
    sites = structure.frac_coords
    positions = np.array([row.position for row in rows]).reshape(-1, 3)
    at = np.empty(len(rows), dtype=int)
    step = max(1, 1_000_000 // len(sites))  # bounds the memory of the distances
    for start in range(0, len(rows), step):
        apart = positions[start : start + step, None] - sites[None]
        apart = np.abs(apart - np.round(apart)).max(axis=2)
        at[start : start + step] = np.where(apart.min(axis=1) < _NEAR, apart.argmin(axis=1), -1)
    wanted: dict[tuple[int, str], float] = {}
    for row, site in zip(rows, at.tolist(), strict=True):
        if site < 0:
            raise ValueError(f"{row.name} ({row.element}) was lost on the way, no atom is there")
        wanted[site, row.element] = wanted.get((site, row.element), 0.0) + row.occupancy
    amounts = [_amounts(site) for site in structure]
    for row, site in zip(rows, at.tolist(), strict=True):
        least = wanted[site, row.element]
        arrived = amounts[site].get(row.element, 0.0)
        if abs(arrived - least) < MOST - 1:
            continue
        # Rows that are images of one another by symmetry are joined, so that others add to this.
        most = sum(
            amount
            for (other, element), amount in wanted.items()
            if element == row.element and amounts[other] == amounts[site]
        )
        if not least <= arrived < most + (MOST - 1):
            raise ValueError(
                f"{row.name} is {least:g} {row.element}, but pymatgen reads {arrived:g} there; "
                "repair the row"
            )
    extra = {name for site in amounts for name in site} - {row.element for row in rows}
    if extra:
        raise ValueError(f"pymatgen reads {', '.join(sorted(extra))}, which no row of it names")


def _amounts(site: Site) -> dict[str, float]:
    amounts: dict[str, float] = {}
    for species, amount in site.species.items():
        element = SYMBOLS[species.Z - 1]
        amounts[element] = amounts.get(element, 0.0) + amount  # Fe2+ and Fe3+
    return amounts
