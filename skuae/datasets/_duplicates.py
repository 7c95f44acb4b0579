"""Crystals that two sets have in common, which would leak from training to test set."""

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm.auto import tqdm

from skuae._warnings import warn
from skuae.crystals import as_crystals, symmetry_of_rows
from skuae.datasets._compositions import label_compositions

_PAIRS_PER_TASK = 128
_MISSING = ["", "nan", "NaN", "None", "NaT", "<NA>"]
# How an index looks as text that names nothing: gaps, numbers, dates, spans, or tuples of these.
_VALUE = r"(?:nan|NaN|None|NaT|<NA>|True|False|-?inf|[-+.\d]+(?:e[-+]?\d+)?"
_VALUE += r"|(?:np\.\w+|Timestamp)\([^)]*\))"
_NO_NAME = rf"{_VALUE}|[\[(]{_VALUE}(?:, {_VALUE})*,?[\])]|-?\d+ days?\b.*|[-\d:. ]+|\d+Q\d|"
_UNKNOWN = 0  # space group that spglib could not find

# The second of two mirror-image space groups counts as the first: a crystal and its mirror image
# have the same properties, and databases keep either.
_MIRROR_IMAGES = {
    78: 76, 95: 91, 96: 92, 145: 144, 153: 151, 154: 152,
    170: 169, 172: 171, 179: 178, 181: 180, 213: 212,
}  # fmt: skip


def find_duplicates(
    A, B, *, volume_tolerance=0.02, symprec=0.1, confirm=False, n_jobs=None, verbose=0
):
    """Find the crystals of A that are also in B.

    Use it to find test rows in a training or pre-training set. A pair is a duplicate if both have
    the same id, or if reduced composition, space group and volume per atom (within
    `volume_tolerance`) agree. The choice of the cell does not matter, nor do mirror images.

    Parameters
    ----------
    A, B : Crystals, list, Series, DataFrame or ndarray
        Anything that :func:`skuae.as_crystals` reads; `data.structures` of a loader has ids. Ids
        that are numbers, dates or missing are not compared, since they may only count rows. Prefix
        real ones (``"oqmd-1234"``).
    volume_tolerance : float, default=0.02
        Largest relative difference of the volumes per atom. Relaxations of one crystal with
        different functionals differ by up to about 5 %.
    symprec : float, default=0.1
        Tolerance of spglib for symmetry, in Å; that of the Materials Project. It is coarser than
        pymatgen's 0.01, so that two relaxations of one crystal get the same space group.
    confirm : bool, default=False
        Keep only pairs with equal ids and pairs that pymatgen's StructureMatcher, at its defaults,
        finds equal. This separates the polytypes of SiC, and perovskites with A and B exchanged. It
        takes some milliseconds a pair, more for large cells.
    n_jobs : int, optional
        Processes; -1 takes all cores. None is 1, unless in a `joblib.parallel_config` context.
    verbose : int, default=0
        Show progress bars if above 0.

    Returns
    -------
    DataFrame
        One row per pair, ordered by `row_a` and `row_b`, with columns

        - ``row_a``, ``row_b``: positions in A and B; ``pairs["row_a"].unique()`` is what to drop
          from A, see also :func:`leaking_rows`;
        - ``id_a``, ``id_b``: None where there are no ids;
        - ``reason``: ``"id"``; ``"structure"``; or ``"composition and volume"`` where spglib found
          no space group for one of the two;
        - ``volume_ratio``: volume per atom in A over that in B.

    Raises
    ------
    TypeError, ValueError
        If a parameter is invalid.

    Warns
    -----
    UserWarning
        spglib found no space group for some crystals. These match any space group: leaving out a
        row too many costs less than a test row in the training set.

    See Also
    --------
    leaking_rows : The same as a mask; also by formula.

    Notes
    -----
    Space groups are computed only for crystals whose composition and volume match a crystal of the
    other set. Results of :meth:`skuae.Crystals.symmetry` are used if they are there. On disordered
    sites, occupancies count in the composition, in the volume per atom and in the space group.
    Atomic fractions must agree to 0.001 if one of the two crystals is disordered, or be linked by a
    chain of crystals that do. So a doped crystal is no duplicate of its parent.

    Examples
    --------
    >>> from skuae.datasets import find_duplicates, load_mp_mini
    >>> crystals = load_mp_mini().structures
    >>> find_duplicates(crystals[:200], crystals[198:300])[["row_a", "row_b", "id_a", "reason"]]
       row_a  row_b        id_a reason
    0    198      0  mp-1651584     id
    1    199      1  mp-1113712     id
    """
    if not 0 <= volume_tolerance < 1:
        raise ValueError(f"volume_tolerance={volume_tolerance} must be from 0 up to 1")
    A, B = as_crystals(A), as_crystals(B)
    atoms_a, atoms_b = _n_atoms(A), _n_atoms(B)
    log_a, log_b = np.log(A.volumes / atoms_a), np.log(B.volumes / atoms_b)

    row_a, row_b = _same_id(A, B)
    by_id = row_a * len(B) + row_b
    near_a, near_b = _same_composition_and_volume(A, B, log_a, log_b, np.log1p(volume_tolerance))
    new = ~np.isin(near_a * len(B) + near_b, by_id)
    near_a, near_b = near_a[new], near_b[new]
    group_a = _space_groups(A, near_a, symprec, n_jobs, verbose)
    group_b = _space_groups(B, near_b, symprec, n_jobs, verbose)
    unknown = (group_a == _UNKNOWN) | (group_b == _UNKNOWN)
    if unknown.any():
        none = [
            X.where(int(rows[group == _UNKNOWN][0]))
            for X, rows, group in ((A, near_a, group_a), (B, near_b, group_b))
            if (group == _UNKNOWN).any()
        ]
        warn(
            f"spglib found no space group for {' and '.join(none)}, in {unknown.sum()} pairs of "
            "equal composition and volume; they count as duplicates"
        )
    same = unknown | (group_a == group_b)
    near_a, near_b, unknown = near_a[same], near_b[same], unknown[same]
    if confirm:
        equal = _match(A, B, near_a, near_b, n_jobs, verbose)
        near_a, near_b, unknown = near_a[equal], near_b[equal], unknown[equal]

    reason = np.where(unknown, "composition and volume", "structure").astype(object)
    row_a, row_b = np.concatenate([row_a, near_a]), np.concatenate([row_b, near_b])
    pairs = pd.DataFrame(
        {
            "row_a": row_a,
            "row_b": row_b,
            "id_a": None if A.ids is None else A.ids[row_a].astype(object),
            "id_b": None if B.ids is None else B.ids[row_b].astype(object),
            "reason": np.concatenate([np.full(len(by_id), "id", dtype=object), reason]),
            "volume_ratio": np.exp(log_a[row_a] - log_b[row_b]),
        }
    )
    return pairs.sort_values(["row_a", "row_b"], ignore_index=True)


