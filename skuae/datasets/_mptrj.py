"""MPtrj: relaxations of the Materials Project, on which interatomic potentials are trained."""

import hashlib
import heapq
import json

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from skuae._download import data_folder, download
from skuae._elements import SYMBOLS, atomic_number
from skuae._files import read_safetensors, write_safetensors
from skuae._warnings import warn
from skuae.crystals import Crystals, offsets_from_sizes
from skuae.datasets._bunch import make_bunch
from skuae.datasets._published import Packer, json_members
from skuae.datasets._rows import check_on_error

_NAME = "MPtrj_2022.9_full.json"
_URLS = (
    "https://figshare.com/ndownloader/files/41619375",
    "https://ndownloader.figshare.com/files/41619375",
)
_HASH = "md5:50ead5f27f9a4f6beb7564c4188f1e9f"  # as figshare gives it
_N_MATERIALS = 145_923
_CITATION = "doi:10.1038/s42256-023-00716-3"
_FORMAT = "skuae-mptrj-1"
_TARGETS = ["energy", "forces", "stress", "magmoms"]
_CRYSTALS = ("numbers", "frac_coords", "lattices", "offsets")
_KBAR = -0.1  # GPa; VASP counts pressure as positive


def fetch_mptrj(
    *,
    elements=None,
    n_materials=None,
    n_frames=None,
    corrected=True,
    on_error="raise",
    return_X_y=False,
    verbose=0,
):
    """Fetch MPtrj: energies, forces, stresses and magnetic moments of 1,580,395 structures.

    These are frames of relaxations of 145,923 materials of the Materials Project (PBE and PBE+U),
    on which CHGNet, MACE-MP-0 and other potentials were trained. The file has 12 GB. It is
    downloaded once to the folder of the environment variable ``SKUAE_DATA``, or to the cache of the
    system; an interrupted download goes on in the next call. It is read one material at a time, and
    only the chosen frames are held in memory and kept beside the file for later calls.

    Parameters
    ----------
    elements : sequence of str, optional
        Take only materials that consist of some or all of these elements.
    n_materials : int, optional
        Take so many materials at random. The choice is always the same, and a larger one contains a
        smaller one.
    n_frames : int, optional
        Take at most so many frames of each material, evenly spaced in the order of their energies
        per atom: first the lowest, then the highest as well. Default: all.
    corrected : bool, default=True
        Give energies with the corrections of MP2020, on which CHGNet was trained and which make PBE
        and PBE+U comparable; otherwise those of VASP.
    on_error : {"raise", "skip"}, default="raise"
        Whether a record that makes no sense is an error, or left out with a warning.
    return_X_y : bool, default=False
        Return ``(structures, target)`` instead of a Bunch.
    verbose : int, default=0
        Show progress bars of the download and of reading if above 0.

    Returns
    -------
    data : CrystalBunch
        With `structures` (:class:`~skuae.Crystals`), `target`, `target_names`, `labels`, `ids`,
        `frame`, `DESCR` and `citation`. `target` is a DataFrame as
        :meth:`skuae.potentials.CrystalPotential.fit` takes it: ``energy`` (eV per cell), ``forces``
        ((n_sites, 3), eV/Å), ``stress`` ((3, 3), GPa, positive under tension) and ``magmoms``
        ((n_sites,), Bohr magnetons, signed); what is not known is NaN. `labels` has the column
        ``material_id`` in addition. Ids are those of frames: task, relaxation (1 is the first of
        two, 0 the second) and step.
    (X, y) : tuple, if `return_X_y`

    Raises
    ------
    ValueError
        If a parameter is invalid, no material meets the conditions, or a record makes no sense; the
        message names material and frame.
    ConnectionError
        If the file cannot be downloaded. The message says how to copy it by hand.

    Warns
    -----
    UserWarning
        Records were left out, or what was read cannot be kept.

    Notes
    -----
    Split by material (`groups=data.labels["material_id"]`), not by frame. Reading the file takes
    about ten minutes, whatever is chosen. All frames together take about 4 GB of memory, and more
    than twice that while they are read; graphs, which `fit` builds, take far more.

    References
    ----------
    B. Deng et al., CHGNet as a pretrained universal neural network potential for charge-informed
    atomistic modelling, Nat. Mach. Intell. 5, 1031 (2023), doi:10.1038/s42256-023-00716-3. Data:
    doi:10.6084/m9.figshare.23713842.

    Examples
    --------
    >>> from skuae.datasets import fetch_mptrj
    >>> data = fetch_mptrj(elements=["Li", "Si"], n_frames=5, verbose=1)  # doctest: +SKIP
    >>> potential.fit(data.structures, data.target)  # doctest: +SKIP
    """
    check_on_error(on_error)
    for name, value in (("n_materials", n_materials), ("n_frames", n_frames)):
        whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        if value is not None and not (whole and value > 0):
            raise ValueError(f"{name}={value!r} must be an integer above 0, or None for all")
    wanted = None if elements is None else {SYMBOLS[atomic_number(e) - 1] for e in elements}
    settings = [wanted and sorted(wanted), n_materials, n_frames, bool(corrected), on_error]
    key = hashlib.sha256(json.dumps(settings, default=int).encode()).hexdigest()[:12]
    path = data_folder() / f"mptrj_{key}.safetensors"
    arrays, card = _kept(path)
    if not card:
        source = download(_NAME, _URLS, known_hash=_HASH, resume=True, verbose=verbose)
        arrays, card = _read(source, wanted, n_materials, n_frames, corrected, on_error, verbose)
        try:
            write_safetensors(path, arrays, card, format=_FORMAT)
        except OSError as error:
            warn(f"what was read cannot be kept ({error}): the next call reads {source} again")
    if card["left_out"]:
        warn(f"{len(card['left_out'])} records were left out, the first: {card['left_out'][0]}")
    labels = _labels(arrays, card)
    bunch = make_bunch(
        Crystals(*(arrays[name] for name in _CRYSTALS), ids=card["ids"]),
        labels,
        _TARGETS,
        return_X_y=False,
        as_frame=True,
        DESCR=f"MPtrj, {len(labels)} frames of {labels['material_id'].nunique()} materials, "
        f"energies {'with the corrections of MP2020' if corrected else 'of VASP'}.\n\nFrom "
        "figshare 23713842, version 2, which says the licence. Cite Deng et al. 2023 "
        f"({_CITATION}).\n",
        citation=_CITATION,
    )
    return (bunch.structures, bunch.target) if return_X_y else bunch


