"""Vectors of sites as data, which back-ends have them, and the map of them."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from pymatgen.core import Element, Lattice, Structure
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from small_backbones import SMALL, small

from skuae import (
    CrystalGNNClassifier,
    CrystalGNNRegressor,
    CrystalTransformerRegressor,
    UAETransformer,
    as_crystals,
    models,
)
from skuae.analysis import SiteEnvironmentsDisplay, site_environments
from skuae.datasets import make_toy_crystals

WITH = ("alignn", "cgcnn", "cogn", "gated_gcn", "megnet", "sen")
FAST = {"max_epochs": 1, "random_state": 0, "device": "cpu"}


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def toy():
    return make_toy_crystals(24, prototypes=("rocksalt", "perovskite"), random_state=0)


@pytest.fixture(scope="module")
def gnn(toy):
    return CrystalGNNRegressor(SMALL["sen"], batch_size=5, **FAST).fit(toy.structures, toy.target)


@pytest.mark.parametrize("pose", ["affine", "tensor"])
def test_one_row_per_site(toy, pose):
    spec = small(models.SEN, pose=pose, site_dim=16)
    gnn = CrystalGNNRegressor(spec, batch_size=5, **FAST).fit(toy.structures, toy.target)
    structures = [s * (2, 1, 1) for s in toy.structures[:7]]
    found = site_environments(gnn, structures)
    assert found.shape == (sum(len(s) for s in structures), 16)
    assert found.index.names == ["row", "site", "element"]
    expected = [(i, j, x.specie.symbol) for i, s in enumerate(structures) for j, x in enumerate(s)]
    assert list(found.index) == expected
    assert found.loc[3].shape == (len(structures[3]), 16)
    # They are those of the network, whatever shares the batch.
    crystals = as_crystals(structures[3:4])
    batch = gnn.network_.pack(crystals, "cpu", merge=False).batch([0])
    with torch.no_grad():
        vectors = gnn.net_.module_.site_vectors(batch).numpy()
    np.testing.assert_allclose(found.loc[3].to_numpy(), vectors, atol=1e-6)
    assert found.to_numpy().std(axis=0).min() > 0


@pytest.mark.parametrize("name", WITH)
def test_back_ends_that_have_them(toy, name):
    model = CrystalGNNClassifier(SMALL[name], **FAST).fit(
        toy.structures, toy.target > np.median(toy.target)
    )
    found = site_environments(model, toy.structures[:3])
    assert found.shape == (toy.structures[:3].n_sites, 4 if name == "megnet" else 8)
    assert np.isfinite(found.to_numpy()).all()


@pytest.mark.parametrize("name", sorted(set(SMALL) - set(WITH)))
def test_back_ends_that_have_none(toy, name):
    model = CrystalGNNRegressor(SMALL[name], **FAST).fit(toy.structures, toy.target)
    message = f"{type(SMALL[name]).__name__} has no vectors of sites; use another"
    with pytest.raises(ValueError, match=message):
        site_environments(model, toy.structures)


def test_pipelines(toy):
    pipe = make_pipeline(UAETransformer("magpie"), CrystalGNNRegressor(SMALL["sen"], **FAST))
    pipe.fit(toy.structures, toy.target)
    found = site_environments(pipe, toy.structures[:3])
    assert found.shape == (toy.structures[:3].n_sites, 8)


def test_shared_sites_are_called_by_their_majority(gnn, toy):
    first, second = toy.structures[0].species[:2]
    lattice = Lattice.cubic(4)
    species = [{first: 0.4, second: 0.6}, {first: 0.3}]
    found = site_environments(gnn, [Structure(lattice, species, [[0, 0, 0], [0.5] * 3])])
    assert list(found.index.get_level_values("element")) == [second.symbol, first.symbol]


def test_what_is_no_graph_network(toy):
    front_end = CrystalTransformerRegressor(d_model=8, n_layers=1, n_heads=2, **FAST)
    front_end.fit(toy.structures, toy.target)
    with pytest.raises(TypeError, match="is not a CrystalGNNRegressor or CrystalGNNClassifier, or"):
        site_environments(front_end, toy.structures)
    with pytest.raises(NotFittedError):
        site_environments(CrystalGNNRegressor("sen"), toy.structures)


def test_elements_that_the_table_lacks(toy):
    gnn = CrystalGNNRegressor(SMALL["sen"], embedding="ct-uae-mt", **FAST)
    gnn.fit(toy.structures, toy.target)
    odd = Structure(Lattice.cubic(4), ["Og"], [[0, 0, 0]])
    with pytest.raises(ValueError, match=r"row 1: element table .* has no vector for Og"):
        site_environments(gnn, [toy.structures[0], odd])


def test_map(gnn, toy):
    display = SiteEnvironmentsDisplay.from_estimator(gnn, toy.structures).plot()
    coordinates, ax = display.coordinates, display.ax_
    environments = site_environments(gnn, toy.structures)
    assert coordinates.index.equals(environments.index)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("t-SNE 1", "t-SNE 2")
    shown = [t.get_text() for t in ax.get_legend().get_texts()]
    elements = coordinates.index.get_level_values("element")
    assert set(shown) == set(elements)
    assert [number(s) for s in shown] == sorted(number(s) for s in shown)
    for symbol, points in zip(shown, ax.collections, strict=True):
        np.testing.assert_allclose(points.get_offsets(), coordinates[elements == symbol])
    again = SiteEnvironmentsDisplay.from_environments(environments)
    np.testing.assert_array_equal(again.coordinates, coordinates)
    other = SiteEnvironmentsDisplay.from_environments(environments, random_state=1)
    assert other.coordinates.shape == coordinates.shape


def number(symbol):
    return Element(symbol).Z


def test_map_of_something_else(gnn, toy):
    environments = site_environments(gnn, toy.structures[:6])
    for wrong in (environments.to_numpy(), environments.reset_index(drop=True), None):
        with pytest.raises(TypeError, match="a DataFrame as site_environments returns it"):
            SiteEnvironmentsDisplay.from_environments(wrong)
    environments.iloc[3, 2] = np.nan
    with pytest.raises(ValueError, match=r"environment \(.*\) is not finite; leave it out"):
        SiteEnvironmentsDisplay.from_environments(environments)


def test_map_is_drawn_where_one_wants_it(gnn, toy):
    _, ax = plt.subplots()
    display = SiteEnvironmentsDisplay.from_estimator(gnn, toy.structures[:6]).plot(ax)
    assert display.ax_ is ax


def test_maps_of_too_little(gnn, toy):
    first = toy.structures[0].species[0]
    one = Structure(Lattice.cubic(4), [first], [[0, 0, 0]])
    with pytest.raises(ValueError, match="4 sites: a map needs at least 5"):
        SiteEnvironmentsDisplay.from_estimator(gnn, [one * (2, 2, 1)])
    with pytest.raises(ValueError, match="all sites have equal environments"):
        SiteEnvironmentsDisplay.from_estimator(gnn, [one * (2, 2, 2)])
