"""Errors of interatomic potentials on mlearn, and elastic constants beside measured ones.

    python benchmarks/compare_potentials.py --only zero-shot elastic --data ../shared/data
    python benchmarks/compare_potentials.py --only own tables --data ../shared/data
    python benchmarks/compare_potentials.py --report

mlearn (Zuo et al. 2020) has 108 to 54 atoms a cell of Ni, Cu, Li, Mo, Si and Ge; its own training
and test rows are used. The runs, which `--only` selects:

- `zero-shot`: CHGNet as published. Its energies have another zero: the mean difference per atom on
  the training rows is taken off.
- `own`: a network per element, from nothing and from CHGNet 0.3.0.
- `tables`: one network for all elements, with element tables, frozen and free. It has two blocks
  of width 32, since one of the published size takes five times as long, and there are 24.
- `elastic`: elastic constants from stresses at finite strain with relaxed atoms, and phonon
  frequencies from forces at finite displacements.

Runs that are done are kept in `docs/compare_potentials.csv`. With `--checkpoints`, a folder, a
stopped fit goes on where it was. Times are CPU times, of the last start.
"""

import argparse
import csv
import gzip
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from pymatgen.core import Lattice, Structure

from skuae import as_crystals
from skuae.embedding import ElementTable, get_table
from skuae.potentials import CHGNet, CrystalPotential

DOCS = Path(__file__).parents[1] / "docs"
PUBLISHED, OLDER = "chgnet-0.3.0", "chgnet-0.2.0"
# Force errors of the JARVIS leaderboard, eV/Å: chgnet_pretrained on the same test rows.
LEADERBOARD = {"Ni": 0.066, "Cu": 0.105, "Li": 0.040, "Mo": 0.354, "Si": 0.155, "Ge": 0.163}
# Energies (meV/atom) and forces (eV/Å) of GAP: Zuo et al., J. Phys. Chem. A 124, 731 (2020).
GAP = {"Ni": (0.42, 0.02), "Cu": (0.46, 0.01), "Li": (0.49, 0.01), "Mo": (2.24, 0.09),
       "Si": (2.91, 0.07), "Ge": (2.06, 0.05)}  # fmt: skip
# Measured at room temperature; GPa and THz. Si: Wortman and Evans, J. Appl. Phys. 36, 153 (1965);
# Dolling 1963. Cu: Overton and Gaffney, Phys. Rev. 98, 969 (1955), as in Kittel's tables.
MEASURED = {
    "Si": {"C11 (GPa)": 165.7, "C12 (GPa)": 63.9, "C44 (GPa)": 79.6, "optical (THz)": 15.5},
    "Cu": {"C11 (GPa)": 168.4, "C12 (GPa)": 121.4, "C44 (GPa)": 75.4},
}
STARTS = ("nothing", PUBLISHED)
SMALL = CHGNet(dim=32, n_blocks=2)
TABLES = ("native", "ct-uae-mt", "random", "shuffled")
FORCES, ENERGY, STRESS = "forces MAE (eV/Å)", "energy MAE (meV/atom)", "stress MAE (GPa)"
SLOPE = "slope of forces"  # of predicted forces on labels: below 1 if forces are too small
KEYS = ["run", "case", "model", "epochs", "seed"]
COLUMNS = [*KEYS, "quantity", "value"]
_VOIGT = [[0, 3, 5], [3, 1, 4], [5, 4, 2]]  # xx, yy, zz, xy, yz, xz
_THZ = 15.633302  # sqrt(eV/Å²/amu) / 2π
_STRAINS = (0.005, 0.0025, 0.01)
_STEP = 0.01  # Å


def read_mlearn(folder, element, split, most=None):
    """Return crystals and labels of an element's rows; at most so many, drawn at random."""
    with gzip.open(folder / "mlearn_potential.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [row for row in map(json.loads, lines) if row["split"] == split]
    rows = [row for row in rows if row["id"].split("-")[1] == element]
    if most is not None:
        rows = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))[:most]]
    X = as_crystals([
        Structure(row["lattice"], row["atomic_numbers"], row["frac_coords"]) for row in rows
    ])  # fmt: skip
    labels = [
        {
            "energy": row["energy"],
            "forces": np.array(row["forces"]),
            "stress": -0.1 * np.array(row["virial_stress"])[_VOIGT],
        }
        for row in rows
    ]
    return X, pd.DataFrame(labels)


