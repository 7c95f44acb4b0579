"""Training crystals a second, and memory, of one of our networks and of a peer's in one process."""

import ctypes
import itertools
import resource
from pathlib import Path

import numpy as np
import torch
from _common import compare, parser, print_product_share, read_structures
from _peers import n_parameters
from torch.nn import functional as F

from skuae import as_crystals
from skuae.crystals import PackedTensors
from skuae.embedding import get_table
from skuae.models import ElementEmbedding
from skuae.training import CrystalDataset, CrystalLoader


class Skuae:
    """One of our networks, its batches and the optimizer as the estimators have them.

    Parameters
    ----------
    spec : specification of a back-end
    structures : list of pymatgen.core.Structure
    y : array of shape (n,)
        Targets.
    """

    name = "skuae"

    def __init__(self, spec, structures, y):
        self.spec = spec
        crystals = as_crystals(structures)
        graphs = spec.inputs(crystals).graphs
        self.packed = PackedTensors(crystals, graphs)
        self.y = torch.tensor(np.asarray(y), dtype=torch.float32)[:, None]
        self.size = _size(len(crystals), *_counts(graphs))
        if graphs.sites.size < crystals.n_sites:
            n_angles = 0 if graphs.others is None else len(graphs.others)
            kept = _size(len(crystals), len(graphs.neighbors), n_angles)
            self.size += f", equal ones merged to {kept}"

    def build(self, rows, n_epochs, n_steps):
        """Make the network, with the features of its paper; no schedule."""
        del rows, n_epochs, n_steps
        table = torch.tensor(np.nan_to_num(get_table(self.spec.native_table).values))
        self.module = self.spec.build(ElementEmbedding(table, self.spec.native_frozen), 1)
        self.optimizer = torch.optim.AdamW(self.module.parameters(), fused=True)
        return self.module

    def loader(self, rows, shuffle, batch_size):
        """Return the estimators' loader over `rows`; every pass over it is a new epoch."""
        data = CrystalDataset(self.packed, rows, self.y)
        loader = CrystalLoader(data, batch_size, shuffle=shuffle, by_size=False)
        return _Epochs(loader)

    def loss(self, batch):
        """Return the loss of a batch."""
        crystals, (y, _) = batch
        return F.mse_loss(self.module(crystals), y)

    def train_step(self, batch):
        """Do one step of the optimizer; return the loss."""
        loss = self.loss(batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss

    def end_epoch(self):
        """Do nothing."""


class _Epochs:
    """A loader that deals anew each time it is read."""

    def __init__(self, loader):
        self.loader = loader
        self.counter = itertools.count()

    def __len__(self):
        return len(self.loader)

    def __iter__(self):
        self.loader.epoch = next(self.counter)
        return iter(self.loader)


def _counts(graphs):
    """Count the bonds and angles that reduced graphs stand for."""
    degrees = np.diff(graphs.edge_offsets)
    n_bonds = graphs.edge_counts * np.repeat(graphs.site_counts.astype(np.int64), degrees)
    if graphs.others is None:
        return n_bonds.sum(), 0
    n_angles = graphs.angle_counts * np.repeat(n_bonds, np.diff(graphs.angle_offsets))
    return n_bonds.sum(), n_angles.sum()


def _size(n_crystals, n_edges, n_angles):
    return f"{n_edges / n_crystals:.1f} edges and {n_angles / n_crystals:.1f} angles a crystal"


def memory_of(run):
    """Return resident memory before `run` and the highest during it, in MB; Linux alone."""
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # what is free already is not used again unseen
    Path("/proc/self/clear_refs").write_text("5")  # the highest so far is forgotten
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run()
    return before / 1024, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(doc, make_spec, make_peer, **defaults):
    """Train epochs of both sides in turns; with ``--memory``, one epoch of one side."""
    p = parser(doc, **defaults)
    p.add_argument("--batch-size", type=int, default=make_peer.batch_size)
    p.add_argument(
        "--memory", choices=["ours", "peer"], help="memory of one epoch of this side, no rates"
    )
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    structures = read_structures(args)
    y = np.random.default_rng(0).normal(size=len(structures))
    makers = {
        "ours": lambda: Skuae(make_spec(), structures, y),
        "peer": lambda: make_peer(structures, y),
    }
    runs = {}
    for side in [args.memory] if args.memory else makers:
        trainer = makers[side]()
        torch.manual_seed(0)
        rows = np.arange(len(y))
        loader = trainer.loader(rows, shuffle=True, batch_size=args.batch_size)
        module = trainer.build(rows, args.repeats + 1, len(loader))
        print(
            f"{trainer.name}: {n_parameters(module)} parameters, {len(loader)} steps an epoch, "
            f"{trainer.size}",
            flush=True,
        )
        runs[trainer.name] = _epoch(trainer, module, loader)
        if side == "ours":
            ours, batch = trainer, next(iter(loader))
    n_sites = sum(map(len, structures))
    print(f"{len(y)} crystals, {n_sites / len(y):.1f} sites on average, {args.threads} thread(s)")
    if args.memory:
        del structures
        before, peak = memory_of(next(iter(runs.values())))
        print(
            f"memory with graphs {before:.0f} MB, highest in one epoch of training {peak:.0f} MB: "
            f"{peak - before:.0f} MB more"
        )
    else:
        compare(runs, len(y), args.repeats)
        print_product_share(ours.name, lambda: ours.loss(batch).backward(), args.repeats)


def _epoch(trainer, module, loader):
    def run():
        module.train()
        for batch in loader:
            trainer.train_step(batch)
        trainer.end_epoch()

    return run
