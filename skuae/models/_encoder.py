"""The encoder layer of transformers."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class EncoderLayer(nn.Module):
    """Post-norm encoder layer: x = LN(x + attention(x)), then LN(x + feed-forward(x)).

    Dropout is on both branches and within the feed-forward one. Attention weights have none: then
    torch's fused kernels apply, which do not store L x L matrices.

    Parameters
    ----------
    d_model, n_heads, dim_feedforward : int
    dropout : float
    activation : callable, default=torch.nn.functional.relu
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        dim_feedforward: int,
        dropout: float,
        activation: Callable[[Tensor], Tensor] = F.relu,
    ) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.activation = activation
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

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return new tokens for x (B, L, d_model); mask (B, 1, 1, L) is True where one is real."""
        q, k, v = self._queries(x)
        a = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = self.norm1(x + self.dropout(self.out_proj(a.transpose(1, 2).reshape(x.shape))))
        inner = self.dropout(self.activation(self.linear1(x)))
        return self.norm2(x + self.dropout(self.linear2(inner)))

    def attention(self, x: Tensor) -> Tensor:
        """Return how much each token reads of each: (B, n_heads, L, L), rows with sum 1."""
        q, k, _ = self._queries(x)
        return torch.softmax(q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5, dim=-1)

    def _queries(self, x: Tensor) -> Tensor:
        """Return queries, keys and values, (3, B, n_heads, L, d_model / n_heads)."""
        qkv = self.in_proj(x).view(*x.shape[:2], 3, self.n_heads, -1)
        return qkv.permute(2, 0, 3, 1, 4)
