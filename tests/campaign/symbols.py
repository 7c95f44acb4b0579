"""What stands where an element should, and what it means."""

import numpy as np

from campaign.case import Verdict
from campaign.mutate import pick
from campaign.sample import ELEMENTS, Atoms

Meaning = tuple[str, Atoms | None, Verdict]

_ISOTOPES = {"2H": "H", "D": "H", "T": "H", "13C": "C", "57Fe": "Fe", "18O": "O", "7Li": "Li"}


def isotope(rng: np.random.Generator) -> Meaning:
    """Return an isotope, which is its element."""
    symbol = pick(rng, *_ISOTOPES)
    return symbol, {_ISOTOPES[symbol]: 1.0}, "either" if symbol == "T" else "read"


def group(rng: np.random.Generator) -> Meaning:
    """Return a group of atoms, whose atoms a file does not place."""
    return pick(rng, "OH", "NH4", "CN1", "CO3", "PO4", "H2O", "Wat", "CH3", "SO4"), None, "refuse"


def unknown(rng: np.random.Generator) -> Meaning:
    """Return what is no element."""
    return pick(rng, "?", "X", "Xx", "Vac", "Qq", "M", "A1", "Dummy"), None, "refuse"


def other(rng: np.random.Generator) -> Meaning:
    """Return another element."""
    symbol = pick(rng, *ELEMENTS, "H", "Xe", "U", "Pu")
    return symbol, {symbol: 1.0}, "read"


def ion(rng: np.random.Generator) -> Meaning:
    """Return an ion, which is its element."""
    symbol = pick(rng, *ELEMENTS)
    return f"{symbol}{pick(rng, '1+', '2+', '2-', '3+', '+', '-', '0+')}", {symbol: 1.0}, "read"


def odd_case(rng: np.random.Generator) -> Meaning:
    """Return an element in capitals or small letters; CO may be cobalt or two elements."""
    symbol = pick(rng, *[s for s in ELEMENTS if len(s) == 2])
    return pick(rng, symbol.upper(), symbol.lower()), {symbol: 1.0}, "either"


MEANINGS = (isotope, group, unknown, other, ion, odd_case)
