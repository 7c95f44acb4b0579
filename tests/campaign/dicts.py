"""``Structure.as_dict()`` dicts and JSON files of them whose atoms are known, and mutations."""

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from campaign import symbols
from campaign.case import Case, Verdict
from campaign.damage import damage, disturb
from campaign.doors import enter, names_of
from campaign.mutate import Mutations, pick
from campaign.sample import Atoms, Sample, draw, total
from campaign.use import check_atoms, check_use
from skuae import as_crystals
from skuae.datasets import read_file

MUTATIONS = Mutations()
_EMPTY = {"charge": 0, "properties": {}}


@dataclass
class Dict:
    """A dict before it is written, and the atoms of each site."""

    content: dict[str, Any]
    atoms: list[Atoms]

    @classmethod
    def of(cls, sample: Sample) -> "Dict":
        """Write a crystal down."""
        sites = [
            {
                "species": [{"element": symbol, "occu": 1}],
                "abc": place.tolist(),
                "xyz": (place @ sample.matrix).tolist(),
                "label": symbol,
                "properties": {},
            }
            for symbol, place in zip(sample.symbols, sample.coords, strict=True)
        ]
        lattice = {"matrix": sample.matrix.tolist(), "pbc": [True, True, True]}
        content = {"@module": "pymatgen.core.structure", "@class": "Structure", **_EMPTY}
        content |= {"lattice": lattice, "sites": sites}
        return cls(content, [{symbol: 1.0} for symbol in sample.symbols])

    def site(self, rng: np.random.Generator) -> tuple[int, dict[str, Any]]:
        """Return one of the sites and its number."""
        at = int(rng.integers(len(self.content["sites"])))
        return at, self.content["sites"][at]


def _as_file(content: bytes, rng: np.random.Generator, atoms: Atoms | None) -> tuple:
    file = pick(rng, "a.json", "a.json.gz")
    written = gzip.compress(content, mtime=0) if file.endswith(".gz") else content
    return file, written, enter(file, atoms, rng), names_of(file)


def _as_row(content: bytes, rng: np.random.Generator, atoms: Atoms | None) -> tuple:
    """Return a file that holds the dict as it is: in a list of rows, or as a line of a table."""

    def from_dict(folder: Path) -> None:
        crystals = as_crystals([json.loads((folder / "dict.json").read_text())])
        _check(crystals, atoms)

    def from_lines(folder: Path) -> None:
        _check(read_file(folder / "rows.jsonl").structures, atoms)

    if rng.random() < 0.5:
        return "dict.json", content, from_dict, ("row 0",)
    line = b'{"id": "first", "structure": ' + content.replace(b"\n", b" ") + b"}\n"
    return "rows.jsonl", line, from_lines, ("row 0", "line 1")


def _check(crystals: Any, atoms: Atoms | None) -> None:
    if atoms is not None:
        check_atoms(crystals, 0, atoms)
    check_use(crystals)


def make(rng: np.random.Generator) -> Case:
    """Make a mutated dict, handed over as it is, in a table, or as a JSON file.

    Parameters
    ----------
    rng : Generator

    Returns
    -------
    Case
    """
    made = Dict.of(draw(rng, symmetry=False))
    way = rng.random()
    verdict: Verdict
    atoms: Atoms | None
    if way < 0.6:
        names, verdict = MUTATIONS.apply(made, rng)
        atoms = None if verdict == "refuse" else total([(a, 1.0) for a in made.atoms])
        content = json.dumps(made.content).encode()
    elif way < 0.9:
        names, disturbed = disturb(made.content, rng)
        verdict, atoms = "either", None
        content = json.dumps(disturbed).encode()
    else:
        name, content = damage(json.dumps(made.content, indent=1).encode(), rng)
        names, verdict, atoms = (name,), "either", None
        file, content, check, said = _as_file(content, rng, atoms)
        return Case(names, {file: content}, verdict, check, said)
    wrap: Callable = pick(rng, _as_file, _as_row)
    file, content, check, said = wrap(content, rng, atoms)
    return Case(names, {file: content}, verdict, check, said)


# -- what a site is -------------------------------------------------------------------------------


for _meaning in symbols.MEANINGS:

    def _mutation(made, rng, meaning=_meaning):
        at, site = made.site(rng)
        name, atoms, verdict = meaning(rng)
        site["species"][0]["element"] = name
        made.atoms[at] = atoms or {}
        exact = meaning in (symbols.other, symbols.group, symbols.unknown)
        return verdict if exact else "either"  # pymatgen writes neither isotopes nor charges here

    _mutation.__name__ = _meaning.__name__
    MUTATIONS.of("species")(_mutation)


@MUTATIONS.of("species")
def charged(made: Dict, rng: np.random.Generator) -> Verdict:
    made.site(rng)[1]["species"][0]["oxidation_state"] = pick(rng, 2, -1, 0, 2.5, None)
    return "read"


@MUTATIONS.of("species")
def partly_occupied(made: Dict, rng: np.random.Generator) -> Verdict:
    at, site = made.site(rng)
    amount = round(float(rng.uniform(0.05, 0.95)), 2)
    site["species"][0]["occu"] = amount
    made.atoms[at] = total([(made.atoms[at], amount)])
    return "read"


@MUTATIONS.of("species")
def shared(made: Dict, rng: np.random.Generator) -> Verdict:
    at, site = made.site(rng)
    amount = round(float(rng.uniform(0.1, 0.9)), 2)
    site["species"][0]["occu"] = amount
    site["species"].append({"element": "Mn", "occu": round(1 - amount, 2)})
    made.atoms[at] = total([(made.atoms[at], amount), ({"Mn": 1.0}, 1 - amount)])
    return "read"


