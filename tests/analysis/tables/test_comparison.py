import sys

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ortho_group

from skuae import ElementTable
from skuae.analysis import TableSimilarityDisplay, WarpingDisplay, compare_tables
from skuae.analysis.tables._comparison import MEASURES, smooth

pytest.importorskip("dtaidistance")

N = 40


def made(rows, name):
    return ElementTable(rows, range(1, len(rows) + 1), name=name)


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(0).normal(size=(N, 24))


@pytest.fixture(scope="module")
def mine(rows):
    return made(rows, "mine")


@pytest.fixture(scope="module")
def noise():
    return made(np.random.default_rng(1).normal(size=(N, 24)), "noise")


def compare(*tables, **options):
    return compare_tables(tables, **({"n_permutations": 5} | options))


def test_rotated_scaled_and_moved_tables_are_the_same(rows, mine):
    turn = ortho_group.rvs(24, random_state=0)
    pair = compare(mine, made(3.0 * rows @ turn + 5.0, "turned")).pairs.iloc[0]
    np.testing.assert_allclose(pair[list(MEASURES)].astype(float), 1.0, atol=1e-4)


def test_unrelated_tables_score_as_permuted_ones(mine, noise):
    pair = compare(mine, noise, n_permutations=50).pairs.iloc[0]
    for measure in MEASURES:
        assert abs(pair[measure] - pair[f"{measure}_null"]) < 0.1


def test_null_of_related_tables_is_far_below(rows, mine):
    near = made(rows + 0.1 * np.random.default_rng(2).normal(size=rows.shape), "near")
    pair = compare(mine, near).pairs.iloc[0]
    for measure in MEASURES:
        assert pair[measure] > 0.95
        assert pair[f"{measure}_null"] < 0.8


def test_measures_are_those_of_other_libraries(rows):
    from scipy.spatial import procrustes
    from scipy.spatial.distance import pdist
    from scipy.stats import spearmanr

    other = rows + np.random.default_rng(3).normal(size=rows.shape)
    a, b = made(rows, "a"), made(other, "b")
    pair = compare(a, b).pairs.iloc[0]
    x, y = a.values[:N].astype(float), b.values[:N].astype(float)
    np.testing.assert_allclose(pair["procrustes"], 1.0 - procrustes(x, y)[2], rtol=1e-6)
    np.testing.assert_allclose(pair["rsa"], spearmanr(pdist(x), pdist(y))[0], rtol=1e-6)
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    cka = np.sum((x.T @ y) ** 2) / np.linalg.norm(x.T @ x) / np.linalg.norm(y.T @ y)
    np.testing.assert_allclose(pair["cka"], cka, rtol=1e-6)


def test_tables_of_other_widths_and_other_elements(mine):
    wide = made(np.random.default_rng(4).normal(size=(60, 50)), "wide")
    pair = compare(mine, wide).pairs.iloc[0]
    assert pair["n_elements"] == N
    assert 0.0 < pair["procrustes"] < 1.0


def test_warping_of_equal_means_costs_nothing(rows, mine):
    found = compare(mine, made(rows, "copy"))
    pair = found.pairs.iloc[0]
    assert pair["dtw"] == pair["dtw_sum"] == 0.0
    assert pair["similar"] == pair["similar_inverse"] == 1.0
    assert pair["dtw_null"] > 0.0  # the same table with its columns in another order


def test_warping_of_shifted_means_costs_at_most_the_shift(rows, mine):
    path = next(iter(compare(mine, made(rows + 0.5, "moved")).paths.values()))
    assert path["cost"].between(0.0, 0.5 + 1e-5).all()
    np.testing.assert_allclose(path["cost"], (path["first"] - path["second"]).abs())
    assert (path["i"].iloc[0], path["j"].iloc[0]) == (0, 0)
    assert (path["i"].iloc[-1], path["j"].iloc[-1]) == (19, 19)  # 24 columns, window 5
    for name in ("i", "j"):
        assert set(path[name].diff().dropna()) <= {0, 1}


