"""Steps of ``skuae train``: read, choose the task, hold out, fit, write."""

import argparse
import platform
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.base import clone

from skuae._elements import SYMBOLS
from skuae._hub import CARD_FILE, MODEL_FILE
from skuae._version import __version__
from skuae._warnings import warn
from skuae.commands._data import read_labelled
from skuae.commands._model import SavedModel, digest_of
from skuae.commands._recipes import check_options, make_estimator
from skuae.commands._scores import FILES as SCORE_FILES
from skuae.commands._scores import Scored, clear, join, score, write_notes
from skuae.commands._settings import parse_settings
from skuae.commands._splits import check_split_options, make_splits
from skuae.commands._tables import table_at
from skuae.crystals import Crystals
from skuae.embedding import resolve_table
from skuae.estimators import CrystalEstimator, encode_estimator
from skuae.pipelines import save
from skuae.training import resolve_device

FILES = (MODEL_FILE, CARD_FILE, *SCORE_FILES)


class Prepared(NamedTuple):
    """What is to be fitted.

    Attributes
    ----------
    task : {"regression", "classification"}
    model : estimator
        Not fitted.
    crystals : Crystals
        The rows with a label.
    labels : DataFrame of shape (n_crystals, n_targets)
    n_read : int
        Rows of DATA, with a label or not.
    """

    task: str
    model: Any
    crystals: Crystals
    labels: pd.DataFrame
    n_read: int


def prepare(args: argparse.Namespace) -> Prepared:
    """Read DATA and make the estimator.

    Parameters
    ----------
    args : argparse.Namespace

    Returns
    -------
    Prepared

    Raises
    ------
    ValueError, TypeError, OSError
        If an option, a file or a label makes no sense.
    """
    settings = parse_settings(args.set or [])
    if args.unit and len(args.unit) != len(args.target):
        raise ValueError(
            f"give --unit once for each --target (--unit: {len(args.unit)}, "
            f"--target: {len(args.target)})"
        )
    check_split_options(args.folds, args.test_fraction)
    resolve_device(args.device or "auto")  # what is wrong is said before minutes of reading
    if args.embedding is not None:
        args.embedding = table_at(args.embedding)
        resolve_table(args.embedding)
    check_options(args, settings)
    crystals, labels, n_read = read_labelled(args.data, args.target, args.jobs, bool(args.quiet))
    labels = labels[args.target]
    task = _task(labels, args.task)
    if task == "classification":
        if any(args.unit or []):
            raise ValueError(
                f"--unit {args.unit[0]}: {args.target[0]} holds classes, which have no unit"
            )
        labels = labels.apply(_as_classes)
    model = make_estimator(task, args, settings, len(labels))
    return Prepared(task, model, crystals, labels, n_read)


def _task(labels: pd.DataFrame, asked: str | None) -> str:
    """Return what is to be learned; raise ValueError if the labels do not fit it."""
    texts = [
        name
        for name, column in labels.items()
        if pd.api.types.is_bool_dtype(column) or not pd.api.types.is_numeric_dtype(column)
    ]
    task = asked or ("classification" if texts else "regression")
    if task == "regression" and texts:
        raise ValueError(f"--task regression: {texts[0]} holds texts or booleans, not numbers")
    if task == "classification" and len(labels.columns) > 1:
        raise ValueError("a classifier learns one target; give one --target")
    few = [name for name in labels if labels[name].nunique() <= 2]
    if asked is None and task == "regression" and few:
        values = ", ".join(f"{value:g}" for value in labels[few[0]].dropna().unique())
        warn(
            f"{few[0]} has the values {values} only, and is learned as a number; "
            "--task classification takes them for classes, --task regression keeps this quiet"
        )
    return task


def _as_classes(column: pd.Series) -> pd.Series:
    """Return whole numbers as integers: classes are called 0 and 1, not 0.0 and 1.0."""
    if not pd.api.types.is_float_dtype(column):
        return column
    if (column != column.round()).any():
        raise ValueError(
            f"--task classification: {column.name} holds numbers with a fraction, which are no "
            "classes"
        )
    return column.astype(np.int64)


