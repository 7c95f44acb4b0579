"""How rows are dealt out in batches, and what augmentation does and does not change."""

import itertools

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from skuae.crystals import PackedTensors, as_crystals, augment, random_orthogonal
from skuae.training import CrystalDataset, CrystalLoader, _data


class Sizes:
    """Packed crystals of which only the sizes matter."""

    def __init__(self, sizes):
        self.offsets = torch.tensor([0, *np.cumsum(sizes)])

    def batch(self, rows):
        return rows


def loader_of(sizes, batch_size, *, shuffle=True, by_size=False, seed=0, rows=None):
    rows = np.arange(len(sizes)) if rows is None else rows
    dataset = CrystalDataset(Sizes(sizes), rows)
    return CrystalLoader(dataset, batch_size, shuffle=shuffle, by_size=by_size, seed=seed)


# -- dealing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_size", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
def test_every_row_once_in_every_epoch(shuffle, by_size):
    rng = np.random.default_rng(0)
    for n in [*range(2, 40), 101]:
        sizes = rng.integers(1, 30, n)
        for batch_size in (2, 3, 7, 16, 1000):
            loader = loader_of(sizes, batch_size, shuffle=shuffle, by_size=by_size)
            for loader.epoch in range(2):
                batches = loader.order()
                assert sorted(np.concatenate(batches)) == list(range(n))
                assert len(batches) == len(loader)
                counts = [len(b) for b in batches]
                assert min(counts) >= 2  # one row has no batch statistics
                assert max(counts) <= max(batch_size, 3)
                assert max(counts) - min(counts) <= 1


def test_three_rows_in_batches_of_two():
    assert [len(b) for b in loader_of([1] * 3, 2).order()] == [3]
    assert [len(b) for b in loader_of([1] * 5, 2).order()] == [2, 3]
    assert [len(b) for b in loader_of([1], 2).order()] == [1]  # to predict one row


@pytest.mark.parametrize("by_size", [False, True])
def test_the_deal_follows_from_seed_and_epoch(by_size):
    sizes = np.random.default_rng(0).integers(1, 9, 50)

    def deal(seed, epoch, before=0):
        loader = loader_of(sizes, 8, seed=seed, by_size=by_size)
        for loader.epoch in range(before):
            loader.order()
        loader.epoch = epoch
        return [b.tolist() for b in loader.order()]

    assert deal(5, 3) == deal(5, 3) == deal(5, 3, before=3)
    deals = [deal(seed, epoch) for seed in range(3) for epoch in range(3)]
    assert all(a != b for i, a in enumerate(deals) for b in deals[:i])


def test_rows_stay_in_order_without_shuffling():
    loader = loader_of([3, 1, 2] * 10, 8, shuffle=False)
    assert np.concatenate(loader.order()).tolist() == list(range(30))


def test_batches_hold_crystals_of_about_equal_size():
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 100, 400)
    loader = loader_of(sizes, 16, by_size=True)
    ranges = sorted((sizes[b].min(), sizes[b].max()) for b in loader.order())
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(ranges))
    padded = sum(len(b) * sizes[b].max() for b in loader.order())
    assert padded < 1.05 * sizes.sum()
    first = loader.order()
    loader.epoch = 1
    second = loader.order()
    assert [sizes[b].max() for b in first] != sorted(sizes[b].max() for b in first)
    assert {tuple(sorted(b)) for b in first} != {tuple(sorted(b)) for b in second}


def test_batches_of_large_crystals_are_cut(monkeypatch):
    monkeypatch.setattr(_data, "MAX_PADDED_SITES", 100)
    rng = np.random.default_rng(0)
    for sizes in ([60] * 3, [40] * 5, [101, 250], rng.integers(1, 120, 200), [100] * 4, [1] * 30):
        sizes = np.asarray(sizes)
        loader = loader_of(sizes, 10, by_size=True)
        for loader.epoch in range(3):
            batches = loader.order()
            assert sorted(np.concatenate(batches)) == list(range(len(sizes)))
            assert len(batches) == len(loader)
            for b in batches:
                assert len(b) == 1 or len(b) * sizes[b].max() <= 100
                assert len(b) <= 10
    assert [len(b) for b in loader_of([50] * 10, 10, by_size=True).order()] == [2] * 5
    assert len(loader_of([1] * 30, 10, by_size=True)) == 3


