"""POSCAR files whose atoms are known, and mutations of them."""

from dataclasses import dataclass, field

import numpy as np

from campaign import symbols
from campaign.case import Case, Verdict
from campaign.damage import damage
from campaign.doors import enter, names_of
from campaign.layout import lay_out
from campaign.mutate import Mutations, pick
from campaign.sample import Atoms, Sample, draw, total

FILE = "POSCAR"
MUTATIONS = Mutations()


@dataclass
class Poscar:
    """A file before it is written, and the atoms of each of its groups."""

    matrix: np.ndarray
    symbols: list[str]
    counts: list[str]
    coords: list[list[str]]
    atoms: list[Atoms]
    scale: str = "1.0"
    mode: str = "Direct"
    after: list[str] = field(default_factory=list)  # what stands behind each coordinate
    selective: bool = False
    tail: str = ""

    @classmethod
    def of(cls, sample: Sample) -> "Poscar":
        """Write a crystal down, each site a group."""
        coords = [[f"{x:.6f}" for x in place] for place in sample.coords]
        names = list(sample.symbols)
        ones = ["1"] * len(names)
        return cls(sample.matrix, names, ones, coords, [{s: 1.0} for s in names])

    def text(self) -> str:
        """Return the file."""
        lines = ["comment", self.scale, *(" ".join(f"{x:.8f}" for x in v) for v in self.matrix)]
        lines += [" ".join(self.symbols)] if self.symbols else []
        lines += [" ".join(self.counts), *(["Selective dynamics"] if self.selective else [])]
        after = self.after or [""] * len(self.coords)
        rows = [f"{' '.join(x)} {more}".rstrip() for x, more in zip(self.coords, after)]  # noqa: B905
        return "\n".join([*lines, self.mode, *rows]) + f"\n{self.tail}"


def make(rng: np.random.Generator) -> Case:
    """Make a mutated POSCAR file.

    Parameters
    ----------
    rng : Generator

    Returns
    -------
    Case
    """
    poscar = Poscar.of(draw(rng, symmetry=False))
    names, verdict = MUTATIONS.apply(poscar, rng)
    content = poscar.text().encode()
    atoms: Atoms | None = total([(a, 1.0) for a in poscar.atoms])
    if rng.random() < 0.3:
        name, content, must = lay_out(content, rng)
        names, verdict = (*names, name), verdict if must or verdict == "refuse" else "either"
    elif rng.random() < 0.3:
        name, content = damage(content, rng)
        names, verdict, atoms = (*names, name), "either", None
    expected = None if verdict == "refuse" else atoms
    return Case(names, {FILE: content}, verdict, enter(FILE, expected, rng), names_of(FILE))


# -- elements and counts --------------------------------------------------------------------------


for _meaning in symbols.MEANINGS:

    def _mutation(poscar, rng, meaning=_meaning):
        at = int(rng.integers(len(poscar.symbols)))
        poscar.symbols[at], atoms, verdict = meaning(rng)
        poscar.atoms[at] = atoms or {}
        exact = meaning in (symbols.other, symbols.group, symbols.unknown)
        return verdict if exact else "either"  # VASP writes neither isotopes nor charges here

    _mutation.__name__ = _meaning.__name__
    MUTATIONS.of("symbols")(_mutation)


@MUTATIONS.of("symbols")
def names_of_potentials(poscar: Poscar, rng: np.random.Generator) -> Verdict:
    ending = pick(rng, "_pv", "_sv", "_sv_GW", "_d")
    poscar.symbols = [f"{s}{ending}" for s in poscar.symbols]
    return "read"


@MUTATIONS.of("symbols")
def no_symbols(poscar: Poscar, rng: np.random.Generator) -> Verdict:
    poscar.symbols = []
    return "refuse"


@MUTATIONS.of("symbols")
def symbol_missing(poscar: Poscar, rng: np.random.Generator) -> Verdict:
    poscar.symbols.pop()
    return "refuse"


@MUTATIONS.of("symbols")
def symbols_in_comment_only(poscar: Poscar, rng: np.random.Generator) -> Verdict:
    poscar.after, poscar.symbols = [f" {s}" for s in poscar.symbols], []
    return "either"


@MUTATIONS.of("counts")
def counts_wrong(poscar: Poscar, rng: np.random.Generator) -> Verdict:
    at = int(rng.integers(len(poscar.counts)))
    poscar.counts[at] = pick(rng, "2", "7", "-1", "1.5", "x", "999999999", "0x1", "1*2")
    return "refuse"


@MUTATIONS.of("counts")
def count_added(poscar: Poscar, rng: np.random.Generator) -> Verdict:
    poscar.counts.append("1")
    return "refuse"


@MUTATIONS.of("counts")
def group_of_none(poscar: Poscar, rng: np.random.Generator) -> Verdict:
    poscar.symbols.append("Mn")
    poscar.counts.append("0")
    return "either"


