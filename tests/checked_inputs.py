"""What the page "What skuae checks" is about: each input, and how to give it to skuae.

A case runs in a folder of its own. It returns whether what was read is right, or nothing.
"""

import gzip
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from pymatgen.core import Composition, Lattice, Molecule, Structure
from sklearn.base import clone
from skorch.callbacks import Checkpoint, Freezer

from skuae import CrystalGNNClassifier, CrystalGNNRegressor, Crystals, ElementTable, as_crystals
from skuae.analysis import lattice_parameters, site_environments
from skuae.crystals import LIMITS
from skuae.datasets import make_toy_crystals, read_folder

NACL = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)
ONE = Structure(Lattice.cubic(4), ["Fe"], [[0, 0, 0]])
COLUMNS = ("type_symbol", "label", "fract_x", "fract_y", "fract_z", "occupancy")
POSCAR = "NaCl\n1\n4 0 0\n0 4 0\n0 0 4\nNa Cl\n1 1\nDirect\n0 0 0\n.5 .5 .5\n"


def cif(*rows, columns=COLUMNS, operation="'x, y, z'", name="x"):
    """Return the text of a CIF with these atoms in a cubic cell of 4 Å."""
    cell = "".join(f"_cell_length_{x} 4\n" for x in "abc")
    cell += "".join(f"_cell_angle_{x} 90\n" for x in ("alpha", "beta", "gamma"))
    names = "".join(f"_atom_site_{column}\n" for column in columns)
    atoms = "\n".join(rows)
    symmetry = f"loop_\n_symmetry_equiv_pos_as_xyz\n{operation}\n"
    return f"data_{name}\n{cell}{symmetry}loop_\n{names}{atoms}\n"


def formula(text, name="a.cif", encoding="utf-8"):
    """Write a structure file, read it, and return its formula."""
    Path(name).write_text(text, encoding=encoding)
    return as_crystals([name])[0].composition.formula


def atoms(*rows, **options):
    """Return the formula of a CIF with these atoms."""
    return formula(cif(*rows, **options))


def labels(text, encoding="utf-8"):
    """Read a folder whose table of labels is this text, with a crystal for each name."""
    for name in "abc":
        Path(f"{name}.cif").write_text(cif("Fe Fe 0 0 0 1"), encoding="utf-8")
    Path("id_prop.csv").write_text(text, encoding=encoding)
    return read_folder(".").target


def moved(by):
    """Return NaCl with one coordinate moved by so many cells."""
    coords = NACL.frac_coords.copy()
    coords[1, 0] += by
    return Structure(NACL.lattice, NACL.species, coords)


def dicts(**changes):
    """Read a Structure.as_dict() with other entries."""
    return as_crystals([{**ONE.as_dict(), **changes}])


@cache
def toy():
    """Return a few crystals and a target."""
    data = make_toy_crystals(12, random_state=0)
    return data.structures, np.asarray(data.target, dtype=float)


def fit(y=None, sample_weight=None, kind=CrystalGNNRegressor, **parameters):
    """Fit a small network for one epoch."""
    X, target = toy()
    model = kind(max_epochs=1, batch_size=4, random_state=0, device="cpu", **parameters)
    return model.fit(X, target if y is None else y, sample_weight=sample_weight)


def saved(change):
    """Save a model, change its file, and load it."""
    folder = Path(fit().save_pretrained("model") or "model")
    change(folder / "model.safetensors")
    return CrystalGNNRegressor.from_pretrained(folder)


def packed(**changes):
    """Return packed crystals with other arrays."""
    arrays = {"numbers": [26], "frac_coords": [[0, 0, 0]], "lattices": [4 * np.eye(3)]}
    return Crystals(**({**arrays, "offsets": [0, 1]} | changes))


def stretched():
    """Load packed crystals whose cell was made too small in the file."""
    as_crystals([ONE]).save("a.npz")
    arrays = dict(np.load("a.npz"))
    arrays["lattices"] = arrays["lattices"] * 1e-3
    np.savez_compressed("a.npz", **arrays)
    return Crystals.load("a.npz")


def remembered(change):
    """Return whether a setting of PyTorch changes what is learned."""
    X, _ = toy()
    expected = fit().predict(X)
    with change():
        found = fit().predict(X)
    return np.array_equal(expected, found)


