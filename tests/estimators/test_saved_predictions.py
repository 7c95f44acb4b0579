"""Small fits of every back-end predict what they predicted when saved_predictions.json was made.

After a change that is meant to change predictions, and that CHANGELOG.md names, this writes the
file anew: ``PYTHONPATH=tests python tests/estimators/test_saved_predictions.py``.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from small_backbones import small

from skuae import CrystalGNNClassifier, CrystalGNNRegressor, CrystalTransformerRegressor, datasets
from skuae.models import BACKBONES

SAVED = Path(__file__).with_name("saved_predictions.json")
FAST = {"max_epochs": 2, "batch_size": 16, "random_state": 0, "device": "cpu"}
SPECS = {name: small(kind, n_conv=2) for name, kind in BACKBONES.items()}
NAMES = [*SPECS, *(f"{name}-classes" for name in SPECS), "crystal_transformer_regressor"]


def predictions():
    """Return predictions of a regressor and a classifier on each back-end, (8,) each."""
    data = datasets.load_mp_mini()
    X, y = data.structures[:48], np.asarray(data.target)[:48]
    found = {}
    for name, spec in SPECS.items():
        gnn = CrystalGNNRegressor(spec, embedding="ct-uae-mt", **FAST).fit(X, y)
        found[name] = gnn.predict(X[:8])
        classes = CrystalGNNClassifier(spec, early_stopping=False, **FAST)
        classes.fit(X, y > np.median(y))
        found[f"{name}-classes"] = classes.decision_function(X[:8])
    front_end = CrystalTransformerRegressor(
        d_model=8, n_layers=1, n_heads=2, dim_feedforward=8, on_missing_element="mean", **FAST
    )
    found["crystal_transformer_regressor"] = front_end.fit(X, y).predict(X[:8])
    return found


@pytest.fixture(scope="module")
def found():
    return predictions()


def test_every_back_end_has_its_fits():
    assert json.loads(SAVED.read_text()).keys() == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_predictions_are_those_that_were_saved(found, name):
    saved = np.array(json.loads(SAVED.read_text())[name])
    assert saved.std() > 1e-4  # they tell crystals apart
    np.testing.assert_allclose(found[name], saved, rtol=0, atol=1e-5)


if __name__ == "__main__":
    lines = [
        f'  "{name}": {[round(float(v), 9) for v in values]}'
        for name, values in sorted(predictions().items())
    ]
    SAVED.write_text("{\n" + ",\n".join(lines) + "\n}\n")
