"""Parts of a network that a callback freezes: weights and statistics of batches stay."""

import pytest
import torch
from skorch.callbacks import Callback, Freezer, Unfreezer
from small_backbones import SMALL
from torch import nn

from skuae import CrystalGNNClassifier, CrystalGNNRegressor
from skuae.training import _checkpoint
from skuae.training._net import frozen_norms

FAST = {"max_epochs": 3, "batch_size": 8, "random_state": 0, "device": "cpu"}


def all_but_head(name):
    return not name.startswith("head")


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("kind", [CrystalGNNRegressor, CrystalGNNClassifier])
def test_frozen_parts_stay_as_they_are(X, y, toy, name, kind):
    source = CrystalGNNRegressor(SMALL[name], **FAST).fit(X, y)
    target = y if kind is CrystalGNNRegressor else toy.labels["prototype"].to_numpy()
    model = kind(SMALL[name], init_from=source, callbacks=[Freezer(all_but_head)], **FAST)
    model.fit(X[:10], target[:10])
    before, after = (m.net_.module_.state_dict() for m in (source, model))
    for key in before:
        if all_but_head(key):
            assert torch.equal(before[key], after[key]), key
    untrained = kind(SMALL[name], init_from=source, **{**FAST, "lr": 0.0}).fit(X[:10], target[:10])
    drawn = untrained.net_.module_.state_dict()
    assert any(not torch.equal(drawn[key], after[key]) for key in after if not all_but_head(key))


def test_norms_that_are_trained_are_settled(X, y):
    """One part is frozen, the norms of the others go on."""
    source = CrystalGNNRegressor(SMALL["cgcnn"], **FAST).fit(X, y)
    frozen = Freezer(lambda name: "edge_norm" in name)
    model = CrystalGNNRegressor(SMALL["cgcnn"], init_from=source, callbacks=[frozen], **FAST)
    model.fit(X[:10], y[:10])
    before, after = (m.net_.module_.state_dict() for m in (source, model))
    statistics = [key for key in before if key.endswith("running_mean")]
    assert len(statistics) == 2
    for key in statistics:
        assert torch.equal(before[key], after[key]) == ("edge_norm" in key), key


def test_unfrozen_norms_learn_again(X, y):
    callbacks = [Freezer(all_but_head), Unfreezer("*", at=3)]
    source = CrystalGNNRegressor(SMALL["cgcnn"], **FAST).fit(X, y)
    model = CrystalGNNRegressor(SMALL["cgcnn"], init_from=source, callbacks=callbacks, **FAST)
    model.fit(X[:10], y[:10])
    before, after = (m.net_.module_.state_dict() for m in (source, model))
    assert not [key for key in before if "running" in key and torch.equal(before[key], after[key])]


def test_a_front_end_with_a_frozen_table(front_end, X, y):
    """The table is scaled after training by gradients that its weights need not have."""
    source = front_end().fit(X, y)
    model = front_end(init_from=source, callbacks=[Freezer(all_but_head)]).fit(X[:10], y[:10])
    before, after = (m.net_.module_.state_dict() for m in (source, model))
    assert not [k for k in before if all_but_head(k) and not torch.equal(before[k], after[k])]
    assert model.network_.elements.sensitivity.trace() > 0


@pytest.mark.parametrize("pattern", ["*", lambda name: True])
def test_nothing_left_to_train(make, X, y, pattern):
    with pytest.raises(ValueError, match=r"all weights of the network are frozen.*leave out some"):
        make(callbacks=[Freezer(pattern)]).fit(X, y)


def test_which_norms_are_frozen():
    norm, plain = nn.BatchNorm1d(2), nn.BatchNorm1d(2, affine=False)
    part = nn.Sequential(nn.Linear(2, 2), plain, norm, nn.ModuleList([nn.BatchNorm1d(2)]))
    assert frozen_norms(part) == []
    norm.weight.requires_grad_(False)
    assert frozen_norms(part) == []  # its bias is trained
    norm.bias.requires_grad_(False)
    assert frozen_norms(part) == [norm]
    for parameter in part.parameters():
        parameter.requires_grad_(False)
    assert frozen_norms(part) == [plain, norm, part[3][0]]
    alone = nn.ModuleList([nn.BatchNorm1d(2, affine=False)])
    assert frozen_norms(alone) == []  # nothing says that it is


class Kill(Callback):
    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == 4:
            raise RuntimeError("killed")


def test_a_resumed_fit_is_as_frozen_as_before(
    gnn, X, y, tmp_path, monkeypatch, assert_same_weights
):
    """The callback froze weights in epoch 2, and the fit goes on in epoch 4."""
    monkeypatch.setattr(_checkpoint, "SECONDS_BETWEEN", 0.0)
    params = {"max_epochs": 6, "callbacks": [Freezer(all_but_head, at=2)]}
    whole = gnn(**params).fit(X, y)
    with pytest.raises(RuntimeError, match="killed"):
        gnn(
            **{**params, "callbacks": [Freezer(all_but_head, at=2), Kill()]},
            checkpoint_dir=tmp_path,
        ).fit(X, y)
    assert_same_weights(gnn(**params, checkpoint_dir=tmp_path).fit(X, y), whole)
