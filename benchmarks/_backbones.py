"""Epochs of training and prediction of all back-ends, on the CPU or a GPU, and how to time them."""

import itertools
import time

import numpy as np
import torch
from torch.nn import functional as F

from skuae import models
from skuae.embedding import get_table
from skuae.models import ElementEmbedding
from skuae.training import CrystalDataset, CrystalLoader

SPECS = {name: kind() for name, kind in models.BACKBONES.items()}


class Runs:
    """A network with the features of its paper, and data on a device.

    The target is the volume per atom.

    Parameters
    ----------
    spec : specification of a back-end
    crystals : Crystals
    packed : PackedTensors
        Of these crystals, on the device.
    batch_size : int
    n_rows : int, optional
        Crystals of an epoch; beyond those that there are, they are taken again.
    """

    def __init__(self, spec, crystals, packed, batch_size, n_rows=None):
        torch.manual_seed(0)
        self.device = packed.offsets.device
        self.n_rows = len(crystals) if n_rows is None else n_rows
        table = torch.tensor(np.nan_to_num(get_table(spec.native_table).values))
        embedding = ElementEmbedding(table, spec.native_frozen)
        self.module = spec.build(embedding, 1).to(self.device)
        self.optimizer = torch.optim.AdamW(self.module.parameters(), fused=True)
        y = torch.tensor(crystals.volumes / crystals.sizes, dtype=torch.float32)[:, None]
        y = ((y - y.mean()) / y.std()).to(self.device)
        data = CrystalDataset(packed, np.resize(np.arange(len(crystals)), self.n_rows), y)
        options = {"batch_size": batch_size, "by_size": spec.pads}
        self.training = CrystalLoader(data, shuffle=True, transform=spec.augmentation(), **options)
        self.prediction = CrystalLoader(data, shuffle=False, **options)

    def loss(self, batch):
        """Return the loss of what the training loader gives."""
        crystals, (y, _) = batch
        return F.mse_loss(self.module(crystals), y)

    def train(self, n_batches=None):
        """Train for one epoch, or for some batches of it."""
        self.module.train()
        for batch in itertools.islice(self.training, n_batches):
            loss = self.loss(batch)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        wait(self.device)

    def predict(self):
        """Predict all rows."""
        self.module.eval()
        with torch.inference_mode():
            for batch, _ in self.prediction:
                self.module(batch)
        wait(self.device)


def wait(device):
    """Let the device finish."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def busy_share(run):
    """Return the time of kernels and copies on the GPU over the wall time of a run.

    The wall time is that of another run, since the profiler slows the host down.

    Parameters
    ----------
    run : callable
        It waits for the GPU at its end.

    Returns
    -------
    float
    """
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        run()
    on_gpu = (
        e
        for e in profile.key_averages()
        # Marks that torch sets, such as that of the optimizer's step, span kernels of their own.
        if e.device_type == torch.autograd.DeviceType.CUDA and not e.is_user_annotation
    )
    busy = sum(e.self_device_time_total for e in on_gpu) / 1e6
    start = time.perf_counter()
    run()
    return busy / (time.perf_counter() - start)
