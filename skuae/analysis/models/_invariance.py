"""Changes of predictions when the same crystal is described differently."""

import numpy as np
import pandas as pd
from scipy.spatial.distance import pdist
from scipy.spatial.transform import Rotation
from sklearn.base import clone
from sklearn.utils import Bunch, check_random_state
from sklearn.utils.validation import check_is_fitted

from skuae.crystals import Crystals, as_crystals, take_rows

_MOST_PAIRS = 1000  # crystals among which different ones are compared: half a million pairs


def invariance_report(front_end, X, *, n_repeats=10, untrained="auto", random_state=0):
    """Measure how much a fitted model depends on the description of a crystal.

    Every crystal is described anew several times, with one change at a time: rotated, shifted, with
    sites in other periodic images, or with another order of the sites. None of this changes the
    crystal. The outputs of the model are compared ([1]_, Methods). There are two baselines:
    different crystals, and an untrained network.

    Parameters
    ----------
    front_end : CrystalTransformerRegressor, or any fitted regressor of crystals
        Its ``predict`` is examined. If it has ``embed``, so are the vectors of crystals.
    X : array-like of structures of shape (n_samples,)
        At least two crystals; a hundred are enough.
    n_repeats : int, default=10
        Number of descriptions of each crystal, at least two.
    untrained : "auto", estimator or None, default="auto"
        The untrained baseline. "auto" is a clone of `front_end`, fitted for one epoch with a
        vanishing learning rate. None leaves this baseline out.
    random_state : int, RandomState instance or None, default=0
        Seeds rotations, shifts, images, orders and the untrained network.

    Returns
    -------
    Bunch
        - ``vectors``: DataFrame indexed by (model, change), empty without ``embed``. ``cosine`` and
          ``distance`` (Euclidean): between ways to write down one crystal, mean over pairs and
          crystals. ``cosine_between`` and ``distance_between``: between different crystals.
          ``ratio``: distance over distance_between, 0 for an invariant model, about 1 for one that
          cannot tell crystals from ways to write them down.
        - ``predictions``: DataFrame indexed by (model, target, change) with ``difference``, the
          mean absolute difference between ways to write down one crystal in the unit of the target,
          ``difference_between`` and ``ratio``.

        Models are "fitted" and "untrained"; changes are "rotation" (proper), "translation" (a
        random shift of all sites), "images" (re-wrap: every site in a random periodic image),
        "order" (of the sites) and "rotation and translation", as published.

    Raises
    ------
    ValueError
        If there are fewer than two crystals or repeats.
    NotFittedError
        If the model is not fitted.

    Notes
    -----
    skuae's estimators wrap all sites into the cell first. So "images" gives exact invariance, and
    "translation" moves some sites to the other side of the cell.

    References
    ----------
    .. [1] Jin et al., Nature Communications 16, 1210 (2025).

    Examples
    --------
    >>> from skuae import CrystalTransformerRegressor
    >>> from skuae.analysis import invariance_report
    >>> from skuae.datasets import make_toy_crystals
    >>> X, y = make_toy_crystals(16, random_state=0, return_X_y=True)
    >>> front_end = CrystalTransformerRegressor(
    ...     d_model=16, n_layers=1, max_epochs=1, random_state=0).fit(X, y)
    >>> report = invariance_report(front_end, X, n_repeats=2)
    >>> float(report.vectors.loc[("fitted", "images"), "distance"])
    0.0
    """
    check_is_fitted(front_end)
    crystals = as_crystals(X)
    if len(crystals) < 2 or n_repeats < 2:
        raise ValueError(
            f"{len(crystals)} crystals and n_repeats={n_repeats}: two of each are the least that "
            "can be compared"
        )
    rng = check_random_state(random_state)
    copies = crystals[np.tile(np.arange(len(crystals)), n_repeats)]
    changed = {name: change(copies, rng) for name, change in _CHANGES.items()}
    models = {"fitted": front_end}
    if isinstance(untrained, str) and untrained == "auto":
        models["untrained"] = _untrain(front_end, crystals, rng)
    elif untrained is not None:
        models["untrained"] = untrained
    vectors, predictions = {}, {}
    for name, model in models.items():
        if hasattr(model, "embed"):
            for change, written in changed.items():
                z = _by_crystal(model.embed(written), n_repeats)
                vectors[name, change] = _compare_vectors(z)
        predicted = {c: _by_crystal(model.predict(w), n_repeats) for c, w in changed.items()}
        n_targets = next(iter(predicted.values())).shape[2]
        targets = getattr(front_end, "target_names_", None) or range(n_targets)
        for column, target in enumerate(targets):
            for change, y in predicted.items():
                predictions[name, target, change] = _compare_numbers(y[:, :, column])
    return Bunch(
        vectors=_frame(
            vectors,
            ["model", "change"],
            ["cosine", "cosine_between", "distance", "distance_between", "ratio"],
        ),
        predictions=_frame(
            predictions,
            ["model", "target", "change"],
            ["difference", "difference_between", "ratio"],
        ),
    )


