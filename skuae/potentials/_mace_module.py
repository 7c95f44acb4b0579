"""The network of MACE: that of the mace-torch package, which reads our edges."""

import os
import warnings
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.serialization import safe_globals

from skuae.crystals import CrystalBatch
from skuae.models import Elements
from skuae.potentials._contract import PotentialModule, SiteOutputs, element_layer
from skuae.potentials._mace import MACE
from skuae.potentials._precision import in_double

# The package sets this variable for good, and from then on torch.load unpickles whatever it reads.
# Constants of e3nn are all that needs more than torch reads by itself: slices.
_UNPICKLES = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
_before = os.environ.get(_UNPICKLES)
try:
    with safe_globals([slice]), redirect_stdout(StringIO()):  # it prints what it lacks
        from e3nn.o3 import Irreps
        from mace import modules as mace_modules
        from mace.tools.scripts_utils import extract_config_mace_model
except ImportError as error:
    raise ImportError(
        'networks of MACE need the mace-torch package: pip install "skuae[mace]"'
    ) from error
finally:
    if _before is None:
        os.environ.pop(_UNPICKLES, None)


class MACEModule(PotentialModule):
    """The network that `MACE` builds.

    Parameters
    ----------
    elements : Elements
        Row ``Z - 1`` of its table is read for element Z. A layer brings its vectors to the scalars
        of an atom, unless they have so many columns.
    spec : MACE
    """

    numbers: Tensor
    places: Tensor

    def __init__(self, elements: Elements, spec: MACE) -> None:
        super().__init__()
        self.elements = elements
        self.embedding = element_layer(elements, spec.dim)
        numbers = spec.numbers or list(range(1, len(elements.table()) + 1))
        with in_double():  # constants of the network are rounded to the default dtype
            self.network = _network(spec, numbers)
        self.network.node_embedding = _NodeEmbedding(self)
        places = torch.zeros(max(numbers) + 1, dtype=torch.int64)
        places[numbers] = torch.arange(len(numbers))
        self.register_buffer("numbers", torch.tensor(numbers), persistent=False)
        self.register_buffer("places", places, persistent=False)
        widths = [product.linear.irreps_out.dim for product in self.network.products]
        ends = np.cumsum([0, *widths])[:-1].tolist()
        self._scalars = [slice(end, end + spec.dim) for end in ends]

    def vectors(self) -> Tensor:
        """Return the vectors of the elements of the network, (n_elements, dim)."""
        return self.embedding(self.elements.table().index_select(0, self.numbers - 1))

    def inputs(self, batch: CrystalBatch, vectors: Tensor) -> dict[str, Tensor]:
        """Return what a model of the mace-torch package reads.

        Parameters
        ----------
        batch : CrystalBatch
        vectors : Tensor of shape (E, 3)
            Of its edges, in Å.

        Returns
        -------
        dict of Tensor
        """
        n_sites, n_crystals = len(batch.numbers), len(batch)
        one_hot = F.one_hot(self.places[batch.numbers], len(self.numbers))
        return {
            "node_attrs": one_hot.to(vectors.dtype),
            "edge_index": torch.stack([batch.centers, batch.neighbors]),
            # An edge is the difference of two positions, and a shift. If all positions are 0, the
            # shifts are our vectors, and slopes by them come back to us.
            "positions": vectors.new_zeros(n_sites, 3),
            "shifts": vectors,
            "cell": vectors.new_zeros(3 * n_crystals, 3),
            "batch": batch.crystal,
            "ptr": F.pad(batch.sizes.to(torch.int64).cumsum(0), (1, 0)),
        }

    def forward(self, batch: CrystalBatch, vectors: Tensor) -> SiteOutputs:
        found = self.network(self.inputs(batch, vectors), compute_force=False)
        energies = found["node_energy"].to(vectors.dtype)
        features = found["node_feats"]
        scalars = torch.cat([features[:, columns] for columns in self._scalars], dim=1)
        return SiteOutputs(energies, None, scalars)


class _NodeEmbedding(nn.Module):
    """Looks up vectors of elements where the package has a layer from one-hot vectors."""

    def __init__(self, owner: MACEModule) -> None:
        super().__init__()
        self._owner = (owner,)  # in a tuple, for it is no part of this module

    def forward(self, node_attrs: Tensor) -> Tensor:
        return node_attrs @ self._owner[0].vectors()


def _network(spec: MACE, numbers: list[int]) -> Any:
    """Return the network of the package; energies of elements are no part of it."""
    params = spec.get_params()
    for name, known in (
        ("interaction_cls", mace_modules.interaction_classes),
        ("interaction_cls_first", mace_modules.interaction_classes),
        ("readout_cls", mace_modules.readout_classes),
        ("gate", mace_modules.gate_dict),
    ):
        if params[name] not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}; got {params[name]!r}")
        params[name] = known[params[name]]
    for name in ("hidden_irreps", "MLP_irreps", "edge_irreps"):
        params[name] = params[name] and Irreps(params[name])
    params["radial_MLP"] = [int(width) for width in params["radial_MLP"].split()]
    del params["elements"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what e3nn compiles
        return mace_modules.ScaleShiftMACE(
            r_max=params.pop("cutoff"),
            atomic_numbers=numbers,
            num_elements=len(numbers),
            atomic_energies=np.zeros((1, len(numbers))),
            atomic_inter_scale=1.0,
            atomic_inter_shift=0.0,
            **params,
        )


def mace_settings(model: nn.Module) -> dict[str, Any]:
    """Return what the package says a model was made with.

    Parameters
    ----------
    model : mace.modules.ScaleShiftMACE

    Returns
    -------
    dict
    """
    found: dict[str, Any] = extract_config_mace_model(model)
    return found
