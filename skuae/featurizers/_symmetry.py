"""Symmetry, electrons, density and distances as features of crystals."""

from collections.abc import Callable
from functools import cache
from typing import Any, Self

import numpy as np
from pymatgen.core import Element
from sklearn.base import BaseEstimator, TransformerMixin

from skuae._elements import N_ELEMENTS
from skuae._progress import show_progress
from skuae.crystals import (
    CRYSTAL_SYSTEMS,
    Crystals,
    check_symprec,
    count_electrons,
    space_group_names,
)
from skuae.embedding import FeaturizerMixin, crystals_and_table

# The last space group of each of the 32 point groups, in the order of the International Tables.
_LAST_OF_POINT_GROUP = np.array(
    [1, 2, 5, 9, 15, 24, 46, 74, 80, 82, 88, 98, 110, 122, 142, 146, 148, 155, 161, 167, 173, 174,
     176, 182, 186, 190, 194, 199, 206, 214, 220, 230]
)  # fmt: skip
_NAMES = [
    "space_group",
    "point_group",
    "crystal_system",
    "centrosymmetric",
    "chiral",
    "electrons",
    "odd_electrons",
    "primitive_sites",
    "orbits",
    "volume_per_atom",
    "density",
    "nearest_mean",
    "nearest_std",
    "nearest_min",
    "nearest_max",
    "neighbors_mean",
    "neighbors_std",
]
_CUTOFF, _N_NEIGHBORS = 8.0, 12
_TO_DENSITY = 1.66053907  # from atomic mass units per Å³ to g/cm³

_CITATION = """\
@article{togo2024spglib,
  title = {Spglib: a software library for crystal symmetry search},
  author = {Togo, Atsushi and Shinohara, Kohei and Tanaka, Isao},
  journal = {Science and Technology of Advanced Materials: Methods}, volume = {4},
  pages = {2384822}, year = {2024}, doi = {10.1080/27660400.2024.2384822}
}"""


class SymmetryTransformer(FeaturizerMixin, TransformerMixin, BaseEstimator):
    """Features of crystals from their symmetry, electrons, density and distances.

    They know nothing of the elements beyond masses and numbers of electrons, and are meant to stand
    beside the features of an element table.

    Parameters
    ----------
    symprec : float, default=0.1
        Distance in Å by which sites may miss a symmetry; see :meth:`skuae.Crystals.symmetry`.
    n_jobs : int, optional
        Processes that look for symmetry; one by default, -1 for all cores.
    verbose : int, default=0
        1 shows a progress bar.

    See Also
    --------
    skuae.UAETransformer : Features from an element table.

    Notes
    -----
    The features are

    - ``space_group``, 1 to 230; ``point_group``, 1 to 32, and ``crystal_system``, 1 (triclinic) to
      7 (cubic), in the order of the International Tables;
    - ``centrosymmetric``: 1 with a centre of inversion, else 0; ``chiral``: 1 if all operations are
      rotations, else 0;
    - ``electrons`` in the primitive cell, and ``odd_electrons``: 1 if their number is odd, else 0;
    - ``primitive_sites`` in the primitive cell, and ``orbits``: sites of the crystal that no
      symmetry makes equivalent;
    - ``volume_per_atom`` in Å³ and ``density`` in g/cm³; occupancies count;
    - ``nearest_mean``, ``nearest_std``, ``nearest_min``, ``nearest_max``: statistics over the sites
      of the distance in Å to the nearest neighbour; 8 Å where there is none within that;
    - ``neighbors_mean``, ``neighbors_std``: the same of the distances to the twelve nearest
      neighbours within 8 Å, of all sites together.

    Examples
    --------
    >>> from skuae.datasets import load_mp_mini
    >>> from skuae.featurizers import SymmetryTransformer
    >>> crystals = load_mp_mini().structures[:3]
    >>> frame = SymmetryTransformer().set_output(transform="pandas").fit_transform(crystals)
    >>> frame["space_group"].tolist()
    [8.0, 139.0, 225.0]
    """

    def __init__(self, symprec=0.1, *, n_jobs=None, verbose=0):
        self.symprec = symprec
        self.n_jobs = n_jobs
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the crystals; there is nothing to learn.

        Parameters
        ----------
        X : list, Series, DataFrame with one column, Crystals or StructureFeatures
            Structures; see :func:`skuae.as_crystals`.
        y : ignored
            For scikit-learn.

        Returns
        -------
        self : object

        Raises
        ------
        TypeError
            If a row is not a structure.
        ValueError
            If a structure or `symprec` makes no sense.
        """
        check_symprec(self.symprec)
        crystals_and_table(X)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the features of crystals.

        Parameters
        ----------
        X : list, Series, DataFrame with one column, Crystals or StructureFeatures
            Structures; see :func:`skuae.as_crystals`.

        Returns
        -------
        ndarray of shape (n_samples, n_features), float32

        Raises
        ------
        ValueError
            If a structure or `symprec` makes no sense.

        Warns
        -----
        UserWarning
            If no symmetry was found in some crystals, which count as P1.
        """
        return self._featurizer()(crystals_and_table(X)[0])

    def feature_labels(self) -> list[str]:
        """Return the names of the features.

        Returns
        -------
        list of str
        """
        return list(_NAMES)

    def citations(self) -> list[str]:
        """Return what to cite, in BibTeX: the paper of spglib.

        Returns
        -------
        list of str
        """
        return [_CITATION]

    def _featurizer(self) -> Callable[[Crystals], np.ndarray]:
        check_symprec(self.symprec)
        return self._compute

    def _compute(self, crystals: Crystals) -> np.ndarray:
        with show_progress(self.verbose):
            columns = [
                *_symmetry_columns(crystals, self.symprec, self.n_jobs, self.verbose),
                *_contents_columns(crystals),
                *_distance_columns(crystals),
            ]
        return np.ascontiguousarray(np.column_stack(columns), dtype=np.float32)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags


