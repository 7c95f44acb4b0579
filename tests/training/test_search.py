"""How many epochs are tried, which number is taken, and what is trained in the end."""

from types import SimpleNamespace

import numpy as np
import pytest

from skuae.training._classification import ClassificationTask
from skuae.training._fit import Trained
from skuae.training._regression import RegressionTask
from skuae.training._search import best_of, epochs_to_try, find_epochs
from skuae.training._task import Targets


class Trainings:
    """Trainings for 1, 2, 4, 8 and 16 epochs with these errors; the n-th is interrupted or cut."""

    def __init__(self, errors, interrupted=None, raising=None, cut=None, n_batches=100):
        self.errors = dict(zip((1, 2, 4, 8, 16), errors, strict=True))
        self.interrupted, self.raising, self.cut = interrupted, raising, cut
        self.n_batches = n_batches
        self.asked = []

    def __call__(self, n_epochs, hold_back):
        self.asked.append((n_epochs, hold_back))
        if len(self.asked) == self.raising:
            raise KeyboardInterrupt
        stop = KeyboardInterrupt() if len(self.asked) == self.interrupted else None
        cut = len(self.asked) == self.cut
        error = self.errors[n_epochs] if hold_back and stop is None else None
        history = [{"epoch": 1, "train_loss": 0.0, "dur": 0.0}] * (n_epochs - cut)
        n_steps = n_epochs * self.n_batches
        net = SimpleNamespace(max_epochs=n_epochs, history=history, n_steps_=n_steps)
        return Trained(None, None, net, error, cut, stop)


@pytest.mark.parametrize(
    ("max_epochs", "tried"),
    [(1, [1]), (2, [1, 2]), (7, [1, 2, 4, 7]), (100, [7, 13, 25, 50, 100]),
     (800, [50, 100, 200, 400, 800])],
)  # fmt: skip
def test_epochs_to_try(max_epochs, tried):
    assert epochs_to_try(max_epochs) == tried


@pytest.mark.parametrize(
    ("errors", "n_tried", "best"),
    [
        ([5, 4, 3, 2, 1], 5, 16),
        ([5, 4, 3, 3.2, 3.1], 5, 8),  # the parabola is lowest there
        ([5, 4, 3, 3.4, 3.1], 5, 16),  # but 3.4 is more than a tenth above the lowest error
        ([0.76, 0.57, 0.39, 0.29, 0.61], 5, 8),  # what is far off does not count
        ([1, 2, 3, 0, 0], 3, 1),  # two are no better: that is enough
        ([2, 1, 1, 1, 0], 4, 4),  # not to fall is not to be better
        ([-1, -2, -3, -2, -1], 5, 4),  # likelihoods
    ],
)
def test_what_is_tried_and_taken(errors, n_tried, best):
    train = Trainings(errors)
    found = find_epochs(train, 16, refit=True)
    tried = [1, 2, 4, 8, 16][:n_tried]
    assert [entry["epochs"] for entry in found.tried] == tried
    assert [entry["error"] for entry in found.tried] == errors[:n_tried]
    assert train.asked == [*((n, True) for n in tried), (best, False)]
    assert found.trained.net.max_epochs == best and found.stop is None


@pytest.mark.parametrize(("n_batches", "n_tried"), [(1, 5), (12, 5), (13, 4), (25, 3), (200, 3)])
def test_trainings_of_few_steps_do_not_end_the_search(n_batches, n_tried):
    train = Trainings([1, 2, 3, 4, 0], n_batches=n_batches)
    found = find_epochs(train, 16, refit=True)
    assert len(found.tried) == n_tried
    assert found.trained.net.max_epochs == (16 if n_tried == 5 else 1)


def test_without_refit_the_best_with_rows_held_back_is_kept():
    train = Trainings([1, 2, 3, 2, 0])
    found = find_epochs(train, 16, refit=False)
    assert train.asked == [(1, True), (2, True), (4, True)]
    assert found.trained.net.max_epochs == 1 and found.trained.error == 1


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300])
def test_the_best_does_not_depend_on_units(scale):
    errors = np.array([5, 4, 3, 3.2, 3.1]) * scale
    assert best_of([{"error": error} for error in errors]) == 3
    assert best_of([{"error": 0.0}] * 5) == 0


