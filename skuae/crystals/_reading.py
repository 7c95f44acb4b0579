"""`as_crystals`: converts structures of users to `Crystals`, or says how to correct them."""

from collections.abc import Iterable, Set
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pymatgen.core import Composition, Molecule
from pymatgen.core.periodic_table import DummySpecies, Element
from pymatgen.core.sites import Site
from pymatgen.core.structure import IStructure

from skuae._elements import N_ELEMENTS
from skuae._row_names import row_name
from skuae.crystals._crystals import Crystals
from skuae.crystals._packing import offsets_from_sizes
from skuae.crystals._parsing import NO_POSITIONS, format_of, is_file, parse_structure
from skuae.crystals._remarks import warn_remarks
from skuae.crystals._symbols import is_formula, wrong_in_formula
from skuae.crystals._validation import check_geometry

_ACCEPTED = (
    "pymatgen Structure, ASE Atoms, a Structure.as_dict() dict or its JSON text, the path of a "
    "CIF, POSCAR or JSON file or the text of a CIF"
)
_NO_ROWS = "X holds no structures; at least one is needed"


def as_crystals(X: Any, *, ids: Iterable | None = None) -> Crystals:
    """Read structures from objects, files, texts or tables.

    Rows are read one by one, checked and packed. They never pass through numpy: a pymatgen
    Structure is a sequence of sites, so numpy, scikit-learn and skorch would take a list of equally
    sized cells for a table of sites.

    Parameters
    ----------
    X : Crystals, StructureFeatures, list, tuple, generator, Series, DataFrame or ndarray
        A Series (its index names the rows in errors), a data frame with one column (of pandas or
        polars), an object array of shape (n,) or (n, 1), or any iterable. Rows are pymatgen
        Structures, ASE Atoms, ``Structure.as_dict()`` dicts (or those of JARVIS) or their JSON
        text, paths of CIF, POSCAR or JSON files, or texts of CIF files; kinds may be mixed.
    ids : array-like of str of shape (n,), optional
        Names of the rows for error messages.

    Returns
    -------
    Crystals

    Raises
    ------
    TypeError
        If X or one of its rows is not a structure.
    ValueError
        If a structure cannot be read or is invalid: no sites, unknown or dummy species, coordinates
        that are not finite, a cell without volume, atoms closer than 0.5 Å. Also if an atom of a
        file would be lost or changed, or a file exceeds ``skuae.crystals.LIMITS``.

    Warns
    -----
    UserWarning
        pymatgen had remarks on files: each kind of remark, with the rows.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> nacl = Structure.from_spacegroup(
    ...     "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    >>> as_crystals([nacl] * 8)
    Crystals(n_crystals=8, n_sites=64)
    """
    carried = getattr(X, "crystals", None)
    crystals = X if isinstance(X, Crystals) else carried
    if isinstance(crystals, Crystals) and ids is not None:
        raise TypeError("these crystals are packed already: give ids when they are first read")
    if not isinstance(crystals, Crystals):
        rows, index = rows_of(X)
        return pack(rows, index if ids is None else ids)
    if not len(crystals):
        raise ValueError(_NO_ROWS)
    return crystals


def rows_of(X: Any) -> tuple[list, np.ndarray | None]:
    """Return the rows of X as a list, and their names or None.

    Parameters
    ----------
    X : Any
        As in `as_crystals`.

    Returns
    -------
    rows : list
    index : ndarray of str, or None

    Raises
    ------
    TypeError
        If X is no collection of rows.
    """
    if isinstance(X, dict) and "structures" in X:
        raise TypeError("X is a whole data set; pass its crystals: data.structures")
    if isinstance(X, (IStructure, Molecule, Composition, str, PathLike, dict)) or _is_ase(X):
        raise TypeError(
            f"X is one {type(X).__name__}, not a collection of structures; pass a list: [structure]"
        )
    of_polars = type(X).__module__.partition(".")[0] == "polars"
    if isinstance(X, pd.DataFrame) or (of_polars and hasattr(X, "to_series")):
        if X.shape[1] != 1:
            raise TypeError(
                f"X is a data frame with {X.shape[1]} columns ({_shorten(map(str, X.columns))}); "
                'pass the one that holds the structures, e.g. df[["structure"]]'
            )
        X = X.to_series().to_list() if of_polars else X.iloc[:, 0]
    if isinstance(X, pd.Series):
        default = isinstance(X.index, pd.RangeIndex) and X.index.equals(pd.RangeIndex(len(X)))
        return list(X), None if default else X.index.map(str).to_numpy(str)
    if isinstance(X, np.ndarray):
        if X.dtype.kind == "U":
            raise TypeError(
                f"X is an array of {X.dtype} of shape {X.shape}, that is of texts; pass a list of "
                "paths: X.tolist()"
            )
        if X.dtype != object:
            raise TypeError(
                f"X is an array of {X.dtype} of shape {X.shape}, which holds no structures; pass "
                "a list or Series of structures"
            )
        if X.ndim == 2 and X.shape[1] == 1:
            X = X[:, 0]
        if X.ndim != 1:
            raise TypeError(
                f"X is an object array of shape {X.shape}: numpy takes a list of equally sized "
                "structures for a table of sites. Pass the list itself or a Series, or, where "
                'scikit-learn makes the array (bagging, permutation importance), df[["structure"]]'
            )
        return list(X), None
    if isinstance(X, Set):
        raise TypeError(f"X is a {type(X).__name__}, which has no order; pass a list of structures")
    if not isinstance(X, Iterable):
        way_out = "X.collect()" if of_polars else "a list or Series of structures"
        raise TypeError(f"X is a {type(X).__name__}; pass {way_out}")
    return list(X), None


