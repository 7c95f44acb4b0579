"""What fit learns, from what, and that it does so again."""

import numpy as np
import pandas as pd
import pytest
import torch
from pymatgen.core import Lattice, Structure
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import r2_score

from skuae import CrystalGNNRegressor, CrystalTransformerRegressor, models
from skuae.crystals import as_crystals
from skuae.datasets import make_toy_crystals

# As users would, only smaller: seconds on one core.
ENOUGH = {
    CrystalGNNRegressor: {"max_epochs": 60},
    CrystalTransformerRegressor: {
        "d_model": 64, "n_layers": 1, "dropout": 0.0, "max_epochs": 60, "batch_size": 32
    },
}  # fmt: skip


@pytest.fixture(params=ENOUGH)
def able(request):
    return request.param(**ENOUGH[request.param], random_state=0)


# -- learning at all ------------------------------------------------------------------------------


def test_learns_64_crystals_by_heart(able):
    toy = make_toy_crystals(64, random_state=0)
    assert able.fit(toy.structures, toy.target).score(toy.structures, toy.target) > 0.98


def test_learns_nothing_about_new_crystals_from_shuffled_labels(able):
    toy = make_toy_crystals(128, random_state=0)
    y = np.random.default_rng(0).permutation(toy.target)
    if "on_missing_element" in able.get_params():
        able.set_params(on_missing_element="mean")
    able.fit(toy.structures[:64], y[:64])
    assert able.score(toy.structures[64:], y[64:]) <= 0.1


def test_learns_what_only_the_structure_tells():
    """The elements of rock salt and CsCl are the same: the graph is all that tells them apart."""
    toy = make_toy_crystals(120, prototypes=("rocksalt", "cscl"), random_state=0)
    y = (toy.labels["prototype"] == "cscl").to_numpy(float)
    gnn = CrystalGNNRegressor(
        models.CGCNN(n_conv=2), max_epochs=40, batch_size=16, lr=0.02, random_state=0
    )
    gnn.set_params(loss="squared_error").fit(toy.structures[:90], y[:90])
    assert gnn.score(toy.structures[90:], y[90:]) > 0.5


def test_targets_of_any_scale(make, X, y):
    """Targets are scaled inside: other units give the same model in those units."""
    expected = make().fit(X, y).predict(X)
    for factor, shift in ((1e6, 0.0), (1e-6, 0.0), (1.0, 1000.0)):
        predicted = make().fit(X, factor * y + shift).predict(X)
        np.testing.assert_allclose((predicted - shift) / factor, expected, rtol=1e-3, atol=1e-3)
    constant = make().fit(X, np.full(len(y), 3.0)).predict(X)
    np.testing.assert_array_equal(constant, 3.0)


# -- the same again -------------------------------------------------------------------------------


def test_a_seed_decides_everything(make, X, y, assert_same_weights):
    one, other = make(random_state=3).fit(X, y), make(random_state=3).fit(X, y)
    assert_same_weights(one, other)
    np.testing.assert_array_equal(one.predict(X), other.predict(X))
    assert_same_weights(one.fit(X, y), other)  # and a second fit starts anew
    with pytest.raises(AssertionError):
        assert_same_weights(one, make(random_state=4).fit(X, y))


def test_a_random_state_object_is_drawn_from(make, X, y, assert_same_weights):
    draws = np.random.RandomState(0), np.random.RandomState(0)
    one, other = (make(random_state=rng).fit(X, y) for rng in draws)
    assert_same_weights(one, other)
    with pytest.raises(AssertionError):
        assert_same_weights(one, make(random_state=draws[1]).fit(X, y))


def test_global_generators_are_left_alone(make, X, y):
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    make(early_stopping=True).fit(X, y).predict(X)
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


def test_global_generators_decide_nothing(make, X, y, assert_same_weights):
    one = make().fit(X, y)
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    assert_same_weights(one, make().fit(X, y))


# -- targets --------------------------------------------------------------------------------------


@pytest.fixture
def two(toy):
    return toy.labels[["electronegativity", "volume_per_atom"]]


