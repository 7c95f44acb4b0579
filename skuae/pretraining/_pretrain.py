"""Pre-training: hold out, split, fit, measure, and write a table with its training record."""

import json
import platform
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import r2_score
from sklearn.utils import Bunch

from skuae._elements import SYMBOLS
from skuae._files import check_companions, make_folder, write_bytes
from skuae._ranks import is_first
from skuae._version import __version__
from skuae._warnings import warn
from skuae.crystals import as_crystals
from skuae.embedding import ElementTable
from skuae.estimators import CrystalGNNRegressor, encode_estimator
from skuae.models import N_LEARNED, resolve_backbone
from skuae.pretraining._card import leakage_statement, model_card
from skuae.pretraining._checks import (
    check_elements,
    check_finished,
    check_front_end,
    check_label_frame,
    check_splitting,
    check_units,
)
from skuae.pretraining._split import counts_of, find_rows, split_rows
from skuae.training import named

_IN_CARD = ("targets", "source", "licence", "rows", "hold_out", "hold_out_by", "metrics", "params",
            "element_features", "front_end", "random_state", "fit_seconds", "crystals_per_element",
            "skuae", "torch")  # fmt: skip
_CHECKPOINTS = ".skuae-checkpoints"  # no name that a user would give to a folder: it is deleted
_COMPANIONS = {  # of the table, in its folder, and how they are told from files of the user
    "config.json": '^  "front_end": ',
    "README.md": r"skuae \S+, torch \S+, Python$",
    "split.csv": r"\Aid,part$",
}


