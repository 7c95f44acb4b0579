"""Potentials as parts of other files, with their parameters."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from skuae._cards import check_all_taken, take
from skuae._elements import SYMBOLS, atomic_number
from skuae.embedding import table_names
from skuae.potentials._plain import plain_params
from skuae.potentials._potential import CrystalPotential
from skuae.potentials._published import PUBLISHED
from skuae.potentials._saving import DTYPES, decode_fitted, encode_fitted
from skuae.potentials._start import BACKBONES, resolve_potential
from skuae.training import library_defaults, resolve_device

# What is fitted says these, or they are of the machine and the run of the fit.
_NOT_KEPT = {
    "backbone", "checkpoint_dir", "device", "dtype", "embedding", "freeze_embedding", "init_from",
    "random_state", "verbose",
}  # fmt: skip
_SIMPLE = (bool, int, float, str, type(None))
_SETTINGS = ("freeze_embedding", "dtype")  # of a potential that is not fitted
# Names that a potential which is not fitted may start from: no file of somebody's machine.
_STARTS = {"embedding": tuple(table_names()), "init_from": PUBLISHED}


def encode_potential(potential: CrystalPotential) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return what a file holds of a potential, fitted or not; see `decode_potential`.

    Parameters
    ----------
    potential : CrystalPotential
        Its parameters are kept but for `embedding`, `init_from`, `checkpoint_dir`, `random_state`
        and `verbose`. One that is not fitted keeps `embedding` and `init_from`, too.

    Returns
    -------
    card : dict
        What JSON can hold.
    arrays : dict of ndarray

    Raises
    ------
    TypeError
        If a parameter is nothing that JSON can hold, or a potential that is not fitted has an
        `embedding` or `init_from` that is no name of skuae.
    """
    params = potential.get_params(deep=False)
    kept = {name: value for name, value in params.items() if name not in _NOT_KEPT}
    by_symbol = None
    if isinstance(given := kept["reference_energies"], Mapping):
        by_symbol = {SYMBOLS[atomic_number(e) - 1]: value for e, value in given.items()}
        del kept["reference_energies"]
    saved = plain_params(kept, "CrystalPotential")
    if by_symbol is not None:
        saved["reference_energies"] = plain_params(by_symbol, "reference_energies")
    if potential.__sklearn_is_fitted__():
        card, arrays = encode_fitted(potential.fitted_, potential.history_)
        return {**card, "estimator": saved}, arrays
    backbone = resolve_potential(potential.backbone)
    card = {
        "unfitted": _names_to_start_from(potential),
        "backbone": next(name for name, kind in BACKBONES.items() if kind is type(backbone)),
        "params": backbone.get_params(),
        **plain_params({name: params[name] for name in _SETTINGS}, "CrystalPotential"),
        "estimator": saved,
    }
    return card, {}


def _names_to_start_from(potential: CrystalPotential) -> dict[str, str | None]:
    """Return what an unfitted potential starts from, which must be names of skuae."""
    if isinstance(potential.backbone, torch.nn.Module):
        raise TypeError(
            "a CrystalPotential that is not fitted has a model as backbone, whose weights are not "
            "saved with it; fit it first, or save CrystalPotential.from_pretrained(model)"
        )
    names: dict[str, str | None] = {}
    for key, known in _STARTS.items():
        value = getattr(potential, key)
        if not (value is None or (isinstance(value, str) and value in known)):
            what = repr(value) if isinstance(value, str) else f"a {type(value).__name__}"
            raise TypeError(
                f"a CrystalPotential that is not fitted has {what} as {key}, which is not saved "
                f"with it; fit it first, or pass one of {', '.join(known)}"
            )
        names[key] = value
    return names


def decode_potential(
    card: dict[str, Any], arrays: dict[str, np.ndarray], device: str | torch.device
) -> CrystalPotential:
    """Return the potential that `encode_potential` encoded.

    Parameters
    ----------
    card : dict
    arrays : dict of ndarray
        What is taken is removed.
    device : str or torch.device

    Returns
    -------
    CrystalPotential
        Fitted if it was so.

    Raises
    ------
    KeyError, TypeError, ValueError
        If they hold something else.
    """
    params = take(card, "estimator", dict)
    for name, value in params.items():
        by_symbol = name == "reference_energies" and isinstance(value, dict)
        values = value.values() if by_symbol else [value]
        if name in _NOT_KEPT or any(type(one) not in _SIMPLE for one in values):
            raise ValueError(f"the parameter {name!r} is {value!r:.80}")
    if "unfitted" in card:
        return _decode_unfitted(card, params, arrays, device)
    with library_defaults():
        fitted, history = decode_fitted(card, arrays)
        fitted.module.to(resolve_device(device))
    dtype = str(fitted.dtype).removeprefix("torch.")
    potential = CrystalPotential(
        fitted.backbone, freeze_embedding=fitted.frozen, dtype=dtype, device=str(device)
    ).set_params(**params)
    potential.fitted_, potential.history_ = fitted, history
    return potential


def _decode_unfitted(
    card: dict[str, Any], params: dict[str, Any], arrays: dict[str, np.ndarray], device: Any
) -> CrystalPotential:
    check_all_taken(arrays)
    starts = take(card, "unfitted", dict)
    for key, known in _STARTS.items():
        take(starts, key, str, None, among=(None, *known))
    kind = BACKBONES[take(card, "backbone", str, among=BACKBONES)]
    potential = CrystalPotential(
        resolve_potential(kind(**take(card, "params", dict))),
        freeze_embedding=take(card, "freeze_embedding", bool),
        dtype=take(card, "dtype", str, among=DTYPES),
        embedding=starts["embedding"],
        init_from=starts["init_from"],
        device=str(device),
    )
    return potential.set_params(**params)
