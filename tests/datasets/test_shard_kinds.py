"""Labels of shards: forms of y, and kinds that do not depend on the size of a shard."""

import numpy as np
import pandas as pd
import pytest

from skuae.datasets import make_toy_crystals, open_shards, write_shards

TOY = make_toy_crystals(24, random_state=0)


def written(folder, y, shard_size, X=TOY.structures):
    return write_shards(X, y, folder / str(shard_size), shard_size=shard_size)


@pytest.mark.parametrize(
    ("y", "error", "said"),
    [
        ("band_gap", TypeError, "y='band_gap' is the name of a column, but X is no path"),
        ({"a": [1.0] * 8}, TypeError, r"y is a dict.*pd\.DataFrame\(y\)"),
        (pd.DataFrame(np.zeros((8, 2)), columns=["a", "a"]), ValueError, "two columns called 'a'"),
        (np.zeros((8, 2, 2)), ValueError, r"shape \(8, 2, 2\)"),
        ([[[1.0]]] * 8, ValueError, "row 0 of y is .* several axes"),
        ([[1, 2]] * 7 + [[1]], ValueError, r"row 7 of y is \[1\]"),
        (1.0, TypeError, "y is a float"),
        (np.array([1, 2, 3, 2**63, 5, 6, 7, 8], np.uint64), ValueError, "row 3, label 'target' is"),
    ],
)
def test_what_is_no_y(tmp_path, y, error, said):
    with pytest.raises(error, match=said):
        write_shards(list(TOY.structures[:8]), y, tmp_path / "s", shard_size=3)
    assert not list(tmp_path.glob("s/*"))


def test_names_of_labels_of_shards(tmp_path):
    shards = written(tmp_path, TOY.target, 10)
    with pytest.raises(TypeError, match=r"pass y=shards\.labels\['target'\]"):
        write_shards(shards, "target", tmp_path / "a")
    with pytest.raises(TypeError, match=r"pass y=shards\.labels\[\['target'\]\]"):
        write_shards(shards, ["target"], tmp_path / "a")
    again = write_shards(shards, shards.labels["target"], tmp_path / "a")
    assert np.array_equal(again.target, TOY.target)


@pytest.mark.parametrize("form", [list, iter])
@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([True] * 12 + [None] + [False] * 11, [1.0] * 12 + [np.nan] + [0.0] * 11),
        ([None] * 12 + [True] * 12, [np.nan] * 12 + [1.0] * 12),
        ([None] * 12 + ["a"] * 12, [None] * 12 + ["a"] * 12),
        (["a"] * 12 + [None] * 12, ["a"] * 12 + [None] * 12),
        ([1] * 12 + [1.5] * 12, [1.0] * 12 + [1.5] * 12),
        ([None] * 12 + [7] * 12, [np.nan] * 12 + [7.0] * 12),
        ([2**60 + 1] * 24, [2**60 + 1] * 24),
        ([None] * 24, [np.nan] * 24),
    ],
)
def test_kinds_do_not_depend_on_the_size_of_a_shard(tmp_path, form, cells, expected):
    for size in (5, 12, 100):
        found = written(tmp_path, form(cells), size).target
        assert found.dtype == (object if "a" in expected else np.array(expected).dtype)
        assert pd.Series(found).equals(pd.Series(expected, dtype=found.dtype))


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ([1.0] * 12 + ["a"] * 12, r"row 12, label 'target' is 'a', no finite number"),
        (["a"] * 12 + [None] + [1.0] * 11, r"row 13, label 'target' is 1.0.*with a letter"),
        ([1.5] * 12 + [True] * 12, r"row 12, label 'target' is True.*y\.astype\(float\)"),
        (["a"] * 12 + ["a\0"] * 12, r"row 12, label 'target' is 'a\\x00', with a NUL character"),
        ([2**60 + 1] * 12 + [1.5] * 12, "cannot hold 1152921504606846977"),
    ],
)
def test_cells_that_fit_no_kind_are_named(tmp_path, cells, said):
    with pytest.raises(ValueError, match=said):
        written(tmp_path, iter(cells), 12)


def test_appended_labels_widen_the_kind(tmp_path):
    write_shards(TOY.structures[:12], np.arange(12), tmp_path)
    shards = write_shards(TOY.structures[12:], np.full(12, 0.5), tmp_path, append=True)
    assert shards.target.tolist() == [*range(12), *[0.5] * 12]
    assert open_shards(tmp_path)[3:9].target.dtype == float


def test_booleans_of_parquet_files_have_gaps_in_any_piece(tmp_path):
    pytest.importorskip("pyarrow")
    cifs = [structure.to(fmt="cif") for structure in TOY.structures]
    stable = pd.Series([True, False] * 11 + [None, True], dtype=object)
    pd.DataFrame({"cif": cifs, "stable": stable}).to_parquet(tmp_path / "a.parquet")
    for size in (5, 100):
        shards = write_shards(
            tmp_path / "a.parquet", "stable", tmp_path / f"{size}", shard_size=size
        )
        assert np.array_equal(shards.target, [1.0, 0.0] * 11 + [np.nan, 1.0], equal_nan=True)


@pytest.mark.parametrize("form", [list, iter])
def test_messages_are_short(tmp_path, form):
    with pytest.raises(ValueError, match="no finite number") as error:
        written(tmp_path, form([1.0] * 23 + ["x" * 100_000]), 12)
    assert len(str(error.value)) < 400
    with pytest.raises(ValueError, match="were not read") as error:
        write_shards(form(["x" * 100_000] * 3 + [{"a" * 100_000: 1}]), None, tmp_path / "a")
    assert len(str(error.value)) < 3000


def test_messages_of_tables_are_short(tmp_path):
    pytest.importorskip("pyarrow")
    pd.DataFrame({"cif": ["x" * 100_000] * 3}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=r"row 0: 'xxx.* is no CIF text, and there") as error:
        write_shards(tmp_path / "a.parquet", None, tmp_path / "a")
    assert all(len(line) < 300 for line in str(error.value).splitlines())
    with pytest.raises(FileNotFoundError, match="there is no file") as missing:
        write_shards("x" * 100_000, None, tmp_path / "a")
    assert len(str(missing.value)) < 400