# -- cell and coordinates -------------------------------------------------------------------------


@MUTATIONS.of("cell")
def scaled(poscar: Poscar, rng: np.random.Generator) -> Verdict:
    poscar.scale = pick(rng, "1e-3", "0.05", "1000", "1e10", "1e38", "nan", "inf", "0", "x", "")
    return "refuse"


@MUTATIONS.of("cell")
def scale_in_the_file(poscar: Poscar, rng: np.random.Generator) -> Verdict:
    volume = abs(np.linalg.det(poscar.matrix))
    size = pick(rng, 0.5, 2.0, 5.43)
    poscar.matrix = poscar.matrix / size
    poscar.scale = pick(rng, f"{size}", f"{-volume:.6f}")
    return "read"


@MUTATIONS.of("cell")
def written_as_fortran_does(poscar: Poscar, rng: np.random.Generator) -> Verdict:
    poscar.scale = pick(rng, "1.0d0", "1.D+00", "10d-1", "1.0 scale", "1 1 1")
    return "read"


@MUTATIONS.of("cell")
def lattice_rows_exchanged(poscar: Poscar, rng: np.random.Generator) -> Verdict:
    order = [int(i) for i in rng.permutation(3)]
    poscar.matrix = poscar.matrix[order]
    poscar.coords = [[place[i] for i in order] for place in poscar.coords]
    return "read"


@MUTATIONS.of("cell")
def flat(poscar: Poscar, rng: np.random.Generator) -> Verdict:
    poscar.matrix[2] = poscar.matrix[0] * pick(rng, 0.0, 1.0)
    return "refuse"


@MUTATIONS.of("coordinates")
def shifted(poscar: Poscar, rng: np.random.Generator) -> Verdict:
    size = pick(rng, 1, 3, 40, 1000, 32768, 10**6, 10**9, 10**15, 10**30)
    place, axis = pick(rng, *poscar.coords), int(rng.integers(3))
    place[axis] = f"{pick(rng, -1, 1) * size + float(place[axis]):.6f}"
    return "read" if size <= 10**6 else "either"


@MUTATIONS.of("coordinates")
def no_number(poscar: Poscar, rng: np.random.Generator) -> Verdict:
    junk = pick(rng, "nan", "inf", "x", "0,25", "1e400", "", "*****")
    pick(rng, *poscar.coords)[int(rng.integers(3))] = junk
    return "refuse"


@MUTATIONS.of("coordinates")
def rows_numbered(poscar: Poscar, rng: np.random.Generator) -> Verdict:
    poscar.coords = [[str(row), *place] for row, place in enumerate(poscar.coords)]
    return "refuse"


@MUTATIONS.of("coordinates")
def underscore(poscar: Poscar, rng: np.random.Generator) -> Verdict:
    pick(rng, *poscar.coords)[int(rng.integers(3))] = pick(rng, "0.1_1", "1_0", "0_0.5")
    return "refuse"


@MUTATIONS.of("coordinates")
def row_missing(poscar: Poscar, rng: np.random.Generator) -> Verdict:
    poscar.coords.pop()
    return "refuse"


@MUTATIONS.of("coordinates")
def two_atoms_at_one_point(poscar: Poscar, rng: np.random.Generator) -> Verdict:
    poscar.coords.append(list(poscar.coords[0]))
    poscar.counts.append("1")
    poscar.symbols.append("Mn")
    return "refuse"


# -- the rest -------------------------------------------------------------------------------------


@MUTATIONS.of("file")
def mode_written_otherwise(poscar: Poscar, rng: np.random.Generator) -> Verdict:
    poscar.mode = pick(rng, "direct", "D", "d", "Fractional  # by hand", "DIRECT")
    return "read"


@MUTATIONS.of("file")
def selective_dynamics(poscar: Poscar, rng: np.random.Generator) -> Verdict:
    poscar.selective = True
    flags = pick(rng, "T T F", "F F F")
    poscar.after = [f"{flags} {more}" for more in poscar.after or [""] * len(poscar.coords)]
    return "read"


@MUTATIONS.of("file")
def atom_named_otherwise(poscar: Poscar, rng: np.random.Generator) -> Verdict:
    poscar.after = [pick(rng, "Og", "Og1", "Og 1.0"), *[""] * (len(poscar.coords) - 1)]
    return "refuse"


@MUTATIONS.of("file")
def frames(poscar: Poscar, rng: np.random.Generator) -> Verdict:
    poscar.tail = pick(rng, "", "\n") + poscar.text()
    return "refuse"


@MUTATIONS.of("file")
def velocities(poscar: Poscar, rng: np.random.Generator) -> Verdict:
    poscar.tail = "\n" + "0.0 0.1 0.2\n" * len(poscar.coords)
    return "read"


@MUTATIONS.of("file")
def remarks(poscar: Poscar, rng: np.random.Generator) -> Verdict:
    poscar.after = ["! here"] * len(poscar.coords)
    return "either"
