"""Batches of crystals on disk: pieces of shards are read and shuffled together."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skuae._row_names import rows_called
from skuae.crystals import CrystalBatch, Crystals, PackedTensors
from skuae.datasets import Shards
from skuae.models import Augmentation
from skuae.training._data import (
    CrystalDataset,
    CrystalLoader,
    TargetsOfBatch,
    count_batches,
    deal,
    find_cuts,
)

Pack = Callable[[Crystals], PackedTensors]
# A window holds so many batches or more, so that these are of nearly equal size.
_FEWEST_BATCHES = 4


class ShardDataset(torch.utils.data.Dataset):
    """Some rows of crystals on disk, with targets and weights.

    Parameters
    ----------
    shards : Shards
    pack : callable
        From crystals in memory to `PackedTensors` on the device.
    rows : ndarray of int of shape (n,)
        The rows of `shards` that belong to this data set.
    targets, weights : Tensor of shape (n_crystals, n_outputs) or None
        As of `CrystalDataset`, of all rows of `shards`.
    """

    def __init__(
        self,
        shards: Shards,
        pack: Pack,
        rows: np.ndarray,
        targets: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> None:
        self.pack = pack
        self.rows = np.asarray(rows)
        self.shards = shards[self.rows]
        self.targets = targets
        self.weights = weights

    def __len__(self) -> int:
        return len(self.rows)

    def sizes(self) -> np.ndarray:
        """Sites per crystal, shape (n,)."""
        return self.shards.sizes

    def load(self, window: np.ndarray) -> CrystalDataset:
        """Return some of the rows in memory, on the device.

        Parameters
        ----------
        window : ndarray of int
            Positions in `rows`.

        Returns
        -------
        CrystalDataset
        """
        with rows_called(lambda row: f"row {self.rows[window[row]]}"):
            packed = self.pack(self.shards.read(window))
        targets, weights = (
            None if values is None else values[torch.as_tensor(self.rows[window])]
            for values in (self.targets, self.weights)
        )
        return CrystalDataset(packed, np.arange(len(window)), targets, weights)


class ShardLoader(CrystalLoader):
    """Deal crystals on disk out in batches, a window of crystals after the other.

    In each epoch, pieces of shards are shuffled and taken together to windows as large as the
    buffer of `Shards`; the rows of a window are dealt as `CrystalLoader` deals all of them. The
    number of batches is the same in all epochs. If one window holds all rows, so are the batches
    themselves.

    Parameters
    ----------
    dataset : ShardDataset
    batch_size : int
    shuffle : bool
    by_size : bool
        Put crystals of a window that are of about equal size together. The windows are then the
        same in all epochs.
    transform : callable or None
    seed : int
    shared : bool, default=False
    """

    dataset: ShardDataset  # type: ignore[assignment]

    def __init__(
        self,
        dataset: ShardDataset,
        batch_size: int,
        *,
        shuffle: bool,
        by_size: bool,
        transform: Augmentation | None = None,
        seed: int = 0,
        shared: bool = False,
    ) -> None:
        self._sizes = dataset.sizes() if by_size else None
        super().__init__(
            dataset,  # type: ignore[arg-type]
            batch_size,
            shuffle=shuffle,
            by_size=by_size,
            transform=transform,
            seed=seed,
            shared=shared,
        )
        self._n_batches = len(self.order())

    def __len__(self) -> int:
        return self._n_batches

    def order(self) -> list[np.ndarray]:
        return [window[index] for window, batches in self._deal() for index in batches]

    def __iter__(self) -> Iterator[tuple[CrystalBatch, TargetsOfBatch]]:
        generator = self.generator()
        for window, batches in self._deal():
            own = [self.own(index) for index in batches]
            read = np.sort(np.concatenate(own))
            part = self.dataset.load(window[read])
            for index, rows in zip(batches, own, strict=True):
                self.n_rows = len(index)
                batch, targets = part.batch(np.searchsorted(read, rows))
                if self.transform is not None:
                    batch = self.transform(batch, generator)
                yield batch, targets
            del part  # before the next window is read

    def _find_cuts(self) -> list[int]:
        return []  # each window has its own

    def _deal(self) -> list[tuple[np.ndarray, list[np.ndarray]]]:
        """Return the windows of this epoch, and the rows of the batches of each."""
        rng = np.random.default_rng([self.seed, self.epoch])
        dealt = []
        for window, n_batches in self._windows(rng):
            sizes = None if self._sizes is None else self._sizes[window]
            cuts = find_cuts(len(window), n_batches, sizes)
            batches = deal(len(window), cuts, rng if self.shuffle else None, sizes)
            dealt.append((window, batches))
        return dealt

    def _windows(self, rng: np.random.Generator) -> list[tuple[np.ndarray, int]]:
        """Return the windows, and the number of batches of each."""
        shards, n = self.dataset.shards, len(self.dataset)
        groups = np.random.default_rng([self.seed]) if self.by_size else rng
        size = max(shards.buffer, _FEWEST_BATCHES * self.batch_size)
        windows = shards.windows(size, groups if self.shuffle else None)
        n_batches = count_batches(n, self.batch_size)
        found: list[tuple[np.ndarray, int]] = []
        left: list[np.ndarray] = []
        n_rows = n_dealt = 0
        for window in windows:
            left.append(window)
            n_rows += len(window)
            own = round(n_rows * n_batches / n) - n_dealt
            if own:
                found.append((np.concatenate(left), own))
                left, n_dealt = [], n_dealt + own
        if left:  # fewer rows than half a batch
            window, own = found.pop()
            found.append((np.concatenate([window, *left]), own))
        if self.shuffle and self.by_size and len(found) > 1:
            found = [found[i] for i in rng.permutation(len(found))]
        return found


def dataset_maker(
    crystals: Crystals | Shards, pack: Pack
) -> Callable[..., CrystalDataset | ShardDataset]:
    """Return what makes data sets of some rows of crystals, in memory or on disk.

    Parameters
    ----------
    crystals : Crystals or Shards
    pack : callable
        From crystals in memory to `PackedTensors` on the device.

    Returns
    -------
    callable
        From rows, and targets and weights of all rows if there are any.
    """
    if isinstance(crystals, Shards):
        return partial(ShardDataset, crystals, pack)
    return partial(CrystalDataset, pack(crystals))


def make_loader(
    dataset: CrystalDataset | ShardDataset, batch_size: int, **options: Any
) -> CrystalLoader:
    """Return the loader of a data set in memory or on disk.

    Parameters
    ----------
    dataset : CrystalDataset or ShardDataset
    batch_size : int
    **options
        As of `CrystalLoader`.

    Returns
    -------
    CrystalLoader
    """
    if isinstance(dataset, ShardDataset):
        return ShardLoader(dataset, batch_size, **options)
    return CrystalLoader(dataset, batch_size, **options)
