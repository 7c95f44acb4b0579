"""Models of the mace-torch package, read into potentials."""

import copy
from importlib import metadata
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skuae._elements import N_ELEMENTS, SYMBOLS
from skuae.crystals import Crystals
from skuae.models import ElementEmbedding
from skuae.potentials._edges import pack_edges
from skuae.potentials._fitted import FittedPotential
from skuae.potentials._mace import MACE
from skuae.potentials._plain import plain_params

_KINDS = ("MACE", "ScaleShiftMACE")
_SAME = 1e-4  # of energies in eV, and relative: far more than rounding in float32
_PROBED = 8  # elements that the comparison takes


def read_mace(model: nn.Module) -> FittedPotential:
    """Return a potential with the weights of a model, which stays as it is.

    Parameters
    ----------
    model : mace.modules.MACE or ScaleShiftMACE

    Returns
    -------
    FittedPotential
        On the CPU, in the precision of the model. Energies of elements are its references.

    Raises
    ------
    ImportError
        If the mace-torch package is not installed.
    TypeError
        If it is another kind of module.
    ValueError
        If the model has several heads, or is one that cannot be built anew.
    """
    spec = mace_spec(model)
    scaled = copy.deepcopy(_scaled(model)).cpu()
    numbers = np.array(spec.numbers)
    dtype = scaled.r_max.dtype
    with torch.no_grad():
        eye = torch.eye(len(numbers), dtype=dtype)
        values = torch.zeros(int(numbers.max()), spec.dim, dtype=dtype)
        values[numbers - 1] = scaled.node_embedding(eye)  # divided as its layer divides them
        energies = scaled.atomic_energies_fn(eye)[:, 0].double().numpy()
    module: Any = spec.build(ElementEmbedding(values, frozen=False)).to(dtype)
    _load(module.network, scaled)
    references, seen = np.zeros(N_ELEMENTS), np.zeros(N_ELEMENTS, dtype=bool)
    references[numbers - 1], seen[numbers - 1] = energies, True
    _compare(module, scaled, numbers[:_PROBED], spec.cutoff)
    return FittedPotential(spec, module, references, seen, False, False)


def mace_spec(model: Any) -> MACE:
    """Return the specification of a model of the mace-torch package.

    Parameters
    ----------
    model : mace.modules.MACE or ScaleShiftMACE

    Returns
    -------
    MACE

    Raises
    ------
    ImportError, TypeError, ValueError
        As of `read_mace`.
    """
    name, home = type(model).__name__, type(model).__module__
    if not home.startswith("mace.") or name not in _KINDS:
        raise TypeError(
            f"a {home}.{name} is no potential that skuae reads; of modules, it reads "
            f"{' and '.join(_KINDS)} of mace.modules"
        )
    heads = list(getattr(model, "heads", ["Default"]))
    if len(heads) > 1:
        raise ValueError(
            f"the model has several heads, {', '.join(heads)}; keep one of them: "
            "mace.tools.scripts_utils.remove_pt_head(model, head)"
        )
    if hasattr(model, "joint_embedding"):
        raise ValueError(
            f"the model reads {', '.join(model.embedding_specs)} besides crystals, which skuae "
            "cannot give it; take a model without embedding_specs"
        )
    from skuae.potentials._mace_module import mace_modules, mace_settings

    config: dict[str, Any] = mace_settings(_scaled(model))
    gates = {function: name for name, function in mace_modules.gate_dict.items()}
    numbers = [int(number) for number in model.atomic_numbers]
    config |= {
        "cutoff": config["r_max"],
        "elements": " ".join(SYMBOLS[number - 1] for number in numbers),
        "gate": gates.get(config["gate"]),
        "radial_MLP": " ".join(map(str, config["radial_MLP"])),
        "distance_transform": config["distance_transform"] or "None",
        "avg_num_neighbors": float(config["avg_num_neighbors"]),
    }
    for key in ("interaction_cls", "interaction_cls_first", "readout_cls"):
        config[key] = config[key].__name__
    for key in ("hidden_irreps", "MLP_irreps", "edge_irreps"):
        config[key] = config[key] and str(config[key])
    params = {key: config[key] for key in MACE().get_params()}
    spec = MACE(**plain_params(params, "the model"))
    spec.check()
    return spec


def _scaled(model: Any) -> Any:
    """Return a model as a `ScaleShiftMACE`; those of the plain kind have a scale of 1."""
    from skuae.potentials._mace_module import mace_modules

    if isinstance(model, mace_modules.ScaleShiftMACE):
        return model
    scaled = mace_modules.ScaleShiftMACE.__new__(mace_modules.ScaleShiftMACE)
    vars(scaled).update(vars(model))
    block = mace_modules.ScaleShiftBlock(1.0, 0.0).to(model.r_max)
    vars(scaled)["_modules"] = {**vars(model)["_modules"], "scale_shift": block}
    return scaled


def _load(network: nn.Module, model: nn.Module) -> None:
    """Load weights but those of elements, which stand elsewhere."""
    own = network.state_dict()
    state: dict[str, Tensor] = {
        name: value
        for name, value in model.state_dict().items()
        if not name.startswith(("node_embedding.", "atomic_energies_fn."))
    }
    for name in ("scale_shift.scale", "scale_shift.shift"):  # of shape (1,) in models with a head
        state[name] = state[name].reshape(own[name].shape)
    name = "atomic_energies_fn.atomic_energies"
    try:
        network.load_state_dict({**state, name: own[name]})
    except RuntimeError as error:
        raise ValueError(
            "the model cannot be built anew by the mace-torch package that is installed "
            f"({metadata.version('mace-torch')}); convert accelerated models first, as by "
            f"mace.cli.convert_cueq_e3nn: {error}"
        ) from error


def _compare(module: Any, model: Any, numbers: np.ndarray, cutoff: float) -> None:
    """Raise ValueError unless both have the same energies of atoms near each other."""
    side = 0.45 * cutoff * np.ceil(len(numbers) ** (1 / 3))
    coords = np.random.default_rng(0).random((len(numbers), 3))
    probe = Crystals(numbers, coords, side * np.eye(3)[None], np.array([0, len(numbers)]))
    packed = pack_edges(probe, cutoff, "cpu", model.r_max.dtype)
    batch = packed.batch(np.array([0]))
    with torch.no_grad():
        ours = module(batch, batch.vectors).energies
        inputs = module.inputs(batch, batch.vectors)
        found = model(inputs, compute_force=False)["node_energy"]
        theirs = found - model.atomic_energies_fn(inputs["node_attrs"])[:, 0]
    if not torch.allclose(ours.double(), theirs.double(), rtol=_SAME, atol=_SAME):
        raise ValueError(
            "the model has a setting that skuae does not know: built anew, it has other energies "
            f"(by up to {float((ours - theirs).abs().max()):.2g} eV per atom)"
        )
