import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from sklearn.pipeline import make_pipeline

from skuae import CrystalGNNClassifier, CrystalGNNRegressor, UAETransformer, as_crystals, models
from skuae.analysis import attribute_atoms
from skuae.datasets import make_toy_crystals

SMALL = {
    "cgcnn": models.CGCNN(atom_dim=16, n_conv=1, hidden_dim=16, whole_shell=True),
    "megnet": models.MEGNet(n_blocks=1, hidden_dim=16, block_dim=8),
    "alignn": models.ALIGNN(hidden_dim=16, n_alignn=1, n_gcn=1, expansion_dim=8),
}


@pytest.fixture(scope="module")
def toy():
    return make_toy_crystals(30, prototypes=("rocksalt", "perovskite"), random_state=0)


def fit(backbone, X, y, **options):
    options = {"max_epochs": 2, "random_state": 0, **options}
    return CrystalGNNRegressor(SMALL[backbone], **options).fit(X, y)


def conventional(crystals, rows):
    """Cells with more atoms than those that differ."""
    return [crystals[i].make_supercell((2, 1, 1), in_place=False) for i in rows]


def test_shares_of_alignn_add_up_to_the_prediction(toy):
    gnn = fit("alignn", toy.structures, toy.target)
    found = attribute_atoms(gnn, toy.structures)
    assert found.method == "exact"
    assert found.baseline == pytest.approx(toy.target.mean())
    total = found.sites["contribution"].groupby("row").sum() + found.baseline
    np.testing.assert_allclose(total, gnn.predict(toy.structures), atol=1e-5)
    np.testing.assert_allclose(found.predictions, total, atol=1e-9)
    assert np.ptp(total) > 0.01


def test_occlusion_is_the_drop_when_one_atom_becomes_the_mean_of_the_seen(toy):
    gnn = fit("cgcnn", toy.structures, toy.target, embedding="magpie")
    crystals = toy.structures[:3]
    found = attribute_atoms(gnn, crystals)
    assert found.method == "occlusion" and found.baseline is None
    np.testing.assert_allclose(found.predictions, gnn.predict(crystals), atol=1e-5)
    # The same by hand: gold, which is in no crystal, gets the mean vector of the elements seen.
    weight = gnn.net_.module_.elements.weight.data
    weight[78] = weight[np.flatnonzero(gnn.network_.elements.seen)].mean(0)
    for (row, site), line in found.sites.iterrows():
        structure = crystals[row]
        before = gnn.predict([structure])[0]
        structure[site] = "Au"
        assert line["contribution"] == pytest.approx(before - gnn.predict([structure])[0], abs=1e-5)


@pytest.mark.parametrize("backbone", SMALL)
def test_equal_atoms_get_equal_values(backbone, toy):
    gnn = fit(backbone, toy.structures, toy.target)
    sites = attribute_atoms(gnn, conventional(toy.structures, [0, 1, 2, 3])).sites
    by_species = sites["contribution"].groupby(["row", sites["species"]])
    assert by_species.size().max() >= 4
    in_crystal = sites["contribution"].groupby("row").agg(np.ptp)
    assert by_species.agg(np.ptp).max() < 0.02 * in_crystal.min()


def test_elements_do_not_depend_on_the_size_of_the_cell(toy):
    gnn = fit("alignn", toy.structures, toy.target)
    small = attribute_atoms(gnn, toy.structures[:4]).elements
    large = attribute_atoms(gnn, conventional(toy.structures, range(4))).elements
    np.testing.assert_allclose(small["mean"], large["mean"], atol=1e-4)
    assert list(small["n"]) == list(large["n"])
    assert small["std"].isna().tolist() == (small["n"] == 1).tolist()


