"""Synthetic crystals of a few simple prototypes, for tests and examples."""

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from skuae.crystals import Crystals
from skuae.datasets._bunch import make_bunch, select_targets

# symbol: (atomic number, radius in Å, Pauling electronegativity). Radii of cations, halides and
# chalcogenides: Shannon, six-fold coordination. Those of pnictides are not ionic; they are set so
# that the Ga compounds get their measured bond lengths.
_ELEMENTS = {
    "Li": (3, 0.76, 0.98), "Na": (11, 1.02, 0.93), "K": (19, 1.38, 0.82), "Rb": (37, 1.52, 0.82),
    "Cs": (55, 1.67, 0.79), "Ag": (47, 1.15, 1.93), "Tl": (81, 1.50, 1.62),
    "Mg": (12, 0.72, 1.31), "Ca": (20, 1.00, 1.00), "Sr": (38, 1.18, 0.95), "Ba": (56, 1.35, 0.89),
    "Zn": (30, 0.74, 1.65), "Cd": (48, 0.95, 1.69), "Mn": (25, 0.83, 1.55), "Pb": (82, 1.19, 2.33),
    "Al": (13, 0.535, 1.61), "Ga": (31, 0.62, 1.81), "In": (49, 0.80, 1.78),
    "Sc": (21, 0.745, 1.36), "Y": (39, 0.90, 1.22), "La": (57, 1.032, 1.10),
    "Ti": (22, 0.605, 1.54), "Zr": (40, 0.72, 1.33), "Hf": (72, 0.71, 1.30), "Sn": (50, 0.69, 1.96),
    "F": (9, 1.33, 3.98), "Cl": (17, 1.81, 3.16), "Br": (35, 1.96, 2.96), "I": (53, 2.20, 2.66),
    "O": (8, 1.40, 3.44), "S": (16, 1.84, 2.58), "Se": (34, 1.98, 2.55), "Te": (52, 2.21, 2.10),
    "N": (7, 1.43, 3.04), "P": (15, 1.86, 2.19), "As": (33, 1.96, 2.18), "Sb": (51, 2.16, 2.05),
}  # fmt: skip
_BY_CHARGE = {
    1: ("Li", "Na", "K", "Rb", "Cs", "Ag", "Tl"),
    2: ("Mg", "Ca", "Sr", "Ba", "Zn", "Cd", "Mn", "Pb"),
    3: ("Al", "Ga", "In", "Sc", "Y", "La"),
    4: ("Ti", "Zr", "Hf", "Sn"),
    -1: ("F", "Cl", "Br", "I"),
    -2: ("O", "S", "Se", "Te"),
    -3: ("N", "P", "As", "Sb"),
}
_FCC = np.array([[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])
_CUBIC = np.eye(3)
# Per prototype: lattice vectors in units of the nearest-neighbour distance, the correction
# of the sum of six-fold radii for the coordination number (Pauling), fractional coordinates.
_PROTOTYPES: dict[str, tuple[np.ndarray, float, list[list[float]]]] = {
    "rocksalt": (2.0 * _FCC, 1.0, [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "cscl": (2.0 / np.sqrt(3.0) * _CUBIC, 1.036, [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "zincblende": (4.0 / np.sqrt(3.0) * _FCC, 0.95, [[0, 0, 0], [0.25, 0.25, 0.25]]),
    "perovskite": (
        2.0 * _CUBIC,
        1.0,
        [[0, 0, 0], [0.5, 0.5, 0.5], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]],
    ),
}
_STRAIN = 0.02  # largest relative change of a lattice parameter, so that no two crystals are equal

_TARGETS = ("electronegativity", "volume_per_atom", "prototype")

_DESCR = """\
Synthetic crystals: cubic prototypes over charge-balanced combinations of elements, in their
primitive cells, lattice parameters from ionic radii (R. D. Shannon, Acta Cryst. A 32, 751, 1976)
with a random strain of at most 2 %. Not real materials; for tests and examples.
"""


def make_toy_crystals(
    n_samples=64,
    *,
    prototypes=("rocksalt", "cscl", "zincblende"),
    target="electronegativity",
    random_state=None,
    return_X_y=False,
    as_frame=False,
):
    """Make small synthetic crystals with learnable targets.

    Simple cubic prototypes over charge-balanced element combinations, with realistic lattice
    parameters. Every combination of elements and prototype occurs once before any occurs twice.

    Parameters
    ----------
    n_samples : int, default=64
        Number of crystals.
    prototypes : sequence of {"rocksalt", "cscl", "zincblende", "perovskite"}, \
            default=("rocksalt", "cscl", "zincblende")
        Prototypes, equally often. The first three have 2 sites in their cell, perovskite has 5.
    target : str or list of str, default="electronegativity"
        What to predict; a list gives a column for each.

        - ``"electronegativity"``: mean Pauling electronegativity of the sites; depends on the
          composition only.
        - ``"volume_per_atom"``: in Å³; depends on composition and structure.
        - ``"prototype"``: name of the prototype, for classifiers; depends on the structure only.
    random_state : int, RandomState instance or None, default=None
        Choice of elements, order and strain.
    return_X_y : bool, default=False
        Return ``(structures, target)`` instead of a Bunch.
    as_frame : bool, default=False
        Give the target as a Series or DataFrame and, with `return_X_y`, the structures as a
        one-column DataFrame.

    Returns
    -------
    data : CrystalBunch
        With `structures`, `target`, `target_names`, `labels` (formula and the three targets),
        `ids`, `frame` and `DESCR`.
    (X, y) : tuple, if `return_X_y`

    Raises
    ------
    ValueError
        If `n_samples` is below 1, or a prototype or target is unknown.

    Examples
    --------
    >>> from skuae.datasets import make_toy_crystals
    >>> data = make_toy_crystals(n_samples=6, random_state=0)
    >>> data.structures
    Crystals(n_crystals=6, n_sites=12)
    >>> data.target.shape
    (6,)
    """
    prototypes = (prototypes,) if isinstance(prototypes, str) else tuple(prototypes)
    if not prototypes or not set(prototypes) <= set(_PROTOTYPES):
        raise ValueError(
            f"prototypes={prototypes!r} must be names out of {', '.join(map(repr, _PROTOTYPES))}"
        )
    target_names = select_targets(target, _TARGETS)
    if n_samples < 1:
        raise ValueError(f"n_samples={n_samples} must be at least 1")
    rng = check_random_state(random_state)

    supplies = {name: _Supply(_combinations(name), rng) for name in prototypes}
    chosen = [prototypes[i % len(prototypes)] for i in range(n_samples)]
    rng.shuffle(chosen)
    numbers, coords, lattices, rows = [], [], [], []
    for name in chosen:
        formula, symbols, bond = next(supplies[name])
        vectors, correction, frac_coords = _PROTOTYPES[name]
        lattice = vectors * bond * correction * (1.0 + rng.uniform(-_STRAIN, _STRAIN))
        numbers.append([_ELEMENTS[s][0] for s in symbols])
        coords.append(frac_coords)
        lattices.append(lattice)
        electronegativity = np.mean([_ELEMENTS[s][2] for s in symbols])
        volume = abs(np.linalg.det(lattice)) / len(symbols)
        rows.append((formula, electronegativity, volume, name))
    ids = [f"toy-{i}-{row[0]}-{row[-1]}" for i, row in enumerate(rows)]
    labels = pd.DataFrame(
        rows, columns=["formula", *_TARGETS], index=pd.Index(ids, name="id", dtype=object)
    )
    structures = Crystals(
        np.concatenate(numbers),
        np.concatenate(coords),
        np.stack(lattices),
        np.concatenate([[0], np.cumsum([len(n) for n in numbers])]),
        ids=ids,
    )
    return make_bunch(
        structures, labels, target_names, return_X_y=return_X_y, as_frame=as_frame, DESCR=_DESCR
    )


class _Supply:
    """Iterate over items in random order, again and again."""

    def __init__(self, items, rng):
        self.items, self.rng, self.left = items, rng, []

    def __next__(self):
        if not self.left:
            self.left = [self.items[i] for i in self.rng.permutation(len(self.items))]
        return self.left.pop()


def _combinations(prototype):
    """Return (formula, symbols of the sites, sum of the radii of neighbours in Å)."""

    def bond(a, b):
        return _ELEMENTS[a][1] + _ELEMENTS[b][1]

    if prototype == "perovskite":
        return [
            (f"{a}{b}{x}3", (a, b, x, x, x), bond(b, x))
            for charges in ((1, 2, -1), (2, 4, -2))
            for a in _BY_CHARGE[charges[0]]
            for b in _BY_CHARGE[charges[1]]
            for x in _BY_CHARGE[charges[2]]
        ]
    return [
        (f"{a}{x}", (a, x), bond(a, x))
        for charge in (1, 2, 3)
        for a in _BY_CHARGE[charge]
        for x in _BY_CHARGE[-charge]
    ]
