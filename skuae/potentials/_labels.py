"""Labels of potentials: energies, forces, stresses and moments, each of which may be missing."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from skuae._messages import such_rows
from skuae._numbers import as_floats
from skuae._warnings import warn
from skuae.crystals import Crystals
from skuae.potentials._contract import GPA

NAMES = ("energy", "forces", "stress", "magmoms")
_MEANINGS = {
    "energy": "a number, in eV per cell",
    "forces": "a row per site, in eV/Å",
    "stress": "a tensor in GPa, positive under tension",
    "magmoms": "a number per site, in Bohr magnetons",
}
_LARGEST = 1e8  # more than the energy of all electrons of a heavy atom
_DRIFT = 0.05, 0.1  # eV/Å per site, and a share of the mean force: what codes leave is less
_SYMMETRIC = 1e-2  # of the largest entry; codes of density functionals round


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels of packed crystals; NaN where unknown.

    Attributes
    ----------
    energies : ndarray of float64 of shape (n,)
        In eV per cell.
    forces : ndarray of float64 of shape (n_sites, 3)
        In eV/Å.
    stresses : ndarray of float64 of shape (n, 3, 3)
        In GPa.
    magmoms : ndarray of float64 of shape (n_sites,)
        Sizes, in Bohr magnetons.
    """

    energies: np.ndarray
    forces: np.ndarray
    stresses: np.ndarray
    magmoms: np.ndarray

    def n_known(self, offsets: np.ndarray) -> np.ndarray:
        """Count the known labels of each crystal.

        Parameters
        ----------
        offsets : ndarray of int of shape (n + 1,)
            Of the sites of crystals.

        Returns
        -------
        ndarray of int of shape (n, 4)
            Energies, components of forces and of stresses, and moments.
        """
        columns = (self.energies, self.forces, self.stresses, self.magmoms)
        known = [np.isfinite(c).reshape(len(c), -1).sum(axis=1) for c in columns]
        for i in (1, 3):
            known[i] = np.add.reduceat(known[i], offsets[:-1])
        return np.stack(known, axis=1)

    def joined(self, others: "Labels") -> "Labels":
        """Return these labels, and then those of other crystals.

        Parameters
        ----------
        others : Labels

        Returns
        -------
        Labels
        """
        names = ("energies", "forces", "stresses", "magmoms")
        return Labels(
            *(np.concatenate([getattr(self, name), getattr(others, name)]) for name in names)
        )


def read_labels(y: Any, crystals: Crystals, X: Any = None) -> Labels:
    """Read labels row by row.

    Parameters
    ----------
    y : DataFrame, sequence of dicts, or None
        Columns or keys are energy, forces, stress and magmoms; None or NaN is unknown. None takes
        what the calculators of ASE Atoms hold.
    crystals : Crystals
    X : sequence of ase.Atoms, optional
        What the crystals were read from, if y is None.

    Returns
    -------
    Labels

    Raises
    ------
    TypeError
        If y is none of these.
    ValueError
        If a label has a wrong shape, is infinite or no number, or y has another length, or unknown
        columns. The row is named.

    Warns
    -----
    UserWarning
        The forces of some cells do not add up to zero. Rows are named.
    """
    rows = list(_rows_of_calculators(X, crystals) if y is None else _rows(y))
    if len(rows) != len(crystals):
        raise ValueError(f"y has {len(rows)} rows, X has {len(crystals)} crystals")
    sizes = crystals.sizes
    energies, stresses = np.full(len(rows), np.nan), np.full((len(rows), 3, 3), np.nan)
    forces, magmoms = np.full((crystals.n_sites, 3), np.nan), np.full(crystals.n_sites, np.nan)
    for i, row in enumerate(rows):
        where = crystals.where(i)
        unknown = [name for name in row if name not in NAMES]
        if unknown:
            raise ValueError(f"{where}: there is no label {unknown[0]!r}; use {', '.join(NAMES)}")
        sites, n = slice(crystals.offsets[i], crystals.offsets[i + 1]), int(sizes[i])
        energies[i] = _value(row, "energy", (), where)
        forces[sites] = _value(row, "forces", (n, 3), where)
        stresses[i] = _value(row, "stress", (3, 3), where)
        magmoms[sites] = np.abs(_value(row, "magmoms", (n,), where))
        _check_symmetric(stresses[i], where)
    _warn_of_sums(forces, crystals)
    return Labels(energies, forces, stresses, magmoms)


def _rows(y: Any) -> Iterable[Mapping]:
    if isinstance(y, pd.DataFrame):
        if not y.columns.is_unique:
            raise ValueError(f"y has a column twice: {', '.join(map(str, y.columns))}")
        others = [str(name) for name in y if name not in NAMES]
        if others:
            raise ValueError(
                f"y has columns that are no labels: {', '.join(others)}; pass those among "
                f"{', '.join(NAMES)} only"
            )
        return y.to_dict("records")
    if isinstance(y, (list, tuple)) or (isinstance(y, np.ndarray) and y.dtype == object):
        for i, row in enumerate(y):
            if not isinstance(row, Mapping):
                raise TypeError(
                    f"y, row {i}: got {type(row).__name__}, expected a dict of "
                    f"{', '.join(NAMES)}; energies alone are a data frame with the column energy"
                )
        return y
    raise TypeError(
        f"y is a {type(y).__name__}; pass a data frame with the columns {', '.join(NAMES)} (or "
        "some of them), a list of dicts, or None for ASE Atoms with calculators"
    )


