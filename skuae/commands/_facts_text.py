"""Facts of ``skuae info`` as lines of text."""

from typing import Any

_MOST_ERRORS = 10
_INDENT = "  "
_NO_NAMES = ["(not named)"]


def facts_as_text(facts: dict[str, Any]) -> str:
    """Return facts as lines, each with its name in front.

    Parameters
    ----------
    facts : dict
        Of `facts_on`.

    Returns
    -------
    str
    """
    named: dict[str, list[str]] = {}
    for key, value in facts.items():
        if key == "held-out errors":
            named |= {f"{key} of {name}": [_errors(found)] for name, found in value.items()}
        else:
            named[key] = _lines(key, value)
    width = max(map(len, named)) + len(_INDENT)
    return "\n".join(
        f"{'' if i else key:{width}}{line}" for key, lines in named.items()
        for i, line in enumerate(lines)
    )  # fmt: skip


def _lines(key: str, value: Any) -> list[str]:
    """Return the lines of a fact."""
    if value is None:
        return ["unknown"]
    if key in ("elements", "training elements"):
        return [f"{len(value)}: {' '.join(value)}"]
    if key == "errors":
        more = len(value) - _MOST_ERRORS
        shown = [f"{row['id']}: {row['reason']}" for row in value[:_MOST_ERRORS]]
        return [*shown, f"... and {more} more"] if more > 0 else shown
    if isinstance(value, list):
        return [str(item) for item in value]
    if not isinstance(value, dict):
        return [str(value)]
    if key == "targets":
        return [f"{name} ({unit})" if unit else name for name, unit in value.items()] or _NO_NAMES
    if key == "parts":
        return [f"{name}: {' > '.join(steps)}" for name, steps in value.items()] or _NO_NAMES
    if key == "element table":
        return [f"{value['name']}, {value['elements']} elements x {value['columns']} columns"]
    if key == "sites":
        return [f"{value['min']} to {value['max']}, {value['mean']:.1f} on average"]
    if key == "labels":
        return [_label(name, column) for name, column in value.items()] or ["none"]
    return [_pairs(value)]


def _label(name: str, column: dict[str, Any]) -> str:
    text = f"{column['values']} values" if "values" in column else (
        f"{column['min']:g} to {column['max']:g}, {column['mean']:g} on average"
    )  # fmt: skip
    return f"{name}: {text}" + (f", {column['empty']} empty" if column["empty"] else "")


def _errors(found: dict[str, Any]) -> str:
    """Return errors, and the first one of the constant."""
    numbers = {key: value for key, value in found.items() if key != "constant"}
    for key, value in list(found.get("constant", {}).items())[:1]:
        numbers[f"constant {key}"] = value
    return ", ".join(f"{key} {value:.4g}" for key, value in numbers.items())


def _pairs(value: dict[str, Any]) -> str:
    return ", ".join(f"{key} {item}" for key, item in value.items())
