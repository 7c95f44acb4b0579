"""Predictions by one worker of dask and by two: crystals per second, and CPU time per crystal.

    python benchmarks/bench_dask.py --structures mp_structures_part0.jsonl.gz --n 4000

`skuae predict MODEL PARTS --scheduler ADDRESS` runs by turns on local clusters of one worker and of
several, each of which has predicted a part before and has all modules loaded. Parts are parquet
files of CIF texts. The CPU time is that of the workers. The wall time means something only where
there are as many idle cores as workers. On busy cores, set
DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED=False: the profiler of dask takes CPU time by the wall
clock.
"""

import csv
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from _common import parser, read_structures
from distributed import Client, LocalCluster

from skuae.cli import main as skuae

COLUMNS = ["model", "workers", "repeat", "crystals", "wall_s", "cpu_s", "cpu_ms_per_crystal"]


def write_parts(structures, folder, n_parts):
    """Write structures to parquet files, and one of them to a folder of its own."""
    cells = pd.DataFrame({"cif": [structure.to(fmt="cif") for structure in structures]})
    cells.insert(0, "id", [f"c{i}" for i in range(len(cells))])
    for name, n in (("parts", n_parts), ("first", 2 * n_parts)):
        (folder / name).mkdir()
        for i, rows in enumerate(np.array_split(np.arange(len(cells)), n)):
            if name == "parts" or i < 8:  # a few for each worker
                cells.iloc[rows].to_parquet(folder / name / f"part-{i:04d}.parquet", index=False)


def cpu_of(client):
    """Return the CPU time of all workers so far."""
    return sum(client.run(time.process_time).values())


def measure(model, folder, n_workers):
    """Predict all parts once; return wall and CPU time."""
    with (
        LocalCluster(
            n_workers=n_workers, threads_per_worker=1, dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster) as client,
        tempfile.TemporaryDirectory() as out,
    ):

        def predict(name):
            command = ["predict", model, str(folder / name), "-o", f"{out}/{name}", "--quiet"]
            skuae([*command, "--scheduler", cluster.scheduler_address])

        predict("first")
        cpu, wall = cpu_of(client), time.monotonic()
        predict("parts")
        return time.monotonic() - wall, cpu_of(client) - cpu


def main():
    """Measure by turns, and print ratios."""
    p = parser(__doc__, n=2000, repeats=3)
    p.add_argument("--parts", type=int, default=20, help="files")
    p.add_argument("--model", default="mp-metal")
    p.add_argument("--workers", type=int, default=2)
    p.add_argument("--output", type=Path, default=Path("docs/large_data_dask.csv"))
    args = p.parse_args()
    folder = Path(tempfile.mkdtemp())
    write_parts(read_structures(args), folder, args.parts)
    rows = []
    for repeat in range(args.repeats):
        for n_workers in (1, args.workers)[:: 1 - 2 * (repeat % 2)]:
            wall, cpu = measure(args.model, folder, n_workers)
            row = [args.model, n_workers, repeat, args.n, round(wall, 2), round(cpu, 2)]
            rows.append([*row, round(1e3 * cpu / args.n, 3)])
            print(*rows[-1], flush=True)
            with args.output.open("w", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
    table = pd.DataFrame(rows, columns=COLUMNS).pivot(index="repeat", columns="workers")
    for name, ratio in (
        ("throughput", table["wall_s"][1] / table["wall_s"][args.workers]),
        ("CPU time per crystal", table["cpu_s"][args.workers] / table["cpu_s"][1]),
    ):
        low, middle, high = ratio.quantile([0, 0.5, 1])
        print(f"{args.workers} workers to one, {name}: {middle:.2f} ({low:.2f} to {high:.2f})")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
