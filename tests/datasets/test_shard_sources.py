"""Shards from files: tables of several kinds, folders of them, folders of structure files."""

import numpy as np
import pandas as pd
import pytest

from skuae.datasets import make_toy_crystals, read_structures, write_shards

pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def toy():
    return make_toy_crystals(14, target="electronegativity", random_state=0)


@pytest.fixture
def frame(toy):
    cifs = [structure.to(fmt="cif") for structure in toy.structures]
    more = {"gap": toy.target, "stable": np.arange(14) % 2 == 0, "note": "-"}
    return pd.DataFrame({"cif": cifs, **more, "id": [f"c{i}" for i in range(14)]})


def assert_close(shards, toy, rows=slice(None)):
    expected = toy.structures[rows]
    found = shards.crystals
    assert np.array_equal(found.numbers, expected.numbers)
    assert np.allclose(found.volumes, expected.volumes)


def test_parquet_is_read_in_pieces(toy, frame, tmp_path, monkeypatch):
    frame.to_parquet(tmp_path / "a.parquet", row_group_size=4)
    monkeypatch.setattr(pd, "read_parquet", None)
    shards = write_shards(tmp_path / "a.parquet", "gap", tmp_path / "s", shard_size=5)
    assert repr(shards) == "Shards(n_crystals=14, n_shards=3)"
    assert_close(shards, toy)
    assert shards.ids.tolist() == frame["id"].tolist()
    assert shards.target_names == ["gap"]
    assert np.array_equal(shards.target, toy.target)


def test_folders_of_parquet_files_are_one_table(toy, frame, tmp_path):
    folder = tmp_path / "parts"
    folder.mkdir()
    frame[:6].to_parquet(folder / "part-0.parquet")
    frame[6:].to_parquet(folder / "part-1.parquet")
    shards = write_shards(folder, ["gap", "stable"], tmp_path / "s", shard_size=5)
    assert repr(shards) == "Shards(n_crystals=14, n_shards=3)"
    assert_close(shards, toy)
    assert np.array_equal(shards.labels["gap"], toy.target)
    assert shards.labels["stable"].tolist() == frame["stable"].tolist()


def test_tables_of_other_kinds(toy, frame, tmp_path):
    frame[:6].to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    frame[6:].to_csv(tmp_path / "b.csv", index=False)
    paths = [tmp_path / "a.jsonl", str(tmp_path / "b.csv")]
    shards = write_shards(paths, "gap", tmp_path / "s", shard_size=5)
    assert_close(shards, toy)
    assert np.allclose(shards.target, toy.target, rtol=1e-9)


def test_folders_of_structure_files(toy, frame, tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    for i, text in enumerate(frame["cif"]):
        (folder / f"{i:02d}.cif").write_text(text)
    plain = write_shards(folder, toy.target, tmp_path / "plain", shard_size=5)
    assert_close(plain, toy)
    assert np.array_equal(plain.target, toy.target)
    assert plain.ids.tolist() == read_structures(folder).ids.tolist()
    lines = [f"{i:02d},{y}" for i, y in enumerate(toy.target)]
    (folder / "id_prop.csv").write_text("\n".join([*lines[::-1], "missing,1"]))
    listed = write_shards(folder, "target", tmp_path / "s", shard_size=5, on_error="skip")
    assert_close(listed, toy, slice(None, None, -1))
    assert np.array_equal(listed.target, toy.target[::-1])
    assert listed.errors["id"].tolist() == ["missing"]
    files = [str(path) for path in sorted(folder.glob("*.cif"))]
    assert_close(write_shards(files, None, tmp_path / "list", shard_size=5), toy)


@pytest.mark.parametrize(
    ("ids", "said"),
    [(["q", "q"], "rows 7 and 8 have the id 'q'"), (["q", None], "row 8: it has no id")],
)
def test_rows_with_bad_ids_are_counted_from_the_first_of_the_table(frame, tmp_path, ids, said):
    frame.loc[7:8, "id"] = ids
    frame.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=said):
        write_shards(tmp_path / "a.parquet", "gap", tmp_path / "s", shard_size=5)


