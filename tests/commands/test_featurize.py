"""skuae featurize: a table of features, a row for each crystal."""

import json

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from skuae import UAETransformer, as_crystals
from skuae.cli import main


@pytest.mark.parametrize("kind", ["csv", "parquet", "json"])
def test_features_with_labels_and_reasons(files, capsys, kind):
    Structure(Lattice.cubic(4), ["Lr"], [[0, 0, 0]]).to(filename="lr.cif")
    (files / "t.csv").write_text("id,file,y\nx,a.cif,1\nu,broken.cif,2\nv,lr.cif,4\nz,b.cif,3\n")
    arguments = ["featurize", "t.csv", "-o", f"out.{kind}", "--embedding", "magpie", "--quiet"]
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert out == f"4 rows -> out.{kind}\n" and "2 of 4 rows failed; the first is u: " in err
    readers = {"csv": pd.read_csv, "parquet": pd.read_parquet, "json": pd.read_json}
    table = readers[kind](f"out.{kind}")
    uae = UAETransformer("magpie")
    expected = uae.fit_transform(as_crystals(["a.cif", "b.cif"]))
    assert list(table) == ["id", "y", *uae.feature_labels(), "error"]
    np.testing.assert_allclose(table.iloc[[0, 3], 2:-1].to_numpy(float), expected, rtol=1e-6)
    assert table["id"].tolist() == ["x", "u", "v", "z"] and table["y"][3] == 3
    assert table["error"].notna().tolist() == [False, True, True, False]
    assert "Lr" in table["error"][2] and table.iloc[2, 2:-1].isna().all()


def test_settings_of_the_transformer(files):
    more = ["--set", 'statistics=["max"]', "on_missing_element=mean", "--quiet"]
    Structure(Lattice.cubic(4), ["Lr"], [[0, 0, 0]]).to(filename="lr.cif")
    names = ["a.cif", "lr.cif"]
    assert main(["featurize", *names, "-o", "out.json", "--embedding", "magpie", *more]) == 0
    uae = UAETransformer("magpie", statistics=["max"], on_missing_element="mean")
    expected = uae.fit_transform(as_crystals(names))
    rows = json.loads((files / "out.json").read_text())
    found = [list(row.values())[1:-1] for row in rows]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_nothing_but_failures_has_the_same_columns(files):
    assert main(["featurize", "broken.cif", "-o", "bad.csv", "--quiet"]) == 1
    assert main(["featurize", "a.cif", "-o", "good.csv", "--quiet"]) == 0
    assert list(pd.read_csv("bad.csv")) == list(pd.read_csv("good.csv"))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["-o", "out.txt"], "-o out.txt: name it"),
        (["--embedding", "magpi", "-o", "out.csv"], "did you mean 'magpie'"),
        (["--set", "statistic=1", "-o", "out.csv"], "did you mean statistics?"),
        (["--set", 'statistics=["mode"]', "-o", "out.csv"], "mode"),
        (
            ["--set", "statistics=mean", "-o", "out.csv"],
            """statistics=mean: it takes a list; write --set statistics='["mean"]', with both""",
        ),
        (
            ["--set", "statistics=[mean]", "-o", "out.csv"],  # as the shell passes ["mean"] on
            """statistics=[mean]: it takes a list; write --set statistics='["mean"]', with both""",
        ),
    ],
)
def test_wrong_commands_end_without_a_traceback(files, capsys, more, message):
    assert main(["featurize", "a.cif", "--quiet", *more]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("skuae featurize: ") and message in err


@pytest.mark.parametrize("name", ["error", "ct-uae-mt_mean_0"])
def test_two_columns_of_one_name_are_refused(files, capsys, name):
    (files / "t.csv").write_text(f"file,{name}\na.cif,1\n")
    assert main(["featurize", "t.csv", "-o", "out.csv", "--quiet"]) == 2
    said = f"DATA has a column '{name}', as the output will have; rename it"
    assert said in capsys.readouterr().err