def test_thresholds(rows, mine):
    moved = made(rows + 0.5, "moved")
    path = next(iter(compare(mine, moved).paths.values()))
    middle = path["cost"].median()
    pair = compare(mine, moved, cost_threshold=middle, inverse_threshold=1.0 / middle).pairs.iloc[0]
    np.testing.assert_allclose(pair["similar"], (path["cost"] < middle).mean())
    assert 0.0 < pair["similar"] < 1.0
    assert abs(pair["similar"] - pair["similar_inverse"]) <= 2.0 / len(path)


def test_moving_average_of_a_ramp_is_its_interior():
    ramp = np.arange(20.0)
    np.testing.assert_allclose(smooth(ramp, 5), ramp[2:-2])
    np.testing.assert_array_equal(smooth(ramp, 1), ramp)
    with pytest.raises(ValueError, match="window=21"):
        smooth(ramp, 21)


def test_seeds_of_one_table_are_the_baseline(rows, noise):
    rng = np.random.default_rng(5)
    seeds = [made(rows + 0.1 * rng.normal(size=rows.shape), "x") for _ in range(3)]
    by_name = compare(*seeds, noise)
    assert list(by_name.pairs["kind"]) == ["seeds"] * 2 + ["tables", "seeds"] + ["tables"] * 2
    summary = by_name.summary.xs("seeds", level="kind")
    assert summary.loc[("x", "x"), "n_pairs"].item() == 3
    assert summary.loc[("x", "x"), ("rsa", "mean")] > 0.9
    as_mapping = compare_tables({"x": seeds, "noise": noise}, n_permutations=5)
    pd.testing.assert_frame_equal(as_mapping.pairs, by_name.pairs)


def test_frames_are_no_seeds(mine, noise):
    pairs = compare_tables([mine.to_frame(), noise.to_frame()], n_permutations=1).pairs
    assert pairs[["first", "second", "kind"]].values.tolist() == [["frame 0", "frame 1", "tables"]]


def test_one_hot_vectors_have_no_order_of_distances():
    assert compare("onehot", "megnet16").pairs["rsa"].item() == 0.0


@pytest.mark.parametrize(
    ("tables", "error", "words"),
    [
        (["random"], ValueError, "two or more"),
        ("random", TypeError, r"tables is one table \(str\)"),
        (made(np.eye(9), "a"), TypeError, r"tables is one table \(ElementTable\)"),
        (made(np.eye(9), "a").to_frame(), TypeError, r"tables is one table \(DataFrame\)"),
        ([made(np.eye(3), "a"), made(np.eye(3), "b")], ValueError, "3 elements in common"),
        ([made(np.ones((9, 9)), "a"), "random"], ValueError, "one vector for all"),
    ],
)
def test_errors(tables, error, words):
    with pytest.raises(error, match=words):
        compare_tables(tables)


def test_no_permutations_give_no_null(mine, noise):
    with pytest.raises(ValueError, match="n_permutations must be at least 1"):
        compare(mine, noise, n_permutations=0)


def test_names_the_extra_where_dtaidistance_is_missing(mine, noise, monkeypatch):
    monkeypatch.setitem(sys.modules, "dtaidistance", None)
    with pytest.raises(ImportError, match=r"skuae\[analysis\]"):
        compare(mine, noise)


def test_displays(mine, noise):
    found = compare(mine, noise, "random16")
    display = TableSimilarityDisplay.from_comparison(found).plot(measure="rsa")
    assert len(display.ax_.texts) == 6  # three pairs, twice
    with pytest.raises(ValueError, match="measure must be"):
        display.plot(measure="dtw")
    ax = WarpingDisplay.from_comparison(found, pair=1).plot().ax_
    assert ax.get_title() == "mine and random16"
    assert len(ax.lines[0].get_xdata()) == len(found.paths["mine", "random16", 1])
