"""The network of SevenNet: that of the sevenn package, which reads our edges."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.serialization import safe_globals

from skuae._elements import N_ELEMENTS
from skuae.crystals import CrystalBatch
from skuae.models import ElementEmbedding, Elements
from skuae.potentials._contract import PotentialModule, SiteOutputs, element_layer
from skuae.potentials._fitted import FittedPotential
from skuae.potentials._precision import in_double
from skuae.potentials._sevennet import SevenNet

try:
    # Constants of e3nn are all that needs more than torch reads by itself: slices.
    with safe_globals([slice]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sevenn import _const, _keys
        from sevenn.model_build import build_E3_equivariant_model
        from sevenn.scripts.backward_compatibility import patch_state_dict_if_old
except ImportError as error:
    raise ImportError(
        'networks of SevenNet need the sevenn package: pip install "skuae[sevennet]"'
    ) from error

# What the network would do with elements, and with energies of atoms: our part.
_LEFT_OUT = ("onehot_idx_to_onehot", "onehot_to_feature_x", "rescale_atomic_energy",
             "reduce_total_enegy", "force_output")  # fmt: skip
_NEIGHBOURS = 36.0  # that sums over neighbours are divided by: nearly that of SevenNet-0
_RECONSTRUCT: Any = np._core.multiarray._reconstruct  # type: ignore[attr-defined]
_IN_FILES: list[Any] = [
    np.ndarray, np.dtype, np.dtypes.Float32DType,
    (_RECONSTRUCT, "numpy.core.multiarray._reconstruct"),  # its name before numpy 2
]  # fmt: skip


class SevenNetModule(PotentialModule):
    """The network that `SevenNet` builds.

    Parameters
    ----------
    elements : Elements
        A layer brings its vectors to the scalars of an atom, unless they have so many columns.
    spec : SevenNet
    """

    scale: Tensor

    def __init__(self, elements: Elements, spec: SevenNet) -> None:
        super().__init__()
        self.elements = elements
        self.embedding = element_layer(elements, spec.dim)
        with in_double():  # constants of the network are rounded to the default dtype
            network = _network(spec)
        for name in _LEFT_OUT:
            network.delete_module_by_key(name)
        self.network = nn.ModuleDict(network.named_children())
        layer: Any
        for layer in self.network.values():
            if hasattr(layer, "denominator"):  # a number, not a weight
                value = layer.denominator.detach()
                del layer.denominator
                layer.register_buffer("denominator", value)
        self._before_energy = f"{spec.num_convolution_layer - 1}_equivariant_gate"
        self.register_buffer("scale", torch.ones(()))

    def forward(self, batch: CrystalBatch, vectors: Tensor) -> SiteOutputs:
        data = {
            _keys.NODE_FEATURE: self.embedding(self.elements(batch)),
            _keys.EDGE_IDX: torch.stack([batch.centers, batch.neighbors]),
            _keys.EDGE_VEC: vectors,
        }
        for name, layer in self.network.items():
            data = layer(data)
            if name == self._before_energy:
                features = data[_keys.NODE_FEATURE]
        return SiteOutputs(self.scale * data[_keys.SCALED_ATOMIC_ENERGY][:, 0], None, features)


def _network(spec: SevenNet) -> Any:
    """Return the network of the package, for one element, which is not read."""
    vectors = "+".join(f"{spec.channel >> order}x{order}e" for order in range(spec.lmax + 1))
    scalars = f"{spec.channel}x0e"
    config = {
        **_const.DEFAULT_E3_EQUIVARIANT_MODEL_CONFIG,
        _keys.NODE_FEATURE_MULTIPLICITY: spec.channel,
        _keys.IRREPS_MANUAL: [scalars, *[vectors] * (spec.num_convolution_layer - 1), scalars],
        _keys.LMAX: spec.lmax,
        _keys.IS_PARITY: False,
        _keys.NUM_CONVOLUTION: spec.num_convolution_layer,
        _keys.CUTOFF: spec.cutoff,
        _keys.CUTOFF_FUNCTION: {"cutoff_function_name": "XPLOR", "cutoff_on": 0.9 * spec.cutoff},
        _keys.SELF_CONNECTION_TYPE: "linear",
        _keys.CONV_DENOMINATOR: _NEIGHBOURS,
        _keys.TRAIN_DENOMINTAOR: False,
        _keys.NUM_SPECIES: 1,
        _keys.TYPE_MAP: {1: 0},
        _keys.SHIFT: 0.0,
        _keys.SCALE: 1.0,
        _keys.TRAIN_SHIFT_SCALE: False,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what e3nn compiles
        return build_E3_equivariant_model(config)


def read_sevennet() -> FittedPotential:
    """Return SevenNet-0 of the sevenn package. Nothing is unpickled but tensors and numbers.

    Returns
    -------
    FittedPotential
    """
    with safe_globals(_IN_FILES):
        found = torch.load(Path(_const.SEVENNET_0_11Jul2024), map_location="cpu", weights_only=True)
    config, state = found["config"], found["model_state_dict"]
    places = {int(number): place for number, place in config["_type_map"].items()}
    numbers, rows = np.array(list(places)), list(places.values())
    spec = SevenNet()
    values = torch.zeros(int(numbers.max()), spec.dim)
    one_hot = state.pop("onehot_to_feature_x.linear.weight").view(len(rows), spec.dim)
    values[numbers - 1] = one_hot[rows] / len(rows) ** 0.5  # as its layer divides them
    module: Any = spec.build(ElementEmbedding(values, frozen=False)).float()
    own = dict(module.network.named_parameters())
    state = patch_state_dict_if_old(state, config, module.network)  # for the package's own order
    with torch.no_grad():
        for name, value in module.network.state_dict().items():
            if "denominator" in name or name in own:
                value.copy_(state[name].view_as(value))
        module.scale.copy_(state["rescale_atomic_energy.scale"][0])
    references, seen = np.zeros(N_ELEMENTS), np.zeros(N_ELEMENTS, dtype=bool)
    references[numbers - 1] = state["rescale_atomic_energy.shift"].double().numpy()[rows]
    seen[numbers - 1] = True
    return FittedPotential(spec, module, references, seen, False, False)
