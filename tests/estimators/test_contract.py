"""What holds for every estimator that skuae exports, those of later versions included."""

import copy
import io
import pickle
import time
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from skuae import CrystalGNNRegressor, CrystalTransformerRegressor, UAETransformer, models
from skuae.embedding import get_table
from skuae.training import seed_generators


def output(estimator, X):
    """Return the numbers that an estimator makes of X."""
    for method in ("predict_proba", "predict", "transform"):
        if hasattr(estimator, method):
            return np.asarray(getattr(estimator, method)(X))


def through_joblib(estimator):
    file = io.BytesIO()
    joblib.dump(estimator, file)
    file.seek(0)
    return joblib.load(file)


COPIES = {
    "pickle": lambda estimator: pickle.loads(pickle.dumps(estimator)),
    "joblib": through_joblib,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("how", COPIES)
def test_copies_of_fitted_estimators(exported, small, X, target_of, how):
    estimator = small(exported)
    estimator.fit(X, target_of(estimator))
    again = COPIES[how](estimator)
    np.testing.assert_array_equal(output(again, X), output(estimator, X))
    assert repr(again.get_params()) == repr(estimator.get_params())
    again.fit(X[:12], target_of(estimator)[:12])  # and it can be fitted anew
    assert output(again, X[:3]).shape[0] == 3


def test_copies_do_not_hold_the_training_data(make, X, y):
    few, many = (len(pickle.dumps(make().fit(X[rows], y[rows]))) for rows in ([0, 1], range(24)))
    assert many - few < 50 * 24 * 3  # the losses of a few more batches, and no crystals


def test_fit_returns_self_and_clone_forgets(exported, small, X, target_of):
    estimator = small(exported)
    with pytest.raises(NotFittedError):
        output(estimator, X)
    assert estimator.fit(X, target_of(estimator)) is estimator
    check_is_fitted(estimator)
    new = clone(estimator)
    with pytest.raises(NotFittedError):
        check_is_fitted(new)
    assert repr(new) == repr(estimator)
    np.testing.assert_array_equal(output(new.fit(X, target_of(new)), X), output(estimator, X))


def test_fit_leaves_parameters_and_data_alone(exported, small, X, target_of):
    estimator = small(exported)
    before = {k: (id(v), repr(v)) for k, v in estimator.get_params().items()}
    structures, y = list(X), target_of(estimator)
    copies = [s.copy() for s in structures], y.copy()
    output(estimator.fit(structures, y), structures)
    assert {k: (id(v), repr(v)) for k, v in estimator.get_params().items()} == before
    assert structures == copies[0]
    assert y.tolist() == copies[1].tolist()


def test_a_refit_that_fails_leaves_no_half_of_a_model(make, X, y):
    estimator = make().fit(X, y)
    expected = estimator.predict(X)
    for params, target in (
        ({}, np.full(len(X), np.inf)),
        ({"lr": -1.0}, y),
        ({"early_stopping": True, "validation_fraction": 0.99}, y),
        ({"lr": 1e30, "optimizer": "sgd"}, y),
    ):
        estimator.fit(X, y)
        with pytest.raises(ValueError):
            copy.copy(estimator).set_params(**params).fit(X, target)
        np.testing.assert_array_equal(estimator.predict(X), expected)
        failed = copy.deepcopy(estimator)
        with pytest.raises(ValueError):
            failed.set_params(**params).fit(X, target)
        try:
            predicted = failed.predict(X)
        except NotFittedError:
            continue
        np.testing.assert_array_equal(predicted, expected)


def test_a_fit_that_fails_leaves_an_unfitted_estimator(make, X, y):
    estimator = make()
    with pytest.raises(ValueError):
        estimator.fit(X, np.full(len(X), np.inf))
    with pytest.raises(NotFittedError):
        estimator.predict(X)
    estimator = make(lr=1e30, optimizer="sgd")
    with pytest.raises(ValueError, match="diverged"):
        estimator.fit(X, y)
    with pytest.raises(NotFittedError):
        estimator.predict(X)


def test_all_containers_of_structures(exported, small, X, target_of, container):
    estimator = small(exported)
    expected = output(estimator.fit(X, target_of(estimator)), X)
    held = container(X)
    np.testing.assert_allclose(output(estimator, held), expected, rtol=1e-5, atol=1e-6)
    estimator.fit(held, target_of(estimator))
    np.testing.assert_allclose(output(estimator, X), expected, rtol=1e-4, atol=1e-5)


def test_equally_large_cells_are_not_taken_for_a_table(exported, small):
    from skuae.datasets import make_toy_crystals

    toy = make_toy_crystals(100, prototypes="perovskite", random_state=0)
    y = toy.target if is_regressor(small(exported)) else np.arange(100) % 2
    estimator = small(exported)
    estimator.fit(list(toy.structures), y)
    assert len(output(estimator, list(toy.structures))) == 100


def test_rows_do_not_depend_on_the_rows_around_them(exported, small, X, target_of):
    estimator = small(exported)
    estimator.fit(X, target_of(estimator))
    whole = output(estimator, X)
    order = np.random.default_rng(0).permutation(len(X))
    close = {"rtol": 1e-4, "atol": 1e-5}
    np.testing.assert_allclose(output(estimator, X[order]), whole[order], **close)
    alone = np.concatenate([output(estimator, X[[i]]) for i in range(len(X))])
    np.testing.assert_allclose(alone, whole, **close)


# -- nested parameters ----------------------------------------------------------------------------


def test_parameters_of_the_backbone():
    gnn = CrystalGNNRegressor(backbone=models.CGCNN())
    assert gnn.get_params()["backbone__n_conv"] == 3
    new = clone(gnn).set_params(backbone__n_conv=5, lr=0.1)
    assert new.backbone.n_conv == 5
    assert gnn.backbone.n_conv == 3
    with pytest.raises(ValueError, match="Invalid parameter 'n_layers'"):
        gnn.set_params(backbone__n_layers=5)


def test_parameters_of_the_backbone_reach_the_network(gnn, X, y):
    fitted = gnn().set_params(backbone__n_conv=2).fit(X, y)
    assert len(fitted.net_.module_.convs) == 2


def test_parameters_of_the_embedding():
    uae = UAETransformer(CrystalTransformerRegressor(max_epochs=7))
    assert uae.get_params()["embedding__max_epochs"] == 7
    new = clone(uae).set_params(embedding__max_epochs=9)
    assert (new.embedding.max_epochs, uae.embedding.max_epochs) == (9, 7)
    gnn = CrystalGNNRegressor(embedding=uae.embedding)
    assert gnn.get_params()["embedding__max_epochs"] == 7


@pytest.mark.parametrize("kind", [UAETransformer, CrystalGNNRegressor])
def test_tables_as_parameters(kind):
    table = get_table("magpie")
    estimator = kind(embedding=table)
    new = clone(estimator)
    assert new.embedding == table
    assert repr(new) == repr(estimator)
    assert not [k for k in new.get_params() if k.startswith("embedding__")]
    frame = clone(kind(embedding=table.to_frame())).embedding
    pd.testing.assert_frame_equal(frame, table.to_frame())


def test_threads_do_not_draw_from_each_other(make, X, y, monkeypatch):
    def seed_and_wait(*args):
        seed_generators(*args)
        time.sleep(0.01)  # for the other threads to seed as well, if they can

    def fit_predict(seed):
        torch.set_num_threads(1)  # sums are rounded as they are shared out; a thread has its own
        return make(random_state=seed).fit(X, y).predict(X)

    monkeypatch.setattr("skuae.training._fit.seed_generators", seed_and_wait)
    with ThreadPoolExecutor(1) as pool:
        alone = list(pool.map(fit_predict, range(4)))
    with ThreadPoolExecutor(4) as pool:
        np.testing.assert_array_equal(list(pool.map(fit_predict, range(4))), alone)
