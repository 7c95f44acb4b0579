"""What the benchmarks share: real crystals, and rates measured in turns."""

import argparse
import gzip
import json
import time
from collections import Counter

import numpy as np
import pandas as pd
import torch
from pymatgen.core import Structure
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from skuae import Crystals, datasets

CLOCKS = {time.process_time: "CPU time", time.perf_counter: "wall time"}


def parser(description, **defaults):
    """Return an argument parser with the options all benchmarks have."""
    p = argparse.ArgumentParser(description=description.splitlines()[0])
    p.add_argument(
        "--structures",
        nargs="+",
        help="*.jsonl.gz with lattice, atomic_numbers, frac_coords a line; the bundled sample of "
        "the Materials Project if left out",
    )
    p.add_argument("--n", type=int, default=defaults.get("n", 1000), help="crystals, at random")
    p.add_argument("--min-sites", type=int, default=1, help="leave smaller crystals out")
    p.add_argument(
        "--max-sites", type=int, default=defaults.get("max_sites"), help="leave larger ones out"
    )
    p.add_argument(
        "--noise",
        type=float,
        default=0.0,
        help="displace every atom by this length, in Å: crystals without any symmetry",
    )
    p.add_argument("--repeats", type=int, default=defaults.get("repeats", 5))
    p.add_argument("--threads", type=int, default=defaults.get("threads", 2))
    return p


def read_structures(args):
    """Return up to `args.n` randomly chosen pymatgen Structures, as the options want them."""
    if args.structures is None:
        crystals = datasets.load_mp_mini().structures
        structures = crystals[_choose(crystals.sizes, args)].to_structures()
    else:
        rows = []
        for path in args.structures:
            with gzip.open(path, "rt", encoding="utf-8") as lines:
                rows += [json.loads(line) for line in lines]
        sizes = np.array([len(row["atomic_numbers"]) for row in rows])
        structures = [
            Structure(rows[i]["lattice"], rows[i]["atomic_numbers"], rows[i]["frac_coords"])
            for i in _choose(sizes, args)
        ]
    return displace(structures, args.noise) if args.noise else structures


def _choose(sizes, args):
    order = np.random.default_rng(0).permutation(len(sizes))
    most = np.inf if args.max_sites is None else args.max_sites
    return order[(sizes[order] >= args.min_sites) & (sizes[order] <= most)][: args.n]


def displace(structures, length):
    """Return copies of Structures, every atom displaced in a random direction.

    Parameters
    ----------
    structures : list of pymatgen.core.Structure
    length : float
        How far, in Å.

    Returns
    -------
    list of pymatgen.core.Structure
    """
    displaced = []
    for i, structure in enumerate(structures):
        step = np.random.default_rng(i).normal(size=(len(structure), 3))
        step *= length / np.linalg.norm(step, axis=1, keepdims=True)
        displaced.append(
            Structure(
                structure.lattice,
                structure.species_and_occu,
                structure.cart_coords + step,
                coords_are_cartesian=True,
            )
        )
    return displaced


def read_materials_project(folder):
    """Return the crystals of mp_structures_part*.jsonl.gz, and their labels by id.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    crystals : Crystals
    labels : DataFrame
    """
    parts = [datasets.read_file(p) for p in sorted(folder.glob("mp_structures_part*.jsonl.gz"))]
    crystals = Crystals.concatenate([part.structures for part in parts])
    labels = pd.read_parquet(folder / "mp_merged_labels.parquet").set_index("id")
    return crystals, labels.loc[crystals.ids]


def clock_of(device):
    """Return what runs on a device are timed by.

    CPU time depends less than wall time on what else the machine does, but leaves out the GPU.

    Parameters
    ----------
    device : torch.device

    Returns
    -------
    callable
        The seconds so far, as a float.
    """
    return time.process_time if device.type == "cpu" else time.perf_counter


def seconds_of(runs, repeats, clock=time.process_time):
    """Run functions in turns and time them.

    Parameters
    ----------
    runs : dict of str to callable
    repeats : int
        Rounds; one more is run before, to warm up.
    clock : callable
        One of `CLOCKS`.

    Returns
    -------
    dict of str to ndarray of shape (repeats,)
    """
    seconds = {name: [] for name in runs}
    for repeat in range(repeats + 1):
        for name, run in runs.items():
            start = clock()
            run()
            if repeat:
                seconds[name].append(clock() - start)
    return {name: np.array(values) for name, values in seconds.items()}


