"""Reading structures as databases publish them: JSON of pymatgen and of jarvis-tools."""

import json

import numpy as np
from pymatgen.core.periodic_table import get_el_sp

from skuae._elements import N_ELEMENTS
from skuae._warnings import warn
from skuae.crystals import Crystals, as_crystals, check_geometry, offsets_from_sizes

_CHUNK = 1 << 22  # characters


def json_items(stream):
    """Read JSON with one long array, item by item.

    A file with 130,000 structures holds more than 1 GB of text and takes many times that as Python
    objects, so it is never held as a whole.

    Parameters
    ----------
    stream : text file
        Holds an array, or an object with arrays as values.

    Yields
    ------
    key : str or None
        Which array of the object.
    item : object

    Raises
    ------
    ValueError
        If the text is not such JSON, or ends early.
    """
    text = _Text(stream)
    if text.take("{[") == "[":
        yield from ((None, item) for item in text.array())
        return
    while True:
        key = text.value()
        text.take(":")
        text.take("[")
        yield from ((key, item) for item in text.array())
        if text.take(",}") == "}":
            return


def json_members(stream):
    """Read a JSON object, member by member.

    Parameters
    ----------
    stream : text file
        Holds an object.

    Yields
    ------
    key : str
    value : object

    Raises
    ------
    ValueError
        If the text is not such JSON, or ends early.
    """
    text = _Text(stream)
    text.take("{")
    if text.peek() == "}":
        return
    while True:
        key = text.value()
        text.take(":")
        yield key, text.value()
        if text.take(",}") == "}":
            return


class _Text:
    """A JSON text, read piece by piece."""

    def __init__(self, stream):
        self.stream, self.buffer, self.place, self.ended = stream, "", 0, False
        self.decode = json.JSONDecoder().raw_decode

    def array(self):
        """Yield the items of an array whose bracket was taken."""
        if self.peek() == "]":
            self.take("]")
            return
        while True:
            yield self.value()
            if self.take(",]") == "]":
                return

    def value(self):
        self.peek()
        while True:
            try:
                value, end = self.decode(self.buffer, self.place)
                after = self.buffer[end : end + 1]
                if self.ended or (after and after in ",]}: \t\r\n"):  # else a number may go on
                    self.place = end
                    return value
            except json.JSONDecodeError as error:
                if self.ended:
                    raise ValueError(f"no JSON, or cut short ({error})") from error
            self.read()

    def take(self, allowed):
        found = self.peek()
        if not found or found not in allowed:
            raise ValueError(f"no JSON as expected, or cut short (found {found!r})")
        self.place += 1
        return found

    def peek(self):
        """Go to the next character that is not white, and return it, "" at the end."""
        while True:
            while self.place < len(self.buffer) and self.buffer[self.place] in " \t\r\n":
                self.place += 1
            if self.place < len(self.buffer) or self.ended:
                return self.buffer[self.place : self.place + 1]
            self.read()

    def read(self):
        more = self.stream.read(_CHUNK)
        self.ended = not more
        self.buffer, self.place = self.buffer[self.place :] + more, 0


class Packer:
    """Pack structures that arrive one by one, without making pymatgen Structures."""

    def __init__(self):
        self.numbers, self.coords, self.lattices = [], [], []
        self.n_sites = 0
        self.occupancies: dict[str, list] = {"occ_sites": [], "occ_numbers": [], "occ_values": []}

    def add_pymatgen(self, structure):
        """Add a structure.

        Parameters
        ----------
        structure : dict
            As of ``Structure.as_dict()``.
        """
        symbols = []
        for site in structure["sites"]:
            species = site["species"]
            if len(species) != 1 or species[0]["occu"] != 1:
                return self._add_disordered(structure)
            symbols.append(species[0]["element"])
        lattice = structure["lattice"]
        if not all(lattice.get("pbc", [True])):
            return self._add_disordered(structure)  # which says that it must be periodic
        coords = [site["abc"] for site in structure["sites"]]
        return self._add(_atomic_numbers(symbols), coords, lattice["matrix"])

    def add_jarvis(self, atoms):
        """Add a structure.

        Parameters
        ----------
        atoms : dict
            As of ``Atoms.to_dict()`` of jarvis-tools.
        """
        lattice = np.array(atoms["lattice_mat"], dtype=float)
        coords = np.array(atoms["coords"], dtype=float)
        if atoms["cartesian"]:
            coords = np.linalg.solve(lattice.T, coords.T).T
        self._add(_atomic_numbers(atoms["elements"]), coords, lattice)

    def _add(self, numbers, coords, lattice):
        self.numbers.append(np.array(numbers, dtype=np.uint8))
        self.coords.append(np.array(coords, dtype=float).reshape(-1, 3))
        self.lattices.append(np.array(lattice, dtype=float))
        self.n_sites += len(numbers)

    def _add_disordered(self, structure):
        crystals = as_crystals([structure])
        if crystals.occ_sites is not None:
            self.occupancies["occ_sites"].append(crystals.occ_sites + self.n_sites)
            self.occupancies["occ_numbers"].append(crystals.occ_numbers)
            self.occupancies["occ_values"].append(crystals.occ_values)
        self._add(crystals.numbers, crystals.frac_coords, crystals.lattices[0])

    def pack(self, ids, name):
        """Return what was added.

        Parameters
        ----------
        ids : list of str
        name : str
            Of the data set, for the warning.

        Returns
        -------
        Crystals

        Warns
        -----
        UserWarning
            A crystal makes no sense. It is kept: published sets and their splits are as they are.
        """
        crystals = self.crystals(ids)
        try:
            check_geometry(crystals)
        except ValueError as error:
            warn(f"{name}, kept as it was published: {error}")
        return crystals

    def crystals(self, ids=None):
        """Return what was added, without a check of distances.

        Parameters
        ----------
        ids : list of str, optional

        Returns
        -------
        Crystals
        """
        return Crystals(
            np.concatenate(self.numbers),
            np.concatenate(self.coords),
            np.stack(self.lattices),
            offsets_from_sizes([len(numbers) for numbers in self.numbers]),
            ids=ids,
            **{
                key: np.concatenate(parts) if parts else None
                for key, parts in self.occupancies.items()
            },
        )


_KNOWN: dict = {}


def _atomic_numbers(symbols):
    for symbol in {*symbols} - {*_KNOWN}:
        number = get_el_sp(symbol).Z
        if not 1 <= number <= N_ELEMENTS:  # of a dummy
            raise ValueError(f"{symbol} is not a chemical element")
        _KNOWN[symbol] = number
    return [_KNOWN[symbol] for symbol in symbols]