def test_batches_are_not_cut_without_padding(monkeypatch):
    monkeypatch.setattr(_data, "MAX_PADDED_SITES", 1)
    assert len(loader_of([5] * 20, 10)) == 2


def test_rows_of_a_part(crystals):
    targets = torch.arange(60.0)[:, None]
    weights = torch.arange(60.0) / 60
    rows = np.array([50, 3, 17, 4, 22, 41])
    dataset = CrystalDataset(PackedTensors(crystals), rows, targets, weights)
    assert len(dataset) == 6
    assert dataset.sizes().tolist() == crystals.sizes[rows].tolist()
    loader = CrystalLoader(dataset, 4, shuffle=True, by_size=False)
    seen = []
    for batch, (y, w) in loader:
        picked = y[:, 0].numpy().astype(int)
        torch.testing.assert_close(w, weights[picked])
        assert batch.sizes.tolist() == crystals.sizes[picked].tolist()
        expected = np.concatenate([crystals[[i]].numbers for i in picked])
        assert batch.numbers.tolist() == expected.tolist()
        seen += picked.tolist()
    assert sorted(seen) == sorted(rows)


def test_batches_without_targets(crystals):
    dataset = CrystalDataset(PackedTensors(crystals), np.arange(60))
    for _, targets in CrystalLoader(dataset, 32, shuffle=False, by_size=True):
        assert targets == (None, None)


# -- random turns ----------------------------------------------------------------------------------


@pytest.fixture
def turns():
    return random_orthogonal(10_000, torch.Generator().manual_seed(0))


def test_turns_are_orthogonal(turns):
    assert turns.dtype == torch.float64
    eye = torch.eye(3, dtype=torch.float64).expand(10_000, 3, 3)
    torch.testing.assert_close(turns @ turns.mT, eye, rtol=0, atol=1e-12)
    determinants = torch.linalg.det(turns)
    torch.testing.assert_close(
        determinants.abs(), torch.ones_like(determinants), atol=1e-12, rtol=0
    )
    assert 0.48 < (determinants < 0).double().mean() < 0.52


def test_turns_are_drawn_from_the_haar_measure(turns):
    assert turns.mean(0).abs().max() < 0.03
    rotations = turns * torch.linalg.det(turns)[:, None, None]
    assert rotations.mean(0).abs().max() < 0.03
    # Second moments and the angle of rotation; uniform Euler angles fail both.
    torch.testing.assert_close(
        rotations.square().mean(0), torch.full((3, 3), 1 / 3).double(), rtol=0, atol=0.015
    )
    trace = rotations.diagonal(dim1=1, dim2=2).sum(1)
    angle = torch.arccos(((trace - 1) / 2).clamp(-1, 1))
    assert angle.mean().item() == pytest.approx(np.pi / 2 + 2 / np.pi, abs=0.03)
    assert trace.square().mean().item() == pytest.approx(1.0, abs=0.05)


# -- augmentation ----------------------------------------------------------------------------------


@pytest.fixture
def batch(crystals):
    return PackedTensors(crystals, dtype=torch.float64).batch(np.arange(30))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def structures_of(batch):
    """Structures as pymatgen sees the tensors."""
    sizes = batch.sizes.tolist()
    parts = zip(
        batch.lattices.double().numpy(),
        batch.numbers.split(sizes),
        batch.frac_coords.double().split(sizes),
        strict=True,
    )
    return [Structure(a, z.tolist(), x.numpy()) for a, z, x in parts]


def test_augmentation_changes_nothing_physical(batch):
    new = augment(batch, generator())
    for a, b in zip(structures_of(batch), structures_of(new), strict=True):
        assert a.atomic_numbers == b.atomic_numbers
        np.testing.assert_allclose(a.distance_matrix, b.distance_matrix, atol=1e-6)
        np.testing.assert_allclose(a.lattice.parameters, b.lattice.parameters, rtol=1e-9)
        for x, y in zip(a.get_all_neighbors(4.0), b.get_all_neighbors(4.0), strict=True):
            distances = [np.sort([n.nn_distance for n in ns]) for ns in (x, y)]
            np.testing.assert_allclose(*distances, atol=1e-6)
    # within the cell, distances are those of a rigid body, apart from sites that are re-wrapped
    assert ((new.frac_coords >= 0) & (new.frac_coords < 1)).all()
    shift = (new.frac_coords - batch.frac_coords) % 1
    for part in shift.split(batch.sizes.tolist()):
        offset = (part - part[0] + 0.5) % 1 - 0.5
        assert offset.abs().max() < 1e-9


