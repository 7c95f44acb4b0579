"""read_structures: files, folders and tables, one after the other."""

import gzip
import json
import os

import numpy as np
import pandas as pd
import pytest

from skuae.datasets import make_toy_crystals, read_folder, read_structures


@pytest.fixture(scope="module")
def toy():
    return make_toy_crystals(6, random_state=0).structures.to_structures()


@pytest.fixture
def folder(toy, tmp_path, monkeypatch):
    """Write b.cif, POSCAR_a and c.json, a file that cannot be read, and others."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "in"
    folder.mkdir()
    toy[0].to(filename=str(folder / "b.cif"))
    toy[1].to(filename=str(folder / "POSCAR_a"))
    (folder / "c.json").write_text(json.dumps(toy[2].as_dict()))
    (folder / "d.cif").write_text("data_x")
    (folder / "notes.txt").write_text("1")
    (folder / ".hidden.cif").write_text("1")
    (folder / "deeper").mkdir()
    return folder


def test_a_folder_in_the_order_of_its_names(folder, toy):
    with pytest.warns(UserWarning, match=r"in: files are left out .* names \(notes\.txt\)"):
        data = read_structures("in", on_error="skip")
    names = ["in/POSCAR_a", "in/b.cif", "in/c.json", "in/d.cif"]
    assert data.ids.tolist() == data.structures.ids.tolist() == names[:3]
    assert data.rows.tolist() == [0, 1, 2]
    assert data.errors[["row", "id"]].to_numpy().tolist() == [[3, names[3]]]
    assert data.errors.reason[0].startswith("it has no atoms")
    assert [s.composition for s in data.structures] == [toy[i].composition for i in (1, 0, 2)]
    assert data.labels.shape == (3, 0) and data.target is None


@pytest.mark.filterwarnings("ignore:in. files are left out")
def test_all_that_cannot_be_read_is_named(folder):
    with pytest.raises(
        ValueError, match=r"1 of 4 structures in in were not read:\n  in/d\.cif: it"
    ):
        read_structures("in")
    data = read_structures(["in/d.cif"], on_error="skip")
    assert data.structures is None and data.rows.tolist() == [] and len(data.errors) == 1


def test_tables_and_folders_with_a_table(folder, toy):
    rows = [{"id": f"mp-{i}", "y": i, "structure": toy[i].as_dict()} for i in range(3)]
    rows[1]["structure"] = {"sites": []}
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "id_prop.csv").write_text("b,1.5\nlost,2\nd,3\n")
    data = read_structures(["in/c.json", "in/rows.jsonl", folder], on_error="skip")
    assert data.ids.tolist() == ["in/c.json", "mp-0", "mp-2", str(folder / "b.cif")]
    assert data.rows.tolist() == [0, 1, 3, 4]
    assert data.errors["id"].tolist() == ["mp-1", str(folder / "lost"), str(folder / "d.cif")]
    assert "no such file" in data.errors.reason[1]
    np.testing.assert_array_equal(data.labels["y"], [np.nan, 0, 2, np.nan])
    np.testing.assert_array_equal(data.labels["target"], [np.nan] * 3 + [1.5])


@pytest.mark.parametrize("orient", ["records", "split"])
@pytest.mark.parametrize("suffix", ["json", "json.gz"])
def test_json_is_a_table_or_a_structure_after_what_it_holds(folder, toy, orient, suffix):
    frame = pd.DataFrame({"structure": [s.as_dict() for s in toy]})
    frame.to_json(f"t.{suffix}", orient=orient)
    assert read_structures(f"t.{suffix}").ids.tolist() == [f"t.{suffix} row {i}" for i in range(6)]
    text = json.dumps(toy[0].as_dict()).encode()
    (folder / f"s.{suffix}").write_bytes(gzip.compress(text) if suffix != "json" else text)
    assert read_structures(f"in/s.{suffix}").ids.tolist() == [f"in/s.{suffix}"]


@pytest.mark.parametrize(
    ("paths", "error", "message"),
    [
        ([], ValueError, "there are no files to read"),
        ("none.cif", FileNotFoundError, "there is no file none.cif"),
        (["in/b.cif", "in/../in/b.cif"], ValueError, "b.cif is given twice"),
        (["in", "in/b.cif"], ValueError, "b.cif is given twice"),
        ("", FileNotFoundError, "empty name"),
        ("/dev/null", ValueError, "/dev/null is no regular file"),
        ("in/deeper", ValueError, "holds no structure files: CIF"),
        ("in/notes.txt", ValueError, "skuae reads CIF"),
    ],
)
@pytest.mark.filterwarnings("ignore:in. files are left out")
def test_paths_that_make_no_sense(folder, paths, error, message):
    with pytest.raises(error, match=message):
        read_structures(paths)


@pytest.mark.parametrize("missing", ["none.cif", "none.parquet", "none", "/dev/null"])
def test_missing_files_are_rows_that_failed(folder, missing):
    data = read_structures(["in/b.cif", missing, "in/c.json"], on_error="skip")
    assert data.ids.tolist() == ["in/b.cif", "in/c.json"] and data.rows.tolist() == [0, 2]
    assert data.errors.to_dict("list") == {
        "row": [1], "id": [missing], "reason": ["there is no such file, or it is no regular file"]
    }  # fmt: skip
    with pytest.raises(FileNotFoundError, match=r"there is no file none\.cif"):
        read_structures(["none.cif", missing + "x"], on_error="skip")
    with pytest.raises((FileNotFoundError, ValueError), match=missing):
        read_structures(["in/b.cif", missing])


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("t.csv", b"id,cif\na,1,2\n", "t.csv line 2 has 3 columns, the first line has 2"),
        ("t.csv", b"id,y\na,1\n", "t.csv has no column of structures. Call it structure"),
        ("t.jsonl", b'{"structure": 1}\n{"structu', "t.jsonl is damaged, or not what its name"),
        ("t.parquet", b"PAR1", "t.parquet is damaged, or not what its name says"),
        ("t.json", b"[{", "t.json is damaged, or not what its name says"),
        ("t/id_prop.csv", b"", "t/id_prop.csv is empty"),
    ],
)
def test_damaged_tables_are_rows_that_failed(folder, toy, name, content, reason):
    (folder.parent / name).parent.mkdir(exist_ok=True)
    (folder.parent / name).write_bytes(content)
    table = name.removesuffix("/id_prop.csv")
    data = read_structures(["in/b.cif", table, "in/c.json"], on_error="skip")
    assert data.ids.tolist() == ["in/b.cif", "in/c.json"] and data.rows.tolist() == [0, 2]
    assert data.errors[["row", "id"]].to_numpy().tolist() == [[1, table]]
    assert data.errors.reason[0].startswith(reason)
    assert [s.composition for s in data.structures] == [toy[i].composition for i in (0, 2)]
    data = read_structures([table, "none.cif", "in/d.cif"], on_error="skip")
    assert data.structures is None and len(data.errors) == 3
    for paths, on_error in (([table], "skip"), (["in/b.cif", table], "raise")):
        with pytest.raises(ValueError, match=f"^{reason}"):
            read_structures(paths, on_error=on_error)


def test_names_that_are_no_utf8_are_written_out(folder):
    (folder / "b.cif").rename(os.fsdecode(b"\xe9.cif"))
    assert read_structures([os.fsdecode(b"\xe9.cif")]).ids.tolist() == ["\\udce9.cif"]


def test_on_error_is_raise_or_skip():
    with pytest.raises(ValueError, match="on_error='ignore' must be"):
        read_structures("x.cif", on_error="ignore")


def test_files_elsewhere_are_read_on_request_only(folder):
    (folder / "t.csv").write_text("file\n../in/b.cif\n")
    with pytest.raises(ValueError, match=r"(?s)outside of in; .*allow_outside=True"):
        read_structures("in/t.csv")
    assert len(read_structures("in/t.csv", allow_outside=True).structures) == 1


def test_rows_of_a_table_stop_no_others(folder):
    """Two cells without a file are not one file, a file may be read twice, and none elsewhere."""
    names = ["b.cif", "N/A", "N/A", "/etc/passwd", "../in/b.cif", "./b.cif"]
    (folder / "t.csv").write_text("\n".join(["file", *names]))
    data = read_structures("in/t.csv", on_error="skip")
    assert data.rows.tolist() == [0, 5] and data.errors.row.tolist() == [1, 2, 3, 4]
    assert data.errors.reason[:2].str.startswith("'N/A' is no CIF text, and there is no").all()
    assert data.errors.reason[2] == (
        "'/etc/passwd' would be read from outside of in; move the file there"
    )
    (folder / "id_prop.csv").write_text("b\n/etc/passwd\nb.cif\n")
    data = read_structures("in", on_error="skip")
    assert data.rows.tolist() == [0, 2] and data.errors.reason[0].startswith("'/etc/passwd' would")
    (folder / "id_prop.csv").write_text("b,1\n../in/b,2\n")
    with pytest.warns(UserWarning, match="'../in/b' would be read from outside of in; move"):
        assert read_folder("in", on_error="skip").ids.tolist() == ["b"]


def test_tables_without_rows_add_none(folder):
    (folder / "t.csv").write_text("file,y\n")
    data = read_structures(["in/t.csv", "in/b.cif"], on_error="skip")
    assert data.ids.tolist() == ["in/b.cif"] and not len(data.errors)
    data = read_structures("in/t.csv", on_error="skip")
    assert data.structures is None and list(data.labels) == ["y"] and not len(data.labels)
    with pytest.raises(ValueError, match=r"t\.csv holds no rows"):
        read_structures("in/t.csv")
