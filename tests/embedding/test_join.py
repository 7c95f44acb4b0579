from pathlib import Path

import numpy as np
import pytest

from skuae import CrystalTransformerRegressor, ElementTable
from skuae.embedding import get_table, join_tables


def distances(table):
    rows = table.values[table.seen].astype(float)
    return ((rows[:, None] - rows) ** 2).sum(axis=-1)


def test_squared_distances_are_the_mean_of_those_of_the_parts():
    rng = np.random.default_rng(0)
    symbols = ["H", "O", "Fe", "Na", "Cl"]
    parts = [ElementTable(rng.normal(size=(5, d)), symbols, name="t") for d in (3, 7)]
    joined = distances(join_tables(parts, name="joined"))
    mean = sum(distances(part) / distances(part).mean() for part in parts)
    np.testing.assert_allclose(joined / joined.mean(), mean / mean.mean(), rtol=1e-5)


def test_only_common_elements_and_only_the_first_axes():
    both = join_tables(["magpie", "mat2vec"], 8, name="both")
    assert both.symbols == get_table("magpie").symbols
    spread = both.values[both.seen].std(axis=0)
    assert both.n_dims == 8 and (np.diff(spread) <= 0).all()
    assert both.values[both.seen].std() == pytest.approx(1, rel=1e-5)


def test_axes_of_rounding_are_left_out():
    # pairs of columns that depend on each other, but for their rounding to single precision
    rows = np.random.default_rng(0).normal(size=(20, 3))
    table = ElementTable(np.hstack([rows, rows / 3, rows + 1]), range(1, 21), name="three")
    assert join_tables([table, table], name="joined").n_dims == 3
    with pytest.raises(ValueError, match="n_dims=4; from 1 to 3"):
        join_tables([table, table], 4, name="joined")


def test_tables_come_one_by_one():
    expected = join_tables(["magpie", "cgcnn"], name="both")
    joined = join_tables(iter(["magpie", "cgcnn"]), name="both")
    np.testing.assert_array_equal(joined.values, expected.values)


def test_files_and_frames_are_joined_as_tables_are(tmp_path):
    table = get_table("magpie")
    table.save(tmp_path / "own.safetensors")
    for other in (
        tmp_path / "own.safetensors",
        str(tmp_path / "own.safetensors"),
        table.to_frame(),
    ):
        joined = join_tables([other, "cgcnn"], name="both")
        expected = join_tables([table, "cgcnn"], name="both")
        np.testing.assert_array_equal(joined.values, expected.values)


def test_what_cannot_be_joined():
    with pytest.raises(ValueError, match="tables is empty"):
        join_tables([], name="none")
    one, other = (ElementTable([[1.0, 2.0]], [e], name=e) for e in ("H", "He"))
    with pytest.raises(ValueError, match="H, He have 0 elements in common"):
        join_tables([one, other], name="none")
    same = ElementTable(np.ones((3, 2)), ["H", "He", "Li"], name="same")
    with pytest.raises(ValueError, match="'same' says the same of all"):
        join_tables([same], name="none")
    with pytest.raises(TypeError, match="an estimator"):
        join_tables([CrystalTransformerRegressor()], name="none")
    for one in (same, same.to_frame(), Path("own.csv"), "magpie"):
        with pytest.raises(TypeError, match="pass a list"):
            join_tables(one, name="none")
    with pytest.raises(ValueError, match="n_dims=99; from 1 to 20"):
        join_tables([get_table("magpie")], 99, name="none")
