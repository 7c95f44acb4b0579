"""Structures from files, texts and dicts. Code that these name is never run."""

import bz2
import gzip
import json
import lzma
import math
import re
import zlib
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Lattice, Structure

from skuae._elements import SYMBOLS, atomic_number
from skuae._numbers import as_floats
from skuae.crystals._cif import read_cif
from skuae.crystals._limits import LIMITS, LimitError, Limits
from skuae.crystals._poscar import is_poscar, read_poscar
from skuae.crystals._symbols import element_of_symbol, is_formula

_PART = 2**16  # bytes; Python sets aside memory for all that a read may return
_OPENERS: dict[str, Any] = {
    ".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open, ".lzma": lzma.open,
}  # fmt: skip
_NAMES = {
    "JSON": re.compile(r"\.[jm]son"),
    "CIF": re.compile(r"\.m?cif"),
    "POSCAR": re.compile(r"poscar|contcar|xdatcar|\.vasp(\.|$)|^chgcar|^locpot"),
}  # the first that fits
_UNKNOWN_FORMAT = (
    "skuae reads CIF (*.cif), POSCAR (POSCAR*, CONTCAR*, *.vasp) and JSON files (*.json), by their "
    "names; read other formats with pymatgen (Structure.from_file) or ASE (ase.io.read) and pass "
    "the result, or save the structure as CIF or JSON"
)
NO_POSITIONS = (
    "a formula has no positions of atoms; pass crystal structures. UAETransformer reads formulas, "
    "too: make_pipeline(UAETransformer(), RandomForestRegressor()) learns from them"
)
# What pymatgen says where a CIF has no formula, or of elements, is no fault of the file.
_NOISE = re.compile("Cannot determine chemical comp|Skipping relative stoich|No Pauling electroneg")


def parse_structure(
    item: str | PathLike | dict[str, Any], *, limits: Limits = LIMITS
) -> tuple[Structure, list[str]]:
    """Read one structure from a file, the text of a CIF or JSON file, or a dict.

    What a file says is what arrives: every atom of a CIF, POSCAR, JSON text or dict is read as the
    element that its symbol means, with its occupancy, or the structure is refused. Files in other
    formats are not read.

    Parameters
    ----------
    item : str, path-like or dict
        A path, the text of a CIF, a ``Structure.as_dict()`` or an ``Atoms.to_dict()`` of JARVIS,
        or the JSON text of such a dict.
    limits : Limits, optional
        How large it may be; `LIMITS` unless given.

    Returns
    -------
    structure : Structure
    remarks : list of str
        What the parser remarked on it.

    Raises
    ------
    ValueError
        If it cannot be read, or not without loss.
    """
    try:
        structure, remarks = _parse(item, limits)
        return structure, [text for text in dict.fromkeys(remarks) if not _NOISE.match(text)]
    except ValueError:
        raise
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except Exception as error:  # parsers raise all kinds
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _parse(item: Any, limits: Limits) -> tuple[Structure, list[str]]:
    if isinstance(item, dict):
        return _from_dict(as_lists(item), limits), []
    if isinstance(item, str):
        if item.lstrip("\ufeff \t\r\n")[:1] in ("{", "["):
            return _from_json(item, limits), []
        if len(item.splitlines()) > 1:
            if is_poscar(_plain(item)):
                raise ValueError(
                    "it has no line data_, so that it is no CIF, but a POSCAR: write it to a file "
                    "of that name, and pass the path"
                )
            return read_cif(_plain(item), limits)
        if is_formula(item) and not is_file(Path(item)):
            raise ValueError(f"{item!r} is a formula, not a file: {NO_POSITIONS}")
    return _from_file(Path(item), limits)


def read_bytes(path: Path, most: int, name: str) -> bytes:
    """Return the content of a file, decompressed after its suffix.

    Parameters
    ----------
    path : Path
    most : int
        How many bytes it may hold.
    name : str
        What `Limits` calls that limit.

    Returns
    -------
    bytes

    Raises
    ------
    ValueError
        If it is no regular file, damaged, or holds more.
    """
    if not is_file(path):  # a pipe would wait for ever, a device might never end
        raise ValueError("there is no such file, or it is no regular file")
    opener = _OPENERS.get(path.suffix.lower(), open)
    try:
        content = bytearray()
        with opener(path, "rb") as file:
            while len(content) <= most and (part := file.read(_PART)):
                content += part
    except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        raise ValueError(f"it cannot be read ({error})") from error
    if len(content) > most:
        raise LimitError(
            f"it holds more than {most:,} bytes; if that is right, raise the limit: "
            f"skuae.crystals.LIMITS.{name}, or --limit {name}=BYTES in a shell"
        )
    return bytes(content)


def is_file(path: Path) -> bool:
    """Tell whether there is a regular file of that name; a text too long for a name is none.

    Parameters
    ----------
    path : Path

    Returns
    -------
    bool
    """
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def format_of(path: Path) -> str | None:
    """Return the format of a structure file, as its name tells.

    Parameters
    ----------
    path : Path

    Returns
    -------
    "CIF", "POSCAR", "JSON" or None
    """
    name = path.name.lower()
    return next((kind for kind, pattern in _NAMES.items() if pattern.search(name)), None)


