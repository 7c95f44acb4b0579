"""Results of `--scheduler` are one table, whatever the rows of each part are."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skuae import UAETransformer
from skuae.cli import main
from skuae.commands import _parts
from skuae.commands._model import SavedModel
from skuae.commands._output import arrow
from skuae.commands.predict import predict_part
from skuae.datasets import make_toy_crystals

pytest.importorskip("pyarrow")
FAILED = [*[True] * 4, *[False, True, True, False], *[False] * 5, True, *[False] * 6]


@pytest.fixture
def mixed(parts):
    """Parts with rows that fail, the first one with no others, and one without rows."""
    frame = pd.read_parquet(parts / "part-0.parquet").assign(note=None, n=7)
    frame.assign(cif=["data_a", "N/A", "N/A", "/etc/passwd"]).to_parquet(parts / "a.parquet")
    frame[:0].to_parquet(parts / "b.parquet")
    frame.loc[[1, 2], "cif"] = "N/A"
    frame.assign(note=list("vwxy"), id=list("vwxy")).to_parquet(parts / "c.parquet")
    return parts


def types(folder):
    """Return the types of the columns, which all files share."""
    first, *others = [
        {field.name: str(field.type) for field in arrow().parquet.read_schema(path)}
        for path in sorted(folder.iterdir())
    ]
    assert all(found == first for found in others)
    return first


@pytest.mark.parametrize("name", ["regressor", "classifier"])
def test_predictions(inline, mixed, name, request, tmp_path, capsys):
    model, out = request.getfixturevalue(name), tmp_path / "out"
    capsys.readouterr()
    command = ["predict", str(model), str(mixed), "-o", str(out), "--scheduler", "local"]
    assert main([*command, "--quiet"]) == 1
    assert capsys.readouterr().out == f"20 rows in 6 files -> {out}\n"
    found = types(out)
    expected = {"id": "string", "unseen_elements": "string", "error": "string"}
    expected |= {"kind_predicted": "string"} if name == "classifier" else {}
    assert {key: kind for key, kind in found.items() if kind != "double"} == expected
    table = pd.read_parquet(out)
    assert table["error"].notna().tolist() == FAILED
    assert table["error"][3].startswith("'/etc/passwd' would be read from outside of")
    assert pd.read_parquet(out / "b.parquet").shape == (0, len(found))
    assert main([*command, "--quiet"]) == 1
    assert "20 rows in 6 files (6 were there)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("classes", "kind"), [([1, 2], "int64"), ([True, False], "bool"), (["a", "b"], "string")]
)
def test_classes_have_their_type(classes, kind, mixed, tmp_path):
    toy = make_toy_crystals(12, prototypes="rocksalt", random_state=0)
    model = make_pipeline(UAETransformer("magpie"), LogisticRegression())
    model = SavedModel(model.fit(toy.structures, np.array(classes * 6)), ["y"], {}, None)
    for name in "abc":
        source, target = mixed / f"{name}.parquet", tmp_path / f"{name}.parquet"
        _parts._make(predict_part, model, str(source), target, "{}", {})
    found = [arrow().parquet.read_schema(tmp_path / f"{name}.parquet") for name in "abc"]
    assert found[0].equals(found[1]) and found[0].equals(found[2])
    assert str(found[0].field("y_predicted").type) == kind
    assert set(pd.read_parquet(tmp_path / "c.parquet")["y_predicted"].dropna()) <= set(classes)


def test_features_beside_columns_of_the_input(inline, mixed, tmp_path, capsys):
    """The note is empty in some parts, and numbers have gaps in some."""
    for path in mixed.glob("part-*"):
        pd.read_parquet(path).assign(note=np.nan, n=7).to_parquet(path)
    for path in mixed.iterdir():
        frame = pd.read_parquet(path)
        kinds = {"level": pd.Categorical(["l"] * len(frame)), "day": pd.Timestamp("2026-01-01")}
        frame.assign(**kinds, good=True, cells=[[1, 2]] * len(frame)).to_parquet(path)
    out = tmp_path / "out"
    command = ["featurize", str(mixed), "-o", str(out), "--scheduler", "local", "--quiet"]
    command += ["--embedding", "magpie"]
    assert main(command) == 1
    found = types(out)
    assert (found["note"], found["n"], found["y"], found["id"]) == (
        "string", "int64", "double", "string",
    )  # fmt: skip
    features = list(UAETransformer("magpie").feature_labels())
    assert {found[name] for name in features} == {"float"}
    table = pd.read_parquet(out)
    assert table["error"].notna().tolist() == FAILED
    assert table["note"].tolist() == [*[None] * 4, "v", None, None, "y", *[None] * 12]
    capsys.readouterr()
    # A type in one part that changes the others makes these again.
    frame = pd.read_parquet(mixed / "c.parquet")
    frame.assign(n=[1.5, None, 2, 3]).to_parquet(mixed / "c.parquet")
    assert main(command) == 1
    assert capsys.readouterr().out == f"20 rows in 6 files -> {out}\n"
    assert types(out)["n"] == "double"
    assert pd.read_parquet(out)["n"].tolist()[4:8:3] == [1.5, 3]


def test_columns_of_other_kinds_stay_what_they_are(inline, parts, tmp_path):
    frame = pd.read_parquet(parts / "part-0.parquet")
    frame.assign(n=list("abcd")).to_parquet(parts / "part-0.parquet")
    frame.assign(n=2**60).to_parquet(parts / "part-1.parquet")
    command = ["featurize", str(parts), "-o", str(tmp_path / "out"), "--scheduler", "local"]
    assert main([*command, "--embedding", "magpie", "--quiet"]) == 0
    assert pd.read_parquet(tmp_path / "out" / "part-0.parquet")["n"].tolist() == list("abcd")
    assert pd.read_parquet(tmp_path / "out" / "part-1.parquet")["n"].tolist() == [2**60] * 4


def test_files_that_fail_are_named_once(inline, parts, tmp_path, monkeypatch, capsys):
    (parts / "part-0.parquet").write_text("x")
    make = _parts._make

    def fail(compute, shared, source, *more):
        if source.endswith("part-1.parquet"):
            raise KeyError("x")
        make(compute, shared, source, *more)

    monkeypatch.setattr(_parts, "_make", fail)
    command = ["featurize", str(parts), "-o", str(tmp_path / "out"), "--scheduler", "local"]
    assert main([*command, "--quiet"]) == 2
    err = capsys.readouterr().err
    assert f"2 of 3 files failed: {parts / 'part-0.parquet'} is damaged" in err
    assert err.count("part-0.parquet") == 1 and "ValueError" not in err
    assert f"; {parts / 'part-1.parquet'}: KeyError: 'x'. The others are done" in err
