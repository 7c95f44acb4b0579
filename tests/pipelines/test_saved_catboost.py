"""Whole models with trees of CatBoost in them."""

import numpy as np
import pytest

import skuae
from skuae import CrystalGNNRegressor, crystal_pipeline
from skuae.datasets import make_toy_crystals
from skuae.models import CGCNN
from skuae.pipelines._catboost import decode_catboost, encode_catboost

catboost = pytest.importorskip("catboost")
pytest.importorskip("skops.io")
TOY = make_toy_crystals(24, random_state=0)
X, Y = TOY.structures, TOY.target
TREES = {"iterations": 3, "verbose": False, "allow_writing_files": False, "random_seed": 0}


def pipeline(kind, model=None):
    whole = crystal_pipeline(kind, model=model, random_state=0)
    small = {"backbone": CGCNN(8, 1), "max_epochs": 1}
    return whole.set_params(
        cv=2,
        trees__catboost__iterations=3,
        **{f"network__{name}": value for name, value in small.items()},
    )


@pytest.mark.parametrize("kind", ["regressor", "classifier"])
def test_the_model_for_few_labels(kind, tmp_path):
    y = Y if kind == "regressor" else np.where(np.median(Y) < Y, "high", "low")
    network = CrystalGNNRegressor(CGCNN(8, 1), max_epochs=1, random_state=0).fit(X, Y)
    whole = pipeline(kind, network).fit(X, y)
    skuae.save(whole, tmp_path)
    again = skuae.load(tmp_path, device="cpu")
    assert type(again) is type(whole)
    outputs = "predict" if kind == "regressor" else "predict_proba"
    np.testing.assert_array_equal(getattr(again, outputs)(X), getattr(whole, outputs)(X))
    again.set_params(trees__catboost__iterations=2).fit(X, y)  # what is not fitted is there, too
    assert again.named_estimators_["trees"][-1].tree_count_ == 2


def test_classes_and_parameters():
    trees = catboost.CatBoostClassifier(**TREES, class_weights={0: 1.0, 1: 2.0})
    trees.fit(np.arange(24.0)[:, None], np.arange(24) % 2)
    again = decode_catboost(*encode_catboost(trees))
    assert again.get_params() == trees.get_params()
    assert again.classes_.tolist() == [0, 1]
    assert not decode_catboost(*encode_catboost(catboost.CatBoostRegressor(**TREES))).is_fitted()


class OwnLoss:
    def calc_ders_range(self, approxes, targets, weights):
        return [(t - a, -1.0) for a, t in zip(approxes, targets, strict=True)]


def test_what_is_no_data_is_refused():
    trees = catboost.CatBoostRegressor(**TREES, loss_function=OwnLoss(), eval_metric="RMSE")
    with pytest.raises(TypeError, match=r"CatBoostRegressor has loss_function=.*use what CatBoost"):
        encode_catboost(trees)


def test_damage_is_named():
    config, tensors = encode_catboost(catboost.CatBoostRegressor(**TREES).fit([[0], [1]], [0, 1]))
    whole = tensors["catboost"]
    for changed, message in (
        (({**config, "class": "Pool"}, {"catboost": whole}), "'class' is 'Pool', expected"),
        (({**config, "params": {"trees": 3}}, {"catboost": whole}), "CatBoost cannot read it"),
        ((config, {"catboost": whole[:100]}), "CatBoost cannot read it"),
        ((config, {"catboost": whole, "more": whole}), "more"),
    ):
        with pytest.raises(ValueError, match=message):
            decode_catboost(*changed)
