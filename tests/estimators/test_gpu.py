"""On an accelerator: the same model as on the CPU, and files that either can read."""

import pickle

import numpy as np
import pytest
import torch

from skuae import CrystalGNNClassifier, models

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def device():
    return "cuda" if torch.cuda.is_available() else "mps"


def test_fit_on_the_device_is_close_to_fit_on_the_cpu(make, X, y, device):
    """A few steps of dropout-free training; the draws are the CPU's, the sums the device's."""
    options = {"max_epochs": 5}
    if hasattr(make(), "dropout"):
        options["dropout"] = 0.0
    there = make(device=device, **options).fit(X, y)
    here = make(device="cpu", **options).fit(X, y)
    assert there.device_.type == device
    assert next(there.net_.module_.parameters()).device.type == device
    np.testing.assert_allclose(there.predict(X), here.predict(X), rtol=2e-2, atol=2e-2)
    assert type(there.predict(X)) is np.ndarray


def test_auto_takes_the_device(make, X, y, device):
    assert make(device="auto").fit(X, y).device_.type == device


def test_saved_there_and_loaded_here(make, X, y, device, tmp_path):
    there = make(device=device, early_stopping=True).fit(X, y)
    there.save_pretrained(tmp_path)
    expected = there.predict(X)
    for place in ("cpu", device):
        again = type(there).from_pretrained(tmp_path, device=place)
        assert again.device_.type == place
        np.testing.assert_allclose(again.predict(X), expected, rtol=1e-3, atol=1e-3)


def test_saved_here_and_loaded_there(make, X, y, device, tmp_path):
    here = make(device="cpu").fit(X, y)
    here.save_pretrained(tmp_path)
    again = type(here).from_pretrained(tmp_path, device=device)
    np.testing.assert_allclose(again.predict(X), here.predict(X), rtol=1e-3, atol=1e-3)
    again.set_params(warm_start=True, max_epochs=1).fit(X, y)
    assert again.device_.type == device


def test_pickle_and_element_tables(make, X, y, device):
    there = make(device=device, early_stopping=True).fit(X, y)
    again = pickle.loads(pickle.dumps(there))
    np.testing.assert_allclose(again.predict(X), there.predict(X), rtol=1e-5)
    assert there.element_table_.values.dtype == np.float32


def test_tables_learned_there(gnn, front_end, X, y, device):
    model = gnn(embedding=front_end(device=device), device=device).fit(X, y)
    assert np.isfinite(model.predict(X)).all()


def test_init_from_across_devices(make, X, y, device):
    source = make(device="cpu").fit(X, y)
    assert make(device=device, init_from=source).fit(X, y).device_.type == device
    source = make(device=device).fit(X, y)
    assert make(device="cpu", init_from=source).fit(X, y).device_.type == "cpu"


def test_checkpoints_there(make, X, y, device, tmp_path):
    first = make(device=device, checkpoint_dir=tmp_path).fit(X, y)
    second = make(device=device, checkpoint_dir=tmp_path).fit(X, y)  # from the file alone
    np.testing.assert_allclose(second.predict(X), first.predict(X), rtol=1e-5)


def test_generators_of_the_device_are_left_alone(make, X, y, device):
    if device != "cuda":
        pytest.skip("torch forks the generators of CUDA only")
    for place in ("cuda", "cpu"):
        before = torch.cuda.get_rng_state()
        make(device=place).fit(X, y)
        assert torch.equal(torch.cuda.get_rng_state(), before)


def test_full_size(X, y, device):
    from skuae import CrystalGNNRegressor

    model = CrystalGNNRegressor(models.CGCNN(), device=device, max_epochs=3, random_state=0)
    assert np.isfinite(model.fit(X, y).predict(X)).all()


def test_classes_there(small, X, y, device, tmp_path):
    labels = np.where(y > np.median(y), "polar", "other")
    there = small(CrystalGNNClassifier, device=device, class_weight="balanced").fit(X, labels)
    assert next(there.net_.module_.parameters()).device.type == device
    there.save_pretrained(tmp_path)
    here = CrystalGNNClassifier.from_pretrained(tmp_path, device="cpu")
    np.testing.assert_allclose(here.predict_proba(X), there.predict_proba(X), atol=1e-3)


def test_deviations_there(make, X, y, device):
    options = {"loss": "gaussian_nll", "early_stopping": True}
    if hasattr(make(), "dropout"):
        options["dropout"] = 0.0
    there, here = (make(device=d, **options).fit(X, y) for d in (device, "cpu"))
    for one, other in zip(*(m.predict(X, return_std=True) for m in (there, here)), strict=True):
        np.testing.assert_allclose(one, other, rtol=5e-2, atol=5e-2)


def test_from_numbers_there_to_classes_here(gnn, small, X, y, device, tmp_path):
    source = gnn(device=device, backbone="megnet").fit(X, y)
    source.save_pretrained(tmp_path)
    for start in (source, tmp_path):
        clf = small(CrystalGNNClassifier, device="cpu", backbone="megnet", init_from=start)
        assert clf.fit(X, y > np.median(y)).device_.type == "cpu"