def pack(rows: list, ids: Iterable | None) -> Crystals:
    """Read rows of structures; see `as_crystals`."""
    if not rows:
        raise ValueError(_NO_ROWS)
    names = None if ids is None else np.array(list(ids), dtype=np.str_)
    if names is not None and len(names) != len(rows):
        raise ValueError(f"{len(names)} ids for {len(rows)} structures; give one id a row")

    def where(row: int) -> str:
        return row_name(row, names)

    atomic_number = _AtomicNumbers()
    remarks: dict[str, list[str]] = {}
    numbers: list[int] = []
    coords: list[np.ndarray] = [np.empty(0)]  # of single sites, joined once, which is faster
    lattices: list[np.ndarray] = []
    sizes: list[int] = []
    occ_sites: list[int] = []
    occ_numbers: list[int] = []
    occ_values: list[float] = []
    for row, item in enumerate(rows):
        try:
            structure, said = parse_row(item)
            if not isinstance(structure, IStructure):
                _read_ase(structure, numbers, coords, lattices, sizes)
                continue
            if said:
                file = f" {Path(item).name}" if isinstance(item, PathLike) else ""
                remarks[where(row) + file] = said
            if not structure.lattice.pbc == (True, True, True):
                raise ValueError(_NOT_PERIODIC)
            for site in structure.sites:
                coords.append(site.frac_coords)
                species = site.species
                entries = species.items()
                if len(entries) == 1:
                    ((element, occupancy),) = entries
                    if occupancy == 1 or species.num_atoms == 1:
                        # Hashing an Element, as the dict does, takes longer than asking it.
                        known = type(element) is Element
                        numbers.append(element.Z if known else atomic_number[element])
                        continue
                if not entries:
                    raise ValueError("a site has no species; remove it")
                amounts: dict[int, float] = {}  # Fe2+ and Fe3+ on one site are one element
                for element, occupancy in entries:
                    if not occupancy > 0:
                        raise ValueError(f"a site has the occupancy {occupancy} of {element}")
                    z = atomic_number[element]
                    amounts[z] = amounts.get(z, 0.0) + occupancy
                majority = max(sorted(amounts), key=amounts.__getitem__)
                if abs(amounts[majority] - 1) > species.amount_tolerance:
                    occ_sites.extend([len(numbers)] * len(amounts))
                    occ_numbers.extend(amounts)
                    occ_values.extend(amounts.values())
                numbers.append(majority)
        except TypeError as error:
            raise TypeError(f"{where(row)}: {error}") from error
        except ValueError as error:
            raise ValueError(f"{where(row)}: {error}") from error
        lattices.append(structure.lattice.matrix)
        sizes.append(len(structure))
    crystals = Crystals(
        numbers,
        np.concatenate(coords).reshape(-1, 3),
        np.stack(lattices),
        offsets_from_sizes(sizes),
        ids=names,
        occ_sites=occ_sites,
        occ_numbers=occ_numbers,
        occ_values=occ_values,
    )
    check_geometry(crystals)
    warn_remarks(remarks)
    return crystals


_NOT_PERIODIC = (
    "the structure is not periodic in all three directions; skuae models are for crystals: give "
    "slabs and molecules a cell with vacuum and full periodicity"
)


