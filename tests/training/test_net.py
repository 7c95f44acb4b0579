"""The training loop: who is trained at which rate, what repeats, when it stops."""

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from skuae.crystals import augment
from skuae.training._net import OPTIMIZERS, Progress
from skuae.training._schedule import SCHEDULES, learning_rate

KINDS = ["cgcnn", "transformer"]


def weights_of(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


# -- groups of parameters --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_groups(make_module, make_net, kind, optimizer):
    module = make_module(kind)
    net = make_net(module, lr=0.01, weight_decay=0.3, embedding_lr_ratio=0.1, optimizer=optimizer)
    rates, decays = {}, {}
    for group in net.optimizer_.param_groups:
        for parameter in group["params"]:
            assert id(parameter) not in rates  # in one group only
            rates[id(parameter)], decays[id(parameter)] = group["lr"], group["weight_decay"]
    named = dict(module.named_parameters())
    assert {id(p) for p in named.values()} == rates.keys()
    table = {name for name in named if name.startswith("elements.")}
    assert table
    for name, parameter in named.items():
        assert rates[id(parameter)] == pytest.approx(0.001 if name in table else 0.01), name
        plain = name in table or parameter.ndim < 2
        assert decays[id(parameter)] == (0 if plain else 0.3), name


def test_frozen_table_is_no_parameter(make_module, make_net):
    module = make_module("cgcnn", frozen=True)
    net = make_net(module)
    assert not [name for name, _ in module.named_parameters() if name.startswith("elements")]
    assert sum(len(g["params"]) for g in net.optimizer_.param_groups) == len(
        list(module.parameters())
    )


def test_module_is_trained_in_place(make_module, make_net, make_loader, train, toy):
    module = make_module("cgcnn")
    before = weights_of(module)
    net = train(make_net(module, max_epochs=1), make_loader("cgcnn", *toy))
    assert net.module_ is module
    assert any(not torch.equal(before[k], v) for k, v in module.state_dict().items())


# -- the element table -----------------------------------------------------------------------------


def rows_of_table(kind, module):
    weight = module.elements.weight if kind == "cgcnn" else module.elements.linear.weight.t()
    return weight.detach().clone()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_rows_of_elements_not_seen_stay(
    make_module, make_net, make_loader, train, toy, kind, optimizer
):
    crystals, targets = toy
    module = make_module(kind)
    before = rows_of_table(kind, module)
    net = make_net(module, optimizer=optimizer, weight_decay=0.5, lr=0.01)
    train(net, make_loader(kind, crystals, targets))
    after = rows_of_table(kind, module)
    seen = np.zeros(len(before), dtype=bool)
    seen[np.unique(crystals.numbers) - 1] = True
    assert 10 < seen.sum() < 60
    assert torch.equal(after[~seen], before[~seen])
    assert (after[seen] != before[seen]).any(dim=1).all()


def test_frozen_table_stays(make_module, make_net, make_loader, train, toy):
    module = make_module("cgcnn", frozen=True)
    before = module.elements.weight.clone()
    train(make_net(module, weight_decay=0.5), make_loader("cgcnn", *toy))
    assert torch.equal(module.elements.weight, before)


@pytest.mark.parametrize("kind", KINDS)
def test_ratio_of_learning_rates(make_module, make_net, make_loader, train, toy, kind):
    """After one step of Adam every number has moved by its learning rate, or not at all."""
    module = make_module(kind)
    before, table = weights_of(module), rows_of_table(kind, module)
    net = make_net(
        module, optimizer="adam", lr=1e-3, lr_schedule="constant", embedding_lr_ratio=0.1,
        max_epochs=1,
    )  # fmt: skip
    train(net, make_loader(kind, *toy, batch_size=1000))
    moved = (module.head if kind == "cgcnn" else module.head.parts[0][0]).weight
    name = "head.weight" if kind == "cgcnn" else "head.parts.0.0.weight"
    assert (moved - before[name]).abs().max().item() == pytest.approx(1e-3, rel=1e-2)
    change = (rows_of_table(kind, module) - table).abs().max().item()
    assert change == pytest.approx(1e-4, rel=1e-2)


# -- epochs and steps ------------------------------------------------------------------------------


class Recorder(Callback):
    """Learning rates after every step."""

    def initialize(self):
        self.rates, self.modes = [], []
        return self

    def on_batch_end(self, net, training=False, **kwargs):
        self.modes.append((training, net.module_.training))
        if training:
            self.rates.append([group["lr"] for group in net.optimizer_.param_groups])


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_learning_rate_of_every_step(make_module, make_net, make_loader, train, toy, schedule):
    recorder = Recorder()
    net = make_net(
        make_module("cgcnn"), callbacks=[("recorder", recorder)], lr_schedule=schedule, lr=0.02,
        max_epochs=4, embedding_lr_ratio=0.5,
    )  # fmt: skip
    peaks = [group["lr"] for group in net.optimizer_.param_groups]
    assert set(peaks) == {0.01, 0.02}
    train(net, make_loader("cgcnn", *toy))
    assert len(recorder.rates) == 12
    for step, rates in enumerate(recorder.rates):
        relative = learning_rate(schedule, step / 12)
        assert rates == pytest.approx([peak * relative for peak in peaks])


@pytest.mark.parametrize("kind", KINDS)
def test_training_mode_in_training_only(make_module, make_net, make_loader, train, toy, kind):
    recorder = Recorder()
    net = make_net(make_module(kind), callbacks=[("recorder", recorder)], max_epochs=3)
    train(net, make_loader(kind, *toy))
    assert recorder.modes == [(True, True)] * len(recorder.modes)
    assert recorder.modes
    net.outputs(make_loader(kind, *toy, shuffle=False))
    assert not net.module_.training


def test_dropout_in_training_and_none_in_outputs(make_module, make_net, make_loader, toy):
    net = make_net(make_module("transformer"))
    loader = make_loader("transformer", *toy, shuffle=False)
    np.testing.assert_array_equal(net.outputs(loader), net.outputs(loader))
    batch, targets = next(iter(loader))
    losses = set()
    for _ in range(3):
        net.module_.train()
        losses.add(net.criterion_(net.infer(batch), targets).item())
    assert len(losses) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_weights(make_module, make_net, make_loader, train, toy, kind):
    results = []
    for seed, noise in ((3, 1), (3, 2), (4, 1)):
        loader = make_loader(kind, *toy, seed=seed, transform=augment if kind != "cgcnn" else None)
        net = make_net(make_module(kind), seed=seed)
        torch.manual_seed(noise)  # what the global generator did before must not matter
        results.append(weights_of(train(net, loader).module_))
    assert all(torch.equal(results[0][k], results[1][k]) for k in results[0])
    assert any(not torch.equal(results[0][k], results[2][k]) for k in results[0])


def test_learns(make_module, make_net, make_loader, train, toy):
    for kind in KINDS:
        loader = make_loader(kind, *toy)
        net = train(make_net(make_module(kind), max_epochs=60, lr=0.02), loader)
        assert net.history[-1, "train_loss"] < 0.3 * net.history[0, "train_loss"], kind


def test_loss_of_history_is_that_of_the_rows(make_module, make_net, make_loader, train, toy):
    crystals, targets = toy
    module = make_module("transformer")  # it has no batch norms
    for part in module.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    net = make_net(module, lr=0.0, max_epochs=1)
    train(net, make_loader("transformer", crystals, targets, batch_size=7))
    outputs = net.outputs(make_loader("transformer", crystals, targets, shuffle=False))
    expected = np.mean((outputs - targets.numpy()) ** 2, axis=0).sum()
    assert net.history[-1, "train_loss"] == pytest.approx(expected, rel=1e-5)


def test_outputs_are_in_the_order_of_rows(make_module, make_net, make_loader, crystals):
    net = make_net(make_module("transformer"))
    together = net.outputs(make_loader("transformer", crystals, shuffle=False))
    assert together.shape == (60, 2)
    for i in (0, 13, 59):
        single = net.outputs(make_loader("transformer", crystals[[i]], shuffle=False))
        np.testing.assert_allclose(single, together[[i]], rtol=1e-4, atol=1e-5)


def test_augmentation_does_not_change_the_data_set(make_module, make_net, make_loader, train, toy):
    crystals, targets = toy
    loader = make_loader("transformer", crystals, targets, transform=augment)
    valid = make_loader("transformer", crystals, targets, shuffle=False)
    columns = loader.dataset.packed.columns
    before = columns["frac_coords"].clone(), columns["lattices"].clone(), targets.clone()
    batches = [b.lattices for b, _ in valid]
    train(make_net(make_module("transformer"), max_epochs=2), loader)
    after = columns["frac_coords"], columns["lattices"], targets
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(torch.equal(a, b.lattices) for a, (b, _) in zip(batches, valid, strict=True))


def test_training_that_diverges_is_an_error(make_module, make_net, make_loader, train, toy):
    crystals, targets = toy
    bad = make_loader("cgcnn", crystals, torch.full_like(targets, float("inf")))
    with pytest.raises(ValueError, match=r"training diverged: the loss of epoch 1 .*lower lr"):
        train(make_net(make_module("cgcnn")), bad)


def test_progress_counts_steps(make_module, make_net, make_loader, train, toy, capsys):
    net = make_net(make_module("cgcnn"), callbacks=[("progress", Progress())], max_epochs=2)
    train(net, make_loader("cgcnn", *toy))
    shown = capsys.readouterr().err
    assert "6/6" in shown
    assert "epoch=2/2, loss=" in shown
    assert dict(net.callbacks_)["progress"].bar_ is None
