"""Every backbone behind both estimators, with element tables of every origin."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from small_backbones import SMALL

from skuae import CrystalGNNClassifier, CrystalGNNRegressor, ElementTable, UAETransformer
from skuae.datasets import make_toy_crystals
from skuae.embedding import get_table

BACKBONES = SMALL
OWN = [name for name, spec in SMALL.items() if not spec.native_frozen]  # vectors of their own


@pytest.fixture(params=BACKBONES)
def name(request):
    return request.param


@pytest.fixture(params=["number", "deviation", "class"])
def task(request, small, toy, name):
    """Return a maker of estimators on one backbone, and what they learn."""
    common = {"backbone": BACKBONES[name]}
    if request.param == "class":
        y = np.where(toy.target > np.median(toy.target), "polar", "other")
        return lambda **params: small(CrystalGNNClassifier, **{**common, **params}), y
    if request.param == "deviation":
        common["loss"] = "gaussian_nll"
    return lambda **params: small(CrystalGNNRegressor, **{**common, **params}), toy.target


@pytest.fixture
def table():
    values = np.random.default_rng(0).normal(size=(90, 12))
    return ElementTable(values, range(1, 91), name="mine")


def numbers_of(estimator, X):
    return getattr(estimator, "decision_function", estimator.predict)(X)


def test_names_are_those_of_the_specifications(small, name, X, y):
    """Defaults are large: it is the network that is compared, not a fit."""
    kind = type(BACKBONES[name])
    gnn = CrystalGNNRegressor(name, max_epochs=1, random_state=0).fit(X[:4], y[:4])
    assert gnn.network_.backbone.get_params() == kind().get_params()


def test_saved_and_loaded(task, X, tmp_path):
    make, y = task
    model = make().fit(X, y)
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path, device="cpu")
    np.testing.assert_array_equal(numbers_of(again, X), numbers_of(model, X))
    assert again.element_table_ == model.element_table_
    again.set_params(warm_start=True, lr=0.0, max_epochs=1).fit(X, y)
    assert again.element_table_ == model.element_table_


@pytest.mark.parametrize("embedding", ["table", "random", "cgcnn", "estimator"])
@pytest.mark.parametrize("freeze", [False, True])
def test_tables_of_every_origin(task, name, front_end, X, table, embedding, freeze):
    make, y = task
    if embedding == "estimator":
        given = front_end()
    else:
        given = table if embedding == "table" else embedding
    model = make(embedding=given, freeze_embedding=freeze).fit(X, y)
    learned = model.element_table_
    if embedding == "estimator":
        numbers = y if y.dtype.kind == "f" else (y == "polar").astype(float)
        start = front_end().fit(X, numbers).element_table_
    else:
        start = table if embedding == "table" else get_table(embedding)
    assert learned.symbols == start.symbols
    assert learned.name == start.name + ("" if freeze else "-tuned")
    there = np.zeros(118, dtype=bool)
    there[np.unique(X.numbers) - 1] = True
    changed = (learned.values != start.values).any(axis=1) & start.seen
    if name == "cogn" and y.dtype.kind != "f" and not freeze:
        # The small coGN is so sure of some classes that their gradient is 0 in single precision.
        assert not (changed & ~there).any()
        assert changed.sum() > 0.5 * there.sum()
    else:
        np.testing.assert_array_equal(changed, np.zeros(118, dtype=bool) if freeze else there)


def test_what_is_learned_about_elements_without_a_table(task, name, X):
    """Method II: of fixed features what the first layer makes, else the vectors themselves."""
    make, y = task
    model = make().fit(X, y)
    learned = model.element_table_
    assert learned.name == f"{name}-learned"
    widths = {"alignn": 8, "cgcnn": 8, "cogn": 8, "crystal_transformer": 4, "megnet": 16}
    if name in widths:  # a new back-end need not be listed here
        assert learned.n_dims == widths[name]
    with torch.no_grad():
        module = model.net_.module_
        vectors = module.elements.weight.numpy(force=True)
        if name not in OWN:
            vectors = module.first_layer(module.elements.weight).numpy()
    there = {s.symbol for c in X for s in c.species}
    features = get_table(BACKBONES[name].native_table)
    one_hot = BACKBONES[name].native_table == "onehot"
    if one_hot or name in OWN:  # of elements that it has not seen it knows nothing
        assert set(learned.symbols) == there
    if name in OWN:
        start = features.values
        assert (vectors[learned.seen] != start[learned.seen]).all()
        # unseen ones are as the mean of the others
        np.testing.assert_allclose(
            vectors[~learned.seen] - vectors[learned.seen].mean(axis=0), 0, atol=1e-6
        )
    elif not one_hot:
        assert learned.symbols == features.symbols
        used = model.net_.module_.elements.weight.numpy()
        np.testing.assert_array_equal(used[features.seen], features.values[features.seen])
    np.testing.assert_array_equal(learned.values[learned.seen], vectors[learned.seen])
    other = make(random_state=1).fit(X, y).element_table_
    assert other != learned


@pytest.mark.parametrize("freeze", [False, True])
def test_what_is_learned_from_unit_vectors(task, name, X, freeze):
    """Method II from one-hot rows: row Z of the first layer, for the elements that were there."""
    make, y = task
    model = make(embedding="onehot", freeze_embedding=freeze).fit(X, y)
    learned, module = model.element_table_, model.net_.module_
    assert learned.name == f"{name}-learned"
    assert set(learned.symbols) == {s.symbol for c in X for s in c.species}
    with torch.no_grad():
        expected = module.first_layer(module.elements.weight)
    if freeze and isinstance(module.first_layer, torch.nn.Linear):
        layer = module.first_layer
        rows = layer.weight.T[:100] + layer.bias
        torch.testing.assert_close(expected[:100], rows)
    np.testing.assert_allclose(
        learned.values[learned.seen], expected.detach().numpy()[learned.seen], atol=1e-6
    )


def test_vectors_that_the_backbone_draws_learn_like_all_else(small, X, y):
    make = {"backbone": BACKBONES["megnet"], "optimizer": "adam", "lr_schedule": "constant"}
    model = small(CrystalGNNRegressor, **make, max_epochs=1, batch_size=100, lr=1e-3).fit(X, y)
    learned, start = model.element_table_, get_table("random16")
    step = np.abs(learned.values - start.values)[learned.seen].max()
    assert step == pytest.approx(1e-3, rel=0.01)  # one step of Adam, not a tenth of it
    frozen = small(CrystalGNNRegressor, **make, freeze_embedding=True).fit(X, y)
    kept = frozen.element_table_
    np.testing.assert_array_equal(kept.values[kept.seen], start.values[kept.seen])


def test_elements_that_were_not_there_get_the_mean(small, X, y):
    """Without a table MEGNet has drawn their vectors, and nothing has trained them."""
    symbol = X[3].species[0].symbol
    has = np.array([symbol in s.composition for s in X])
    model = small(CrystalGNNRegressor, backbone=BACKBONES["megnet"]).fit(X[~has], y[~has])
    assert symbol not in model.element_table_.symbols
    weight = model.net_.module_.elements.weight.detach().numpy()
    seen = model.element_table_.seen
    np.testing.assert_allclose(weight[X[3].species[0].Z - 1], weight[seen].mean(axis=0), atol=1e-6)
    assert np.isfinite(model.predict(X)).all()
    later = small(CrystalGNNRegressor, backbone=BACKBONES["megnet"], init_from=model).fit(X, y)
    assert symbol in later.element_table_.symbols
    assert set(model.element_table_.symbols) < set(later.element_table_.symbols)


def test_a_learned_table_goes_into_every_backbone(task, small, name, X, y):
    make, target = task
    learned = make().fit(X, target).element_table_
    features = UAETransformer(make()).fit(X, target)
    assert features.element_table_ == learned
    for backbone in BACKBONES.values():
        model = small(CrystalGNNRegressor, backbone=backbone, embedding=learned).fit(X, y)
        assert model.element_table_.name == f"{name}-learned-tuned"


def test_transfer(task, small, name, X, y):
    make, target = task
    source = make(random_state=5).fit(X, target)
    two = np.column_stack([y, y])
    model = small(
        CrystalGNNRegressor, backbone=BACKBONES[name], init_from=source, lr=0.0, max_epochs=1
    ).fit(X, two)
    before = dict(source.net_.module_.named_parameters())
    heads = 0
    for key, value in model.net_.module_.named_parameters():
        if key.startswith("head"):
            heads += 1
        else:
            assert torch.equal(value, before[key]), key
    assert heads >= 2
    if isinstance(model.net_.module_.head, torch.nn.Linear):
        assert heads == 2
        assert model.net_.module_.head.out_features == 2
    assert model.predict(X).shape == two.shape
    assert model.element_table_.symbols == source.element_table_.symbols


def test_another_backbone_is_no_start(small, X, y):
    sources = {
        name: small(CrystalGNNRegressor, backbone=b).fit(X, y) for name, b in BACKBONES.items()
    }
    for name, backbone in BACKBONES.items():
        other = sources["megnet" if name != "megnet" else "alignn"]
        with pytest.raises(ValueError, match=r"the model to start from has backbone \w+\("):
            small(CrystalGNNClassifier, backbone=backbone, init_from=other).fit(X, y > 2.2)


def test_grid_of_backbones_and_tables():
    """One pipeline compares them all; the table of results says which is which."""
    rows = np.tile(np.arange(8), 3)  # every fold has all elements
    toy = make_toy_crystals(8, random_state=0)
    X, y = list(toy.structures[rows]), toy.target[rows]
    gnn = CrystalGNNRegressor(max_epochs=1, batch_size=8, random_state=0)
    pipe = Pipeline([("uae", UAETransformer()), ("gnn", gnn)])
    grid = {
        "gnn__backbone": list(BACKBONES.values()),
        "uae__embedding": ["onehot", "ct-uae-mt"],
        "gnn__freeze_embedding": [False, True],
    }
    search = GridSearchCV(pipe, grid, cv=2, n_jobs=2, error_score="raise").fit(X, y)
    results = pd.DataFrame(search.cv_results_)
    assert len(results) == 4 * len(BACKBONES)
    assert np.isfinite(results["mean_test_score"]).all()
    shown = results["param_gnn__backbone"].astype(str)
    assert {s.partition("(")[0] for s in shown} == {type(b).__name__ for b in SMALL.values()}
    assert search.best_estimator_.predict(X).shape == y.shape
