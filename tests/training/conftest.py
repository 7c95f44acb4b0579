import numpy as np
import pytest
import torch

from skuae.crystals import PackedTensors, as_crystals
from skuae.datasets import make_toy_crystals
from skuae.models import CGCNN, CrystalTransformer, ElementEmbedding, LearnedElements
from skuae.training._data import CrystalDataset, CrystalLoader
from skuae.training._loss import MaskedLoss
from skuae.training._net import CrystalNet


@pytest.fixture(scope="session")
def crystals(mp_mini):
    """Sixty real crystals of many sizes."""
    rows = np.random.default_rng(1).choice(len(mp_mini.structures), 60, replace=False)
    return mp_mini.structures[rows]


@pytest.fixture
def toy():
    """Twenty-four small crystals, their targets standardised."""
    data = make_toy_crystals(24, target=["electronegativity", "volume_per_atom"], random_state=0)
    y = (data.target - data.target.mean(axis=0)) / data.target.std(axis=0)
    return as_crystals(data.structures), torch.tensor(y, dtype=torch.float32)


def _make_module(kind, n_outputs=2, *, frozen=False, seed=0):
    torch.manual_seed(seed)
    if kind == "transformer":
        spec = CrystalTransformer(d_model=16, n_layers=1, dim_feedforward=16)
        return spec.build(LearnedElements(8, True, None), n_outputs)
    return CGCNN(atom_dim=8, n_conv=1, hidden_dim=8).build(
        ElementEmbedding(torch.randn(118, 6), frozen), n_outputs
    )


@pytest.fixture
def make_module():
    return _make_module


def _make_net(module, *, loss="squared_error", task_weights=None, callbacks=(), **options):
    options = {"seed": 3, "lr": 0.01, "optimizer": "adamw", "max_epochs": 3, **options}
    net = CrystalNet(
        module, MaskedLoss(loss, task_weights), device="cpu", callbacks=list(callbacks),
        callbacks__print_log=None, verbose=0, **options,
    )  # fmt: skip
    return net.initialize()


@pytest.fixture
def make_net():
    return _make_net


def _make_loader(kind, crystals, targets=None, weights=None, rows=None, **options):
    graphs = CGCNN().inputs(crystals).graphs if kind == "cgcnn" else None
    packed = PackedTensors(crystals, graphs)
    rows = np.arange(len(crystals)) if rows is None else rows
    options = {"batch_size": 8, "shuffle": True, "by_size": kind == "transformer", **options}
    return CrystalLoader(
        CrystalDataset(packed, rows, targets, weights), options.pop("batch_size"), **options
    )


@pytest.fixture
def make_loader():
    return _make_loader


def _train(net, loader):
    net.notify("on_train_begin", dataset_train=loader.dataset)
    net.fit_loop(loader)
    net.notify("on_train_end", dataset_train=loader.dataset)
    return net


@pytest.fixture
def train():
    return _train
