"""Models by name, and what a folder says about units."""

import numpy as np
import pandas as pd
import pytest
import yaml

from skuae import CrystalGNNClassifier, CrystalGNNRegressor, _shipped, pretrained
from skuae.datasets import make_toy_crystals
from skuae.models import CGCNN

SMALL = {"backbone": CGCNN(8, 1), "max_epochs": 1, "random_state": 0}


@pytest.fixture(scope="module")
def toy():
    return make_toy_crystals(24, random_state=0)


@pytest.fixture
def regressor(toy):
    y = pd.DataFrame({"gap": toy.target, "modulus": np.exp(toy.target)})
    return CrystalGNNRegressor(**SMALL, log_targets=["modulus"]).fit(toy.structures, y)


@pytest.fixture
def shipped(tmp_path, monkeypatch, regressor):
    """A package with one model."""
    monkeypatch.setattr(_shipped, "_MODELS", tmp_path / "models")
    regressor.save_pretrained(tmp_path / "models" / "small", units={"modulus": "GPa"})
    return tmp_path


def test_names(shipped, regressor, toy, monkeypatch):
    assert pretrained.names() == ["small"]
    model = pretrained.load("small", device="cpu")
    assert type(model) is CrystalGNNRegressor
    assert model.target_units_ == ["", "GPa"]
    np.testing.assert_array_equal(model.predict(toy.structures), regressor.predict(toy.structures))
    assert "modulus (GPa)" in pretrained.card("small")
    with pytest.raises(ValueError, match="holds a CrystalGNNRegressor: use its from_pretrained"):
        CrystalGNNClassifier.from_pretrained("small")
    with pytest.raises(FileNotFoundError, match=r"large holds no model.*that come with skuae are"):
        pretrained.load("large")
    monkeypatch.chdir(shipped)  # a folder is preferred
    CrystalGNNClassifier(**SMALL).fit(toy.structures, toy.target > 2).save_pretrained("small")
    assert type(pretrained.load("small")) is CrystalGNNClassifier


def test_transfer_from_a_name(shipped, toy):
    gnn = CrystalGNNRegressor(**SMALL, init_from="small").fit(toy.structures, toy.target)
    assert gnn.predict(toy.structures).shape == (24,)


def test_units_are_kept_and_checked(regressor, toy, tmp_path):
    assert regressor.target_units_ is None
    regressor.save_pretrained(tmp_path / "a", units=["eV", "GPa"], license="cc-by-4.0", notes="Hm.")
    again = pretrained.load(tmp_path / "a")
    again.save_pretrained(tmp_path / "b")
    assert pretrained.load(tmp_path / "b").target_units_ == ["eV", "GPa"]
    header, _, body = pretrained.card(tmp_path / "a").removeprefix("---\n").partition("\n---\n")
    assert yaml.safe_load(header) == {
        "license": "cc-by-4.0",
        "library_name": "skuae",
        "tags": ["materials-science", "crystals", "graph-neural-networks"],
        "pipeline_tag": "tabular-regression",
    }
    assert "\nHm.\n" in body
    assert "license" not in pretrained.card(tmp_path / "b")
    for units, message in (
        ({"gaps": "eV"}, "units has 'gaps'; targets are"),
        (["eV"], "units has 1 entries for 2 targets"),
        ("eV", "units must be texts, one per target"),
        ([1, 2], "units must be texts, one per target"),
    ):
        with pytest.raises(ValueError, match=message):
            regressor.save_pretrained(tmp_path / "c", units=units)
    assert not (tmp_path / "c").exists()
    fitted = again.set_params(log_targets=None).fit(toy.structures, toy.target)
    assert fitted.target_units_ is None