def test_formulas_are_no_structures(tmp_path):
    said = r"row 0: 'NaCl' is a formula, not a file: .*UAETransformer"
    with pytest.raises(ValueError, match=said):
        write_shards(["NaCl", "KCl"], None, tmp_path)


def test_a_bad_cell_is_a_row_with_its_reason(frame, tmp_path):
    frame.loc[8, "cif"] = "data_x\n_cell_length_a 1"
    frame.to_parquet(tmp_path / "a.parquet")
    options = {"shard_size": 5, "on_error": "skip"}
    shards = write_shards(tmp_path / "a.parquet", "gap", tmp_path / "s", **options)
    assert shards.errors[["row", "id"]].to_numpy().tolist() == [[8, "c8"]]
    assert np.array_equal(shards.target, frame["gap"].drop(8))


@pytest.mark.parametrize(
    ("name", "y", "said"),
    [
        ("a.parquet", "band_gap", "has no column 'band_gap'"),
        ("b.parquet", "gap", "there is no file"),
        ("a.parquet", np.arange(3), "y has 3 rows, and X has more"),
        ("files", "gap", "no table with a column 'gap'"),
    ],
)
def test_what_is_not_there(frame, tmp_path, name, y, said):
    frame.to_parquet(tmp_path / "a.parquet")
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "one.cif").write_text(frame["cif"][0])
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        write_shards(tmp_path / name, y, tmp_path / "s")


def test_damaged_parquet(frame, tmp_path):
    frame.to_parquet(tmp_path / "a.parquet")
    content = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(content[:-7])
    with pytest.raises(ValueError, match=r"a\.parquet is damaged"):
        write_shards(tmp_path / "a.parquet", "gap", tmp_path / "s")


def test_cells_without_a_file_are_rows_that_cannot_be_read(frame, tmp_path):
    """Also two of them in one shard, and one that leads elsewhere."""
    frame.loc[[3, 4, 9], "cif"] = ["N/A", "N/A", "/etc/passwd"]
    frame.to_parquet(tmp_path / "a.parquet")
    options = {"shard_size": 14, "on_error": "skip"}
    shards = write_shards(tmp_path / "a.parquet", "gap", tmp_path / "s", **options)
    assert shards.errors["id"].tolist() == ["c3", "c4", "c9"]
    assert shards.errors["reason"][2].startswith("'/etc/passwd' would be read from outside of")
    with pytest.raises(ValueError, match="c3: 'N/A' is no CIF text"):
        write_shards(tmp_path / "a.parquet", "gap", tmp_path / "t")


def test_a_folder_that_names_a_file_elsewhere(toy, frame, tmp_path):
    """The row cannot be read; the others are."""
    folder = tmp_path / "files"
    folder.mkdir()
    (tmp_path / "secret.cif").write_text(frame["cif"][0])
    for i, text in enumerate(frame["cif"]):
        (folder / f"{i:02d}.cif").write_text(text)
    lines = [f"{i:02d},{y}" for i, y in enumerate(toy.target)]
    (folder / "id_prop.csv").write_text("\n".join([*lines, "../secret.cif,1"]))
    shards = write_shards(folder, "target", tmp_path / "s", shard_size=5, on_error="skip")
    assert_close(shards, toy)
    assert shards.errors["id"].tolist() == ["../secret.cif"]
    said = "'../secret.cif' would be read from outside of"
    assert shards.errors["reason"][0].startswith(said)
    with pytest.raises(ValueError, match=said):
        write_shards(folder, "target", tmp_path / "t")
    outside = write_shards(folder, "target", tmp_path / "u", allow_outside=True)
    assert len(outside) == 15


def test_one_file_in_two_pieces_of_a_table(frame, tmp_path):
    """The message counts rows from the first of the table, not of a piece."""
    for i, text in enumerate(frame["cif"]):
        (tmp_path / f"{i:02d}.cif").write_text(text)
    names = [f"{i:02d}.cif" for i in range(14)]
    names[11] = "./03.cif"
    table = frame.drop(columns="cif").assign(file=names)
    table.to_parquet(tmp_path / "a.parquet")
    said = r"a\.parquet: row 3 and row 11 are the same file"
    with pytest.raises(ValueError, match=said):
        write_shards(tmp_path / "a.parquet", "gap", tmp_path / "s", shard_size=5)
