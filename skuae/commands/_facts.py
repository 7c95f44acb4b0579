"""Facts that `skuae info` prints about models, element tables and data sets."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skuae._elements import SYMBOLS
from skuae._files import peek_card
from skuae._hub import MODEL_FILE, find_model, shipped_models
from skuae.commands._model import load_model, notes_on
from skuae.datasets import formula_groups, read_structures
from skuae.embedding import TABLE_FILES, ElementTable, get_table, table_names
from skuae.estimators import CrystalEstimator
from skuae.potentials import CrystalPotential

Facts = dict[str, Any]
_MOST_ERRORS = 10


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
        The entry ``errors`` lists the rows that cannot be read, if there are any.

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
    tables = sorted(path.glob("*.safetensors")) if path.is_dir() else []
    if len(tables) == 1:  # as `skuae pretrain` leaves it
        return _table(ElementTable.load(tables[0]))
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
    names = known.targets or ["(not named)"]
    facts: Facts = {"model": type(model).__name__}
    alone = isinstance(model, CrystalEstimator)
    if alone:
        facts["back-end"] = str(model.network_.backbone)
    elif isinstance(model, CrystalPotential):
        facts["back-end"] = str(model.fitted_.backbone)
    else:
        facts["parts"] = _parts(model)
    facts["targets"] = [
        f"{name} ({known.units[name]})" if name in known.units else name for name in names
    ]
    if known.classes is not None:
        facts["classes"] = [str(label) for label in known.classes]
    elements = known.elements
    if alone:
        facts |= _network(model, model.net_.module_, model.n_iter_)
        elements = [SYMBOLS[i] for i in np.flatnonzero(model.network_.elements.seen)]
    elif isinstance(model, CrystalPotential):
        facts |= _network(model, model.fitted_.module, len(model.history_) or "unknown")
    facts |= {
        "training rows": notes.get("training_rows", "unknown"),
        "training elements": _listed(elements) if elements else "unknown",
    }
    errors = notes.get("errors") or {}
    for name in errors:
        facts[f"held-out errors of {name}"] = ", ".join(
            f"{key} {value:.4g}" for key, value in errors[name].items() if _is_number(value)
        )
    versions = notes.get("versions") or {"skuae": written_by}
    facts["versions"] = ", ".join(f"{key} {value}" for key, value in versions.items())
    return facts


def _network(model: Any, module: Any, n_epochs: Any) -> Facts:
    table = model.element_table_
    width = f"{len(table.symbols)} elements x {table.n_dims} columns"
    return {
        "weights": sum(p.numel() for p in module.parameters()),
        "epochs": n_epochs,
        "element table": f"{table.name}, {width}",
    }


def _parts(model: Any) -> list[str]:
    """Return the steps of a pipeline or the members of an ensemble, as ``name: class``."""
    named = getattr(model, "steps", None) or [*getattr(model, "named_estimators_", {}).items()]
    if hasattr(model, "regressor_"):
        named = [("regressor", model.regressor_)]
    fitted = [(name, part) for name, part in named if part != "drop"]
    return [f"{name}: {' > '.join(_chain(part))}" for name, part in fitted] or ["(not named)"]


def _chain(part: Any) -> list[str]:
    """Return the classes of the steps of a pipeline, or the class of another estimator."""
    return [type(step).__name__ for _, step in getattr(part, "steps", [("", part)])]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _table(table: ElementTable) -> Facts:
    facts: Facts = {
        "element table": table.name,
        "columns": table.n_dims,
        "elements": _listed(table.symbols),
    }
    for key in ("description", "targets", "rows", "source", "licence", "skuae"):
        value = table.metadata.get(key)
        if value:
            items = value.items() if isinstance(value, dict) else ()
            facts[key] = ", ".join(f"{k} {v}".strip() for k, v in items) or str(value)
    return facts


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
            "sites": f"{sizes.min()} to {sizes.max()}, {sizes.mean():.1f} on average",
            "disordered crystals": int(crystals.is_disordered.sum()),
            "elements": _listed([SYMBOLS[z - 1] for z in np.unique(numbers)]),
            "labels": [_column(name, column) for name, column in data.labels.items()] or "none",
        }
    if len(errors):
        shown = errors.head(_MOST_ERRORS)
        facts["errors"] = [f"{e.id}: {e.reason}" for e in shown.itertuples()]
        if len(errors) > len(shown):
            facts["errors"].append(f"... and {len(errors) - len(shown)} more")
    return facts


def _listed(symbols: Sequence[str]) -> str:
    return f"{len(symbols)}: {' '.join(symbols)}"


def _column(name: str, column: pd.Series) -> str:
    """Return what a column of labels holds."""
    known = column.dropna()
    gaps = len(column) - len(known)
    text = f"{len(known.astype(str).unique())} values"
    if (
        pd.api.types.is_numeric_dtype(known)
        and not pd.api.types.is_bool_dtype(known)
        and len(known)
    ):
        text = f"{known.min():g} to {known.max():g}, {known.mean():g} on average"
    return f"{name}: {text}" + (f", {gaps} empty" if gaps else "")
