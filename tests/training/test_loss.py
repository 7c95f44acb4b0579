"""The loss against numpy, and learning rates at points known by heart."""

import numpy as np
import pytest
import torch
from scipy.stats import laplace, norm

from skuae.training._loss import (
    LIKELIHOODS,
    LOSSES,
    LogLoss,
    MaskedLoss,
    mean_and_log_variance,
)
from skuae.training._schedule import SCHEDULES, learning_rate
from skuae.training._targets import loss_weights

NAN = float("nan")
POINT_LOSSES = [loss for loss in LOSSES if loss not in LIKELIHOODS]


def plain_loss(loss, predicted, true, weights=None, task_weights=None):
    """Weighted mean over all known labels, times the number of tasks; each task by its weight."""
    total = weight = 0.0
    for j in range(true.shape[1]):
        known = ~np.isnan(true[:, j])
        error = predicted[known, j] - true[known, j]
        values = {
            "squared_error": error**2,
            "absolute_error": abs(error),
            "huber": np.where(abs(error) < 1, error**2 / 2, abs(error) - 0.5),
        }[loss]
        w = np.ones(known.sum()) if weights is None else weights[known]
        total += np.sum(values * w) * (1 if task_weights is None else task_weights[j])
        weight += np.sum(w)
    return true.shape[1] * total / weight


def full_batch(true, weights=None):
    """Targets as a batch of all training rows brings them."""
    true = np.asarray(true)
    return torch.tensor(true), torch.tensor(loss_weights(true, weights, np.arange(len(true))))


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    predicted, true = 2 * rng.normal(size=(2, 10, 3))
    true[[0, 3, 4], 0] = true[7, 1] = true[[0, 7], 2] = np.nan
    return predicted, true


