"""Whole models in a folder: what the file says about them, and how they are read."""

import pytest
from sklearn.ensemble import VotingRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

import skuae
from skuae import CrystalGNNRegressor, CrystalStackingRegressor, UAETransformer
from skuae.datasets import make_toy_crystals
from skuae.estimators import read_model_folder

pytest.importorskip("skops.io")
X, Y = make_toy_crystals(16, random_state=0, return_X_y=True)


def network():
    return CrystalGNNRegressor(max_epochs=1, random_state=0)


def behind(step):
    return make_pipeline(UAETransformer("magpie"), step)


def test_progress_bars_are_those_of_the_process_that_loads(tmp_path):
    stack = CrystalStackingRegressor([("a", behind(network()))], Ridge(), cv=2).fit(X, Y)
    skuae.save(stack, tmp_path)
    shown = skuae.load(tmp_path, verbose=1)
    features, inner = shown.estimators_[0]
    assert (shown.verbose, features.verbose, inner.verbose) == (1, 1, 1)
    assert skuae.load(tmp_path).estimators_[0][-1].verbose == 0


def test_what_the_file_says_about_the_model(tmp_path):
    both = VotingRegressor([("a", behind(network())), ("b", behind(Ridge()))]).fit(X, Y)
    symbols = {str(e) for structure in X for e in structure.composition}

    def saved(model, **options):
        skuae.save(model, tmp_path, **options)
        return read_model_folder(tmp_path)[0]["about"]

    stack = CrystalStackingRegressor([("a", behind(Ridge()))], Ridge(), cv=2).fit(X, Y)
    with pytest.raises(ValueError, match="units has 2 entries for 1 targets"):
        saved(stack, units=["eV", "GPa"])
    about = saved(both, units=["eV"])
    assert (about["targets"], about["units"]) == (None, ["eV"])
    assert set(about["elements"]) == symbols  # the network was fitted to them
    about = saved(behind(Ridge()).fit(X, Y), units={"gap": "eV"})
    assert about == {"targets": ["gap"], "units": ["eV"], "elements": None}
    assert saved(both, trained_on=["KCl", "NaCl"])["elements"] == ["Na", "Cl", "K"]