def load_json(text: str | bytes) -> Any:
    """Return the content of a JSON text.

    Parameters
    ----------
    text : str or bytes

    Returns
    -------
    object

    Raises
    ------
    ValueError
        If it is no JSON, nested too deeply, holds an integer that no float can hold, or gives an
        entry twice.
    """
    try:
        return json.loads(text, parse_int=_integer, object_pairs_hook=_unique)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _integer(text: str) -> int:
    if len(text) > 300:
        raise ValueError(f"it holds an integer of {len(text)} digits, {text[:12]}...")
    return int(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object as a dict; raise if a key occurs twice."""
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an object has two entries {twice!r}; keep one")
    return record


def _from_file(path: Path, limits: Limits) -> tuple[Structure, list[str]]:
    kind = format_of(path)
    if kind is None and is_file(path):
        raise ValueError(_UNKNOWN_FORMAT)
    content = _decoded(read_bytes(path, limits.file_bytes, "file_bytes"))
    if not content.strip("\ufeff \t\r\n"):
        raise ValueError("the file is empty")
    if kind == "JSON":
        return _from_json(content, limits), []
    if kind == "CIF":
        return read_cif(_plain(content), limits)
    return read_poscar(_plain(content), limits), []


def _decoded(content: bytes) -> str:
    """Return bytes as text; a byte-order mark tells the encoding."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")  # names of authors, say


def _plain(text: str) -> str:
    """Return a text with uniform line ends and spaces."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    return text.replace("\u00a0", " ")


def _from_json(text: str, limits: Limits) -> Structure:
    content = load_json(text.removeprefix("\ufeff"))
    if not isinstance(content, dict):
        raise ValueError(
            f"it holds a {type(content).__name__} of {len(content)} entries, not one structure"
            if isinstance(content, list)
            else f"it holds {str(content)[:40]!r}, not a structure"
        )
    return _from_dict(content, limits)


def _from_dict(content: dict[str, Any], limits: Limits) -> Structure:
    """Return the Structure of a dict, without oxidation states and most properties.

    pymatgen imports and calls whatever properties name under ``@module`` and ``@class``.
    """
    if content.get("lattice_mat") is not None:
        return _from_jarvis(content, limits)
    if "sites" not in content:
        kind = f" It is a {content['@class']}." if "@class" in content else ""
        raise ValueError(
            "the dictionary is none of pymatgen's: it has no 'sites', but "
            f"{', '.join(map(repr, list(content)[:5])) or 'nothing'}.{kind}"
        )
    if not isinstance(content.get("lattice"), dict):
        raise ValueError("it has no 'lattice': skuae models are for crystals")
    sites = content["sites"]
    if not isinstance(sites, (list, tuple)):
        raise ValueError(f"its 'sites' are {str(sites)[:40]!r}, expected a list")
    limits.check("sites", len(sites), "sites")
    species, coords = [], []
    for number, site in enumerate(sites):
        if not isinstance(site, dict):
            raise ValueError(f"site {number} is {str(site)[:40]!r}, expected a dict")
        try:
            species.append(_species(site))
            coords.append(_coords(site))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            what = f"no {error}" if isinstance(error, KeyError) else error
            raise ValueError(f"site {number}: {what}") from error
    moves = [_moves(site) for site in sites]
    kept = {"selective_dynamics": moves} if any(moves) else None
    return Structure(_lattice(content["lattice"]), species, coords, site_properties=kept)


def _from_jarvis(atoms: dict[str, Any], limits: Limits) -> Structure:
    limits.check("sites", len(atoms["elements"]), "sites")
    cartesian = atoms.get("cartesian")
    cartesian = False if cartesian is None else cartesian  # None: a table where others have it
    if not isinstance(cartesian, (bool, np.bool_)):
        raise ValueError(f"'cartesian' is {cartesian!r}, expected true or false")
    return Structure(
        as_floats(atoms["lattice_mat"]),
        [SYMBOLS[atomic_number(str(name).strip()) - 1] for name in atoms["elements"]],
        as_floats(atoms["coords"]),
        coords_are_cartesian=bool(cartesian),
    )


def as_lists(content: Any) -> Any:
    """Return nested content with lists for arrays; pyarrow gives arrays of arrays.

    Parameters
    ----------
    content : object

    Returns
    -------
    object
    """
    if isinstance(content, np.ndarray):
        return [as_lists(value) for value in content.tolist()]
    if isinstance(content, (list, tuple)):
        return type(content)(map(as_lists, content))
    if isinstance(content, dict):
        return {key: as_lists(value) for key, value in content.items()}
    return content


def _lattice(content: dict[str, Any]) -> Lattice:
    content = {name: value for name, value in content.items() if value is not None}
    if "matrix" not in content:
        return Lattice.from_dict(content)
    try:
        return Lattice.from_dict({**content, "matrix": as_floats(content["matrix"])})
    except (TypeError, ValueError) as error:
        raise ValueError(f"its lattice cannot be read: {error}") from error


def _species(site: dict[str, Any]) -> dict[str, float]:
    """Return the occupancies of a site by element; entries of one element are added."""
    entries = site["species"]
    if not entries or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"its species are {str(entries)[:40]!r}, expected a list of dicts")
    amounts: dict[str, float] = {}
    for entry in entries:
        element = element_of_symbol(str(entry["element"]))
        amount = entry["occu"]
        if not isinstance(amount, (int, float)) or not 0 < amount < math.inf:
            raise ValueError(f"{element} has the occupancy {amount!r}, expected above 0 to 1")
        amounts[element] = amounts.get(element, 0.0) + float(amount)
    return amounts


def _moves(site: dict[str, Any]) -> list[bool] | None:
    """Return along which lattice vectors a site may move, where its properties say so."""
    properties = site.get("properties")
    moves = properties.get("selective_dynamics") if isinstance(properties, dict) else None
    is_said = isinstance(moves, (list, tuple)) and all(isinstance(move, bool) for move in moves)
    return list(moves) if moves and is_said else None


def _coords(site: dict[str, Any]) -> np.ndarray:
    coords = as_floats(site["abc"])
    if coords.shape != (3,):
        raise ValueError(f"it has {coords.size} coordinates, expected 3")
    return coords
