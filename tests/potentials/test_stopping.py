"""Early stopping and exponential means of weights, with and without checkpoints."""

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure
from small_springs import dimers, potential, state

from skuae import as_crystals
from skuae.crystals import Crystals
from skuae.potentials import CrystalPotential, _checkpoint, _state
from skuae.potentials._holdout import has_new_elements, hold_back

X, Y = dimers()
BOTH = {"early_stopping": True, "validation_fraction": 0.25, "ema_decay": 0.6, "batch_size": 4}


def same(one, other):
    return all(torch.equal(value, state(other)[name]) for name, value in state(one).items())


def losses(model, name="valid_loss"):
    return [epoch[name] for epoch in model.history_]


def held_out(n_valid=4):
    return (X[n_valid:], Y[n_valid:]), {"X_val": X[:n_valid], "y_val": Y[:n_valid]}


# -- early stopping -------------------------------------------------------------------------------


@pytest.mark.parametrize("params", [{}, {"ema_decay": 0.5}, {"loss": "mae", "energy_weight": 0.0}])
def test_the_weights_of_the_best_epoch_are_kept(params):
    rows, validation = held_out()
    model = potential(early_stopping=True, max_epochs=6, lr=3e-2, **params).fit(*rows, **validation)
    score = model.score(validation["X_val"], validation["y_val"])
    assert -score == pytest.approx(min(losses(model)), rel=1e-4)
    assert len(set(losses(model))) == 6


def test_training_ends_after_epochs_without_a_smaller_loss():
    rows, validation = held_out()
    wrong = [{name: -value for name, value in row.items()} for row in validation["y_val"]]
    model = potential(early_stopping=True, max_epochs=30, n_iter_no_change=2, lr=1e-2)
    model.fit(*rows, X_val=validation["X_val"], y_val=wrong)
    found = losses(model)
    best = int(np.argmin(found))
    assert len(found) == best + 3 < 30
    # Rows held back decide, and nothing else depends on them.
    other = potential(max_epochs=30, lr=1e-2).fit(*rows)
    np.testing.assert_allclose(
        losses(other, "train_loss")[: len(found)], losses(model, "train_loss"), rtol=1e-12
    )


def test_rows_held_back_are_not_learned():
    rows, validation = held_out()
    shifted = [{**row, "energy": row["energy"] + 7.0} for row in validation["y_val"]]
    one, other = (
        potential(early_stopping=True, max_epochs=1).fit(*rows, X_val=validation["X_val"], y_val=y)
        for y in (validation["y_val"], shifted)
    )
    assert same(one, other) and one.reference_energies_ == other.reference_energies_
    assert losses(other)[0] > losses(one)[0] + 0.1


def test_random_rows_are_held_back():
    model = potential(early_stopping=True, validation_fraction=0.25, max_epochs=2).fit(X, Y)
    n_known = np.ones((12, 4), dtype=int)
    train, valid = hold_back(X, n_known, np.arange(12), 0.25, 3)
    assert sorted([*train, *valid]) == list(range(12)) and len(valid) == 3
    drawn = [hold_back(X, n_known, np.arange(12), 0.25, seed)[1].tolist() for seed in range(5)]
    assert len({tuple(rows) for rows in drawn}) > 1
    assert same(
        model, potential(early_stopping=True, validation_fraction=0.25, max_epochs=2).fit(X, Y)
    )


def test_an_element_of_one_row_is_not_held_back():
    rare = Structure(Lattice.cubic(4.0), ["Fe"], [[0, 0, 0]])
    crystals = Crystals.concatenate([X, as_crystals([rare])])
    n_known = np.ones((13, 4), dtype=int)
    for seed in range(30):
        train, valid = hold_back(crystals, n_known, np.arange(13), 0.3, seed)
        assert 12 in train and len(train) + len(valid) == 13
        assert not has_new_elements(crystals, train, valid).any()


def test_a_lonely_row_cannot_be_held_back():
    with pytest.raises(ValueError, match=r"row with a known label \(1 of 1\), which leaves none"):
        potential(early_stopping=True).fit(X[:1], Y[:1])
    pair = as_crystals(
        [Structure(Lattice.cubic(4.0), [name], [[0, 0, 0]]) for name in ("Fe", "Ni")]
    )
    with pytest.raises(ValueError, match=r"\(1 of 2\) has an element that no other row has"):
        potential(early_stopping=True).fit(pair, [{"energy": -8.0}, {"energy": -5.0}])


