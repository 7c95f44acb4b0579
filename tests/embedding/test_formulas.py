"""Features of formulas, and what refuses them."""

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Composition
from sklearn.ensemble import RandomForestRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline, make_union

from skuae import CrystalGNNRegressor, CrystalTransformerRegressor, UAETransformer
from skuae.datasets import make_toy_crystals
from skuae.featurizers import SymmetryTransformer

STRUCTURES = make_toy_crystals(8, random_state=0).structures
FORMULAS = [structure.formula for structure in STRUCTURES]
Y = np.arange(8.0)


def test_features_are_those_of_structures():
    uae = UAETransformer("magpie").fit(FORMULAS)
    features = uae.transform(FORMULAS)
    np.testing.assert_array_equal(features, uae.transform(STRUCTURES))
    np.testing.assert_array_equal(features, uae.transform([*map(Composition, FORMULAS)]))
    assert features.crystals is None


def test_methods_of_matminer():
    frame = pd.DataFrame({"composition": ["NaCl", "nacl"]}, index=["a", "b"])
    uae = UAETransformer("cgcnn", statistics=("mean",))
    features = uae.featurize_dataframe(frame, "composition", ignore_errors=True, pbar=False)
    assert features.shape == (2, 93)
    assert features.iloc[1, 1:].isna().all() and not features.iloc[0].isna().any()
    assert uae.featurize("NaCl") == features.iloc[0, 1:].tolist()
    assert uae.precheck("NaCl") and not uae.precheck("nacl")


def test_elements_that_a_table_lacks():
    with pytest.raises(ValueError, match=r"row 1 \(b\): table 'magpie' .* no vector for Og"):
        UAETransformer("magpie").fit_transform(pd.Series(["NaCl", "OgF4"], index=["a", "b"]))


def test_estimators_of_scikit_learn_learn_from_formulas():
    model = make_pipeline(UAETransformer("magpie"), RandomForestRegressor(5, random_state=0))
    assert np.isfinite(cross_val_predict(model, pd.Series(FORMULAS), Y, cv=2)).all()


def test_networks_refuse_formulas():
    gnn = CrystalGNNRegressor(max_epochs=1, random_state=0)
    for X in (FORMULAS, [*map(Composition, FORMULAS)]):
        with pytest.raises((TypeError, ValueError), match=r"row 0: .*UAETransformer reads form"):
            gnn.fit(X, Y)
    behind = make_pipeline(UAETransformer("magpie"), gnn)
    with pytest.raises(TypeError, match=r"X holds features of formulas.*needs structures"):
        behind.fit(FORMULAS, Y)
    behind.fit(STRUCTURES, Y)
    with pytest.raises(TypeError, match="X holds features of formulas"):
        behind.predict(FORMULAS)


def test_tables_are_not_learned_from_formulas():
    front_end = CrystalTransformerRegressor(max_epochs=1, random_state=0)
    with pytest.raises(TypeError, match=r"CrystalTransformerRegressor.*learns from crystal struct"):
        UAETransformer(front_end).fit(FORMULAS, Y)
    learned = UAETransformer(front_end).fit(STRUCTURES, Y)
    known = UAETransformer(FrozenEstimator(learned.embedding_)).fit(FORMULAS)
    np.testing.assert_array_equal(learned.transform(FORMULAS), known.transform(FORMULAS))


def test_symmetry_needs_structures():
    with pytest.raises(ValueError, match="a formula has no positions"):
        make_union(UAETransformer(), SymmetryTransformer()).fit(FORMULAS)
