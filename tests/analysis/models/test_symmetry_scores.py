"""Equivalent sites have equal environments; the control shows what that is worth."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from scipy.stats import ks_2samp
from small_backbones import SMALL

from skuae import CrystalGNNRegressor
from skuae.analysis import site_environments, symmetry_scores
from skuae.analysis.models._symmetry_scores import _apart
from skuae.datasets import load_mp_mini, make_toy_crystals

FAST = {"max_epochs": 1, "random_state": 0, "device": "cpu"}
# Two kinds of oxygen, and two titanium that are equivalent.
LAYERED = Structure.from_spacegroup(
    "P4/mmm", Lattice.tetragonal(3.9, 12.0), ["Sr", "Ti", "O", "O"],
    [[0.5, 0.5, 0.0], [0, 0, 0.2], [0, 0, 0.36], [0.5, 0, 0.2]],
)  # fmt: skip


@pytest.fixture(scope="module")
def gnn():
    toy = make_toy_crystals(24, random_state=0)
    return CrystalGNNRegressor(SMALL["sen"], **FAST).fit(toy.structures, toy.target)


def test_scores_of_a_crystal(gnn):
    found = symmetry_scores(gnn, [LAYERED, make_toy_crystals(1, random_state=0).structures[0]])
    assert found.scores["orbits"].tolist() == [4, 2]
    assert found.scores["within"][0] < 1e-5
    assert found.scores["between"][0] > 1e-3
    assert found.scores.loc[1, ["within", "between"]].isna().all()  # one site of each element
    environments = site_environments(gnn, [LAYERED]).to_numpy()
    scale = np.sqrt((environments**2).sum(axis=1).mean())
    heights = LAYERED.frac_coords[:, 2]
    oxygen = np.array([site.specie.symbol == "O" for site in LAYERED])
    first, other = (np.flatnonzero(oxygen & np.isclose(heights, z))[0] for z in (0.36, 0.2))
    expected = np.linalg.norm(environments[first] - environments[other]) / scale
    alone = symmetry_scores(gnn, [LAYERED], control=None)
    assert alone.scores["between"][0] == pytest.approx(expected, rel=1e-4)
    assert alone.control is None and list(alone.summary.index) == ["trained"]


def test_untrained_networks_pass_as_well():
    crystals = load_mp_mini().structures[:60]
    model = CrystalGNNRegressor(SMALL["cgcnn"], **FAST).fit(crystals, np.arange(60.0))
    found = symmetry_scores(model, crystals, random_state=1)
    assert list(found.summary.index) == ["trained", "untrained"]
    assert (found.summary["equal"] > 0.9).all()
    assert (found.summary["apart"] > 0.6).all()
    again = symmetry_scores(model, crystals, random_state=1)
    np.testing.assert_array_equal(again.control, found.control)
    other = symmetry_scores(model, crystals, random_state=2)
    assert not np.array_equal(other.control["between"], found.control["between"], equal_nan=True)
    np.testing.assert_array_equal(other.scores, found.scores)


def test_the_published_statistic_does_not_see_an_order(gnn):
    found = symmetry_scores(gnn, [LAYERED], statistic="ks")
    assert found.scores["within"][0] == 0
    assert 0 < found.scores["between"][0] <= 1


def test_rounding_of_equal_sites_does_not_count(gnn):
    """Equal environments stay equal wherever their numbers lie, also where rounding would cut."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal(64)
    assert _apart(np.stack([a, a[::-1] + 3e-7 * rng.standard_normal(64)]), "ks").max() == 0
    b = a + 0.05 * rng.standard_normal(64)
    expected = ks_2samp(a, b).statistic
    np.testing.assert_allclose(_apart(np.stack([a, b]), "ks"), [[0, expected], [expected, 0]])


def test_what_makes_no_sense(gnn):
    with pytest.raises(ValueError, match="statistic must be one of distance, ks; got 'cosine'"):
        symmetry_scores(gnn, [LAYERED], statistic="cosine")
    with pytest.raises(ValueError, match='control must be "untrained" or None'):
        symmetry_scores(gnn, [LAYERED], control="random")
    blind = CrystalGNNRegressor(SMALL["crystal_transformer"], **FAST)
    toy = make_toy_crystals(8, random_state=0)
    with pytest.raises(ValueError, match="CrystalTransformer has no vectors of sites"):
        symmetry_scores(blind.fit(toy.structures, toy.target), toy.structures)