def test_augmentation_turns_and_shifts_every_crystal_differently(batch):
    new = augment(batch, generator())
    turns = torch.linalg.solve(batch.lattices, new.lattices)
    eye = torch.eye(3, dtype=torch.float64)
    torch.testing.assert_close(turns @ turns.mT, eye.expand(30, 3, 3), rtol=0, atol=1e-9)
    first = batch.sizes.cumsum(0) - batch.sizes
    shifts = ((new.frac_coords - batch.frac_coords) % 1)[first]
    for drawn in (turns, shifts):
        distances = torch.cdist(drawn.flatten(1), drawn.flatten(1)) + torch.eye(30)
        assert distances.min() > 1e-3
    assert 0.35 < shifts.mean() < 0.65


def test_augmentation_leaves_its_input_alone(batch):
    before = {name: value.clone() for name, value in batch.columns.items()}
    new = augment(batch, generator(), coord_noise=0.1)
    for name, value in before.items():
        assert torch.equal(getattr(batch, name), value), name
    for name in ("numbers", "sizes", "crystal"):
        assert torch.equal(getattr(new, name), before[name])
    assert new.lattices.dtype == batch.lattices.dtype
    assert new.frac_coords.dtype == batch.frac_coords.dtype


def test_augmentation_keeps_occupancies(crystals):
    alloy = Structure(Lattice.cubic(3.0), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]])
    batch = PackedTensors(as_crystals([alloy, alloy])).batch([0, 1])
    new = augment(batch, generator())
    assert torch.equal(new.occ_values, batch.occ_values)
    assert torch.equal(new.occ_sites, batch.occ_sites)


def test_noise_is_gaussian_in_angstrom(crystals):
    batch = PackedTensors(crystals, dtype=torch.float64).batch(np.arange(60))
    clean = augment(batch, generator(7))
    noisy = augment(batch, generator(7), coord_noise=0.05)
    assert torch.equal(clean.lattices, noisy.lattices)
    moved = torch.einsum(
        "ni,nij->nj", noisy.frac_coords - clean.frac_coords, clean.lattices[batch.crystal]
    )
    n = moved.numel()
    assert n > 1000
    assert moved.std().item() == pytest.approx(0.05, rel=4 / (2 * n) ** 0.5)
    assert moved.std(0).tolist() == pytest.approx([0.05] * 3, rel=0.15)
    assert abs(moved.mean().item()) < 4 * 0.05 / n**0.5


def test_augmentation_in_single_precision(crystals):
    batch = PackedTensors(crystals).batch(np.arange(20))
    new = augment(batch, generator(), coord_noise=0.01)
    assert new.lattices.dtype == new.frac_coords.dtype == torch.float32
    turns = torch.linalg.solve(batch.lattices.double(), new.lattices.double())
    eye = torch.eye(3, dtype=torch.float64).expand(20, 3, 3)
    torch.testing.assert_close(turns @ turns.mT, eye, rtol=0, atol=1e-5)


def test_augmentation_is_new_in_every_epoch_and_repeats_with_the_seed(crystals):
    dataset = CrystalDataset(PackedTensors(crystals), np.arange(60))

    def lattices(seed, epoch):
        options = {"shuffle": False, "by_size": True, "transform": augment, "seed": seed}
        loader = CrystalLoader(dataset, 20, **options)
        loader.epoch = epoch
        return torch.cat([batch.lattices for batch, _ in loader])

    first = lattices(0, 0)
    assert torch.equal(first, lattices(0, 0))
    for other in (lattices(0, 1), lattices(0, 2), lattices(9, 0)):
        assert ((first - other).abs().amax(dim=(1, 2)) > 1e-3).all()
    plain = CrystalLoader(dataset, 20, shuffle=False, by_size=True)
    assert torch.equal(torch.cat([b.lattices for b, _ in plain]),
                       torch.cat([b.lattices for b, _ in plain]))  # fmt: skip