def fit_and_score(
    args: argparse.Namespace, prepared: Prepared
) -> tuple[Any, Scored | None, dict[str, Any]]:
    """Fit and predict fold by fold, then fit on all rows.

    Parameters
    ----------
    args : argparse.Namespace
    prepared : Prepared

    Returns
    -------
    model : estimator
        Fitted on all rows.
    scored : Scored or None
        The held-out rows; None if there are none.
    notes : dict
        What goes into metrics.json, but for the checksum of the model.
    """
    task, model, crystals, labels, n_read = prepared
    started = time.monotonic()
    y = labels if labels.shape[1] > 1 else labels.iloc[:, 0]
    splits = make_splits(
        crystals,
        y if task == "classification" else None,
        folds=args.folds,
        test_fraction=args.test_fraction,
        by_formula=args.group == "formula",
        random_state=args.random_state,
    )
    parts = []
    for k, (train, test) in enumerate(splits, start=1):
        fold = f"fold {k} of {len(splits)}: " if len(splits) > 1 else ""
        _say(args, f"{fold}{len(train)} rows to train on, {len(test)} held out")
        fitted = clone(model).fit(crystals[train], y.iloc[train])
        known = _known(fitted, args.target, crystals[train])
        parts.append(score(known, crystals[test], labels.iloc[test], labels.iloc[train]))
    scored = join(parts) if parts else None
    errors = {} if scored is None else scored.measure()
    for name in errors if len(parts) > 1 else ():
        errors[name]["folds"] = [part.measure()[name] for part in parts]
    _say(args, f"the model: all {len(labels)} rows to train on")
    fitted = clone(model).fit(crystals, y)
    alone = isinstance(fitted, CrystalEstimator)
    notes = {
        "recipe": args.recipe,
        "task": task,
        "targets": args.target,
        "units": dict(zip(args.target, args.unit or [], strict=False)),
        "errors": errors,
        "held_out": {
            "folds": args.folds,
            "test_fraction": None if args.folds else args.test_fraction,
            "group": args.group,
            "rows": 0 if scored is None else len(scored.frame),
            "rows_without_prediction": 0 if scored is None else scored.n_failed,
        },
        "data": [str(path) for path in args.data],
        "rows_read": n_read,
        "training_rows": len(labels),
        "random_state": args.random_state,
        "params": encode_estimator(fitted) if alone else parse_settings(args.set or []),
        "seconds": round(time.monotonic() - started, 1),
        "versions": {
            "skuae": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }
    return fitted, scored, notes


def _known(model: Any, targets: list[str], crystals: Crystals) -> SavedModel:
    """Return a fitted model with its targets, units and training elements."""
    _, numbers, _ = crystals.composition()
    return SavedModel(model, targets, {}, [SYMBOLS[z - 1] for z in np.unique(numbers)])


def write(
    folder: Path, model: Any, crystals: Crystals, scored: Scored | None, notes: dict[str, Any]
) -> None:
    """Write the model and what is known of it.

    Parameters
    ----------
    folder : Path
    model : estimator
    crystals : Crystals
        The training rows.
    scored : Scored or None
    notes : dict
    """
    clear(folder)
    units = {target: notes["units"].get(target, "") for target in notes["targets"]}
    save(model, folder, units=units, scores=_scores(notes), trained_on=crystals)
    if scored is not None:
        scored.write(folder, notes["units"])
    write_notes(folder, {**notes, "model_sha256": digest_of(folder)})


def _scores(notes: dict[str, Any]) -> dict[str, float]:
    """Return the errors on held-out rows by name, for the card."""
    return {
        f"{key} of {name} on held-out rows": value
        for name, errors in notes["errors"].items()
        for key, value in errors.items()
        if isinstance(value, float) and np.isfinite(value)
    }


def _say(args: argparse.Namespace, text: str) -> None:
    if not args.quiet:
        print(text, file=sys.stderr, flush=True)
