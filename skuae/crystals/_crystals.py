"""`Crystals`: the packed, immutable container of crystals."""

from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from typing import Annotated, Any, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from pymatgen.core import Structure

from skuae._row_names import row_name
from skuae.crystals._arrays import (
    arrays_by_level,
    arrays_of_crystals,
    joined_arrays,
    packed,
    packed_entries,
    precision_of,
)
from skuae.crystals._contents import composition_of, html_of, structure_of
from skuae.crystals._derived import Derived, Symmetries, find_and_keep
from skuae.crystals._graphs import CrystalGraphs, Neighbors, build_graphs, warn_of_isolated
from skuae.crystals._levels import Arrays, Column, offsets_of, schema_of, take_levels
from skuae.crystals._merged import build_merged_graphs
from skuae.crystals._reduced import ReducedGraphs, build_reduced_graphs
from skuae.crystals._saved import read_crystals, write_crystals
from skuae.crystals._symmetry import SYMPREC, CrystalSymmetry
from skuae.crystals._validation import check_cells, moved_near

Graphs = TypeVar("Graphs", bound=Neighbors)
C = TypeVar("C", bound="Crystals")


class Crystals:
    """Packed crystals: the sites of all crystals in common arrays.

    :func:`skuae.as_crystals` makes them from structures. The constructor copies arrays that are
    packed already. Indexing with an int gives a pymatgen Structure; with a slice, an int array or a
    mask it gives another `Crystals`.

    Parameters
    ----------
    numbers : array-like of shape (n_sites,)
        Atomic numbers, 1 to 118; on a disordered site, that of the majority element.
    frac_coords : array-like of shape (n_sites, 3)
        Fractional coordinates. They need not lie in the cell; a coordinate more than 10 cells away
        is moved into it.
    lattices : array-like of shape (n_crystals, 3, 3)
        Lattice vectors a, b, c as rows, 0.5 to 1000 Å long. Right-handed or not.
    offsets : array-like of shape (n_crystals + 1,)
        Crystal ``i`` owns the sites ``offsets[i]:offsets[i + 1]``.
    ids : array-like of str of shape (n_crystals,), optional
        Names used in error messages.
    occ_sites, occ_numbers, occ_values : array-like of shape (n_entries,), optional
        Site index, atomic number and occupancy of every species on the *disordered* sites
        (several species, or one with an occupancy below one), sorted by site.

    Attributes
    ----------
    sizes : ndarray of shape (n_crystals,)
        Sites per crystal.
    volumes : ndarray of shape (n_crystals,)
        Cell volumes in Å³.
    is_disordered : ndarray of bool of shape (n_crystals,)

    Raises
    ------
    ValueError
        If the arrays do not fit together, or a crystal has no sites, coordinates or a cell that are
        not finite, a cell without volume, a lattice vector shorter than 0.5 Å or longer than 1000
        Å, less than 0.5 Å³ per site, or coordinates so large that rounding moves a site by 0.001 Å.
        `as_crystals` also refuses atoms that are too close to one another.

    Examples
    --------
    >>> from skuae import as_crystals
    >>> from skuae.datasets import make_toy_crystals
    >>> crystals = as_crystals(make_toy_crystals(n_samples=4, random_state=0).structures)
    >>> len(crystals), len(crystals[1:3]), type(crystals[0]).__name__
    (4, 2, 'Structure')
    """

    ndim = 1
    _repr_html_ = html_of  # what notebooks show

    numbers: Annotated[np.ndarray, Column("sites", np.uint8)]
    frac_coords: Annotated[np.ndarray, Column("sites", np.float64, (3,))]
    lattices: Annotated[np.ndarray, Column("crystals", np.float64, (3, 3))]
    offsets: Annotated[np.ndarray, offsets_of("sites")]
    ids: Annotated[np.ndarray | None, Column("crystals", np.str_, in_batch=False)]
    occ_sites: Any  # these three are arrays, or None
    occ_numbers: Annotated[Any, Column("entries", np.uint8)]
    occ_values: Annotated[Any, Column("entries", np.float64)]

    def __init__(
        self,
        numbers: ArrayLike,
        frac_coords: ArrayLike,
        lattices: ArrayLike,
        offsets: ArrayLike,
        *,
        ids: ArrayLike | None = None,
        occ_sites: ArrayLike | None = None,
        occ_numbers: ArrayLike | None = None,
        occ_values: ArrayLike | None = None,
    ) -> None:
        self._derived = Derived()  # graphs and symmetry
        self.__dict__.update(packed(numbers, frac_coords, lattices, offsets, ids))
        self.__dict__.update(packed_entries(occ_sites, occ_numbers, occ_values, self))
        check_cells(self)
        self.frac_coords = moved_near(self, precision_of(frac_coords))

    # -- the array-like face that scikit-learn's splitters see ------------------------------------

    def __len__(self) -> int:
        return len(self.lattices)

    @property
    def shape(self) -> tuple[int]:
        """Tuple ``(n_crystals,)``, as scikit-learn's splitters ask for it."""
        return (len(self),)

    @property
    def n_sites(self) -> int:
        """Number of sites of all crystals together."""
        return len(self.numbers)

    @property
    def sizes(self) -> np.ndarray:
        """Sites per crystal, shape (n_crystals,)."""
        return np.diff(self.offsets)

    @property
    def volumes(self) -> np.ndarray:
        """Cell volumes in Å³, shape (n_crystals,)."""
        return np.abs(np.linalg.det(self.lattices))

    @property
    def is_disordered(self) -> np.ndarray:
        """Which crystals have sites that are shared or partly empty, shape (n_crystals,)."""
        mask = np.zeros(len(self), dtype=bool)
        if self.occ_sites is not None:
            mask[np.searchsorted(self.offsets, self.occ_sites, side="right") - 1] = True
        return mask

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, tuple):  # scikit-learn's indexing asks for X[rows, ...]
            if len(key) != 2 or key[1] is not Ellipsis:
                raise IndexError("Crystals have one axis: index them with rows only")
            key = key[0]
        if isinstance(key, (int, np.integer)):
            return structure_of(self, range(len(self))[key])
        rows = np.arange(len(self))[key]
        part = take_levels(arrays_by_level(self), schema_of(Crystals), rows)
        return self._from_arrays(part, Derived.of_slice(self, rows))

    def __iter__(self) -> Iterator[Structure]:
        return (structure_of(self, i) for i in range(len(self)))

    def __repr__(self) -> str:
        disordered = int(self.is_disordered.sum())
        note = f", {disordered} disordered" if disordered else ""
        return f"Crystals(n_crystals={len(self)}, n_sites={self.n_sites}{note})"

    def __reduce__(self) -> tuple:
        # Through the constructor, which checks, and without graphs: they take longer to send to a
        # worker than to build there. Symmetry takes longer to find.
        values = {name: getattr(self, name) for name in _NAMES}
        return _rebuild, (type(self), values, self._derived.symmetries())

    def where(self, row: int) -> str:
        """Return the name of a crystal for messages.

        Parameters
        ----------
        row : int

        Returns
        -------
        str
            ``"row 5 (mp-149)"``; ``"row 5"`` without ids, and ``"mp-149"`` in commands.
        """
        return row_name(row, self.ids)

    # -- what is in them --------------------------------------------------------------------------

    def composition(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Count the atoms of each element in each crystal.

        Returns
        -------
        rows : ndarray of int64 of shape (n_entries,)
            Crystal of the entry; ascending.
        numbers : ndarray of int64 of shape (n_entries,)
            Atomic number; ascending within a crystal.
        amounts : ndarray of float64 of shape (n_entries,)
            Atoms per cell; occupancies count on disordered sites.
        """
        return composition_of(self)

    def to_structures(self) -> list[Structure]:
        """Return a list of pymatgen Structures."""
        return list(self)

    # -- neighbours and symmetry ------------------------------------------------------------------

    def graph(
        self, cutoff: float, max_neighbors: int | None = None, whole_shell: bool = False
    ) -> CrystalGraphs:
        """Find the neighbours of every site, periodic images included.

        Graphs are built once per setting and kept with the crystals. If the crystals are a slice of
        at least a tenth of other crystals, the graphs of all of these are built, so that the folds
        of a cross-validation share them.

        Parameters
        ----------
        cutoff : float
            Largest distance in Å.
        max_neighbors : int or None, default=None
            Number of nearest neighbours to keep for a site; None keeps all within the cutoff.
        whole_shell : bool, default=False
            Also keep all neighbours at the distance of the last one, so that ties are not cut.

        Returns
        -------
        CrystalGraphs
        """
        return self._searched(build_graphs, (float(cutoff), max_neighbors, bool(whole_shell)))

    def merged_graph(
        self, cutoff: float, max_neighbors: int, whole_shell: bool = False
    ) -> CrystalGraphs | ReducedGraphs:
        """Find neighbours as `graph` does, and merge equal sites and edges if that saves work.

        Sites and edges are equal if message passing along the edges cannot distinguish them. A cut
        shell is less symmetric than the crystal, and its edges are not symmetric: A may be a
        neighbour of B, but not B of A. Graphs are kept and shared as in `graph`.

        Parameters
        ----------
        cutoff : float
        max_neighbors : int
        whole_shell : bool, default=False
            As of `graph`.

        Returns
        -------
        ReducedGraphs or CrystalGraphs
            The whole graphs if more than three in four edges differ, as in crystals without
            symmetry. One crystal in fifty is tested.
        """
        setting = (float(cutoff), max_neighbors, bool(whole_shell))
        return self._searched(build_merged_graphs, setting)

    def reduced_graph(
        self,
        cutoff: float,
        max_neighbors: int | None = None,
        whole_shell: bool = True,
        *,
        angles: bool = False,
        merge: bool = True,
        moments: bool = False,
    ) -> ReducedGraphs:
        """Find neighbours, and angles between bonds, and merge equal ones.

        Networks that see only the environment of a site give equal vectors to equal sites and
        bonds, so one of each kind is enough. Graphs are kept and shared as in `graph`.

        Parameters
        ----------
        cutoff : float
            Largest distance in Å.
        max_neighbors : int or None, default=None
            Number of nearest neighbours to take for a site; None takes all within the cutoff. If A
            is a neighbour of B, B becomes a neighbour of A.
        whole_shell : bool, default=True
            Also take all neighbours at the distance of the last one. Cut shells are not symmetric.
        angles : bool, default=False
            Whether to find the angles between bonds that share a site.
        merge : bool, default=True
            False keeps all sites, also equal ones, and the images of edges.
        moments : bool, default=False
            Whether to say where edges point, as a mean of ``r r^T`` with unit vectors r along them.

        Returns
        -------
        ReducedGraphs
        """
        setting = float(cutoff), max_neighbors, *map(bool, (whole_shell, angles, merge, moments))
        return self._searched(build_reduced_graphs, setting)

    def _searched(self, build: Callable[..., Graphs], setting: tuple) -> Graphs:
        graphs = self._derived.get(self, (build.__name__, *setting), lambda c: build(c, *setting))
        self._derived.remark(warn_of_isolated, self, graphs)
        return graphs

    def symmetry(
        self, symprec: float = SYMPREC, *, n_jobs: int | None = None, verbose: int = 0
    ) -> CrystalSymmetry:
        """Find space groups, primitive cells, equivalent sites and conventional lattices.

        spglib takes milliseconds per crystal, once for each `symprec`. Results are kept and shared
        as in `graph`. Slices, pickles, `save` and, if all parts have them, `concatenate` keep them.

        Parameters
        ----------
        symprec : float, default=0.1
            Tolerance for sites in Å, as in the Materials Project. That for angles is 5 degrees.
        n_jobs : int, optional
            Processes; -1 takes all cores. None is 1, unless in a `joblib.parallel_config` context.
        verbose : int, default=0
            Show a progress bar if above 0.

        Returns
        -------
        CrystalSymmetry
            Equivalent sites have the same elements with the same occupancies.

        Raises
        ------
        TypeError, ValueError
            If `symprec` is no number; if it is not above 0, or not finite.

        Warns
        -----
        UserWarning
            spglib found no space group for some; they count as P1, see `CrystalSymmetry.found`.

        Examples
        --------
        >>> from skuae.datasets import load_mp_mini
        >>> load_mp_mini().structures[:3].symmetry().space_groups
        array([  8, 139, 225], dtype=uint8)
        """
        return find_and_keep(self, symprec, n_jobs, verbose)

    # -- parts and files --------------------------------------------------------------------------

    @classmethod
    def _from_arrays(cls, arrays: Arrays, derived: Derived) -> Self:
        """Return crystals that are made of parts of others, which have been checked."""
        crystals = cls.__new__(cls)
        crystals.__dict__.update(arrays_of_crystals(arrays, schema_of(Crystals)))
        crystals._derived = derived
        return crystals

    @classmethod
    def concatenate(cls, parts: Sequence["Crystals"]) -> Self:
        """Join crystals end to end.

        Parameters
        ----------
        parts : sequence of Crystals
            At least one. Ids and symmetry are kept if all parts have them.

        Returns
        -------
        Crystals
        """
        arrays = joined_arrays([arrays_by_level(part) for part in parts])
        return cls._from_arrays(arrays, Derived.of_joined(parts))

    def save(self, path: str | PathLike) -> None:
        """Write the crystals, with symmetry, to a compressed ``.npz`` file: complete or absent.

        Parameters
        ----------
        path : str or path-like
        """
        write_crystals(self, path)

    @classmethod
    def load(cls, path: str | PathLike) -> Self:
        """Read crystals written by :meth:`save`. Nothing is unpickled.

        Parameters
        ----------
        path : str or path-like

        Returns
        -------
        Crystals

        Raises
        ------
        FileNotFoundError, ValueError
            If there is no such file, :meth:`save` did not write it, or it is damaged.
        """
        return read_crystals(cls, path, _rebuild)


_NAMES = (*schema_of(Crystals), "occ_sites")


def _rebuild(cls: type[C], values: dict[str, Any], symmetries: Symmetries) -> C:
    crystals = cls(**values)
    crystals._derived = Derived(symmetries)
    return crystals