def test_a_label_must_be_known_in_both_parts():
    rows, validation = held_out()
    energies = [{"energy": row["energy"]} for row in validation["y_val"]]
    with pytest.raises(
        ValueError, match=r"of X_val has a known label 'forces'.*force_weight=0, or"
    ):
        potential(early_stopping=True).fit(*rows, X_val=validation["X_val"], y_val=energies)
    model = potential(early_stopping=True, force_weight=0, max_epochs=1)
    assert losses(model.fit(*rows, X_val=validation["X_val"], y_val=energies))
    with pytest.raises(ValueError, match="of X has a known label 'forces', and a row of X_val"):
        potential(early_stopping=True).fit(
            rows[0], [{"energy": row["energy"]} for row in rows[1]], **validation
        )


def test_a_message_names_what_held_rows_back():
    rows, validation = held_out()
    nothing = [{"energy": np.nan}] * 4
    with pytest.raises(ValueError, match="y_val has no known label") as given:
        potential(early_stopping=True).fit(*rows, X_val=validation["X_val"], y_val=nothing)
    n_known = np.ones((12, 4), dtype=int)
    n_known[1:, 1] = 0  # forces of one row
    with pytest.raises(ValueError, match=r"known label 'forces'.*force_weight=0") as drawn:
        hold_back(X, n_known, np.arange(12), 0.25, 3)
    assert "validation_fraction" in str(drawn.value)
    assert "validation_fraction" not in str(given.value)


def test_elements_of_rows_without_labels_are_not_trained_on():
    rare = Structure(Lattice.cubic(4.0), ["Rb"], [[0, 0, 0]])
    both = Crystals.concatenate([X, as_crystals([rare])])
    known, unknown = {"energy": -1.0, "forces": np.zeros((1, 3))}, {"energy": np.nan}
    model = potential(early_stopping=True, max_epochs=1)
    validation = {"X_val": both[9:], "y_val": [*Y[9:], known]}
    with pytest.raises(ValueError, match="row 3 has an element that no row of X with a known"):
        model.fit(both, [*Y, unknown], **validation)
    assert losses(model.fit(both, [*Y, known], **validation))
    # A row of X_val without labels is not compared with anything.
    assert losses(model.fit(X, Y, X_val=both[9:], y_val=[*Y[9:], unknown]))


@pytest.mark.parametrize(
    ("options", "validation", "said"),
    [
        ({}, {"X_val": X[:1], "y_val": Y[:1]}, "X_val with early_stopping=False"),
        ({"early_stopping": True}, {"y_val": Y[:1]}, "y_val without X_val"),
        ({"early_stopping": True}, {"X_val": X[:1], "y_val": Y}, "X_val and y_val: y has 12 rows"),
        (
            {"early_stopping": True},
            {"X_val": [Structure(Lattice.cubic(4), ["Rb"], [[0] * 3])], "y_val": [{"energy": 1}]},
            "X_val and y_val: row 0 has an element that no row of X with a known label has",
        ),
        (
            {"early_stopping": True},
            {
                "X_val": [Structure(Lattice.cubic(4), [{"Na": 0.5, "K": 0.5}], [[0] * 3])],
                "y_val": [{"energy": 1}],
            },
            "X_val and y_val: row 0 has sites that are shared",
        ),
        ({"early_stopping": 1}, {}, "early_stopping must be True or False"),
        ({"validation_fraction": 1.0}, {}, "validation_fraction must lie between 0 and 1"),
        ({"n_iter_no_change": 0}, {}, "n_iter_no_change must be an integer, at least 1"),
        ({"ema_decay": 1}, {}, "ema_decay must lie between 0 and 1"),
        ({"ema_decay": "0.9"}, {}, "ema_decay must lie between 0 and 1"),
    ],
)
def test_senseless_input_is_refused(options, validation, said):
    with pytest.raises(ValueError, match=said):
        potential(**options).fit(X, Y, **validation)


# -- means of weights -----------------------------------------------------------------------------


