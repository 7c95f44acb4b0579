"""CrystalTransformer, Jin et al., Nature Communications 16, 1210 (2025)."""

import torch
from torch import nn
from torch.nn import functional as F

from skuae.models._layers import element_rows, mean_over_sites

READOUTS = ("mean", "cls", "first")
_COORDINATE_SCALE = 8.0  # Å; brings centred coordinates of a cell to about 1
_ELEMENT_SCALE = 0.02  # small beside what training adds, so that rows move together


class CrystalTransformerModule(nn.Module):
    """A transformer on species and Cartesian coordinates; N sites, B crystals, L tokens, d_model.

    Parameters
    ----------
    n_outputs : int
    d_model : int, default=256
        Width; half of it is the element's, half the coordinates'.
    n_layers : int, default=8
    n_heads : int, default=8
    dim_feedforward : int, default=512
    dropout : float, default=0.1
        On the branches of each layer. Attention weights have none, unlike in the reference: that
        leaves the fused kernels usable, which need neither the time nor the memory of L x L
        matrices.
    readout : {"mean", "cls", "first"}, default="mean"
        Mean of the tokens; a learned extra token; or, as published, the token of the first site,
        which makes the output depend on the order of the sites.
    input_norm : bool, default=True
        Start element vectors small and normalise them, centre coordinates and scale them to 8 Å.
        False is the published input: vectors as torch initialises them, raw coordinates.
    features : Tensor of shape (100, n_features), optional
        What is known of the elements: their vectors are a linear map of it, plus rows of their own.
    """

    def __init__(
        self,
        n_outputs,
        d_model=256,
        n_layers=8,
        n_heads=8,
        dim_feedforward=512,
        dropout=0.1,
        readout="mean",
        input_norm=True,
        features=None,
    ):
        super().__init__()
        half = d_model // 2
        self.readout = readout
        self.input_norm = input_norm
        self.elements = ElementLinear(half, input_norm, features)
        self.coords = nn.Linear(3, half)
        self.coords_scale = _COORDINATE_SCALE if input_norm else 1.0
        self.layers = nn.ModuleList(
            EncoderLayer(d_model, n_heads, dim_feedforward, dropout) for _ in range(n_layers)
        )
        if readout == "cls":
            self.cls = nn.Parameter(torch.randn(d_model) * 0.02)
        self.heads = nn.ModuleList(make_head(d_model, n_outputs) for _ in range(n_outputs))

    def forward(self, batch):
        pooled = self.embed(batch)
        return torch.cat([head(pooled) for head in self.heads], dim=1)  # (B, n_outputs)

    def embed(self, batch):
        """Return what the heads read: one vector per crystal, (B, d_model)."""
        x = torch.einsum("ni,nij->nj", batch.frac_coords, batch.lattices[batch.crystal])  # (N, 3)
        if self.input_norm:
            x = (x - mean_over_sites(x, batch)[batch.crystal]) / self.coords_scale
        z = torch.cat([self.elements(batch), self.coords(x)], dim=1)  # (N, d_model)
        tokens, place, real = self._pad(z, batch)  # (B, L, d_model), (N,), (B, L) or None
        mask = None if real is None else real[:, None, None]  # (B, 1, 1, L)
        for layer in self.layers:
            tokens = layer(tokens, mask)
        if self.readout == "mean":
            return mean_over_sites(tokens.flatten(0, 1)[place], batch)
        return tokens[:, 0]

    def _pad(self, z, batch):
        """Lay the sites of each crystal in a row of tokens."""
        n_crystals, lead = len(batch), int(self.readout == "cls")
        length = int(batch.sizes.max()) + lead
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


class ElementLinear(nn.Module):
    """A' = A (W + F V) + b for one-hot rows A of 100 elements, occupancies on disordered sites.

    With features F, elements that are alike start alike: what crystals of one teach moves V, and
    with it the rows of its relatives. W holds what is an element's own.
    """

    def __init__(self, dim, norm, features):
        super().__init__()
        self.linear = nn.Linear(100, dim)
        self.norm = norm
        if norm:
            nn.init.normal_(self.linear.weight, std=_ELEMENT_SCALE)
            nn.init.zeros_(self.linear.bias)
        self.of_features = None
        if features is not None:
            self.register_buffer("features", features)
            self.of_features = nn.Linear(features.shape[1], dim, bias=False)
            nn.init.normal_(self.of_features.weight, std=_ELEMENT_SCALE)

    def forward(self, batch):
        return self._finish(element_rows(self._rows(), batch))

    def table(self):
        """Return the vectors of the elements 1 to 100 as the network sees them, (100, dim)."""
        return self._finish(self._rows())

    def _rows(self):
        rows = self.linear.weight.t()
        return rows if self.of_features is None else rows + self.of_features(self.features)

    def _finish(self, rows):
        rows = rows + self.linear.bias
        return F.layer_norm(rows, rows.shape[-1:]) if self.norm else rows


class EncoderLayer(nn.Module):
    """Post-norm encoder layer: x = LN(x + attention(x)), then LN(x + feed-forward(x))."""

    def __init__(self, d_model, n_heads, dim_feedforward, dropout):
        super().__init__()
        self.n_heads = n_heads
        self.in_proj = nn.Linear(d_model, 3 * d_model)
        self.out_proj = nn.Linear(d_model, d_model)
        nn.init.xavier_uniform_(self.in_proj.weight)
        nn.init.zeros_(self.in_proj.bias)
        nn.init.zeros_(self.out_proj.bias)
        self.linear1 = nn.Linear(d_model, dim_feedforward)
        self.linear2 = nn.Linear(dim_feedforward, d_model)
        self.norm1 = nn.LayerNorm(d_model)
        self.norm2 = nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, mask):
        n_crystals, length, d_model = x.shape
        qkv = self.in_proj(x).view(n_crystals, length, 3, self.n_heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, L, d_model / heads)
        a = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        a = a.transpose(1, 2).reshape(n_crystals, length, d_model)
        x = self.norm1(x + self.dropout(self.out_proj(a)))
        return self.norm2(x + self.dropout(self.linear2(self.dropout(F.relu(self.linear1(x))))))


def make_head(d_model, n_outputs):
    """One target: two linear layers with nothing between, as published; several: one MLP each."""
    if n_outputs == 1:
        return nn.Sequential(nn.Linear(d_model, d_model // 2), nn.Linear(d_model // 2, 1))
    return nn.Sequential(nn.Linear(d_model, d_model), nn.ReLU(), nn.Linear(d_model, 1))
