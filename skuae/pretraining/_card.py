"""The model card of a learned element table, in Markdown."""

import json

import numpy as np

from skuae._markdown import escape

_NOT_FROM_CRYSTALS = {"onehot", "random", "random16", "cgcnn", "magpie", "magpie_sc", "mat2vec",
                      "matscholar", "mod_petti", "oliynyk", "oliynyk_sc", "xenonpy"}  # fmt: skip
_FEW = 20  # crystals of an element, below which its vector says little

_TEMPLATE = """# {title}

{n_elements} elements x {n_dims} columns, learned by a {front_end} from {n_train:,} crystals.

```python
from skuae import CrystalGNNRegressor, ElementTable, UAETransformer

table = ElementTable.load({file})
CrystalGNNRegressor(embedding=table)
UAETransformer(table)
```

## Data

- Source: {source}
- Licence: {licence}
- Rows: {rows}
- Targets: {targets}

## Leakage

{leakage}

## Errors on the validation rows

| target | unit | rows trained on | rows measured | mean absolute error | of the mean | R² |
|---|---|---|---|---|---|---|
{metrics}

These say how well the front-end was trained. What the table does for another model has to be
measured with that model.

## Elements

Seen in training: {elements}.

In fewer than {few} crystals, so that their vectors say little: {rare}.

In none, so that their vectors are made of their known properties alone: {unseen}.

## How

`random_state={random_state}`, {fit_seconds} s on {machine}; skuae {skuae}, torch {torch}, Python
{python}. `config.json` has all of it, `split.csv` what became of each row, `model/` the front-end.

| parameter | value |
|---|---|
{params}

## Citation

Jin et al., Transformer-generated atomic embeddings to enhance prediction accuracy of crystal
properties with machine learning, Nature Communications 16, 1210 (2025),
doi:10.1038/s41467-025-56481-x; and the source of the data.
"""


def model_card(table, config):
    """Write the card.

    Parameters
    ----------
    table : ElementTable
    config : dict
        What `pretrain` decided and measured.

    Returns
    -------
    str
    """
    counts = config["crystals_per_element"]
    rare = [f"{symbol} ({n})" for symbol, n in counts.items() if n < _FEW]
    unseen = [symbol for symbol in table.symbols if symbol not in counts]
    metrics = [
        f"| {escape(target)} | {escape(config['targets'][target])} | {m['n_train']:,} | "
        f"{m['n_validation']:,} | "
        + " | ".join(_number(m[key]) for key in ("mae", "mae_of_mean", "r2"))
        + " |"
        for target, m in config["metrics"].items()
    ]
    return _TEMPLATE.format(
        **{k: config[k] for k in ("front_end", "random_state", "fit_seconds", "machine",
                                  "skuae", "torch", "python")},
        title=escape(config["name"]),
        file=json.dumps(f"{config['name']}.safetensors"),
        n_elements=len(table.symbols),
        n_dims=table.n_dims,
        n_train=config["rows"]["train"],
        source=escape(config["source"] or "not said"),
        licence=escape(config["licence"] or "not said"),
        rows=", ".join(f"{n:,} {part}" for part, n in config["rows"].items()),
        targets=escape(
            ", ".join(f"{t} ({u})" if u else t for t, u in config["targets"].items())
        ),
        leakage=escape(leakage_statement(config)),
        metrics="\n".join(metrics),
        elements=", ".join(counts),
        few=_FEW,
        rare=", ".join(rare) or "none",
        unseen=", ".join(unseen) or "none",
        params="\n".join(f"| {escape(k)} | {escape(v)} |" for k, v in config["params"].items()),
    )  # fmt: skip


def leakage_statement(config):
    """Say in words what was kept out of the training rows."""
    level = {
        "formula": "has the reduced formula of",
        "structure": "is, or duplicates (composition, space group, volume per atom),",
        "id": "has the id of",
    }[config["hold_out_by"]]
    sets = ", ".join(f"{name} ({n:,} rows)" for name, n in config["hold_out"].items())
    kept_out = [f"No training row {level} a row of these test sets: {sets}."] if sets else []
    if "validation" in config["rows"]:
        kept_out.append("No training row has the reduced formula of a validation row.")
    unknown = [name for name in config["element_features"] if name not in _NOT_FROM_CRYSTALS]
    if unknown:
        kept_out.append(
            f"Element features are from {', '.join(unknown)}: if crystals of the test sets were "
            "used to make these is not known."
        )
    return " ".join(
        [
            *kept_out,
            f"Any {'other ' if kept_out else ''}crystal of the source may have been trained on, "
            "with the targets above: on your own test rows from the same source, a table learned "
            "without them is the honest one.",
        ]
    )


def _number(value):
    return "-" if value is None or np.isnan(value) else f"{value:.4g}"
