r"""CGCNN training: our convolution against a plain one on the same crystals, batches and threads.

    python benchmarks/bench_cgcnn.py --structures mp_structures_part*.jsonl.gz
    python benchmarks/bench_cgcnn.py --min-sites 12 --max-sites 40 --noise 0.05 \
        --structures mp_structures_part*.jsonl.gz

The plain one is the published formula read literally: concatenate both sites and the edge, one
Linear, batch norm over all edges, sigmoid times softplus, sum.
"""

import numpy as np
import torch
from _common import compare, parser, print_product_share, read_structures
from torch import nn
from torch.nn import functional as F

from skuae import as_crystals
from skuae.embedding import get_table
from skuae.models import CGCNN, ElementEmbedding


class PlainConv(nn.Module):
    """The published convolution, edge by edge."""

    def __init__(self, conv):
        super().__init__()
        self.linear, self.edge_norm, self.site_norm = conv.linear, conv.edge_norm, conv.site_norm

    def forward(self, v, u, batch, n_sites, n_bonds):
        """Return the new site vectors."""
        n, k, d = len(v), batch.degree, v.shape[1]
        center = v[:, None].expand(n, k, d)
        z = torch.cat([center, v[batch.neighbors].view(n, k, d), u.view(n, k, -1)], dim=2)
        z = self.edge_norm(self.linear(z).view(n * k, -1)).view(n, k, -1)
        gate, core = z.chunk(2, dim=2)
        total = (torch.sigmoid(gate) * F.softplus(core)).sum(1)
        return F.softplus(v + self.site_norm(total))


def make_model(plain):
    """Return the network with 92 native atom features; the same weights each time."""
    torch.manual_seed(0)
    table = torch.tensor(np.nan_to_num(get_table("cgcnn").values))
    module = CGCNN().build(ElementEmbedding(table, True), 1)
    if plain:
        module.convs = nn.ModuleList(PlainConv(conv) for conv in module.convs)
        module.basis.n_reached = lambda distances: len(module.basis)  # all 41, as published
    return module


def main():
    """Check that both give the same, then train both in turns."""
    p = parser(__doc__, n=2560)
    p.add_argument("--batch-size", type=int, default=128)
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    crystals = as_crystals(read_structures(args))
    graphs = CGCNN().inputs(crystals, merge=False).graphs
    complete = np.diff(graphs.edge_offsets[crystals.offsets]) == 12 * crystals.sizes
    crystals = crystals[complete]  # the plain convolution knows no missing neighbours
    packed, whole = (
        CGCNN().inputs(crystals, merge=merge).pack(crystals) for merge in (True, False)
    )
    y = torch.randn(len(crystals), 1, generator=torch.Generator().manual_seed(0))
    ours, plain = make_model(False), make_model(True)

    rows = np.arange(min(args.batch_size, len(crystals)))
    first = packed.batch(rows)
    a, b = ours(first), plain(whole.batch(rows))
    fewer = len(whole.columns["neighbors"]) / len(packed.columns["neighbors"])
    print(f"edges merged: {fewer:.2f} times fewer")
    print(f"largest difference of outputs, same weights: {(a - b).abs().max():.1e}")

    print(f"{len(crystals)} crystals, {crystals.sizes.mean():.1f} sites on average")
    order = np.random.default_rng(0).permutation(len(crystals))
    batches = np.array_split(order, max(1, len(crystals) // args.batch_size))

    def epoch(model, optimizer, data):
        model.train()
        for rows in batches:
            loss = F.mse_loss(model(data.batch(rows)), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    optimizers = {m: torch.optim.AdamW(m.parameters(), fused=True) for m in (ours, plain)}
    compare(
        {
            "skuae": lambda: epoch(ours, optimizers[ours], packed),
            "skuae, equal edges not merged": lambda: epoch(ours, optimizers[ours], whole),
            "plain convolution": lambda: epoch(plain, optimizers[plain], whole),
        },
        len(crystals),
        args.repeats,
    )
    print_product_share(
        "skuae",
        lambda: F.mse_loss(ours(first), y[: len(first)]).backward(),
        args.repeats,
    )


if __name__ == "__main__":
    main()
