"""skuae predict: a row for each crystal, in order, whether it can be predicted or not."""

import io
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from skuae import as_crystals
from skuae.cli import main
from skuae.datasets import read_file
from skuae.estimators import load_pretrained

QUIET = ["--quiet", "--device", "cpu"]


def test_a_small_table_with_units(regressor, files, capsys):
    assert main(["predict", str(regressor), "b.cif", "a.cif", *QUIET]) == 0
    out, err = capsys.readouterr()
    crystals = as_crystals(["b.cif", "a.cif"])
    means, stds = load_pretrained(regressor).predict(crystals, return_std=True)
    header, *rows = [line.split() for line in out.splitlines()]
    assert header == ["id", "en", "(eV)"] and err == ""
    assert [row[0] for row in rows] == ["b.cif", "a.cif"] and {row[2] for row in rows} == {"±"}
    for (_, mean, _, std), true_mean, true_std in zip(rows, means, stds, strict=True):
        assert float(std) == pytest.approx(true_std, rel=0.05)  # two digits
        assert float(mean) == pytest.approx(true_mean, abs=0.05 * true_std)


@pytest.mark.parametrize("kind", ["csv", "parquet", "json"])
def test_rows_that_fail_have_a_reason_and_stop_no_others(regressor, files, capsys, kind):
    Structure(Lattice.cubic(4), ["Lr"], [[0, 0, 0]]).to(filename="lr.cif")  # no vector of CGCNN's
    Structure(Lattice.cubic(4), ["Xe"], [[0, 0, 0]]).to(filename="xe.cif")  # in no training crystal
    names = ["a.cif", "broken.cif", "lr.cif", "xe.cif", "b.cif"]
    assert main(["predict", str(regressor), *names, "-o", f"out.{kind}", *QUIET]) == 1
    out, err = capsys.readouterr()
    assert out == f"5 rows -> out.{kind}\n"
    assert err.startswith("skuae predict: 2 of 5 rows failed; the first is broken.cif: it has no")
    readers = {"csv": pd.read_csv, "parquet": pd.read_parquet, "json": pd.read_json}
    table = readers[kind](f"out.{kind}")
    assert list(table) == ["id", "en_predicted", "en_std", "unseen_elements", "error"]
    assert table["id"].tolist() == names
    assert table["error"].notna().tolist() == [False, True, True, False, False]
    assert "no vector for Lr; predict with a model whose table has one" in table["error"][2]
    assert table["en_predicted"].isna().tolist() == [False, True, True, False, False]
    assert table["unseen_elements"].fillna("").tolist() == ["", "", "Lr", "Xe", ""]
    good = as_crystals(["a.cif", "xe.cif", "b.cif"])
    expected = np.transpose(load_pretrained(regressor).predict(good, return_std=True))
    found = table[["en_predicted", "en_std"]].dropna()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_warnings_name_crystals_by_id(regressor, files):
    """Numbers of the rows that were read are not those of the table."""
    Structure(Lattice.cubic(4), ["Lr"], [[0, 0, 0]]).to(filename="lr.cif")
    Structure(Lattice.cubic(30), ["Na"], [[0, 0, 0]]).to(filename="far.cif")
    names = ["broken.cif", "a.cif", "lr.cif", "b.cif", "far.cif"]
    with pytest.warns(UserWarning, match=r"^far\.cif: no atom has a neighbour within"):
        assert main(["predict", str(regressor), *names, "-o", "out.csv", *QUIET]) == 1
    assert pd.read_csv("out.csv")["error"][2].startswith("element table 'cgcnn' has")


def test_classes_with_their_probabilities_as_json(classifier, files, capsys):
    assert main(["predict", str(classifier), ".", "--json", *QUIET]) == 1
    rows = json.loads(capsys.readouterr().out)
    assert [row["id"] for row in rows] == ["a.cif", "b.cif", "broken.cif"]
    assert rows[2]["kind_predicted"] is None and "no atoms" in rows[2]["error"]
    for row in rows[:2]:
        shares = {name: row[f"kind_p_{name}"] for name in "abc"}
        assert sum(shares.values()) == pytest.approx(1) and row["error"] is None
        assert row["kind_predicted"] == max(shares, key=shares.get)


def test_files_folders_and_tables_one_after_the_other(regressor, cifs, files, capsys, toy):
    frame = pd.DataFrame({"structure": [toy.structures[5].as_dict(), {"sites": []}]})
    frame.to_json("rows.json", orient="records")
    (files / "more").mkdir()
    shutil.copy("a.cif", "more")
    shutil.copy("rows.json", "more/labels.json")
    names = ["b.cif", "rows.json", str(cifs), "more"]
    with pytest.warns(UserWarning, match=r"more: files are left out .*\(labels.json\)"):
        assert main(["predict", str(regressor), *names, "-o", "out.csv", *QUIET]) == 1
    table = pd.read_csv("out.csv")
    ids = [str(cifs / f"c{i}.cif") for i in range(30)]
    assert table["id"].tolist() == [
        "b.cif",
        "rows.json row 0",
        "rows.json row 1",
        *ids,
        "more/a.cif",
    ]
    assert table.index[table["error"].notna()].tolist() == [2]
    expected = load_pretrained(regressor).predict(read_file(cifs).structures)
    np.testing.assert_allclose(table["en_predicted"][3:33], expected, rtol=1e-5)