def test_several_targets(make, X, two):
    fitted = make().fit(X, two)
    assert fitted.predict(X).shape == (len(X), 2)
    assert fitted.target_names_ == ["electronegativity", "volume_per_atom"]
    assert np.isscalar(fitted.score(X, two))
    array = make().fit(X, two.to_numpy())
    np.testing.assert_array_equal(array.predict(X), fitted.predict(X))
    assert array.target_names_ is None


def test_shape_of_predictions_follows_y(make, X, y):
    flat, column = make().fit(X, y).predict(X), make().fit(X, y[:, None]).predict(X)
    assert (flat.shape, column.shape) == ((24,), (24, 1))
    np.testing.assert_array_equal(flat, column[:, 0])
    assert make().fit(X, pd.Series(y, name="gap")).target_names_ == ["gap"]


def test_integers_lists_and_missing_values_of_pandas(make, X, y):
    whole = np.round(10 * y).astype(int)
    expected = make().fit(X, whole.astype(float)).predict(X)
    np.testing.assert_array_equal(make().fit(X, whole).predict(X), expected)
    np.testing.assert_array_equal(make().fit(X, whole.tolist()).predict(X), expected)
    nullable = pd.Series(y, dtype="Float64").mask(np.arange(len(y)) == 3)
    unknown = np.where(np.arange(len(y)) == 3, np.nan, y)
    np.testing.assert_array_equal(
        make().fit(X, nullable).predict(X), make().fit(X, unknown).predict(X)
    )


def test_unknown_is_as_weight_zero(make, X, y, assert_same_weights):
    unknown = np.arange(len(y)) % 4 == 0
    masked = make().fit(X, np.where(unknown, np.nan, y))
    assert_same_weights(masked, make().fit(X, y, sample_weight=(~unknown).astype(float)))


def test_targets_of_weight_zero_do_not_matter(make, X, y, assert_same_weights):
    weight = np.random.default_rng(0).integers(0, 3, len(y))
    wild = np.where(weight == 0, 1e6, y)
    one = make().fit(X, y, sample_weight=weight)
    assert_same_weights(one, make().fit(X, wild, sample_weight=weight))
    with pytest.raises(AssertionError):
        assert_same_weights(one, make().fit(X, y))


def test_equal_weights_are_no_weights(make, X, y):
    plain = make().fit(X, y).predict(X)
    equal = make().fit(X, y, sample_weight=np.full(len(y), 0.5)).predict(X)
    np.testing.assert_allclose(equal, plain, rtol=1e-4)


class InDouble(CrystalTransformerRegressor):
    _dtype = torch.float64


def whole_batch(max_epochs=5):
    """Without batch normalisation and with all rows in a batch, only rows that count count."""
    return InDouble(
        d_model=16, n_layers=1, n_heads=2, dim_feedforward=16, dropout=0.0, augment=False,
        max_epochs=max_epochs, batch_size=100, random_state=0, device="cpu",
    )  # fmt: skip


@pytest.mark.parametrize("how", ["unknown", "weight_zero"])
def test_rows_that_do_not_count_could_as_well_be_missing(X, y, how):
    order = np.argsort(X.sizes, kind="stable")
    held = X[np.tile(order[:8], 3)]
    target = np.tile(y[order[:8]], 3) + np.repeat([0.0, 0.1, 5.0], 8)
    counts = np.arange(24) < 16
    if how == "unknown":
        masked = whole_batch().fit(held, np.where(counts, target, np.nan))
    else:
        masked = whole_batch().fit(held, target, sample_weight=counts.astype(float))
    removed = whole_batch().fit(held[:16], target[:16])
    np.testing.assert_allclose(masked.predict(held), removed.predict(held), rtol=1e-9)