def pretrain(
    structures,
    y,
    folder,
    *,
    front_end=None,
    name="ct-uae",
    units=None,
    hold_out=None,
    hold_out_ids=None,
    hold_out_by="formula",
    validation_ids=None,
    validation_fraction=0.05,
    max_sites=None,
    source="",
    licence="",
    verbose=1,
):
    """Learn an element table from crystals and their properties, and write it with its card.

    A run that was stopped goes on where it was when it is called again with the same arguments.

    Parameters
    ----------
    structures : Crystals, list, Series, DataFrame with one column, or StructureFeatures
        Structures; see :func:`skuae.as_crystals`. Ids are needed where `hold_out_ids` or
        `validation_ids` are given.
    y : DataFrame of shape (n_crystals, n_targets), or Series
        Properties, NaN where unknown, row by row as the structures. Rows without any are left out.
        The names of the columns are those of the targets; a Series without one is "target".
    folder : str or path-like
        Made if missing. Gets ``<name>.safetensors`` (the table), ``README.md`` (its card),
        ``config.json`` (all that was decided), ``split.csv`` (what became of each row) and
        ``model/`` (the front-end, for `from_pretrained`).
    front_end : estimator, optional
        What learns: a `CrystalTransformerRegressor` (default: with its own defaults), or a
        `CrystalGNNRegressor` with ``embedding="onehot"`` (Method II of the paper) or that of its
        backbone. A clone of it is fitted, for all of its `max_epochs` and on all training rows:
        `init_from` and `early_stopping` are refused, since the card could not tell what they saw.
    name : str, default="ct-uae"
        Name of the table, and of its file.
    units : dict of str to str, optional
        Units of the targets, for the card.
    hold_out : dict of str to structures, or structures, optional
        Test sets: no row that leaks into one of them is trained on or validated with.
    hold_out_ids : array-like of str, optional
        Ids of rows to keep out; as test sets they take rows of the same formula with them if
        `hold_out_by` is "formula", and duplicates if it is "structure".
    hold_out_by : {"formula", "structure", "id"}, default="formula"
        What leaks; see :func:`skuae.datasets.leaking_rows`.
    validation_ids : array-like of str, optional
        Rows to measure errors on. Rows of the same formula are not trained on.
    validation_fraction : float, default=0.05
        Share of the formulas to measure errors on, drawn at random, without `validation_ids`; 0 for
        none.
    max_sites : int, optional
        Leave out larger cells: attention takes time that grows with the square of their size.
    source, licence : str, optional
        Of the data, for the card.
    verbose : int, default=1
        0 is silent, 1 shows counts and a progress bar.

    Returns
    -------
    Bunch
        With `table` (ElementTable), `front_end` (fitted), `metrics` (DataFrame by target: rows,
        mean absolute error and root mean square error, those of the mean of the training rows, R²),
        `split` (Series by row: train, validation, near validation, unknown element, held out, too
        large, no label) and `folder`. Rows near validation have the formula of a validation row;
        those with an unknown element were to validate with, but the front-end cannot predict them.

    Raises
    ------
    TypeError
        If y is no data frame or Series, or the front-end is none of the two.
    ValueError
        If a parameter makes no sense, the rows of y are those of the structures in another order,
        ids are unknown, or too few rows are left to train on. All before training.
    KeyboardInterrupt
        If training was interrupted. Nothing is written then but the state of training, for the next
        call.

    Warns
    -----
    UserWarning
        Some of `hold_out_ids` or `validation_ids` are not among those of the structures, validation
        rows have an element that no training row has, or no row is left to measure errors on.

    Examples
    --------
    >>> from skuae import CrystalTransformerRegressor
    >>> from skuae.datasets import load_mp_mini
    >>> from skuae.pretraining import pretrain
    >>> data = load_mp_mini(target=["formation_energy_per_atom", "band_gap"])
    >>> run = pretrain(
    ...     data.structures[:2000], data.labels[data.target_names][:2000], "my-table",
    ...     hold_out=data.structures[2000:], front_end=CrystalTransformerRegressor(max_epochs=5),
    ... )  # doctest: +SKIP
    >>> run.table, run.metrics  # doctest: +SKIP
    """
    check_splitting(hold_out_by, validation_fraction, max_sites)
    crystals = as_crystals(structures)
    y = check_label_frame(y, crystals)
    units = check_units(units, y.columns)
    front_end = check_front_end(front_end)
    if not isinstance(name, str) or name in ("", "..") or Path(name).name != name:
        raise ValueError(f"name={name!r} must be usable as the name of a file, without folders")
    sets, kept_out = _test_sets(crystals, hold_out, hold_out_ids)
    split = split_rows(
        crystals, y, sets, kept_out, hold_out_by, validation_ids, validation_fraction, max_sites,
        int(front_end.random_state),
    )  # fmt: skip
    train, valid = (np.flatnonzero(split == part) for part in ("train", "validation"))
    if len(train) < 2:
        raise ValueError(
            f"{len(train)} rows are left to train on, of {len(crystals)}: "
            f"{counts_of(split)}; hold out less, or raise max_sites"
        )
    check_elements(front_end, crystals, train)
    if not len(valid) and (validation_ids is not None or validation_fraction > 0):
        _warn_of_no_errors(split)
    if verbose and is_first():
        print(f"{name}: {counts_of(split)}", flush=True)

    folder = make_folder(folder)
    check_companions(folder, _COMPANIONS, "table")
    checkpoints = folder / _CHECKPOINTS
    front_end.set_params(checkpoint_dir=checkpoints, verbose=max(verbose, 0))
    try:
        front_end.fit(crystals[train], y.iloc[train])
    except KeyboardInterrupt:
        check_finished(front_end)  # it says how far the training came
        raise
    check_finished(front_end)
    valid = _measurable(front_end, crystals, valid, split)
    metrics = _measure(front_end, crystals, y, train, valid)

    params, features = _described(front_end)
    config = {
        "name": name,
        "skuae": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {front_end.device_}",
        "source": source,
        "licence": licence,
        "targets": units,
        "rows": {part: int((split == part).sum()) for part in np.unique(split)},
        "hold_out": {key: len(value) for key, value in sets.items()},
        "hold_out_by": hold_out_by,
        "max_sites": None if max_sites is None else int(max_sites),
        "front_end": type(front_end).__name__,
        "params": params,
        "element_features": features,
        "random_state": int(front_end.random_state),
        "metrics": metrics.astype(object).where(metrics.notna(), None).to_dict(orient="index"),
        # Of all epochs, also of those before a checkpoint that this call went on from.
        "fit_seconds": round(sum(epoch["dur"] for epoch in front_end.history_)),
        "crystals_per_element": _count_elements(crystals[train]),
    }
    table = _with_card(front_end.element_table_, config)
    front_end.set_params(checkpoint_dir=None)
    split = pd.Series(split, index=_ids(crystals), name="part").rename_axis("id")
    if is_first():
        _write(folder, table, front_end, split, config)
    return Bunch(table=table, front_end=front_end, metrics=metrics, split=split, folder=folder)


def _write(folder, table, front_end, split, config):
    """Write the files of a run, and remove its checkpoints."""
    for file in _COMPANIONS:  # of an earlier table there
        (folder / file).unlink(missing_ok=True)
    table.save(folder / f"{config['name']}.safetensors")
    front_end.save_pretrained(folder / "model")
    write_bytes(folder / "split.csv", split.to_csv().encode())
    write_bytes(folder / "README.md", model_card(table, config).encode())
    write_bytes(folder / "config.json", json.dumps(config, indent=2).encode())
    shutil.rmtree(folder / _CHECKPOINTS, ignore_errors=True)