def test_a_damaged_table_stops_no_others(regressor, files, capsys):
    (files / "rows.jsonl").write_text("{")
    assert main(["predict", str(regressor), "a.cif", "rows.jsonl", "-o", "o.csv", *QUIET]) == 1
    table = pd.read_csv("o.csv")
    assert table["id"].tolist() == ["a.cif", "rows.jsonl"]
    assert table["error"].notna().tolist() == [False, True]
    assert "the first is rows.jsonl: rows.jsonl is damaged, or not" in capsys.readouterr().err
    assert main(["predict", str(regressor), "rows.jsonl", *QUIET]) == 2
    assert "skuae predict: rows.jsonl is damaged, or not what" in capsys.readouterr().err


def test_a_list_of_files_on_stdin(regressor, files, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("a.cif\n\n b.cif \n"))
    assert main(["predict", str(regressor), "-", "-o", "out.csv", *QUIET]) == 0
    assert pd.read_csv("out.csv")["id"].tolist() == ["a.cif", "b.cif"]
    monkeypatch.setattr("sys.stdin", io.StringIO("a.cif\nnone.cif\nnone/b.cif\nb.cif\n"))
    assert main(["predict", str(regressor), "-", "-o", "some.csv", *QUIET]) == 1
    table = pd.read_csv("some.csv")
    assert table["id"].tolist() == ["a.cif", "none.cif", "none/b.cif", "b.cif"]
    assert table["error"].notna().tolist() == [False, True, True, False]
    assert table["en_predicted"].isna().tolist() == [False, True, True, False]
    assert "2 of 4 rows failed; the first is none.cif: there is no" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert main(["predict", str(regressor), "-", *QUIET]) == 2
    assert "there are no files to read" in capsys.readouterr().err


def test_long_errors_are_cut_in_print_only(regressor, files, capsys):
    (files / "a.xyz").write_text("1")
    assert main(["predict", str(regressor), "a.xyz", *QUIET]) == 1
    out, _ = capsys.readouterr()
    assert out.rstrip().endswith("[...]") and max(map(len, out.splitlines())) < 120
    assert main(["predict", str(regressor), "a.xyz", "--json", *QUIET]) == 1
    assert "save the structure as CIF or JSON" in capsys.readouterr().out


def test_nothing_but_failures_is_a_table_too(regressor, files, capsys):
    assert main(["predict", str(regressor), "broken.cif", "--json", *QUIET]) == 1
    (row,) = json.loads(capsys.readouterr().out)
    assert list(row) == ["id", "en_predicted", "en_std", "unseen_elements", "error"]
    assert row["en_predicted"] is None and row["error"]
    Structure(Lattice.cubic(4), ["Lr"], [[0, 0, 0]]).to(filename="lr.cif")
    assert main(["predict", str(regressor), "lr.cif", "-o", "out.csv", *QUIET]) == 1
    assert pd.read_csv("out.csv")["error"].notna().all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none", "a.cif"], "none holds no model: there is no folder none"),
        (["empty", "a.cif"], "empty holds no model: there is no model.safetensors in it"),
        (["a.cif", "a.cif"], "a.cif is a file; pass the folder"),
        (["MODEL", "none.cif"], "there is no file none.cif"),
        (["MODEL", "a.cif", "./a.cif"], "a.cif is given twice"),
        (["MODEL", "a.cif", "."], "a.cif is given twice"),
        (["MODEL", "empty"], "empty holds no structure files"),
        (["MODEL", "a.cif", "-o", "out.xlsx"], "-o out.xlsx: name it *.csv, *.parquet or *.json"),
        (["MODEL", "a.cif", "-o", "none/out.csv"], "there is no folder none"),
        (["MODEL", "a.cif", "-o", "old.csv"], "old.csv is there already"),
        (["MODEL", "a.cif", "--device", "tpu"], "device"),
    ],
)
def test_wrong_commands_end_without_a_traceback(regressor, files, capsys, arguments, message):
    (files / "empty").mkdir()
    (files / "old.csv").write_text("old")
    arguments = [str(regressor) if name == "MODEL" else name for name in arguments]
    assert main(["predict", *arguments, "--quiet"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("skuae predict: ") and message in err
    assert (files / "old.csv").read_text() == "old"


def test_overwrite_replaces(regressor, files):
    (files / "old.csv").write_text("old")
    assert main(["predict", str(regressor), "a.cif", "-o", "old.csv", "--overwrite", *QUIET]) == 0
    assert pd.read_csv("old.csv")["id"].tolist() == ["a.cif"]


def test_units_are_those_of_the_model_whatever_lies_beside_it(regressor, classifier, files, capsys):
    shutil.copytree(regressor, "m")
    shutil.copy(classifier / "metrics.json", "m")
    assert main(["predict", "m", "a.cif", *QUIET]) == 0
    assert capsys.readouterr().out.split()[:3] == ["id", "en", "(eV)"]
    assert main(["info", "m"]) == 0
    assert "unknown" in capsys.readouterr().out
    (files / "m" / "metrics.json").write_text("[1")
    assert main(["predict", "m", "a.cif", *QUIET]) == 0
