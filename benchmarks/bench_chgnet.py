"""CHGNet: ours against the chgnet package, with the same weights, on the same crystals and thread.

    pip install chgnet
    python benchmarks/bench_chgnet.py

Energy, forces and stress of cells of about 64 atoms without symmetry; a training step on four of
them; a batch of bundled crystals; their features; and molecular dynamics of 64 atoms of silicon.
CPU time, in turns, least of the repeats; ours includes the search for neighbours, as theirs does.
`--memory` prints that of a training step instead, for one of the two in a process (Linux).
"""

import argparse
import time

import numpy as np
import torch
from _peers import require
from _training import memory_of

from skuae import as_crystals
from skuae.datasets import load_mp_mini


def rattled_cells(n_sites, n_cells, seed=0):
    """Return supercells of bundled crystals with about so many sites, all atoms moved."""
    rng = np.random.default_rng(seed)
    cells = []
    for row in rng.permutation(2573)[:n_cells]:
        cell = load_mp_mini().structures[int(row)]
        while len(cell) < n_sites / 1.5:
            size = np.ones(3, int)
            size[np.argmin(cell.lattice.abc)] = 2
            cell.make_supercell(size)
        cell.perturb(0.05)
        cells.append(cell)
    return cells


def least_times(calls, repeats):
    """Return the least CPU time of each call; they take turns."""
    times = [[] for _ in calls]
    for _ in range(repeats):
        for one, call in zip(times, calls, strict=True):
            start = time.process_time()
            call()
            one.append(time.process_time() - start)
    return [min(one) for one in times]


def labels_of(oracle, cells):
    """Return energies per atom, forces and stresses near those that the potential has now."""
    found = oracle.predict_structure(cells, task="efs")
    forces = [torch.tensor(one["f"]) + 0.01 for one in found]
    stresses = [torch.tensor((one["s"] + one["s"].T) / 2) for one in found]
    energies = [float(one["e"]) + 0.1 for one in found]
    return energies, forces, stresses


def our_fit(potential, cells, labels, epochs):
    """Return a fit of epochs of one step each."""
    from skuae.potentials import CrystalPotential

    crystals = as_crystals(cells)
    rows = [
        {"energy": e * len(cell), "forces": f.numpy(), "stress": s.numpy()}
        for e, f, s, cell in zip(*labels, cells, strict=True)
    ]
    fit = CrystalPotential(
        init_from=potential, max_epochs=epochs, batch_size=len(cells), lr=1e-5,
        reference_energies=None, device="cpu", random_state=0,
    )  # fmt: skip
    return lambda: fit.fit(crystals, rows)


def their_step(oracle, cells, labels):
    """Return a training step of the chgnet package."""
    from chgnet.trainer.trainer import CombinedLoss

    energies, forces, stresses = labels
    graphs = [oracle.graph_converter(cell) for cell in cells]
    loss = CombinedLoss(
        target_str="efs", criterion="Huber", energy_loss_ratio=1, force_loss_ratio=1,
        stress_loss_ratio=0.1, mag_loss_ratio=0.1, delta=0.1,
    )  # fmt: skip
    targets = {"e": torch.tensor(energies), "f": forces, "s": stresses}
    optimizer = torch.optim.Adam(oracle.parameters(), lr=1e-5)

    def step():
        optimizer.zero_grad()
        loss(targets, oracle(graphs, task="efs"))["loss"].backward()
        optimizer.step()

    return step


def training_steps(potential, oracle, cells):
    """Return the time of a training step of ours and of theirs."""
    labels = labels_of(oracle, cells)
    n = 3  # epochs of one step each; what comes before them is taken off
    fits = [our_fit(potential, cells, labels, epochs) for epochs in (1, n + 1)]
    once, more = least_times(fits, 2)
    (theirs,) = least_times([their_step(oracle, cells, labels)], n)
    return (more - once) / n, theirs


def dynamics(potential, oracle, n_steps):
    """Return calls that move 64 atoms of silicon at 600 K so many steps, of ours and of theirs."""
    from ase.build import bulk
    from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
    from ase.md.verlet import VelocityVerlet
    from ase.units import fs
    from chgnet.model import CHGNetCalculator

    calls = []
    for calculator in (potential.calculator(), CHGNetCalculator(oracle, use_device="cpu")):
        atoms = bulk("Si", cubic=True).repeat(2)
        atoms.calc = calculator
        MaxwellBoltzmannDistribution(atoms, temperature_K=600, rng=np.random.default_rng(0))
        moves = VelocityVerlet(atoms, fs)
        moves.run(1)
        calls.append(lambda moves=moves: moves.run(n_steps))
    return calls


def peak_memory(whose, potential, oracle, cells):
    """Return the memory in MB before a training step and the highest in it."""
    labels = labels_of(oracle, cells)
    ours = whose == "ours"
    step = our_fit(potential, cells, labels, 1) if ours else their_step(oracle, cells, labels)
    return memory_of(step)


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=6, help="cells of about 64 sites")
    parser.add_argument("--crystals", type=int, default=200, help="bundled crystals in a batch")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=50, help="of molecular dynamics")
    parser.add_argument("--memory", choices=["ours", "theirs"])
    args = parser.parse_args()
    require("chgnet")
    from chgnet.model import CHGNet

    from skuae.featurizers import PotentialTransformer
    from skuae.potentials import CrystalPotential

    torch.set_num_threads(1)
    potential = CrystalPotential.from_pretrained("chgnet-0.3.0", device="cpu")
    oracle = CHGNet.load(use_device="cpu", verbose=False)
    cells = rattled_cells(64, args.cells)
    if args.memory:
        before, peak = peak_memory(args.memory, potential, oracle, cells[:4])
        print(f"training step, 4 cells, {args.memory}: {peak:.0f} MB, {before:.0f} before it")
        return
    for cell in cells:
        ours, theirs = least_times(
            [
                lambda cell=cell: potential.predict_all([cell]),
                lambda cell=cell: oracle.predict_structure(cell, task="efs"),
            ],
            args.repeats,
        )
        print(f"{cell.reduced_formula:>12} {len(cell):4} sites {ours:7.3f} {theirs:7.3f} s "
              f"{theirs / ours:5.2f} times")  # fmt: skip
    crystals = list(load_mp_mini().structures[: args.crystals])
    ours, theirs = least_times(
        [
            lambda: potential.predict_all(crystals),
            lambda: oracle.predict_structure(crystals, task="efs"),
        ],
        1,
    )
    print(
        f"{len(crystals)} bundled crystals {ours:7.2f} {theirs:7.2f} s {theirs / ours:5.2f} times"
    )
    some = crystals[: args.crystals // 2]
    transformer = PotentialTransformer(potential, device="cpu").fit(some)
    ours, theirs = least_times(
        [
            lambda: transformer.transform(some),
            lambda: oracle.predict_structure(some, task="e", return_crystal_feas=True),
        ],
        args.repeats,
    )
    print(f"features of {len(some)} bundled crystals {1000 * ours / len(some):7.2f} "
          f"{1000 * theirs / len(some):7.2f} ms each {theirs / ours:5.2f} times")  # fmt: skip
    ours, theirs = training_steps(potential, oracle, cells[:4])
    print(f"training step, 4 cells {ours:7.3f} {theirs:7.3f} s {theirs / ours:5.2f} times")
    ours, theirs = least_times(dynamics(potential, oracle, args.steps), args.repeats)
    print(f"dynamics of 64 atoms of Si {args.steps / ours:7.1f} {args.steps / theirs:7.1f} steps/s "
          f"{theirs / ours:5.2f} times")  # fmt: skip


if __name__ == "__main__":
    main()
