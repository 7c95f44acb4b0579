"""Element tables in the folders that skuae pretrain writes, as arguments of other commands."""

import numpy as np
import pandas as pd
import pytest

from skuae.cli import main
from skuae.embedding import get_table
from skuae.estimators import load_pretrained


@pytest.fixture
def folder(files):
    """A folder with a table, as skuae pretrain leaves it."""
    (files / "t").mkdir()
    get_table("megnet16").save("t/mine.safetensors")
    (files / "t" / "config.json").write_text("{}")
    return "t"


def test_train_and_featurize_take_the_folder(train, cifs, folder):
    more = ["--target", "en", "--test-fraction", "0", "--embedding", folder]
    assert train(cifs, "m", *more) == 0
    table = load_pretrained("m").element_table_
    assert table.symbols == get_table("megnet16").symbols and table.n_dims == 16
    assert main(["featurize", "a.cif", "-o", "f.csv", "--embedding", folder, "--quiet"]) == 0
    assert main(["featurize", "a.cif", "-o", "g.csv", "--embedding", "megnet16", "--quiet"]) == 0
    found, expected = pd.read_csv("f.csv"), pd.read_csv("g.csv")
    np.testing.assert_array_equal(found.iloc[:, 1:-1], expected.iloc[:, 1:-1])


def test_analyze_takes_the_folder(folder, monkeypatch):
    written = []

    def write_report(table, folder, *, compare_with, **_):
        written.append((table, compare_with))
        raise ValueError

    monkeypatch.setattr("skuae.analysis.write_report", write_report)
    assert main(["analyze", folder, "-o", "r", "--compare-with", "magpie", folder]) == 2
    assert written == [("t/mine.safetensors", ["magpie", "t/mine.safetensors"])]


@pytest.mark.parametrize("command", ["train", "featurize", "analyze"])
def test_folders_that_are_no_table(command, folder, files, regressor, capsys):
    get_table("megnet16").save("t/other.safetensors")
    (files / "empty").mkdir()
    arguments = {
        "train": ["a.csv", "--target", "y", "-o", "m", "--embedding"],
        "featurize": ["a.cif", "-o", "f.csv", "--embedding"],
        "analyze": ["-o", "r"],
    }[command]
    capsys.readouterr()
    for name, message in (
        ("t", "t holds several element tables; give one of t/mine.safetensors, t/other.safetenso"),
        ("empty", "empty is no element table: the folder holds no file *.safetensors\n"),
        (str(regressor), "is no element table: the folder holds a model\n"),
    ):
        assert main([command, *arguments, name]) == 2
        assert message in capsys.readouterr().err
