"""Settings of torch and numpy that a caller has left behind change no bit, and are left alone."""

import threading
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from sklearn.base import is_classifier

from skuae import CrystalGNNClassifier, CrystalGNNRegressor, CrystalTransformerRegressor
from skuae.training import library_defaults

KINDS = [CrystalGNNRegressor, CrystalGNNClassifier, CrystalTransformerRegressor]


@contextmanager
def put_back(change, restore):
    change()
    try:
        yield
    finally:
        restore()


def default_dtype(dtype):
    return put_back(
        lambda: torch.set_default_dtype(dtype), lambda: torch.set_default_dtype(torch.float32)
    )


SETTINGS = {
    "no gradients": torch.no_grad,
    "float64": lambda: default_dtype(torch.float64),
    "float16": lambda: default_dtype(torch.float16),
    "device": lambda: put_back(
        lambda: torch.set_default_device("meta"), lambda: torch.set_default_device(None)
    ),
    "device context": lambda: torch.device("meta"),
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "inference mode": torch.inference_mode,
    "deterministic": lambda: put_back(
        lambda: torch.use_deterministic_algorithms(True),
        lambda: torch.use_deterministic_algorithms(False),
    ),
    "anomalies": lambda: torch.autograd.set_detect_anomaly(True),
    "numpy errors": lambda: np.errstate(all="raise"),
}


def state():
    return (
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_anomaly_enabled(),
        np.geterr(),
    )


def predictions(model, X):
    outputs = model.decision_function(X) if is_classifier(model) else model.predict(X)
    return [outputs, model.element_table_.values]


@pytest.fixture(scope="module")
def plain():
    return {}


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bits(small, X, target_of, plain, kind, setting, tmp_path):
    if kind not in plain:
        plain[kind] = predictions(small(kind).fit(X, target_of(kind())), X)
    model = small(kind)
    with SETTINGS[setting]():
        before = state()
        model.fit(X, target_of(model))
        inside = predictions(model, X)
        model.save_pretrained(tmp_path)
        loaded = kind.from_pretrained(tmp_path, device="cpu")
        read = predictions(loaded, X)
        assert state() == before
    for found in (inside, read, predictions(model, X), predictions(loaded, X)):
        for value, expected in zip(found, plain[kind], strict=True):
            np.testing.assert_array_equal(value, expected)
    loaded.set_params(warm_start=True, random_state=0, batch_size=8).fit(X, target_of(model))


def test_settings_are_put_back_after_an_error(gnn, X, y):
    with default_dtype(torch.float64), torch.no_grad():
        with pytest.raises(ValueError, match="lr must be"):
            gnn(lr=-1).fit(X, y)
        assert torch.get_default_dtype() == torch.float64
        assert not torch.is_grad_enabled()


def test_threads_share_the_default_dtype():
    """The last one out puts it back, whoever came first."""
    first_in, second_out = threading.Event(), threading.Event()
    seen = []

    def first():
        with library_defaults():
            first_in.set()
            second_out.wait(10)
            seen.append(torch.get_default_dtype())

    with default_dtype(torch.float64):
        thread = threading.Thread(target=first)
        thread.start()
        first_in.wait(10)
        with library_defaults():
            pass
        second_out.set()
        thread.join()
        assert seen == [torch.float32]
        assert torch.get_default_dtype() == torch.float64
