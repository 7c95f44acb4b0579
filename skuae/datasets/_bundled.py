"""Real crystals that come with the package."""

from importlib.resources import as_file, files

import pandas as pd

from skuae.crystals import Crystals
from skuae.datasets._bunch import make_bunch, select_targets

_MP_MINI_TARGETS = ("formation_energy_per_atom", "band_gap", "e_above_hull", "spacegroup_number")
_MP_PEROVSKITES_TARGETS = ("formation_energy_per_atom", "band_gap")


def load_mp_mini(*, target="formation_energy_per_atom", return_X_y=False, as_frame=False):
    """Load 2,573 crystals of the Materials Project with computed properties.

    A small set to compare models on: 87 elements, at most 20 sites in the cell, no missing labels.

    Parameters
    ----------
    target : str or list of str, default="formation_energy_per_atom"
        What to predict; a list gives a column for each, for multi-task models.

        - ``"formation_energy_per_atom"``: in eV/atom.
        - ``"band_gap"``: PBE, in eV; 0 for metals.
        - ``"e_above_hull"``: energy above the convex hull in eV/atom, at most 0.08 here.
        - ``"spacegroup_number"``: 1 to 230.
    return_X_y : bool, default=False
        Return ``(structures, target)`` instead of a Bunch.
    as_frame : bool, default=False
        Give the target as a Series or DataFrame indexed by id and, with `return_X_y`, the
        structures as a one-column DataFrame.

    Returns
    -------
    data : CrystalBunch
        With `structures` (:class:`~skuae.Crystals`), `target`, `target_names`, `labels` (all four
        targets), `ids`, `frame` (labels and a column ``structure`` of pymatgen Structures), `DESCR`
        (origin, units, licence) and `citation`.
    (X, y) : tuple, if `return_X_y`

    Notes
    -----
    The data come from the Materials Project, under the licence CC BY 4.0; if you use them, cite
    Jain et al. (2013). 110 rows share their reduced formula with another row;
    `skuae.datasets.FormulaKFold` keeps these together.

    References
    ----------
    A. Jain et al., Commentary: The Materials Project, APL Materials 1, 011002 (2013),
    doi:10.1063/1.4812323.

    T. Xie et al., Crystal Diffusion Variational Autoencoder for Periodic Material Generation,
    ICLR 2022 (the set mp_20 that this is a sample of).

    Examples
    --------
    >>> from skuae.datasets import load_mp_mini
    >>> data = load_mp_mini()
    >>> data.structures
    Crystals(n_crystals=2573, n_sites=26715)
    >>> data.target.shape, data.target_names
    ((2573,), ['formation_energy_per_atom'])
    """
    return _load("mp_mini", _MP_MINI_TARGETS, target, return_X_y, as_frame)


def load_mp_perovskites(*, target="formation_energy_per_atom", return_X_y=False, as_frame=False):
    """Load 465 perovskites of the Materials Project with computed properties.

    A small set of one structure type, for transfer learning: a model that was pre-trained on
    `load_mp_mini`, which has none of these formulas, can be fine-tuned and tested here.

    Parameters
    ----------
    target : str or list of str, default="formation_energy_per_atom"
        What to predict; a list gives a column for each, for multi-task models.

        - ``"formation_energy_per_atom"``: in eV/atom.
        - ``"band_gap"``: PBE, in eV; 0 for metals.
    return_X_y : bool, default=False
        Return ``(structures, target)`` instead of a Bunch.
    as_frame : bool, default=False
        Give the target as a Series or DataFrame indexed by id and, with `return_X_y`, the
        structures as a one-column DataFrame.

    Returns
    -------
    data : CrystalBunch
        With `structures` (:class:`~skuae.Crystals`), `target`, `target_names`, `labels` (both
        targets), `ids`, `frame` (labels and a column ``structure`` of pymatgen Structures), `DESCR`
        (origin, choice, units, licence) and `citation`.
    (X, y) : tuple, if `return_X_y`

    Notes
    -----
    The data come from the Materials Project, under the licence CC BY 4.0; if you use them, cite
    Jain et al. (2013). The labels come from release MP-2018.6.1. `load_mp_mini` has another
    release: formation energies differ by some 0.05 eV/atom. The shipped ``ct-uae`` tables were
    trained without crystals of these formulas.

    References
    ----------
    A. Jain et al., Commentary: The Materials Project, APL Materials 1, 011002 (2013),
    doi:10.1063/1.4812323.

    C. Chen et al., Graph Networks as a Universal Machine Learning Framework for Molecules and
    Crystals, Chem. Mater. 31, 3564 (2019), doi:10.1021/acs.chemmater.9b01294 (the labels).

    Examples
    --------
    >>> from skuae.datasets import load_mp_perovskites
    >>> data = load_mp_perovskites(target="band_gap")
    >>> data.structures
    Crystals(n_crystals=465, n_sites=2325)
    >>> data.target.shape, data.target_names
    ((465,), ['band_gap'])
    """
    return _load("mp_perovskites", _MP_PEROVSKITES_TARGETS, target, return_X_y, as_frame)


def _load(name, known_targets, target, return_X_y, as_frame):
    target_names = select_targets(target, known_targets)
    folder = files("skuae.datasets") / "data"
    with as_file(folder / f"{name}_structures.npz") as path:
        structures = Crystals.load(path)
    with as_file(folder / f"{name}_labels.csv") as path:
        labels = pd.read_csv(path, index_col="id")
    return make_bunch(
        structures,
        labels,
        target_names,
        return_X_y=return_X_y,
        as_frame=as_frame,
        DESCR=(folder / f"{name}.md").read_text(encoding="utf-8"),
        citation="doi:10.1063/1.4812323",
    )
