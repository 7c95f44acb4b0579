"""A potential as a calculator of ASE, with a list of neighbours that serves several steps."""

from typing import Any

import numpy as np
import torch

from skuae.crystals import CrystalBatch, Crystals, as_crystals
from skuae.potentials._contract import GPA, evaluate
from skuae.potentials._edges import Edges, find_edges
from skuae.potentials._fitted import FittedPotential
from skuae.potentials._precision import flushed_denormals
from skuae.training import library_defaults

try:
    from ase.calculators.calculator import Calculator, all_changes
except ImportError as error:
    raise ImportError('calculators need ASE: pip install "skuae[ase]"') from error


class PotentialCalculator(Calculator):
    """Energies (eV), also of atoms, forces (eV/Å) and stresses (eV/Å³, Voigt order) of ASE Atoms.

    Parameters
    ----------
    fitted : FittedPotential
    skin : float
        Neighbours are searched so much farther than the potential sees, in Å, and anew once an atom
        has moved by half of it.

    Attributes
    ----------
    n_searches : int
        How often neighbours were searched.
    """

    implemented_properties: list[str] = [  # noqa: RUF012
        "energy", "free_energy", "energies", "forces", "stress",
    ]  # fmt: skip

    def __init__(self, fitted: FittedPotential, skin: float) -> None:
        super().__init__()
        self._fitted = fitted
        self._near = _NearbyAtoms(fitted.backbone.cutoff, skin)
        if fitted.has_magmoms:
            self.implemented_properties = [*self.implemented_properties, "magmoms"]

    @property
    def n_searches(self) -> int:
        """How often neighbours were searched."""
        return self._near.n_searches

    def calculate(
        self, atoms: Any = None, properties: Any = ("energy",), system_changes: Any = all_changes
    ) -> None:
        """Fill ``results``; ASE calls this.

        Parameters
        ----------
        atoms : ase.Atoms
        properties, system_changes : list of str
            Not read: all properties are found at once.

        Raises
        ------
        ValueError
            If the atoms have no periodic cell, make no sense, or are of an element that was not
            trained on.
        """
        super().calculate(atoms, properties, system_changes)
        with library_defaults(), flushed_denormals():
            if self._near.is_old(self.atoms):
                self._near.search(self.atoms, self._fitted)
            batch = self._near.batch(self.atoms, self._fitted.device, self._fitted.dtype)
            found = evaluate(self._fitted.module, batch)
        elements = self._fitted.energies_of_elements(self._near.crystals)[0]
        energy = found.energies.item() + float(elements)
        energies = found.site_energies.double().cpu().numpy()
        forces: Any = found.forces
        stresses: Any = found.stresses
        if not (np.isfinite(energy) and torch.isfinite(forces).all()):
            raise ValueError(
                "the potential gives no finite energy or forces: atoms may be too close"
            )
        stress = stresses[0].double().cpu().numpy() / GPA
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "energies": energies + self._fitted.references[self._near.crystals.numbers - 1],
            "forces": forces.double().cpu().numpy(),
            "stress": stress.flat[[0, 4, 8, 5, 2, 1]],
        }
        if self._fitted.has_magmoms and found.magmoms is not None:
            self.results["magmoms"] = found.magmoms.double().cpu().numpy()


class _NearbyAtoms:
    """Neighbours of atoms within cutoff and skin, and vectors to those within the cutoff."""

    crystals: Crystals
    _edges: Edges

    def __init__(self, cutoff: float, skin: float) -> None:
        self.cutoff, self.skin = cutoff, skin
        self.n_searches = 0
        self._cell = self._numbers = self._positions = np.empty(0)

    def is_old(self, atoms: Any) -> bool:
        if not atoms.pbc.all() or not np.array_equal(atoms.numbers, self._numbers):
            return True
        if not np.array_equal(atoms.cell[:], self._cell):
            return True
        moves = np.linalg.norm(atoms.positions - self._positions, axis=1)
        return not moves.max() <= self.skin / 2  # NaN is searched, and refused there

    def search(self, atoms: Any, fitted: FittedPotential) -> None:
        self._numbers = np.empty(0)  # should this fail
        self.crystals = as_crystals([atoms])
        fitted.check(self.crystals)
        self._edges = find_edges(self.crystals, self.cutoff + self.skin)
        self._centers = np.repeat(np.arange(len(atoms)), np.diff(self._edges.edge_offsets))
        self._cell, self._positions = atoms.cell[:].copy(), atoms.positions.copy()
        self._numbers = atoms.numbers.copy()
        self.n_searches += 1

    def batch(self, atoms: Any, device: torch.device, dtype: torch.dtype) -> CrystalBatch:
        moves = atoms.positions - self._positions
        centers, neighbors, reverse = self._centers, self._edges.neighbors, self._edges.reverse
        vectors = self._edges.vectors + moves[neighbors] - moves[centers]
        near = np.linalg.norm(vectors, axis=1) < self.cutoff
        near &= near[reverse]  # rounding may differ between both directions
        place = np.cumsum(near) - 1
        columns = {
            "numbers": atoms.numbers.astype(np.int64),
            "crystal": np.zeros(len(atoms), np.int64),
            "sizes": np.array([len(atoms)]),
            "centers": centers[near],
            "neighbors": neighbors[near].astype(np.int64),
            "reverse": place[reverse[near]],
            "vectors": vectors[near],
            "volumes": np.array([abs(np.linalg.det(self._cell))]),
        }
        kinds = {"f": dtype, "i": torch.int64}
        return CrystalBatch({
            name: torch.tensor(value, device=device, dtype=kinds[value.dtype.kind])
            for name, value in columns.items()
        })  # fmt: skip
