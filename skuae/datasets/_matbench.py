"""The structure tasks of MatBench v0.1, with their folds."""

import gzip
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold, StratifiedKFold

from skuae._download import download
from skuae.datasets._bunch import make_bunch
from skuae.datasets._keep import keep
from skuae.datasets._published import Packer, json_items

_URL = "https://ml.materialsproject.org/projects/{}"
_SEED = 18012019  # of the published folds
_CITATION = "doi:10.1038/s41524-020-00406-3"


class _Task(NamedTuple):
    target: str
    what: str
    n_rows: int
    sha256: str
    source: str


_MP = "Materials Project (CC BY 4.0): Jain et al. 2013, doi:10.1063/1.4812323"
_ELASTIC = "Materials Project (CC BY 4.0): de Jong et al. 2015, doi:10.1038/sdata.2015.9"
_TASKS = {
    "dielectric": _Task(
        "n",
        "refractive index",
        4764,
        "83befa09bc2ec2f4b6143afc413157827a90e5e2e42c1eb507ccfa01bf26a1d6",
        "Petousis et al. 2017, doi:10.1038/sdata.2016.134",
    ),
    "jdft2d": _Task(
        "exfoliation_en",
        "exfoliation energy in meV/atom",
        636,
        "26057dc4524e193e32abffb296ce819b58b6e11d1278cae329a2f97817a4eddf",
        "JARVIS-DFT: Choudhary et al. 2017, doi:10.1038/s41598-017-05402-0",
    ),
    "log_gvrh": _Task(
        "log10(G_VRH)",
        "decadic logarithm of the shear modulus in GPa (Voigt-Reuss-Hill)",
        10987,
        "098af941f4c663270f1fe21abf20ffad6fb85ecbfcba5786ceac03983ac29da7",
        _ELASTIC,
    ),
    "log_kvrh": _Task(
        "log10(K_VRH)",
        "decadic logarithm of the bulk modulus in GPa (Voigt-Reuss-Hill)",
        10987,
        "44b113ddb7e23aa18731a62c74afa7e5aa654199e0db5f951c8248a00955c9cd",
        _ELASTIC,
    ),
    "mp_e_form": _Task(
        "e_form",
        "formation energy in eV/atom",
        132752,
        "dedcb1d4ba2e3e50dbdd45ba5bc647a00e9c2bcf8f8bf556dc8e92caa39eb21f",
        _MP,
    ),
    "mp_gap": _Task(
        "gap pbe",
        "PBE band gap in eV",
        106113,
        "58b65746bd88329986ed66031a2ac1369c7c522f7bc9f9081528e07097c2c057",
        _MP,
    ),
    "mp_is_metal": _Task(
        "is_metal",
        "whether the PBE calculation gives a metal",
        106113,
        "9a028ed5750a4c76ca36e9f3c8d48fe0bf3fb21b76ec2289e58ae7048d527919",
        _MP,
    ),
    "perovskites": _Task(
        "e_form",
        "heat of formation in eV per cell of 5 atoms, oxygen referred to water vapour",
        18928,
        "4641e2417f8ec8b50096d2230864468dfa08278dc9d257c327f65d0305278483",
        "Castelli et al. 2012, doi:10.1039/C2EE22341D",
    ),
    "phonons": _Task(
        "last phdos peak",
        "frequency of the last peak of the phonon density of states in 1/cm",
        1265,
        "4db551f21ec5f577e6202725f10e34dfc509aa7df3a6bdaac497da7f6dbbb9b3",
        "Petretto et al. 2018, doi:10.1038/sdata.2018.65",
    ),
}


