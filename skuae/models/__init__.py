"""The papers' models, one file each: a specification to choose and a torch module to read."""

from sklearn.base import clone

from skuae.models._alignn import ALIGNN
from skuae.models._backbone import Backbone
from skuae.models._cgcnn import CGCNN
from skuae.models._megnet import MEGNet

__all__ = ["ALIGNN", "CGCNN", "MEGNet", "resolve_backbone"]

_BACKBONES: dict[str, type[Backbone]] = {"alignn": ALIGNN, "cgcnn": CGCNN, "megnet": MEGNet}


def resolve_backbone(backbone):
    """Return a specification for a name, or a copy of the specification given.

    Parameters
    ----------
    backbone : str or specification

    Returns
    -------
    specification

    Raises
    ------
    TypeError
        If it is neither a name nor a specification.
    ValueError
        If the name is unknown, or a parameter makes no sense.
    """
    if isinstance(backbone, str):
        if backbone not in _BACKBONES:
            raise ValueError(
                f"there is no backbone {backbone!r}; known are {', '.join(_BACKBONES)}"
            )
        return _BACKBONES[backbone]()
    if not isinstance(backbone, Backbone):
        raise TypeError(
            f"backbone must be a name ({', '.join(_BACKBONES)}) or an object such as "
            f"skuae.models.CGCNN(); got {type(backbone).__name__}"
        )
    backbone = clone(backbone)
    backbone.check()
    return backbone
