"""What tables of labels hold: numbers, gaps and classes, and never one for the other."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest

from skuae.datasets import make_toy_crystals, read_file, read_folder


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with the structure files a.cif to d.cif."""
    folder = tmp_path_factory.mktemp("files")
    for name, structure in zip(
        "abcd", make_toy_crystals(4, random_state=0).structures, strict=True
    ):
        structure.to(filename=str(folder / f"{name}.cif"))
    return folder


@pytest.fixture(scope="module")
def structure():
    return make_toy_crystals(1, random_state=0).structures[0].as_dict()


def quoted(cells):
    return ['"' + cell.replace('"', '""') + '"' for cell in cells]


def by_folder(folder, cells):
    lines = [f"{name},{cell}" for name, cell in zip("abcd", quoted(cells), strict=False)]
    (folder / "id_prop.csv").write_text("\n".join(lines), encoding="utf-8")
    return read_folder(folder).target


def by_file(folder, cells):
    rows = [f"{name}.cif,{cell}" for name, cell in zip("abcd", quoted(cells), strict=False)]
    (folder / "table.csv").write_text("\n".join(["file,y", *rows]), encoding="utf-8")
    return read_file(folder / "table.csv", target="y").target


READ = pytest.mark.parametrize("read", [by_folder, by_file])


@READ
@pytest.mark.parametrize(
    "text", ["1,5", "4_1", "1.5 eV", "50%", "\u22121.5", "2026-01-05", "1e400"]
)
def test_would_be_numbers_are_no_classes(files, read, text):
    for cells in ([text], [text, "metal"], ["1.5", text]):
        with pytest.raises(
            ValueError, match=r"(line \d, column 'target'|row \d: y) is .*no .*number"
        ):
            read(files, cells)


@READ
def test_a_column_of_classes_warns_of_single_numbers(files, read):
    with pytest.warns(
        UserWarning, match=r"is '1,5', no number: it has a comma.* taken for the name"
    ):
        assert list(read(files, ["metal", "1,5", "insulator"])) == ["metal", "1,5", "insulator"]
    with pytest.warns(UserWarning, match=r"is '-', which is taken for the name of a class"):
        assert list(read(files, ["metal", "-", "insulator"])) == ["metal", "-", "insulator"]


@READ
@pytest.mark.parametrize(
    "cells",
    [
        ["Fm-3m", "phase 1", "2H", "1T'"],
        ["+", "-"],
        ["Li", "Na", "K"],
        ["InF", "NaCl"],
        ["<1", ">=1"],
    ],
)
def test_names_with_digits_pass_silently(files, read, cells):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(read(files, cells)) == cells


@READ
def test_spaces_and_gaps(files, read):
    assert list(read(files, ["metal ", " metal"])) == ["metal", "metal"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # read_folder counts gaps
        np.testing.assert_array_equal(
            read(files, [" +1.5 ", "na", "", "1e3"]), [1.5, np.nan, np.nan, 1000]
        )
        assert list(read(files, ["Na", "NA"])) == ["Na", None]  # sodium


@READ
def test_numbers_keep_their_digits(files, read):
    assert read(files, ["0.1234567890123456789"])[0] == 0.1234567890123456789
    with pytest.raises(ValueError, match="more digits than a float64 keeps"):
        read(files, ["9007199254740993", "1"])


@READ
@pytest.mark.parametrize("cells", [["TRUE", "1.5"], ["1.5", "False"]])
def test_booleans_among_numbers_are_refused(files, read, cells):
    with pytest.raises(ValueError, match=r"is '(TRUE|False)', no finite number"):
        read(files, cells)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([True, 1.5], "is True, no finite number: a boolean among numbers"),
        ([True, 0], "a boolean among numbers"),
        ([2**53 + 1, 1], "9007199254740993, no finite number: it has more digits"),
        ([[1.0], [2.0]], r"is \[1.0\], no finite number \(2 such cells\)"),
        (["1,5", 2], "'1,5', no finite number: it has a comma"),
    ],
)
def test_values_in_json(files, structure, cells, message):
    rows = [{"id": str(i), "structure": structure, "y": cell} for i, cell in enumerate(cells)]
    (files / "table.json").write_text(json.dumps(rows))
    with pytest.raises(ValueError, match=rf"row 0: y .*{message}"):
        read_file(files / "table.json", target="y")


DELIMITED = [
    ("a;1,5\nb;2,5", "semicolons"),
    ("a;1\nb;1,5", "semicolons"),
    ("id;gap\na;1", "semicolons"),
    ("x;1\ny;2", "semicolons"),
    ("a\t1.5\nb\t2", "tabs"),
    ("a 1.5\nb 2", "spaces"),
    ("a|1", "vertical bars"),
]


