"""Rows of packed crystals with their targets, in batches."""

import itertools
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from skuae._ranks import own_draw, own_part
from skuae.crystals import CrystalBatch, PackedTensors, to_device
from skuae.models import Augmentation

TargetsOfBatch = tuple[Tensor | None, Tensor | None]  # and their weights

# A batch of large crystals is cut short here, so that padding a transformer's batch to its longest
# crystal never needs more memory than this many sites do.
MAX_PADDED_SITES = 16_384


class CrystalDataset(torch.utils.data.Dataset):
    """Some rows of packed crystals, with targets and weights.

    Parameters
    ----------
    packed : PackedTensors
    rows : ndarray of int of shape (n,)
        The rows of `packed` that belong to this data set.
    targets : Tensor of shape (n_crystals, n_outputs) or None
        Standardised targets of all rows of `packed`; NaN where unknown.
    weights : Tensor of shape (n_crystals, n_outputs) or None
        Weights of the targets' losses; None for ones.
    """

    def __init__(
        self,
        packed: PackedTensors,
        rows: np.ndarray,
        targets: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> None:
        self.packed = packed
        self.rows = np.asarray(rows)
        self.targets = targets
        self.weights = weights

    def __len__(self) -> int:
        return len(self.rows)

    def sizes(self) -> np.ndarray:
        """Sites per crystal, shape (n,)."""
        return self.packed.offsets.diff().cpu().numpy()[self.rows]

    def batch(self, index: np.ndarray) -> tuple[CrystalBatch, TargetsOfBatch]:
        """Return some of the rows.

        Parameters
        ----------
        index : ndarray of int
            Positions in `rows`.

        Returns
        -------
        tuple
            ``(CrystalBatch, (targets, weights))``.
        """
        rows = self.rows[index]
        targets, weights = (
            None if values is None else values.index_select(0, to_device(rows, values.device))
            for values in (self.targets, self.weights)
        )
        return self.packed.batch(rows), (targets, weights)


class CrystalLoader:
    """Deal a data set out in batches; the deal of an epoch depends on seed and epoch alone.

    Parameters
    ----------
    dataset : CrystalDataset
    batch_size : int
        Crystals per batch. The data set is cut into batches of nearly equal size, so there is no
        small last one that would upset batch normalisation.
    shuffle : bool
    by_size : bool
        Put crystals of about equal size together, for models that pad.
    transform : callable or None
        ``transform(batch, generator)`` is applied to every batch (augmentation).
    seed : int
    shared : bool, default=False
        Where several ranks fit together, give each its part of every batch.
    """

    def __init__(
        self,
        dataset: CrystalDataset,
        batch_size: int,
        *,
        shuffle: bool,
        by_size: bool,
        transform: Augmentation | None = None,
        seed: int = 0,
        shared: bool = False,
    ) -> None:
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.by_size = by_size
        self.transform = transform
        self.seed = seed
        self.shared = shared
        self.epoch = 0
        self.n_rows = 0  # of the last batch, all ranks together
        self._cuts = self._find_cuts()

    def __len__(self) -> int:
        return len(self._cuts) - 1

    def order(self) -> list[np.ndarray]:
        """Return the batches of this epoch, each an index array into the data set."""
        rng = np.random.default_rng([self.seed, self.epoch])
        sizes = self.dataset.sizes() if self.by_size else None
        return deal(len(self.dataset), self._cuts, rng if self.shuffle else None, sizes)

    def __iter__(self) -> Iterator[tuple[CrystalBatch, TargetsOfBatch]]:
        generator = self.generator()
        for index in self.order():
            self.n_rows = len(index)
            batch, targets = self.dataset.batch(self.own(index))
            if self.transform is not None:
                batch = self.transform(batch, generator)
            yield batch, targets

    def generator(self) -> torch.Generator:
        """Return the random numbers of the transform in this epoch."""
        key = own_draw(self.seed, self.epoch) if self.shared else [self.seed, self.epoch]
        draw = np.random.SeedSequence(key).generate_state(1)[0]
        return torch.Generator().manual_seed(int(draw))

    def own(self, index: np.ndarray) -> np.ndarray:
        """Return what this process computes of a batch.

        Parameters
        ----------
        index : ndarray of int
            The batch.

        Returns
        -------
        ndarray of int
            All of it, or the part of this rank.
        """
        return own_part(index) if self.shared else index

    def _find_cuts(self) -> list[int]:
        n = len(self.dataset)
        sizes = self.dataset.sizes() if self.by_size else None
        return find_cuts(n, count_batches(n, self.batch_size), sizes)


def count_batches(n: int, batch_size: int) -> int:
    """Return the number of batches of nearly equal size, none of a single row if that can be."""
    n_batches = -(-n // batch_size)
    return n_batches - 1 if n_batches > 1 and n // n_batches < 2 else n_batches


def find_cuts(n: int, n_batches: int, sizes: np.ndarray | None) -> list[int]:
    """Return where n rows are cut into batches of nearly equal size.

    Parameters
    ----------
    n, n_batches : int
    sizes : ndarray of int of shape (n,) or None
        Sites per crystal, if rows are sorted by these and padded: batches of large crystals are cut
        again.

    Returns
    -------
    list of int
        From 0 to n.
    """
    cuts = [round(i * n / n_batches) for i in range(n_batches + 1)]
    if sizes is not None:
        ordered = np.sort(sizes)
        cuts = sorted({c for a, b in itertools.pairwise(cuts)
                       for c in _cut_padded(a, b, ordered)})  # fmt: skip
    return cuts


def deal(
    n: int, cuts: list[int], rng: np.random.Generator | None, sizes: np.ndarray | None
) -> list[np.ndarray]:
    """Deal n rows out in batches.

    Parameters
    ----------
    n : int
    cuts : list of int
        As of `find_cuts`.
    rng : numpy.random.Generator or None
        To shuffle rows and batches; None keeps them in order.
    sizes : ndarray of int of shape (n,) or None
        Sites per crystal, to put crystals of about equal size together.

    Returns
    -------
    list of ndarray of int
    """
    order = np.arange(n) if rng is None else rng.permutation(n)
    if sizes is not None:
        order = order[np.argsort(sizes[order], kind="stable")]
    batches = [order[a:b] for a, b in itertools.pairwise(cuts)]
    if rng is not None:
        batches = [batches[i] for i in rng.permutation(len(batches))]
    return batches


def _cut_padded(start: int, stop: int, sorted_sizes: np.ndarray) -> list[int]:
    """Cut one batch into parts that are small enough when padded."""
    most = max(1, MAX_PADDED_SITES // int(sorted_sizes[stop - 1]))
    n_parts = -(-(stop - start) // most)
    return [start + round(i * (stop - start) / n_parts) for i in range(n_parts + 1)]
