import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_random_state

from skuae import CrystalGNNRegressor, CrystalTransformerRegressor, as_crystals
from skuae.analysis import InvarianceDisplay, invariance_report
from skuae.analysis.models import _invariance as module
from skuae.datasets import make_toy_crystals

CHANGES = list(module._CHANGES)


class Toy(BaseEstimator):
    """Fitted from the start; `look` makes vectors of crystals."""

    def __init__(self, look):
        self.look = look

    def fit(self, X, y):
        return self

    def __sklearn_is_fitted__(self):
        return True

    def embed(self, X):
        return np.array([self.look(s) for s in X])

    def predict(self, X):
        return self.embed(X)[:, 0]


def volume_and_elements(structure):
    return [structure.volume, *np.sort(structure.atomic_numbers)[:2]]


def cartesian_last_site(structure):
    return structure.cart_coords[-1] + 0.5


@pytest.fixture(scope="module")
def crystals():
    return make_toy_crystals(12, prototypes=("perovskite", "cscl"), random_state=0).structures


@pytest.fixture(scope="module")
def front_end():
    X, y = make_toy_crystals(24, prototypes=("cscl",), random_state=0, return_X_y=True)
    return CrystalTransformerRegressor(d_model=16, n_layers=1, max_epochs=2, random_state=0).fit(
        X, y
    )


@pytest.fixture(scope="module")
def report(front_end):
    X = make_toy_crystals(24, prototypes=("cscl",), random_state=0).structures
    return invariance_report(front_end, X, n_repeats=3)


def test_an_invariant_model_is_found_so(crystals):
    report = invariance_report(Toy(volume_and_elements), crystals, n_repeats=3, untrained=None)
    assert list(report.vectors.index) == [("fitted", change) for change in CHANGES]
    np.testing.assert_allclose(report.vectors["cosine"], 1.0)
    np.testing.assert_allclose(report.vectors["distance"], 0.0, atol=1e-9)
    np.testing.assert_allclose(report.predictions["difference"], 0.0, atol=1e-9)
    assert (report.vectors["distance_between"] > 1.0).all()
    assert (report.vectors["cosine_between"] < 1.0).all()


def test_a_model_that_is_not_is_found_so(crystals):
    report = invariance_report(Toy(cartesian_last_site), crystals, untrained=None)
    vectors = report.vectors.loc["fitted"]
    assert (vectors["ratio"] > 0.2).all()
    assert (vectors["cosine"] < 0.99).all()


def test_no_change_is_no_difference(crystals, monkeypatch):
    monkeypatch.setattr(module, "_CHANGES", {"none": lambda crystals, rng: crystals})
    report = invariance_report(Toy(cartesian_last_site), crystals, untrained=None)
    row = report.vectors.loc[("fitted", "none")]
    np.testing.assert_allclose(row["cosine"], 1.0)
    assert row["distance"] == row["ratio"] == 0.0


def test_numbers_are_those_of_the_definition(crystals):
    vectors = np.random.default_rng(0).normal(size=(3, len(crystals), 4))

    class Given(Toy):
        def embed(self, X):
            return vectors.reshape(-1, 4)

    row = invariance_report(Given(None), crystals, n_repeats=3, untrained=None).vectors.iloc[0]
    unit = vectors / np.linalg.norm(vectors, axis=2, keepdims=True)
    pairs = [(0, 1), (0, 2), (1, 2)]
    cosine = np.mean([(unit[a] * unit[b]).sum(axis=1) for a, b in pairs])
    distance = np.mean([np.linalg.norm(vectors[a] - vectors[b], axis=1) for a, b in pairs])
    np.testing.assert_allclose(row["cosine"], cosine)
    np.testing.assert_allclose(row["distance"], distance)


