"""Measured properties of the elements: the targets of probes."""

import warnings

import numpy as np
import pandas as pd
from pymatgen.core.periodic_table import Element

from skuae._elements import SYMBOLS, atomic_number
from skuae._numbers import as_floats

# name: how axes call it
PROPERTY_LABELS = {
    "atomic_radius": "atomic radius (Å)",
    "boiling_point": "boiling point (K)",
    "melting_point": "melting point (K)",
    "electrical_conductivity": "electrical conductivity (S/m)",
    "ionization_energy": "first ionisation energy (eV)",
    "electronegativity": "electronegativity (Pauling)",
}


def element_properties():
    """Return the properties of the elements in pymatgen.

    Returns
    -------
    DataFrame of shape (118, 6)
        Indexed by symbol, NaN where not known: ``atomic_radius`` (Å), ``boiling_point`` (K),
        ``melting_point`` (K), ``electrical_conductivity`` (S/m, the inverse of the resistivity at
        room temperature; it spans 23 orders of magnitude), ``ionization_energy`` (eV, the first)
        and ``electronegativity`` (Pauling's).

    Examples
    --------
    >>> from skuae.analysis import element_properties
    >>> properties = element_properties()
    >>> float(properties.loc["Fe", "melting_point"])
    1811.0
    >>> int(properties["electronegativity"].notna().sum())
    100
    """
    rows = []
    with warnings.catch_warnings():  # pymatgen warns of every value that it does not have
        warnings.simplefilter("ignore")
        for symbol in SYMBOLS:
            element = Element(symbol)
            resistivity = element.electrical_resistivity
            rows.append(
                [
                    element.atomic_radius,
                    element.boiling_point,
                    element.melting_point,
                    1.0 / resistivity if resistivity else None,
                    element.ionization_energy,
                    element.X,
                ]
            )
    index = pd.Index(SYMBOLS, name="element")
    return pd.DataFrame(rows, index=index, columns=list(PROPERTY_LABELS), dtype=float)


def read_properties(properties):
    """Return the properties that an argument stands for as one data frame over all elements.

    Parameters
    ----------
    properties : None, str, list of str, Series, DataFrame or mapping
        None for all of `element_properties`, names of some of them, or the user's own, indexed by
        symbol or atomic number.

    Returns
    -------
    DataFrame of shape (118, n_properties)
        Indexed by symbol, NaN where not known.

    Raises
    ------
    ValueError
        If a name or an element is unknown, an element comes twice, or a value is infinite.
    """
    if properties is None:
        return element_properties()
    if isinstance(properties, str):
        properties = [properties]
    if isinstance(properties, (pd.Series, pd.DataFrame)):
        return _own(pd.DataFrame(properties))
    if isinstance(properties, dict):
        return _own(pd.Series(properties, name="property").to_frame())
    unknown = [name for name in properties if name not in PROPERTY_LABELS]
    if unknown or not len(properties):
        raise ValueError(
            f"properties={properties!r} must be names out of {', '.join(PROPERTY_LABELS)}, or your "
            "own as Series or DataFrame indexed by symbol"
        )
    return element_properties()[list(dict.fromkeys(properties))]


def _own(frame):
    numbers = np.array([atomic_number(element) for element in frame.index])
    found, counts = np.unique(numbers, return_counts=True)
    if (counts > 1).any():
        raise ValueError(
            f"the properties have several rows for {SYMBOLS[found[counts > 1][0] - 1]}; keep one"
        )
    if np.iscomplexobj(frame):
        raise ValueError("properties are real numbers; got complex ones")
    known = frame.astype(object).where(frame.notna(), np.nan)  # numpy knows no pd.NA
    symbols = [SYMBOLS[z - 1] for z in numbers]
    frame = pd.DataFrame(as_floats(known), symbols, frame.columns)
    frame.columns = ["property" if name in (0, None) else str(name) for name in frame.columns]
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise ValueError(f"the properties have two columns {twice!r}; rename one")
    if np.isinf(frame.to_numpy()).any():
        bad = frame.columns[np.isinf(frame).any()][0]
        raise ValueError(f"property {bad!r} has infinite values; make them NaN to leave them out")
    return frame.reindex(pd.Index(SYMBOLS, name="element"))
