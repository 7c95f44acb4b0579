"""What every accepted crystal goes through: its atoms counted, graphs, features, a prediction."""

from functools import cache

import numpy as np
from pymatgen.core.periodic_table import Element

from campaign.case import Fault
from campaign.sample import Atoms
from skuae import CrystalGNNRegressor, Crystals, UAETransformer, models
from skuae.datasets import make_toy_crystals

CUTOFF, NEIGHBORS = 5.0, 6


@cache
def fitted() -> CrystalGNNRegressor:
    """Return a small fitted network."""
    toy = make_toy_crystals(16, random_state=0)
    return small_network().fit(toy.structures, toy.target)


def small_network(**params: object) -> CrystalGNNRegressor:
    """Return a network that is quick to fit, and gives the same bits every time."""
    backbone = models.CGCNN(8, 1, 8, cutoff=CUTOFF, max_neighbors=NEIGHBORS)
    given = {"backbone": backbone, "max_epochs": 2, "batch_size": 8, "random_state": 0}
    return CrystalGNNRegressor(**{**given, "device": "cpu", **params})


def check_atoms(crystals: Crystals, row: int, expected: Atoms) -> None:
    """Raise Fault unless a crystal has the atoms that it ought to have."""
    rows, numbers, amounts = crystals.composition()
    mine = rows == row
    found = {
        Element.from_Z(int(z)).symbol: float(amount)
        for z, amount in zip(numbers[mine], amounts[mine], strict=True)
    }
    same = found.keys() == expected.keys() and all(
        abs(found[symbol] - expected[symbol]) < 1e-3 for symbol in found
    )
    if not same:
        raise Fault("atoms", f"{_formula(found)} instead of {_formula(expected)}")


def _formula(atoms: Atoms) -> str:
    return " ".join(f"{symbol}{amount:g}" for symbol, amount in sorted(atoms.items()))


def check_use(crystals: Crystals) -> None:
    """Raise Fault unless graphs, features and predictions of crystals are finite."""
    graphs = {
        "graph": crystals.graph(CUTOFF, NEIGHBORS),
        "merged_graph": crystals.merged_graph(CUTOFF, NEIGHBORS),
        "reduced_graph": crystals.reduced_graph(CUTOFF, NEIGHBORS, angles=True),
    }
    features = UAETransformer(on_missing_element="mean").fit_transform(crystals)
    results = {name: graph.distances for name, graph in graphs.items()}
    results["features"] = np.asarray(features, dtype=float)
    results["prediction"] = fitted().predict(crystals)
    for name, values in results.items():
        if not np.isfinite(values).all():
            raise Fault("not finite", name)
