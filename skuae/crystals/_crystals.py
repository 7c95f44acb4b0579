"""The packed, immutable container that everything in skuae reads crystals from."""

import io

import numpy as np
from pymatgen.core import Lattice, Structure
from pymatgen.core.periodic_table import Element

from skuae._elements import N_ELEMENTS
from skuae._files import write_bytes
from skuae.crystals._graphs import CrystalGraphs, build_graphs
from skuae.crystals._packing import frozen, offsets_from_sizes, take_rows
from skuae.crystals._reduced import ReducedGraphs, build_reduced_graphs
from skuae.crystals._validation import check_occupancies

_FORMAT = "skuae-crystals-1"

# A slice this large a part of its parent has its graphs built for the whole parent: the other
# slices of a cross-validation then find theirs ready.
_SHARE_FROM = 0.1


class Crystals:
    """Packed crystals: all sites of all crystals, end to end.

    Made from structures by :func:`skuae.crystals.as_crystals`; the constructor takes arrays that
    are packed already, and takes them over: do not write to them later. Indexing with an int gives
    a pymatgen Structure, with a slice, an int array or a mask another `Crystals`.

    Parameters
    ----------
    numbers : array-like of shape (n_sites,)
        Atomic numbers, 1 to 118. On a disordered site, that of the majority element.
    frac_coords : array-like of shape (n_sites, 3)
        Fractional coordinates.
    lattices : array-like of shape (n_crystals, 3, 3)
        Lattice vectors a, b, c as rows, in Å.
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

    Examples
    --------
    >>> from skuae import as_crystals
    >>> from skuae.datasets import make_toy_crystals
    >>> crystals = as_crystals(make_toy_crystals(n_samples=4, random_state=0).structures)
    >>> len(crystals), len(crystals[1:3]), type(crystals[0]).__name__
    (4, 2, 'Structure')
    """

    ndim = 1

    def __init__(
        self,
        numbers,
        frac_coords,
        lattices,
        offsets,
        *,
        ids=None,
        occ_sites=None,
        occ_numbers=None,
        occ_values=None,
    ):
        numbers = np.asarray(numbers)
        in_table = numbers.size == 0 or 1 <= numbers.min() <= numbers.max() <= N_ELEMENTS
        self.numbers = frozen(numbers, np.uint8)
        self.frac_coords = frozen(frac_coords, np.float64)
        self.lattices = frozen(lattices, np.float64)
        self.offsets = frozen(offsets, np.int64)
        self.ids = None if ids is None else frozen(ids, np.str_)
        occupied = occ_sites is not None and len(occ_sites) > 0
        self.occ_sites = frozen(occ_sites, np.int64) if occupied else None
        self.occ_numbers = frozen(occ_numbers, np.uint8) if occupied else None
        self.occ_values = frozen(occ_values, np.float64) if occupied else None
        n, n_sites = len(self.lattices), len(self.numbers)
        if (
            self.lattices.shape != (n, 3, 3)
            or self.frac_coords.shape != (n_sites, 3)
            or self.offsets.shape != (n + 1,)
            or self.offsets[0] != 0
            or self.offsets[-1] != n_sites
            or np.any(np.diff(self.offsets) < 0)
            or not in_table
            or np.any(self.numbers != numbers)
            or (self.ids is not None and self.ids.shape != (n,))
        ):
            raise ValueError(
                "arrays do not describe packed crystals: expected numbers (n_sites,), each an "
                "integer from 1 to 118, frac_coords (n_sites, 3), lattices (n, 3, 3), offsets "
                "(n + 1,) from 0 to n_sites; got "
                f"{self.numbers.shape}, {self.frac_coords.shape}, {self.lattices.shape}, "
                f"{self.offsets.shape}. Build Crystals from structures with as_crystals(X)."
            )
        if occupied:
            check_occupancies(self, occ_numbers)
        self._graphs: dict = {}
        self._parent = None  # (Crystals, rows): where graphs may be ready, see graph()

    # -- the array-like face that scikit-learn's splitters see ------------------------------------

    def __len__(self):
        return len(self.lattices)

    @property
    def shape(self):
        """Tuple ``(n_crystals,)``, as scikit-learn's splitters ask for it."""
        return (len(self),)

    @property
    def n_sites(self):
        """Number of sites of all crystals together."""
        return len(self.numbers)

    @property
    def sizes(self):
        """Sites per crystal, shape (n_crystals,)."""
        return np.diff(self.offsets)

    @property
    def volumes(self):
        """Cell volumes in Å³, shape (n_crystals,)."""
        return np.abs(np.linalg.det(self.lattices))

    @property
    def is_disordered(self):
        """Which crystals have sites that are shared or partly empty, shape (n_crystals,)."""
        mask = np.zeros(len(self), dtype=bool)
        if self.occ_sites is not None:
            mask[np.searchsorted(self.offsets, self.occ_sites, side="right") - 1] = True
        return mask

    def __getitem__(self, key):
        if isinstance(key, tuple):  # scikit-learn's indexing asks for X[rows, ...]
            if len(key) != 2 or key[1] is not Ellipsis:
                raise IndexError("Crystals have one axis: index them with rows only")
            key = key[0]
        if isinstance(key, (int, np.integer)):
            return self._structure(range(len(self))[key])
        rows = np.arange(len(self))[key]
        sites, offsets = take_rows(self.offsets, rows)
        occupancies = {}
        if self.occ_sites is not None:
            bounds = np.searchsorted(self.occ_sites, np.arange(self.n_sites + 1))
            entries, entry_offsets = take_rows(bounds, sites)
            occupancies = {
                "occ_sites": np.repeat(np.arange(len(sites)), np.diff(entry_offsets)),
                "occ_numbers": self.occ_numbers[entries],
                "occ_values": self.occ_values[entries],
            }
        part = Crystals(
            self.numbers[sites],
            self.frac_coords[sites],
            self.lattices[rows],
            offsets,
            ids=None if self.ids is None else self.ids[rows],
            **occupancies,
        )
        if len(rows) >= _SHARE_FROM * len(self):  # a small slice does not keep the whole alive
            part._parent = (self, rows)
        return part

    def __iter__(self):
        return (self._structure(i) for i in range(len(self)))

    def __repr__(self):
        disordered = int(self.is_disordered.sum())
        note = f", {disordered} disordered" if disordered else ""
        return f"Crystals(n_crystals={len(self)}, n_sites={self.n_sites}{note})"

    def __getstate__(self):
        # Graphs take longer to send to a worker than to build there.
        return {**self.__dict__, "_graphs": {}, "_parent": None}

    def __setstate__(self, state):
        self.__dict__.update(state)
        for value in state.values():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False  # numpy does not keep that in pickles and copies

    def where(self, row):
        """Return how messages call a crystal.

        Parameters
        ----------
        row : int

        Returns
        -------
        str
            ``"row 5 (mp-149)"``, or ``"row 5"`` without ids.
        """
        return f"row {row}" if self.ids is None else f"row {row} ({self.ids[row]})"

    # -- what is in them --------------------------------------------------------------------------

    def composition(self):
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
        site_rows = np.repeat(np.arange(len(self)), self.sizes)
        numbers, weights = self.numbers, np.ones(self.n_sites)
        if self.occ_sites is not None:
            whole = np.ones(self.n_sites, dtype=bool)
            whole[self.occ_sites] = False
            numbers = np.concatenate([numbers[whole], self.occ_numbers])
            weights = np.concatenate([weights[whole], self.occ_values])
            site_rows = np.concatenate([site_rows[whole], site_rows[self.occ_sites]])
        keys, inverse = np.unique(site_rows * (N_ELEMENTS + 1) + numbers, return_inverse=True)
        rows, numbers = np.divmod(keys, N_ELEMENTS + 1)
        return rows, numbers, np.bincount(inverse, weights, minlength=len(keys))

    def _structure(self, i):
        sites = slice(self.offsets[i], self.offsets[i + 1])
        species: list = [Element.from_Z(int(z)) for z in self.numbers[sites]]
        if self.occ_sites is not None:
            first, last = np.searchsorted(self.occ_sites, [sites.start, sites.stop])
            mixed: dict = {}
            for e in range(first, last):
                site = int(self.occ_sites[e] - sites.start)
                element = Element.from_Z(int(self.occ_numbers[e]))
                mixed.setdefault(site, {})[element] = float(self.occ_values[e])
            for site, content in mixed.items():
                species[site] = content
        return Structure(Lattice(self.lattices[i]), species, self.frac_coords[sites])

    def to_structures(self):
        """Return a list of pymatgen Structures."""
        return list(self)

    # -- neighbours -------------------------------------------------------------------------------

    def graph(self, cutoff, max_neighbors=None, whole_shell=False) -> CrystalGraphs:
        """Find the neighbours of every site, periodic images included.

        Built once per setting and kept as long as the crystals are. A slice of a tenth or more of
        other crystals has them built for all of these, so that the folds of a cross-validation
        share them.

        Parameters
        ----------
        cutoff : float
            Largest distance in Å.
        max_neighbors : int or None, default=None
            Keep so many nearest neighbours of a site; None keeps all within the cutoff.
        whole_shell : bool, default=False
            Keep all neighbours that are as far as the last one kept, so that ties are not cut.

        Returns
        -------
        CrystalGraphs
        """
        return self._cached(build_graphs, (float(cutoff), max_neighbors, bool(whole_shell)))

    def reduced_graph(
        self, cutoff, max_neighbors=None, whole_shell=True, *, angles=False, merge=True
    ) -> ReducedGraphs:
        """Find neighbours, and angles between bonds, and keep one of each kind.

        For networks that do not see where a site is but only what is around it: equal sites and
        bonds have equal vectors, so one of each kind is enough. Kept and shared as by `graph`.

        Parameters
        ----------
        cutoff : float
            Largest distance in Å.
        max_neighbors : int or None, default=None
            Take so many nearest neighbours of a site; None takes all within the cutoff. A site that
            is taken by another one takes that one in turn.
        whole_shell : bool, default=True
            Take all neighbours that are as far as the last one taken. Cut shells are not symmetric.
        angles : bool, default=False
            Whether to list the angles between bonds that share a site.
        merge : bool, default=True
            False keeps all sites, equal or not.

        Returns
        -------
        ReducedGraphs
        """
        setting = (float(cutoff), max_neighbors, bool(whole_shell), bool(angles), bool(merge))
        return self._cached(build_reduced_graphs, setting)

    def _cached(self, build, setting):
        key = (build.__name__, *setting)
        if key not in self._graphs:
            if self._parent is None:
                self._graphs[key] = build(self, *setting)
            else:
                parent, rows = self._parent
                self._graphs[key] = parent._cached(build, setting).take(rows)
        return self._graphs[key]

    @classmethod
    def concatenate(cls, parts):
        """Join crystals end to end.

        Parameters
        ----------
        parts : sequence of Crystals
            At least one. Ids are kept if all have them.

        Returns
        -------
        Crystals
        """
        arrays = {
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in ("numbers", "frac_coords", "lattices")
        }
        if all(part.ids is not None for part in parts):
            arrays["ids"] = np.concatenate([part.ids for part in parts])
        starts = np.cumsum([0, *(part.n_sites for part in parts)])[:-1]
        mixed = [
            (part, start)
            for part, start in zip(parts, starts, strict=True)
            if part.occ_sites is not None
        ]
        if mixed:
            arrays["occ_sites"] = np.concatenate([part.occ_sites + start for part, start in mixed])
            arrays["occ_numbers"] = np.concatenate([part.occ_numbers for part, _ in mixed])
            arrays["occ_values"] = np.concatenate([part.occ_values for part, _ in mixed])
        sizes = np.concatenate([part.sizes for part in parts])
        return cls(offsets=offsets_from_sizes(sizes), **arrays)

    # -- files ------------------------------------------------------------------------------------

    def save(self, path):
        """Write the crystals to one compressed ``.npz`` file, all or nothing.

        Parameters
        ----------
        path : str or path-like
        """
        names = ("ids", "occ_sites", "occ_numbers", "occ_values")
        optional = {k: getattr(self, k) for k in names if getattr(self, k) is not None}
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            format=np.array(_FORMAT),
            numbers=self.numbers,
            frac_coords=self.frac_coords,
            lattices=self.lattices,
            offsets=self.offsets,
            **optional,
        )
        write_bytes(path, buffer.getvalue())

    @classmethod
    def load(cls, path):
        """Read crystals written by :meth:`save`. Nothing is unpickled.

        Parameters
        ----------
        path : str or path-like

        Returns
        -------
        Crystals

        Raises
        ------
        ValueError
            If the file is not one that :meth:`save` wrote, or is damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            if str(arrays.pop("format")) != _FORMAT:
                raise ValueError("unknown format")
            return cls(**arrays)
        except FileNotFoundError:
            raise
        except Exception as error:
            raise ValueError(
                f"{path} is not a file of crystals that skuae can read ({error}); "
                "write one with Crystals.save"
            ) from error
