"""Lengths and angles of cells: of one canonical cell of a crystal, or as given."""

import numpy as np
import pandas as pd

from skuae.crystals import as_crystals

_CELLS = ("conventional", "primitive", "given")


def lattice_parameters(X, cell="conventional", *, symprec=0.1, n_jobs=None, verbose=0):
    """Return lengths and angles of the cells of crystals.

    A file may describe a crystal by any of its cells, and a model cannot predict which one was
    chosen. Use a canonical cell for targets.

    Parameters
    ----------
    X : Crystals, list, Series, DataFrame or ndarray
        Anything that :func:`skuae.as_crystals` reads.
    cell : {"conventional", "primitive", "given"}, default="conventional"
        Which cell.

        - ``"conventional"``: of the standard setting of the International Tables, as spglib chooses
          it; the Niggli-reduced cell for triclinic crystals. The cell, supercell, origin and
          orientation that X holds do not matter.
        - ``"primitive"``: made from the conventional cell by its centring. Canonical, too.
        - ``"given"``: as X has it.
    symprec : float, default=0.1
        Tolerance for sites in Å; not used for given cells.
    n_jobs : int, optional
        Processes that find the symmetry; -1 takes all cores. None is 1, unless in a
        `joblib.parallel_config` context.
    verbose : int, default=0
        Show a progress bar if above 0.

    Returns
    -------
    DataFrame of shape (n_crystals, 6)
        Columns ``a``, ``b``, ``c`` in Å and ``alpha``, ``beta``, ``gamma`` in degrees. The index is
        that of X, or the ids of the crystals if there are any.

    Raises
    ------
    TypeError, ValueError
        If `cell` is unknown, or `symprec` is invalid.

    Warns
    -----
    UserWarning
        spglib found no space group for some crystals; their cells are as given. Rows are named.

    See Also
    --------
    skuae.Crystals.symmetry : Space groups and cells, which this function reads.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from skuae.analysis import lattice_parameters
    >>> nacl = Structure.from_spacegroup(
    ...     "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    >>> lattice_parameters([nacl.get_primitive_structure(), nacl, nacl * (1, 1, 2)]).round(2)
          a     b     c  alpha  beta  gamma
    0  5.64  5.64  5.64   90.0  90.0   90.0
    1  5.64  5.64  5.64   90.0  90.0   90.0
    2  5.64  5.64  5.64   90.0  90.0   90.0
    """
    if cell not in _CELLS:
        raise ValueError(f'cell={cell!r} must be "conventional", "primitive" or "given"')
    crystals = as_crystals(X)
    if cell == "given":
        lattices = crystals.lattices
    else:
        symmetry = crystals.symmetry(symprec, n_jobs=n_jobs, verbose=verbose)
        lattices = getattr(symmetry, f"{cell}_lattices")
    index = X.index if isinstance(X, (pd.Series, pd.DataFrame)) else crystals.ids
    return pd.DataFrame(
        np.hstack([_lengths(lattices), _angles(lattices)]),
        index=index,
        columns=["a", "b", "c", "alpha", "beta", "gamma"],
    )


def _lengths(lattices):
    return np.linalg.norm(lattices, axis=2)


def _angles(lattices):
    """Return the angles between b and c, c and a, a and b, in degrees."""
    directions = lattices / _lengths(lattices)[:, :, None]
    cosines = np.einsum("nij,nij->ni", directions[:, [1, 2, 0]], directions[:, [2, 0, 1]])
    return np.degrees(np.arccos(np.clip(cosines, -1, 1)))
