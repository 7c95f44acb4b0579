import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from sklearn.base import BaseEstimator, RegressorMixin

from skuae.embedding import ElementTable


def rocksalt(a, b, length=5.0):
    face_centred = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    sites = np.concatenate([face_centred, face_centred + 0.5])
    return Structure(Lattice.cubic(length), [a] * 4 + [b] * 4, sites)


def perovskite(a, b, x, length=4.0):
    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    return Structure(Lattice.cubic(length), [a, b, x, x, x], sites)


@pytest.fixture
def structures():
    """Ten crystals with 1 to 3 elements; no two of the same composition, not sorted by anything."""
    pairs = [("Na", "Cl"), ("Mg", "O"), ("K", "Br"), ("Li", "F"), ("Ca", "S")]
    triples = [("Sr", "Ti", "O"), ("Cs", "Pb", "I"), ("Ba", "Zr", "O"), ("La", "Al", "O")]
    made = [perovskite(*t) for t in triples] + [rocksalt(*p) for p in pairs]
    made.append(Structure(Lattice.cubic(2.87), ["Fe", "Fe"], [[0, 0, 0], [0.5, 0.5, 0.5]]))
    return [made[i] for i in (9, 4, 0, 5, 1, 6, 2, 7, 3, 8)]


@pytest.fixture
def alloy():
    """A disordered crystal: 3.5 atoms of the cell's 4 sites are there."""
    return Structure(
        Lattice.cubic(4.0),
        [{"Cu": 0.75, "Au": 0.25}, {"Cu": 0.5}, "Au", "Au"],
        [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]],
    )


class MeanTargetTable(RegressorMixin, BaseEstimator):
    """Learns two numbers per element: the weighted mean of y where it occurs, and a constant."""

    def __init__(self, constant=1.0):
        self.constant = constant

    def fit(self, X, y, sample_weight=None):
        rows, numbers, _ = X.composition()
        weights = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight)
        found = np.unique(numbers)
        means = [
            np.average(np.asarray(y)[rows[numbers == z]], weights=weights[rows[numbers == z]])
            for z in found
        ]
        values = np.column_stack([means, np.full(len(found), self.constant)])
        self.element_table_ = ElementTable(values, found, name="learned")
        return self


@pytest.fixture
def learner():
    return MeanTargetTable()
