import numpy as np
import pytest
import torch
from skorch.callbacks import (
    BatchScoring,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    LRScheduler,
    PassthroughScoring,
    TrainEndCheckpoint,
)

from skuae import CrystalGNNClassifier, CrystalGNNRegressor, CrystalTransformerRegressor
from skuae.training._net import OPTIMIZERS
from skuae.training._params import check_training_params, resolve_device

REGRESSORS = [CrystalGNNRegressor, CrystalTransformerRegressor]
ESTIMATORS = [*REGRESSORS, CrystalGNNClassifier]


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_defaults_and_edges_pass(estimator):
    check_training_params(estimator())
    edges = {
        "max_epochs": 1,
        "batch_size": 2,
        "lr": 0,
        "weight_decay": 0.0,
        "embedding_lr_ratio": 0,
        "validation_fraction": 0.999,
    }
    check_training_params(estimator(**edges))


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("optimizer", "lbfgs", "optimizer must be one of adamw, adam, sgd; got 'lbfgs'"),
        ("lr_schedule", None, "lr_schedule must be one of onecycle, cosine, constant; got None"),
        ("max_epochs", 0, "max_epochs must be an integer, at least 1; got 0"),
        ("max_epochs", 2.5, "max_epochs must be an integer, at least 1; got 2.5"),
        ("max_epochs", True, "max_epochs must be an integer, at least 1; got True"),
        ("batch_size", 1, "batch_size must be an integer, at least 2; got 1"),
        ("batch_size", "auto", "batch_size must be an integer, at least 2; got 'auto'"),
        ("lr", -0.1, "lr must be .*a number, at least 0; got -0.1"),
        ("lr", float("nan"), "lr must be .*a number, at least 0; got nan"),
        ("lr", "fast", "lr must be .*a number, at least 0; got 'fast'"),
        ("weight_decay", -1e-9, "weight_decay must be a number, at least 0"),
        ("embedding_lr_ratio", -1, "embedding_lr_ratio must be a number, at least 0"),
        ("validation_fraction", 0, "validation_fraction must lie between 0 and 1, exclusive"),
        ("validation_fraction", 1.0, "validation_fraction must lie between 0 and 1, exclusive"),
        ("validation_fraction", float("nan"), "validation_fraction must lie between 0 and 1"),
    ],
)
def test_parameters_that_make_no_sense(estimator, name, value, message):
    with pytest.raises(ValueError, match=message):
        check_training_params(estimator(**{name: value}))


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("name", ["early_stopping", "refit", "warm_start"])
def test_what_is_true_or_false(estimator, name):
    for value in ("no", None, 2):
        with pytest.raises(ValueError, match=f"{name} must be True or False; got {value!r}"):
            check_training_params(estimator(**{name: value}))
    check_training_params(estimator(**{name: np.bool_(True)}))


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize(
    "callback",
    [EpochScoring("r2"), BatchScoring("r2"), PassthroughScoring("x"), LRScheduler(),
     TrainEndCheckpoint],
)  # fmt: skip
def test_callbacks_that_would_not_work(estimator, callback):
    for given in (callback, ("mine", callback)):
        with pytest.raises(ValueError, match="does not work in skuae's loop; "):
            check_training_params(estimator(callbacks=[given]))
    given = [EarlyStopping(monitor="train_loss"), Checkpoint(monitor=None)]
    check_training_params(estimator(callbacks=given))
    for callback in (EarlyStopping(), Checkpoint()):
        with pytest.raises(ValueError, match=r"looks at 'valid_loss.* which nothing records"):
            check_training_params(estimator(callbacks=[callback]))
    for given in (EarlyStopping(), EarlyStopping, 5, "disable"):
        with pytest.raises(ValueError, match="callbacks must be a list"):
            check_training_params(estimator(callbacks=given))
    for given in ({}, print, ("a", "b", "c"), ()):
        with pytest.raises(ValueError, match="callbacks must be skorch callbacks; one is"):
            check_training_params(estimator(callbacks=[given]))


def test_a_rate_of_the_backbone():
    check_training_params(CrystalGNNRegressor(lr="auto"))
    with pytest.raises(ValueError, match='lr must be "auto" or a number, at least 0; got'):
        check_training_params(CrystalGNNClassifier(lr="slow"))
    with pytest.raises(ValueError, match="lr must be a number, at least 0; got 'auto'"):
        check_training_params(CrystalTransformerRegressor(lr="auto"))


@pytest.mark.parametrize("estimator", REGRESSORS)
def test_losses(estimator):
    message = (
        "loss must be one of squared_error, absolute_error, huber, gaussian_nll, laplace_nll; "
        "got 'mse'"
    )
    with pytest.raises(ValueError, match=message):
        check_training_params(estimator(loss="mse"))


@pytest.mark.parametrize("fused", [True, False])
def test_optimizers_are_those_of_torch(fused):
    group = {"params": [torch.nn.Parameter(torch.zeros(2))], "lr": 0.1, "weight_decay": 0.2}
    for name, kind in (
        ("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam), ("sgd", torch.optim.SGD),
    ):  # fmt: skip
        optimizer = OPTIMIZERS[name]([dict(group)], fused=fused)
        assert type(optimizer) is kind
        assert optimizer.param_groups[0]["fused"] == (fused if name != "sgd" else None)
        assert optimizer.param_groups[0]["lr"] == 0.1
        assert optimizer.param_groups[0]["weight_decay"] == 0.2
    assert optimizer.param_groups[0]["momentum"] == 0.9


def test_device():
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device(torch.device("cpu")) == torch.device("cpu")
    assert resolve_device("auto").type in ("cpu", "cuda", "mps")
    for bad in ("gpu", "cuda:x", 3.5, None):
        with pytest.raises(ValueError, match='device must be "auto" or a torch device; got'):
            resolve_device(bad)


@pytest.mark.skipif(torch.cuda.is_available(), reason="has CUDA")
def test_device_that_is_not_there():
    with pytest.raises(ValueError, match=r"device='cuda'.*use device=\"auto\""):
        resolve_device("cuda")


@pytest.mark.gpu
def test_auto_takes_the_accelerator():
    assert resolve_device("auto").type in ("cuda", "mps")
