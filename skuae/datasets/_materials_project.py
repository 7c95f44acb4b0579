"""The current Materials Project, by its API."""

import gzip
import hashlib
import json
import os
from collections import Counter
from types import NoneType

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from skuae._download import cannot_keep, data_folder, make_folder
from skuae._files import write_bytes
from skuae.datasets._bunch import make_bunch, select_targets
from skuae.datasets._keep import keep
from skuae.datasets._published import Packer

_FIELDS = (
    "formation_energy_per_atom",
    "band_gap",
    "energy_above_hull",
    "energy_per_atom",
    "total_magnetization",
)
_IDS_PER_PAGE = 200  # more would make the address of a request too long for some servers
_CITATION = "doi:10.1063/1.4812323"


def fetch_mp(
    criteria=None,
    *,
    fields=_FIELDS,
    target="formation_energy_per_atom",
    api_key=None,
    return_X_y=False,
    as_frame=False,
    verbose=0,
):
    """Fetch crystals and labels from the current Materials Project.

    Its data are newer than the frozen sets of :func:`fetch_matbench` and :func:`fetch_jarvis`. Each
    page of the answer is saved at once, so that a repeated call continues after an interruption. A
    complete answer is not updated; to ask again, delete the folder that `DESCR` names.

    Parameters
    ----------
    criteria : dict, optional
        Filters of the interface (https://api.materialsproject.org/docs, ``materials/summary``),
        e.g. ``{"elements": ["O"], "energy_above_hull_max": 0.1}``. None fetches all, about 150,000
        crystals, in about an hour.
    fields : sequence of str
        Labels: fields of ``materials/summary`` that hold numbers or text. By default formation
        energy and energy per atom and energy above the hull in eV/atom, band gap in eV, total
        magnetisation in μB per cell.
    target : str or list of str, default="formation_energy_per_atom"
        Which of `fields` to predict; a list gives a column for each.
    api_key : str, optional
        Your key, from https://materialsproject.org/api. Default: the environment variable
        ``MP_API_KEY``. It is not kept.
    return_X_y : bool, default=False
        Return ``(structures, target)`` instead of a Bunch.
    as_frame : bool, default=False
        Give the target as a Series or DataFrame indexed by id and, with `return_X_y`, the
        structures as a one-column DataFrame.
    verbose : int, default=0
        Show a progress bar if above 0.

    Returns
    -------
    data : CrystalBunch
        With `structures` (:class:`~skuae.Crystals`), `target`, `target_names`, `labels`, `ids`,
        `frame`, `DESCR` (with the date of the answer) and `citation`. Labels that the Materials
        Project does not have are NaN.
    (X, y) : tuple, if `return_X_y`

    Raises
    ------
    ValueError
        If there is no key, the key or the criteria are refused, no crystal meets the criteria, or
        there is no such field.
    TypeError
        If the criteria are no dict.
    ConnectionError
        If the Materials Project cannot be reached, or returns other crystals than asked for. Call
        again to continue.

    References
    ----------
    A. Jain et al., Commentary: The Materials Project, APL Materials 1, 011002 (2013),
    doi:10.1063/1.4812323.

    Examples
    --------
    >>> from skuae.datasets import fetch_mp
    >>> data = fetch_mp({"elements": ["Ti", "O"], "is_stable": True})  # doctest: +SKIP
    """
    if not isinstance(criteria, (dict, NoneType)):
        raise TypeError(
            f"criteria={criteria!r} must be a dict of filters, e.g. {{'formula': 'TiO2'}}, or None"
        )
    fields = [fields] if isinstance(fields, str) else [*dict.fromkeys(fields)]
    target_names = select_targets(target, fields)
    query = {key: _text(value) for key, value in sorted((criteria or {}).items())}
    digest = hashlib.sha256(json.dumps([query, sorted(fields)]).encode()).hexdigest()[:12]
    name = f"materials_project/{digest}"
    folder = data_folder() / name

    def make():
        make_folder(folder)
        paths = _fetch(folder, query, fields, api_key, verbose)
        return _read(paths, _read_ids(folder / "ids.json"), fields)

    structures, labels = keep(f"{name}/all", make)
    date = pd.Timestamp(os.path.getmtime(folder / "ids.json"), unit="s").date()
    asked = json.dumps(query) if query else "all"
    return make_bunch(
        structures,
        labels,
        target_names,
        return_X_y=return_X_y,
        as_frame=as_frame,
        DESCR=f"Materials Project, {len(labels)} crystals, criteria: {asked}, as of {date}, kept "
        f"in {folder}. Licence CC BY 4.0; cite Jain et al. 2013 ({_CITATION}).\n",
        citation=_CITATION,
    )


