import numpy as np
import pytest

from skuae._elements import SYMBOLS
from skuae.embedding import ElementTable, get_table


def test_element_embeddings_round_trip():
    core = pytest.importorskip("elementembeddings.core")
    table = get_table("magpie")
    embedding = table.to_element_embeddings()
    assert isinstance(embedding, core.Embedding)
    assert embedding.dim == 22
    np.testing.assert_allclose(embedding.embeddings["Fe"], table["Fe"])
    assert embedding.embedding_name == "magpie"
    assert ElementTable.from_element_embeddings(embedding) == table


def test_from_element_embeddings_keeps_names_values_and_citation():
    core = pytest.importorskip("elementembeddings.core")
    embedding = core.Embedding.load_data("magpie")
    table = ElementTable.from_element_embeddings(embedding)
    assert table.columns[:2] == ["Number", "MendeleevNumber"]
    assert table["Fe"][0] == 26
    assert "ward2016general" in table.metadata["citation"][0]
    np.testing.assert_allclose(
        get_table("magpie").values, table.standardize().values, rtol=1e-6, equal_nan=True
    )


def test_csv_is_what_element_embeddings_reads(tmp_path):
    core = pytest.importorskip("elementembeddings.core")
    table = get_table("megnet16")
    table.to_csv(tmp_path / "t.csv")
    embedding = core.Embedding.from_csv(str(tmp_path / "t.csv"), "megnet16")
    assert ElementTable.from_element_embeddings(embedding) == table


def test_matminer_source_gives_our_numbers():
    composition = pytest.importorskip("matminer.featurizers.composition")
    from pymatgen.core import Composition

    table = get_table("magpie")
    source = table.to_matminer()
    featurizer = composition.ElementProperty(
        source, features=source.prop_names, stats=["mean", "maximum"], impute_nan=False
    )
    features = np.array(featurizer.featurize(Composition("SrTiO3"))).reshape(-1, 2).T
    vectors = table.lookup([38, 22, 8])
    np.testing.assert_allclose(features[0], vectors.T @ [0.2, 0.2, 0.6], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(features[1], vectors.max(axis=0))
    assert np.isnan(featurizer.featurize(Composition("Og"))).all()


def test_matminer_round_trip():
    pytest.importorskip("matminer")
    table = get_table("megnet16")
    again = ElementTable.from_matminer(table.to_matminer(), name="megnet16")
    assert again == table


def test_from_matminer_element_property():
    composition = pytest.importorskip("matminer.featurizers.composition")
    featurizer = composition.ElementProperty.from_preset("magpie", impute_nan=True)
    table = ElementTable.from_matminer(featurizer)
    assert table.name == "MagpieData"
    assert table.columns == featurizer.features
    assert table["Fe"][table.columns.index("MeltingT")] == 1811
    with pytest.raises(ValueError, match="does not list its properties; pass features"):
        ElementTable.from_matminer(featurizer.data_source)
    part = ElementTable.from_matminer(featurizer.data_source, ["Row", "Column"], name="part")
    np.testing.assert_array_equal(part["Fe"], [4, 8])


@pytest.mark.parametrize("impute_nan", [False, True])
@pytest.mark.parametrize(
    ("source", "n_elements"), [("MEGNetElementData", 94), ("MatscholarElementData", 103)]
)
def test_filler_of_matminer_covers_no_element(source, n_elements, impute_nan):
    data = pytest.importorskip("matminer.utils.data")
    table = ElementTable.from_matminer(getattr(data, source)(impute_nan=impute_nan))
    assert table.seen.sum() == n_elements
    assert len(np.unique(table.values[table.seen], axis=0)) == n_elements
    assert "partly_imputed_with_mean" not in table.metadata
    with pytest.raises(ValueError, match=r"no vector for Og \(Z=118\)"):
        table["Og"]


def test_imputed_elements_of_matminer_are_not_covered():
    composition = pytest.importorskip("matminer.featurizers.composition")
    data = pytest.importorskip("matminer.utils.data")
    featurizer = composition.ElementProperty.from_preset("magpie", impute_nan=True)
    table = ElementTable.from_matminer(featurizer)
    assert table.symbols == list(SYMBOLS[:112])
    assert "He (Z=2)" in table.metadata["partly_imputed_with_mean"]  # without a melting point
    assert "Fe (Z=26)" not in table.metadata["partly_imputed_with_mean"]
    electronegativity = ElementTable.from_matminer(data.PymatgenData(), ["X"])
    assert not {"He", "Ne", "Ar"} & set(electronegativity.symbols)
    assert electronegativity["F"][0] == np.float32(3.98)


def test_a_source_that_hides_what_it_imputed_is_refused():
    pytest.importorskip("matminer")

    class Source:
        impute_nan = True
        prop_names = ("a",)

        def __init__(self, path):
            pass

        def get_elemental_property(self, element, name):
            return 1.0

    with pytest.raises(
        ValueError, match=r"Source imputes means.*pass one made with impute_nan=False"
    ):
        ElementTable.from_matminer(Source("file"))


@pytest.mark.parametrize(
    ("source", "feature", "message"),
    [
        ("MagpieData", "Nmber", "MagpieData knows 'Nmber' of no element"),
        ("MagpieData", "OxidationStates", r"'OxidationStates' of H is \[-1.0, 1.0\], no number"),
        ("PymatgenData", "ionic_radii", r"'ionic_radii' of H is \{\}, no number"),
    ],
)
def test_features_that_are_no_numbers(source, feature, message):
    data = pytest.importorskip("matminer.utils.data")
    with pytest.raises(ValueError, match=message):
        ElementTable.from_matminer(getattr(data, source)(), [feature])


def test_names_that_are_no_elements():
    core = pytest.importorskip("elementembeddings.core")
    with pytest.raises(
        ValueError, match=r"'random_200' has rows for 'Uut', 'Uup', 'Uuh', which are"
    ):
        ElementTable.from_element_embeddings(core.Embedding.load_data("random_200"))


def test_from_matminer_covers_what_the_source_knows():
    data = pytest.importorskip("matminer.utils.data")
    table = ElementTable.from_matminer(data.MagpieData(impute_nan=False), ["MendeleevNumber"])
    assert 90 < table.seen.sum() < 118
    with pytest.raises(ValueError, match=r"column 'BulkModulus' of \w+ is nan.*Impute"):
        ElementTable.from_matminer(data.MagpieData(impute_nan=False), ["Number", "BulkModulus"])
