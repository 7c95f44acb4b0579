"""Published weights of CHGNet and SevenNet, read where their packages are installed."""

import importlib.util
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from skuae._elements import atomic_number
from skuae.potentials._chgnet import CHGNet

_FILES = {
    "chgnet-0.3.0": "0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar",
    "chgnet-0.2.0": "0.2.0/chgnet_0.2.0_e30f77s348m32.pth.tar",
    "chgnet-r2scan": "r2scan/chgnet_r2scan_transfer_learning_e15f36s161m23.pth.tar",
}
_0_2_0 = CHGNet(
    n_radial=9, n_angular=9, n_readout=2, cutoff=5.0, exponent=5, norm=False, message_bias=True
)
SEVENNET = "sevennet-0"
PUBLISHED = (*_FILES, SEVENNET)
_NOT_IN_MPTRJ = ("Po", "At", "Rn", "Fr", "Ra")
_NOTHING = 1e-6  # eV; what a least-squares fit leaves to elements that no crystal has


class Published(NamedTuple):
    """A CHGNet that others trained.

    Attributes
    ----------
    backbone : CHGNet
    elements : Tensor of shape (94, dim)
        Vectors of H to Pu.
    weights : dict of Tensor
        Of all else, as the module calls them.
    reference_energies : ndarray of float64 of shape (94,)
        In eV per atom.
    seen : ndarray of bool of shape (94,)
        Elements of the data that it was trained on.
    """

    backbone: CHGNet
    elements: Tensor
    weights: dict[str, Tensor]
    reference_energies: np.ndarray
    seen: np.ndarray


def read_published(name: str) -> Published:
    """Read weights of the chgnet package. Nothing is unpickled but tensors and numbers.

    Parameters
    ----------
    name : {"chgnet-0.3.0", "chgnet-0.2.0", "chgnet-r2scan"}

    Returns
    -------
    Published

    Raises
    ------
    ImportError
        If the package is not installed.
    ValueError
        If there is no such name, or the file holds something else.
    """
    if name not in _FILES:
        raise ValueError(f"there is no potential {name!r}; known are {', '.join(_FILES)}")
    found = importlib.util.find_spec("chgnet")
    if found is None or not found.submodule_search_locations:
        raise ImportError(
            f'the weights of {name} come with the chgnet package: pip install "skuae[chgnet]"'
        )
    path = Path(found.submodule_search_locations[0]) / "pretrained" / _FILES[name]
    state = torch.load(path, map_location="cpu", weights_only=True)["model"]["state_dict"]
    return convert(state, _0_2_0 if name == "chgnet-0.2.0" else CHGNet())


def convert(state: dict[str, Tensor], backbone: CHGNet) -> Published:
    """Return weights of the chgnet package under the names of the module here.

    Parameters
    ----------
    state : dict of Tensor
        Of the module of the package.
    backbone : CHGNet
        With the parameters that it was trained with.

    Returns
    -------
    Published
    """
    left = dict(state)
    weights: dict[str, Tensor] = {}
    for ours, theirs in _NAMES.items():
        weights[ours] = left.pop(theirs)
    for i in range(backbone.n_blocks):
        _take_update(left, weights, f"atom_updates.{i}", f"atom_conv_layers.{i}", "twoBody_atom")
    for i in range(backbone.n_blocks - 1):
        _take_update(left, weights, f"bond_updates.{i}", f"bond_conv_layers.{i}", "twoBody_bond")
        _take_gate(left, weights, f"angle_updates.{i}.", f"angle_layers.{i}.twoBody_bond.")
    _take_readout(left, weights, backbone)
    elements = left.pop("atom_embedding.embedding.weight")
    references = left.pop("composition_model.fc.weight")[0]
    if left:
        raise ValueError(f"the file has weights of another network: {', '.join(sorted(left))}")
    energies = references.double().numpy()
    seen = np.abs(energies) > _NOTHING
    seen[[atomic_number(symbol) - 1 for symbol in _NOT_IN_MPTRJ]] = False
    return Published(backbone, elements, weights, energies, seen)


_NAMES = {
    "radial.frequencies": "bond_basis_expansion.rbf_expansion_ag.frequencies",
    "bond_radial.frequencies": "bond_basis_expansion.rbf_expansion_bg.frequencies",
    "angular.frequencies": "angle_basis_expansion.fourier_expansion.frequencies",
    "pair_embedding.weight": "bond_embedding.weight",
    "edge_weights.weight": "bond_weights_ag.weight",
    "bond_weights.weight": "bond_weights_bg.weight",
    "angle_embedding.weight": "angle_embedding.weight",
    "magmom.weight": "site_wise.weight",
    "magmom.bias": "site_wise.bias",
}


def _take_update(
    left: dict[str, Tensor], weights: dict[str, Tensor], ours: str, theirs: str, gate: str
) -> None:
    _take_gate(left, weights, f"{ours}.message.", f"{theirs}.{gate}.")
    for kind in ("weight", "bias"):
        if f"{theirs}.mlp_out.layers.1.{kind}" in left:
            weights[f"{ours}.out.{kind}"] = left.pop(f"{theirs}.mlp_out.layers.1.{kind}")


def _take_gate(left: dict[str, Tensor], weights: dict[str, Tensor], ours: str, theirs: str) -> None:
    hidden = f"{theirs}mlp_core.layers.0.weight" in left
    for kind in ("weight", "bias"):
        place = 0 if hidden else 1
        parts = [left.pop(f"{theirs}mlp_{part}.layers.{place}.{kind}") for part in ("core", "gate")]
        weights[f"{ours}first.{kind}"] = torch.cat(parts)
        for part, norm in (("core", "bn1"), ("gate", "bn2")):
            if hidden:
                weights[f"{ours}{part}.{kind}"] = left.pop(f"{theirs}mlp_{part}.layers.3.{kind}")
            if f"{theirs}{norm}.{kind}" in left:
                weights[f"{ours}{part}_norm.{kind}"] = left.pop(f"{theirs}{norm}.{kind}")


def _take_readout(left: dict[str, Tensor], weights: dict[str, Tensor], backbone: Any) -> None:
    """Layers alternate with activations; a dropout stands before the last one."""
    for kind in ("weight", "bias"):
        if backbone.norm:
            weights[f"readout_norm.{kind}"] = left.pop(f"readout_norm.{kind}")
        for i in range(backbone.n_readout + 1):
            place = 2 * i + (i == backbone.n_readout)
            weights[f"readout.{2 * i}.{kind}"] = left.pop(f"mlp.layers.{place}.{kind}")