def _text(value):
    """Write a filter for the API."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (set, frozenset)):
        value = sorted(map(str, value))  # the query names the folder: it must not depend on order
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _fetch(folder, query, fields, api_key, verbose):
    """Download the pages that the folder lacks, and return the paths of all pages."""
    ids_path = folder / "ids.json"
    rester = None
    if not ids_path.exists():
        rester = _rester(api_key)
        rows = _ask(rester, query, ["material_id"])
        if not rows:
            raise ValueError(f"the Materials Project has nothing that meets criteria={query}")
        ids = sorted({row["material_id"] for row in rows})
        _write(ids_path, json.dumps(ids).encode())
    ids = _read_ids(ids_path)
    starts = range(0, len(ids), _IDS_PER_PAGE)
    paths = [folder / f"page{start:07d}.json.gz" for start in starts]
    with tqdm(total=len(ids), unit=" crystals", disable=verbose < 1) as progress:
        for start, path in zip(starts, paths, strict=True):
            wanted = ids[start : start + _IDS_PER_PAGE]
            if not path.exists():
                rester = rester or _rester(api_key)
                rows = _ask(
                    rester,
                    {"material_ids": ",".join(wanted)},
                    ["material_id", "structure", *fields],
                )
                _check_ids(rows, wanted, folder)
                _check_fields(rows, fields)
                _write(path, gzip.compress(json.dumps(rows).encode()))
            progress.update(len(wanted))
    return paths


def _write(path, content):
    try:
        write_bytes(path, content)
    except OSError as error:
        raise cannot_keep(path.parent, error) from error


def _read_ids(path):
    try:
        ids = json.loads(path.read_bytes())
        if not ids or not all(isinstance(name, str) for name in ids) or ids != sorted({*ids}):
            raise ValueError("it holds no list of ids")
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} cannot be read ({error}); delete it and call again") from error
    return ids


def _check_ids(rows, wanted, folder):
    excess = Counter(str(row.get("material_id")) for row in rows if row.get("structure"))
    excess.subtract(wanted)
    wrong = sorted(name for name, count in excess.items() if count)
    if wrong:
        raise ConnectionError(
            f"the Materials Project did not give each of {len(wanted)} crystals asked for once and "
            f"with its structure: {len(wrong)} are missing or too many, e.g. {wrong[0]}. Call "
            f"again; if that does not help, its data have changed: delete {folder}"
        )


def _check_fields(rows, fields):
    for field in fields:
        if not any(field in row for row in rows):  # the unknown is null, the misspelt left out
            raise ValueError(
                f"the Materials Project has no field {field!r}: see "
                "https://api.materialsproject.org/docs (materials/summary)"
            )
        if any(isinstance(row.get(field), (list, dict)) for row in rows):
            raise ValueError(f"field {field!r} does not hold one number or text a crystal")


def _rester(api_key):
    from pymatgen.ext.matproj import MPRester

    key = api_key or os.environ.get("MP_API_KEY")
    if not key:
        raise ValueError(
            "fetch_mp needs a key of the Materials Project: get one for free at "
            "https://materialsproject.org/api and pass api_key=..., or set the environment "
            "variable MP_API_KEY"
        )
    try:
        return MPRester(key)
    except ValueError as error:
        raise ValueError(f"this is no key of the Materials Project: {error}") from error


def _ask(rester, query, fields):
    from pymatgen.ext.matproj import MPRestError

    place = f"materials/summary/?_fields={','.join(fields)}&_all_fields=False"
    try:
        return rester.request(place, payload=query, mp_decode=False)
    except MPRestError as error:
        if any(f"status code {code}" in str(error) for code in (401, 403)):
            raise ValueError(
                f"the Materials Project refused the key ({error}): look at "
                "https://materialsproject.org/api whether it is still yours"
            ) from error
        if '"detail"' in str(error) or "status code 422" in str(error):
            raise ValueError(
                f"the Materials Project does not understand {', '.join([*query, *fields])} "
                f"({str(error)[:500]}): see https://api.materialsproject.org/docs"
            ) from error
        raise ConnectionError(
            f"the Materials Project did not answer ({str(error)[:500]}). Pages that are there are "
            "kept: call again to go on"
        ) from error


def _read(paths, wanted, fields):
    packer, records, ids = Packer(), [], []
    for path in paths:
        try:
            rows = json.loads(gzip.decompress(path.read_bytes()))
            for row in sorted(rows, key=lambda row: row["material_id"]):
                packer.add_pymatgen(row["structure"])
                ids.append(row["material_id"])
                values = [row.get(field) for field in fields]
                records.append([np.nan if value is None else value for value in values])
        except Exception as error:  # from zlib.error to AttributeError
            raise ValueError(
                f"{path} cannot be read ({type(error).__name__}: {error}); delete it and call again"
            ) from error
    if ids != wanted:
        raise ValueError(
            f"the pages in {paths[0].parent} have other ids than ids.json there; delete the folder "
            "and call again"
        )
    labels = pd.DataFrame(records, columns=fields, index=pd.Index(ids, name="id"))
    return packer.pack(ids, "Materials Project"), labels.infer_objects()