def fetch_matbench(task, *, return_X_y=False, as_frame=False, verbose=0):
    """Fetch a structure task of MatBench v0.1, with the folds of its leaderboard.

    The file is downloaded once and checked against the published SHA-256. It is kept in the folder
    of the environment variable ``SKUAE_DATA``, or in the cache of the system. Later calls need no
    network.

    Parameters
    ----------
    task : str
        With or without ``"matbench_"`` in front:

        - ``"dielectric"``: refractive index, 4,764 crystals.
        - ``"jdft2d"``: exfoliation energy in meV/atom, 636.
        - ``"log_gvrh"``, ``"log_kvrh"``: decadic logarithms of shear and bulk modulus in GPa,
          10,987.
        - ``"mp_e_form"``: formation energy in eV/atom, 132,752.
        - ``"mp_gap"``: PBE band gap in eV, 106,113.
        - ``"mp_is_metal"``: metal or not, 106,113; the only classification.
        - ``"perovskites"``: heat of formation in eV per cell of 5 atoms, 18,928.
        - ``"phonons"``: frequency of the last phonon peak in 1/cm, 1,265.
    return_X_y : bool, default=False
        Return ``(structures, target)`` instead of a Bunch.
    as_frame : bool, default=False
        Give the target as a Series indexed by id and, with `return_X_y`, the structures as a
        one-column DataFrame.
    verbose : int, default=0
        Show a progress bar of the download if above 0.

    Returns
    -------
    data : CrystalBunch
        With `structures` (:class:`~skuae.Crystals`) in the published order, `target`,
        `target_names`, `labels`, `ids` (MatBench's, such as ``"mb-perovskites-00001"``), `frame`,
        `folds` (the five pairs of training and test rows of the leaderboard), `DESCR` and
        `citation`.
    (X, y) : tuple, if `return_X_y`

    Raises
    ------
    ValueError
        If there is no such task.
    ConnectionError
        If the file cannot be downloaded. The message says how to copy it by hand.

    Notes
    -----
    A leaderboard entry is the mean over the folds of the error on the test rows. All choices must
    be made on the training rows alone. The folds are :class:`~sklearn.model_selection.KFold` with
    five splits, shuffled with seed 18012019 (stratified for ``"mp_is_metal"``). Many pre-trained
    models have seen rows of the Materials Project; see :func:`leaking_rows`.

    References
    ----------
    A. Dunn et al., Benchmarking materials property prediction methods: the Matbench test set and
    Automatminer reference algorithm, npj Comput. Mater. 6, 138 (2020),
    doi:10.1038/s41524-020-00406-3.

    Examples
    --------
    >>> from skuae.datasets import fetch_matbench
    >>> data = fetch_matbench("perovskites", verbose=1)  # doctest: +SKIP
    >>> cross_val_score(
    ...     model, data.structures, data.target, cv=data.folds,
    ...     scoring="neg_mean_absolute_error")  # doctest: +SKIP
    """
    short = str(task).removeprefix("matbench_")
    if short not in _TASKS:
        raise ValueError(
            f"task={task!r} must be one of {', '.join(_TASKS)}: the tasks of MatBench v0.1 that "
            "have structures"
        )
    facts = _TASKS[short]
    name = f"matbench_{short}.json.gz"

    def make():
        known_hash = f"sha256:{facts.sha256}"
        path = download(name, [_URL.format(name)], known_hash=known_hash, verbose=verbose)
        return _read(path, short, facts)

    structures, labels = keep(f"matbench_{short}-{facts.sha256[:8]}", make)
    return make_bunch(
        structures,
        labels,
        [facts.target],
        return_X_y=return_X_y,
        as_frame=as_frame,
        folds=published_folds(labels[facts.target].to_numpy()),
        DESCR=f"MatBench v0.1, task matbench_{short}: {facts.what}.\n\n{len(labels)} crystals in "
        f"the published order. Source: {facts.source}. Cite it, and Dunn et al. 2020 "
        f"({_CITATION}), where you use them.\n",
        citation=_CITATION,
    )


def _read(path, short, facts):
    """Read pandas' "split" layout with structures as dicts."""
    packer, targets, index = Packer(), [], []
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        for key, item in json_items(stream):
            if key == "index":
                index.append(item)
            elif key == "data":
                (structure,) = (cell for cell in item if isinstance(cell, dict))
                (target,) = (cell for cell in item if not isinstance(cell, dict))
                packer.add_pymatgen(structure)
                targets.append(target)
    if not len(index) == len(targets) == facts.n_rows:
        raise ValueError(f"{path} has {len(targets)} rows, expected {facts.n_rows}; delete it")
    # MatBench counts from 1 and gives all numbers the same width.
    digits = int(np.log10(facts.n_rows)) + 1
    prefix = f"mb-{short.replace('_', '-')}"
    ids = [f"{prefix}-{row + 1:0{digits}d}" for row in index]
    labels = pd.DataFrame({facts.target: targets}, index=pd.Index(ids, name="id"))
    if short == "mp_is_metal":
        labels = labels.astype(bool)
    return packer.pack(ids, f"matbench_{short}"), labels


def published_folds(y):
    """Return the training and test rows of the five folds of the leaderboard.

    Parameters
    ----------
    y : ndarray of shape (n_crystals,)
        In the published order; booleans are classes, and the folds stratified.

    Returns
    -------
    list of tuple of ndarray
    """
    kind = StratifiedKFold if y.dtype == bool else KFold
    return list(kind(5, shuffle=True, random_state=_SEED).split(np.zeros(len(y)), y))
