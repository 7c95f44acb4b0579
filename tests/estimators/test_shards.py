"""Estimators on crystals on disk: the numbers are those of crystals in memory."""

import numpy as np
import pytest
import torch
from sklearn.model_selection import cross_val_score
from small_backbones import SMALL

from skuae import CrystalGNNClassifier, CrystalGNNRegressor, Crystals, UAETransformer
from skuae.datasets import Shards, make_toy_crystals, open_shards, write_shards
from skuae.estimators import predict_frame


@pytest.fixture(scope="module")
def toy():
    return make_toy_crystals(48, target=["electronegativity", "volume_per_atom"], random_state=0)


@pytest.fixture
def shards(toy, tmp_path):
    """Shards of ten, of which fewer than half are in memory at a time."""
    write_shards(toy.structures, toy.target, tmp_path / "shards", shard_size=10)
    return open_shards(tmp_path / "shards", buffer=20)


@pytest.fixture
def in_memory(monkeypatch):
    """How many crystals were read at a time."""
    counts, read = [], Shards.read

    def note(self, rows):
        crystals = read(self, rows)
        counts.append(len(crystals))
        return crystals

    monkeypatch.setattr(Shards, "read", note)
    return counts


def model(backbone="cgcnn", **params):
    params = {"max_epochs": 2, "batch_size": 4, "device": "cpu", "random_state": 0, **params}
    return CrystalGNNRegressor(SMALL[backbone], **params)


def test_no_shards_give_a_table_without_rows(toy, shards):
    fitted = model().fit(toy.structures, toy.target)
    found, some = predict_frame(fitted, shards[:0]), predict_frame(fitted, shards[:2])
    assert len(found) == 0 and found.dtypes.equals(some.dtypes)


def weights(estimator):
    return estimator.net_.module_.state_dict()


@pytest.mark.parametrize("backbone", SMALL)
def test_a_buffer_that_holds_all_gives_the_same_bits(toy, shards, backbone):
    shards.buffer = 48
    plain = model(backbone).fit(toy.structures, toy.target)
    found = model(backbone).fit(shards, shards.target)
    assert weights(found).keys() == weights(plain).keys()
    for name, values in weights(plain).items():
        assert torch.equal(weights(found)[name], values), name
    assert found.history_[-1]["train_loss"] == plain.history_[-1]["train_loss"]


@pytest.mark.parametrize("backbone", SMALL)
def test_predictions_are_those_of_memory(toy, shards, backbone, in_memory):
    fitted = model(backbone).fit(toy.structures, toy.target)
    expected = fitted.predict(toy.structures)
    order = np.random.default_rng(0).permutation(48)
    for rows in (slice(None), order, order[:9]):
        np.testing.assert_allclose(fitted.predict(shards[rows]), expected[rows], atol=2e-5)
    assert max(in_memory) <= 30
    assert fitted.score(shards, shards.target) == pytest.approx(
        fitted.score(toy.structures, toy.target), abs=1e-5
    )
    frame = predict_frame(fitted, shards[5:30])
    np.testing.assert_allclose(frame["target_0_predicted"], expected[5:30, 0], atol=2e-5)


@pytest.mark.parametrize("backbone", ["cgcnn", "gated_gcn", "crystal_transformer"])
def test_windows_learn_as_well(toy, shards, backbone, in_memory):
    """Another order of batches, and few crystals in memory: about the same model."""
    options = {"max_epochs": 12}
    plain = model(backbone, **options).fit(toy.structures, toy.target)
    found = model(backbone, **options).fit(shards, shards.target)
    assert max(in_memory) <= 30
    losses = [[epoch["train_loss"] for epoch in fitted.history_] for fitted in (plain, found)]
    gains = [first - last for first, *_, last in losses]
    assert found.n_iter_ == 12
    assert losses[1][-1] < 1.6 * losses[0][-1]
    assert gains[1] > 0.6 * gains[0] > 0


def test_the_same_fit_twice_gives_the_same_bits(shards):
    one, two = (model().fit(shards, shards.target) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(weights(one).values(), weights(two).values(),
                                                 strict=True))  # fmt: skip


def test_rows_held_back_and_weights(toy, shards):
    shards.buffer = 48
    y = toy.target.copy()
    y[3:9, 0] = np.nan
    weight = np.arange(48) % 3
    options = {"early_stopping": True, "max_epochs": 4}
    plain = model(**options).fit(toy.structures, y, weight)
    found = model(**options).fit(shards, y, weight)
    assert found.epochs_tried_ == plain.epochs_tried_
    assert all(torch.equal(values, weights(found)[k]) for k, values in weights(plain).items())


def test_a_killed_fit_goes_on(shards, tmp_path):
    class Killed(Exception):
        pass

    from skorch.callbacks import Callback

    class Kill(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 2:
                raise Killed

    options = {"max_epochs": 4, "checkpoint_dir": tmp_path / "checkpoints"}
    whole = model(max_epochs=4).fit(shards, shards.target)
    from skuae.training import _checkpoint

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_checkpoint, "SECONDS_BETWEEN", 0.0)
        with pytest.raises(Killed):
            model(callbacks=[Kill()], **options).fit(shards, shards.target)
        assert len(list((tmp_path / "checkpoints").iterdir())) == 1
        resumed = model(**options).fit(shards, shards.target)
    assert all(torch.equal(values, weights(resumed)[k]) for k, values in weights(whole).items())
    model(**options).fit(shards[1:], shards.target[1:])
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2


def test_cross_validation(toy, shards, in_memory):
    scores = cross_val_score(model(), shards, shards.target, cv=3)
    assert np.isfinite(scores).all()
    assert max(in_memory) <= 30


def test_classes(toy, shards):
    y = np.where(toy.target[:, 0] > np.median(toy.target[:, 0]), "high", "low")
    options = {"max_epochs": 2, "device": "cpu", "random_state": 0}
    shards.buffer = 48
    plain = CrystalGNNClassifier(SMALL["cgcnn"], **options).fit(toy.structures, y)
    found = CrystalGNNClassifier(SMALL["cgcnn"], **options).fit(shards, y)
    expected = plain.predict_proba(toy.structures)
    assert np.array_equal(found.predict_proba(shards), expected)
    assert found.score(shards, y) == plain.score(toy.structures, y)


def test_what_reads_crystals_takes_shards(toy, shards):
    expected = UAETransformer().fit_transform(toy.structures)
    assert np.array_equal(UAETransformer().fit_transform(shards), expected)


def test_elements_are_checked(shards):
    fitted = model().fit(shards[:40], shards.target[:40])
    seen = fitted.network_.elements.seen
    numbers = np.unique(shards[:40].crystals.numbers)
    assert np.array_equal(np.flatnonzero(seen) + 1, numbers)


def test_messages_name_the_row(toy, shards):
    y = toy.target.copy()
    y[31, 1] = np.inf
    with pytest.raises(ValueError, match="row 31"):
        model().fit(shards, y)
    with pytest.raises(ValueError, match="X has 48 rows"):
        model().fit(shards, y[:5])
    with pytest.raises(ValueError, match="no structures"):
        model().fit(shards[:0], y[:0])
    assert isinstance(shards.crystals, Crystals)
