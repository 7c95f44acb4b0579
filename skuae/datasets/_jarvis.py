"""Databases that NIST publishes for jarvis-tools on figshare."""

import io
import zipfile
from typing import NamedTuple

import numpy as np
import pandas as pd

from skuae._download import download
from skuae.datasets._bunch import make_bunch, select_targets, warn_unknown
from skuae.datasets._keep import keep
from skuae.datasets._published import Packer, json_items

_URLS = (
    "https://ndownloader.figshare.com/files/{}",
    "https://api.figshare.com/v2/file/download/{}",
)
_JARVIS = "doi:10.1038/s41524-020-00440-1"
_MEGNET = "doi:10.1021/acs.chemmater.9b01294"


class _Database(NamedTuple):
    what: str
    target: str
    file: int
    member: str
    known_hash: str | None
    citation: str


_DATABASES = {
    "dft_3d": _Database(
        "JARVIS-DFT of 2022-12-12, 75,993 crystals, OptB88vdW",
        "formation_energy_peratom",
        38521619,
        "jdft_3d-12-12-2022.json",
        # as several who downloaded it recorded; figshare's MD5 is fb3e1eb80339a70ff313af1c644c1777
        "sha256:d4c64660e9e1fa45c82bd8868a96ec10162195eed69636445972c05550d8d0d6",
        _JARVIS,
    ),
    "dft_3d_2021": _Database(
        "JARVIS-DFT of 2021-08-18, 55,723 crystals, OptB88vdW",
        "formation_energy_peratom",
        29204826,
        "jdft_3d-8-18-2021.json",
        None,
        _JARVIS,
    ),
    "dft_2d": _Database(
        "JARVIS-DFT of 2022-12-12, 1,103 monolayers in cells with vacuum, OptB88vdW",
        "formation_energy_peratom",
        38521268,
        "d2-12-12-2022.json",
        None,
        _JARVIS,
    ),
    "megnet": _Database(
        "Materials Project of 2018-06-01, the 69,239 crystals of the MEGNet paper",
        "e_form",
        26724977,
        "megnet.json",
        None,
        _MEGNET,
    ),
    "megnet2": _Database(
        "Materials Project of 2019-04-01, about 133,000 crystals",
        "e_form",
        28332741,
        "megnet-mp-2019-04-01.json",
        None,
        _MEGNET,
    ),
}


def fetch_jarvis(name="dft_3d", *, target=None, return_X_y=False, as_frame=False, verbose=0):
    """Fetch a database of JARVIS, or a copy of the Materials Project at JARVIS.

    The file is downloaded once from figshare. It is kept in the folder of the environment variable
    ``SKUAE_DATA``, or in the cache of the system. Later calls need no network.

    Parameters
    ----------
    name : str, default="dft_3d"
        As in jarvis-tools:

        - ``"dft_3d"``: JARVIS-DFT, release 2022-12-12, 75,993 crystals.
        - ``"dft_3d_2021"``: release 2021-08-18, 55,723 crystals, 11 ids occur twice.
        - ``"dft_2d"``: monolayers, release 2022-12-12, 1,103 crystals.
        - ``"megnet"``: Materials Project 2018-06-01, the set of the MEGNet paper, 69,239 crystals.
        - ``"megnet2"``: Materials Project 2019-04-01, about 133,000 crystals.
    target : str or list of str, optional
        Columns to predict; a list gives a column for each. Default: the formation energy per atom
        in eV, ``"formation_energy_peratom"`` in JARVIS-DFT and ``"e_form"`` in the others.
    return_X_y : bool, default=False
        Return ``(structures, target)`` instead of a Bunch.
    as_frame : bool, default=False
        Give the target as a Series or DataFrame indexed by id and, with `return_X_y`, the
        structures as a one-column DataFrame.
    verbose : int, default=0
        Show a progress bar of the download if above 0.

    Returns
    -------
    data : CrystalBunch
        With `structures` (:class:`~skuae.Crystals`), `target`, `target_names`, `labels` (all
        columns of numbers or text; columns of lists, such as elastic tensors, are left out), `ids`,
        `frame`, `DESCR` and `citation`. ``na`` becomes NaN, which skuae's estimators treat as
        unknown.
    (X, y) : tuple, if `return_X_y`

    Raises
    ------
    ValueError
        If there is no such database or target, or the file differs from the published one.
    ConnectionError
        If the file cannot be downloaded. The message says how to copy it by hand.

    Warns
    -----
    UserWarning
        Targets are unknown, or a structure is invalid; such rows are kept.

    Notes
    -----
    The file of ``"dft_3d"`` is compared with its known checksum. The others are checked by the
    CRC-32 in ZIP files, which detects damage but not another version.

    References
    ----------
    K. Choudhary et al., The joint automated repository for various integrated simulations (JARVIS)
    for data-driven materials design, npj Comput. Mater. 6, 173 (2020),
    doi:10.1038/s41524-020-00440-1.

    Examples
    --------
    >>> from skuae.datasets import fetch_jarvis
    >>> data = fetch_jarvis(target="optb88vdw_bandgap", verbose=1)  # doctest: +SKIP
    """
    if name not in _DATABASES:
        raise ValueError(f"name={name!r} must be one of {', '.join(_DATABASES)}")
    facts = _DATABASES[name]

    def make():
        path = download(
            f"{facts.member}.zip",
            [url.format(facts.file) for url in _URLS],
            known_hash=facts.known_hash,
            verbose=verbose,
        )
        try:
            return _read(path, facts.member, name)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            # most files have no known hash: what came may be anything
            raise ValueError(
                f"{path} is not what was published ({type(error).__name__}: {error}); delete it "
                "and call again"
            ) from error

    structures, labels = keep(f"jarvis_{name}-{facts.file}", make)
    target_names = select_targets(facts.target if target is None else target, labels.columns)
    warn_unknown(labels[target_names])
    return make_bunch(
        structures,
        labels,
        target_names,
        return_X_y=return_X_y,
        as_frame=as_frame,
        DESCR=f"JARVIS database {name}: {facts.what}.\n\n{len(labels)} rows, from figshare file "
        f"{facts.file} ({facts.member}), licence CC BY 4.0. Cite {facts.citation} where you "
        "use them; columns and units are described there and at "
        "https://jarvis-tools.readthedocs.io.\n",
        citation=facts.citation,
    )


def _read(path, member, name):
    packer, records, nested = Packer(), [], set()
    ids: list[str] = []
    with zipfile.ZipFile(path) as archive, archive.open(member) as file:
        for _, record in json_items(io.TextIOWrapper(file, encoding="utf-8")):
            packer.add_jarvis(record.pop("atoms"))
            names = [record.pop(key) for key in ("jid", "id") if key in record]
            if not names:
                raise ValueError(f"record {len(ids)} has neither jid nor id")
            ids.append(str(names[0]))
            nested |= {key for key, value in record.items() if isinstance(value, (list, dict))}
            records.append({key: _scalar(v) for key, v in record.items() if key not in nested})
    if not records:
        raise ValueError("it holds no records")
    labels = pd.DataFrame.from_records(records, index=pd.Index(ids, name="id"))
    labels = labels.drop(columns=nested & {*labels.columns}).infer_objects()
    return packer.pack(ids, f"jarvis {name}"), labels


def _scalar(value):
    return np.nan if value in (None, "na", "") else value
