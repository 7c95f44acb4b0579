"""All that is to be measured on a machine with a GPU, in under eight minutes, into one JSON file.

    python benchmarks/gpu.py
    python benchmarks/gpu.py --device cpu --n 64 --repeats 1  # to try the script

Parts: `tests` runs the tests marked gpu; `fit` trains on the bundled crystals and compares the
devices; `rates` has the rates of all back-ends, how busy they keep the GPU, and the memory they
take; `noise` has the same for crystals without symmetry, all atoms displaced by 0.05 Å. The file is
written anew after every case.
"""

import argparse
import itertools
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from _backbones import SPECS, Runs, busy_share
from _common import CLOCKS, clock_of, displace, seconds_of
from _report import Report, facts_of_machine, run_tests

from skuae import CrystalGNNRegressor, as_crystals, datasets, models

PARTS = ("tests", "fit", "rates", "noise")
ORDER = sorted(SPECS, key=lambda name: name == "alignn")  # the slowest last
PRECISIONS = ("float32", "bf16")
MIN_BATCHES = 8  # of an epoch on a GPU
LENGTH = 0.05  # of a displacement, in Å
MISSING = {"not_run": "this back-end computes in float32 only"}


def measure_rates(args, report, part):
    """Train and predict with every back-end, in both precisions and batches of several sizes."""
    structures = args.data.structures[args.order[: args.n]].to_structures()
    crystals = as_crystals(displace(structures, LENGTH) if part == "noise" else structures)

    def measure(backbone, batch_size, precision):
        if precision == "bf16" and not SPECS[backbone].has_bf16:
            return MISSING
        spec, n_rows = SPECS[backbone], len(crystals)
        start = time.perf_counter()
        packed = spec.inputs(crystals).pack(crystals, args.device)
        pack_s = time.perf_counter() - start
        if args.device.type == "cuda":
            n_rows = max(n_rows, MIN_BATCHES * batch_size)
        runs = Runs(spec, crystals, packed, batch_size, n_rows)
        models.set_precision(runs.module, precision)
        return {"pack_s": pack_s, **time_epochs(runs, args)}

    for values in itertools.product(args.backbones, args.batch_sizes, PRECISIONS):
        case = dict(zip(("backbone", "batch_size", "precision"), values, strict=True))
        report.run(part, case, partial(measure, **case))


def time_epochs(runs, args):
    """Return rates of training and prediction; on a GPU also memory, and how busy it was."""
    found = {}
    epochs = {"training": (runs.train, partial(runs.train, MIN_BATCHES)),
              "prediction": (runs.predict, runs.predict)}  # fmt: skip
    for what, (epoch, profiled) in epochs.items():
        if args.device.type == "cuda":
            found["start_mb"] = torch.cuda.memory_allocated(args.device) / 2**20
            torch.cuda.reset_peak_memory_stats(args.device)
        seconds = seconds_of({what: epoch}, args.repeats, clock_of(args.device))[what]
        found[f"{what}_per_s"] = runs.n_rows / float(np.median(seconds))
        found[f"{what}_per_s_all"] = [runs.n_rows / float(s) for s in seconds]
        if args.device.type == "cuda":
            found[f"{what}_peak_mb"] = torch.cuda.max_memory_allocated(args.device) / 2**20
            found[f"{what}_busy"] = busy_share(profiled)
    return found


def measure_fits(args, report):
    """Fit back-ends on the device, and compare predictions and errors with those of the CPU."""
    rows = args.order if args.device.type == "cuda" else args.order[: args.n]
    held = len(rows) // 5
    X, y = args.data.structures, args.data.target
    train, test = rows[held:], rows[:held]

    def fit(name, precision, device):
        model = CrystalGNNRegressor(
            SPECS[name], max_epochs=args.epochs, device=device, precision=precision, random_state=0
        )
        start = time.perf_counter()
        model.fit(X[train], y[train])
        return model, time.perf_counter() - start

    def error(predicted):
        return float(np.abs(predicted - y[test]).mean())

    def measure(name, precision):
        if precision == "bf16" and not SPECS[name].has_bf16:
            return MISSING
        model, seconds = fit(name, precision, args.device)
        there = model.predict(X[test])
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            here = CrystalGNNRegressor.from_pretrained(folder, device="cpu").predict(X[test])
        return {
            "fit_s": seconds,
            "largest_difference": float(np.abs(there - here).max()),  # of the same weights
            "error_on_device": error(there),
            "error_on_cpu": error(here),
        }

    def measure_on_cpu(name):
        model, seconds = fit(name, "float32", "cpu")
        return {"fit_s": seconds, "error_on_cpu": error(model.predict(X[test]))}

    about = {"n_train": len(train), "n_test": len(test), "epochs": args.epochs}
    for name, precision in itertools.product(args.fits, PRECISIONS):
        case = {"backbone": name, "precision": precision, "fitted_on": str(args.device), **about}
        report.run("fit", case, partial(measure, name, precision))
    case = {"backbone": args.fits[0], "precision": "float32", "fitted_on": "cpu", **about}
    report.run("fit", case, partial(measure_on_cpu, args.fits[0]))


def main():
    """Do the parts that were asked for."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    p.add_argument("--device", type=torch.device, default=torch.device("cuda"))
    p.add_argument("--backbones", nargs="+", choices=SPECS, default=ORDER)
    p.add_argument("--batch-sizes", nargs="+", type=int, default=[64, 512])
    p.add_argument("--n", type=int, default=1024, help="different crystals of an epoch")
    p.add_argument("--repeats", type=int, default=3, help="epochs that are timed")
    p.add_argument("--fits", nargs="+", choices=SPECS, default=["cgcnn", "megnet", "gated_gcn"])
    p.add_argument("--epochs", type=int, default=20, help="of the fits")
    p.add_argument("--threads", type=int, help="as torch chooses if left out")
    p.add_argument("--budget-s", type=float, default=480.0)
    p.add_argument("--output", type=Path, default=Path("gpu.json"))
    args = p.parse_args()
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    options = {
        k: str(v) if isinstance(v, (Path, torch.device)) else v for k, v in vars(args).items()
    }
    report = Report(
        args.output, args.budget_s, machine=facts_of_machine(args.device), options=options,
        clock=CLOCKS[clock_of(args.device)],
    )  # fmt: skip
    args.data = datasets.load_mp_mini()
    args.order = np.random.default_rng(0).permutation(len(args.data.structures))
    for part in args.parts:
        if part == "tests":
            report.run(part, {}, lambda: run_tests(timeout=report.seconds_left / 2))
        elif part == "fit":
            measure_fits(args, report)
        else:
            measure_rates(args, report, part)


if __name__ == "__main__":
    main()
