"""pymatgen's parser of CIF texts, for many atoms without symmetry."""

import math
from typing import Any

import numpy as np
from pymatgen.electronic_structure.core import Magmom
from pymatgen.io.cif import CifParser


class PlainCifParser(CifParser):
    """Read sites that are all apart and have no images, as `CifParser` would read them.

    `CifParser` compares each site with all before it, which takes many minutes for 50,000 atoms.
    """

    def get_symops(self, data: Any) -> list:
        """Return no operation, so that no site is compared with images of others."""
        return []

    def _unique_coords(self, coords, magmoms=None, lattice=None, labels=None):  # type: ignore[no-untyped-def]
        inside = [np.array([x + 0.0 - math.floor(x) for x in place]) for place in coords]
        return inside, [Magmom(0)] * len(coords), [labels[place] for place in coords]
