"""What SEN with either pose does behind the estimators, beyond what is tested of all back-ends."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from sklearn.model_selection import GridSearchCV
from small_backbones import small

from skuae import CrystalGNNClassifier, CrystalGNNRegressor
from skuae.datasets import make_toy_crystals
from skuae.models import SEN
from skuae.models._sen import POSES

FAST = {"max_epochs": 2, "batch_size": 8, "random_state": 0, "device": "cpu"}


@pytest.fixture(scope="module")
def data():
    toy = make_toy_crystals(20, random_state=0)
    return list(toy.structures), np.asarray(toy.target)


@pytest.mark.parametrize("pose", POSES)
def test_several_targets_with_gaps_and_a_deviation(data, pose, tmp_path):
    X, y = data
    y = np.column_stack([y, -y])
    y[3, 0] = y[5, 1] = np.nan
    gnn = CrystalGNNRegressor(small(SEN, pose=pose), loss="gaussian_nll", **FAST).fit(X, y)
    mean, std = gnn.predict(X, return_std=True)
    assert mean.shape == std.shape == (20, 2)
    assert np.isfinite(mean).all()
    assert (std > 0).all()
    gnn.save_pretrained(tmp_path)
    again = CrystalGNNRegressor.from_pretrained(tmp_path, device="cpu")
    assert again.network_.backbone.pose == pose
    np.testing.assert_array_equal(again.predict(X), mean)


@pytest.mark.parametrize("pose", POSES)
def test_a_prediction_is_the_same_again_and_alone(data, pose):
    X, y = data
    gnn = CrystalGNNRegressor(small(SEN, pose=pose), **FAST).fit(X, y)
    together = gnn.predict(X)
    np.testing.assert_array_equal(gnn.predict(X), together)
    alone = [gnn.predict([x])[0] for x in X]
    np.testing.assert_allclose(alone, together, rtol=0, atol=1e-6 * np.abs(together).max())


@pytest.mark.parametrize("pose", POSES)
def test_transfer_to_classes_and_a_frozen_table(data, pose):
    X, y = data
    spec = small(SEN, pose=pose)
    first = CrystalGNNRegressor(spec, embedding="magpie", freeze_embedding=True, **FAST).fit(X, y)
    second = CrystalGNNClassifier(spec, init_from=first, **{**FAST, "max_epochs": 1}, lr=0.0)
    second.fit(X, y > np.median(y))
    before, after = (m.net_.module_.state_dict() for m in (first, second))
    for name in before:
        if not name.startswith("head"):
            assert (before[name] == after[name]).all(), name
    assert np.allclose(second.predict_proba(X).sum(axis=1), 1)
    assert first.element_table_.name == "magpie"


@pytest.mark.parametrize("pose", POSES)
def test_shared_and_partly_empty_sites(data, pose):
    X, y = data
    a, b = X[0].species[:2]
    species = [{a: 0.5, b: 0.25}, b]
    mixed = Structure(Lattice.cubic(4), species, [[0, 0, 0], [0.5] * 3])
    gnn = CrystalGNNRegressor(small(SEN, pose=pose), **FAST).fit([*X, mixed], [*y, 1.0])
    swapped = Structure(
        Lattice.cubic(4), [dict(reversed(species[0].items())), b], mixed.frac_coords
    )
    found = gnn.predict([mixed, swapped, mixed * (2, 1, 1)])
    np.testing.assert_allclose(found, found[0], rtol=0, atol=1e-6 * np.abs(found).max())


def test_grid_of_poses(data):
    X, y = data
    rows = np.tile(np.arange(8), 3)  # every fold has all elements
    X, y = [X[i] for i in rows], y[rows]
    gnn = CrystalGNNRegressor(small(SEN), **FAST)
    grid = {"backbone__pose": list(POSES), "backbone__n_capsules": [2, 3]}
    search = GridSearchCV(gnn, grid, cv=2, error_score="raise").fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_.network_.backbone.pose in POSES


def test_half_precision_is_refused(data):
    X, y = data
    with pytest.raises(ValueError, match=r"bf16"):
        CrystalGNNRegressor(small(SEN), precision="bf16", **FAST).fit(X, y)
