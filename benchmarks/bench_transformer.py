"""CrystalTransformer training: batches by size against batches in random order.

    python benchmarks/bench_transformer.py --structures mp_structures_part*.jsonl.gz --max-sites 200

One network, one batch size, the same crystals. A batch in random order is padded to its longest
crystal, as in the reference code.
"""

import numpy as np
import torch
from _common import compare, parser, read_structures
from torch.nn import functional as F

from skuae import as_crystals
from skuae.crystals import PackedTensors, augment
from skuae.models import CrystalTransformer, LearnedElements
from skuae.training import CrystalDataset, CrystalLoader


def main():
    """Train one network on both kinds of batches in turns."""
    p = parser(__doc__, n=2560, repeats=3, max_sites=200)
    p.add_argument("--batch-size", type=int, default=128)
    p.add_argument("--n-layers", type=int, default=3)
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    crystals = as_crystals(read_structures(args))
    torch.manual_seed(0)
    spec = CrystalTransformer(n_layers=args.n_layers)
    module = spec.build(LearnedElements(spec.d_model // 2, True, None), 1)
    optimizer = torch.optim.AdamW(module.parameters(), fused=True)
    targets = torch.randn(len(crystals), 1, generator=torch.Generator().manual_seed(0))
    dataset = CrystalDataset(PackedTensors(crystals), np.arange(len(crystals)), targets)

    def epoch(by_size):
        module.train()
        loader = CrystalLoader(
            dataset, args.batch_size, shuffle=True, by_size=by_size, transform=augment
        )
        for batch, (y, _) in loader:
            loss = F.mse_loss(module(batch), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    print(
        f"{len(crystals)} crystals, {crystals.sizes.mean():.1f} sites on average, "
        f"{crystals.sizes.max()} at most"
    )
    compare(
        {
            "skuae, batches by size": lambda: epoch(True),
            "batches in random order, padded": lambda: epoch(False),
        },
        len(crystals),
        args.repeats,
    )


if __name__ == "__main__":
    main()
