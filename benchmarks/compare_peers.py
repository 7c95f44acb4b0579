"""Validation error of MEGNet and ALIGNN, ours and the peers', for the same crystals and epochs.

    pip install -r benchmarks/requirements-peers.txt
    python benchmarks/compare_peers.py peer megnet --data matbench_perovskites.jsonl.gz
    python benchmarks/compare_peers.py ours megnet --data matbench_perovskites.jsonl.gz

`--data` is MatBench's perovskites, one JSON object a line: lattice, atomic_numbers, frac_coords,
e_form. 3,000 rows are for training and 785 for validation, the same for all (permutation of seed
0). The CSV file gets a row per epoch of a peer, and one of the last epoch of ours, with the mean
seconds of an epoch, graphs included. A peer's run that was stopped goes on after the epoch it had
finished; a finished one is left alone.

Peers: matgl's MEGNet at its defaults; `alignn` in pure PyTorch at 4 + 4 layers of width 256. Their
settings are in _peers.py.
"""

import argparse
import csv
import gzip
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _peers import MatglMEGNet, PureALIGNN, n_parameters
from pymatgen.core import Structure

from skuae import CrystalGNNRegressor
from skuae.models import resolve_backbone

PEERS = {"megnet": MatglMEGNet, "alignn": PureALIGNN}
EPOCHS = {"megnet": 20, "alignn": 10}
PEER_LR = 1e-3  # of both
N_TRAIN, N_VAL = 3000, 785
COLUMNS = ["side", "model", "lr", "seed", "epochs", "epoch", "train_seconds", "val_mae"]


def read_rows(path):
    """Return the 3,785 structures and their targets; the first 3,000 are for training."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    chosen = np.random.default_rng(0).permutation(len(rows))[: N_TRAIN + N_VAL]
    structures = [
        Structure(rows[i]["lattice"], rows[i]["atomic_numbers"], rows[i]["frac_coords"])
        for i in chosen
    ]
    return structures, np.array([rows[i]["e_form"] for i in chosen])


def run_peer(args, write):
    """Train a peer epoch by epoch; go on from the checkpoint of the last finished epoch."""
    structures, y = read_rows(args.data)
    peer = PEERS[args.model](structures, y)
    train, val = np.arange(N_TRAIN), np.arange(N_TRAIN, N_TRAIN + N_VAL)
    torch.manual_seed(args.seed)
    loader = peer.loader(train, shuffle=True)
    module = peer.build(train, args.epochs, len(loader))
    print(f"{peer.name}: {n_parameters(module)} parameters, {peer.size}", flush=True)
    state = {"module": module, "optimizer": peer.optimizer, "scheduler": peer.scheduler}
    path = args.checkpoints / f"peer-{args.model}-{args.epochs}-{args.seed}.pt"
    first = 1
    if path.exists():
        saved = torch.load(path, weights_only=False)
        first = saved["epoch"] + 1
        for name, part in state.items():
            part.load_state_dict(saved[name])
        torch.set_rng_state(saved["rng"])
    for epoch in range(first, args.epochs + 1):
        module.train()
        start = time.perf_counter()
        for step, batch in enumerate(loader, 1):
            loss = peer.train_step(batch)
            if epoch == first and step <= 5:
                per_step = (time.perf_counter() - start) / step
                print(
                    f"step {step}: loss {loss.item():.4f}, {per_step:.2f} s a step: "
                    f"{per_step * len(loader):.0f} s an epoch",
                    flush=True,
                )
        peer.end_epoch()
        seconds = time.perf_counter() - start
        module.eval()
        with torch.no_grad():
            pairs = [peer.predict(batch) for batch in peer.loader(val, shuffle=False)]
        mae = float(torch.cat([(out - target).abs() for out, target in pairs]).mean())
        # The row first: what a stop in between leaves is a row that is written twice.
        write(epoch, seconds, mae)
        parts = {name: part.state_dict() for name, part in state.items()}
        rng = torch.get_rng_state()
        torch.save({"epoch": epoch, "rng": rng, **parts}, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").rename(path)


def run_ours(args, write):
    """Train ours for as many epochs through the estimator; the native features of the atoms."""
    structures, y = read_rows(args.data)
    model = CrystalGNNRegressor(
        backbone=args.model,
        embedding=None,
        max_epochs=args.epochs,
        batch_size=PEERS[args.model].batch_size,
        lr=args.lr,
        random_state=args.seed,
    )
    start = time.perf_counter()
    model.fit(structures[:N_TRAIN], y[:N_TRAIN])
    seconds = (time.perf_counter() - start) / args.epochs
    mae = float(np.abs(model.predict(structures[N_TRAIN:]) - y[N_TRAIN:]).mean())
    write(args.epochs, seconds, mae)


def main():
    """Run what is missing, then print the last epoch of all runs."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("side", choices=["peer", "ours"])
    p.add_argument("model", choices=sorted(PEERS))
    p.add_argument("--data", required=True, help="matbench_perovskites.jsonl.gz")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--epochs", type=int, default=None, help="20 for megnet, 10 for alignn")
    p.add_argument("--lr", type=float, help="of ours; the back-end's default if left out")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--output", type=Path, default=Path("compare_peers.csv"))
    p.add_argument("--checkpoints", type=Path, default=Path("."), help="folder, of peers")
    args = p.parse_args()
    if args.side == "peer":
        args.lr = PEER_LR
    elif args.lr is None:
        args.lr = resolve_backbone(args.model).default_lr
    args.epochs = args.epochs or EPOCHS[args.model]
    torch.set_num_threads(args.threads)
    args.checkpoints.mkdir(parents=True, exist_ok=True)
    if not args.output.exists():
        args.output.write_text(",".join(COLUMNS) + "\n")
    key = [args.side, args.model, args.lr, args.seed, args.epochs]

    def write(epoch, seconds, mae):
        with args.output.open("a", newline="") as file:
            csv.writer(file).writerow([*key, epoch, round(seconds, 2), round(mae, 5)])
        print(*key, f"epoch {epoch}: {seconds:.1f} s, validation MAE {mae:.4f}", flush=True)

    done = pd.read_csv(args.output)
    done = done[COLUMNS[:6]].astype(str).to_numpy()
    if not (done == [str(k) for k in [*key, args.epochs]]).all(axis=1).any():
        (run_peer if args.side == "peer" else run_ours)(args, write)
    done = pd.read_csv(args.output).drop_duplicates(COLUMNS[:6], keep="last")
    last = done[done["epoch"] == done["epochs"]]
    print(last.groupby(["model", "epochs", "side", "lr"])["val_mae"].agg(["mean", "std", "count"]))


if __name__ == "__main__":
    main()