def _symmetry_columns(
    crystals: Crystals, symprec: float, n_jobs: int | None, verbose: int
) -> list[np.ndarray]:
    """Return the features of the group, and counts of electrons, sites and orbits."""
    symmetry = crystals.symmetry(symprec, n_jobs=n_jobs, verbose=verbose)
    groups = symmetry.space_groups.astype(np.int64)
    kinds = space_group_names()["symmetry_class"][groups - 1]
    systems = np.array([CRYSTAL_SYSTEMS.index(name) + 1 for name in symmetry.crystal_systems])
    own = np.arange(crystals.n_sites) - np.repeat(crystals.offsets[:-1], crystals.sizes)
    first_of_orbit = symmetry.orbits == own
    electrons = count_electrons(crystals, symmetry)
    return [
        groups,
        np.searchsorted(_LAST_OF_POINT_GROUP, groups) + 1,
        systems,
        kinds == "Centrosymmetric",
        kinds == "Enantiomorphic",
        electrons,
        np.round(electrons) % 2,
        symmetry.primitive_sizes,
        np.add.reduceat(first_of_orbit, crystals.offsets[:-1], dtype=np.int64),
    ]


def _contents_columns(crystals: Crystals) -> list[np.ndarray]:
    """Return the volume per atom and the density."""
    rows, numbers, amounts = crystals.composition()
    atoms = _per_crystal(rows, amounts, crystals)
    mass = _per_crystal(rows, _masses()[numbers - 1] * amounts, crystals)
    return [crystals.volumes / atoms, _TO_DENSITY * mass / crystals.volumes]


def _distance_columns(crystals: Crystals) -> list[np.ndarray]:
    """Return statistics of the distances to the nearest neighbours."""
    graph = crystals.graph(_CUTOFF, _N_NEIGHBORS)
    degrees = np.diff(graph.edge_offsets)
    nearest = np.full(crystals.n_sites, _CUTOFF)
    nearest[degrees > 0] = graph.distances[graph.edge_offsets[:-1][degrees > 0]]
    site_rows = np.repeat(np.arange(len(crystals)), crystals.sizes)
    edge_rows = np.repeat(site_rows, degrees)
    starts = crystals.offsets[:-1]
    return [
        *_mean_and_std(site_rows, nearest, crystals),
        np.minimum.reduceat(nearest, starts),
        np.maximum.reduceat(nearest, starts),
        *_mean_and_std(edge_rows, graph.distances, crystals),
    ]


def _per_crystal(rows: np.ndarray, values: np.ndarray, crystals: Crystals) -> np.ndarray:
    """Sum values over the crystals that they belong to."""
    return np.bincount(rows, values, minlength=len(crystals))


def _mean_and_std(
    rows: np.ndarray, distances: np.ndarray, crystals: Crystals
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation over each crystal; without distances, the cutoff and 0."""
    counts = np.bincount(rows, minlength=len(crystals))
    total = np.maximum(counts, 1)
    mean = _per_crystal(rows, distances, crystals) / total
    variance = _per_crystal(rows, (distances - mean[rows]) ** 2, crystals) / total
    return np.where(counts > 0, mean, _CUTOFF), np.sqrt(variance)


@cache
def _masses() -> np.ndarray:
    """Return the atomic masses of all elements, in atomic mass units."""
    numbers = range(1, N_ELEMENTS + 1)
    return np.array([float(Element.from_Z(number).atomic_mass) for number in numbers])
