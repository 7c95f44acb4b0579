"""Elements by the symbols and labels in files; errors for those that mean none."""

import re
from collections.abc import Set
from functools import lru_cache

from skuae._elements import SYMBOLS

_ELEMENTS = frozenset(SYMBOLS)
_HYDROGEN = {"D": "H", "T": "H"}
_SYMBOL = re.compile(
    r"(?P<mass>\d{1,3})?(?P<letters>[A-Za-z]{1,2})"
    r"(?P<charge>[+-]\d+\.?\d*|\d*\.?\d*[+-])?(?P<number>\d*)(?:,spin=[-+.\d]+)?"
)
_WATER = re.compile(r"([HO])w(?![a-z])", re.IGNORECASE)  # H and O atoms of water, by custom
_GROUP_LABEL = re.compile(r"[HD]2O|OH2|O-H|Wat", re.IGNORECASE)


@lru_cache(maxsize=4096)
def element_of_symbol(symbol: str, label: str = "", formula: Set[str] = frozenset()) -> str:
    """Return the element that a symbol such as Fe, FE, Fe3+, 57Fe or D means.

    Parameters
    ----------
    symbol : str
    label : str, default=""
        Label of the same atom. A number without a sign, as in ``Fe1``, is part of a label.
    formula : frozenset of str, default=frozenset()
        The elements that the file names in its formula. They decide whether ``CO`` is cobalt.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If it is a group of atoms, a vacancy, or nothing known.
    """
    match = _SYMBOL.fullmatch(symbol)
    if match is None:
        raise ValueError(_no_element(symbol))
    if match["number"] and not label.startswith(symbol):
        raise ValueError(f"{_no_element(symbol)}, and no ion, which would have a + or -")
    letters = match["letters"]
    if match["number"] and letters == "T":  # a tetrahedral site, not tritium
        raise ValueError(_no_element(symbol))
    element = _HYDROGEN.get(letters) or letters.capitalize()
    if element not in _ELEMENTS:
        raise ValueError(_no_element(symbol))
    # Not capitals then small letters: CO may be cobalt, or carbon and oxygen.
    parts = set(letters.upper())
    if letters not in _ELEMENTS and len(parts) == len(letters) > 1 and parts <= _ELEMENTS:
        if element not in formula or parts <= formula:
            raise ValueError(f"{symbol!r} may mean {element} or {' and '.join(letters.upper())}")
    mass = int(match["mass"] or 0)
    z = SYMBOLS.index(element) + 1
    if mass and not z <= mass <= 3 * z:
        raise ValueError(_no_element(symbol))
    return element


@lru_cache(maxsize=4096)
def element_of_label(label: str, formula: Set[str] = frozenset()) -> str:
    """Return the element that the label of an atom begins with, where only one reading is possible.

    Parameters
    ----------
    label : str
        For example ``Fe1``, ``O2A`` or ``AlM1``.
    formula : frozenset of str, default=frozenset()
        The elements that the file names in its formula; empty if it names none.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If the label begins with no element, as ``M1`` does; if it may mean a site, as ``T1`` does;
        or if it has several readings, as ``CO1`` has.
    """
    letters = re.match(r"[A-Za-z]*", label)[0]  # type: ignore[index]  # it matches the empty text
    water = _WATER.match(label)
    if water:
        return water[1].upper()
    if not letters or _GROUP_LABEL.match(label):
        raise ValueError(_no_element(label))
    one, two = letters[0].upper(), letters[:2].capitalize()
    if letters[1:2].islower() and letters[0].isupper():  # Fe, not FE or fe
        readings = [] if letters[2:3].islower() else [two]
    else:
        readings = [name for name in dict.fromkeys((one, two)) if name in _ELEMENTS | {"D"}]
    readings = [_HYDROGEN.get(name, name) for name in readings]
    readings = [name for name in readings if name in (formula or _ELEMENTS)]
    group = set(re.findall("[A-Z][a-z]?", letters))
    if len(group) > 1 and group <= (formula or _ELEMENTS) and _SEQUENCE.fullmatch(letters):
        readings.append(" and ".join(sorted(group)))
    if len(readings) > 1:
        raise ValueError(f"the label {label!r} may mean {' or '.join(readings)}")
    if not readings:
        raise ValueError(_no_element(label) + (" of the formula of the file" if formula else ""))
    return readings[0]


_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_FORMULA = re.compile(
    f"(?=.*[A-Z])(?:{'|'.join(sorted((*SYMBOLS, 'D'), key=len, reverse=True))}|[][()\\d.\\s])+"
)


def is_formula(text: object) -> bool:
    """Tell whether a text has the signs of a formula, and so cannot be a path of a structure file.

    Parameters
    ----------
    text : object

    Returns
    -------
    bool
    """
    return isinstance(text, str) and bool(_FORMULA.fullmatch(without_subscripts(text)))


def wrong_in_formula(text: str) -> str | None:
    """Return the first part of a misspelt formula that is no element.

    Parameters
    ----------
    text : str
        For example ``"NaCll"``, of which ``"Cll"`` is returned.

    Returns
    -------
    str or None
        None if the text can hardly be meant as a formula, or if all its symbols are known.
    """
    plain = without_subscripts(text)
    if not re.fullmatch(r"[][()A-Za-z\d.\s+-]{1,99}", plain) or re.search(r"\.[A-Za-z]", plain):
        return None
    parts = re.findall("[A-Z][a-z]*|[a-z]+|[+-]", plain)
    return next((part for part in parts if part not in _ELEMENTS), None)


def without_subscripts(formula: str) -> str:
    """Return a formula with plain digits."""
    return formula.translate(_SUBSCRIPTS)


_SEQUENCE = re.compile(f"(?:{'|'.join(sorted(SYMBOLS, key=len, reverse=True))})+")


def elements_in(formula: str) -> frozenset[str]:
    """Return the elements that a formula such as ``Na Cl`` or ``C6 H12 O6`` names.

    Parameters
    ----------
    formula : str

    Returns
    -------
    frozenset of str
    """
    names = re.findall(r"[A-Z][a-z]?", formula)
    return frozenset(name for name in (_HYDROGEN.get(n, n) for n in names) if name in _ELEMENTS)


def _no_element(symbol: str) -> str:
    return f"{symbol!r} is no element"
