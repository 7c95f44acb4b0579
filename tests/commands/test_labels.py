"""Labels of several DATA files: gaps are counted once, and kinds are not mixed."""

import pandas as pd
import pytest

from skuae.cli import main


@pytest.fixture
def data(files):
    """Three tables of two crystals with the label y, which is missing in three rows."""
    for i, cells in enumerate((("1", ""), ("2", "3"), ("", ""))):
        rows = [f"{name}.cif,{i}{name},{y}" for name, y in zip("ab", cells, strict=True)]
        (files / f"{i}.csv").write_text("\n".join(["file,id,y", *rows]) + "\n")
    return [f"{i}.csv" for i in range(3)]


@pytest.mark.parametrize("command", ["train", "evaluate", "pretrain"])
def test_gaps_are_counted_once(command, data, regressor, recwarn):
    missing = "3 of 6 rows have no label in y (0.csv 1, 2.csv 2); they are left out"
    options = {
        "train": [*data, "--target", "y", "-o", "m", "--test-fraction", "0.99"],  # none is left
        "evaluate": [str(regressor), *data, "--target", "y"],
        "pretrain": [*data, "--targets", "y", "-o", "t", "--max-sites", "1"],  # none is left
    }
    assert main([command, *options[command], "--quiet"]) == (0 if command == "evaluate" else 2)
    assert [str(w.message) for w in recwarn if "label" in str(w.message)] == [missing]


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_rows_without_any_label_are_one_message(command, files, regressor, capsys, recwarn):
    (files / "t.csv").write_text("file,y\na.cif,\nb.cif,\n")
    more = ["-o", "m"] if command == "train" else []
    model = [str(regressor)] if command == "evaluate" else []
    assert main([command, *model, "t.csv", "--target", "y", "--quiet", *more]) == 2
    assert capsys.readouterr().err == f"skuae {command}: no row has a label in y\n"
    assert not [w for w in recwarn if "label" in str(w.message)]


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_numbers_and_texts_are_not_mixed(command, data, regressor, capsys):
    pd.read_csv("1.csv").assign(y=["x", "z"]).to_csv("1.csv", index=False)
    more = ["-o", "m"] if command == "train" else []
    model = [str(regressor)] if command == "evaluate" else []
    assert main([command, *model, *data, "--target", "y", "--quiet", *more]) == 2
    assert capsys.readouterr().err == (
        f"skuae {command}: y holds numbers in 0.csv and texts in 1.csv; write the labels alike in "
        "all files\n"
    )