def errors_of(found, labels, sizes, shift=0.0):
    """Return errors of predictions, by name; `shift` in eV/atom is taken off the energies."""
    energies = (found["energy"] - labels["energy"]).to_numpy() / sizes - shift
    forces, known = (np.concatenate(list(y["forces"])).ravel() for y in (found, labels))
    stress = np.stack(list(found["stress"])) - np.stack(list(labels["stress"]))
    return {
        FORCES: np.abs(forces - known).mean(),
        ENERGY: 1000 * np.abs(energies).mean(),
        STRESS: np.abs(stress).mean(),
        SLOPE: forces @ known / (known @ known),
    }


def zero_shot(args):
    """Yield errors of the published potential, and of a constant energy without forces."""
    for element in args.elements:
        for model in (PUBLISHED, OLDER):
            key = ("zero-shot", element, model, 0, 0)
            yield key, lambda e=element, m=model: _zero_shot(m, e, args)
        yield ("zero-shot", element, "constant", 0, 0), lambda e=element: _constant(e, args)


def _zero_shot(model, element, args):
    potential = CrystalPotential.from_pretrained(model, device=args.device)
    X, y = read_mlearn(args.data, element, "train", args.n_train)
    start = time.process_time()
    shift = ((potential.predict(X) - y["energy"]) / X.sizes).mean()
    X, y = read_mlearn(args.data, element, "test", args.n_test)
    found = errors_of(potential.predict_all(X), y, X.sizes, shift)
    return found | {"time (s)": time.process_time() - start}


def _constant(element, args):
    X, y = read_mlearn(args.data, element, "train", args.n_train)
    constant = (y["energy"] / X.sizes).mean()
    X, y = read_mlearn(args.data, element, "test", args.n_test)
    nothing = y.map(np.zeros_like)
    return errors_of(nothing, y, X.sizes, -constant)


def own(args):
    """Yield errors of potentials that are trained on the rows of one element."""
    for element in args.elements:
        for start in args.starts:
            for seed in args.seeds:
                key = ("own", element, f"from {start}", args.epochs, seed)
                yield key, lambda k=key: _own(k, args)


def _own(key, args):
    _, element, model, _, seed = key
    tuned = model != "from nothing"
    potential = _potential(
        args, key, seed, lr=3e-4 if tuned else 3e-3, init_from=PUBLISHED if tuned else None
    )
    X, y = read_mlearn(args.data, element, "train", args.n_train)
    scored = read_mlearn(args.data, element, "test", args.n_test)
    return _fit_and_score(potential, X, y, {"": scored})


def tables(args):
    """Yield errors of one potential for all elements, by element table."""
    for seed in args.seeds:
        for table in TABLES:
            for frozen in (True, False):
                model = f"{table}, {'frozen' if frozen else 'free'}"
                key = ("tables", "all", model, args.epochs, seed)
                yield key, lambda k=key, t=table, f=frozen: _table(k, t, f, args)


def _table(key, table, frozen, args):
    seed = key[-1]
    potential = _potential(args, key, seed, lr=3e-3, freeze_embedding=frozen,
                           embedding=make_table(table, seed))  # fmt: skip
    parts = [read_mlearn(args.data, e, "train", args.n_train) for e in args.elements]
    X = type(parts[0][0]).concatenate([X for X, _ in parts])
    y = pd.concat([y for _, y in parts], ignore_index=True)
    scored = {f"{e}, ": read_mlearn(args.data, e, "test", args.n_test) for e in args.elements}
    return _fit_and_score(potential, X, y, scored)


def make_table(name, seed):
    """Return a table for `embedding`; all but the native one have the same width and spread.

    The shuffled one gives each of the six elements the vector of another element.
    """
    if name == "native":
        return None
    table = get_table("ct-uae-mt")
    if name == "shuffled":
        drawn = (table.permute(random_state=1000 * seed + i) for i in range(1000))
        moved = (t for t in drawn if all((t[e] != table[e]).any() for e in LEADERBOARD))
        return next(moved)
    if name == "random":
        rng = np.random.default_rng(seed)
        known = table.values[table.seen]
        values = rng.normal(known.mean(), known.std(), known.shape)
        return ElementTable(values, table.symbols, name="random")
    return table


