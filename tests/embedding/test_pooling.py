import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from skuae.crystals import as_crystals
from skuae.embedding import ElementTable, get_table
from skuae.embedding._pooling import STATISTICS, pool


def reference(table, structure, statistics):
    """The definition, element by element, in double precision."""
    amounts = structure.composition.element_composition
    vectors = np.array([table[el.symbol] for el in amounts], dtype=np.float64)
    weights = np.array(list(amounts.values())) / sum(amounts.values())
    mean = weights @ vectors
    values = {
        "mean": mean,
        "std": np.sqrt(weights @ (vectors - mean) ** 2),
        "min": vectors.min(axis=0),
        "max": vectors.max(axis=0),
    }
    return np.concatenate([values[s] for s in statistics])


@pytest.mark.parametrize("name", ["magpie", "random", "onehot"])
@pytest.mark.parametrize("statistics", [STATISTICS, ("max", "mean"), ("std",)])
def test_equals_the_definition(name, statistics, structures, alloy):
    table = get_table(name)
    structures = [*structures, alloy]
    result = pool(table, as_crystals(structures), statistics)
    expected = np.array([reference(table, s, statistics) for s in structures])
    assert result.dtype == np.float32
    assert result.shape == (11, len(statistics) * table.n_dims)
    np.testing.assert_allclose(result, expected, rtol=2e-6, atol=2e-6)


def test_many_elements_and_several_chunks(monkeypatch):
    """Ten elements in one crystal; chunks of a few rows give what one chunk gives."""
    rng = np.random.default_rng(0)
    made = []
    for k in rng.integers(1, 11, size=60):
        numbers = rng.integers(1, 90, size=k)
        coords = np.column_stack([np.arange(k) / k, np.zeros(k), np.zeros(k)])
        made.append(Structure(Lattice.orthorhombic(3.0 * k, 3, 3), numbers, coords))
    table = ElementTable(rng.normal(size=(118, 5)), range(1, 119), name="t")
    crystals = as_crystals(made)
    result = pool(table, crystals)
    expected = np.array([reference(table, s, STATISTICS) for s in made])
    np.testing.assert_allclose(result, expected, rtol=2e-6, atol=2e-6)
    monkeypatch.setattr("skuae.embedding._pooling._CHUNK", 64)
    np.testing.assert_array_equal(pool(table, crystals), result)


def test_std_does_not_cancel(structures):
    """A large offset of a column leaves its spread alone; equal values have exactly none."""
    values = np.zeros((118, 2))
    values[:, 0] = 2.0**14 + np.arange(118) % 2  # exact in float32
    values[:, 1] = 0.1
    table = ElementTable(values, range(1, 119), name="offset")
    std = pool(table, as_crystals(structures), ("std",))
    parity = ElementTable(np.arange(118)[:, None] % 2, range(1, 119), name="parity")
    expected = [reference(parity, s, ("std",))[0] for s in structures]
    assert 0.4 < max(expected) <= 0.5
    np.testing.assert_allclose(std[:, 0], expected, rtol=1e-6)
    assert (std[:, 1] == 0).all()


def test_supercells_and_site_order_change_nothing(structures):
    table = get_table("random")
    expected = pool(table, as_crystals(structures))
    turned = []
    for structure in structures:
        larger = structure.copy()
        larger.make_supercell([3, 1, 1])
        turned.append(Structure.from_sites(larger.sites[::-1]))
    np.testing.assert_array_equal(pool(table, as_crystals(turned)), expected)


@pytest.fixture
def partial():
    """Covers oxygen, strontium and titanium only."""
    return ElementTable([[1.0], [5.0], [6.0]], ["O", "Ti", "Sr"], name="partial")


def test_missing_element_names_row_id_element_and_way_out(structures, partial):
    crystals = as_crystals(structures, ids=[f"mp-{i}" for i in range(10)])
    message = (
        r"^row 0 \(mp-0\): table 'partial' \(3 elements\) has no vector for Fe \(Z=26\); "
        r"set on_missing_element=\"mean\".*drop the row \(9 such rows; missing are Li \(Z=3\)"
    )
    with pytest.raises(ValueError, match=message):
        pool(partial, crystals)
    with pytest.raises(
        ValueError, match=r"^row 0 \(mp-1\): .* for Na \(Z=11\), Cl \(Z=17\); .*row$"
    ):
        pool(partial, crystals[[1]])


def test_missing_element_mean_and_nan(structures, partial):
    srtio3, nacl, mgo = (
        next(s for s in structures if s.composition.reduced_formula == formula)
        for formula in ("SrTiO3", "NaCl", "MgO")
    )
    crystals = as_crystals([srtio3, nacl, mgo])
    mean = pool(partial, crystals, on_missing="mean")
    np.testing.assert_allclose(mean[0], pool(partial, crystals[:1])[0])
    np.testing.assert_allclose(mean[1], [4, 0, 4, 4])
    np.testing.assert_allclose(mean[2], [2.5, 1.5, 1, 4])
    nan = pool(partial, crystals, on_missing="nan")
    assert np.isnan(nan).all(axis=1).tolist() == [False, True, True]
    np.testing.assert_array_equal(nan[0], mean[0])


@pytest.mark.parametrize("statistics", ["mean", ("mean", "median"), (), ("mean", "mean"), None])
def test_bad_statistics(statistics, structures):
    with pytest.raises(ValueError, match=r"statistics is .*; give a list of .*\[\"mean\"\]"):
        pool(get_table("magpie"), as_crystals(structures), statistics)


def test_bad_on_missing(structures):
    with pytest.raises(ValueError, match="on_missing_element is 'zero'"):
        pool(get_table("magpie"), as_crystals(structures), on_missing="zero")


def test_no_rows(structures):
    assert pool(get_table("magpie"), as_crystals(structures)[:0]).shape == (0, 88)