class _AtomicNumbers(dict):
    """Species to atomic number, each species checked once."""

    def __missing__(self, species: Any) -> int:
        if isinstance(species, DummySpecies) or not 1 <= species.Z <= N_ELEMENTS:
            raise ValueError(
                f"{species} is not a chemical element; replace or remove it "
                "(structure.remove_species, structure.replace_species)"
            )
        self[species] = species.Z
        return species.Z


def parse_row(item: Any) -> tuple[Any, list[str]]:
    """Return the Structure or ASE Atoms that a row is or stands for, and the parser's remarks."""
    if isinstance(item, IStructure) or _is_ase(item):
        return item, []
    if isinstance(item, (dict, str, PathLike)):
        try:
            return parse_structure(item)
        except ValueError as error:
            raise ValueError(_not_read(item, error)) from error
    if isinstance(item, Site):
        raise TypeError(
            "this is a site, not a structure: the structures were taken apart on the way here "
            "(np.array(list_of_structures) does that). Pass the list itself or a Series"
        )
    if is_missing(item):
        raise TypeError("the structure is missing; drop such rows, e.g. df.dropna(subset=[...])")
    if isinstance(item, Molecule):
        raise TypeError(f"got a Molecule: {_NOT_PERIODIC}")
    if isinstance(item, Composition):
        raise TypeError(f"got a Composition: {NO_POSITIONS}")
    if isinstance(getattr(item, "structure", None), IStructure):  # an entry of pymatgen
        raise TypeError(f"got {type(item).__name__}; pass its structure: item.structure")
    raise TypeError(f"got {type(item).__name__}, expected {_ACCEPTED}")


def is_missing(item: Any) -> bool:
    """Tell whether a row is empty, as data frames write it."""
    return item is None or item is pd.NA or (isinstance(item, float) and np.isnan(item))


def _not_read(item: Any, error: ValueError) -> str:
    """Say what could not be read, and why."""
    if isinstance(item, dict):
        return f"the dict is not one of Structure.as_dict() ({error})"
    text = str(item)
    if len(text.splitlines()) > 1 or text.lstrip()[:1] in ("{", "["):
        return f"cannot read the text {text.strip()[:40]!r}... as a structure ({error})"
    if isinstance(item, str) and not is_file(Path(text)):
        if is_formula(text):
            return str(error)
        wrong = wrong_in_formula(text)
        if wrong is not None and format_of(Path(text)) is None:
            return (
                f"there is no file {text[:200]!r}, and as a formula it has {wrong[:40]!r}, which "
                "is no chemical element; formulas are written as in Li0.5CoO2"
            )
    return f"cannot read {text[:200]!r} as a structure file ({error})"


def _is_ase(item: Any) -> bool:
    # By name, since ASE is optional and slow to import. Subclasses count: pymatgen makes one.
    return hasattr(item, "get_atomic_numbers") and any(
        kind.__module__.partition(".")[0] == "ase" for kind in type(item).__mro__
    )


def _read_ase(atoms: Any, numbers: list, coords: list, lattices: list, sizes: list) -> None:
    if not atoms.pbc.all():
        raise ValueError(f"{_NOT_PERIODIC} (atoms.pbc = True)")
    if not _is_full(atoms):
        raise ValueError(
            "the Atoms hold sites that are not fully occupied, which ASE keeps beside the atoms; "
            "pass the file or a pymatgen Structure instead"
        )
    cell = np.asarray(atoms.cell)
    atomic_numbers = atoms.get_atomic_numbers().tolist()
    unknown = [z for z in atomic_numbers if not 1 <= z <= N_ELEMENTS]
    if unknown:
        raise ValueError(f"atomic number {unknown[0]} is not a chemical element; replace or remove")
    if abs(np.linalg.det(cell)) < 1e-6:
        raise ValueError("the cell has no volume; set atoms.cell")
    numbers.extend(atomic_numbers)
    coords.append(np.linalg.solve(cell.T, atoms.get_positions().T).T.ravel())
    lattices.append(cell)
    sizes.append(len(atomic_numbers))


def _is_full(atoms: Any) -> bool:
    """Tell whether ASE Atoms name no partly occupied site."""
    by_site = atoms.info.get("occupancy") or {}
    known = list(by_site.values()) if isinstance(by_site, dict) else [by_site]
    known += [atoms.arrays[name] for name in ("occupancy", "occupancies") if name in atoms.arrays]
    values = [list(v.values()) if isinstance(v, dict) else v for v in known]
    return all(bool((np.asarray(v, dtype=float) >= 1).all()) for v in values)


def _shorten(names: Iterable[str], most: int = 6) -> str:
    shown = list(names)
    return ", ".join(shown[:most]) + (", ..." if len(shown) > most else "")
