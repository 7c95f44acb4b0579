"""CrystalTransformer, Jin et al., Nature Communications 16, 1210 (2025)."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from skuae._numbers import is_real
from skuae.crystals import CrystalBatch, Crystals, augment
from skuae.models._backbone import Augmentation, Backbone, CrystalModule, Inputs
from skuae.models._elements import Elements, LearnedElements
from skuae.models._encoder import EncoderLayer
from skuae.models._layers import mean_over_sites, pooled_layers

READOUTS = ("mean", "cls", "first")
_COORDINATE_SCALE = 8.0  # Å; brings centred coordinates of a cell to about 1


class CrystalTransformer(Backbone):
    """Specification of a CrystalTransformer back-end: species and coordinates, no graph.

    Predictions depend on the choice and orientation of the cell; `augment` teaches the network to
    ignore the orientation. `skuae.CrystalTransformerRegressor` trains it for its element table.

    Parameters
    ----------
    d_model : int, default=256
        Width of the tokens. One half comes from the element, the other from the coordinates.
    n_layers : int, default=3
        Encoder layers. The paper has 8.
    n_heads : int, default=8
    dim_feedforward : int, default=512
    dropout : float, default=0.1
        On the branches of each layer. Attention weights have none, unlike in the reference: then
        torch's fused kernels apply, which do not store L x L matrices.
    readout : {"mean", "cls", "first"}, default="mean"
        Input of the head: the mean of the sites' tokens, an extra token, or the token of the first
        site. The last is as published and depends on the order of the sites.
    input_norm : bool, default=True
        Normalise element vectors, centre coordinates and scale them to 8 Å. False is the published
        input: raw coordinates.
    augment : bool, default=True
        Rotate, mirror and shift every training crystal at random in every epoch.
    coord_noise : float, default=0.0
        Standard deviation in Å of noise on the coordinates, part of the augmentation.
    """

    native_table = "onehot"  # as published: a linear map of it is the element table
    native_frozen = True
    default_lr = 1e-3
    reads = "Cartesian coordinates; no neighbours"
    pads = True
    invariant = False

    def __init__(
        self,
        d_model: int = 256,
        n_layers: int = 3,
        n_heads: int = 8,
        dim_feedforward: int = 512,
        dropout: float = 0.1,
        readout: str = "mean",
        input_norm: bool = True,
        *,
        augment: bool = True,
        coord_noise: float = 0.0,
    ) -> None:
        self.d_model = d_model
        self.n_layers = n_layers
        self.n_heads = n_heads
        self.dim_feedforward = dim_feedforward
        self.dropout = dropout
        self.readout = readout
        self.input_norm = input_norm
        self.augment = augment
        self.coord_noise = coord_noise

    def check(self) -> None:
        if self.readout not in READOUTS:
            raise ValueError(f"readout must be one of {', '.join(READOUTS)}; got {self.readout!r}")
        self._check_at_least(1, "d_model", "n_layers", "n_heads", "dim_feedforward")
        if not is_real(self.dropout) or not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1; got {self.dropout!r}")
        if not is_real(self.coord_noise) or not 0 <= self.coord_noise < np.inf:
            raise ValueError(
                f"coord_noise must be a number of Å, at least 0; got {self.coord_noise!r}"
            )
        if self.d_model % 2 or self.d_model % self.n_heads:
            raise ValueError(
                f"d_model must be even and a multiple of n_heads={self.n_heads}; got {self.d_model}"
            )

    def inputs(self, crystals: Crystals, *, merge: bool = True) -> Inputs:
        return Inputs(coords="wrapped")

    def build(self, elements: Elements, n_outputs: int) -> CrystalModule:
        return CrystalTransformerModule(self, elements, n_outputs)

    def augmentation(self) -> Augmentation | None:
        return partial(augment, coord_noise=self.coord_noise) if self.augment else None


class CrystalTransformerModule(CrystalModule):
    """The network; N sites, B crystals, L tokens."""

    def __init__(self, spec: CrystalTransformer, elements: Elements, n_outputs: int) -> None:
        super().__init__()
        d = self.width = spec.d_model
        self.readout = spec.readout
        self.input_norm = spec.input_norm
        self.elements = elements
        self.project = _projection(elements, d // 2, spec.input_norm)
        self.coords = nn.Linear(3, d // 2)
        self.coords_scale = _COORDINATE_SCALE if spec.input_norm else 1.0
        self.layers = nn.ModuleList(
            EncoderLayer(d, spec.n_heads, spec.dim_feedforward, spec.dropout)
            for _ in range(spec.n_layers)
        )
        if spec.readout == "cls":
            self.cls = nn.Parameter(torch.randn(d) * 0.02)
        self.head = Heads(d, n_outputs)

    @property
    def first_layer(self) -> nn.Module:
        return self.project

    def embed(self, batch: CrystalBatch) -> Tensor:
        *_, (tokens, place) = self.tokens(batch)
        return self.read_out(tokens, place, batch)

    def layer_vectors(self, batch: CrystalBatch) -> dict[str, Tensor]:
        *inner, last = self.tokens(batch)
        sites = [tokens.flatten(0, 1)[place] for tokens, place in inner]
        return {**pooled_layers(sites, batch), "embed": self.read_out(*last, batch)}

    def tokens(self, batch: CrystalBatch) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield tokens (B, L, d_model) and the places (N,) of the sites, also after each layer."""
        x = torch.einsum("ni,nij->nj", batch.frac_coords, batch.lattices[batch.crystal])  # (N, 3)
        if self.input_norm:
            x = (x - mean_over_sites(x, batch)[batch.crystal]) / self.coords_scale
        z = torch.cat([self.project(self.elements(batch)), self.coords(x)], dim=1)  # (N, d_model)
        tokens, place, real = self._pad(z, batch)  # (B, L, d_model), (N,), (B, L) or None
        yield tokens, place
        mask = None if real is None else real[:, None, None]  # (B, 1, 1, L)
        for layer in self.layers:
            tokens = layer(tokens, mask)
            yield tokens, place

    def read_out(self, tokens: Tensor, place: Tensor, batch: CrystalBatch) -> Tensor:
        """Return vectors of crystals (B, d_model) for the tokens of the last layer."""
        if self.readout == "mean":
            return mean_over_sites(tokens.flatten(0, 1)[place], batch)
        return tokens[:, 0]

    def _pad(self, z: Tensor, batch: CrystalBatch) -> tuple[Tensor, Tensor, Tensor | None]:
        """Lay the sites of each crystal in a row of tokens."""
        n_crystals, lead = len(batch), int(self.readout == "cls")
        length = batch.max_size + lead
        first = batch.sizes.cumsum(0) - batch.sizes
        column = torch.arange(len(z), device=z.device) - first[batch.crystal] + lead
        place = batch.crystal * length + column
        tokens = z.new_zeros(n_crystals * length, z.shape[1]).index_copy(0, place, z)
        tokens = tokens.view(n_crystals, length, -1)
        if lead:
            cls = self.cls.expand(n_crystals, 1, -1)
            tokens = torch.cat([cls, tokens[:, 1:]], dim=1)
        if len(z) == n_crystals * (length - lead):
            return tokens, place, None
        real = torch.arange(length, device=z.device) < (batch.sizes + lead)[:, None]
        return tokens, place, real


def _projection(elements: Elements, width: int, norm: bool) -> nn.Module:
    """Return the map of element vectors to a width; learned ones have it already."""
    if isinstance(elements, LearnedElements):
        return nn.Identity()
    linear = nn.Linear(elements.n_dims, width)
    return nn.Sequential(linear, nn.LayerNorm(width, elementwise_affine=False)) if norm else linear


class Heads(nn.Module):
    """A head for each output: two linear layers for a single one as published, else an MLP each."""

    def __init__(self, d_model: int, n_outputs: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList(make_head(d_model, n_outputs) for _ in range(n_outputs))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([part(x) for part in self.parts], dim=1)  # (B, n_outputs)


def make_head(d_model: int, n_outputs: int) -> nn.Module:
    """One target: two linear layers with nothing between, as published; several: one MLP each."""
    if n_outputs == 1:
        return nn.Sequential(nn.Linear(d_model, d_model // 2), nn.Linear(d_model // 2, 1))
    return nn.Sequential(nn.Linear(d_model, d_model), nn.ReLU(), nn.Linear(d_model, 1))