def test_unknown_entries_of_one_target_leave_its_known_ones(able):
    toy = make_toy_crystals(64, target=["electronegativity", "volume_per_atom"], random_state=0)
    y = toy.target.copy()
    y[::3, 1] = np.nan
    able.set_params(max_epochs=120).fit(toy.structures, y)
    predicted = able.predict(toy.structures)
    known = ~np.isnan(y[:, 1])
    assert r2_score(y[:, 0], predicted[:, 0]) > 0.95
    assert r2_score(y[known, 1], predicted[known, 1]) > 0.95
    assert able.score(toy.structures, y) > 0.95  # NaN is left out here too


def test_task_weights(front_end, X, two):
    """A target of weight zero is not learned; the other one does not notice it."""
    y = two.to_numpy()
    other = np.column_stack([y[:, 0], np.random.default_rng(0).normal(size=len(y))])
    one, same = (front_end(task_weights=[1.0, 0.0]).fit(X, values) for values in (y, other))
    np.testing.assert_array_equal(one.predict(X)[:, 0], same.predict(X)[:, 0])
    equal = front_end(task_weights=None).fit(X, y)
    assert np.abs(equal.predict(X)[:, 0] - one.predict(X)[:, 0]).max() > 0


def test_history(make, X, y):
    fitted = make().fit(X, y)
    assert [e["epoch"] for e in fitted.history_] == [1, 2, 3]
    assert fitted.n_iter_ == 3
    assert all({"epoch", "train_loss", "dur"} == set(e) for e in fitted.history_)
    assert fitted.epochs_tried_ == []


# -- going on from somewhere ----------------------------------------------------------------------


def test_warm_start_goes_on(make, X, y):
    model = make(warm_start=True, lr_schedule="constant", max_epochs=20, lr=0.01).fit(X, y)
    cold = [epoch["train_loss"] for epoch in model.history_]
    model.set_params(lr=1e-4, max_epochs=5).fit(X, y)
    warm = [epoch["train_loss"] for epoch in model.history_]
    assert model.n_iter_ == len(warm) == 5
    assert max(warm) < cold[0] / 2
    before = {k: v.clone() for k, v in model.net_.module_.named_parameters()}
    model.set_params(lr=0.0).fit(X, y)
    assert all(torch.equal(v, before[k]) for k, v in model.net_.module_.named_parameters())
    with pytest.raises(ValueError, match="2 targets, the fit before had 1; set warm_start=False"):
        model.fit(X, np.column_stack([y, y]))


def test_without_warm_start_a_fit_starts_anew(make, X, y, assert_same_weights):
    model = make().fit(X, y)
    assert_same_weights(model.fit(X, y[::-1].copy()), make().fit(X, y[::-1].copy()))


@pytest.mark.parametrize("where", ["estimator", "folder"])
def test_init_from(make, X, y, two, where, tmp_path, assert_same_weights):
    source = make(random_state=7).fit(X, y)
    if where == "folder":
        source.save_pretrained(tmp_path)
    start = source if where == "estimator" else tmp_path
    # a learning rate of zero shows what training starts from
    model = make(init_from=start, lr=0.0, max_epochs=1).fit(X, two)
    before = dict(source.net_.module_.named_parameters())
    kept = 0
    for name, value in model.net_.module_.named_parameters():
        if not name.startswith("head"):
            assert torch.equal(value, before[name]), name
            kept += 1
    assert kept > 5
    assert model.predict(X).shape == (len(X), 2)
    untouched = make(random_state=7).fit(X, y)
    make(init_from=source).fit(X, y)
    assert_same_weights(source, untouched)


def test_init_from_a_folder_and_from_the_estimator_are_the_same(
    make, X, y, tmp_path, assert_same_weights
):
    source = make(random_state=7).fit(X, y)
    source.save_pretrained(tmp_path)
    fitted = [make(init_from=start).fit(X, y) for start in (source, tmp_path, str(tmp_path))]
    assert_same_weights(fitted[0], fitted[1])
    assert_same_weights(fitted[0], fitted[2])