def compare(runs, n, repeats, unit="crystals/s", clock=time.process_time):
    """Run functions in turns, print the rates of each and the ratio of the first to the others.

    Parameters
    ----------
    runs : dict of str to callable
        Each deals with `n` items. The first is ours.
    n : int or dict of str to int
    repeats : int
        Rounds; one more is run before, to warm up.
    unit : str
    clock : callable
        One of `CLOCKS`: CPU time, of all threads together, or wall time where a device is used.
    """
    n = n if isinstance(n, dict) else dict.fromkeys(runs, n)
    seconds = seconds_of(runs, repeats, clock)
    rates = {name: n[name] / values for name, values in seconds.items()}
    print(f"rates by {CLOCKS[clock]} (min, median, max)")
    ours, *others = rates
    for name, values in rates.items():
        low, middle, high = np.quantile(values, [0, 0.5, 1])
        print(f"{name:44} {low:10.1f} {middle:10.1f} {high:10.1f}  {unit}")
    for name in others:
        low, middle, high = np.quantile(rates[ours] / rates[name], [0, 0.5, 1])
        print(f"ratio to {name}: {middle:.2f} (min {low:.2f}, max {high:.2f})")


def print_product_share(name, run, repeats):
    """Print how near a run on the CPU comes to a plain product of matrices.

    The plain product is in float32, in one thread, and has the shape in which the run does most of
    its arithmetic. Both are timed in turns, by CPU time. What is not a product counts as nothing:
    the share tells how much of the time goes into everything else.

    Parameters
    ----------
    name : str
    run : callable
        One forward and backward pass.
    repeats : int
    """
    n_flops, (m, k, n) = count_products(run)
    a, b = torch.randn(m, k), torch.randn(k, n)
    out = torch.empty(m, n)
    n_products = max(1, round(n_flops / (2 * m * k * n)))  # as long as the run, if that is ideal

    def products():
        n_threads = torch.get_num_threads()
        torch.set_num_threads(1)
        for _ in range(n_products):
            torch.mm(a, b, out=out)
        torch.set_num_threads(n_threads)

    seconds = seconds_of({"run": run, "products": products}, repeats)
    rates = n_flops / seconds["run"], n_products * 2 * m * k * n / seconds["products"]
    low, middle, high = np.quantile(rates[0] / rates[1], [0, 0.5, 1])
    ours, plain = (np.median(rate) / 1e9 for rate in rates)
    print(
        f"{name}: {ours:.1f} GFLOP/s in a forward and backward pass, {middle:.0%} (min {low:.0%}, "
        f"max {high:.0%}) of the {plain:.1f} GFLOP/s of a plain float32 product "
        f"({m} x {k} by {k} x {n})"
    )


def count_products(run):
    """Count the operations of a run in products of matrices and in attention.

    Parameters
    ----------
    run : callable

    Returns
    -------
    n_flops : int
    shape : tuple of int
        (m, k, n) of the products (m, k) by (k, n) that together have most of them.
    """
    by_shape = Counter()

    def mm(a, b, *_, **options):
        shape = (*a, b[1])
        by_shape[shape] += 2 * int(np.prod(shape))
        return 2 * int(np.prod(shape))

    def addmm(_, a, b, **options):
        return mm(a, b)

    # torch's own table lacks addmm_, which our autograd functions use, and attention on the CPU.
    aten = torch.ops.aten
    table = {
        aten.mm: mm,
        aten.addmm: addmm,
        aten.addmm_: addmm,
        aten._scaled_dot_product_flash_attention_for_cpu: (
            lambda q, k, v, *_, **options: sdpa_flop_count(q, k, v)
        ),
        aten._scaled_dot_product_flash_attention_for_cpu_backward: (
            lambda grad, q, k, v, *_, **options: sdpa_backward_flop_count(grad, q, k, v)
        ),
    }
    with FlopCounterMode(display=False, custom_mapping=table) as counter:
        run()
    return counter.get_total_flops(), max(by_shape, key=by_shape.get)
