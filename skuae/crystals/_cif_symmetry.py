"""Checks that pymatgen uses the symmetry operations that a CIF lists."""

import re
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from pymatgen.core import Lattice
from pymatgen.core.operations import SymmOp

from skuae.crystals._cif_rows import UNKNOWN, number
from skuae.crystals._cif_text import Block
from skuae.crystals._limits import Limits

_OPERATIONS = ("_symmetry_equiv_pos_as_xyz", "_space_group_symop_operation_xyz")
_NAMES = ("_symmetry_space_group_name_H-M", "_space_group_name_H-M_alt")
_HALL = ("_space_group_name_hall", "_symmetry_space_group_name_hall")
_NUMBERS = ("_space_group_IT_number", "_symmetry_Int_Tables_number")
_GROUP = re.compile("_(symmetry_)?space_group_(name_|it_num)|_symmetry_int_tables_n", re.IGNORECASE)
_P1 = ("P1", "1", "C1", "C1^1")
_OFF = 3e-5  # in fractions of the cell: pymatgen joins images that are within 1e-4, one by one
_ROUNDS = 10
_BESIDE = 0.05  # Å: images of one site so close are one atom
_SAME = 0.02  # of the metric: 1 % of a length, or half a degree

_NUMBER = r"(?:\d{1,4}/0*[1-9]\d{0,3}|\d{0,4}\.\d{1,20}|\d{1,4}\.?)"
_TERM = rf"(?:\d?[xyz]|{_NUMBER})"
_PART = re.compile(rf"[-+]?{_TERM}(?:[-+]{_TERM})*", re.ASCII)


def operations_of(block: Block, limits: Limits) -> list[str]:
    """Return the symmetry operations that a CIF lists.

    Parameters
    ----------
    block : Block
    limits : Limits

    Returns
    -------
    list of str

    Raises
    ------
    ValueError
        If one is not understood, there are too many, or two lists of them differ.
    """
    lists: list[list[str]] = []
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
            way = "put it in quotes" if wrong[0].endswith(",") else "repair it"
            raise ValueError(f"the symmetry operation {wrong[0][:60]!r} is not understood; {way}")
        if operations and name in _OPERATIONS:
            lists.append(operations)
        elif operations:
            return operations
    if len(lists) > 1 and lists[0] != lists[1] and len({_key(map(_matrix, x)) for x in lists}) > 1:
        raise ValueError(
            f"its symmetry operations in {_OPERATIONS[0]} and {_OPERATIONS[1]} differ; keep the "
            "right ones"
        )
    return max(lists, key=len, default=[])


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


@lru_cache(maxsize=4096)
def _matrix(text: str) -> np.ndarray:
    return SymmOp.from_xyz_str(text).affine_matrix


def _key(matrices: Iterable[np.ndarray]) -> frozenset[bytes]:
    """Return a key of operations; lists with the same meaning have equal keys."""
    whole = np.array(list(matrices))[:, :3]
    whole[:, :, 3] = np.round(whole[:, :, 3] * 24) % 24
    return frozenset(map(bytes, whole.round().astype(np.int8)))


def check_operations(
    block: Block, listed: list[str], matrices: np.ndarray, lattice: Lattice
) -> None:
    """Raise ValueError if the operations that pymatgen took are not those of the structure.

    Where a CIF lists none, pymatgen takes those of one setting of the group that it names.

    Parameters
    ----------
    block : Block
    listed : list of str
        The operations that the CIF lists.
    matrices : ndarray of shape (n_operations, 4, 4)
        Those that pymatgen took.
    lattice : Lattice
    """
    if len(matrices) == 1 < len(listed):
        raise ValueError(
            f"it has {len(listed)} symmetry operations and magnetic moments, but no magnetic "
            "symmetry, so that pymatgen would lose atoms; delete the loop of the moments"
        )
    is_guess = not listed and len(matrices) > 1
    metric = lattice.matrix @ lattice.matrix.T
    rotations = matrices[:, :3, :3]
    changed = np.abs(rotations.transpose(0, 2, 1) @ metric @ rotations - metric)
    wrong = (changed / np.outer(lattice.abc, lattice.abc)).max(axis=(1, 2))
    if wrong.max() > _SAME:
        text = SymmOp(matrices[int(wrong.argmax())]).as_xyz_str()
        cell = ", ".join(f"{x:.6g}" for x in (*lattice.abc, *lattice.angles))
        raise ValueError(
            f"it lists no symmetry operations, and those that pymatgen takes for its space group, "
            f"as {text!r}, do not fit its cell ({cell}); add the operations of this setting"
            if is_guess
            else f"the symmetry operation {text!r} does not fit the cell ({cell}): it would change "
            "distances; list the operations of this setting, or repair the cell"
        )
    if is_guess:
        _check_guess(block, matrices)
    elif not listed:
        _check_no_group(block)


