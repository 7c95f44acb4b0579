"""Back-ends by name, and their encoding in JSON."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import clone

from skuae._cards import take
from skuae.models._alignn import ALIGNN
from skuae.models._backbone import SPECIFICATIONS, Backbone
from skuae.models._cgcnn import CGCNN
from skuae.models._cogn import CoGN
from skuae.models._crystal_transformer import CrystalTransformer
from skuae.models._crystalbert import CrystalBERT
from skuae.models._gated_gcn import GatedGCN
from skuae.models._megnet import MEGNet
from skuae.models._sen import SEN

# What `backbone=` may be as a string; the command line and the documentation read it too.
BACKBONES: dict[str, type[Backbone]] = {
    "alignn": ALIGNN,
    "cgcnn": CGCNN,
    "cogn": CoGN,
    "crystal_transformer": CrystalTransformer,
    "crystalbert": CrystalBERT,
    "gated_gcn": GatedGCN,
    "megnet": MEGNet,
    "sen": SEN,
}
_OWN = "skuae.models"


def resolve_backbone(backbone: str | Backbone) -> Backbone:
    """Return a specification for a name, or a copy of the specification given.

    Parameters
    ----------
    backbone : str or Backbone

    Returns
    -------
    Backbone
        Its parameters checked.

    Raises
    ------
    TypeError
        If it is neither a name nor a specification.
    ValueError
        If the name is unknown, or a parameter makes no sense.
    """
    if isinstance(backbone, str):
        if backbone not in BACKBONES:
            raise ValueError(f"there is no backbone {backbone!r}; known are {', '.join(BACKBONES)}")
        return BACKBONES[backbone]()
    if not isinstance(backbone, Backbone):
        raise TypeError(
            f"backbone must be a name ({', '.join(BACKBONES)}) or an object such as "
            f"skuae.models.CGCNN(); got {_call(backbone)}"
        )
    copy: Backbone = clone(backbone)
    copy.check()
    return copy


def _call(backbone: object) -> str:
    if isinstance(backbone, type):
        return f"the class {backbone.__name__}; pass an instance of it"
    return type(backbone).__name__


def backbone_name(backbone: Backbone) -> str:
    """Return what a back-end is called in messages and tables.

    Parameters
    ----------
    backbone : Backbone

    Returns
    -------
    str
        Its name in `BACKBONES`, or that of its class in small letters.
    """
    kind = type(backbone)
    names = [name for name, known in BACKBONES.items() if known is kind]
    return names[0] if names else kind.__name__.lower()


def encode_params(params: dict[str, Any]) -> dict[str, Any]:
    """Return parameters as something that JSON can hold.

    Parameters
    ----------
    params : dict

    Returns
    -------
    dict
        None for values that JSON cannot hold.
    """
    return {name: _encode(value) for name, value in params.items()}


def decode_params(saved: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters that `encode_params` was given.

    Parameters
    ----------
    saved : dict

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        If one is a back-end whose class is not there.
    """
    return {name: _decode(value) for name, value in saved.items()}


def same_backbone(one: Backbone, other: Backbone, *, but: Sequence[str] = ()) -> bool:
    """Return whether two back-ends are of one class and have equal parameters.

    A name stands for its back-end, and a list for a tuple.

    Parameters
    ----------
    one, other : Backbone
    but : sequence of str, default=()
        Parameters, also of parts, that may differ.

    Returns
    -------
    bool
    """
    return _plain(one, but) == _plain(other, but)  # a class may have been defined again since


def _plain(value: Any, but: Sequence[str]) -> Any:
    """Encode values such that equal ones have equal codes."""
    if isinstance(value, str) and value in BACKBONES:
        value = BACKBONES[value]()
    if isinstance(value, Backbone):
        params = {name: _plain(v, but) for name, v in value.spelled_out().items()}
        return {**_encode(value), "params": {k: v for k, v in params.items() if k not in but}}
    return _encode(list(value) if isinstance(value, tuple) else value)


def _encode(value: Any) -> Any:
    if isinstance(value, Backbone):
        kind = type(value)
        return {
            "backbone": kind.__name__,
            "module": _OWN if kind in BACKBONES.values() else kind.__module__,
            "params": encode_params(value.get_params(deep=False)),
        }
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, tuple):
        return {"tuple": [_encode(v) for v in value]}
    if isinstance(value, (list, np.ndarray)):
        return [_encode(v) for v in value]
    if isinstance(value, dict):  # of class weights; JSON would make strings of the labels
        return {"pairs": [[_encode(k), _encode(v)] for k, v in value.items()]}
    return value if value is None or isinstance(value, (bool, int, float, str)) else None


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(v) for v in value]
    if not isinstance(value, dict):
        return value
    if "pairs" in value:
        return {_decode(k): _decode(v) for k, v in value["pairs"]}
    if "tuple" in value:
        return tuple(_decode(v) for v in value["tuple"])
    kind, params = _find(take(value, "backbone", str), take(value, "module", str)), value["params"]
    lacking = sorted({*kind._get_param_names()} - {*params})
    if lacking:  # today's default may be another one than that of the saved back-end
        raise ValueError(f"the back-end {kind.__name__} lacks its parameter {lacking[0]!r}")
    return kind(**decode_params(params))


def _find(name: str, module: str) -> type[Backbone]:
    """Return the class of a saved back-end, if it was defined in this process."""
    own = module == _OWN
    kinds = [kind for kind in SPECIFICATIONS.get(name, []) if own == (kind in BACKBONES.values())]
    if not own:  # a script is called __main__ when it runs, and by its name when it is imported
        same = [kind for kind in kinds if kind.__module__ == module]
        kinds = same or [k for k in kinds if "__main__" in (module, k.__module__)]
    if not kinds:
        raise ValueError(
            f"the model has the back-end {name} of {module}, which is not defined here; import "
            "the module that defines it first"
        )
    return kinds[-1]