def leaking_rows(A, B, *, by="structure", **options):
    """Mark the rows of A that leak into B.

    If B is the test set, train on ``A[~leaking_rows(A, B)]``.

    Parameters
    ----------
    A, B : Crystals, list, Series, DataFrame or ndarray
        Anything that :func:`skuae.as_crystals` reads.
    by : {"structure", "formula", "id"}, default="structure"
        What counts as a leak. Each option includes the one before, except for ids that are numbers:

        - ``"id"``: a row with the id of a row in B. Misses the same crystal under another name.
          Plain numbers count here, and only here.
        - ``"structure"``: or that is a duplicate, see :func:`find_duplicates`. The same crystal is
          gone; its polymorphs, whose labels are often close, stay.
        - ``"formula"``: or that has the reduced formula of any row in B. The strictest, and the
          fastest: what the shipped tables are held out by.
    **options
        Passed to :func:`find_duplicates`; for ``by="structure"`` only.

    Returns
    -------
    ndarray of bool of shape (n_crystals_of_A,)

    Raises
    ------
    ValueError
        If `by` is unknown, or is ``"id"`` and A or B, or a row of them, has no id.

    Examples
    --------
    >>> from skuae.datasets import leaking_rows, load_mp_mini
    >>> crystals = load_mp_mini().structures
    >>> A, B = crystals[:200], crystals[150:]
    >>> [int(leaking_rows(A, B, by=by).sum()) for by in ("id", "structure", "formula")]
    [50, 51, 57]
    """
    if by not in ("structure", "formula", "id"):
        raise ValueError(f'by={by!r} must be "structure", "formula" or "id"')
    if options and by != "structure":
        raise TypeError(f'{", ".join(options)}: for by="structure" only, not for by={by!r}')
    A, B = as_crystals(A), as_crystals(B)
    if by == "id" and (A.ids is None or B.ids is None):
        raise ValueError(
            f'by="id" needs ids on both sides, and {"A" if A.ids is None else "B"} has none: pass '
            "a Series with ids as index, or as_crystals(list(X), ids=...)"
        )
    for X in (A, B) if by == "id" else ():
        missing = np.flatnonzero(np.isin(X.ids, _MISSING))
        if len(missing):
            raise ValueError(f'by="id": row {missing[0]} of {"A" if X is A else "B"} has no id')
    if by == "id":
        return np.isin(A.ids, B.ids)  # numbers, too: whoever asks for ids means them
    leaking = np.zeros(len(A), dtype=bool)
    if by == "structure":
        leaking[find_duplicates(A, B, **options)["row_a"]] = True
        return leaking
    leaking[_same_id(A, B)[0]] = True
    (formula_a, formula_b), _ = label_compositions(A, B)
    return leaking | np.isin(formula_a, formula_b)