def _potential(args, key, seed, **params):
    """Return a potential that holds a tenth of its training rows back and keeps the best epoch."""
    folder = None if args.checkpoints is None else args.checkpoints / "-".join(map(str, key))
    return CrystalPotential(
        args.backbone, max_epochs=args.epochs, batch_size=4, early_stopping=True,
        n_iter_no_change=args.epochs, ema_decay=0.99, checkpoint_dir=folder, device=args.device,
        random_state=seed, verbose=1, **params,
    )  # fmt: skip


def _fit_and_score(potential, X, y, scored):
    start = time.process_time()
    potential.fit(X, y)
    spent = time.process_time() - start
    found = {}
    for prefix, (X_test, y_test) in scored.items():
        errors = errors_of(potential.predict_all(X_test), y_test, X_test.sizes)
        found |= {f"{prefix}{name}": value for name, value in errors.items()}
    return found | {"time of fit (s)": spent}


def elastic(args):
    """Yield elastic constants and phonon frequencies of Si and Cu."""
    for element in MEASURED:
        yield ("elastic", element, PUBLISHED, 0, 0), lambda e=element: _elastic(e, args)


def _elastic(element, args):
    potential = CrystalPotential.from_pretrained(PUBLISHED, device=args.device)
    diamond = element == "Si"
    cell = Structure.from_spacegroup(
        "Fd-3m" if diamond else "Fm-3m", Lattice.cubic(5.43 if diamond else 3.615), [element],
        [[0, 0, 0]],
    )  # fmt: skip
    relaxed = potential.relax([cell], fmax=1e-4, max_steps=1000)
    a = float(relaxed.crystals.volumes[0]) ** (1 / 3)
    cell = Structure(Lattice.cubic(a), cell.species, cell.frac_coords)
    constants = {}
    for strain in _STRAINS:
        found = elastic_constants(potential, cell, strain)
        mark = "" if strain == _STRAINS[0] else f", strain {strain}"
        constants |= {f"{name}{mark}": value for name, value in found.items()}
    if diamond:
        pair, modes = cell.get_primitive_structure(), ["optical (THz)"]
    else:  # two cells along z: the point X of the zone folds onto Gamma
        flat = Lattice.tetragonal(a / np.sqrt(2), a)
        pair, modes = Structure(flat, [element] * 2, [[0] * 3, [0.5] * 3]), ["X, transverse (THz)"]
        modes += ["X, longitudinal (THz)"]
    frequencies, sum_rule = pair_frequencies(potential, pair)
    return (
        {"a (Å)": a, "converged": float(relaxed.table["converged"][0])}
        | constants
        | dict(zip(modes, np.unique(frequencies.round(3))[[0, -1]], strict=False))
        | {"spread of modes (THz)": np.ptp(frequencies), "sum rule (eV/Å²)": sum_rule}
    )


def elastic_constants(potential, cell, strain):
    """Return C11, C12 and C44 of a cubic cell in GPa, from stresses of strained cells."""
    strains = np.zeros((4, 3, 3))
    strains[0, 0, 0], strains[1, 0, 0] = strain, -strain
    strains[2, 1, 2] = strains[2, 2, 1] = strain  # half of the shear angle
    strains[3] = -strains[2]
    lattices = cell.lattice.matrix @ (np.eye(3) + strains)
    strained = [Structure(lattice, cell.species, cell.frac_coords) for lattice in lattices]
    relaxed = potential.relax(strained, cell=False, fmax=1e-3, max_steps=1000)
    stress = potential.predict_stress(relaxed.crystals)
    along, shear = (stress[0] - stress[1]) / (2 * strain), (stress[2] - stress[3]) / (2 * strain)
    return {
        "C11 (GPa)": along[0, 0],
        "C12 (GPa)": (along[1, 1] + along[2, 2]) / 2,
        "C44 (GPa)": shear[1, 2] / 2,
    }