def _kept(path):
    """Return what an earlier call kept, or nothing."""
    try:
        return read_safetensors(path, format=_FORMAT)
    except (FileNotFoundError, ValueError):  # it is damaged, and can be made anew
        return {}, {}


def _read(source, wanted, n_materials, n_frames, corrected, on_error, verbose):
    """Read the chosen frames; only these are ever held in memory."""
    heap: list[tuple] = []
    left_out: list[str] = []
    with (
        open(source, encoding="utf-8") as stream,
        tqdm(total=_N_MATERIALS, unit=" materials", disable=verbose < 1) as progress,
    ):
        for place, (material, frames) in enumerate(_members(stream, source)):
            progress.update()
            # a random order that is always the same, of which the first materials are taken
            rank = -int(hashlib.sha256(material.encode()).hexdigest(), 16)
            full = n_materials is not None and len(heap) == n_materials
            if full and rank < heap[0][0]:
                continue
            found, wrong = _frames_of(frames, wanted, n_frames, corrected)
            wrong = [f"material {material}, {one}" for one in wrong]
            if wrong and on_error == "raise":
                raise ValueError(f'{source}, {wrong[0]}; pass on_error="skip" to leave it out')
            left_out += wrong
            if found:
                item = (rank, place, material, list(found), _joined(found.values()))
                (heapq.heappushpop if full else heapq.heappush)(heap, item)
    heap.sort(key=lambda item: item[1])
    if not heap:
        raise ValueError(f"no material in {source} meets the conditions")
    arrays = _joined([item[4] for item in heap])
    arrays["offsets"] = offsets_from_sizes(arrays.pop("sizes"))
    materials = [item[2] for item in heap for _ in item[3]]
    ids = [frame for item in heap for frame in item[3]]
    return arrays, {"ids": ids, "materials": materials, "left_out": left_out}


def _joined(parts):
    parts = list(parts)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _members(stream, source):
    last = "the beginning"
    try:
        for last, frames in json_members(stream):
            yield last, frames
    except ValueError as error:
        raise ValueError(
            f"{source} is not what was published, behind {last}: {error}; delete it and call again"
        ) from error


def _frames_of(frames, wanted, n_frames, corrected):
    """Return columns of the chosen frames of a material by id, and what is wrong with others."""
    found, wrong = {}, []
    for frame, record in _chosen(frames, n_frames) if isinstance(frames, dict) else [("", None)]:
        try:
            if wanted is None or _symbols(record) <= wanted:
                found[frame] = _columns(record, corrected)
        except Exception as error:  # what came may be anything
            kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
            wrong.append(f"frame {frame}: {kind}{error}")
    return found, wrong


def _chosen(frames, n_frames):
    """Return at most `n_frames` frames, in the order of the file."""
    items = list(frames.items())
    if n_frames is None or len(items) <= n_frames:
        return items
    order = np.argsort([_energy(record) for _, record in items], kind="stable")
    places = np.linspace(0, len(items) - 1, n_frames).round().astype(int)
    return [items[i] for i in sorted(order[places])]


def _energy(record):
    try:
        return float(record["energy_per_atom"])
    except (LookupError, TypeError, ValueError):  # unknown, or the record is refused later
        return np.inf


def _symbols(record):
    return {kind["element"] for site in record["structure"]["sites"] for kind in site["species"]}


def _columns(record, corrected):
    """Return a record as arrays of one frame."""
    packer = Packer()
    packer.add_pymatgen(record["structure"])
    crystal = packer.crystals()  # which refuses what makes no sense
    if crystal.occ_sites is not None:
        raise ValueError("the structure is disordered")
    n = crystal.n_sites
    energy = _array(record.get("energy_per_atom"), (), "energy_per_atom") * n
    if not corrected:
        energy = _array(record.get("uncorrected_total_energy"), (), "uncorrected_total_energy")
    return {
        "numbers": crystal.numbers,
        "frac_coords": crystal.frac_coords,
        "lattices": crystal.lattices,
        "sizes": np.array([n]),
        "energy": energy[None],
        "forces": _array(record.get("force"), (n, 3), "force"),
        "stress": _array(record.get("stress"), (3, 3), "stress")[None] * _KBAR,
        "magmoms": _array(record.get("magmom"), (n,), "magmom"),
    }


def _array(value, shape, name):
    """Return a label as an array, NaN where it is unknown."""
    array = np.full(shape, np.nan) if value is None else np.array(value, dtype=float)
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, expected {shape}")
    return array


def _labels(arrays, card):
    cuts = arrays["offsets"][1:-1]
    columns = {
        "material_id": card["materials"],
        "energy": arrays["energy"],
        "forces": np.split(arrays["forces"], cuts),
        "stress": list(arrays["stress"]),
        "magmoms": np.split(arrays["magmoms"], cuts),
    }
    return pd.DataFrame(columns, index=pd.Index(card["ids"], name="id"))
