"""The parameter `precision` of the estimators."""

import numpy as np
import pytest
import torch
from small_backbones import SMALL

from skuae import CrystalGNNClassifier, CrystalGNNRegressor
from skuae.datasets import make_toy_crystals
from skuae.training import _precision

# Whether this machine has bfloat16 or not, the numbers are the same.
pytestmark = pytest.mark.filterwarnings("ignore:precision=.bf16.*has no instructions")


@pytest.fixture(scope="module")
def toy():
    return make_toy_crystals(n_samples=24, random_state=0)


def fit(toy, precision, backbone="alignn", kind=CrystalGNNRegressor, **params):
    y = toy.target if kind is CrystalGNNRegressor else toy.target > np.median(toy.target)
    model = kind(
        SMALL[backbone], embedding="magpie", max_epochs=3, precision=precision, random_state=0,
        device="cpu", **params,
    )  # fmt: skip
    return model.fit(toy.structures, y)


@pytest.mark.parametrize("kind", [CrystalGNNRegressor, CrystalGNNClassifier])
def test_bf16_trains_predicts_and_is_saved(toy, kind, tmp_path):
    single, short = fit(toy, "float32", kind=kind), fit(toy, "bf16", kind=kind)
    method = "predict" if kind is CrystalGNNRegressor else "predict_proba"
    expected = getattr(single, method)(toy.structures)
    got = getattr(short, method)(toy.structures)
    assert got.dtype == expected.dtype
    assert not np.array_equal(got, expected)
    np.testing.assert_allclose(got, expected, rtol=0, atol=0.1 * expected.std())
    assert short.network_.precision == "bf16"
    short.save_pretrained(tmp_path / "model")
    again = kind.from_pretrained(tmp_path / "model", device="cpu")
    np.testing.assert_array_equal(getattr(again, method)(toy.structures), got)
    assert again.network_.precision == "bf16"


def test_the_same_numbers_twice(toy):
    one, other = (fit(toy, "bf16").predict(toy.structures) for _ in range(2))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("backbone", ["cgcnn", "crystal_transformer"])
def test_back_ends_that_lack_it_say_so(toy, backbone):
    with pytest.raises(ValueError, match=r'precision="bf16": .* float32 only; set precision='):
        fit(toy, "bf16", backbone)
    assert fit(toy, "auto", backbone).network_.precision == "float32"


def test_unknown_precision(toy):
    with pytest.raises(ValueError, match="precision must be one of float32, bf16, auto"):
        fit(toy, "float16")


def test_slow_hardware_is_warned_of(toy, monkeypatch):
    monkeypatch.setattr(_precision, "multiplies_bf16", lambda device: False)
    with pytest.warns(UserWarning, match=r'precision="bf16": cpu has no instructions') as caught:
        fit(toy, "bf16")
    assert caught[0].filename == __file__


def test_auto_asks_the_device_and_the_size_of_a_batch(toy, monkeypatch):
    device = torch.device("cpu")
    crystals, spec = toy.structures, SMALL["alignn"]
    monkeypatch.setattr(_precision, "multiplies_bf16", lambda device: True)

    def resolved(batch_size, spec=spec):
        return _precision.resolve_precision("auto", spec, crystals, batch_size, device)

    assert resolved(2) == "float32"
    assert resolved(100_000) == "bf16"
    assert resolved(100_000, SMALL["cgcnn"]) == "float32"
    monkeypatch.setattr(_precision, "multiplies_bf16", lambda device: False)
    assert resolved(100_000) == "float32"


def test_a_checkpoint_of_another_precision_is_another_fit(toy, tmp_path):
    for precision in ("float32", "bf16"):
        fit(toy, precision, checkpoint_dir=tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) == 2
