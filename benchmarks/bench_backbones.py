"""Training and prediction rates of all back-ends, on the CPU or a GPU.

    python benchmarks/bench_backbones.py
    python benchmarks/bench_backbones.py --device cuda --batch-size 512 --n 20480

On the CPU also the share of the rate of a plain product of matrices. On a GPU also the share of the
time that it is busy: the time of its kernels by the profiler over the wall time of one more epoch.
gpu.py measures more on a GPU.
"""

import torch
from _backbones import SPECS, Runs, busy_share
from _common import clock_of, compare, parser, print_product_share, read_structures

from skuae import as_crystals, models

SMALL = models.CrystalBERT(d_model=128, n_layers=3, d_ff=512)


def main():
    """Print the rates of all back-ends, epoch by epoch in turns."""
    p = parser(__doc__, n=2048, repeats=3)
    p.add_argument("--batch-size", type=int, default=64)
    p.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    specs = {**SPECS, "crystalbert-small": SMALL, "sen-affine": models.SEN(pose="affine")}
    p.add_argument(
        "--backbones", nargs="+", choices=specs, default=["cgcnn", "megnet", "sen", "alignn"]
    )
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    crystals = as_crystals(read_structures(args))
    print(f"{len(crystals)} crystals, batches of {args.batch_size}, {args.device}")
    runs = {}
    for name in args.backbones:
        spec = specs[name]
        packed = spec.inputs(crystals).pack(crystals, args.device)
        runs[name] = Runs(spec, crystals, packed, args.batch_size)
    clock = clock_of(args.device)
    for what in ("training", "prediction"):
        turns = {
            f"{name}, {what}": run.train if what == "training" else run.predict
            for name, run in runs.items()
        }
        compare(turns, len(crystals), args.repeats, clock=clock)
    for name, run in runs.items():
        if args.device.type == "cuda":
            print(f"{name}: busy for {busy_share(run.train):.0%} of a training epoch")
        elif args.device.type == "cpu":
            batch = next(iter(run.training))
            run.module.train()
            print_product_share(
                name, lambda run=run, batch=batch: run.loss(batch).backward(), args.repeats
            )


if __name__ == "__main__":
    main()
