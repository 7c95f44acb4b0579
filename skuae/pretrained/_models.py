"""The models that ship with skuae, by name."""

from pathlib import Path

import torch

from skuae._hub import close_name, shipped_models
from skuae.estimators import CrystalEstimator, load_pretrained


def names() -> list[str]:
    """List the models that ship with skuae.

    Returns
    -------
    list of str
        Each is a name for `load`, for `from_pretrained` of the estimators, for ``model`` of
        `skuae.featurizers.BackboneTransformer`, and for the commands ``skuae predict``,
        ``skuae evaluate`` and ``skuae info``.

    Examples
    --------
    >>> from skuae import pretrained
    >>> pretrained.names()
    ['mp', 'mp-energy-gap', 'mp-metal', 'mp-topology']
    """
    return list(shipped_models())


def load(name: str, *, device: str | torch.device = "auto") -> CrystalEstimator:
    """Read a model that ships with skuae, ready to predict.

    Parameters
    ----------
    name : str
        One of `names`.
    device : str or torch.device, default="auto"

    Returns
    -------
    CrystalGNNRegressor or CrystalGNNClassifier
        Fitted. ``target_names_`` and ``target_units_`` say what it predicts, `card` how well.

    Raises
    ------
    ValueError
        If there is no such model.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from skuae import pretrained
    >>> salt = Structure.from_spacegroup(
    ...     "Fm-3m", Lattice.cubic(5.69), ["Na", "Cl"], [[0, 0, 0], [0.5, 0, 0]]
    ... )
    >>> pretrained.load("mp-metal").predict([salt])
    array(['insulator'], dtype=object)
    """
    return load_pretrained(_folder(name), device=device)


def card(name: str) -> str:
    """Return what a shipped model was trained on and how well it predicts, in Markdown.

    Parameters
    ----------
    name : str
        One of `names`.

    Returns
    -------
    str
        Data, licence, targets and units, errors on formulas that it has not seen by target and by
        crystal system, calibration, and parameters.

    Raises
    ------
    ValueError
        If there is no such model.

    Examples
    --------
    >>> from skuae import pretrained
    >>> print(pretrained.card("mp"))  # doctest: +ELLIPSIS
    ---
    license: "cc-by-4.0"
    ...
    """
    return (_folder(name) / "README.md").read_text(encoding="utf-8")


def _folder(name: str) -> Path:
    shipped = shipped_models()
    if not isinstance(name, str) or name not in shipped:
        near = close_name(str(name), list(shipped))
        hint = f". Did you mean {near!r}?" if near else ""
        raise ValueError(f"no model {name!r} ships with skuae, only {', '.join(shipped)}{hint}")
    return shipped[name]