def test_predictions_are_those_of_the_mean_of_weights(monkeypatch):
    """The mean is worked out again from the weights after each step."""
    steps = []

    def recording(self, step):
        steps.append([weight.double().numpy().copy() for weight in self.weights])
        average(self, step)

    average = _state.TrainingState.average
    monkeypatch.setattr(_state.TrainingState, "average", recording)
    start = potential(max_epochs=1, lr=1e-9, reference_energies=None).fit(X, Y)
    first = [p.detach().double().numpy().copy() for p in start.fitted_.module.parameters()]
    steps.clear()
    model = potential(
        max_epochs=5, batch_size=4, ema_decay=0.3, lr=1e-2, reference_energies=None
    ).fit(X, Y)
    assert len(steps) == 15
    mean = first
    for n, weights in enumerate(steps):
        decay = min(0.3, (1 + n) / (10 + n))
        mean = [decay * m + (1 - decay) * w for m, w in zip(mean, weights, strict=True)]
    for ours, expected in zip(model.fitted_.module.parameters(), mean, strict=True):
        np.testing.assert_allclose(ours.detach().numpy(), expected, rtol=1e-4, atol=1e-6)


def test_a_mean_of_weights_changes_no_step():
    plain, mean = (potential(max_epochs=5, ema_decay=decay).fit(X, Y) for decay in (None, 0.9))
    assert losses(plain, "train_loss") == losses(mean, "train_loss")
    assert not same(plain, mean)


def test_frozen_vectors_of_elements_stay():
    model = potential(embedding="magpie", freeze_embedding=True, ema_decay=0.9).fit(X, Y)
    start = potential(embedding="magpie", freeze_embedding=True, max_epochs=1).fit(X, Y)
    assert torch.equal(state(model)["elements.weight"], state(start)["elements.weight"])


# -- checkpoints and files ------------------------------------------------------------------------


class Stop(Exception):
    pass


@pytest.mark.parametrize("params", [BOTH, {**BOTH, "ema_decay": None}, {"ema_decay": 0.6}])
@pytest.mark.parametrize("epoch", [1, 3])
def test_checkpoints_go_on_to_the_same_bits(tmp_path, monkeypatch, params, epoch):
    monkeypatch.setattr("skuae.potentials._checkpoint.SECONDS_BETWEEN", 0.0)
    params = {**params, "max_epochs": 5, "lr": 2e-2}
    whole = potential(**params).fit(X, Y)
    keep = _checkpoint.PotentialCheckpoint.keep

    def stopping(self):
        keep(self)
        if len(self.state.history) == epoch:
            raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(_checkpoint.PotentialCheckpoint, "keep", stopping)
        with pytest.raises(Stop):
            potential(checkpoint_dir=tmp_path, **params).fit(X, Y)
    resumed = potential(checkpoint_dir=tmp_path, **params).fit(X, Y)
    assert same(resumed, whole)
    assert losses(resumed, "train_loss") == losses(whole, "train_loss")
    # What is done is only read.
    again = potential(checkpoint_dir=tmp_path, **params).fit(X, Y)
    assert same(again, whole) and again.history_ == resumed.history_
    assert len(list(tmp_path.iterdir())) == 1


def test_a_training_that_ended_early_is_only_read(tmp_path, monkeypatch):
    rows, validation = held_out()
    y_val = [{name: -value for name, value in row.items()} for row in validation["y_val"]]
    params = {"early_stopping": True, "max_epochs": 30, "n_iter_no_change": 1, "lr": 1e-2,
              "checkpoint_dir": tmp_path}  # fmt: skip
    first = potential(**params).fit(*rows, X_val=validation["X_val"], y_val=y_val)
    assert len(first.history_) < 30
    monkeypatch.setattr("skuae.potentials._training._step", None)
    again = potential(**params).fit(*rows, X_val=validation["X_val"], y_val=y_val)
    assert same(again, first) and again.history_ == first.history_


def test_other_rows_held_back_are_another_fit(tmp_path):
    rows, validation = held_out()
    params = {"early_stopping": True, "max_epochs": 1, "checkpoint_dir": tmp_path}
    potential(**params).fit(*rows, **validation)
    potential(**params).fit(X, Y, X_val=X[:2], y_val=Y[:2])
    potential(**{**params, "ema_decay": 0.9}).fit(*rows, **validation)
    assert len(list(tmp_path.iterdir())) == 3


def test_files_keep_what_was_chosen(tmp_path):
    model = potential(**BOTH).fit(X, Y)
    model.save_pretrained(tmp_path)
    read = CrystalPotential.from_pretrained(tmp_path, device="cpu")
    assert same(model, read) and read.history_ == model.history_
    assert np.array_equal(read.predict(X), model.predict(X))


def test_losses_are_printed(capsys):
    potential(early_stopping=True, verbose=1, max_epochs=1).fit(X, Y)
    assert ", of rows held back 0." in capsys.readouterr().out