def places_on_special_positions(
    coords: np.ndarray, matrices: np.ndarray, lattice: Lattice
) -> np.ndarray:
    """Return coordinates, moved where a site stands just beside the special position it means.

    A site at 0.333, 0.667 is not at 1/3, 2/3, so that symmetry would put several atoms within a few
    thousandths of an Å. It is moved to the middle of them, and then of those that are near this,
    until all of these are one.

    Parameters
    ----------
    coords : ndarray of shape (n_sites, 3)
        In fractions of the cell.
    matrices : ndarray of shape (n_operations, 4, 4)
    lattice : Lattice

    Returns
    -------
    ndarray of shape (n_sites, 3)
        In fractions of the cell.
    """
    rotations, translations = matrices[:, :3, :3], matrices[:, :3, 3]
    places = coords.copy()
    for _ in range(_ROUNDS):
        apart = np.einsum("oij,sj->soi", rotations, places) + translations - places[:, None]
        apart -= apart.round()
        is_near = np.linalg.norm(apart @ lattice.matrix, axis=2) < _BESIDE
        is_off = (is_near & (np.abs(apart).max(axis=2) > _OFF)).any(axis=1)
        if not is_off.any():
            break
        middles = (apart * is_near[:, :, None]).sum(axis=1) / is_near.sum(axis=1)[:, None]
        places += np.where(is_off[:, None], middles, 0.0)
    is_far = np.linalg.norm((places - coords) @ lattice.matrix, axis=1) > _BESIDE
    return np.where((is_off | is_far)[:, None], coords, places)


def _check_guess(block: Block, matrices: np.ndarray) -> None:
    """Raise ValueError if pymatgen had to guess the group, its setting or its origin."""
    inversions = matrices[(matrices[:, :3, :3] == -np.eye(3)).all(axis=(1, 2)), :3, 3]
    if len(inversions) and np.abs(inversions - inversions.round()).max(axis=1).min() > 1e-3:
        raise ValueError(
            "its space group has two choices of the origin, and it lists no symmetry operations "
            "that tell which one it means; add them"
        )
    settings = _settings(_key(matrices))
    names = [name for name in _NAMES if block.value(name) not in UNKNOWN]
    for name in names or [name for name in _HALL if block.value(name) not in UNKNOWN]:
        if not any(_is_named(setting, block.value(name)) for setting in settings):
            raise ValueError(_no_operations(block.value(name), name, "takes for another setting"))
    for name in _NUMBERS:
        group = block.value(name)
        if group not in UNKNOWN and number(group, name) not in {s["number"] for s in settings}:
            raise ValueError(_no_operations(group, name, "takes for another group by its name"))


def _check_no_group(block: Block) -> None:
    """Raise ValueError if pymatgen did not understand the symmetry and used P1."""
    unused = [name for name in block.columns if "symop" in name or "equiv_pos_as" in name]
    if unused:
        raise ValueError(
            f"its symmetry operations are in {unused[0]}, which pymatgen does not know"
        )
    for name in filter(_GROUP.match, block.items):
        group = block.value(name)
        if group not in UNKNOWN and group.replace(" ", "").upper() not in _P1:
            raise ValueError(_no_operations(group, name, "reads as P 1"))


def _no_operations(group: str, name: str, what: str) -> str:
    others = [
        setting["hermann_mauguin"]
        for setting in _all_settings()
        if _is_named(setting, group) and setting["universal_h_m"][-2:] not in (":1", ":2")
    ]
    way = f"; add them, or write {others[0]!r}" if others and name in _NAMES else "; add them"
    return (
        f"it names the space group {group!r} ({name}), which pymatgen {what}, and lists no "
        f"symmetry operations, so that atoms would be lost{way}"
    )


def _all_settings() -> list[dict]:
    from pymatgen.symmetry.groups import SpaceGroup  # slow to import

    return SpaceGroup.SYMM_OPS


@lru_cache(maxsize=256)
def _settings(key: frozenset[bytes]) -> list[dict]:
    """Return the settings of space groups that have these operations."""
    return [
        setting
        for setting in _all_settings()
        if len(setting["symops"]) == len(key) and _key(map(_matrix, setting["symops"])) == key
    ]


def _is_named(setting: dict, name: str) -> bool:
    """Tell whether a name is a spelling of the name of a setting."""
    from pymatgen.symmetry.groups import SpaceGroup

    known = ("universal_h_m", "hermann_mauguin", "hermann_mauguin_u", "short_h_m", "hall")
    names = {re.sub(r"[\s_]", "", setting[key]) for key in known}
    names |= {name.replace(":", "") for name in names}
    encoded = SpaceGroup.sg_encoding.get(setting["hermann_mauguin_u"], {})
    names.add(encoded.get("full_symbol", "").replace("_", ""))
    if setting["number"] >= 195:  # Fm3m, as it was written before 1983
        names |= {name.replace("-", "") for name in names}
    names = {re.escape(name.lower()).replace("e", "[abe]") for name in names}  # Cmca is Cmce
    wanted = re.sub(r"[\s_]", "", name).lower()
    return any(re.fullmatch(name, wanted) for name in names)