def test_batch_norms_settle_on_the_final_weights(gnn, X, y):
    """Their statistics are those of one pass over the training rows, not a running average."""
    fitted = gnn(max_epochs=2, batch_size=len(y)).fit(X, y)
    module, crystals = fitted.net_.module_, as_crystals(X)
    batch = fitted.network_.pack(crystals, "cpu").batch(range(len(y)))
    settled = module(batch)
    before = {k: v.clone() for k, v in module.state_dict().items() if "running" in k}
    module.train()
    torch.testing.assert_close(module(batch), settled, rtol=1e-2, atol=1e-2)
    for name, value in module.state_dict().items():  # one more batch: momentum 0.1, same statistics
        if name in before:
            torch.testing.assert_close(value, before[name], rtol=1e-3, atol=1e-4)


def test_table_of_the_front_end_lists_what_it_has_learned(front_end, X, y):
    weight = np.r_[np.ones(len(y) // 2), np.zeros(len(y) - len(y) // 2)]
    weighted = front_end(on_missing_element="mean").fit(X, y, sample_weight=weight)
    gaps = front_end(on_missing_element="mean").fit(X, np.where(weight > 0, y, np.nan))
    part = front_end().fit(X[: len(y) // 2], y[: len(y) // 2])
    assert weighted.element_table_.symbols == gaps.element_table_.symbols
    assert weighted.element_table_.symbols == part.element_table_.symbols


@pytest.mark.parametrize("unit", [1.6e-19, 1e-13, 1e20])
def test_units_do_not_matter(make, X, y, unit):
    """A target in joules is learned as well as in electronvolts."""
    plain = make().fit(X, y).predict(X)
    scaled = make().fit(X, y * unit).predict(X) / unit
    np.testing.assert_allclose(scaled, plain, rtol=1e-3, atol=1e-3)


def test_early_stopping_needs_labels_on_both_sides(make, X, y):
    gaps = np.full(len(y), np.nan)
    gaps[:3] = y[:3]
    both = np.c_[y, gaps]
    with pytest.raises(ValueError, match="target 1 is known in 3 rows, too few"):
        make(early_stopping=True, validation_fraction=0.1, random_state=1).fit(X, both)
    make(early_stopping=True, random_state=1).fit(X, np.where(np.arange(len(y)) < 12, y, np.nan))


def test_one_known_value_is_left_out_of_the_score(gnn, X, y):
    two = np.stack([y, np.where(np.arange(24) == 3, y, np.nan)], axis=1)
    fitted = gnn().fit(X, np.stack([y, y], axis=1))
    assert fitted.score(X, two) == r2_score(y, fitted.predict(X)[:, 0])
    with pytest.warns(UndefinedMetricWarning):
        assert np.isnan(gnn().fit(X, y).score(X[:1], y[:1]))


def test_a_target_without_weight(gnn, X, y):
    weight = np.where(np.arange(24) < 5, 0.0, 1.0)
    second = np.where(weight == 0, y, np.nan)
    with pytest.raises(ValueError, match="target 1 is known in rows of weight 0 only"):
        gnn().fit(X, np.stack([y, second], axis=1), weight)
    fitted = gnn().fit(X, np.stack([y, y], axis=1))
    with pytest.raises(ValueError, match="nothing to score"):
        fitted.score(X, np.stack([second, second], axis=1), weight)
    first = r2_score(y, fitted.predict(X)[:, 0], sample_weight=weight)
    assert fitted.score(X, np.stack([y, second], axis=1), weight) == pytest.approx(first)


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
def test_weights_whose_first_gradient_comes_late(optimizer):
    """A first batch without a single bond has no gradient for the weights of bonds."""
    lone = Structure(Lattice.cubic(30), ["Ar"], [[0, 0, 0]])
    bonded = Structure(Lattice.cubic(3), ["Po"], [[0, 0, 0]])
    crystals = [lone] * 8 + [bonded] * 2
    for seed in range(4):
        model = CrystalGNNRegressor(
            models.CGCNN(atom_dim=8, n_conv=1, hidden_dim=8), batch_size=2, max_epochs=2,
            optimizer=optimizer, lr=1e-3, random_state=seed, device="cpu",
        )  # fmt: skip
        assert np.isfinite(model.fit(crystals, np.arange(10.0)).predict(crystals)).all()
