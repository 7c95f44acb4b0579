"""Relaxation of many crystals at once by FIRE, the fast inertial relaxation engine."""

from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd

from skuae._progress import progress_bar
from skuae.crystals import Crystals, parse_structure, rows_of
from skuae.potentials._contract import GPA
from skuae.potentials._fitted import FittedPotential

_FIRST_STEP, _LONGEST_STEP = 0.1, 1.0  # of time; masses are 1
_FARTHEST = 0.2  # Å; how far an atom may move in a step
_LARGEST_STRAIN = 0.02  # of a step
_PATIENCE, _FASTER, _SLOWER, _FIRST_MIX, _LESS_MIX = 5, 1.1, 0.5, 0.1, 0.99


@dataclass(frozen=True, eq=False)
class Relaxation:
    """Relaxed crystals, and a table of the relaxations.

    Attributes
    ----------
    crystals : Crystals
        In the given order; a crystal that failed is in its last state.
    table : DataFrame
        One row per crystal, with the index of X if X is of pandas: ``initial_energy`` and
        ``energy`` (eV per cell), ``max_force`` (eV/Å), ``max_stress`` (GPa), ``n_steps``,
        ``converged``, and ``reason``: ``"converged"``, ``"max_steps"``, or what went wrong.

    Examples
    --------
    >>> from skuae.datasets import make_toy_crystals
    >>> from skuae.potentials import CHGNet, CrystalPotential
    >>> X = make_toy_crystals(8, random_state=0).structures
    >>> small = CHGNet(dim=8, n_blocks=2, n_radial=5, n_angular=5)
    >>> y = [{"energy": -3.0 * len(crystal)} for crystal in X]
    >>> model = CrystalPotential(small, max_epochs=2, random_state=0).fit(X, y)
    >>> relaxed = model.relax(X[:2], max_steps=2)
    >>> relaxed.table.columns.tolist()[:3], len(relaxed.crystals)
    (['initial_energy', 'energy', 'max_force'], 2)
    """

    crystals: Crystals
    table: pd.DataFrame


def check_free(X: Any, crystals: Crystals) -> None:
    """Raise ValueError at the first row that has atoms which must not move.

    Parameters
    ----------
    X : array-like of crystals
        Packed crystals hold no word of it.
    crystals : Crystals
        What was read from it.
    """
    if isinstance(getattr(X, "crystals", X), Crystals):
        return
    for i, row in enumerate(rows_of(X)[0]):
        one = parse_structure(row)[0] if isinstance(row, (dict, str, PathLike)) else row
        moves = getattr(one, "site_properties", {}).get("selective_dynamics", ())
        is_free = all(move is None or np.all(move) for move in moves)
        if len(getattr(one, "constraints", ())) or not is_free:
            raise ValueError(
                f"{crystals.where(i)}: some of its atoms are fixed, and relax moves all; use "
                "calculator() with an optimiser of ASE, or take the constraints away: "
                'del atoms.constraints, structure.remove_site_property("selective_dynamics")'
            )


def relax(
    fitted: FittedPotential, crystals: Crystals, *, fmax: float, cell: bool, max_steps: int,
    max_edges: int, index: pd.Index | None = None,
) -> Relaxation:  # fmt: skip
    """Relax crystals; those that are done are no longer computed.

    Parameters
    ----------
    fitted : FittedPotential
    crystals : Crystals
    fmax : float
        Largest force on an atom in eV/Å, and, with `cell`, of stress times volume per atom in eV.
    cell : bool
        Whether cells relax, too.
    max_steps : int
    max_edges : int
        Of a batch.
    index : Index, optional
        Of the table.

    Returns
    -------
    Relaxation
    """
    run = _Run(crystals, cell)
    active = np.arange(len(crystals))
    with progress_bar(len(crystals), "relaxation", "crystals") as bar:
        for step in range(max_steps + 1):
            active = run.measure(fitted, active, max_edges)
            done = active[run.residuals(active) < fmax]
            run.reasons[done] = "converged"
            left = np.setdiff1d(active, done)
            bar.update(len(crystals) - len(left) - bar.n)
            active = left
            if not len(active) or step == max_steps:
                break
            run.step(active)
            run.n_steps[active] += 1
    run.reasons[active] = "max_steps"
    return Relaxation(run.crystals(), run.table(index))


