"""Pre-training: hold out, split, fit, measure, and write a table that says what it has seen."""

import json
import platform
import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.base import clone
from sklearn.utils import Bunch

import skuae
from skuae._files import write_bytes
from skuae.crystals import as_crystals
from skuae.datasets import formula_groups, leaking_rows
from skuae.embedding import ElementTable
from skuae.embedding._elements import SYMBOLS
from skuae.estimators import CrystalTransformerRegressor
from skuae.pretraining._card import leakage_statement, model_card
from skuae.training._persistence import encode_params

_IN_CARD = ("targets", "source", "licence", "rows", "hold_out", "hold_out_by", "metrics", "params",
            "front_end", "random_state", "fit_seconds", "crystals_per_element", "skuae",
            "torch")  # fmt: skip


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
    y : DataFrame of shape (n_crystals, n_targets)
        Properties, NaN where unknown. Rows without any are left out.
    folder : str or path-like
        Made if missing. Gets ``<name>.safetensors`` (the table), ``README.md`` (its card),
        ``config.json`` (all that was decided), ``split.csv`` (what became of each row) and
        ``model/`` (the front-end, for `from_pretrained`).
    front_end : estimator, optional
        What learns: a `CrystalTransformerRegressor` (default: with its own defaults), or a
        `CrystalGNNRegressor` with ``embedding="onehot"`` (Method II of the paper). A clone of it
        is fitted.
    name : str, default="ct-uae"
        Name of the table.
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
        Share of the formulas to measure errors on, drawn at random, without `validation_ids`.
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
        mean absolute error, that of the mean of the training rows, R²), `split` (Series by row:
        train, validation, held out, too large, no label) and `folder`.

    Raises
    ------
    TypeError
        If y is not a data frame with one row a crystal.
    ValueError
        If ids are unknown, or too few rows are left to train on.

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
    crystals = as_crystals(structures)
    y = _check_labels(y, crystals)
    front_end = clone(CrystalTransformerRegressor() if front_end is None else front_end)
    if front_end.random_state is None:
        front_end.set_params(random_state=0)  # a run that nobody can repeat is worth little
    if hold_out is not None and not isinstance(hold_out, dict):
        hold_out = {"hold_out": hold_out}
    sets = {key: as_crystals(value) for key, value in (hold_out or {}).items()}
    if hold_out_ids is not None:
        sets["hold_out_ids"] = crystals[_find(crystals, hold_out_ids, "hold_out_ids")]
    split = _split(
        crystals, y, sets, hold_out_by, validation_ids, validation_fraction, max_sites,
        int(front_end.random_state),
    )  # fmt: skip
    train, valid = (np.flatnonzero(split == part) for part in ("train", "validation"))
    if len(train) < 2:
        raise ValueError(
            f"{len(train)} rows are left to train on, of {len(crystals)}: "
            f"{_counts(split)}; hold out less, or raise max_sites"
        )
    if verbose:
        print(f"{name}: {_counts(split)}", flush=True)

    folder = Path(folder)
    checkpoints = folder / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    front_end.set_params(checkpoint_dir=checkpoints, verbose=max(verbose, 0))
    start = time.perf_counter()
    front_end.fit(crystals[train], y.iloc[train])
    seconds = time.perf_counter() - start
    metrics = _measure(front_end, crystals, y, train, valid)

    params = {k: v for k, v in encode_params(front_end).items() if k != "verbose"}
    config = {
        "name": name,
        "skuae": skuae.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {front_end.device_}",
        "source": source,
        "licence": licence,
        "targets": {t: (units or {}).get(t, "") for t in y.columns},
        "rows": {part: int((split == part).sum()) for part in np.unique(split)},
        "hold_out": {key: len(value) for key, value in sets.items()},
        "hold_out_by": hold_out_by,
        "max_sites": max_sites,
        "front_end": type(front_end).__name__,
        "params": params,
        "random_state": int(front_end.random_state),
        "metrics": json.loads(metrics.to_json(orient="index", double_precision=6)),
        "fit_seconds": round(seconds),
        "crystals_per_element": _count_elements(crystals[train]),
    }
    table = _with_card(front_end.element_table_, config)
    table.save(folder / f"{name}.safetensors")
    front_end.set_params(checkpoint_dir=None)
    front_end.save_pretrained(folder / "model")
    split = pd.Series(split, index=_ids(crystals), name="part").rename_axis("id")
    write_bytes(folder / "split.csv", split.to_csv().encode())
    write_bytes(folder / "README.md", model_card(table, config).encode())
    write_bytes(folder / "config.json", json.dumps(config, indent=2).encode())
    shutil.rmtree(checkpoints, ignore_errors=True)
    return Bunch(table=table, front_end=front_end, metrics=metrics, split=split, folder=folder)


