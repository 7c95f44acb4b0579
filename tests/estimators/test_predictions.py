"""predict_frame: predictions as a table, with reasons where there are none."""

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from skuae import CrystalGNNClassifier, UAETransformer
from skuae.estimators import predict_frame


def one(symbol):
    return Structure(Lattice.cubic(4), [symbol], [[0, 0, 0]])


def test_rows_without_ids_and_several_targets_without_names(gnn, toy):
    y = np.column_stack([toy.target, -toy.target])
    structures = toy.structures.to_structures()
    model = gnn().fit(structures, y)
    frame = predict_frame(model, structures[:3])
    assert list(frame.index) == [0, 1, 2]
    assert list(frame) == ["target_0_predicted", "target_1_predicted", "unseen_elements", "error"]
    np.testing.assert_array_equal(frame.iloc[:, :2].to_numpy(), model.predict(structures[:3]))
    assert (frame["unseen_elements"] == "").all() and frame["error"].isna().all()


def test_rows_that_are_refused_stop_no_others(gnn, toy):
    model = gnn().fit(toy.structures, pd.Series(toy.target, toy.ids, name="y"))
    rows = pd.Series([one("Lr"), toy.structures[0], one("Xe"), one("Rf")], list("abcd"))
    frame = predict_frame(model, rows)
    assert list(frame.index) == list("abcd")
    assert list(frame) == ["y_predicted", "unseen_elements", "error"]
    assert frame["y_predicted"].notna().tolist() == [False, True, True, False]
    np.testing.assert_allclose(frame["y_predicted"][1:3], model.predict(rows[1:3]), rtol=1e-6)
    assert frame["unseen_elements"].tolist() == ["Lr", "", "Xe", "Rf"]
    assert frame["error"]["d"].startswith("element table 'cgcnn' has no vector for Rf; choose a")
    assert predict_frame(model, [one("Lr")])["error"].notna().all()


def test_rows_that_cannot_be_read_stop_no_others(gnn, toy):
    model = gnn().fit(toy.structures, pd.Series(toy.target, toy.ids, name="y"))
    cells = [structure.to(fmt="cif") for structure in toy.structures[:5]]
    rows = pd.Series([None, *cells[:3], "data_nothing", *cells[3:], 7], list("abcdefgh"))
    frame = predict_frame(model, rows)
    assert list(frame.index) == list("abcdefgh") and frame.index.name == "id"
    assert list(frame) == ["y_predicted", "unseen_elements", "error"]
    good = [1, 2, 3, 5, 6]
    expected = model.predict(cells)
    np.testing.assert_allclose(frame["y_predicted"].iloc[good], expected, rtol=1e-6)
    assert frame["error"].notna().tolist() == [True, *[False] * 3, True, False, False, True]
    assert frame["error"]["a"].startswith("the structure is missing")
    assert "data_nothing" in frame["error"]["e"] and frame["error"]["h"].startswith("got int")
    counted = predict_frame(model, iter(rows))
    assert list(counted.index) == list(range(8))
    np.testing.assert_array_equal(counted["y_predicted"], frame["y_predicted"])
    with pytest.raises(TypeError, match="X is one"):
        predict_frame(model, toy.structures[0])
    with pytest.raises(TypeError, match="without its crystals"):
        predict_frame(model, np.zeros((5, 3)))


@pytest.mark.parametrize("kind", ["number", "several", "std", "class", "single precision"])
def test_columns_and_types_are_those_of_the_model(gnn, small, toy, kind):
    """Parts of a table are one table, whichever rows of them can be read."""
    y = np.column_stack([toy.target] * 2) if kind == "several" else toy.target
    if kind == "class":
        model = small(CrystalGNNClassifier).fit(toy.structures, np.arange(24) % 2)
    elif kind == "single precision":
        model = make_pipeline(UAETransformer("magpie"), Ridge()).fit(toy.structures, y)
        assert model.predict(toy.structures).dtype == np.float32
    else:
        loss = "gaussian_nll" if kind == "std" else "squared_error"
        model = gnn(loss=loss).fit(toy.structures, y)
    good = predict_frame(model, toy.structures)
    names = list(good)
    texts = ["target_predicted"] * (kind == "class") + ["unseen_elements", "error"]
    expected = [object if name in texts else float for name in names]
    assert good.dtypes.tolist() == expected
    bad = ["data_a", None, "N/A", "N/A"]
    for X in ([], iter([]), toy.structures[:0], pd.Series([], dtype=object), bad,
              pd.Series(bad, list("abcd")), pd.DataFrame({"cif": bad})):  # fmt: skip
        frame = predict_frame(model, X)
        assert list(frame) == names
        assert frame.dtypes.tolist() == expected
        assert frame["error"].notna().all() and frame[names[:-1]].isna().all(axis=None)
    assert list(frame.index) == [0, 1, 2, 3]
    assert list(predict_frame(model, pd.Series(bad, list("abcd"))).index) == list("abcd")


def test_classes_stay_what_they_are_beside_rows_that_are_refused(toy, small):
    model = small(CrystalGNNClassifier).fit(toy.structures, np.arange(24) % 2)
    frame = predict_frame(model, [toy.structures[0], one("Lr")])
    assert list(frame)[:3] == ["target_predicted", "target_p_0", "target_p_1"]
    assert frame["target_predicted"][0] in (0, 1)
    assert isinstance(frame["target_predicted"][0], (int, np.integer))
    assert frame.loc[1, ["target_predicted", "target_p_0"]].isna().all()


def test_a_model_that_is_not_fitted(gnn, toy):
    with pytest.raises(NotFittedError):
        predict_frame(gnn(), toy.structures)
