"""What a writing that fails leaves behind, and shards that are empty or read often."""

import os

import numpy as np
import pandas as pd
import pytest

import skuae._files
from skuae.crystals import LIMITS
from skuae.datasets import make_toy_crystals, open_shards, write_shards

TOY = make_toy_crystals(20, random_state=0)
ROWS = list(TOY.structures)


def append(folder, X, y, **options):
    return write_shards(X, y, folder, shard_size=4, append=True, **options)


@pytest.mark.parametrize(
    ("X", "y"),
    [
        (ROWS[8:], np.array([*"ab"] * 6)),
        (ROWS[8:], np.arange(3)),
        (["nonsense", *ROWS[9:]], TOY.target[8:]),
        (5, TOY.target),
        (iter([]), None),
    ],
)
def test_a_source_that_is_wrong_leaves_the_folder_as_it_was(tmp_path, X, y):
    append(tmp_path, ROWS[:8], TOY.target[:8])
    with pytest.raises((TypeError, ValueError)):
        append(tmp_path, X, y)
    assert np.array_equal(open_shards(tmp_path).target, TOY.target[:8])
    shards = append(tmp_path, ROWS[8:], TOY.target[8:])
    assert np.array_equal(shards.target, TOY.target)


def test_an_append_that_failed_later_is_dropped_or_gone_on_with(tmp_path):
    append(tmp_path, ROWS[:8], np.arange(8))
    y = np.arange(8, 20) + 0.5
    with pytest.raises(ValueError, match="were not read"):
        append(tmp_path, [*ROWS[8:14], "nonsense"], y[:7])
    with pytest.warns(UserWarning, match=r"was interrupted.*restart=True"):
        before = open_shards(tmp_path)
    assert before.target.dtype == np.int64
    assert before.target.tolist() == list(range(8))
    other = ROWS[8:][::-1]
    with pytest.raises(ValueError, match=r"not the same source.*restart=True"):
        append(tmp_path, other, y[::-1])
    shards = append(tmp_path, other, y[::-1], restart=True)
    assert shards.target.tolist() == [*range(8), *y[::-1]]
    assert np.array_equal(shards.crystals.numbers[-2:], TOY.structures[8:9].numbers)


def test_a_folder_without_a_crystal_can_be_used_again(tmp_path):
    bad = ["nonsense"] * 9
    with pytest.raises(ValueError, match=r"no structures that can be read.*row 0: there is no"):
        append(tmp_path, bad, TOY.target[:9], on_error="skip")
    assert not list(tmp_path.iterdir())
    assert len(append(tmp_path, ROWS[:9], TOY.target[:9], on_error="skip")) == 9
    with pytest.raises(ValueError, match="no structures that can be read"):
        append(tmp_path, bad, TOY.target[:9], on_error="skip")
    assert len(open_shards(tmp_path)) == 9


@pytest.mark.parametrize("form", [np.array, iter])
def test_labels_of_all_shards_are_compared(tmp_path, form):
    rows = [ROWS[0], None, *ROWS[2:]]

    def stopped():
        yield from rows[:13]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        append(tmp_path, stopped(), form(TOY.target), on_error="skip")
    y = TOY.target.copy()
    y[1] = 99  # of a row that is left out
    other = y.copy()
    other[0] = 99
    with pytest.raises(ValueError, match="rows 0 to 3 are other crystals or labels"):
        append(tmp_path, rows, form(other), on_error="skip")
    shards = append(tmp_path, rows, form(y), on_error="skip")
    assert np.array_equal(shards.target, np.delete(TOY.target, 1))


def test_a_second_writer_is_refused(tmp_path):
    pytest.importorskip("fcntl")

    def rows():
        yield from ROWS[:5]
        with pytest.warns(UserWarning, match="another process is at it"):
            assert len(open_shards(tmp_path)) == 3
        with pytest.raises(BlockingIOError, match="is writing to this folder"):
            append(tmp_path, ROWS, TOY.target)
        yield from ROWS[5:]

    append(tmp_path, ROWS[:3], TOY.target[:3])
    assert len(append(tmp_path, rows(), TOY.target)) == 23


def test_ids_that_only_some_crystals_have(tmp_path):
    named = pd.Series(ROWS[:8], ["q"] * 8)  # a Series may name rows alike, as for as_crystals
    append(tmp_path, named, TOY.target[:8])
    with pytest.warns(UserWarning, match="only the crystals in .* have ids") as caught:
        shards = append(tmp_path, ROWS[8:], TOY.target[8:])
    assert len(caught) == 1
    assert shards.ids is None
    assert shards[:8].crystals.ids.tolist() == ["q"] * 8


def test_errors_count_the_rows_of_each_source(tmp_path):
    append(tmp_path, [*ROWS[:5], "nonsense"], TOY.target[:6], on_error="skip")
    shards = append(tmp_path, [*ROWS[6:11], "nonsense"], TOY.target[6:12], on_error="skip")
    found = shards.errors[["source", "row", "id"]].to_numpy().tolist()
    assert found == [[0, 5, "row 5"], [1, 5, "row 5"]]


@pytest.mark.parametrize("shard_size", [True, 0, 2.0, None])
def test_sizes_that_are_none(tmp_path, shard_size):
    with pytest.raises(ValueError, match="shard_size must be"):
        write_shards(ROWS, None, tmp_path, shard_size=shard_size)


def test_pieces_of_parquet_files_are_limited(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    table = pd.DataFrame({"cif": [s.to(fmt="cif") for s in ROWS], "more": ["x" * 10_000] * 20})
    table.to_parquet(tmp_path / "a.parquet")
    monkeypatch.setattr(LIMITS, "table_bytes", 100_000)
    with pytest.raises(ValueError, match=r"too large.*shard_size") as error:
        write_shards(tmp_path / "a.parquet", None, tmp_path / "s", shard_size=20)
    assert "damaged" not in str(error.value)
    shards = write_shards(tmp_path / "a.parquet", None, tmp_path / "s", shard_size=5)
    assert len(shards) == 20
    need = int(str(error.value).split("table_bytes = ")[1].split(",")[0])
    monkeypatch.setattr(LIMITS, "table_bytes", need)
    assert len(write_shards(tmp_path / "a.parquet", None, tmp_path / "t", shard_size=20)) == 20


def test_empty_shards_and_arrays_without_axes(tmp_path):
    shards = write_shards(ROWS, TOY.target, tmp_path, shard_size=6)
    for found, expected in zip(shards[:0].composition(), shards.composition(), strict=True):
        assert (found.shape, found.dtype) == ((0,), expected.dtype)
    assert (shards[:0].sizes.shape, shards[:0].sizes.dtype) == ((0,), shards.sizes.dtype)
    assert shards[np.array(3)] == ROWS[3]


def test_the_sum_of_a_shard_is_checked_once(tmp_path, monkeypatch):
    shards = write_shards(ROWS, None, tmp_path, shard_size=10)
    path = tmp_path / "shard-00000.safetensors"
    os.utime(path, (1e9, 1e9))  # a file that has not been written just now
    sums = []
    of = skuae._files._sha256
    monkeypatch.setattr(skuae._files, "_sha256", lambda *given: sums.append(0) or of(*given))
    assert [shards[i] for i in range(10)] == ROWS[:10]
    assert len(sums) == 1
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="was changed since it was written"):
        shards[0]
