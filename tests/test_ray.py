"""The recipe of the page "Large data": a search on workers of ray."""

import os

import joblib
import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from small_backbones import SMALL

from skuae import CrystalGNNRegressor, as_crystals
from skuae.datasets import make_toy_crystals

ray = pytest.importorskip("ray")


@pytest.mark.slow
def test_searches_run_on_workers_of_ray():
    from ray.util.joblib import register_ray

    toy = make_toy_crystals(24, target="electronegativity", random_state=0)
    crystals = as_crystals(toy.structures)

    def search():
        model = CrystalGNNRegressor(SMALL["cgcnn"], max_epochs=2, random_state=0, device="cpu")
        return GridSearchCV(model, {"lr": [0.001, 0.01]}, cv=2).fit(crystals, toy.target)

    expected = search().cv_results_["mean_test_score"]
    paths = {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    ray.init(num_cpus=2, include_dashboard=False, runtime_env={"env_vars": paths})
    try:
        register_ray()
        with joblib.parallel_config("ray"):
            found = search().cv_results_["mean_test_score"]
    finally:
        ray.shutdown()
    np.testing.assert_allclose(found, expected, rtol=1e-6)
