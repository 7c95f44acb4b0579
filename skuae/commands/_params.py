"""Parameters of ``--set``: they are set, or the nearest that there are is named."""

import difflib
from typing import Any

from sklearn.base import BaseEstimator

from skuae.models import resolve_backbone


def with_params(estimator: Any, params: dict[str, Any], before: str = "") -> Any:
    """Return an estimator with the parameters of ``--set``.

    Parameters
    ----------
    estimator : estimator
        Is changed. Its `backbone` may be a name.
    params : dict
    before : str, optional
        What stands before the names in the shell, such as ``"network__"`` for a part of a pipeline.

    Returns
    -------
    estimator

    Raises
    ------
    ValueError
        If there is no such parameter.
    """
    if any(key.startswith("backbone__") for key in params) and hasattr(estimator, "backbone"):
        estimator.set_params(backbone=resolve_backbone(estimator.backbone))
    for name in params:
        _check_name(estimator, name, before)
    return estimator.set_params(**params)


def _check_name(estimator: Any, name: str, before: str) -> None:
    """Raise ValueError if an estimator or its part has no parameter of that name."""
    part, path, rest = estimator, "", name
    while isinstance(part, BaseEstimator):  # others, as CatBoost's, check names on their own
        head, sep, rest = rest.partition("__")
        known = part.get_params()
        if head not in known:
            raise ValueError(_unknown(part, known, f"{before}{path}", head, sep + rest))
        part, path = known[head], f"{path}{head}__"
        if not sep:
            return
    if not hasattr(part, "set_params"):
        raise ValueError(
            f"--set {before}{name}: {before}{path.removesuffix('__')}={part!r} has no parameters"
        )


def _unknown(part: Any, known: dict[str, Any], path: str, head: str, rest: str) -> str:
    """Return that a part, whose parameters are known, has none of the name `head`."""
    own = sorted(key for key in known if "__" not in key)
    text = f"--set {path}{head}{rest}: "
    inner = [key for key in _with_backbones(known) if key.endswith(f"__{head}{rest}")]
    near = [f"{key}{rest}" for key in difflib.get_close_matches(head, own, n=1)]
    meant = sorted(inner, key=lambda key: key.count("__"))[:2] or near
    hint = f"; did you mean {' or '.join(f'{path}{key}' for key in meant)}?" if meant else ""
    steps = getattr(part, "steps", None) or getattr(part, "estimators", None)
    if steps:
        names = ", ".join(name for name, _ in steps)
        parts = f"{hint} Its parts are" if hint else "; its parts are"
        return f"{text}a pipeline has no such parameter{parts} {names}"
    has = "" if hint else f"; it has {', '.join(own)}"
    return f"{text}{type(part).__name__} has no parameter {head}{hint}{has}"


def _with_backbones(known: dict[str, Any]) -> dict[str, Any]:
    """Return parameters with those of back-ends that are given by name."""
    names = {key: value for key, value in known.items() if f"__{key}".endswith("__backbone")}
    inner = {
        f"{key}__{name}": value
        for key, backbone in names.items()
        for name, value in resolve_backbone(backbone).get_params().items()
    }
    return known | inner