class _Run:
    """State of a relaxation: positions, velocities and the last predictions."""

    def __init__(self, crystals: Crystals, cell: bool) -> None:
        n = len(crystals)
        self._given, self._cell = crystals, cell
        self.owner = np.repeat(np.arange(n), crystals.sizes)
        self.lattices = np.array(crystals.lattices)
        self.positions = np.einsum("si,sij->sj", crystals.frac_coords, self.lattices[self.owner])
        self.velocities = np.zeros((crystals.n_sites, 3))
        self.rates = np.zeros((n, 3, 3))  # of strain
        self.forces = np.zeros((crystals.n_sites, 3))
        self.pulls = np.zeros((n, 3, 3))  # minus stress times volume per atom, eV
        self.energies, self.initial = np.full(n, np.nan), np.full(n, np.nan)
        self.stresses = np.full((n, 3, 3), np.nan)
        self.time, self.mix = np.full(n, _FIRST_STEP), np.full(n, _FIRST_MIX)
        self.downhill, self.n_steps = np.zeros(n, int), np.zeros(n, int)
        self.reasons = np.full(n, "", dtype=object)
        self._last = self.positions.copy(), self.lattices.copy()

    def measure(self, fitted: FittedPotential, rows: np.ndarray, max_edges: int) -> np.ndarray:
        """Find energies and forces of some crystals; return those that did not fail."""
        try:
            self._measure(fitted, rows, max_edges)
            return rows
        except (ValueError, TypeError, RuntimeError) as error:  # torch's own, too
            if len(rows) == 1:
                where = self._given[rows].where(0)  # in a table that has a row for each
                self.reasons[rows[0]] = str(error).removeprefix(f"{where}: ")
                sites = self.owner == rows[0]
                self.positions[sites] = self._last[0][sites]
                self.lattices[rows] = self._last[1][rows]
                return rows[:0]
        halves = np.array_split(rows, 2)
        return np.concatenate([self.measure(fitted, half, max_edges) for half in halves])

    def _measure(self, fitted: FittedPotential, rows: np.ndarray, max_edges: int) -> None:
        crystals = self._packed(rows)
        found = fitted.predict(crystals, max_edges, derivatives=True)
        sites = np.isin(self.owner, rows)
        self.forces[sites], self.stresses[rows] = found.forces, found.stresses
        self.energies[rows] = found.energies
        if self._cell:
            per_atom = crystals.volumes / crystals.sizes / GPA
            self.pulls[rows] = -self.stresses[rows] * per_atom[:, None, None]
        new = np.isnan(self.initial[rows])
        self.initial[rows[new]] = self.energies[rows[new]]
        self._last[0][sites], self._last[1][rows] = self.positions[sites], self.lattices[rows]

    def residuals(self, rows: np.ndarray) -> np.ndarray:
        """Return the largest force on an atom, or of the cell, of some crystals."""
        forces = self._largest_of_sites(np.linalg.norm(self.forces, axis=1))[rows]
        return np.maximum(forces, np.abs(self.pulls[rows]).max(axis=(1, 2)))

    def step(self, rows: np.ndarray) -> None:
        """Move some crystals by one step of FIRE (Bitzek et al. 2006)."""
        mine = np.isin(self.owner, rows)
        power = self._total(self.forces * self.velocities, self.pulls * self.rates)
        speed = np.sqrt(self._total(self.velocities**2, self.rates**2))
        force = np.sqrt(self._total(self.forces**2, self.pulls**2))
        down = power > 0
        steer = np.where(down, self.mix * speed / np.maximum(force, 1e-12), 0.0)
        keep = np.where(down, 1 - self.mix, 0.0)  # uphill, all stops
        of_site = self.owner[mine]
        self.velocities[mine] = (
            keep[of_site, None] * self.velocities[mine] + steer[of_site, None] * self.forces[mine]
        )
        self.rates[rows] = (
            keep[rows, None, None] * self.rates[rows] + steer[rows, None, None] * self.pulls[rows]
        )
        self._set_pace(rows, down)
        time = self.time
        self.velocities[mine] += time[of_site, None] * self.forces[mine]
        self.rates[rows] += time[rows, None, None] * self.pulls[rows]
        moves = time[self.owner, None] * self.velocities
        strains = time[:, None, None] * self.rates
        farthest = self._largest_of_sites(np.linalg.norm(moves, axis=1))
        widest = np.abs(strains).max(axis=(1, 2))
        shrink = np.minimum(1, np.minimum(_FARTHEST / np.maximum(farthest, 1e-12),
                                          _LARGEST_STRAIN / np.maximum(widest, 1e-12)))  # fmt: skip
        strained = np.eye(3) + shrink[:, None, None] * strains
        self.positions[mine] = (
            np.einsum("si,sij->sj", self.positions[mine], strained[of_site])
            + shrink[of_site, None] * moves[mine]
        )
        self.lattices[rows] = self.lattices[rows] @ strained[rows]

    def _set_pace(self, rows: np.ndarray, down: np.ndarray) -> None:
        up, on = rows[~down[rows]], rows[down[rows]]
        self.time[up] *= _SLOWER
        self.mix[up], self.downhill[up] = _FIRST_MIX, 0
        self.downhill[on] += 1
        fast = on[self.downhill[on] > _PATIENCE]
        self.time[fast] = np.minimum(self.time[fast] * _FASTER, _LONGEST_STEP)
        self.mix[fast] *= _LESS_MIX

    def _total(self, sites: np.ndarray, cells: np.ndarray) -> np.ndarray:
        """Add up entries of sites and cells per crystal."""
        total = np.bincount(self.owner, sites.sum(axis=1), minlength=len(cells))
        return total + cells.sum(axis=(1, 2))

    def _largest_of_sites(self, values: np.ndarray) -> np.ndarray:
        return np.maximum.reduceat(values, self._given.offsets[:-1])

    def _packed(self, rows: np.ndarray) -> Crystals:
        part = self._given[rows]
        sites = np.isin(self.owner, rows)
        of_site = np.repeat(np.arange(len(rows)), part.sizes)
        inverse = np.linalg.inv(self.lattices[rows])
        coords = np.einsum("si,sij->sj", self.positions[sites], inverse[of_site])
        return Crystals(part.numbers, coords, self.lattices[rows], part.offsets, ids=part.ids)

    def crystals(self) -> Crystals:
        """Return the crystals as they are now."""
        return self._packed(np.arange(len(self._given)))

    def table(self, index: pd.Index | None) -> pd.DataFrame:
        """Return how it went, one row per crystal."""
        forces = self._largest_of_sites(np.linalg.norm(self.forces, axis=1))
        return pd.DataFrame({
            "initial_energy": self.initial,
            "energy": self.energies,
            "max_force": np.where(np.isnan(self.energies), np.nan, forces),
            "max_stress": np.abs(self.stresses).max(axis=(1, 2)),
            "n_steps": self.n_steps,
            "converged": self.reasons == "converged",
            "reason": self.reasons,
        }, index=index)  # fmt: skip
