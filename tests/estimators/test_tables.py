"""Element tables that go into regressors and come out of them."""

import numpy as np
import pandas as pd
import pytest
import torch
from pymatgen.core import Lattice, Structure
from sklearn.frozen import FrozenEstimator

from skuae import CrystalGNNRegressor, ElementTable, UAETransformer, models
from skuae.embedding import get_table


@pytest.fixture
def table(X):
    rng = np.random.default_rng(0)
    return ElementTable(rng.normal(size=(90, 12)), range(1, 91), name="mine")


@pytest.mark.parametrize("how", ["frame", "safetensors", "csv", "csv_str", "pipeline"])
def test_all_ways_of_giving_a_table(gnn, X, y, table, how, tmp_path, assert_same_weights):
    expected = gnn(embedding=table).fit(X, y)
    if how == "pipeline":
        held, embedding = UAETransformer(table).fit_transform(X), None
    else:
        held = X
        table.save(tmp_path / "t.safetensors")
        table.to_csv(tmp_path / "t.csv")
        embedding = {
            "frame": table.to_frame(),
            "safetensors": tmp_path / "t.safetensors",
            "csv": tmp_path / "t.csv",
            "csv_str": str(tmp_path / "t.csv"),
        }[how]
    model = gnn(embedding=embedding).fit(held, y)
    assert_same_weights(model, expected)
    np.testing.assert_array_equal(model.predict(X), expected.predict(X))


def test_names_of_tables(gnn, X, y, assert_same_weights):
    named = gnn(embedding="magpie").fit(X, y)
    assert_same_weights(named, gnn(embedding=get_table("magpie")).fit(X, y))
    with pytest.raises(AssertionError):
        assert_same_weights(named, gnn(embedding=get_table("magpie").permute(0)).fit(X, y))


def test_the_parameter_goes_before_the_table_that_X_carries(gnn, X, y, table):
    held = UAETransformer("magpie").fit_transform(X)
    model = gnn(embedding=table, freeze_embedding=True).fit(held, y)
    assert model.element_table_ == table


def test_without_a_table_the_network_takes_that_of_its_paper(gnn, X, y):
    model = gnn().fit(X, y)
    elements = model.net_.module_.elements.weight.numpy()
    bits = get_table("cgcnn")
    np.testing.assert_array_equal(elements[bits.seen], bits.values[bits.seen])  # as they are
    # what it has learned of them is what its first layer makes of them: Method II
    project = model.net_.module_.project
    learned = bits["Na"] @ project.weight.detach().numpy().T + project.bias.detach().numpy()
    np.testing.assert_allclose(model.element_table_["Na"], learned, rtol=1e-4, atol=1e-5)
    assert gnn(random_state=1).fit(X, y).element_table_ != model.element_table_


def test_frozen_table_stays_as_it_is(gnn, X, y, table):
    model = gnn(embedding=table, freeze_embedding=True, embedding_lr_ratio=10.0).fit(X, y)
    np.testing.assert_array_equal(model.element_table_.values, table.values)


def test_tuned_table_changes_where_there_are_crystals(gnn, X, y, table):
    model = gnn(embedding=table).fit(X, y)
    tuned = model.element_table_
    assert tuned.name == "mine-tuned"
    assert tuned.symbols == table.symbols
    there = np.zeros(118, dtype=bool)
    there[np.unique(X.numbers) - 1] = True
    changed = (tuned.values != table.values).any(axis=1) & table.seen
    np.testing.assert_array_equal(changed, there & table.seen)


def test_learning_rate_of_the_table(gnn, X, y, table):
    def change(ratio):
        model = gnn(embedding=table, embedding_lr_ratio=ratio, max_epochs=1).fit(X, y)
        return np.nanmax(np.abs(model.element_table_.values - table.values))

    assert change(0.0) == 0
    assert 5 < change(0.1) / change(0.01) < 20


def test_method_one_a_front_end_learns_the_table(gnn, front_end, X, y, assert_same_weights):
    learner = front_end()
    model = gnn(embedding=learner).fit(X, y)
    assert not hasattr(learner, "net_")  # a clone has learned
    learned = front_end().fit(X, y)
    assert_same_weights(model, gnn(embedding=learned.element_table_).fit(X, y))
    assert_same_weights(model, gnn(embedding=FrozenEstimator(learned)).fit(X, y))
    assert set(model.element_table_.symbols) >= {s.symbol for c in X for s in c.species}