def _test_sets(crystals, hold_out, hold_out_ids):
    """Return the test sets by name, and the rows of `hold_out_ids`."""
    if hold_out is not None and not isinstance(hold_out, dict):
        hold_out = {"hold_out": hold_out}
    sets = {str(key): _as_test_set(key, value) for key, value in (hold_out or {}).items()}
    if hold_out_ids is None:
        return sets, np.empty(0, dtype=np.int64)
    if "hold_out_ids" in sets:
        raise ValueError(
            'hold_out has a set called "hold_out_ids", and there is the argument of that name: '
            "rename the set"
        )
    rows = find_rows(crystals, hold_out_ids, "hold_out_ids")
    return sets | {"hold_out_ids": crystals[rows]}, rows


def _as_test_set(name, structures):
    try:
        return as_crystals(structures)
    except (TypeError, ValueError) as error:
        raise type(error)(f"hold_out, test set {name!r}: {error}") from error


def _ids(crystals):
    return np.arange(len(crystals)).astype(str) if crystals.ids is None else crystals.ids


def _warn_of_no_errors(split):
    warn(
        f"no row is left to measure errors on, and the card will have none: {counts_of(split)}; "
        "choose other validation_ids, or a larger validation_fraction"
    )


def _measurable(front_end, crystals, valid, split):
    """Return the validation rows that can be predicted, and mark the others in `split`."""
    predictable, unknown = _predictable(front_end, crystals[valid])
    split[valid[~predictable]] = "unknown element"
    if len(valid) and not predictable.any():
        _warn_of_no_errors(split)
    elif not predictable.all():
        warn(
            f"{(~predictable).sum()} of {len(valid)} validation rows not measured, for elements "
            f"that the front-end has not learned: {', '.join(unknown)}"
        )
    return valid[predictable]


def _measure(front_end, crystals, y, train, valid):
    """Return errors on the validation rows, and those of predicting the mean."""
    rows = []
    predicted = np.empty((0, y.shape[1]))
    if len(valid):
        predicted = front_end.predict(crystals[valid]).reshape(len(valid), -1)
    for column, target in enumerate(y.columns):
        truth = y[target].to_numpy()[valid]
        has = ~np.isnan(truth)
        error = predicted[has, column] - truth[has]
        spread = truth[has] - np.nanmean(y[target].to_numpy()[train])
        rows.append(
            {
                "n_train": int(y[target].iloc[train].notna().sum()),
                "n_validation": int(has.sum()),
                "mae": np.abs(error).mean() if has.any() else np.nan,
                "mae_of_mean": np.abs(spread).mean() if has.any() else np.nan,
                "rmse": np.sqrt(np.mean(error**2)) if has.any() else np.nan,
                "rmse_of_mean": np.sqrt(np.mean(spread**2)) if has.any() else np.nan,
                "r2": r2_score(truth[has], predicted[has, column]) if has.sum() > 1 else np.nan,
            }
        )
    return pd.DataFrame(rows, index=pd.Index(y.columns, name="target"))


def _described(front_end):
    """Return the parameters of the front-end as JSON holds them, and the tables that it reads."""
    params = {k: v for k, v in encode_estimator(front_end).items() if k != "verbose"}
    tables = named(getattr(front_end, "element_features", None))
    features = [t if isinstance(t, str) else f"{t.name} (own table)" for t in tables]
    if isinstance(front_end, CrystalGNNRegressor) and front_end.embedding is None:
        backbone = resolve_backbone(front_end.backbone)
        features = [backbone.native_table] if backbone.native_frozen else []
    if any(isinstance(table, ElementTable) for table in tables):
        params["element_features"] = features  # the names are all that JSON holds of one's own
    return params, features


def _count_elements(crystals):
    """Return how many crystals have each element, {symbol: count}."""
    _, numbers, _ = crystals.composition()
    found, counts = np.unique(numbers, return_counts=True)
    return {SYMBOLS[z - 1]: int(n) for z, n in zip(found, counts, strict=True)}


def _predictable(front_end, crystals):
    """Mark rows that the front-end can predict, and return the symbols that it does not know."""
    rows, numbers, _ = crystals.composition()
    if getattr(front_end, "on_missing_element", "raise") == "mean":
        unknown = numbers > N_LEARNED
    else:
        unknown = ~front_end.element_table_.seen[numbers - 1]
    predictable = np.ones(len(crystals), dtype=bool)
    predictable[rows[unknown]] = False
    return predictable, [SYMBOLS[z - 1] for z in np.unique(numbers[unknown])]


def _with_card(learned, config):
    metadata = {key: config[key] for key in _IN_CARD}
    metadata["description"] = (
        f"Element vectors that a {config['front_end']} learned from "
        f"{config['rows']['train']:,} crystals and {', '.join(config['targets'])}"
    )
    metadata["leakage"] = leakage_statement(config)
    return ElementTable(
        learned.values[learned.seen], learned.symbols, name=config["name"], metadata=metadata
    )
