"""What packed crystals contain, as counts of atoms and as pymatgen Structures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from pymatgen.core import Lattice, Structure
from pymatgen.core.periodic_table import Element

from skuae._elements import N_ELEMENTS, SYMBOLS
from skuae._html import as_html

if TYPE_CHECKING:
    from skuae.crystals._crystals import Crystals
    from skuae.crystals._symmetry import CrystalSymmetry

_SHOWN = 5  # crystals, in notebooks


def structure_of(crystals: Crystals, row: int) -> Structure:
    """Return one of the crystals as a pymatgen Structure.

    Parameters
    ----------
    crystals : Crystals
    row : int
        From 0 on.

    Returns
    -------
    Structure
    """
    sites = slice(crystals.offsets[row], crystals.offsets[row + 1])
    species: list = [Element.from_Z(int(z)) for z in crystals.numbers[sites]]
    if crystals.occ_sites is not None:
        first, last = np.searchsorted(crystals.occ_sites, [sites.start, sites.stop])
        mixed: dict = {}
        for e in range(first, last):
            site = int(crystals.occ_sites[e] - sites.start)
            element = Element.from_Z(int(crystals.occ_numbers[e]))
            mixed.setdefault(site, {})[element] = float(crystals.occ_values[e])
        for site, content in mixed.items():
            species[site] = content
    return Structure(Lattice(crystals.lattices[row]), species, crystals.frac_coords[sites])


def composition_of(crystals: Crystals) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count the atoms of each element; see :meth:`Crystals.composition`."""
    site_rows = np.repeat(np.arange(len(crystals)), crystals.sizes)
    numbers, weights = crystals.numbers, np.ones(crystals.n_sites)
    if crystals.occ_sites is not None:
        whole = np.ones(crystals.n_sites, dtype=bool)
        whole[crystals.occ_sites] = False
        numbers = np.concatenate([numbers[whole], crystals.occ_numbers])
        weights = np.concatenate([weights[whole], crystals.occ_values])
        site_rows = np.concatenate([site_rows[whole], site_rows[crystals.occ_sites]])
    keys, inverse = np.unique(site_rows * (N_ELEMENTS + 1) + numbers, return_inverse=True)
    rows, numbers = np.divmod(keys, N_ELEMENTS + 1)
    return rows, numbers, np.bincount(inverse, weights, minlength=len(keys))


def count_electrons(crystals: Crystals, symmetry: CrystalSymmetry) -> np.ndarray:
    """Count the electrons of neutral atoms in primitive cells.

    Parameters
    ----------
    crystals : Crystals
    symmetry : CrystalSymmetry
        Of these crystals.

    Returns
    -------
    ndarray of float64 of shape (n_crystals,)
        Not whole numbers if sites are shared or partly empty. Rounded to six decimals, or the
        order of sites and the choice of cell would decide what a half is rounded to.
    """
    rows, numbers, amounts = crystals.composition()
    electrons = np.bincount(rows, numbers * amounts, len(crystals))
    counts: np.ndarray = np.round(electrons * symmetry.primitive_sizes / crystals.sizes, 6)
    return counts


def html_of(crystals: Crystals) -> str:
    """Return what notebooks show of crystals: counts, elements, and the first ones."""
    if not len(crystals):
        return as_html("Crystals", {"crystals": 0})
    _, numbers, _ = crystals.composition()
    present = np.unique(numbers)
    sizes = crystals.sizes
    facts = {
        "crystals": f"{len(crystals):,}",
        "sites": f"{crystals.n_sites:,}; {sizes.min()} to {sizes.max()} in a cell",
        f"elements ({len(present)})": " ".join(SYMBOLS[z - 1] for z in present),
        "disordered": f"{crystals.is_disordered.sum():,}",
    }
    first = crystals[:_SHOWN]
    table = pd.DataFrame(
        {
            "formula": [structure.composition.reduced_formula for structure in first],
            "sites": first.sizes,
            "volume (Å³)": first.volumes.round(2),
        },
        index=range(len(first)) if first.ids is None else first.ids,
    )
    return as_html("Crystals", facts, table, _more(len(crystals)))


def _more(n: int) -> str:
    return f"... and {n - _SHOWN:,} more" if n > _SHOWN else ""