@MUTATIONS.of("species")
def split(made: Dict, rng: np.random.Generator) -> Verdict:
    at, site = made.site(rng)
    amount, other = pick(rng, (0.5, 0.5), (0.3, 0.6), (0.9, 0.9), (1, 0.9), (1, 0.999))
    site["species"][0]["occu"] = amount
    beside = {**site, "species": [{"element": "Mn", "occu": other}]}
    made.content["sites"].append(beside)
    made.atoms[at] = total([(made.atoms[at], amount)])
    made.atoms.append({"Mn": other})
    return "read" if amount + other <= 1 else "refuse"


@MUTATIONS.of("species")
def occupancy_impossible(made: Dict, rng: np.random.Generator) -> Verdict:
    bad = pick(rng, 2, 1.5, -0.5, float("nan"), float("inf"), None, "x", 1e308, 10**400)
    made.site(rng)[1]["species"][0]["occu"] = bad
    return "refuse"


@MUTATIONS.of("species")
def no_species(made: Dict, rng: np.random.Generator) -> Verdict:
    made.site(rng)[1]["species"] = pick(rng, [], None, "Na", {})
    return "refuse"


# -- where it is ----------------------------------------------------------------------------------


@MUTATIONS.of("coordinates")
def shifted(made: Dict, rng: np.random.Generator) -> Verdict:
    size = pick(rng, 1, 3, 40, 1000, 40_000, 10**6, 10**9, 10**15, 1e30)
    made.site(rng)[1]["abc"][int(rng.integers(3))] += pick(rng, -1, 1) * size
    return "read" if size <= 10**6 else "either"


@MUTATIONS.of("coordinates")
def no_number(made: Dict, rng: np.random.Generator) -> Verdict:
    bad = pick(rng, None, float("nan"), float("inf"), "x", [], {}, 1e308)
    made.site(rng)[1]["abc"][int(rng.integers(3))] = bad
    return "refuse"


@MUTATIONS.of("coordinates")
def wrong_number_of_coordinates(made: Dict, rng: np.random.Generator) -> Verdict:
    site = made.site(rng)[1]
    site["abc"] = pick(rng, site["abc"][:2], [*site["abc"], 0.5], [], 0.5, [site["abc"]])
    return "refuse"


@MUTATIONS.of("coordinates")
def without_cartesian(made: Dict, rng: np.random.Generator) -> Verdict:
    for site in made.content["sites"]:
        del site["xyz"], site["label"]
    return "read"


@MUTATIONS.of("coordinates")
def site_twice(made: Dict, rng: np.random.Generator) -> Verdict:
    at, site = made.site(rng)
    made.content["sites"].append(site)
    # Two half-filled sites at one place hold one atom together.
    split = 2 * sum(made.atoms[at].values()) <= 1
    made.atoms.append(made.atoms[at])
    return "read" if split else "refuse"


# -- the cell and the rest ------------------------------------------------------------------------


@MUTATIONS.of("cell")
def scaled(made: Dict, rng: np.random.Generator) -> Verdict:
    factor = pick(rng, 1e-6, 1e-3, 0.05, 1e3, 1e10, 1e38, 1e200)
    lattice = made.content["lattice"]
    lattice["matrix"] = (np.array(lattice["matrix"]) * factor).tolist()
    return "refuse"


@MUTATIONS.of("cell")
def entry_no_number(made: Dict, rng: np.random.Generator) -> Verdict:
    bad = pick(rng, None, float("nan"), float("inf"), "x", [], 1e308)
    made.content["lattice"]["matrix"][int(rng.integers(3))][int(rng.integers(3))] = bad
    return "refuse"


@MUTATIONS.of("cell")
def of_another_shape(made: Dict, rng: np.random.Generator) -> Verdict:
    matrix = made.content["lattice"]["matrix"]
    shape = pick(rng, matrix[:2], [row[:2] for row in matrix], [*matrix, matrix[0]], [], [[]])
    made.content["lattice"]["matrix"] = shape
    return "refuse"


@MUTATIONS.of("cell")
def not_periodic(made: Dict, rng: np.random.Generator) -> Verdict:
    made.content["lattice"]["pbc"] = pick(rng, [True, True, False], [False] * 3)
    return "refuse"


@MUTATIONS.of("cell")
def left_handed(made: Dict, rng: np.random.Generator) -> Verdict:
    made.content["lattice"]["matrix"] = (-np.array(made.content["lattice"]["matrix"])).tolist()
    return "read"


@MUTATIONS.of("file")
def names_code(made: Dict, rng: np.random.Generator) -> Verdict:
    evil = {"@module": "os", "@class": "system", "command": "false"}
    made.site(rng)[1]["properties"] = pick(rng, {"x": evil}, {"magmom": 1.5}, None)
    made.content |= pick(rng, {}, {"@module": "os", "@class": "system"}, {"@version": None})
    return "either"


@MUTATIONS.of("file")
def no_sites(made: Dict, rng: np.random.Generator) -> Verdict:
    made.content["sites"] = pick(rng, [], None, {}, "x")
    return "refuse"


@MUTATIONS.of("file")
def charge(made: Dict, rng: np.random.Generator) -> Verdict:
    made.content["charge"] = pick(rng, None, 1, -2.5)
    return "read"