@pytest.mark.parametrize("backbone", SMALL)
def test_a_target_made_by_one_element_is_found(backbone):
    toy = make_toy_crystals(90, prototypes=("rocksalt", "perovskite"), random_state=0)
    rows, numbers, amounts = toy.structures.composition()
    is_oxygen = numbers == 8
    y = np.zeros(len(toy.structures))
    y[rows[is_oxygen]] = amounts[is_oxygen] / toy.structures.sizes[rows[is_oxygen]]
    gnn = fit(backbone, toy.structures, y, embedding="onehot", max_epochs=40, batch_size=8)
    elements = attribute_atoms(gnn, toy.structures).elements
    assert elements["mean"].abs().idxmax() == elements["mean"].idxmax() == "O"
    others = elements["mean"].drop("O").abs().max()
    assert elements.loc["O", "mean"] > 1.5 * others
    assert elements.loc["O", "n"] == is_oxygen.sum()


def test_pipelines_and_several_targets(toy):
    names = ["electronegativity", "volume_per_atom"]
    y = toy.frame[names]
    gnn = CrystalGNNRegressor(SMALL["alignn"], max_epochs=2, loss="gaussian_nll", random_state=0)
    pipe = make_pipeline(UAETransformer("magpie"), gnn).fit(toy.frame["structure"], y)
    found = attribute_atoms(pipe, toy.frame["structure"], target="volume_per_atom")
    np.testing.assert_allclose(
        found.predictions, pipe.predict(toy.frame["structure"])[:, 1], rtol=1e-5
    )
    same = attribute_atoms(pipe, toy.frame["structure"], target=1)
    assert same.sites.equals(found.sites)
    features = pipe[0].transform(toy.frame["structure"])
    alone = attribute_atoms(make_pipeline(gnn), features, target=1)
    assert alone.sites.equals(found.sites)
    for target in (None, 2, "band_gap"):
        with pytest.raises(ValueError, match="the model has 2 targets; choose one of 0, 1, 'elec"):
            attribute_atoms(pipe, toy.frame["structure"], target=target)


def test_disordered_sites(toy):
    mixed = Structure(Lattice.cubic(4.2), [{"Na": 0.75, "K": 0.25}, "Cl"], [[0] * 3, [0.5] * 3])
    plain = Structure(Lattice.cubic(4.2), ["Na", "Cl"], [[0] * 3, [0.5] * 3])
    empty = Structure(Lattice.cubic(4.2), [{"Na": 0.5}, "Cl"], [[0] * 3, [0.5] * 3])
    crystals = as_crystals([mixed, plain, empty])
    for backbone in ("alignn", "megnet"):
        gnn = fit(backbone, toy.structures, toy.target, embedding="magpie")
        found = attribute_atoms(gnn, crystals)
        assert found.sites["species"].tolist() == [
            "Na:0.75, K:0.25", "Cl", "Na", "Cl", "Na:0.5", "Cl",
        ]  # fmt: skip
        assert found.elements["n"].to_dict() == {"Na": 3, "Cl": 3, "K": 1}
        np.testing.assert_allclose(found.predictions, gnn.predict(crystals), atol=1e-5)
        # All that a mixed site is worth goes to its species.
        share = found.sites.loc[(0, 0), "contribution"]
        assert found.elements.loc["K", "mean"] == pytest.approx(2 * share)


def test_what_cannot_be_explained(toy):
    gnn = fit("megnet", toy.structures, toy.target)
    with pytest.raises(ValueError, match="read-out of MEGNet is not linear"):
        attribute_atoms(gnn, toy.structures, method="exact")
    with pytest.raises(ValueError, match="method='shap' must be one of 'auto', 'exact', 'occ"):
        attribute_atoms(gnn, toy.structures, method="shap")
    for target in (1, True, 0.0, "gap"):
        with pytest.raises(ValueError, match="the model has 1 targets; choose one of 0"):
            attribute_atoms(gnn, toy.structures, target=target)
    classifier = CrystalGNNClassifier(SMALL["megnet"], max_epochs=1)
    classifier.fit(toy.structures, toy.target > toy.target.mean())
    with pytest.raises(TypeError, match="CrystalGNNClassifier is not a CrystalGNNRegressor"):
        attribute_atoms(classifier, toy.structures)
    with pytest.raises(TypeError, match="dict is not a CrystalGNNRegressor"):
        attribute_atoms({}, toy.structures)
