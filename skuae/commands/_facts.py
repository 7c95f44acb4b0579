"""Facts that `skuae info` prints about models, element tables and data sets."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skuae._elements import SYMBOLS
from skuae._files import peek_card
from skuae._hub import MODEL_FILE, find_model, shipped_models
from skuae.commands._model import load_model, notes_on
from skuae.commands._tables import table_at, tables_in
from skuae.datasets import formula_groups, read_structures
from skuae.embedding import TABLE_FILES, ElementTable, get_table, table_names
from skuae.estimators import CrystalEstimator
from skuae.potentials import CrystalPotential

Facts = dict[str, Any]
_CONSTANT = "constant "  # before the errors of a constant, in the notes of shipped models
_NAMES = {"mae": "MAE", "rmse": "RMSE"}


def facts_on(name: str, jobs: int | None, quiet: bool) -> Facts:
    """Return what is known of a model, an element table or a data set.

    Parameters
    ----------
    name : str
        A path, or the name of a table.
    jobs : int or None
        Processes that read structures.
    quiet : bool
        Whether to show no progress bar.

    Returns
    -------
    dict of str to object
        None is unknown. The entry ``errors`` lists the rows that cannot be read, if there are any.

    Raises
    ------
    FileNotFoundError
        If there is nothing of that name.
    ValueError
        If what is there is none of these, or is damaged.
    """
    path = Path(name)
    if name in shipped_models() or (name and (path / MODEL_FILE).is_file()):
        return _model(name)
    if not name or not path.exists():
        if name in table_names():
            return _table(get_table(name))
        raise FileNotFoundError(
            f"there is no file or folder {name}, and no model or element table of that name; "
            f"models are {', '.join(shipped_models())}, tables {', '.join(table_names())}"
        )
    if path.is_dir() and tables_in(path):  # as `skuae pretrain` leaves it
        return _table(ElementTable.load(table_at(name)))
    if path.name.lower().endswith(TABLE_FILES):
        try:
            return _table(ElementTable.load(path))
        except ValueError:
            if path.suffix.lower() != ".csv":  # which may hold crystals
                raise
    return _data(name, jobs, quiet)


def _model(name: str) -> Facts:
    known = load_model(name, device="cpu")
    model, notes = known.estimator, notes_on(name)
    written_by = peek_card(find_model(name) / MODEL_FILE).get("skuae")
    facts: Facts = {"model": type(model).__name__}
    alone = isinstance(model, CrystalEstimator)
    if alone:
        facts["back-end"] = str(model.network_.backbone)
    elif isinstance(model, CrystalPotential):
        facts["back-end"] = str(model.fitted_.backbone)
    else:
        facts["parts"] = _parts(model)
    facts["targets"] = {name: known.units.get(name) for name in known.targets or []}
    if known.classes is not None:
        facts["classes"] = [str(label) for label in known.classes]
    elements = known.elements
    if alone:
        facts |= _network(model, model.net_.module_, model.n_iter_)
        elements = [SYMBOLS[i] for i in np.flatnonzero(model.network_.elements.seen)]
    elif isinstance(model, CrystalPotential):
        facts |= _network(model, model.fitted_.module, len(model.history_) or None)
    facts |= {"training rows": notes.get("training_rows"), "training elements": elements}
    errors = notes.get("errors") or {}
    if errors:
        facts["held-out errors"] = {name: _errors(found) for name, found in errors.items()}
    facts["versions"] = notes.get("versions") or {"skuae": written_by}
    return facts


def _errors(found: dict[str, Any]) -> Facts:
    """Return the errors of a target by the names of `skuae train`, those of the constant inside."""
    errors: Facts = {}
    constant = dict(found.get("constant") or {})
    for key, value in found.items():
        name = _NAMES.get(key.removeprefix(_CONSTANT), key)
        if _is_number(value):
            (constant if key.startswith(_CONSTANT) else errors)[name] = value
    return errors | ({"constant": constant} if constant else {})


def _network(model: Any, module: Any, n_epochs: Any) -> Facts:
    table = model.element_table_
    return {
        "weights": sum(p.numel() for p in module.parameters()),
        "epochs": n_epochs,
        "element table": {
            "name": table.name, "elements": len(table.symbols), "columns": table.n_dims
        },
    }  # fmt: skip


def _parts(model: Any) -> dict[str, list[str]]:
    """Return the classes of the steps of a pipeline or of the members of an ensemble."""
    named = getattr(model, "steps", None) or [*getattr(model, "named_estimators_", {}).items()]
    if hasattr(model, "regressor_"):
        named = [("regressor", model.regressor_)]
    return {name: _chain(part) for name, part in named if part != "drop"}


def _chain(part: Any) -> list[str]:
    """Return the classes of the steps of a pipeline, or the class of another estimator."""
    return [type(step).__name__ for _, step in getattr(part, "steps", [("", part)])]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _table(table: ElementTable) -> Facts:
    facts: Facts = {
        "element table": table.name,
        "columns": table.n_dims,
        "elements": list(table.symbols),
    }
    keys = ("description", "targets", "rows", "source", "licence", "skuae")
    return facts | {key: table.metadata[key] for key in keys if table.metadata.get(key)}


def _data(name: str, jobs: int | None, quiet: bool) -> Facts:
    data = read_structures(name, n_jobs=jobs, verbose=int(not quiet), on_error="skip")
    crystals, errors = data.structures, data.errors
    facts: Facts = {"data": name, "rows": len(data.rows) + len(errors)}
    if crystals is not None:
        sizes = crystals.sizes
        _, numbers, _ = crystals.composition()
        groups = formula_groups(crystals)
        facts |= {
            "crystals": len(crystals),
            "reduced formulas": int(groups.max()) + 1,
            "sites": {"min": sizes.min(), "max": sizes.max(), "mean": sizes.mean()},
            "disordered crystals": int(crystals.is_disordered.sum()),
            "elements": [SYMBOLS[z - 1] for z in np.unique(numbers)],
            "labels": {str(name): _column(column) for name, column in data.labels.items()},
        }
    if len(errors):
        facts["errors"] = errors[["id", "reason"]].to_dict(orient="records")
    return facts


def _column(column: pd.Series) -> Facts:
    """Return what a column of labels holds."""
    known = column.dropna()
    facts: Facts = {"values": len(known.astype(str).unique())}
    numbers = pd.api.types.is_numeric_dtype(known) and not pd.api.types.is_bool_dtype(known)
    if numbers and len(known):
        facts = {"min": known.min(), "max": known.max(), "mean": known.mean()}
    return facts | {"empty": len(column) - len(known)}
