import numpy as np
import pytest
from sklearn.base import clone

from skuae import CrystalTransformerRegressor, ElementTable, datasets
from skuae.embedding import get_table

SMALL = {"d_model": 32, "n_layers": 1, "n_heads": 2, "dim_feedforward": 16, "random_state": 0}


@pytest.fixture(scope="module")
def mini():
    return datasets.load_mp_mini()


def fit(mini, rows, **params):
    front_end = CrystalTransformerRegressor(**{**SMALL, "max_epochs": 1, **params})
    return front_end.fit(mini.structures[rows], mini.target[rows])


def closeness(table, a, b):
    a, b = (table[e] - table.values[table.seen].mean(axis=0) for e in (a, b))
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def test_elements_that_are_alike_start_alike(mini):
    pairs = [("Na", "K"), ("Fe", "Co"), ("Cl", "Br"), ("Nd", "Pr"), ("Ti", "Zr")]
    close = {}
    for features in (("magpie", "cgcnn"), None):
        front_end = fit(
            mini, np.arange(1500), d_model=128, lr=1e-7, element_features=features, table_scale=None
        )
        table = front_end.element_table_
        close[features] = np.mean([closeness(table, *pair) for pair in pairs])
    assert close["magpie", "cgcnn"] > 0.3
    assert abs(close[None]) < 0.15


def test_features_speak_for_an_element_that_was_not_seen(mini):
    has_cl = np.array([17 in c.atomic_numbers for c in mini.structures])
    rows = np.flatnonzero(~has_cl)[:400]
    front_end = fit(mini, rows, d_model=128, on_missing_element="mean")
    weights = front_end.net_.module_.elements.table().detach().numpy()
    centred = weights - weights[front_end.network_.elements.seen[:100]].mean(axis=0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    nearest = 1 + np.argsort(-(unit @ unit[16]))[1:4]
    assert {9, 35, 53} & set(nearest.tolist())  # F, Br, I


def test_own_features_and_none(mini, tmp_path):
    own = ElementTable(np.eye(5)[[0, 1, 2, 3, 4] * 19 + [0]][:96], range(1, 97), name="own")
    for features in (own, "magpie", None):
        front_end = fit(mini, np.arange(100), element_features=features)
        front_end.save_pretrained(tmp_path)
        again = CrystalTransformerRegressor.from_pretrained(tmp_path)
        some = mini.structures[:5]
        np.testing.assert_array_equal(again.predict(some), front_end.predict(some))
        refit = clone(again).fit(mini.structures[:50], mini.target[:50])
        assert (refit.network_.elements.features is None) == (features is None)


def test_a_loaded_model_knows_its_own_features_as_the_first_did(mini, tmp_path):
    few = ElementTable(np.random.default_rng(0).normal(size=(60, 3)), range(1, 61), name="few")
    few.save(tmp_path / "few.safetensors")
    for features in (
        [few, "magpie"],
        [str(tmp_path / "few.safetensors"), "magpie"],
        few.to_frame(),
    ):
        front_end = fit(mini, np.arange(100), element_features=features)
        front_end.save_pretrained(tmp_path / "model")
        again = CrystalTransformerRegressor.from_pretrained(tmp_path / "model")
        again.set_params(random_state=0)
        ours, theirs = (
            clone(m).fit(mini.structures[:50], mini.target[:50]) for m in (front_end, again)
        )
        some = mini.structures[:5]
        np.testing.assert_array_equal(ours.predict(some), theirs.predict(some))
        np.testing.assert_array_equal(*(m.network_.elements.has_features for m in (ours, theirs)))
        again.set_params(warm_start=True).fit(mini.structures[:50], mini.target[:50])  # goes on
        again.save_pretrained(tmp_path / "again")
        CrystalTransformerRegressor.from_pretrained(tmp_path / "again")


def test_a_name_that_is_not_known(mini):
    with pytest.raises(ValueError, match="no element table named 'magpi'"):
        fit(mini, np.arange(10), element_features="magpi")


def test_the_table_covers_what_features_know_if_asked(mini):
    rows = np.arange(60)
    strict = fit(mini, rows).element_table_
    wide = fit(mini, rows, on_missing_element="mean").element_table_
    none = fit(mini, rows, on_missing_element="mean", element_features=None).element_table_
    assert strict.symbols == none.symbols and set(strict.symbols) < set(wide.symbols)
    assert "He" in wide and len(wide.symbols) == 97  # magpie lacks three


def test_other_features_than_those_of_the_model_to_start_from(mini):
    front_end = fit(mini, np.arange(100), element_features="magpie", warm_start=True)
    seen = front_end.element_table_.symbols
    other = get_table("magpie").permute(0)
    for change in ({"element_features": other}, {"element_features": None}, {"d_model": 64}):
        changed = clone(front_end).set_params(init_from=front_end, warm_start=False, **change)
        with pytest.raises(ValueError, match=r"the model to start from has (other|another)"):
            changed.fit(mini.structures[100:], mini.target[100:])
        before = front_end.get_params()
        with pytest.raises(ValueError, match=r"the model to start from has (other|another)"):
            front_end.set_params(**change).fit(mini.structures[100:], mini.target[100:])
        front_end.set_params(**before)
        assert front_end.element_table_.symbols == seen  # as it was
    front_end.set_params(element_features=["magpie"]).fit(mini.structures[:50], mini.target[:50])


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ((), "is empty"),
        (CrystalTransformerRegressor(), "are tables"),
        (ElementTable(np.ones((100, 2)), range(1, 101), name="same"), "say the same of all"),
    ],
)
def test_what_cannot_be_features(mini, features, message):
    with pytest.raises((ValueError, TypeError), match=f"element_features {message}"):
        fit(mini, np.arange(10), element_features=features)


def test_features_from_a_frame_or_a_file(mini, tmp_path):
    frame = get_table("magpie").to_frame()
    frame.to_csv(tmp_path / "own.csv")
    for features in (frame, tmp_path / "own.csv"):
        np.testing.assert_allclose(
            fit(mini, np.arange(20), element_features=features).network_.elements.features,
            fit(mini, np.arange(20), element_features="magpie").network_.elements.features,
            atol=1e-5,
        )
