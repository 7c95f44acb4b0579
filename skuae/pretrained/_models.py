"""Models by name, without naming their class."""

from os import PathLike
from typing import Any

from skuae._shipped import find_model, shipped_names
from skuae.estimators import load_pretrained


def names() -> list[str]:
    """Return the names of the models that come with the package.

    Returns
    -------
    list of str

    Examples
    --------
    >>> from skuae import pretrained
    >>> "mp" in pretrained.names()
    True
    """
    return shipped_names()


def load(model: str | PathLike[str], *, device: str = "auto") -> Any:
    """Return a fitted estimator, whatever its class.

    Parameters
    ----------
    model : str or path-like
        The name of a model that comes with the package, a folder that `save_pretrained` wrote, or
        ``hf://owner/name`` for one at Hugging Face (``pip install 'skuae[hub]'``).
    device : str or torch.device, default="auto"

    Returns
    -------
    estimator : CrystalGNNRegressor, CrystalGNNClassifier or CrystalTransformerRegressor

    Raises
    ------
    FileNotFoundError
        If there is no such model.
    ValueError
        If the file was changed or cut short, or is of a version that cannot be read.

    Examples
    --------
    >>> from skuae import pretrained
    >>> from skuae.datasets import make_toy_crystals
    >>> model = pretrained.load("mp")
    >>> model.predict(make_toy_crystals(2, random_state=0).structures).shape[0]
    2
    """
    return load_pretrained(model, device=device)


def card(model: str | PathLike[str]) -> str:
    """Return the card of a model: data, licence, errors, limits, in Markdown.

    Parameters
    ----------
    model : str or path-like
        As in `load`.

    Returns
    -------
    str

    Raises
    ------
    FileNotFoundError
        If there is no such model, or it has no card.
    """
    return (find_model(model) / "README.md").read_text(encoding="utf-8")