@pytest.mark.parametrize("loss", POINT_LOSSES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("task_weights", [None, (1.0, 0.5, 2.0), (0, 1, 0)])
def test_loss_against_numpy(data, loss, weighted, task_weights):
    predicted, true = data
    weights = np.random.default_rng(1).uniform(0, 3, 10) if weighted else None
    got = MaskedLoss(loss, task_weights)(torch.tensor(predicted), full_batch(true, weights))
    assert got.ndim == 0
    expected = plain_loss(loss, predicted, true, weights, task_weights)
    assert got.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("loss", POINT_LOSSES)
def test_unknown_targets_have_no_gradient(data, loss):
    predicted, true = data
    predicted = torch.tensor(predicted, requires_grad=True)
    MaskedLoss(loss)(predicted, (torch.tensor(true), None)).backward()
    unknown = torch.tensor(np.isnan(true))
    assert predicted.grad.isfinite().all()
    assert (predicted.grad[unknown] == 0).all()
    assert (predicted.grad[~unknown] != 0).all()


@pytest.mark.parametrize("loss", POINT_LOSSES)
def test_weights_of_tasks_that_leave_one(data, loss):
    """Weights (1, 0, 0) give the loss and gradient of the first task alone."""
    a, b = (torch.tensor(data[0], requires_grad=True) for _ in range(2))
    true = torch.tensor(data[1])
    several = MaskedLoss(loss, (1, 0, 0))(a, (true, None))
    single = MaskedLoss(loss)(b[:, :1], (true[:, :1], None))
    torch.testing.assert_close(several, single)
    several.backward()
    single.backward()
    torch.testing.assert_close(a.grad, b.grad)


def test_weight_of_two_is_two_rows(data):
    predicted, true = data
    counts = np.array([2, 1, 0, 3, 1, 1, 2, 0, 1, 1])
    loss = MaskedLoss("squared_error")
    weighted = loss(torch.tensor(predicted), full_batch(true, counts.astype(float)))
    repeated = loss(
        torch.tensor(np.repeat(predicted, counts, 0)), full_batch(np.repeat(true, counts, 0))
    )
    torch.testing.assert_close(weighted, repeated)


def test_weights_count_the_same_in_whatever_batch_a_row_comes(data):
    """Losses of batches of one size average to that of all rows."""
    predicted, true = data
    weights = np.array([1e6, 1, 1, 1, 1, 2, 3, 1, 1, 1.0])
    loss = MaskedLoss("squared_error")
    targets, per_target = full_batch(true, weights)
    whole = loss(torch.tensor(predicted), (targets, per_target))
    halves = [
        loss(torch.tensor(predicted[rows]), (targets[rows], per_target[rows]))
        for rows in (slice(0, 5), slice(5, 10))
    ]
    torch.testing.assert_close(sum(halves) / 2, whole)


@pytest.mark.parametrize("scale", [1e-50, 1e60])
def test_only_ratios_of_weights_count(data, scale):
    _, true = data
    weights = np.arange(1.0, 11)
    once, scaled = (loss_weights(true, w, np.arange(10)) for w in (weights, scale * weights))
    np.testing.assert_allclose(scaled, once, rtol=1e-12)
    assert once.mean() == pytest.approx(1)
    np.testing.assert_allclose(once, np.where(np.isnan(true), 0, once.max(axis=1, keepdims=True)))
    assert loss_weights(np.ones((3, 2)), None, np.arange(3)) is None


def test_batch_in_which_everything_is_unknown():
    predicted = torch.ones(3, 2, requires_grad=True)
    nothing = MaskedLoss("squared_error")(predicted, (torch.full((3, 2), NAN), None))
    nothing.backward()
    assert nothing.item() == 0.0
    assert (predicted.grad == 0).all()


@pytest.mark.parametrize("weights", [(1, 2), [1.0, 2.0], np.array([1.0, 2.0])], ids=type)
def test_task_weights_of_any_type_train_in_single_precision(weights):
    predicted = torch.ones(3, 2, requires_grad=True)
    loss = MaskedLoss("squared_error", weights)(predicted, (torch.zeros(3, 2), None))
    loss.backward()
    assert loss.item() == pytest.approx(3.0)
    assert predicted.grad.dtype == torch.float32


# -- mean and variance -----------------------------------------------------------------------------


@pytest.fixture
def gaussian(data):
    """Outputs of a mean-variance head: means, then raw log-variances."""
    mean, true = data
    raw = np.random.default_rng(2).normal(size=mean.shape)
    return np.concatenate([mean, raw], axis=1), true


def bounded(raw):
    return 12 * np.tanh(raw / 12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("task_weights", [None, (1.0, 0.5, 2.0), (0, 1, 0)])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_likelihoods_against_numpy(gaussian, weighted, task_weights, training, name):
    outputs, true = gaussian
    weights = np.random.default_rng(1).uniform(0, 3, 10) if weighted else None
    loss = MaskedLoss(name, task_weights).train(training)
    got = loss(torch.tensor(outputs), full_batch(true, weights)).item()
    total = weight = 0.0
    for j in range(3):
        known = ~np.isnan(true[:, j])
        variance = np.exp(bounded(outputs[known, 3 + j]))
        off = np.abs(true[known, j] - outputs[known, j])
        if name == "gaussian_nll":
            values = off**2 / (2 * variance) + np.log(variance) / 2
        else:
            values = off / np.sqrt(variance / 2) + np.log(variance) / 2
        if training:
            values *= np.sqrt(variance)
        w = np.ones(known.sum()) if weights is None else weights[known]
        total += np.sum(values * w) * (1 if task_weights is None else task_weights[j])
        weight += np.sum(w)
    assert got == pytest.approx(3 * total / weight, rel=1e-6)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_losses_are_the_likelihoods_of_scipy(gaussian, name):
    outputs, true = gaussian
    known = ~np.isnan(true[:, 1])
    one = torch.tensor(outputs[:, [1, 4]])[known]
    got = MaskedLoss(name).eval()(one, (torch.tensor(true[known, 1:2]), None))
    std = np.exp(bounded(outputs[known, 4]) / 2)
    if name == "gaussian_nll":
        likelihood, constant = norm(outputs[known, 1], std), np.log(2 * np.pi) / 2
    else:
        likelihood, constant = laplace(outputs[known, 1], std / 2**0.5), np.log(2) / 2
    np.testing.assert_allclose(likelihood.std(), std)
    expected = -likelihood.logpdf(true[known, 1]).mean()
    assert got.item() + constant == pytest.approx(expected, rel=1e-9)


def test_gradients_of_the_gaussian_loss():
    """In closed form, beta = 1/2: the mean is pulled with error / std, not error / variance."""
    mean, raw, true = 0.3, -1.2, 1.5
    outputs = torch.tensor([[mean, raw]], dtype=torch.float64, requires_grad=True)
    targets = (torch.tensor([[true]], dtype=torch.float64), None)
    MaskedLoss("gaussian_nll")(outputs, targets).backward()
    log_variance = bounded(raw)
    std = np.exp(log_variance / 2)
    slope = 1 - (log_variance / 12) ** 2  # of the bound
    expected = [
        (mean - true) / std,
        std * slope * (1 - (mean - true) ** 2 / std**2) / 2,
    ]
    np.testing.assert_allclose(outputs.grad[0].numpy(), expected, rtol=1e-9)
    # without the weight of beta, finite differences tell
    loss = MaskedLoss("gaussian_nll").eval()
    assert torch.autograd.gradcheck(lambda x: loss(x, targets), outputs)


def test_gradients_of_the_laplace_loss():
    """In closed form, beta = 1/2: the pull at the median knows only the side it is on."""
    median, raw, true = 0.3, -1.2, 1.5
    outputs = torch.tensor([[median, raw]], dtype=torch.float64, requires_grad=True)
    MaskedLoss("laplace_nll")(outputs, (torch.tensor([[true]]).double(), None)).backward()
    log_variance = bounded(raw)
    std, slope = np.exp(log_variance / 2), 1 - (log_variance / 12) ** 2
    expected = [-(2**0.5), std * slope * (1 - 2**0.5 * (true - median) / std) / 2]
    np.testing.assert_allclose(outputs.grad[0].numpy(), expected, rtol=1e-9)


def test_laplace_scales_that_fit_are_mean_absolute_errors():
    """Where median and log-variance are free, both gradients vanish at those of y."""
    true = torch.tensor([[-1.0], [0.5], [0.6], [2.0], [4.5]], dtype=torch.float64)
    scale = (true - true.median()).abs().mean()
    raw = 12 * torch.atanh((2 * scale**2).log() / 12)
    outputs = torch.stack([true.median(), raw]).requires_grad_()
    MaskedLoss("laplace_nll")(outputs.expand(5, 2), (true, None)).backward()
    np.testing.assert_allclose(outputs.grad.numpy(), 0, atol=1e-12)


def test_variances_that_fit_are_those_of_the_errors():
    """Where mean and log-variance are free, both gradients vanish at mean and variance of y."""
    true = torch.tensor([[-1.0], [0.5], [2.0], [4.5]], dtype=torch.float64)
    log_variance = true.var(correction=0).log()
    raw = 12 * torch.atanh(log_variance / 12)
    outputs = torch.stack([true.mean(), raw]).requires_grad_()
    MaskedLoss("gaussian_nll")(outputs.expand(4, 2), (true, None)).backward()
    np.testing.assert_allclose(outputs.grad.numpy(), 0, atol=1e-12)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_unknown_targets_have_no_gradient_in_likelihoods(gaussian, name):
    outputs = torch.tensor(gaussian[0], requires_grad=True)
    MaskedLoss(name)(outputs, (torch.tensor(gaussian[1]), None)).backward()
    unknown = torch.tensor(np.tile(np.isnan(gaussian[1]), 2))
    assert (outputs.grad[unknown] == 0).all()
    assert (outputs.grad[~unknown] != 0).all()


@pytest.mark.parametrize("raw", [-1e6, -50.0, 50.0, 1e6])
@pytest.mark.parametrize("error", [0.0, 1e3])
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_no_output_makes_a_likelihood_explode(raw, error, name):
    outputs = torch.tensor([[error, raw]], requires_grad=True)
    loss = MaskedLoss(name)(outputs, (torch.zeros(1, 1), None))
    loss.backward()
    assert loss.isfinite()
    assert outputs.grad.isfinite().all()
    assert outputs.grad.abs().max() <= max(1.0, 500 * error)
    _, log_variance = mean_and_log_variance(outputs)
    assert abs(log_variance.item()) <= 12


# -- classes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
def test_log_loss_is_that_of_scikit_learn(weighted):
    from sklearn.metrics import log_loss

    rng = np.random.default_rng(0)
    logits, codes = rng.normal(size=(10, 3)), rng.integers(0, 3, 10)
    weights = rng.uniform(0, 3, 10) if weighted else None
    y = codes[:, None].astype(float)
    per_row = loss_weights(y, weights, np.arange(10))
    per_row = None if per_row is None else torch.tensor(per_row)
    got = LogLoss()(torch.tensor(logits), (torch.tensor(y), per_row))
    expected = log_loss(
        codes, torch.tensor(logits).softmax(1).numpy(), labels=[0, 1, 2], sample_weight=weights
    )
    assert got.item() == pytest.approx(expected)


# -- learning rates --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "points"),
    [
        ("constant", {0: 1, 0.3: 1, 1: 1}),
        ("cosine", {0: 1, 1 / 3: 0.75, 0.5: 0.5, 2 / 3: 0.25, 1: 0}),
        ("onecycle", {0: 0.04, 0.15: 0.52, 0.3: 1, 0.65: 0.5, 1: 0}),
    ],
)
def test_learning_rates(schedule, points):
    for progress, expected in points.items():
        assert learning_rate(schedule, progress) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_shape_of_schedules(schedule):
    progress = np.linspace(0, 1, 1001)
    rates = np.array([learning_rate(schedule, p) for p in progress])
    assert ((rates >= 0) & (rates <= 1)).all()
    assert abs(np.diff(rates)).max() < 0.01  # no jumps
    top = progress[rates.argmax()]
    assert (np.diff(rates[progress <= top]) >= 0).all()
    assert (np.diff(rates[progress >= top]) <= 0).all()
    assert top == {"constant": 0, "cosine": 0, "onecycle": 0.3}[schedule]