@pytest.mark.parametrize(("text", "name"), DELIMITED)
def test_other_delimiters_of_id_prop_are_named(files, text, name):
    (files / "id_prop.csv").write_text(text)
    with pytest.raises(ValueError, match=f"separates columns by {name}; save it with commas"):
        read_folder(files)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id;file;y\na;a.cif;1,5", "separates columns by semicolons"),
        ("file\ty\na.cif\t1", "separates columns by tabs"),
        ("file y\na.cif 1", "separates columns by spaces"),
        ("file,y,y\na.cif,1,2", "two columns 'y'"),
        ("file,y, y\na.cif,1,2", "two columns 'y'"),
        ("id,file,y\na,a.cif,1,", "line 2 has 4 columns, the first line has 3"),
        ("id,file,y\na,a.cif,1\nb,b.cif", "line 3 has 2 columns, the first line has 3"),
        ('file,y\na.cif,"1\n', "see whether all quotes are closed"),
        ("# made by me\nfile,y\na.cif,1", "line 1 is a comment"),
        ("id,file,y\na,a.cif,1\n a ,b.cif,2", "rows 0 and 1 have the id 'a'"),
        ("", "is empty"),
    ],
)
def test_tables_that_would_be_misread(files, text, message):
    (files / "table.csv").write_text(text)
    with pytest.raises(ValueError, match=rf"table\.csv.*{message}"):
        read_file(files / "table.csv", target="y")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# made by me\na,1", "line 1 is a comment"),
        ("a,1\n# b\nb,2", "line 2 is a comment"),
        ('a,"metal\nb,insulator\nc,"metal', "goes on over lines; close the quote"),
        ("id,gap, gap\na,1,2", "two columns 'gap'"),
        ('x,"1,5"\na,1\nb,2', "line 1, column 'target' is '1,5'"),  # no header
    ],
)
def test_id_prop_that_would_be_misread(files, text, message):
    (files / "id_prop.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_folder(files)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_text_in_another_encoding_is_named(files, encoding):
    (files / "id_prop.csv").write_bytes("a,1\nb,2\n".encode(encoding))
    with pytest.raises(ValueError, match=r"is not UTF-8 text.*save it as UTF-8"):
        read_folder(files)
    (files / "table.csv").write_bytes("file,y\na.cif,1\n".encode(encoding))
    with pytest.raises(ValueError, match=r"is not UTF-8 text.*save it as UTF-8"):
        read_file(files / "table.csv")


@pytest.mark.parametrize("text", ["id,y\na,1\nb,2\n", "\ufeffid,y,\r\na,1,\r\nb,2,\r\n,,\r\n\r\n"])
def test_what_spreadsheets_add_is_no_column_and_no_row(files, text):
    (files / "id_prop.csv").write_bytes(text.encode())
    data = read_folder(files)
    assert data.target_names == ["y"] and data.target.tolist() == [1, 2]
    text = text.replace("id,", "file,").replace("a,", "a.cif,").replace("b,", "b.cif,")
    (files / "table.csv").write_bytes(text.encode())
    assert read_file(files / "table.csv", target="y").target.tolist() == [1, 2]


def test_long_cells_are_read(files):
    cif = (files / "a.cif").read_text() + "#" * 140_000
    pd.DataFrame({"cif": [cif], "y": [1]}).to_csv(files / "table.csv", index=False)
    assert read_file(files / "table.csv", target="y").target.tolist() == [1]


def test_columns_that_are_no_target(files):
    rows = ["file,n,x,metal,code,kind", "a.cif,1,1.5,True,007,ion", "b.cif,2,,False,008,na"]
    (files / "table.csv").write_text("\n".join(rows))
    labels = read_file(files / "table.csv").labels
    assert labels.dtypes.astype(str).tolist() == ["int64", "float64", "bool", "object", "object"]
    assert labels.code.tolist() == ["007", "008"]
    assert labels.isna().sum().tolist() == [0, 1, 0, 0, 1]


@pytest.mark.parametrize("kind", [".json", ".jsonl"])
def test_entries_given_twice_are_refused(files, structure, kind):
    record = f'{{"id": "a", "structure": {json.dumps(structure)}, "y": 1, "y": 2}}'
    path = files / f"twice{kind}"
    path.write_text(record if kind == ".jsonl" else f"[{record}]")
    with pytest.raises(ValueError, match="an object has two entries 'y'; keep one"):
        read_file(path, target="y")


def test_columns_given_twice_are_refused(files, structure):
    table = {"index": ["a"], "columns": ["structure", "y", "y"], "data": [[structure, 1, 2]]}
    (files / "twice.json").write_text(json.dumps(table))
    with pytest.raises(ValueError, match="two columns 'y'; rename one"):
        read_file(files / "twice.json", target="y")
    (files / "once.json").write_text(json.dumps([{"structure": structure, "y": 1}]))
    with pytest.raises(ValueError, match=r"target=\['y', 'y'\] names a column twice"):
        read_file(files / "once.json", target=["y", "y"])


def test_parquet_columns_given_twice_are_refused(files, structure):
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    columns = [["a"], [json.dumps(structure)], [1.0], [2.0]]
    parquet.write_table(
        pyarrow.table(columns, names=["id", "structure", "y", "y"]), files / "twice.parquet"
    )
    with pytest.raises(ValueError, match="two columns 'y'; rename one"):
        read_file(files / "twice.parquet", target="y")


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["a", "a "], "rows 0 and 1 have the id 'a'"),
        ([7, "7"], "rows 0 and 1 have the id '7'"),
        ([1e20, 2.0], "the ids in id are floats, which hold no more than 15 digits"),
    ],
)
def test_ids_that_are_not_told_apart(files, structure, ids, message):
    rows = [{"id": name, "structure": structure} for name in ids]
    (files / "ids.json").write_text(json.dumps(rows))
    with pytest.raises(ValueError, match=message):
        read_file(files / "ids.json")
