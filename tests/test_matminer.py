import builtins
import importlib
import pickle
import sys

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure
from sklearn.base import clone
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler

from skuae.embedding import ElementTable, UAETransformer

base = pytest.importorskip("matminer.featurizers.base")


@pytest.fixture
def structures():
    pairs = [("Na", "Cl"), ("Fe", "Al"), ("Cs", "I"), ("Ga", "N")]
    coords = [[0, 0, 0], [0.5, 0.5, 0.5]]
    made = [Structure(Lattice.cubic(3.5), pair, coords) for pair in pairs]
    return [*made, Structure(Lattice.cubic(3.5), ["Sr", "Ti", "O"], [*coords, [0.5, 0.5, 0]])]


@pytest.fixture
def featurizer():
    from skuae.matminer import UAEFeaturizer

    return UAEFeaturizer("magpie")


def test_is_a_matminer_featurizer(featurizer, structures):
    assert isinstance(featurizer, base.BaseFeaturizer)
    expected = UAETransformer("magpie").fit_transform(structures)
    np.testing.assert_array_equal(np.float32(featurizer.featurize(structures[1])), expected[1])
    np.testing.assert_array_equal(
        np.float32(featurizer.featurize_many(structures, pbar=False)), expected
    )
    assert featurizer.feature_labels() == UAETransformer("magpie").feature_labels()
    assert featurizer.citations() == UAETransformer("magpie").citations()
    assert featurizer.implementors()
    assert featurizer.precheck(structures[0])


def test_dataframe(featurizer, structures):
    frame = pd.DataFrame({"structure": structures})
    result = featurizer.featurize_dataframe(frame, "structure", pbar=False)
    assert result.shape == (5, 89)
    assert np.isfinite(result[featurizer.feature_labels()].to_numpy()).all()


@pytest.mark.parametrize("by_entry", [True, False])
def test_multiple_featurizer(featurizer, structures, by_entry):
    from matminer.featurizers.structure import DensityFeatures

    both = base.MultipleFeaturizer([featurizer, DensityFeatures()], iterate_over_entries=by_entry)
    both.set_n_jobs(1)
    frame = pd.DataFrame({"structure": structures})
    result = both.fit(structures).featurize_dataframe(frame, "structure", pbar=False)
    assert result.columns[1:].tolist() == [*featurizer.feature_labels(), "density", "vpa",
                                           "packing fraction"]  # fmt: skip
    assert any("jin2025" in citation for citation in both.citations())
    labels = both.featurize_dataframe(frame, "structure", pbar=False, multiindex=True).columns
    assert ("UAEFeaturizer", featurizer.feature_labels()[0]) in labels


def test_scikit_learn(featurizer, structures):
    expected = UAETransformer("magpie").fit_transform(structures)
    np.testing.assert_array_equal(clone(featurizer).fit_transform(structures), expected)
    union = make_pipeline(make_union(featurizer, UAETransformer("onehot")), StandardScaler())
    assert union.fit_transform(structures).shape == (5, 88 + 400)
    frame = featurizer.fit(structures).set_output(transform="pandas").transform(structures)
    assert list(frame.columns) == featurizer.feature_labels()
    again = pickle.loads(pickle.dumps(featurizer))
    np.testing.assert_array_equal(again.transform(structures), expected)
    featurizer.set_params(embedding="onehot").fit(structures)
    assert len(featurizer.feature_labels()) == 400


def test_element_property_agrees_with_us(structures):
    """Mean, minimum and maximum of matminer's own Magpie preset are those of our pooling."""
    from matminer.featurizers.composition import ElementProperty

    preset = ElementProperty.from_preset("magpie", impute_nan=True)
    preset.stats = ["mean", "minimum", "maximum"]
    preset.set_n_jobs(1)
    table = ElementTable.from_matminer(preset)
    ours = UAETransformer(table, statistics=("mean", "min", "max")).fit_transform(structures)
    theirs = np.array([preset.featurize(s.composition) for s in structures])
    theirs = theirs.reshape(5, 22, 3).transpose(0, 2, 1).reshape(5, 66)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_std_agrees_with_matminer_up_to_its_convention(structures):
    """matminer's std_dev has the factor of a sample; population variance is 1 - sum(w²) of it."""
    from matminer.featurizers.composition import ElementProperty

    preset = ElementProperty.from_preset("magpie", impute_nan=True)
    preset.stats = ["std_dev"]
    table = ElementTable.from_matminer(preset)
    ours = UAETransformer(table, statistics=("std",)).fit_transform(structures)
    for structure, row in zip(structures, ours, strict=True):
        weights = np.array(list(structure.composition.fractional_composition.values()))
        # matminer takes amounts as weights, so its factor depends on the size of the cell
        amounts = np.array(list(structure.composition.values()))
        total = amounts.sum()
        beta = total / (total**2 - (amounts**2).sum())
        expected = np.array(preset.featurize(structure.composition)) / np.sqrt(beta * total)
        np.testing.assert_allclose(row, expected, rtol=1e-5, atol=1e-6)
        assert weights.sum() == pytest.approx(1)


def test_without_matminer(monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("matminer"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    monkeypatch.delitem(sys.modules, "skuae.matminer", raising=False)
    with pytest.raises(ImportError, match=r'pip install "skuae\[matminer\]"'):
        importlib.import_module("skuae.matminer")