def test_method_two_a_graph_network_tunes_the_table(gnn, X, y, table, assert_same_weights):
    tuner = gnn(embedding=table)
    model = gnn(embedding=tuner, random_state=1).fit(X, y)
    tuned = tuner.fit(X, y).element_table_
    assert tuned != table
    assert_same_weights(model, gnn(embedding=tuned, random_state=1).fit(X, y))
    features = UAETransformer(gnn(embedding=table)).fit(X, y)
    assert features.element_table_ == tuned


def test_front_ends_know_the_elements_they_have_seen(front_end, X, y):
    table = front_end(on_missing_element="raise").fit(X, y).element_table_
    assert set(table.symbols) == {s.symbol for c in X for s in c.species}
    assert table.n_dims == 8
    assert table.name == "ct-uae"
    again = ElementTable(table.to_frame(), name="ct-uae")
    np.testing.assert_array_equal(again.values, table.values)


def test_weights_reach_an_estimator_that_learns_the_table(gnn, front_end, X, y):
    weight = np.random.default_rng(0).uniform(size=len(y))
    model = gnn(embedding=front_end(), freeze_embedding=True).fit(X, y, sample_weight=weight)
    learned = front_end().fit(X, y, sample_weight=weight).element_table_
    np.testing.assert_array_equal(model.element_table_.values, learned.values)


def test_a_table_of_one_structure_column(gnn, X, y, table):
    frame = pd.DataFrame({"table": list(X)})  # the name of the column says nothing
    model = gnn(freeze_embedding=True).fit(frame, y)
    assert model.element_table_.metadata["input"] == "cgcnn"


def test_another_table_than_that_to_start_from_is_refused(gnn, X, y):
    start = gnn(embedding="magpie").fit(X, y)
    for other in ("onehot", get_table("megnet16")):
        with pytest.raises(ValueError, match="own element table, 'magpie'"):
            gnn(embedding=other, init_from=start).fit(X, y)
    with pytest.raises(ValueError, match="own element table"):
        gnn(init_from=start).fit(UAETransformer("onehot").fit_transform(X), y)
    with pytest.raises(ValueError, match="set warm_start=False to start anew"):
        start.set_params(embedding="onehot", warm_start=True).fit(X, y)
    start.set_params(embedding="magpie", warm_start=False)
    gnn(embedding=get_table("magpie").to_frame(), init_from=start).fit(X, y)


def test_two_tables_are_told(gnn, X, y):
    features = UAETransformer("onehot").fit_transform(X)
    with pytest.warns(UserWarning, match="not the table 'onehot'") as told:
        gnn(embedding="magpie").fit(features, y)
    assert told[0].filename == __file__


def test_columns_beside_the_structures_are_told(gnn, X, y):
    features = UAETransformer("magpie").fit_transform(X)
    with pytest.warns(UserWarning, match="ignores them"):
        gnn().fit(np.hstack([features, np.ones((len(features), 1))]), y)


def test_coordinates_of_a_front_end(small, front_end, X, y, tmp_path):
    """chem+coords: the sites know where they are, so that moving the cell changes the result."""
    moved = list(X)
    for structure in moved:
        structure.translate_sites(range(len(structure)), [0.3, 0.6, 0.1])
    cgcnn = models.CGCNN(8, 1, whole_shell=True)
    for backbone in (cgcnn, models.MEGNet(n_blocks=1), models.ALIGNN(8, 1, 1)):
        options = {"backbone": backbone, "embedding": front_end(), "freeze_embedding": True}
        plain = small(CrystalGNNRegressor, **options).fit(X, y)
        model = small(CrystalGNNRegressor, **options, coords=True).fit(X, y)
        np.testing.assert_allclose(plain.predict(moved), plain.predict(X), atol=5e-6)
        assert np.abs(model.predict(moved) - model.predict(X)).max() > 2e-5
        source = front_end().fit(X, y)
        assert model.element_table_ == source.element_table_
        linear = source.net_.module_.coords
        elements = model.net_.module_.elements
        torch.testing.assert_close(elements.coords_weight, linear.weight.detach() / 8)
        torch.testing.assert_close(elements.coords_bias, linear.bias.detach())
        model.save_pretrained(tmp_path)
        again = CrystalGNNRegressor.from_pretrained(tmp_path, device="cpu")
        np.testing.assert_array_equal(again.predict(moved), model.predict(moved))
        tuned = small(CrystalGNNRegressor, init_from=model, backbone=backbone, coords=True)
        tuned.fit(X, y)
        assert not torch.equal(tuned.net_.module_.elements.coords_weight, elements.coords_weight)