@pytest.mark.parametrize("how", ["interrupted", "raising"])
@pytest.mark.parametrize(("n", "kept", "n_tried"), [(2, 1, 1), (4, 4, 3), (6, 16, 5)])
def test_the_user_interrupts(how, n, kept, n_tried):
    found = find_epochs(Trainings([5, 4, 3, 2, 1], **{how: n}), 16, refit=True)
    assert isinstance(found.stop, KeyboardInterrupt)
    assert found.trained.net.max_epochs == kept and found.trained.stop is None
    assert len(found.tried) == n_tried


def test_the_user_interrupts_the_first():
    found = find_epochs(Trainings([5, 4, 3, 2, 1], interrupted=1), 16, refit=True)
    assert found.stop is found.trained.stop and found.tried == []
    with pytest.raises(KeyboardInterrupt):  # before there is anything to keep
        find_epochs(Trainings([5, 4, 3, 2, 1], raising=1), 16, refit=True)


def test_a_callback_that_cuts_a_training_ends_the_search():
    train = Trainings([5, 4, 3, 2, 1], cut=3)
    found = find_epochs(train, 16, refit=True)
    assert [entry["epochs"] for entry in found.tried] == [1, 2, 3]
    assert train.asked[-1] == (4, False)


# -- errors of rows held back ---------------------------------------------------------------------


def test_the_error_of_one_target_has_its_units():
    y = np.array([[10.0], [20.0], [60.0]])
    task = RegressionTask().fit(Targets(y, y, None, True), np.arange(3), None)
    predicted = np.array([[12.0], [20.0], [50.0]])
    outputs = task.encode(predicted).astype(np.float32)
    assert task.error(outputs, y, None) == pytest.approx(4, abs=1e-5)
    assert task.error(outputs, y, np.array([3.0, 1.0, 0.0])) == pytest.approx(1.5, abs=1e-5)
    assert task.error(outputs, y, np.zeros(3)) == 0
    assert np.isnan(task.error(np.full((3, 1), np.nan, np.float32), y, None))


def test_errors_of_several_targets_are_in_standard_deviations():
    y = np.array([[1.0, 100.0], [2.0, np.nan], [3.0, 300.0]])
    targets = Targets(y, y, None, False)
    task = RegressionTask(task_weights=[1.0, 3.0]).fit(targets, np.arange(3), None)
    outputs = (task.encode(np.nan_to_num(y)) + np.array([1.0, 2.0])).astype(np.float32)
    assert task.error(outputs, y, None) == pytest.approx((1 + 3 * 2) / 4, rel=1e-5)


def test_a_constant_target_has_no_error():
    y = np.full((3, 1), 2.0)
    task = RegressionTask().fit(Targets(y, y, None, True), np.arange(3), None)
    assert task.error(np.ones((3, 1), np.float32), y, None) == 0


@pytest.mark.parametrize(("loss", "error"), [("gaussian_nll", 0.25), ("laplace_nll", 0.5**0.5)])
def test_uncertain_models_go_by_the_likelihood(loss, error):
    y = np.array([[-1.0], [1.0]])
    task = RegressionTask(loss=loss).fit(Targets(y, y, None, True), np.arange(2), None)
    outputs = np.array([[0.0, 0.0], [1.0, 0.0]], np.float32)  # variance 1
    assert task.error(outputs, y, None) == pytest.approx(error)


def test_classifiers_go_by_the_log_loss():
    y = np.array([[0.0], [1.0], [1.0]])
    given = np.array(["a", "b", "b"])
    task = ClassificationTask().fit(
        Targets(y, given, None, np.array(["a", "b"])), np.arange(3), None
    )
    outputs = np.log([[0.5, 0.5], [0.8, 0.2], [0.1, 0.9]]).astype(np.float32)
    expected = -np.log([0.5, 0.2, 0.9])
    assert task.error(outputs, y, None) == pytest.approx(expected.mean(), rel=1e-6)
    weight = np.array([0.0, 1.0, 3.0])
    assert task.error(outputs, y, weight) == pytest.approx(expected @ weight / 4, rel=1e-6)
    assert task.error(outputs, y, np.zeros(3)) == 0
