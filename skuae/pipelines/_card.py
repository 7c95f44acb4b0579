"""The card of a saved model of several parts: a description in words."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import sklearn
from pymatgen.core import Composition
from sklearn.base import is_classifier
from sklearn.compose import TransformedTargetRegressor

from skuae._elements import SYMBOLS
from skuae._markdown import escape
from skuae._numbers import is_real
from skuae._version import __version__
from skuae.crystals import as_contents
from skuae.embedding import ElementTable
from skuae.estimators import card_header

_MOST_FORMULAS = 500  # in a card; of more, the number alone


def card_of(
    model: Any,
    parts: Sequence[Any],
    known: Mapping[str, list[str] | None],
    license: str | None,
    notes: str,
) -> str:
    """Return the card of a fitted model in Markdown.

    Parameters
    ----------
    model : estimator
        Of several parts.
    parts : list of CrystalEstimator, ElementTable and models of CatBoost
        Those of skuae.
    known : dict
        As `about` returns it.
    license : str or None
    notes : str
        Markdown.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If a text is none.
    """
    if not (license is None or isinstance(license, str)):
        raise ValueError(f"license must be a text; got {license!r}")
    task = "classification" if is_classifier(model) else "regression"
    targets, units = known["targets"], known["units"]
    facts = []
    if targets:
        pairs = zip(targets, units or [""] * len(targets), strict=True)
        texts = [f"{name} ({unit})" if unit else name for name, unit in pairs]
        facts.append(f"- Targets: {', '.join(map(escape, texts))}")
    elif units:
        facts.append(f"- Unit: {', '.join(map(escape, units))}")
    if is_classifier(model):
        facts.append(f"- Classes: {', '.join(map(escape, model.classes_))}")
    if isinstance(model, TransformedTargetRegressor):
        facts.append(f"- Predictions: {_inverse(model)}")
    tables = dict.fromkeys(part.name for part in parts if isinstance(part, ElementTable))
    if tables:
        facts.append(f"- Element tables: {', '.join(map(escape, tables))}")
    lines = "\n".join(facts) + "\n" if facts else ""
    steps = repr(model).replace("```", "'''")
    return f"""{card_header(task, license)}
# {type(model).__name__}

Fitted with skuae {__version__} and scikit-learn {sklearn.__version__}.
To read it, install skuae with skops: `pip install "skuae[save]"`.

```python
import skuae

model = skuae.load("path/of/this/folder")
model.predict(structures)
```

{lines}
```text
{steps}
```

{notes}
"""


def _inverse(model: Any) -> str:
    """Describe the inverse transformation of a `TransformedTargetRegressor`."""
    inner = type(model.regressor_).__name__
    if model.inverse_func is None:
        how = f"inverse_transform of {model.transformer_!r}"
    else:
        how = getattr(model.inverse_func, "__name__", repr(model.inverse_func))
    return f"{escape(how)}, applied to the output of {inner}"


def notes_of(notes: str, scores: Mapping[str, float] | None, trained_on: Any) -> str:
    """Return what users say of a model in Markdown.

    Parameters
    ----------
    notes : str
    scores : dict of float or None
    trained_on : array-like of structures or formulas, or None

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If a text is none, a score is no finite number, or a row cannot be read.
    """
    if not isinstance(notes, str):
        raise ValueError(f"notes must be a text; got {notes!r}")
    sections = [notes.strip()] if notes.strip() else []
    if not isinstance(scores, Mapping | None):
        raise ValueError(f"scores must be a dict of numbers by name; got {scores!r}")
    if scores:
        for name, value in scores.items():
            if not (is_real(value) and np.isfinite(value)):
                raise ValueError(f"the score {name!r} is {value!r}, which is no finite number")
        rows = [f"| {escape(name)} | {float(value):g} |" for name, value in scores.items()]
        sections.append("\n".join(["## Scores", "", "| score | value |", "|---|---|", *rows]))
    if trained_on is not None:
        sections.append(f"## Training set\n\n{_training_set(trained_on)}")
    return "\n\n".join(sections)


def _training_set(X: Any) -> str:
    """Name the number of training rows and their formulas."""
    contents = as_contents(X)
    rows, numbers, amounts = contents.composition()
    bounds = np.searchsorted(rows, np.arange(len(contents) + 1))
    formulas = {_formula(numbers[i:j], amounts[i:j]) for i, j in pairwise(bounds)}
    text = f"{len(contents)} crystals of {len(formulas)} formulas"
    return text + (f": {', '.join(sorted(formulas))}." if len(formulas) <= _MOST_FORMULAS else ".")


def _formula(numbers: np.ndarray, amounts: np.ndarray) -> str:
    symbols = (SYMBOLS[z - 1] for z in numbers)
    return str(Composition(dict(zip(symbols, amounts.tolist(), strict=True))).reduced_formula)
