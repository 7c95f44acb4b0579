"""Tasks of the papers of CrystalBERT and SEN, as far as data/ has them."""

from functools import cache

import numpy as np
from _common import read_materials_project
from _tasks import N_SCORED, Task, read_task

from skuae import Crystals, datasets

MAX_SITES = 60
UNITS = {"topology": "", "topology, three classes": "", "metal": "", "Tc": "K",
         "formation energy": "eV/atom", "gap": "eV", "shear modulus": "log10(GPa)",
         "perovskites": "eV per cell"}  # fmt: skip
_SOURCES = ("Tc", "perovskites", "shear modulus")  # not of the large Materials Project set
_TRIVIAL = "Triv_Ins"
_SEMIMETALS = ("HSP_SM", "HSL_SM", "GM_SM")


@cache
def symmetry_task(name, folder, known):
    """Read a task, with the symmetry of its crystals.

    Parameters
    ----------
    name : str
        One of `UNITS`.
    folder : Path
        With the files of data/MANIFEST.md.
    known : Path
        Folder where symmetry is kept once it is found.

    Returns
    -------
    Task
    """
    task = _read(name, folder)
    small = np.flatnonzero(task.crystals.sizes <= MAX_SITES)
    pool, scored = (np.searchsorted(small, rows) for rows in (task.pool, task.scored))
    return Task(_with_symmetry(name, task.crystals[small], known), task.y[small], pool, scored)


def _with_symmetry(name, crystals, known):
    source = name if name in _SOURCES else "materials project"
    path = known / f"{source}.npz"
    if not path.exists():
        crystals.symmetry(n_jobs=1, verbose=1)
        path.parent.mkdir(parents=True, exist_ok=True)
        crystals.save(path)
    return _load(path)


@cache
def _load(path):
    return Crystals.load(path)


def _read(name, folder):
    if name.startswith("topology"):
        return _topology(folder, 3 if "three" in name else 2)
    if name == "Tc":
        data = datasets.read_file(folder / "supercon_3dsc_ordered.jsonl.gz", target="Tc")
        groups = data.labels["formula_sc"].astype(str).to_numpy()
        return _split(data.structures, data.target, np.isfinite(data.target), groups)
    if name == "perovskites":  # fold 0 of MatBench
        data = datasets.read_file(folder / "matbench_perovskites.jsonl.gz", target="e_form")
        fold = data.labels["fold"].to_numpy()
        pool, scored = np.flatnonzero(fold != 0), np.flatnonzero(fold == 0)
        return Task(data.structures, data.target, pool, scored)
    return read_task(name, folder)


def validation_task(task):
    """Return a task whose rows to score are those of other formulas of the training rows.

    What is chosen, is chosen on these.
    """
    groups = datasets.formula_groups(task.crystals)
    drawn = np.random.default_rng(1).permutation(np.unique(groups[task.pool]))
    held = np.isin(groups[task.pool], drawn[: len(drawn) // 5])
    return Task(task.crystals, task.y, task.pool[~held], task.pool[held][:N_SCORED])


def _topology(folder, n_classes):
    crystals, labels = read_materials_project(folder)
    given = labels["topo_class_soc"].fillna("Unknown").to_numpy(dtype=str)
    kind = "topological insulator" if n_classes == 3 else "topological"
    y = np.where(given == _TRIVIAL, "trivial", kind)
    if n_classes == 3:
        y = np.where(np.isin(given, _SEMIMETALS), "topological semimetal", y)
    known = (given != "Unknown") & (given != "nan") & (given != "")
    return _split(crystals, y, known, datasets.formula_groups(crystals))


def _split(crystals, y, known, groups):
    """Hold back a fifth of the groups."""
    rows = np.flatnonzero(known & (crystals.sizes <= MAX_SITES))
    drawn = np.random.default_rng(0).permutation(np.unique(groups[rows]))
    held = np.isin(groups[rows], drawn[: len(drawn) // 5])
    scored = np.random.default_rng(0).permutation(rows[held])[:N_SCORED]
    return Task(crystals, y, rows[~held], scored)
