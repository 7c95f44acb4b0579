"""Random crystals with atoms that an independent count knows, as files of them are mutated."""

from collections import Counter
from dataclasses import dataclass
from itertools import product

import numpy as np

Atoms = dict[str, float]  # symbol to number of atoms in the cell

ELEMENTS = ("Li", "C", "O", "Na", "Si", "Cl", "K", "Ti", "Fe", "Co", "Ga", "Sr", "In", "Cs", "Pb")
_IMAGES = np.array(list(product((-1, 0, 1), repeat=3)))
_CLOSE = 1.2  # Å


@dataclass(frozen=True)
class Sample:
    """A crystal: cell lengths in Å, angles in degrees, symbols and fractional coordinates."""

    cell: tuple[float, ...]
    symbols: tuple[str, ...]
    coords: np.ndarray
    operations: tuple[str, ...] = ("x, y, z",)

    @property
    def matrix(self) -> np.ndarray:
        """Lattice vectors as rows, in Å."""
        a, b, c = self.cell[:3]
        cos = np.cos(np.radians(self.cell[3:]))
        sin_gamma = np.sin(np.radians(self.cell[5]))
        y = (cos[0] - cos[1] * cos[2]) / sin_gamma
        z = np.sqrt(1 - cos[1] ** 2 - y**2)
        return np.array([[a, 0, 0], [b * cos[2], b * sin_gamma, 0], [c * cos[1], c * y, c * z]])


# Operations as text and as what they do to (x, y, z, 1).
SYMMETRY: dict[str, list[list[float]]] = {
    "x, y, z": [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]],
    "-x, -y, -z": [[-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 0]],
    "x+1/2, y+1/2, z+1/2": [[1, 0, 0, 0.5], [0, 1, 0, 0.5], [0, 0, 1, 0.5]],
    "x+1/2, y+1/2, z": [[1, 0, 0, 0.5], [0, 1, 0, 0.5], [0, 0, 1, 0]],
    "-x, y, -z": [[-1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 0]],
}
_CELLS = {"cubic": (1, 1, 1, 90, 90, 90), "long": (1, 1.3, 1.7, 90, 90, 90),
          "skewed": (1, 1.1, 1.2, 80, 95, 105)}  # fmt: skip


def orbit(position: np.ndarray, operations: tuple[str, ...]) -> np.ndarray:
    """Return the different positions in the cell that operations make of one."""
    found: list[np.ndarray] = []
    for name in operations:
        place = (np.array(SYMMETRY[name]) @ [*position, 1.0]) % 1.0
        if not any(np.abs((place - p + 0.5) % 1.0 - 0.5).max() < 1e-3 for p in found):
            found.append(place)
    return np.array(found)


def draw(rng: np.random.Generator, *, symmetry: bool = True) -> Sample:
    """Draw a crystal whose atoms keep 1.2 Å apart.

    Parameters
    ----------
    rng : Generator
    symmetry : bool, default=True
        Whether it may have operations beside the identity; its symbols and coordinates are then
        those of one site of each orbit.

    Returns
    -------
    Sample
    """
    shape = _CELLS[str(rng.choice(list(_CELLS)))]
    length = round(float(rng.uniform(4.5, 7.0)), 3)
    cell = (*(round(length * x, 3) for x in shape[:3]), *map(float, shape[3:]))
    other = str(rng.choice(list(SYMMETRY)))
    operations = ("x, y, z",) if other == "x, y, z" or not symmetry else ("x, y, z", other)
    if other == "-x, y, -z" and shape[3:] != (90, 90, 90):
        operations = operations[:1]
    wanted = int(rng.integers(1, 5))
    symbols: list[str] = []
    coords: list[np.ndarray] = []
    matrix = Sample(cell, (), np.empty((0, 3))).matrix
    while len(symbols) < wanted:
        place = rng.choice([0.0, 0.25, 0.5, 0.75], 3) if rng.random() < 0.6 else rng.random(3)
        place = np.round(place, 4)
        everything = np.concatenate([orbit(p, operations) for p in [*coords, place]])
        if _closest(everything, matrix) > _CLOSE:
            symbols.append(str(rng.choice(ELEMENTS)))
            coords.append(place)
    return Sample(cell, tuple(symbols), np.array(coords), operations)


def _closest(positions: np.ndarray, matrix: np.ndarray) -> float:
    delta = positions[:, None, None] - positions[None, :, None] + _IMAGES
    distance = np.linalg.norm(delta @ matrix, axis=-1)
    itself = np.arange(len(positions))
    distance[itself, itself, len(_IMAGES) // 2] = np.inf  # the image that is moved nowhere
    return float(distance.min())


def total(parts: list[tuple[Atoms, float]]) -> Atoms:
    """Add up atoms, each part taken so many times; elements without any are left out."""
    counts: Counter[str] = Counter()
    for atoms, times in parts:
        for symbol, amount in atoms.items():
            counts[symbol] += amount * times  # type: ignore[assignment]
    return {symbol: amount for symbol, amount in counts.items() if amount > 0}