@pytest.mark.parametrize("embedding", [None, "onehot", CrystalGNNRegressor(max_epochs=1)])
def test_coordinates_need_a_front_end(gnn, X, y, embedding):
    with pytest.raises(ValueError, match="coords=True"):
        gnn(embedding=embedding, coords=True).fit(X, y)


def test_coordinates_survive_a_warm_start(gnn, front_end, X, y, tmp_path):
    model = gnn(embedding=front_end(), coords=True, warm_start=True).fit(X, y)
    weight = model.net_.module_.elements.coords_weight.clone()
    model.fit(X, y)
    assert not torch.equal(weight, model.net_.module_.elements.coords_weight)
    model.save_pretrained(tmp_path)
    again = CrystalGNNRegressor.from_pretrained(tmp_path).set_params(warm_start=True, lr=0.0)
    before = model.predict(X)
    np.testing.assert_allclose(again.fit(X, y).predict(X), before, atol=0.1)


@pytest.mark.parametrize("coords", [True, False])
def test_coordinates_of_the_model_to_start_from(gnn, front_end, X, y, coords):
    source = gnn(embedding=front_end(), coords=not coords).fit(X, y)
    with pytest.raises(ValueError, match=f"coords={not coords}"):
        gnn(init_from=source, coords=coords).fit(X, y)


def test_a_table_of_the_same_name_is_another_table(gnn, X, y, table):
    other = ElementTable(-table.values[table.seen], table.symbols, name=table.name)
    source = gnn(embedding=table).fit(X, y)
    for kwargs in ({"embedding": other}, {"embedding": other.to_frame()}):
        with pytest.raises(ValueError, match="its own element table"):
            gnn(init_from=source, **kwargs).fit(X, y)
    with pytest.raises(ValueError, match="its own element table"):
        gnn(init_from=source).fit(UAETransformer(other).fit_transform(X), y)
    with pytest.raises(ValueError, match="would learn another"):
        gnn(init_from=source, embedding=gnn()).fit(X, y)
    for same in (table, table.to_frame(), source.element_table_):
        gnn(init_from=source, embedding=same).fit(X, y)


def test_what_one_hot_rows_taught_stays_so(gnn, X, y, tmp_path):
    source = gnn(embedding="onehot").fit(X, y)
    source.save_pretrained(tmp_path)
    for start in (source, tmp_path):
        learned = gnn(init_from=start).fit(X, y).element_table_
        assert learned.name == "cgcnn-learned"
        assert learned.symbols == source.element_table_.symbols
        assert learned.n_dims == source.element_table_.n_dims


