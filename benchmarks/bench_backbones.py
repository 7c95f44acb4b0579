"""Training and prediction rates of all back-ends, on the CPU or a GPU.

    python benchmarks/bench_backbones.py
    python benchmarks/bench_backbones.py --device cuda --batch-size 512 --n 20480

On a GPU also the share of the time that it is busy: the time of its kernels by the profiler over
the time of the clock, in one more epoch.
"""

import time

import numpy as np
import torch
from _common import compare, parser, read_structures
from torch.nn import functional as F

from skuae import as_crystals, models
from skuae.embedding import get_table
from skuae.models import ElementEmbedding
from skuae.training import CrystalDataset, CrystalLoader

GATED = models.ALIGNN(hidden_dim=128, n_alignn=0, n_gcn=5)  # ALIGNN without angles
SPECS = {name: kind() for name, kind in models.BACKBONES.items()} | {"gated": GATED}


def make_runs(spec, crystals, batch_size, device):
    """Return functions that train one epoch and predict all crystals."""
    torch.manual_seed(0)
    table = torch.tensor(np.nan_to_num(get_table(spec.native_table).values))
    module = spec.build(ElementEmbedding(table, spec.native_frozen), 1).to(device)
    optimizer = torch.optim.AdamW(module.parameters())
    packed = spec.inputs(crystals).pack(crystals, device)
    y = torch.tensor(crystals.volumes / crystals.sizes, dtype=torch.float32, device=device)[:, None]
    data = CrystalDataset(packed, np.arange(len(crystals)), (y - y.mean()) / y.std())
    loader = CrystalLoader(data, batch_size, shuffle=True, by_size=spec.pads)

    def train():
        module.train()
        for batch, (target, _) in loader:
            loss = F.mse_loss(module(batch), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        wait(device)

    def predict():
        module.eval()
        with torch.inference_mode():
            for batch, _ in loader:
                module(batch)
        wait(device)

    return train, predict


def wait(device):
    """Let the device finish."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def busy_share(run):
    """Return the time of all kernels over the time of the clock."""
    activities = [torch.profiler.ProfilerActivity.CUDA]
    start = time.perf_counter()
    with torch.profiler.profile(activities=activities) as profile:
        run()
        seconds = time.perf_counter() - start
    return sum(e.self_device_time_total for e in profile.key_averages()) / 1e6 / seconds


def main():
    """Print the rates of all back-ends, epoch by epoch in turns."""
    p = parser(__doc__, n=2048, repeats=3)
    p.add_argument("--batch-size", type=int, default=64)
    p.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    p.add_argument("--noise", type=float, default=0.0, help="displace all atoms by so many Å")
    p.add_argument("--backbones", nargs="+", choices=SPECS, default=["cgcnn", "megnet", "alignn"])
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    structures = read_structures(args)
    for structure in structures if args.noise else ():
        structure.perturb(args.noise)
    crystals = as_crystals(structures)
    print(f"{len(crystals)} crystals, batches of {args.batch_size}, {args.device}")
    runs = {
        name: make_runs(SPECS[name], crystals, args.batch_size, args.device)
        for name in args.backbones
    }
    for kind, what in enumerate(("training", "prediction")):
        turns = {f"{name}, {what}": run[kind] for name, run in runs.items()}
        compare(turns, len(crystals), args.repeats)
    if args.device.type == "cuda":
        for name, (train, _) in runs.items():
            print(f"{name}: busy for {busy_share(train):.0%} of a training epoch")


if __name__ == "__main__":
    main()