def formula_groups(X):
    """Return a number for each reduced formula, for splits that keep equal formulas together.

    Parameters
    ----------
    X : Crystals, list, Series, DataFrame or ndarray
        Anything that :func:`skuae.as_crystals` reads.

    Returns
    -------
    ndarray of int of shape (n_crystals,)
        Equal for crystals of one reduced formula: ``groups`` of
        :class:`sklearn.model_selection.GroupKFold`. If one of two crystals is disordered, formulas
        are equal if atomic fractions agree to 0.001, as in :func:`find_duplicates`.

    Examples
    --------
    >>> from skuae.datasets import formula_groups, load_mp_mini
    >>> groups = formula_groups(load_mp_mini().structures)
    >>> len(groups), int(groups.max()) + 1
    (2573, 2515)
    """
    crystals = as_crystals(X)
    (coarse,), _ = label_compositions(crystals)
    return np.unique(coarse, return_inverse=True)[1]


def _n_atoms(crystals):
    rows, _, amounts = crystals.composition()
    return np.bincount(rows, amounts, minlength=len(crystals))


def _same_id(A, B):
    """Return rows of equal ids, without ids that may be row numbers: "7", "7.0", "(0, 7)"."""
    if A.ids is None or B.ids is None:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    left, right = (
        pd.DataFrame({"id": X.ids, row: np.arange(len(X))})[_are_names(X.ids)]
        for X, row in ((A, "row_a"), (B, "row_b"))
    )
    both = left.merge(right, on="id")
    return both["row_a"].to_numpy(np.int64), both["row_b"].to_numpy(np.int64)


def _are_names(ids):
    """Tell which ids are names, not mere numbers, dates or gaps."""
    return ~pd.Series(ids).str.fullmatch(_NO_NAME).to_numpy(bool)


def _same_composition_and_volume(A, B, log_a, log_b, tolerance):
    """Return pairs of rows with equal composition and similar volume per atom."""
    (coarse_a, coarse_b), (exact_a, exact_b) = label_compositions(A, B)
    # One sorted axis: volumes of one composition lie together, far from those of the next.
    apart = 2 * (1 + max(np.abs(log_a).max(), np.abs(log_b).max()))
    place_a, place_b = coarse_a * apart + log_a, coarse_b * apart + log_b
    order = np.argsort(place_b, kind="stable")
    first = np.searchsorted(place_b[order], place_a - tolerance, side="left")
    last = np.searchsorted(place_b[order], place_a + tolerance, side="right")
    row_a = np.repeat(np.arange(len(A)), last - first)
    within = np.arange(len(row_a)) - np.repeat(np.cumsum(last - first) - last, last - first)
    row_b = order[within]
    same = exact_a[row_a] == exact_b[row_b]
    same |= A.is_disordered[row_a] | B.is_disordered[row_b]
    return row_a[same], row_b[same]


def _space_groups(crystals, rows, symprec, n_jobs, verbose):
    """Return the space groups of rows, each found once."""
    unique, inverse = np.unique(rows, return_inverse=True)
    symmetry = symmetry_of_rows(crystals, unique, symprec, n_jobs=n_jobs, verbose=verbose)
    numbers = np.array([_MIRROR_IMAGES.get(n, n) for n in symmetry.space_groups.tolist()], int)
    return np.where(symmetry.found, numbers, _UNKNOWN)[inverse]


def _match(A, B, row_a, row_b, n_jobs, verbose):
    """Ask StructureMatcher which of the pairs are equal."""
    pairs = list(zip(A[row_a].to_structures(), B[row_b].to_structures(), strict=True))
    parts = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(_matches)(pairs[i : i + _PAIRS_PER_TASK])
        for i in range(0, len(pairs), _PAIRS_PER_TASK)
    )
    equal = []
    with tqdm(total=len(pairs), desc="match", disable=verbose < 1) as progress:
        for part in parts:
            equal += part
            progress.update(len(part))
    return np.array(equal, dtype=bool)


def _matches(pairs):
    from pymatgen.analysis.structure_matcher import StructureMatcher

    matcher = StructureMatcher()
    return [matcher.fit(a, b) for a, b in pairs]
