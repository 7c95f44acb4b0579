"""The periodic table as skuae needs it: symbols by atomic number, and back."""

from collections.abc import Iterable
from typing import Any

SYMBOLS = tuple(
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se "
    "Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb "
    "Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm "
    "Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og".split()
)
N_ELEMENTS = len(SYMBOLS)
_NUMBERS = {symbol: number for number, symbol in enumerate(SYMBOLS, start=1)}


def atomic_number(element: Any) -> int:
    """Return the atomic number of an element given as symbol, atomic number or pymatgen Element.

    Parameters
    ----------
    element : str, int or Element

    Returns
    -------
    int
        Between 1 and 118.

    Raises
    ------
    ValueError
        If there is no such element.
    """
    number: Any  # None for a text that is no symbol
    number = _NUMBERS.get(element) if isinstance(element, str) else getattr(element, "Z", element)
    try:
        if 1 <= number <= N_ELEMENTS and number == int(number):
            return int(number)
    except (TypeError, ValueError):
        pass
    raise ValueError(
        f"{element!r} is not an element; name elements by symbol ('Fe') or atomic number (26)"
    )


def name_elements(numbers: Iterable[int], most: int = 8) -> str:
    """Return atomic numbers as text for messages: ``"Po (Z=84), At (Z=85)"``."""
    names = [f"{SYMBOLS[z - 1]} (Z={z})" for z in numbers]
    return ", ".join(names[:most]) + (f", ... ({len(names)} elements)" if len(names) > most else "")
