"""Batches of crystals on disk: every row once, few shards at a time, and the numbers of memory."""

import numpy as np
import pytest
import torch

from skuae.crystals import PackedTensors
from skuae.datasets import _shards, open_shards, write_shards
from skuae.models import CGCNN
from skuae.training._data import CrystalDataset, CrystalLoader
from skuae.training._shard_data import ShardDataset, ShardLoader


def pack(crystals, merge=True):
    return PackedTensors(crystals, CGCNN().inputs(crystals, merge=merge).graphs)


@pytest.fixture
def shards(crystals, tmp_path):
    """Sixty crystals in shards of seven, of which about fourteen are in memory."""
    write_shards(crystals, None, tmp_path, shard_size=7)
    return open_shards(tmp_path, buffer=14)


def loader_of(shards, rows, batch_size=3, *, shuffle=True, by_size=False, **options):
    dataset = ShardDataset(shards, pack, rows, **options)
    return ShardLoader(dataset, batch_size, shuffle=shuffle, by_size=by_size, seed=1)


@pytest.mark.parametrize("rows", [np.arange(60), np.arange(5, 60, 3), np.array([59, 3, 40, 7])])
@pytest.mark.parametrize("by_size", [False, True])
def test_every_row_comes_once_an_epoch(shards, rows, by_size):
    loader, orders = loader_of(shards, rows, by_size=by_size), []
    for epoch in range(4):
        loader.epoch = epoch
        batches = loader.order()
        assert len(batches) == len(loader)
        orders.append(np.concatenate(batches).tolist())
        assert sorted(orders[-1]) == list(range(len(rows)))
        assert max(len(batch) for batch in batches) <= 5
        assert sum(len(batch[0]) for batch in loader) == len(rows)
    assert len(set(map(tuple, orders))) > 1
    loader.epoch = 0
    assert np.concatenate(loader.order()).tolist() == orders[0]


def test_shards_meet_others_in_every_epoch(shards):
    """Windows are not the same ones in all epochs."""
    loader, together = loader_of(shards, np.arange(60)), set()
    for loader.epoch in range(5):
        for window, _ in loader._deal():
            together.add(tuple(np.unique(window // 7).tolist()))
    assert len(together) > 8


def test_a_window_has_pieces_of_many_shards(shards, monkeypatch):
    """Neighbours in a file may be alike, and so may be all crystals of a shard."""
    monkeypatch.setattr(_shards, "_CHUNK", 2)
    for rows in (np.arange(60), np.random.default_rng(0).permutation(60)[:40]):
        loader, n_met = loader_of(shards, rows), []
        for loader.epoch in range(3):
            for window, _ in loader._deal():
                n_met.append(len(np.unique(rows[window] // 7)))
                assert (np.diff(rows[window]) > 0).all()  # each shard is opened once
        assert len(n_met) > 6
        assert np.mean(n_met) > 4  # of nine


def test_few_crystals_are_in_memory(shards, monkeypatch):
    read = []
    real = type(shards).read

    def note(self, rows):
        crystals = real(self, rows)
        read.append(len(crystals))
        return crystals

    monkeypatch.setattr(type(shards), "read", note)
    list(loader_of(shards, np.arange(60)))
    assert sum(read) == 60
    assert max(read) <= 14 + 7


def test_batches_are_those_of_memory(crystals, shards):
    """Crystals, neighbours, targets and weights of each batch."""
    rows = np.arange(3, 60, 2)
    targets, weights = torch.randn(60, 2), torch.rand(60, 2)
    loader = loader_of(shards, rows, targets=targets, weights=weights)
    assert len(loader._deal()) > 1
    packed = pack(crystals)
    for index, (batch, given) in zip(loader.order(), loader, strict=True):
        expected = packed.batch(rows[index])
        assert torch.equal(given[0], targets[rows[index]])
        assert torch.equal(given[1], weights[rows[index]])
        assert batch.columns.keys() == expected.columns.keys()
        for name, values in expected.columns.items():
            assert torch.equal(batch.columns[name], values), name


def test_messages_name_the_rows_of_memory(crystals, shards):
    rows, names = np.array([59, 3, 40, 7]), []

    def note(part):
        names.extend(map(part.where, range(len(part))))
        return pack(part)

    list(ShardLoader(ShardDataset(shards, note, rows), 2, shuffle=True, by_size=False))
    assert sorted(names) == sorted(map(crystals.where, rows))


def test_training_is_that_of_memory_for_equal_order(crystals, shards, make_net, make_module, train):
    targets = torch.randn(60, 2)

    class Memory(CrystalLoader):
        def order(self):
            other.epoch = self.epoch
            return other.order()

    weights = []
    for on_disk in (True, False):
        other = loader_of(shards, np.arange(60), 8, targets=targets)
        other.dataset.shards.buffer = 20
        assert len(other._deal()) > 1
        dataset = CrystalDataset(pack(crystals), np.arange(60), targets)
        memory = Memory(dataset, 8, shuffle=True, by_size=False, seed=1)
        net = make_net(make_module("cgcnn"))
        train(net, other if on_disk else memory)
        net.settle(other if on_disk else memory)
        weights.append(net.module_.state_dict())
    for name, values in weights[0].items():
        torch.testing.assert_close(values, weights[1][name], rtol=1e-5, atol=1e-6)


def test_one_window_is_dealt_as_memory(crystals, shards):
    shards.buffer = 60
    for by_size, rows in ((False, np.arange(60)), (True, np.array([40, 2, 17, 30, 8, 9, 5, 1]))):
        loader = loader_of(shards, rows, by_size=by_size)
        dataset = CrystalDataset(PackedTensors(crystals), rows)
        memory = CrystalLoader(dataset, 3, shuffle=True, by_size=by_size, seed=1)
        for loader.epoch in range(3):
            memory.epoch = loader.epoch
            for batch, expected in zip(loader.order(), memory.order(), strict=True):
                assert np.array_equal(batch, expected)


def test_transforms_draw_the_numbers_of_memory(crystals, shards):
    shards.buffer = 60

    def draw(batch, generator):
        return torch.rand(1, generator=generator)

    dataset = ShardDataset(shards, pack, np.arange(60))
    options = {"shuffle": True, "by_size": False, "transform": draw, "seed": 2}
    found = [batch for batch, _ in ShardLoader(dataset, 9, **options)]
    memory = CrystalLoader(CrystalDataset(pack(crystals), np.arange(60)), 9, **options)
    assert found == [batch for batch, _ in memory]
