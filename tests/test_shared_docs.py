"""Parameters that several estimators share are described in the same words."""

import inspect
import itertools

import pytest
from numpydoc.docscrape import ClassDoc
from sklearn.base import BaseEstimator

import skuae

# What a parameter or attribute means for one class more than for the others.
OF_THEIR_OWN = {
    "CrystalGNNClassifier": {
        "early_stopping",
        "epochs_tried_",
        "init_from",
    },  # by class; from a regressor
    "CrystalGNNRegressor": {"init_from"},  # from a classifier
    "CrystalTransformerRegressor": {
        "batch_size",  # batches of equal size
        "element_table_",
        "embedding_lr_ratio",  # its vectors are always its own
        "init_from",
        "lr",  # has no "auto"
    },
}


def described(kind):
    doc = ClassDoc(kind)
    sections = itertools.chain(doc["Parameters"], doc["Attributes"])
    return {p.name: " ".join(" ".join(p.desc).split()) for p in sections}


ESTIMATORS = [
    kind
    for kind in (getattr(skuae, name) for name in skuae.__all__)
    if inspect.isclass(kind)
    and issubclass(kind, BaseEstimator)
    and hasattr(kind, "from_pretrained")
]


def test_the_estimators_are_found():
    assert {kind.__name__ for kind in ESTIMATORS} == set(OF_THEIR_OWN)


@pytest.mark.parametrize("pair", list(itertools.combinations(ESTIMATORS, 2)))
def test_shared_parameters_are_described_alike(pair):
    one, other = map(described, pair)
    own = OF_THEIR_OWN[pair[0].__name__] | OF_THEIR_OWN[pair[1].__name__]
    shared = one.keys() & other.keys()
    assert len(shared) > 15
    assert {k: one[k] for k in shared - own} == {k: other[k] for k in shared - own}


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_what_is_of_its_own_is_different(kind):
    """An exception that is none any more is taken from the list."""
    for name in OF_THEIR_OWN[kind.__name__]:
        texts = {described(other).get(name) for other in ESTIMATORS}
        assert len(texts - {None}) > 1, name
