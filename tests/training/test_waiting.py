"""Training does not make the host wait for a GPU: nothing is read back within a batch.

Tensors on the meta device have no values. Whatever needs one, such as ``item``, ``nonzero`` or a
boolean mask, raises there, and the branches taken are those of a GPU.
"""

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from small_backbones import SMALL

from skuae.crystals import augment, to_device
from skuae.models import ElementEmbedding
from skuae.training._data import CrystalDataset
from skuae.training._loss import MaskedLoss
from skuae.training._net import CrystalNet

ROWS = np.array([7, 2, 2, 31, 0, 58])


def make_net(spec, device):
    module = spec.build(ElementEmbedding(torch.randn(118, 6), frozen=False), 2)
    loss = MaskedLoss("huber", [1.0, 2.0])
    net = CrystalNet(module, loss, device=device, clip_norm=1.0, optimizer="adamw").initialize()
    net.step_, net.n_steps_ = 0, 10
    return net


def make_dataset(spec, crystals, device):
    targets, weights = torch.randn(2, 60, 2, device=device)
    packed = spec.inputs(crystals).pack(crystals, device)
    return CrystalDataset(packed, np.arange(60), targets, weights)


def make_batch(spec, dataset):
    batch, targets = dataset.batch(ROWS)
    if spec.augmentation() is not None:
        generator = torch.Generator().manual_seed(0)
        batch = augment(batch, generator, coord_noise=0.1)
    return batch, targets


@pytest.mark.parametrize("name", SMALL)
def test_a_batch_is_cut_without_reading_back(name, crystals):
    there, here = (make_dataset(SMALL[name], crystals, d).batch(ROWS) for d in ("meta", "cpu"))
    assert there[0].columns.keys() == here[0].columns.keys()
    for column, values in there[0].columns.items():
        assert values.is_meta
        assert values.shape == getattr(here[0], column).shape, column
    assert all(values.is_meta and values.shape == (6, 2) for values in there[1])


@pytest.mark.parametrize("name", SMALL)
def test_a_step_reads_nothing_back(name, crystals):
    net = make_net(SMALL[name], "meta")
    step = net.train_step(make_batch(SMALL[name], make_dataset(SMALL[name], crystals, "meta")))
    assert step["loss"].is_meta
    assert any(p.grad is not None for p in net.module_.parameters())


@pytest.mark.gpu
@pytest.mark.parametrize("name", SMALL)
def test_cuda_does_not_wait(name, crystals):
    if not torch.cuda.is_available():
        pytest.skip("torch tells of waiting on CUDA only")
    net, dataset = make_net(SMALL[name], "cuda"), make_dataset(SMALL[name], crystals, "cuda")
    net.train_step(make_batch(SMALL[name], dataset))  # the first allocates
    torch.cuda.set_sync_debug_mode("error")
    try:
        net.train_step(make_batch(SMALL[name], dataset))
    finally:
        torch.cuda.set_sync_debug_mode("default")


class Losses(Callback):
    def __init__(self):
        self.seen = []

    def on_batch_end(self, net, loss=None, training=False, **kwargs):
        recorded = net.history[-1, "batches", -1, "train_loss"]
        assert isinstance(recorded, torch.Tensor)
        assert not recorded.requires_grad  # or all the batch stays in memory
        self.seen.append(loss.item())

    def on_epoch_end(self, net, **kwargs):
        self.batches = [dict(batch) for batch in net.history[-1]["batches"]]


def test_losses_are_read_at_the_end_of_an_epoch(
    crystals, make_module, make_net, make_loader, train
):
    losses = Losses()
    net = make_net(make_module("cgcnn"), max_epochs=1, callbacks=[losses])
    train(net, make_loader("cgcnn", crystals, torch.randn(60, 2)))
    read = [batch["train_loss"] for batch in losses.batches]
    assert read == losses.seen
    assert len(read) == 8
    sizes = [batch["train_batch_size"] for batch in losses.batches]
    assert net.history[-1]["train_loss"] == pytest.approx(np.average(read, weights=sizes))


def test_losses_of_an_interrupted_epoch_are_floats(
    crystals, make_module, make_net, make_loader, train
):
    class Stop(Callback):
        def on_batch_end(self, net, **kwargs):
            if len(net.history[-1]["batches"]) == 3:
                raise KeyboardInterrupt

    net = make_net(make_module("cgcnn"), callbacks=[Stop()])
    with pytest.raises(KeyboardInterrupt):
        train(net, make_loader("cgcnn", crystals, torch.randn(60, 2)))
    assert [type(batch["train_loss"]) for batch in net.history[-1]["batches"]] == [float] * 3


def test_to_device():
    array = np.array([3, 1, 2])
    tensor = to_device(array, torch.device("cpu"))
    assert tensor.data_ptr() == array.__array_interface__["data"][0]
    assert to_device(array, torch.device("meta")).is_meta
