"""Potentials as a folder: one file, model.safetensors. No pickle."""

from contextlib import nullcontext
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch

from skuae._cards import check_all_taken, take, take_array
from skuae._elements import N_ELEMENTS
from skuae._files import (
    checked_content,
    is_own,
    make_folder,
    peek_card,
    read_safetensors,
    write_safetensors,
)
from skuae._hub import CARD_FILE, CARD_MARKS, MODEL_FILE
from skuae._version import __version__
from skuae.models import ElementEmbedding, SparingBuild
from skuae.potentials._fitted import FittedPotential
from skuae.potentials._mace import MACE
from skuae.potentials._sevennet import SevenNet
from skuae.potentials._start import BACKBONES
from skuae.potentials._state import History

FORMAT = "skuae-potential-1"
DTYPES = {"float32": torch.float32, "float64": torch.float64}


def write_potential(
    folder: str | PathLike[str], fitted: FittedPotential, history: History, notes: str
) -> None:
    """Write a potential to a folder, all or nothing.

    The card of an older model there is removed, since it would describe another model.

    Parameters
    ----------
    folder : str or path-like
        Made if missing.
    fitted : FittedPotential
    history : list of dict
    notes : str
    """
    card, arrays = encode_fitted(fitted, history)
    card["notes"] = notes
    folder = make_folder(folder)
    if is_own(folder / CARD_FILE, CARD_MARKS[CARD_FILE]):
        (folder / CARD_FILE).unlink()
    write_safetensors(folder / MODEL_FILE, arrays, card, format=FORMAT)


def encode_fitted(
    fitted: FittedPotential, history: History
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return what a file holds of a potential; see `decode_fitted`.

    Parameters
    ----------
    fitted : FittedPotential
    history : list of dict

    Returns
    -------
    card : dict
        What JSON can hold.
    arrays : dict of ndarray
    """
    names = {kind: name for name, kind in BACKBONES.items()}
    card = {
        "skuae": __version__,
        "backbone": names[type(fitted.backbone)],
        "params": fitted.backbone.get_params(),
        "has_magmoms": fitted.has_magmoms,
        "frozen": fitted.frozen,
        "dtype": str(fitted.dtype).removeprefix("torch."),
        "history": history,
    }
    module = fitted.module.state_dict()
    arrays = {
        f"module.{name}": value.cpu().numpy()
        for name, value in module.items()
        if value.is_floating_point()  # the specification says all integers
    }
    arrays |= {"references": fitted.references, "seen": fitted.seen}
    return card, arrays


def is_potential(folder: str | PathLike[str]) -> bool:
    """Tell whether a folder has the file that `CrystalPotential.save_pretrained` writes.

    Parameters
    ----------
    folder : str or path-like

    Returns
    -------
    bool
        Of any version. False, too, if the file is damaged.
    """
    kind = str(peek_card(Path(folder) / MODEL_FILE).get("format"))
    return kind.rpartition("-")[0] == FORMAT.rpartition("-")[0]


def read_potential(folder: str | PathLike[str]) -> tuple[FittedPotential, History]:
    """Read what `write_potential` wrote.

    Parameters
    ----------
    folder : str or path-like

    Returns
    -------
    fitted : FittedPotential
    history : list of dict

    Raises
    ------
    FileNotFoundError
        If the folder holds no model.
    ValueError
        If the file is damaged, or holds something else.
    """
    path = Path(folder) / MODEL_FILE
    card = peek_card(path)
    if str(card.get("format")).startswith("skuae-model-"):
        raise ValueError(
            f"{folder} holds a model of another kind, or a potential that skuae.save wrote; "
            "read it with skuae.load (a fitted potential can be passed on to init_from)"
        )
    arrays, card = read_safetensors(path, format=FORMAT)
    with checked_content(path, "a potential"):
        return decode_fitted(card, arrays)


def decode_fitted(
    card: dict[str, Any], arrays: dict[str, np.ndarray]
) -> tuple[FittedPotential, History]:
    """Return the potential that `encode_fitted` encoded; arrays that are taken are removed.

    Parameters
    ----------
    card : dict
    arrays : dict of ndarray

    Returns
    -------
    fitted : FittedPotential
    history : list of dict

    Raises
    ------
    KeyError, TypeError, ValueError
        If they hold something else.
    """
    backbone = BACKBONES[take(card, "backbone", str, among=BACKBONES)](**take(card, "params", dict))
    backbone.check()
    dtype = DTYPES[take(card, "dtype", str, among=DTYPES)]
    references = take_array(arrays, "references", np.float64, (N_ELEMENTS,))
    seen = take_array(arrays, "seen", bool, (N_ELEMENTS,))
    frozen = take(card, "frozen", bool)
    numpy_dtype = np.dtype(take(card, "dtype", str))
    vectors = take_array(arrays, "module.elements.weight", numpy_dtype, (None, None))
    # e3nn, which mace-torch and sevenn are made of, computes constants from random numbers.
    sparing = nullcontext() if isinstance(backbone, (MACE, SevenNet)) else SparingBuild(arrays)
    with sparing:
        module = backbone.build(ElementEmbedding(torch.tensor(vectors), frozen)).to(dtype)
    state = {**module.state_dict(), "elements.weight": torch.tensor(vectors)}
    for name, value in state.items():
        if name != "elements.weight" and value.is_floating_point():
            shape = tuple(value.shape)
            state[name] = torch.tensor(take_array(arrays, f"module.{name}", numpy_dtype, shape))
    check_all_taken(arrays)
    module.load_state_dict(state)
    if seen[len(vectors) :].any() or (seen & ~backbone.covered()).any():
        raise ValueError("elements without a vector or weights are among those of training")
    has_magmoms = take(card, "has_magmoms", bool)
    history = take(card, "history", list)
    return FittedPotential(backbone, module, references, seen, has_magmoms, frozen), history