def _rows_of_calculators(X: Any, crystals: Crystals) -> Iterable[Mapping]:
    atoms = list(X) if isinstance(X, (list, tuple, pd.Series, np.ndarray)) else []
    if len(atoms) != len(crystals) or not all(hasattr(a, "calc") for a in atoms):
        raise ValueError(
            "y=None reads labels from the calculators of ASE Atoms, and X is something else; pass "
            "y, a data frame or a list of dicts"
        )
    for i, one in enumerate(atoms):
        _check_state(one, crystals.where(i))
        results = dict(getattr(one.calc, "results", None) or {})
        row = {name: results[name] for name in ("energy", "forces", "magmoms") if name in results}
        if not row:
            raise ValueError(
                f"{crystals.where(i)}: the Atoms have no calculator with results; call "
                "get_potential_energy() first, or pass y"
            )
        stress = results.get("stress")
        if stress is not None:
            row["stress"] = np.asarray(stress)[_VOIGT] * GPA if np.size(stress) == 6 else (
                np.asarray(stress) * GPA
            )  # fmt: skip
        yield row


def _check_state(atoms: Any, where: str) -> None:
    """Raise ValueError if a calculator holds the results of other Atoms, or of another state."""
    calculated = getattr(atoms.calc, "atoms", None)
    if calculated is None or not hasattr(atoms.calc, "check_state"):
        return
    changed = [what for what in atoms.calc.check_state(atoms, _MOVED) if what in _GEOMETRY]
    if changed:
        raise ValueError(
            f"{where}: the calculator holds results for other {' and '.join(changed)} than the "
            "Atoms have now; give each Atoms a calculator of its own, such as "
            "SinglePointCalculator, and call get_potential_energy() after the last change"
        )


_MOVED = 1e-9  # Å
_GEOMETRY = ("positions", "numbers", "cell", "pbc")
_VOIGT = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])  # xx, yy, zz, yz, xz, xy of ASE


def _value(row: Mapping, name: str, shape: tuple[int, ...], where: str) -> np.ndarray:
    """Return one label as an array of this shape, NaN where it is unknown."""
    value = row.get(name)
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    if value is None or _is_nan(value):
        return np.full(shape, np.nan)
    try:
        array = as_floats(value)
        if np.asarray(value).dtype.kind == "b":
            raise ValueError("got booleans")
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {name} cannot be read as numbers ({error})") from error
    if array.shape != shape:
        hint = ""
        if name == "stress" and array.shape == (6,):
            hint = "; the order of six numbers differs between codes: write the tensor in full"
        raise ValueError(
            f"{where}: {name} has shape {array.shape}, expected {shape}: {_MEANINGS[name]}{hint}"
        )
    if np.isinf(array).any():
        raise ValueError(f"{where}: {name} is infinite; use NaN for unknown labels")
    if np.any(np.abs(array) > _LARGEST):
        largest = array.flat[np.nanargmax(np.abs(array))]
        raise ValueError(
            f"{where}: {name} is {largest:.3g}, which no crystal has; expected {_MEANINGS[name]}"
        )
    return array


def _is_nan(value: Any) -> bool:
    """Tell whether a value is a missing one of pandas or numpy, and no array."""
    return bool(pd.api.types.is_scalar(value) and pd.isna(value))


def _check_symmetric(stress: np.ndarray, where: str) -> None:
    skew = np.abs(stress - stress.T).max()
    if skew > _SYMMETRIC * (1 + np.abs(stress).max()):
        raise ValueError(
            f"{where}: the stress is not symmetric, by {skew:.3g} GPa; check how the tensor was "
            "put together"
        )


def _warn_of_sums(forces: np.ndarray, crystals: Crystals) -> None:
    """Warn of cells whose forces do not add up to zero, as those of any periodic energy do."""
    starts, sizes = crystals.offsets[:-1], crystals.sizes
    drift = np.linalg.norm(np.add.reduceat(forces, starts), axis=1) / sizes  # NaN if one is unknown
    mean = np.add.reduceat(np.linalg.norm(forces, axis=1), starts) / sizes
    least, share = _DRIFT
    off = np.flatnonzero(drift > np.fmax(least, share * mean))
    if len(off):
        row = int(off[0])
        total = drift[row] * sizes[row]
        warn(
            f"{crystals.where(row)}: forces add up to {total:.3g} eV/Å, those of a whole cell to 0"
            f"{such_rows(len(off))}. Forces of fixed atoms may have been set to 0 (in ASE, "
            "get_forces(apply_constraint=False) has them all), or rows of other crystals taken"
        )
