"""CIF texts: pymatgen reads them; then each row of atoms is checked against its result."""

import numpy as np
from pymatgen.core import Structure
from pymatgen.core.sites import Site
from scipy.spatial import KDTree

from skuae._elements import SYMBOLS
from skuae.crystals._cif_claims import remarks_on_claims
from skuae.crystals._cif_rows import ATOM_LOOP, AXES, MOST, Row, check_sums, number, rows_of
from skuae.crystals._cif_symmetry import (
    check_operations,
    operations_of,
    places_on_special_positions,
)
from skuae.crystals._cif_text import Block, Span, blocks_of
from skuae.crystals._limits import Limits
from skuae.crystals._remarks import ROUNDED, remarks_caught

_CELL = [
    f"_cell_{part}"
    for part in ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
]
_SETTINGS = ("_symmetry_cell_setting", "_space_group_crystal_system")
_NEEDED = {  # what pymatgen needs of the cell beside a setting; for others, all
    "cubic": _CELL[:1],
    "tetragonal": [_CELL[0], _CELL[2]],
    "hexagonal": [_CELL[0], _CELL[2]],
    "orthorhombic": _CELL[:3],
    "rhombohedral": [_CELL[0], _CELL[3]],
    "monoclinic": [*_CELL[:3], _CELL[4]],
}
_NEAR = 5e-4  # in fractions of the cell: pymatgen rounds 0.3333 to 1/3 and joins sites within 1e-4
_EXACT = 1e-6  # in fractions of the cell: 0.333333 is 1/3, and rounding it needs no remark
_MANY = 1000  # rows: from here, pymatgen's comparisons of all with all are slow
_PREFIX = "No structure parsed for section 1 in CIF.\n"  # before the reason, in pymatgen


Place = tuple[float, ...]  # in fractions of the cell


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
    listed = operations_of(block, limits)
    limits.check("sites", len(rows) * max(len(listed), 1), "sites (atom rows x operations)")
    is_plain = len(rows) > _MANY and _is_plain(block, listed, rows)
    structure, operations, remarks = _parse(block.text(text, edits), is_plain)
    _check_lattice(block, structure)
    check_operations(block, listed, operations, structure.lattice)
    at = _check_arrival(rows, structure)
    if moved := _beside_special_positions(rows, structure, at, operations):
        structure, _, remarks = _parse(_rewritten(block.text(text, edits), moved))
        n_moved = sum(_is_remarkable(row.position, moved.get(row.position)) for row in rows)
        rows = [row._replace(position=moved.get(row.position, row.position)) for row in rows]
        _check_arrival(rows, structure)
        if n_moved:
            remarks.append(
                "atoms moved onto the special position that they stand beside, by less than "
                f"0.05 Å: {n_moved}"
            )
    if not _has_rounded_thirds(rows):
        remarks = [text for text in remarks if ROUNDED not in text]
    return structure, remarks + remarks_on_claims(block, rows, structure, len(operations))


def _beside_special_positions(
    rows: list[Row], structure: Structure, at: np.ndarray, operations: np.ndarray
) -> dict[Place, Place]:
    """Return places that symmetry maps almost onto themselves, and the exact special positions."""
    if len(operations) == 1:
        return {}
    coords = structure.frac_coords[at]
    places = places_on_special_positions(coords, operations, structure.lattice)
    changed = np.flatnonzero((places != coords).any(axis=1))
    return {rows[i].position: tuple(places[i].tolist()) for i in changed}


def _is_remarkable(before: Place, after: Place | None) -> bool:
    """Tell whether a place moved by more than rounding to four digits explains."""
    if after is None:
        return False
    shift = np.subtract(after, before)
    return bool(np.abs(shift - shift.round()).max() > 1e-4)


def _has_rounded_thirds(rows: list[Row]) -> bool:
    """Tell whether pymatgen moves coordinates near 1/3 or 2/3, and not only their last digits."""
    places = np.array([row.position for row in rows])[..., None]
    shift = np.abs(places - [1 / 3, 2 / 3])
    return bool(((shift > _EXACT) & (shift < _NEAR)).any())