def _untrain(front_end, crystals, rng):
    """Fit a clone with so small a learning rate that it keeps its initial weights."""
    settings = {
        "max_epochs": 1, "lr": 1e-12, "weight_decay": 0.0, "early_stopping": False,
        "init_from": None, "warm_start": False, "checkpoint_dir": None, "callbacks": None,
        "verbose": 0, "random_state": rng.randint(2**31 - 1),
    }  # fmt: skip
    missing = set(settings) - set(front_end.get_params())
    if missing:
        raise TypeError(
            f'untrained="auto" needs an estimator of skuae; {type(front_end).__name__} has no '
            f"{min(missing)}. Pass an untrained estimator, or untrained=None"
        )
    # Its own predictions as targets put those of both on one scale.
    return clone(front_end).set_params(**settings).fit(crystals, front_end.predict(crystals))


# -- ways to write down a crystal -----------------------------------------------------------------


def rotate(crystals, rng):
    """Turn every crystal by a random rotation.

    Parameters
    ----------
    crystals : Crystals
    rng : RandomState

    Returns
    -------
    Crystals
    """
    turns = Rotation.random(len(crystals), rng).as_matrix()
    return _rewrite(crystals, lattices=crystals.lattices @ turns)


def translate(crystals, rng):
    """Move all sites of a crystal by one random vector.

    Parameters
    ----------
    crystals : Crystals
    rng : RandomState

    Returns
    -------
    Crystals
    """
    shift = np.repeat(rng.random_sample((len(crystals), 3)), crystals.sizes, axis=0)
    return _rewrite(crystals, frac_coords=crystals.frac_coords + shift)


def change_images(crystals, rng):
    """Put every site into a random periodic image.

    Parameters
    ----------
    crystals : Crystals
    rng : RandomState

    Returns
    -------
    Crystals
    """
    images = rng.randint(-1, 2, crystals.frac_coords.shape)
    # A multiple of 2**-40 keeps its value when an integer is added and taken away again.
    coords = np.round(crystals.frac_coords % 1.0 * 2.0**40) / 2.0**40
    return _rewrite(crystals, frac_coords=coords + images)


def reorder(crystals, rng):
    """Put the sites of every crystal into a random order.

    Parameters
    ----------
    crystals : Crystals
    rng : RandomState

    Returns
    -------
    Crystals
    """
    crystal = np.repeat(np.arange(len(crystals)), crystals.sizes)
    order = np.lexsort((rng.random_sample(crystals.n_sites), crystal))
    occupancies = {}
    if crystals.occ_sites is not None:
        bounds = np.searchsorted(crystals.occ_sites, np.arange(crystals.n_sites + 1))
        entries, offsets = take_rows(bounds, order)
        occupancies = {
            "occ_sites": np.repeat(np.arange(len(order)), np.diff(offsets)),
            "occ_numbers": crystals.occ_numbers[entries],
            "occ_values": crystals.occ_values[entries],
        }
    return _rewrite(
        crystals,
        numbers=crystals.numbers[order],
        frac_coords=crystals.frac_coords[order],
        **occupancies,
    )


_CHANGES = {
    "rotation": rotate,
    "translation": translate,
    "images": change_images,
    "order": reorder,
    "rotation and translation": lambda crystals, rng: rotate(translate(crystals, rng), rng),
}


def _rewrite(crystals, **changed):
    names = ("numbers", "frac_coords", "lattices", "offsets", "ids", "occ_sites", "occ_numbers",
             "occ_values")  # fmt: skip
    return Crystals(**{name: getattr(crystals, name) for name in names} | changed)


# -- comparing ------------------------------------------------------------------------------------


def _by_crystal(outputs, n_repeats):
    """From (n_repeats * n, ...) to (n, n_repeats, d)."""
    outputs = np.asarray(outputs, dtype=np.float64)
    return outputs.reshape(n_repeats, len(outputs) // n_repeats, -1).swapaxes(0, 1)


def _compare_vectors(z):
    between = z[:_MOST_PAIRS, 0]
    within = {m: np.mean([pdist(rows, m).mean() for rows in z]) for m in ("cosine", "euclidean")}
    distance_between = pdist(between).mean()
    return (
        1.0 - within["cosine"],
        1.0 - pdist(between, "cosine").mean(),
        within["euclidean"],
        distance_between,
        _ratio(within["euclidean"], distance_between),
    )


def _compare_numbers(y):
    within = np.mean([pdist(rows[:, None]).mean() for rows in y])
    between = pdist(y[:_MOST_PAIRS, :1]).mean()
    return within, between, _ratio(within, between)


def _ratio(within, between):
    return within / between if between > 0 else float(within > 0)


def _frame(rows, levels, columns):
    index = pd.MultiIndex.from_tuples(list(rows), names=levels) if rows else None
    return pd.DataFrame(list(rows.values()), index=index, columns=columns)
