"""Space groups, primitive cells, orbits of sites and conventional lattices, found by spglib."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import spglib
from joblib import Parallel, delayed

from skuae._numbers import is_real
from skuae._progress import progress_bar, show_progress
from skuae._warnings import ignored, warn
from skuae.crystals._colors import element_colors
from skuae.crystals._graphs import named_rows
from skuae.crystals._levels import Arrays, Column, Levels
from skuae.crystals._space_groups import N_SPACE_GROUPS, space_group_names

if TYPE_CHECKING:
    from skuae.crystals._crystals import Crystals

SYMPREC = 0.1  # Å, as the Materials Project takes it
_ANGLE_TOLERANCE = 5.0  # degrees, as the Materials Project and pymatgen take it
# spglib needs some milliseconds for most crystals; for those of more sites than this, a time that
# grows with the square of their number.
_MANY_SITES = 70
_SAYS = "SPGLIB_WARNING"  # a variable that spglib reads: ON or OFF
_TASK = 64  # crystals of few sites that a process takes at once: a third of a second

# Vectors of the primitive cell, in those of the conventional cell, as rows; by the first letter of
# the symbol of the space group. These are the choices of spglib.
_PRIMITIVE = {
    "P": np.eye(3),
    "A": np.array([[2, 0, 0], [0, 1, 1], [0, -1, 1]]) / 2,
    "C": np.array([[1, -1, 0], [1, 1, 0], [0, 0, 2]]) / 2,
    "I": np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]) / 2,
    "F": np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2,
    "R": np.array([[2, 1, 1], [-1, 1, 1], [-1, -2, 1]]) / 3,
}


@dataclass(frozen=True, eq=False, kw_only=True)
class CrystalSymmetry(Levels):
    """Symmetry of packed crystals, as :meth:`skuae.Crystals.symmetry` returns it.

    Attributes
    ----------
    offsets : ndarray of int64 of shape (n_crystals + 1,)
        As in `Crystals`: crystal ``i`` owns the sites ``offsets[i]:offsets[i + 1]``.
    space_groups : ndarray of uint8 of shape (n_crystals,)
        Number of the space group, 1 to 230.
    primitive_sizes : ndarray of int32 of shape (n_crystals,)
        Sites per primitive cell.
    conventional_lattices : ndarray of float64 of shape (n_crystals, 3, 3)
        Vectors a, b, c of the conventional cell as rows, in Å: the standard setting of the
        International Tables, as spglib chooses it; Niggli's reduced cell for triclinic crystals. a
        lies along x, b in the xy plane. Lengths and angles obey the space group exactly.
    orbits : ndarray of int32 of shape (n_sites,)
        First site of the crystal that is symmetrically equivalent to this one, counted from the
        first site of the crystal. The symmetry of the crystal counts, not that of the supercell.
    found : ndarray of bool of shape (n_crystals,)
        False if spglib found nothing. Such a crystal counts as P1: its cell is taken as
        conventional and primitive, and every site is an orbit.
    symprec : float
        Tolerance for sites in Å.

    Examples
    --------
    >>> from skuae.datasets import make_toy_crystals
    >>> toy = make_toy_crystals(n_samples=16, random_state=0)
    >>> symmetry = toy.structures.symmetry()
    >>> symmetry.space_groups[:4].tolist()
    [221, 225, 216, 225]
    >>> symmetry.orbits[:2].tolist()  # the two sites of the first crystal are not equivalent
    [0, 1]
    """

    space_groups: Annotated[np.ndarray, Column("crystals", np.uint8)]
    primitive_sizes: Annotated[np.ndarray, Column("crystals", np.int32)]
    conventional_lattices: Annotated[np.ndarray, Column("crystals", np.float64, (3, 3))]
    orbits: Annotated[np.ndarray, Column("sites", np.int32, refers_to="sites")]
    found: Annotated[np.ndarray, Column("crystals", np.bool_)]
    symprec: float

    def __post_init__(self) -> None:
        super().__post_init__()
        check_symprec(self.symprec)
        sizes = np.diff(self.offsets)
        if np.any(self.space_groups < 1) or np.any(self.space_groups > N_SPACE_GROUPS):
            raise ValueError("space groups are numbers from 1 to 230")
        if np.any(self.primitive_sizes < 1) or np.any(self.primitive_sizes > sizes):
            raise ValueError("a primitive cell has at least one site and at most those of the cell")
        starts = np.repeat(self.offsets[:-1], sizes)
        first = starts + self.orbits
        if np.any(self.orbits < 0) or np.any(first > np.arange(len(first))):
            raise ValueError("an orbit is named by its first site")
        if np.any(first[first] != first):
            raise ValueError("an orbit is named by one of its sites")
        if not np.all(np.linalg.det(self.conventional_lattices) > 0):
            raise ValueError("a conventional cell has no volume")

    @property
    def crystal_systems(self) -> np.ndarray:
        """Names of the crystal systems, ``"triclinic"`` to ``"cubic"``, shape (n_crystals,)."""
        return space_group_names()["crystal_system"][self.space_groups - 1]

    @property
    def primitive_lattices(self) -> np.ndarray:
        """Vectors of the primitive cell as rows, in Å, shape (n_crystals, 3, 3).

        They follow from the conventional cell and its centring, rotated so that a lies along x and
        b in the xy plane. Rhombohedral lattices have three vectors of equal length.
        """
        return _turned(_centrings()[self.space_groups] @ self.conventional_lattices)


def find_symmetry(
    crystals: Crystals, symprec: float, *, n_jobs: int | None = None, verbose: int = 0
) -> CrystalSymmetry:
    """Find the symmetry of crystals; see :meth:`Crystals.symmetry`.

    Parameters
    ----------
    crystals : Crystals
    symprec : float
    n_jobs : int, optional
    verbose : int, default=0

    Returns
    -------
    CrystalSymmetry
    """
    # Kinds of sites are numbered by their content, in whatever order the sites come.
    colors = element_colors(crystals, 0, crystals.n_sites)
    kinds = np.unique(colors, return_inverse=True)[1].astype(np.int32)
    tasks = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(_find)(*_cells(crystals, kinds, rows), symprec) for rows in _tasks(crystals)
    )
    parts = []
    with (
        show_progress(verbose) if verbose else nullcontext(),
        progress_bar(len(crystals), "symmetry", "crystals") as bar,
    ):
        for part in tasks:
            parts.append(part)
            bar.update(len(part))
    return CrystalSymmetry.concatenate(parts)


def check_symprec(symprec: object) -> float:
    """Return symprec as a float.

    Parameters
    ----------
    symprec : float

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        If it is no number; if it is not above 0, or not finite.
    """
    if not is_real(symprec) or isinstance(symprec, (bool, np.bool_)):
        raise TypeError(f"symprec={symprec!r} must be a number, in Å")
    if not 0 < symprec < np.inf:
        raise ValueError(f"symprec={symprec} must be a finite number above 0, in Å")
    return float(symprec)


def warn_of_no_symmetry(crystals: Crystals, symmetry: CrystalSymmetry) -> None:
    """Warn of crystals for which spglib found nothing.

    Parameters
    ----------
    crystals : Crystals
    symmetry : CrystalSymmetry
        Of these crystals.
    """
    rows = np.flatnonzero(~symmetry.found)
    if len(rows):
        warn(
            f"spglib finds no space group at symprec={symmetry.symprec:g} Å for "
            f"{named_rows(crystals, rows)}, as where like sites are closer than that: taken as P1, "
            "with the cell as given and no equivalent sites; a smaller symprec may help"
        )


def _tasks(crystals: Crystals) -> Iterator[range]:
    """Split crystals into consecutive rows of about the same work; at least one task."""
    if not len(crystals):
        yield range(0)
    work = np.cumsum(np.maximum(1, (crystals.sizes / _MANY_SITES) ** 2))
    starts = np.searchsorted(work, np.arange(0, work.max(initial=0), _TASK), side="right")
    for first, last in itertools.pairwise(np.unique(np.append(starts, len(crystals)))):
        yield range(first, last)


def _cells(crystals: Crystals, kinds: np.ndarray, rows: range) -> tuple[np.ndarray, ...]:
    """Return lattices, coordinates, kinds and offsets of consecutive crystals."""
    offsets = crystals.offsets[rows.start : rows.stop + 1]
    sites = slice(offsets[0], offsets[-1])
    lattices = crystals.lattices[rows.start : rows.stop]
    return lattices, crystals.frac_coords[sites], kinds[sites], offsets - offsets[0]


def _find(
    lattices: np.ndarray,
    frac_coords: np.ndarray,
    kinds: np.ndarray,
    offsets: np.ndarray,
    symprec: float,
) -> CrystalSymmetry:
    """Return the symmetry of some cells; first P1, then what spglib finds."""
    n, sizes = len(lattices), np.diff(offsets)
    arrays: Arrays = {
        "space_groups": np.ones(n, dtype=np.uint8),
        "primitive_sizes": sizes.astype(np.int32),
        "conventional_lattices": _turned(lattices),
        "orbits": np.arange(offsets[-1], dtype=np.int32) - np.repeat(offsets[:-1], sizes),
        "found": np.zeros(n, dtype=np.bool_),
    }
    # The DeprecationWarning at every call is about how spglib reports errors.
    with ignored(DeprecationWarning), _quiet():
        for row in range(n):
            sites = slice(offsets[row], offsets[row + 1])
            dataset = _dataset(lattices[row], frac_coords[sites], kinds[sites], symprec)
            if dataset is not None:
                _, first, of = np.unique(
                    dataset.crystallographic_orbits, return_index=True, return_inverse=True
                )
                arrays["space_groups"][row] = dataset.number
                arrays["primitive_sizes"][row] = len(np.unique(dataset.mapping_to_primitive))
                arrays["conventional_lattices"][row] = dataset.std_lattice
                arrays["orbits"][sites] = first[of]
                arrays["found"][row] = True
    return CrystalSymmetry(offsets=offsets, symprec=symprec, **arrays)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence stderr of spglib's C code, unless the user has asked for it."""
    if _SAYS in os.environ:
        yield
        return
    os.environ[_SAYS] = "OFF"
    try:
        yield
    finally:
        os.environ.pop(_SAYS, None)


def _dataset(
    lattice: np.ndarray, frac_coords: np.ndarray, kinds: np.ndarray, symprec: float
) -> Any:
    """Return what spglib finds, or None."""
    cell: Any = lattice, frac_coords, kinds
    try:
        return spglib.get_symmetry_dataset(cell, symprec, angle_tolerance=_ANGLE_TOLERANCE)
    except spglib.SpglibError:
        return None


def _turned(lattices: np.ndarray) -> np.ndarray:
    """Turn cells so that a lies along x, b in the xy plane and c above it."""
    return np.linalg.cholesky(lattices @ np.swapaxes(lattices, -1, -2))


@cache
def _centrings() -> np.ndarray:
    """Return the vectors of primitive cells by space group, shape (231, 3, 3)."""
    symbols = space_group_names()["symbol"]
    return np.array([_PRIMITIVE["P"], *(_PRIMITIVE[symbol[0]] for symbol in symbols)])
