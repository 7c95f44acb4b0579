"""The peers' side of the benchmarks: matgl's MEGNet and the pure-PyTorch `alignn`.

Graphs, collation, model and optimizer are the peers' own; what stays as the peers have it and what
does not is said here. Install them with

    pip install -r benchmarks/requirements-peers.txt
"""

import contextlib
import importlib
import io
import sys
import tempfile
import warnings

import numpy as np
import torch
from torch.nn import functional as F


def require(*modules):
    """Import modules; end the program with one sentence where one is missing."""
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            sys.exit(
                f"{module} is needed for this comparison but cannot be imported ({error}): "
                "install the peers with `pip install -r benchmarks/requirements-peers.txt`."
            )


class MatglMEGNet:
    """matgl's MEGNet with its defaults: 4 Å, 100 Gaussians, three blocks, Adam 1e-3.

    Its Lightning module makes the optimizer, the scheduler (a cosine over 1,000 epochs) and the
    loss, which scales predictions by mean and standard deviation of the training targets. The loop
    around it is plain: its Trainer would only add time.

    Parameters
    ----------
    structures : list of pymatgen.core.Structure
    y : array of shape (n,)
        Targets.
    """

    name = "matgl MEGNet"
    batch_size = 128
    cutoff = 4.0

    def __init__(self, structures, y):
        warnings.filterwarnings("ignore", module="matgl|lightning|torch_geometric|pkg_resources")
        require("matgl")
        from matgl.ext.pymatgen import Structure2Graph, get_element_list
        from matgl.graph.data import MGLDataset

        self.elements = get_element_list(structures)
        with tempfile.TemporaryDirectory() as root, contextlib.redirect_stderr(io.StringIO()):
            self.data = MGLDataset(
                structures=structures,
                labels={"y": np.asarray(y, dtype=float)},
                converter=Structure2Graph(self.elements, cutoff=self.cutoff),
                root=root,
                save_cache=False,
            )
        self.y = np.asarray(y, dtype=float)
        n_edges = sum(graph.num_edges for graph in self.data.graphs)
        self.size = f"{n_edges / len(y):.1f} edges a crystal"

    def build(self, rows, n_epochs, n_steps):
        """Make the network, with the scale of the targets of the training `rows`."""
        from matgl.models import MEGNet
        from matgl.utils.training import ModelLightningModule

        del n_epochs, n_steps  # its schedule does not depend on them
        self.module = ModelLightningModule(
            MEGNet(element_types=self.elements, cutoff=self.cutoff),
            data_mean=float(self.y[rows].mean()),
            data_std=float(self.y[rows].std()),
        )
        (self.optimizer,), (self.scheduler,) = self.module.configure_optimizers()
        return self.module

    def loader(self, rows, shuffle, batch_size=None):
        """Return its data loader over `rows`, in this process."""
        from matgl.graph.data import MGLDataLoader
        from torch.utils.data import Subset

        some = Subset(self.data, [int(i) for i in rows])
        train, val = MGLDataLoader(
            some, some, batch_size=batch_size or self.batch_size, num_workers=0
        )
        return train if shuffle else val

    def predict(self, batch):
        """Return predictions in the unit of the targets, and the targets."""
        graphs, lattice, state, y = batch
        out = self.module(g=graphs, lat=lattice, state_attr=state)
        return (out * self.module.data_std + self.module.data_mean).reshape(y.shape), y

    def train_step(self, batch):
        """Do one step of the optimizer; return the loss."""
        out, y = self.predict(batch)
        loss = self.module.loss(y, out)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss

    def end_epoch(self):
        """Let the schedule go on: it steps once an epoch."""
        self.scheduler.step()


class PureALIGNN:
    """The pure-PyTorch ALIGNN of `alignn` at the published size, without forces.

    4 + 4 layers of width 256, 12 neighbours within 8 Å, all angles between them, 92 bits an atom.
    AdamW and one-cycle schedule as its trainer sets them up, with the published rate 1e-3 and
    decay 1e-5; mean squared error on targets as they are. Its trainer keeps graphs in LMDB files;
    here they stay in memory, which is faster, and the last, smaller batch is not dropped.

    Parameters
    ----------
    structures : list of pymatgen.core.Structure
    y : array of shape (n,)
        Targets.
    """

    name = "alignn, pure PyTorch"
    batch_size = 64

    def __init__(self, structures, y):
        require("alignn", "jarvis")
        from alignn.torch_graph_builder import build_pure_torch_graph
        from jarvis.core.atoms import pmg_to_atoms

        y = torch.as_tensor(np.asarray(y), dtype=torch.float32)
        self.samples = []
        for structure, target in zip(structures, y, strict=True):
            graph, line_graph = build_pure_torch_graph(
                pmg_to_atoms(structure),
                two_body_cutoff=8.0,
                three_body_cutoff=8.0,
                max_neighbors=12,
                atom_features="cgcnn",
            )
            lattice = torch.tensor(np.array(structure.lattice.matrix), dtype=torch.float32)
            self.samples.append((graph, line_graph, lattice, target))
        n_edges, n_angles = (
            sum(sample[i].num_edges for sample in self.samples) / len(y) for i in range(2)
        )
        self.size = f"{n_edges:.1f} edges and {n_angles:.1f} angles a crystal"

    def build(self, rows, n_epochs, n_steps):
        """Make the network and a one-cycle schedule of `n_epochs` of `n_steps`."""
        from alignn.models.alignn_atomwise_pure import ALIGNNAtomWisePure, ALIGNNAtomWisePureConfig
        from alignn.utils import group_decay

        del rows  # the targets are not scaled
        self.module = ALIGNNAtomWisePure(
            ALIGNNAtomWisePureConfig(
                name="alignn_atomwise_pure",
                alignn_layers=4,
                gcn_layers=4,
                atom_input_features=92,
                hidden_features=256,
                embedding_features=64,
                calculate_gradient=False,
                gradwise_weight=0.0,
                stresswise_weight=0.0,
            )
        )
        self.optimizer = torch.optim.AdamW(group_decay(self.module), lr=1e-3, weight_decay=1e-5)
        self.scheduler = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, max_lr=1e-3, epochs=n_epochs, steps_per_epoch=n_steps, pct_start=0.3
        )
        return self.module

    def loader(self, rows, shuffle, batch_size=None):
        """Return a loader over `rows` with its collation, in this process."""
        from alignn.pure_lmdb_dataset import PureTorchLMDBDataset
        from torch.utils.data import DataLoader, Subset

        return DataLoader(
            Subset(self.samples, [int(i) for i in rows]),
            batch_size=batch_size or self.batch_size,
            shuffle=shuffle,
            collate_fn=PureTorchLMDBDataset.collate_line_graph,
        )

    def predict(self, batch):
        """Return predictions and targets."""
        graph, line_graph, lattice, y = batch
        return self.module([graph, line_graph, lattice])["out"].reshape(y.shape), y

    def train_step(self, batch):
        """Do one step of the optimizer and of the schedule; return the loss."""
        out, y = self.predict(batch)
        loss = F.mse_loss(out, y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.scheduler.step()
        return loss

    def end_epoch(self):
        """Do nothing: the schedule steps with the optimizer."""


def n_parameters(module):
    """Return how many numbers of a network are trained."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