def _rewritten(text: str, moved: dict[Place, Place]) -> str:
    """Return the CIF text with other coordinates in its rows."""
    block = _block_with_atoms(text)
    loop = block.columns[ATOM_LOOP]
    edits: dict[Span, str] = {}
    for row, texts in enumerate(zip(*map(loop.column, AXES), strict=True)):
        place = moved.get(tuple(map(number, texts, AXES)))
        if place is not None:
            edits |= {loop.span(a, row): f"{x:.10f}" for a, x in zip(AXES, place, strict=True)}
    return block.text(text, edits)


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
    setting = next((block.value(name) for name in _SETTINGS if name in block.items), "")
    needed = _NEEDED.get(setting.lower(), _CELL)
    for name in _CELL:
        if name in block.items:
            if number(block.value(name), name) <= 0:
                raise ValueError(f"{name} is {block.value(name)}, expected above 0")
        elif name in needed:
            raise ValueError(f"it has no {name}")


def _check_lattice(block: Block, structure: Structure) -> None:
    """Raise ValueError if parts of the cell are missing and pymatgen changed others."""
    if all(name in block.items for name in _CELL):
        return
    for name, found in zip(_CELL, structure.lattice.parameters, strict=True):
        if name in block.items and abs(number(block.value(name), name) - found) > 1e-3 * found:
            raise ValueError(
                f"{name} is {block.value(name)}, but {found:g} by the setting of the cell; "
                "give all lengths and angles"
            )


def _is_plain(block: Block, listed: list[str], rows: list[Row]) -> bool:
    """Tell whether a CIF has no symmetry and no moments, and all its sites are apart."""
    if any("magn" in name or "moment" in name for name in (*block.columns, *block.items)):
        return False
    has_list = any(name.endswith("_xyz") for name in block.columns)  # or pymatgen has a remark
    if not has_list or [text.replace(" ", "").lower() for text in listed] != ["x,y,z"]:
        return False
    positions = np.array([row.position for row in rows])
    apart, _ = KDTree(_inside(positions), boxsize=1).query(_inside(positions), k=2, p=np.inf)
    return bool(apart[:, 1].min() > 2 * _NEAR)


def _parse(text: str, is_plain: bool = False) -> tuple[Structure, np.ndarray, list[str]]:
    """Return pymatgen's structure, the symmetry operations that it used, and its remarks."""
    from pymatgen.io.cif import CifParser  # slow to import

    from skuae.crystals._cif_parser import PlainCifParser

    with remarks_caught() as remarks:
        kind = PlainCifParser if is_plain else CifParser
        parser = kind.from_str(text, occupancy_tolerance=MOST)
        try:
            structures = parser.parse_structures(primitive=False, on_error="ignore")
        except ValueError as error:
            said: list[str] = parser.warnings  # type: ignore[attr-defined]  # set in from_str
            reasons = [text.removeprefix(_PREFIX) for text in said if text.startswith(_PREFIX)]
            reason = "; ".join(reasons) or str(error)
            if "exceeded tolerance" in reason:
                reason += (
                    " Symmetry puts several atoms onto one place: keep one row of those that are "
                    "images of one another, or take out the symmetry if all atoms are listed"
                )
            raise ValueError(reason) from None
    structure = structures[0]
    remarks += parser.warnings  # type: ignore[attr-defined]
    for site in structure:
        # O and H on one site: pymatgen takes the H for hydrogens of the O, and keeps it apart.
        hydrogens = site.properties.pop("implicit_hydrogens", 0)
        if hydrogens:
            site.species = {**site.species.as_dict(), "H": hydrogens}
            remarks = [text for text in remarks if not text.startswith("Missing elements H ")]
    matrices = [op.affine_matrix for op in parser.symmetry_operations] or [np.eye(4)]
    return structure, np.array(matrices), remarks


def _check_arrival(rows: list[Row], structure: Structure) -> np.ndarray:
    """Return the site of each row.

    Raise ValueError unless all rows are where they should be, with element and occupancy.
    """
    positions = np.array([row.position for row in rows]).reshape(-1, 3)
    tree = KDTree(_inside(structure.frac_coords), boxsize=1)
    apart, at = tree.query(_inside(positions), p=np.inf)
    at[apart >= _NEAR] = -1
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
    return at


def _inside(coords: np.ndarray) -> np.ndarray:
    """Return fractional coordinates in the cell; -1e-17 % 1 is 1."""
    return coords % 1 % 1


def _amounts(site: Site) -> dict[str, float]:
    amounts: dict[str, float] = {}
    for species, amount in site.species.items():
        element = SYMBOLS[species.Z - 1]
        amounts[element] = amounts.get(element, 0.0) + amount  # Fe2+ and Fe3+
    return amounts
