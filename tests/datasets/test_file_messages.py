"""What readers say about files without structures, and rows without one."""

import json

import pandas as pd
import pytest

from skuae.datasets import make_toy_crystals, read_file, read_labels, read_structures

CIFS = [s.to(fmt="cif") for s in make_toy_crystals(6, random_state=0).structures.to_structures()]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["x.cif", "POSCAR", "my.vasp", "x.CIF.gz"])
@pytest.mark.parametrize("read", [read_file, read_labels])
def test_a_structure_file_has_no_labels(folder, name, read):
    (folder / name).write_text(CIFS[0])
    with pytest.raises(ValueError) as said:
        read(name)
    assert str(said.value) == (
        f"{name} is a structure file, which has no labels: give its folder, with a table "
        "id_prop.csv of names and labels"
    )


@pytest.mark.parametrize("content", [{"sites": [], "lattice": {}}, {"atoms": {}, "jid": "J-1"}])
def test_a_structure_in_json_has_no_labels(folder, content):
    (folder / "x.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"it holds one structure, which has no labels; give its"):
        read_file("x.json")


@pytest.mark.parametrize("name", ["a.xlsx", "a.XLS", "a.ods"])
@pytest.mark.parametrize("read", [read_file, read_labels, read_structures])
def test_spreadsheets_are_to_be_saved_as_csv(folder, name, read):
    (folder / name).write_bytes(b"PK")
    with pytest.raises(ValueError, match=rf"^{name}: skuae reads no spreadsheets; save it as CSV$"):
        read(name)


def without(rows, cell, column="cif"):
    """Return a table whose rows of these numbers have this cell in place of a structure."""
    frame = pd.DataFrame({"id": [f"m{i}" for i in range(len(CIFS))], column: CIFS})
    frame.loc[rows, column] = cell
    return frame


@pytest.mark.parametrize("kind", ["csv", "json"])
@pytest.mark.parametrize("column", ["cif", "structure"])
def test_empty_cells_of_structures_are_named(kind, column):
    frame = without([1, 4], "" if kind == "csv" else None, column)
    frame.to_csv("t.csv") if kind == "csv" else frame.to_json("t.json", orient="records")
    reason = f"the cell of column {column} is empty; fill it, or take the row out"
    with pytest.raises(ValueError) as said:
        read_file(f"t.{kind}")
    assert str(said.value) == f"t.{kind}, row 1 (m1), row 4 (m4): {reason}"
    data = read_structures(f"t.{kind}", on_error="skip")
    assert data.ids.tolist() == ["m0", "m2", "m3", "m5"]
    assert data.errors.to_dict("list") == {
        "row": [1, 4], "id": ["m1", "m4"], "reason": [reason, reason]
    }  # fmt: skip


def test_other_reasons_are_counted():
    frame = without([0, 1, 2, 3, 4, 5], "")
    frame.to_csv("t.csv", index=False)
    with pytest.raises(ValueError, match=r"^t.csv, row 0 .*, row 4 \(m4\) and 1 more: the cell"):
        read_file("t.csv")
    frame.loc[2, "cif"] = "none.cif"
    frame.to_csv("t.csv", index=False)
    with pytest.raises(ValueError, match=r"row 5 \(m5\): .* \(and 1 other row cannot be read\)$"):
        read_file("t.csv")


def test_an_empty_cell_of_packed_structures_is_named(folder):
    good = {"lattice": [[4, 0, 0], [0, 4, 0], [0, 0, 4]], "atomic_numbers": [11]}
    rows = [{**good, "frac_coords": [[0, 0, 0]]}, {**good, "frac_coords": None}]
    (folder / "t.json").write_text(json.dumps(rows))
    with pytest.raises(
        ValueError, match=r"^t.json, row 1: the cell of column frac_coords is empty"
    ):
        read_file("t.json")


def test_the_columns_of_structures_are_listed(folder):
    pd.DataFrame({"y": [1, 2]}).to_csv("t.csv", index=False)
    with pytest.raises(ValueError) as said:
        read_file("t.csv")
    assert str(said.value) == (
        "t.csv has no column of structures. Call it structure, atoms, cif, file or path; or give "
        "the columns lattice, atomic_numbers and frac_coords. Its columns are y"
    )
    pd.DataFrame({"Formula": ["NaCl"], "y": [1]}).to_csv("t.csv", index=False)
    with pytest.raises(ValueError, match=r"are Formula, y\. Formulas without structures are read"):
        read_file("t.csv")
    (folder / "id_prop.csv").write_text("id,y\na,1\n")
    with pytest.raises(
        ValueError, match=r"structures\. It lists the files .* give the folder, \.$"
    ):
        read_file("id_prop.csv")


def test_rows_of_one_id_are_named():
    frame = without([], "")
    frame.assign(id=["a", "b", "c", "b", "d", "e"]).to_csv("t.csv", index=False)
    message = r"^t.csv: rows 1 and 3 have the id 'b'; keep one of them, or give them different ids$"
    with pytest.raises(ValueError, match=message):
        read_file("t.csv")