@pytest.mark.parametrize("options", [{"backbone": "megnet"}, {"embedding": "onehot"}])
def test_a_guess_about_an_element_is_said(gnn, X, y, options):
    model = gnn(**options).fit(X, y)
    strange = Structure(Lattice.cubic(4.0), ["U", "Pu"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    with pytest.warns(UserWarning, match="row 1: .* was in none of the crystals of fit"):
        model.predict([X[0], strange])


def test_a_failed_warm_fit_leaves_the_model_as_it_was(gnn, X, y, table):
    model = gnn(embedding=table, warm_start=True).fit(X, y)
    before = model.predict(X)
    beyond = Structure(Lattice.cubic(4.0), ["Og"], [[0, 0, 0]])
    with pytest.raises(ValueError, match="no vector for Og"):
        model.set_params(freeze_embedding=True).fit([*X, beyond], [*y, 1.0])
    assert not model.network_.elements.frozen
    np.testing.assert_array_equal(model.predict(X), before)


def test_a_warm_fit_that_diverges_teaches_no_elements(make, X, y):
    model = make(warm_start=True)
    if hasattr(model, "backbone"):
        model.set_params(backbone="megnet")
    model.fit(X[:3], y[:3])
    before = (
        model.element_table_,
        model.history_,
        model.network_.elements.seen,
        model.predict(X[:3]),
    )
    with pytest.raises(ValueError, match="diverged"):
        model.set_params(lr=1e30).fit(X, y)
    assert model.element_table_ == before[0]
    assert model.history_ == before[1]
    np.testing.assert_array_equal(model.network_.elements.seen, before[2])
    np.testing.assert_array_equal(model.predict(X[:3]), before[3])


@pytest.fixture
def and_one_alone(X, y):
    """Crystals of which the last alone has its elements."""
    strange = Structure(Lattice.cubic(4.0), ["U", "Pu"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    return [*X, strange], np.append(y, 0.3)


def test_rows_that_teach_nothing_need_no_vector(gnn, front_end, and_one_alone):
    X, y = and_one_alone
    learner = front_end(on_missing_element="raise")
    unknown = np.append(y[:-1], np.nan)
    model = gnn(embedding=learner, warm_start=True).fit(X, unknown)
    assert "U" not in model.element_table_
    model.fit(X, unknown)
    gnn(init_from=model).fit(X, unknown)
    weight = np.append(np.ones(len(y) - 1), 0)
    model = gnn(embedding=learner).fit(X, y, sample_weight=weight)
    way_out = 'row 0: .*set on_missing_element="mean" of the CrystalTransformerRegressor'
    with pytest.raises(ValueError, match=way_out):
        model.predict(X[-1:])
    kind = front_end(on_missing_element="mean")
    assert np.isfinite(gnn(embedding=kind).fit(X, unknown).predict(X)).all()
    plain = front_end(on_missing_element="raise", element_features=None)
    way_out = r'row 0: .*UAETransformer\(embedding=\.\.\., on_missing_element="mean"\)'
    with pytest.raises(ValueError, match=way_out):
        gnn(embedding=plain).fit(X, unknown).predict(X[-1:])
    first = UAETransformer(learner, on_missing_element="mean")
    features = first.fit(X[:-1], y[:-1]).transform(X)
    assert np.isfinite(gnn().fit(features, y).predict(features)).all()


def test_a_given_table_covers_all_rows_that_count(gnn, and_one_alone):
    X, y = and_one_alone
    table = ElementTable(get_table("magpie").to_frame().drop(index="U"), name="mine")
    for seed in range(4):  # whether the row is held back or not
        with pytest.raises(ValueError, match=r"row 24: element table 'mine' has no vector for U"):
            gnn(embedding=table, early_stopping=True, random_state=seed).fit(X, y)
    gnn(embedding=table).fit(X, np.append(y[:-1], np.nan))


def test_rows_held_back_may_have_elements_that_are_new(gnn, front_end, and_one_alone):
    X, y = and_one_alone
    known, learner = [], front_end(on_missing_element="raise")
    for seed in range(8):
        model = gnn(embedding=learner, early_stopping=True, refit=False, random_state=seed)
        model.fit(X, y)
        assert np.isfinite([entry["error"] for entry in model.epochs_tried_]).all()
        known.append("U" in model.element_table_)
        model.set_params(warm_start=True)
        if all(e.symbol in model.element_table_ for s in X for e in s.composition):
            model.fit(X, y)
        else:  # a fit that goes on trains on all rows, also on the element that is new
            with pytest.raises(ValueError, match="'ct-uae-tuned' has no vector for"):
                model.fit(X, y)
    assert set(known) == {True, False}


def test_a_fitted_estimator_as_embedding_is_fitted_anew_and_says_so(gnn, front_end, X, y):
    fitted = front_end().fit(X, -y)
    with pytest.warns(UserWarning, match="fitted already, and yet a clone"):
        model = gnn(embedding=fitted, freeze_embedding=True).fit(X, y)
    assert model.element_table_ == front_end().fit(X, y).element_table_
