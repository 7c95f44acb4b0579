import inspect

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, clone, is_classifier

import skuae
from skuae import (
    CrystalGNNClassifier,
    CrystalGNNRegressor,
    CrystalStackingClassifier,
    CrystalStackingRegressor,
    CrystalTransformerRegressor,
    CrystalVotingRegressor,
    models,
)
from skuae.datasets import make_toy_crystals

# What makes an estimator quick and its result the same every time; each takes what it knows.
SMALL = {
    "backbone": models.CGCNN(atom_dim=8, n_conv=1, hidden_dim=8, cutoff=5.0, max_neighbors=6),
    "d_model": 16,
    "n_layers": 1,
    "n_heads": 2,
    "dim_feedforward": 16,
    "on_missing_element": "mean",
    "max_epochs": 3,
    "batch_size": 8,
    "device": "cpu",
    "random_state": 0,
}


def exported_estimators():
    found = [getattr(skuae, name) for name in skuae.__all__]
    return [e for e in found if inspect.isclass(e) and issubclass(e, BaseEstimator)]


def shrunk(kind, **params):
    """Return a small estimator of a class that skuae exports."""
    if kind is CrystalVotingRegressor:
        members = [(f"seed {i}", shrunk(CrystalGNNRegressor, random_state=i)) for i in (0, 1)]
        return kind(members, **params)
    if kind in (CrystalStackingRegressor, CrystalStackingClassifier):
        one = CrystalGNNRegressor if kind is CrystalStackingRegressor else CrystalGNNClassifier
        return kind([("one", shrunk(one)), ("other", shrunk(one, random_state=1))], cv=2, **params)
    known = kind().get_params(deep=False)
    chosen = {k: clone(v, safe=False) for k, v in SMALL.items() if k in known}
    return kind(**{**chosen, **params})


def pytest_generate_tests(metafunc):
    if "exported" in metafunc.fixturenames:
        kinds = exported_estimators()
        metafunc.parametrize("exported", kinds, ids=[kind.__name__ for kind in kinds])


@pytest.fixture
def small():
    return shrunk


@pytest.fixture(params=[CrystalGNNRegressor, CrystalTransformerRegressor])
def make(request):
    """Make a small regressor; tests run with every kind of regressor."""
    return lambda **params: shrunk(request.param, **params)


@pytest.fixture
def gnn():
    return lambda **params: shrunk(CrystalGNNRegressor, **params)


@pytest.fixture
def front_end():
    return lambda **params: shrunk(CrystalTransformerRegressor, **params)


@pytest.fixture(scope="session")
def toy():
    """24 crystals of 2 and of 5 sites, in no order."""
    return make_toy_crystals(24, prototypes=("rocksalt", "perovskite"), random_state=0)


@pytest.fixture(scope="session")
def X(toy):
    return toy.structures


@pytest.fixture(scope="session")
def y(toy):
    return toy.target


@pytest.fixture(scope="session")
def target_of(toy):
    """Return targets that an estimator can be fitted on: classes for classifiers."""
    return lambda estimator: (
        toy.labels["prototype"].to_numpy() if is_classifier(estimator) else toy.target
    )


def as_object_array(crystals):
    array = np.empty(len(crystals), dtype=object)
    array[:] = list(crystals)
    return array


CONTAINERS = {
    "crystals": lambda crystals: crystals,
    "list": list,
    "shuffled_series": lambda crystals: pd.Series(
        list(crystals), index=np.random.default_rng(1).permutation(len(crystals))
    ),
    "object_array": as_object_array,
    "column": lambda crystals: as_object_array(crystals).reshape(-1, 1),
    "frame": lambda crystals: pd.DataFrame({"structure": list(crystals)}),
}


@pytest.fixture(params=CONTAINERS)
def container(request):
    return CONTAINERS[request.param]


@pytest.fixture(scope="session")
def weights_of():
    """Return the weights of a fitted regressor's network as arrays."""
    return lambda estimator: {
        name: value.cpu().numpy().copy()
        for name, value in estimator.net_.module_.state_dict().items()
    }


@pytest.fixture(scope="session")
def assert_same_weights(weights_of):
    def check(one, other):
        one, other = weights_of(one), weights_of(other)
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)

    return check