def _check_labels(y, crystals):
    if isinstance(y, pd.Series):
        y = y.to_frame()
    if not isinstance(y, pd.DataFrame):
        raise TypeError(
            f"y is a {type(y).__name__}; pass a data frame whose columns are the targets, so that "
            "the card can name them"
        )
    if len(y) != len(crystals):
        raise ValueError(f"y has {len(y)} rows, there are {len(crystals)} structures")
    return y.astype(float)


def _ids(crystals):
    return np.arange(len(crystals)).astype(str) if crystals.ids is None else crystals.ids


def _find(crystals, ids, what):
    """Return the rows with the ids; those that are not there need not be held out."""
    if crystals.ids is None:
        raise ValueError(f"{what} need structures with ids: as_crystals(X, ids=...)")
    rows = np.flatnonzero(np.isin(crystals.ids, np.asarray(ids, dtype=str)))
    if not len(rows):
        raise ValueError(
            f"none of the {len(ids)} {what} is among the structures' ids (such as "
            f"{crystals.ids[0]!r})"
        )
    return rows


def _split(crystals, y, sets, by, validation_ids, fraction, max_sites, seed):
    """Say of each row what becomes of it."""
    split = np.full(len(crystals), "train", dtype="<U12")
    if validation_ids is not None:
        valid = np.zeros(len(crystals), dtype=bool)
        valid[_find(crystals, validation_ids, "validation_ids")] = True
    else:
        formulas = formula_groups(crystals)
        n_formulas = formulas.max() + 1
        drawn = np.random.default_rng(seed).permutation(n_formulas) < fraction * n_formulas
        valid = drawn[formulas]
    split[leaking_rows(crystals, crystals[valid], by="formula")] = "near validation"
    split[valid] = "validation"
    for held_out in sets.values():
        split[leaking_rows(crystals, held_out, by=by)] = "held out"
    if max_sites is not None:
        split[(crystals.sizes > max_sites) & (split != "held out")] = "too large"
    unknown = y.isna().all(axis=1).to_numpy()
    split[unknown & np.isin(split, ["train", "validation"])] = "no label"
    return split


def _counts(split):
    parts, counts = np.unique(split, return_counts=True)
    order = np.argsort(-counts)
    return ", ".join(f"{counts[i]:,} {parts[i]}" for i in order)


def _measure(front_end, crystals, y, train, valid):
    """Return errors on the validation rows, beside those of predicting the mean."""
    rows = []
    # Elements that no training row has cannot be predicted, unless the front-end guesses.
    known = valid[_covered(front_end.element_table_, crystals[valid])] if len(valid) else valid
    predicted = np.empty((0, y.shape[1]))
    if len(known):
        predicted = front_end.predict(crystals[known]).reshape(len(known), -1)
    for column, target in enumerate(y.columns):
        truth = y[target].to_numpy()[known]
        has = ~np.isnan(truth)
        error = predicted[has, column] - truth[has]
        spread = truth[has] - np.nanmean(y[target].to_numpy()[train])
        rows.append(
            {
                "n_train": int(y[target].iloc[train].notna().sum()),
                "n_validation": int(has.sum()),
                "mae": np.abs(error).mean() if has.any() else np.nan,
                "mae_of_mean": np.abs(spread).mean() if has.any() else np.nan,
                "r2": 1 - (error**2).sum() / ((truth[has] - truth[has].mean()) ** 2).sum()
                if has.sum() > 1
                else np.nan,
            }
        )
    return pd.DataFrame(rows, index=pd.Index(y.columns, name="target"))


def _count_elements(crystals):
    """Return how many crystals have each element, {symbol: count}."""
    _, numbers, _ = crystals.composition()
    found, counts = np.unique(numbers, return_counts=True)
    return {SYMBOLS[z - 1]: int(n) for z, n in zip(found, counts, strict=True)}


def _covered(table, crystals):
    rows, numbers, _ = crystals.composition()
    covered = np.ones(len(crystals), dtype=bool)
    covered[rows[~table.seen[numbers - 1]]] = False
    return covered


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
