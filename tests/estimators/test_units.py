"""What the folder of a model says about units, and its card."""

import numpy as np
import pandas as pd
import pytest
import yaml

from skuae import CrystalGNNRegressor
from skuae.datasets import make_toy_crystals
from skuae.estimators import load_pretrained
from skuae.models import CGCNN

SMALL = {"backbone": CGCNN(8, 1), "max_epochs": 1, "random_state": 0}


@pytest.fixture(scope="module")
def toy():
    return make_toy_crystals(24, random_state=0)


@pytest.fixture
def regressor(toy):
    y = pd.DataFrame({"gap": toy.target, "modulus": np.exp(toy.target)})
    return CrystalGNNRegressor(**SMALL, log_targets=["modulus"]).fit(toy.structures, y)


def test_units_are_kept_and_checked(regressor, toy, tmp_path):
    assert regressor.target_units_ is None
    regressor.save_pretrained(tmp_path / "a", units=["eV", "GPa"], license="cc-by-4.0", notes="Hm.")
    again = load_pretrained(tmp_path / "a")
    again.save_pretrained(tmp_path / "b")
    assert load_pretrained(tmp_path / "b").target_units_ == ["eV", "GPa"]
    header, _, body = (
        (tmp_path / "a" / "README.md").read_text().removeprefix("---\n").partition("\n---\n")
    )
    assert yaml.safe_load(header) == {
        "license": "cc-by-4.0",
        "library_name": "skuae",
        "tags": ["materials-science", "crystals", "graph-neural-networks"],
        "pipeline_tag": "tabular-regression",
    }
    assert "\nHm.\n" in body
    assert "license" not in (tmp_path / "b" / "README.md").read_text()
    for units, message in (
        ({"gaps": "eV"}, "units has 'gaps'; targets are"),
        (["eV"], "units has 1 entries for 2 targets"),
        ("eV", "units must be texts, one per target"),
        ([1, 2], "units must be texts, one per target"),
        (5, "units must be texts, one per target"),
        ([], "units has 0 entries for 2 targets"),
    ):
        with pytest.raises(ValueError, match=message):
            regressor.save_pretrained(tmp_path / "c", units=units)
    assert not (tmp_path / "c").exists()
    fitted = again.set_params(log_targets=None).fit(toy.structures, toy.target)
    assert fitted.target_units_ is None


def test_units_of_targets_without_names(toy, tmp_path):
    model = CrystalGNNRegressor(**SMALL).fit(toy.structures, toy.target)
    model.target_names_ = None
    for units in (["eV", "K"], []):
        with pytest.raises(ValueError, match=f"units has {len(units)} entries for 1 targets"):
            model.save_pretrained(tmp_path, units=units)
    with pytest.raises(ValueError, match="y of fit had no names: give units as a list"):
        model.save_pretrained(tmp_path, units={"gap": "eV"})
    model.save_pretrained(tmp_path, units={})
    assert load_pretrained(tmp_path).target_units_ is None
    for params, name in (({"notes": None}, "notes"), ({"license": 5}, "license")):
        with pytest.raises(ValueError, match=f"{name} must be a text"):
            model.save_pretrained(tmp_path, **params)