@pytest.mark.parametrize("name", CHANGES)
def test_changes_keep_the_crystal_and_change_how_it_is_written(name):
    disordered = Structure(
        Lattice.from_parameters(3, 4, 5, 80, 95, 100),
        ["O", {"Li": 0.7, "Na": 0.2}, "Fe", {"K": 0.5}],
        np.random.default_rng(0).random((4, 3)),
    )
    cscl = Structure(Lattice.cubic(4.1), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    before = as_crystals([disordered, cscl, disordered])
    after = module._CHANGES[name](before, check_random_state(0))
    assert any(
        not np.array_equal(getattr(before, what), getattr(after, what))
        for what in ("numbers", "frac_coords", "lattices")
    )
    for old, new in zip(before, after, strict=True):
        assert old.composition.almost_equals(new.composition)
        np.testing.assert_allclose(fingerprint(old), fingerprint(new), atol=1e-6)


def fingerprint(structure):
    """Distances from every site with both charges, which tell the sites apart."""
    charge = [sum(e.Z * x for e, x in site.species.items()) for site in structure]
    found = []
    for site, z in zip(structure, charge, strict=True):
        for other in structure.get_neighbors(site, 6.0):
            found.append((z, charge[other.index], other.nn_distance))
    return np.array(sorted(np.round(found, 6).tolist()))


def test_front_end_wraps_and_sums_over_sites(report):
    fitted = report.vectors.loc["fitted"]
    assert fitted.loc["images", "distance"] == 0.0
    assert fitted.loc["order", "ratio"] < 1e-4
    assert fitted.loc["rotation", "ratio"] > 1e-3
    assert list(report.vectors.index.unique("model")) == ["fitted", "untrained"]
    assert report.predictions.index.names == ["model", "target", "change"]


def test_first_token_depends_on_the_order_of_sites():
    X, y = make_toy_crystals(24, prototypes=("cscl",), random_state=0, return_X_y=True)
    model = CrystalTransformerRegressor(
        d_model=16, n_layers=1, max_epochs=1, readout="first", random_state=0
    ).fit(X, y)
    report = invariance_report(model, X, n_repeats=4, untrained=None)
    assert report.vectors.loc[("fitted", "order"), "ratio"] > 0.05


def test_the_untrained_network_is_another_and_has_learned_nothing(front_end, report):
    fitted, untrained = (report.vectors.loc[name] for name in ("fitted", "untrained"))
    assert not np.allclose(fitted["distance_between"], untrained["distance_between"])
    assert untrained.loc["images", "distance"] == 0.0
    assert front_end.max_epochs == 2  # a clone was changed


def test_models_without_vectors():
    X, y = make_toy_crystals(12, random_state=0, return_X_y=True)
    model = CrystalGNNRegressor(max_epochs=1, random_state=0).fit(X, y)
    report = invariance_report(model, X, n_repeats=2)
    assert report.vectors.empty
    assert (report.predictions.loc["fitted", "ratio"] < 0.01).all()


def test_same_seed_same_report(front_end, report):
    X = make_toy_crystals(24, prototypes=("cscl",), random_state=0).structures
    again = invariance_report(front_end, X, n_repeats=3)
    np.testing.assert_array_equal(again.vectors, report.vectors)


def test_embed_is_what_the_heads_read(front_end):
    X = make_toy_crystals(24, prototypes=("cscl",), random_state=0).structures[:5]
    z = front_end.embed(X)
    assert z.shape == (5, 16)
    assert z.dtype == np.float32
    head = front_end.net_.module_.head.parts[0]
    scaled = head(torch.from_numpy(z)).detach().numpy()
    np.testing.assert_allclose(
        front_end.task_.scaler.inverse_transform(scaled)[:, 0], front_end.predict(X), rtol=1e-5
    )


def test_errors(crystals):
    toy = Toy(volume_and_elements)
    with pytest.raises(ValueError, match="1 crystals and n_repeats=10"):
        invariance_report(toy, crystals[:1])
    with pytest.raises(ValueError, match="n_repeats=1"):
        invariance_report(toy, crystals, n_repeats=1)
    with pytest.raises(TypeError, match="untrained=None"):
        invariance_report(toy, crystals)
    with pytest.raises(NotFittedError):
        invariance_report(CrystalTransformerRegressor(), crystals)


def test_display_numbers_targets_without_names(crystals):
    class Two(Toy):
        def predict(self, X):
            return self.embed(X)[:, :2]

    report = invariance_report(Two(volume_and_elements), crystals, n_repeats=2, untrained=None)
    labels = list(InvarianceDisplay.from_report(report).ratios)
    assert labels == ["fitted: vectors", "fitted: prediction 0", "fitted: prediction 1"]


def test_display(report):
    ax = InvarianceDisplay.from_report(report).plot().ax_
    assert [tick.get_text() for tick in ax.get_yticklabels()] == CHANGES
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == [
        "fitted: vectors", "untrained: vectors", "fitted: prediction", "untrained: prediction",
    ]  # fmt: skip