def constant():
    """Return whether a target without any spread is predicted, with no uncertainty."""
    X, y = toy()
    mean, std = fit(np.full(len(y), 1e-6), loss="gaussian_nll").predict(X, return_std=True)
    return (mean == 1e-6).all() and (std == 0).all()


def weights(**changes):
    """Return sample weights with some replaced."""
    values = np.ones(len(toy()[1]))
    for row, value in changes.items():
        values[int(row[1:])] = value
    return values


def lock():
    """Return a callback that holds what cannot be copied."""
    import threading

    callback = Freezer("head*")
    callback.lock = threading.Lock()
    return callback


def zipped():
    """Write a compressed file that expands beyond the limit."""
    with gzip.open("a.cif.gz", "wb") as file:
        for _ in range(LIMITS.file_bytes // 2**20 + 1):
            file.write(b" " * 2**20)
    return as_crystals(["a.cif.gz"])


def three_cells():
    """Return NaCl in its primitive, its conventional and a doubled cell."""
    return as_crystals([NACL.get_primitive_structure(), NACL, NACL * (1, 1, 2)])


def split(first, second):
    """Return two species that share a place."""
    return Structure(Lattice.cubic(4), [{"Li": first}, {"Na": second}], [[0, 0, 0]] * 2)


FILES = {
    "isotopes in a CIF (2H, D, 13C, 57Fe)": lambda _: atoms("57Fe A 0 0 0 1") == "Fe1",
    "a group of atoms as one row (NH4, CO3, OH, Wat)": lambda _: atoms("NH4 A 0 0 0 1"),
    "a vacancy or unknown symbol as a row (Vac, X, `?`)": lambda _: atoms("Vac A 0 0 0 1"),
    "`CO` in capitals, which may be cobalt": lambda _: atoms("CO A 0 0 0 1"),
    "labels without symbols that may be several elements (T1, CO1)": lambda _: atoms(
        "T1 0 0 0 1", columns=COLUMNS[1:]
    ),
    "an occupancy `.`": lambda _: atoms("Fe A 0 0 0 .") == "Fe1",
    "an occupancy `?`, `0,5` or `1/2`": lambda _: atoms("Fe A 0 0 0 0,5"),
    "oxygen and hydrogen on one site": lambda _: (
        atoms("O A 0 0 0 .1", "H B 0 0 0 .9") == "H0.9 O0.1"
    ),
    "rows at one place that add up to more than 1": lambda _: atoms(
        "Li A 0 0 0 .9", "Na B 0 0 0 .9"
    ),
    "several structures in one CIF": lambda _: formula(
        cif("Fe A 0 0 0 1") + cif("Co A 0 0 0 1", name="y")
    ),
    "a minus sign that is not ASCII": lambda _: atoms("Fe A \u2212.25 0 0 1"),
    "a coordinate `.` or `?`": lambda _: atoms("Fe A 0 0 . 1"),
    "a symmetry operation that is not understood": lambda _: atoms(
        "Fe A 0 0 0 1", operation="'x, y'"
    ),
    "a symmetry operation that would change distances": lambda _: atoms(
        "Fe A .1 0 0 1", operation="'2x, y, z'"
    ),
    "a space group without operations whose setting or origin must be guessed": lambda _: formula(
        cif("Fe A 0 0 0 1").replace(
            "loop_\n_symmetry_equiv_pos_as_xyz\n'x, y, z'", "_space_group_IT_number 227"
        )
    ),
    "an atom at 0.333, 0.667, beside its special position": lambda _: (
        atoms("Mg A .001 0 0 1", operation="'x, y, z'\n'-x, -y, -z'") == "Mg1"
    ),
    "a CIF whose formula times Z means another number of atoms": lambda _: formula(
        cif("Fe A 0 0 0 1") + "_chemical_formula_sum Fe\n_cell_formula_units_Z 4\n"
    ),
    "a byte-order mark, UTF-16 or Windows line ends": lambda _: (
        formula(cif("Fe A 0 0 0 1").replace("\n", "\r\n"), encoding="utf-16") == "Fe1"
    ),
    "a POSCAR without a line of elements": lambda _: formula(
        POSCAR.replace("Na Cl\n", ""), "POSCAR"
    ),
    "a POSCAR whose counts do not fit its lines": lambda _: formula(
        POSCAR.replace("\n1 1\n", "\n1 2\n"), "POSCAR"
    ),
    "a POSCAR whose atoms are named otherwise than its line of elements": lambda _: formula(
        POSCAR.replace("0 0 0\n.5 .5 .5", "0 0 0 Cl\n.5 .5 .5 Na"), "POSCAR"
    ),
    "a POSCAR with row numbers before the coordinates": lambda _: formula(
        POSCAR.replace("0 0 0\n.5", "1 0 0 0\n2 .5"), "POSCAR"
    ),
    "Fortran's `1.0d0`, and text after numbers, in a POSCAR": lambda _: (
        formula(POSCAR.replace("\n1\n", "\n1.0d0 scale\n"), "POSCAR") == "Na1 Cl1"
    ),
    "several frames in an XDATCAR or POSCAR": lambda _: formula(POSCAR + POSCAR, "XDATCAR"),
    "a file in another format (.xyz, .res, .cssr, pw.in)": lambda _: formula("1\n", "a.xyz"),
    "a negative scale in a POSCAR": lambda _: (
        formula(POSCAR.replace("\n1\n", "\n-64\n"), "POSCAR") == "Na1 Cl1"
    ),
    "NaN, 0 or text as occupancy in a dict": lambda _: dicts(
        sites=[{"species": [{"element": "Fe", "occu": "0,5"}], "abc": [0, 0, 0]}]
    ),
    "an element twice on a site of a dict": lambda _: (
        dicts(
            sites=[
                {
                    "species": [{"element": "Fe", "occu": 0.5}, {"element": "Fe", "occu": 0.4}],
                    "abc": [0, 0, 0],
                }
            ]
        )[0].composition["Fe"]
        == 0.9
    ),
    "a molecule, a trajectory or a list as JSON": lambda _: as_crystals(
        [Molecule(["O"], [[0, 0, 0]]).as_dict()]
    ),
    "the text of a CIF or JSON file instead of its name": lambda _: (
        as_crystals([NACL.to(fmt="cif")]).n_sites == 8
    ),
    "a formula or a Composition": lambda _: as_crystals([Composition("NaCl")]),
    "a pipe or a device": lambda _: as_crystals(["/dev/zero"]),
    "a compressed file that expands beyond the limit": lambda _: zipped(),
    "JSON nested 200,000 deep, integers of 400 digits": lambda _: as_crystals(["[" * 200_000]),
    "a table that names files in other folders": lambda _: labels("../b,1\n"),
    "a file that cannot be read, among others": lambda _: labels("a,1\nb,2\nd,3\n"),
}

STRUCTURES = {
    "a site many cells away": lambda _: np.allclose(
        as_crystals([moved(1e6)]).graph(4.0).distances, as_crystals([NACL]).graph(4.0).distances
    ),
    "a coordinate so large that its place in the cell is lost": lambda _: as_crystals(
        [moved(1e13)]
    ),
    "NaN or infinite numbers": lambda _: as_crystals([moved(np.nan)]),
    "no sites": lambda _: as_crystals([Structure(Lattice.cubic(4), [], [])]),
    "a cell longer than 1000 Å (a wrong unit)": lambda _: as_crystals(
        [Structure(Lattice.cubic(5640), ["Na"], [[0, 0, 0]])]
    ),
    "a cell without volume, or shorter than 0.5 Å": lambda _: as_crystals(
        [Structure(Lattice.cubic(0.004), ["Na"], [[0, 0, 0]])]
    ),
    "a cell of left-handed or skewed vectors": lambda _: np.allclose(
        as_crystals([Structure([[0, 3, 0], [3, 0, 0], [9, 9, 3]], ["Fe"], [[0, 0, 0]])])
        .graph(3.5)
        .distances,
        3,
    ),
    "less than 0.5 Å³ for a site": lambda _: packed(lattices=[0.7 * np.eye(3)]),
    "two atoms closer than 0.5 Å": lambda _: as_crystals(
        [Structure(Lattice.cubic(4), ["H", "He"], [[0, 0, 0], [0.999, 0, 0]])]
    ),
    "split sites that hold more than one atom together": lambda _: as_crystals([split(0.9, 0.9)]),
    "split sites that hold one atom together": lambda _: (
        as_crystals([split(0.5, 0.5)]).n_sites == 2
    ),
    "crystals in which no atom has a neighbour": lambda _: as_crystals(
        [Structure(Lattice.cubic(30), ["Ar"], [[0, 0, 0]])]
    ).graph(8.0),
    "a cutoff above 250 Å": lambda _: as_crystals([ONE]).graph(1e9),
    "the primitive, the conventional or a doubled cell, in `Crystals.symmetry`": lambda _: (
        three_cells().symmetry().primitive_sizes.tolist() == [2, 2, 2]
        and np.allclose(lattice_parameters(three_cells())[["a", "b", "c"]], 5.64)
    ),
    "like sites closer to one another than `symprec`, in `Crystals.symmetry`": lambda _: (
        as_crystals(
            [Structure(Lattice.cubic(4), [{"Li": 0.5}] * 2, [[0, 0, 0], [0.02, 0, 0]])]
        ).symmetry()
    ),
    "a `symprec` of 0, infinity or NaN": lambda _: as_crystals([ONE]).symmetry(np.inf),
    "masked numbers, or texts such as `4_0`, as coordinates": lambda _: packed(
        frac_coords=np.ma.masked_equal([[0, 0, 9]], 9)
    ),
    "packed arrays that do not fit together": lambda _: packed(offsets=[0, 2]),
    "an impossible cell in a file of packed crystals": lambda _: stretched(),
    "a missing structure in a column": lambda _: as_crystals([ONE, None]),
    "a structure that is not periodic": lambda _: as_crystals(
        [Structure(Lattice(4 * np.eye(3), pbc=(True, True, False)), ["Fe"], [[0, 0, 0]])]
    ),
}

TRAINING = {
    "a constant target": lambda _: constant(),
    "a target in tiny units (times 1e-170)": lambda _: np.allclose(
        fit(toy()[1] * 1e-170).predict(toy()[0]) * 1e170, fit().predict(toy()[0])
    ),
    "complex, infinite or missing targets": lambda _: fit(toy()[1] + 0j),
    "masked or missing weights": lambda _: fit(sample_weight=weights(_3=np.nan)),
    "a weight below 0": lambda _: fit(sample_weight=weights(_3=-1)),
    "nullable booleans as labels": lambda _: (
        fit(pd.Series([True, False] * 6, dtype="boolean"), kind=CrystalGNNClassifier).classes_.dtype
        == bool
    ),
    "a tensor that requires gradients": lambda _: fit(torch.tensor(toy()[1], requires_grad=True)),
    "PyTorch set to float64 by other code": lambda _: remembered(float64),
    "a fit or prediction inside `torch.no_grad()` or autocast": lambda _: remembered(
        torch.inference_mode
    ),
    "a callback that looks at a loss that is not recorded": lambda _: fit(callbacks=[Checkpoint()]),
    "a callback that cannot be copied, in a search": lambda _: clone(
        CrystalGNNRegressor(callbacks=[lock()])
    ),
    "all weights frozen": lambda _: fit(callbacks=[Freezer("*")]),
    "a cutoff above 100 Å of a back-end": lambda _: fit(backbone=cgcnn(cutoff=1000)),
    "`site_environments` of a back-end without vectors of sites": lambda _: site_environments(
        fit(backbone="crystal_transformer"), toy()[0]
    ),
}

SAVED = {
    "a model file that was changed, or cut short": lambda _: saved(
        lambda file: file.write_bytes(file.read_bytes()[:-10])
    ),
    "a folder without a model": lambda _: saved(Path.unlink),
    "an element table that was changed": lambda _: ElementTable.load(
        changed(ElementTable(pd.DataFrame({"a": {"Fe": 1.0}}), name="t"))
    ),
    "JSON instead of a saved file": lambda _: ElementTable.load(text("t.safetensors", "{}")),
    "a device or pipe as target": lambda _: ElementTable(
        pd.DataFrame({"a": {"Fe": 1.0}}), name="t"
    ).to_csv("/dev/null"),
}


def float64():
    """Return a context in which PyTorch takes float64 by default."""
    from contextlib import contextmanager

    @contextmanager
    def context():
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(torch.float32)

    return context()


def cgcnn(**parameters):
    """Return the back-end CGCNN."""
    from skuae.models import CGCNN

    return CGCNN(**parameters)


def changed(table):
    """Save a table, change a byte of it, and return the file."""
    table.save("t.safetensors")
    content = bytearray(Path("t.safetensors").read_bytes())
    content[-1] ^= 1
    Path("t.safetensors").write_bytes(content)
    return "t.safetensors"


def text(name, content):
    """Write a file and return its name."""
    Path(name).write_text(content, encoding="utf-8")
    return name
