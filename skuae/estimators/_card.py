"""The card of a saved model: what it is in words, with the header of Hugging Face's cards."""

import json
from typing import Any

from skuae._markdown import escape
from skuae._version import __version__


def model_card(estimator: Any, config: dict[str, Any], license: str | None, notes: str) -> str:
    """Return the card of a fitted estimator in Markdown.

    Parameters
    ----------
    estimator : CrystalGNNRegressor, CrystalGNNClassifier or CrystalTransformerRegressor
    config : dict
        As `save_pretrained` writes it.
    license : str or None
    notes : str
        Markdown of the caller.

    Returns
    -------
    str
    """
    name, table = type(estimator).__name__, estimator.element_table_
    n_parameters = sum(p.numel() for p in estimator.net_.module_.parameters())
    params = "\n".join(
        f"| {escape(k)} | {escape(json.dumps(v))} |" for k, v in config["params"].items()
    )
    task = "classification" if "classes" in config["task"] else "regression"
    return f"""{card_header(task, license)}
# {name}

Fitted with skuae {__version__}.

```python
from skuae import {name}

model = {name}.from_pretrained("path/of/this/folder")
model.predict(structures)
```

- Targets: {_targets(config)}{_classes(config)}
- Trained parameters: {n_parameters:,} in {estimator.n_iter_} epochs
- Element table: {escape(table.name)}, {len(table.symbols)} elements x {table.n_dims} columns
{_section(notes)}
## Parameters

| parameter | value |
|---|---|
{params}
"""


def card_header(task: str, license: str | None) -> str:
    """Return the header of a card, which Hugging Face reads.

    Parameters
    ----------
    task : {"regression", "classification"}
    license : str or None

    Returns
    -------
    str
    """
    lines = [
        "library_name: skuae",
        "tags: [materials-science, crystals, graph-neural-networks]",
        f"pipeline_tag: tabular-{task}",
    ]
    if license is not None:
        lines.insert(0, f"license: {json.dumps(license)}")  # JSON is YAML
    return "\n".join(["---", *lines, "---"])


def _targets(config: dict[str, Any]) -> str:
    names = config["target_names"] or ["(not named)"]
    units = config["target_units"] or [""] * len(names)
    parts = (f"{n} ({u})" if u else n for n, u in zip(names, units, strict=False))
    return ", ".join(escape(part) for part in parts)


def _classes(config: dict[str, Any]) -> str:
    if "classes" not in config["task"]:
        return ""
    return f"\n- Classes: {', '.join(map(escape, config['task']['classes']['labels']))}"


def _section(notes: str) -> str:
    return f"\n{notes.strip()}\n" if notes.strip() else ""