def pair_frequencies(potential, pair):
    """Return frequencies in THz of two equal atoms that move against each other, and a check.

    The check is the largest entry, in eV/Å², of the sum of the force constants of an atom: it is 0
    where moving all atoms costs nothing.
    """
    moved = []
    for axis in range(3):
        for sign in (1, -1):
            one = pair.copy()
            step = sign * _STEP * np.eye(3)[axis]
            one.translate_sites([0], step, frac_coords=False, to_unit_cell=False)
            moved.append(one)
    forces = np.stack(potential.predict_forces(moved))
    constants = -(forces[0::2] - forces[1::2]) / (2 * _STEP)  # of axes, atoms and components
    own = (constants[:, 0] + constants[:, 0].T) / 2
    values = np.linalg.eigvalsh(2 * own / float(pair[0].specie.atomic_mass))
    return np.sign(values) * _THZ * np.sqrt(np.abs(values)), np.abs(constants.sum(axis=1)).max()


RUNS = {"zero-shot": zero_shot, "elastic": elastic, "own": own, "tables": tables}


def report(path):
    """Print the tables of docs/potentials.md."""
    results = pd.read_csv(path)
    for name, rows in results.groupby("run", sort=False):
        print(f"\n{name}\n")
        rows = rows.assign(model=rows["model"] + np.where(
            rows["epochs"] > 0, ", " + rows["epochs"].astype(str) + " epochs", ""))  # fmt: skip
        table = rows.pivot_table(
            index=["case", "model"], columns="quantity", values="value", sort=False
        )
        if name in ("zero-shot", "own"):
            table["leaderboard"] = table.index.get_level_values(0).map(LEADERBOARD)
            for i, known in enumerate(("GAP energy", "GAP forces")):
                table[known] = [GAP[case][i] for case, _ in table.index]
        if name == "elastic":
            table = pd.concat([table, pd.DataFrame.from_dict(
                {(case, "measured"): known for case, known in MEASURED.items()}, orient="index"
            )]).sort_index()  # fmt: skip
        if name == "tables":
            spread = rows.pivot_table(index=["case", "model"], columns="quantity", values="value",
                                      aggfunc="std", sort=False)  # fmt: skip
            table = pd.concat([table, spread.add_suffix(", std over seeds")], axis=1)
        print(table.T.to_string(float_format="{:.4g}".format, na_rep=""))


def main():
    """Run what is missing, or report."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--only", nargs="+", choices=RUNS, default=["zero-shot", "elastic"])
    p.add_argument("--data", type=Path)
    p.add_argument(
        "--elements", nargs="+", choices=LEADERBOARD, help="default: all; for own Li, Si, Ge"
    )
    p.add_argument("--epochs", type=int, default=100)
    p.add_argument("--seeds", type=int, nargs="+", help="default: 0; for tables 0 1 2")
    p.add_argument("--starts", nargs="+", choices=STARTS, default=STARTS, help="of own fits")
    p.add_argument("--n-train", type=int, help="training rows of each element; default: all")
    p.add_argument("--n-test", type=int, help="test rows of each element; default: all")
    p.add_argument("--checkpoints", type=Path, help="folder for the state of fits")
    p.add_argument("--device", default="cpu")
    p.add_argument("--output", type=Path, default=DOCS / "compare_potentials.csv")
    p.add_argument("--report", action="store_true")
    args = p.parse_args()
    torch.set_num_threads(1)
    if args.report:
        report(args.output)
        return
    run_missing(args)


def run_missing(args, backbone=None):
    """Run what `args.only` names and is not in the file; `backbone` replaces CHGNet in fits."""
    if not args.output.exists():
        args.output.write_text(",".join(COLUMNS) + "\n")
    elements, seeds = args.elements, args.seeds
    for name in args.only:
        args.elements = elements or (["Li", "Si", "Ge"] if name == "own" else list(LEADERBOARD))
        args.backbone = backbone or (SMALL if name == "tables" else CHGNet())
        args.seeds = seeds or ([0, 1, 2] if name == "tables" else [0])
        for key, call in RUNS[name](args):
            done = pd.read_csv(args.output)[KEYS].astype(str)
            if (done == [str(part) for part in key]).all(axis=1).any():
                continue
            rows = [[*key, what, float(f"{value:.5g}")] for what, value in call().items()]
            with args.output.open("a", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(rows)
            print(*rows, sep="\n", flush=True)


if __name__ == "__main__":
    main()
