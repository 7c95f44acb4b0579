"""skuae evaluate: errors of a saved model on labelled crystals."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, mean_absolute_error

from skuae.cli import main
from skuae.commands._scores import Scored, join
from skuae.datasets import read_file
from skuae.estimators import load_pretrained

QUIET = ["--quiet", "--device", "cpu"]


def test_a_regressor(regressor, cifs, files, capsys):
    assert main(["evaluate", str(regressor), str(cifs), "-o", "report", *QUIET]) == 0
    out = capsys.readouterr().out
    data = read_file(cifs, target="en")
    mae = mean_absolute_error(data.target, load_pretrained(regressor).predict(data.structures))
    assert out.splitlines()[1].startswith("en (eV)") and f"{mae:.5g}" in out
    notes = json.loads((files / "report" / "metrics.json").read_text())
    errors = notes["errors"]["en"]
    assert errors["MAE"] == pytest.approx(mae, rel=1e-6)
    assert errors["constant"]["RMSE"] == pytest.approx(data.target.std())
    assert errors["constant"]["R2"] == pytest.approx(0)
    held = pd.read_csv("report/predictions.csv")
    assert held["id"].tolist() == data.ids.tolist()
    assert (files / "report" / "parity.png").exists()
    assert main(["evaluate", str(regressor), str(cifs), "-o", "report", *QUIET]) == 2
    assert "metrics.json is there already" in capsys.readouterr().err


def test_a_classifier_on_labels_of_another_name(classifier, cifs, files, capsys):
    frame = pd.DataFrame({"file": [f"{x}.cif" for x in "ab"], "sort": ["b", "c"]})
    frame.to_csv("test.csv", index=False)
    more = ["--target", "sort", "--json", *QUIET]
    assert main(["evaluate", str(classifier), "test.csv", *more]) == 0
    errors = json.loads(capsys.readouterr().out)
    predicted = load_pretrained(classifier).predict(read_file("test.csv").structures)
    assert errors["sort"]["accuracy"] == accuracy_score(["b", "c"], predicted)
    assert errors["sort"]["constant"]["log_loss"] == pytest.approx(np.log(2))
    assert not (files / "report").exists()


def test_numbers_that_json_cannot_hold_are_null(regressor, files, capsys):
    (files / "t.csv").write_text("file,en\na.cif,3\nb.cif,3\n")  # no R2 of equal labels
    assert main(["evaluate", str(regressor), "t.csv", "--json", *QUIET]) == 0
    errors = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert errors["en"]["R2"] is None and errors["en"]["constant"]["MAE"] == 0


@pytest.fixture(scope="session")
def two_targets(train, toy, tmp_path_factory):
    """The folder of a model with the targets y and z."""
    folder = tmp_path_factory.mktemp("models")
    structures = [structure.as_dict() for structure in toy.structures]
    frame = pd.DataFrame({"structure": structures, "y": toy.target, "z": toy.target**2})
    frame.to_json(folder / "t.json", orient="records")
    assert train(folder / "t.json", folder / "m", "--target", "y", "--target", "z") == 0
    return folder / "m"


def test_targets_without_labels_have_no_errors(two_targets, files, capsys, recwarn):
    (files / "t.csv").write_text("file,y,z\na.cif,1,\nb.cif,3,\n")
    assert main(["evaluate", str(two_targets), "t.csv", "-o", "report", *QUIET]) == 0
    y, constant, z = capsys.readouterr().out.splitlines()[1:]
    assert y.split()[:2] == ["y", "2"] and constant.startswith("y, constant  2")
    assert z.split() == ["z", "0"]
    errors = json.loads((files / "report" / "metrics.json").read_text())["errors"]
    assert errors["y"]["constant"]["MAE"] == 1 and errors["z"] == {"n": 0}
    assert not [one for one in recwarn if "unknown labels" in str(one.message)]  # n says it


def test_targets_that_are_no_columns_are_left_out_and_named(two_targets, files, capsys):
    (files / "t.csv").write_text("file,id,z,y\na.cif,1,2,3\n")
    (files / "u.csv").write_text("file,id,z\nb.cif,2,5\n")
    command = ["evaluate", str(two_targets), "t.csv", "u.csv", "--json", *QUIET]
    assert main(command) == 0
    out, err = capsys.readouterr()
    assert list(json.loads(out)) == ["z"] and json.loads(out)["z"]["n"] == 2
    assert err == (
        "skuae evaluate: left out, since DATA has no such column: y; if a label has another name, "
        "rename its column\n"
    )
    (files / "u.csv").write_text("file,id,a\nb.cif,2,5\n")
    assert main(command) == 2
    assert "u.csv has no column 'y', 'z'; it has a. If labels" in capsys.readouterr().err


def test_a_folder_with_some_targets(two_targets, files, capsys):
    (files / "d").mkdir()
    (files / "a.cif").rename(files / "d" / "a.cif")
    (files / "d" / "id_prop.csv").write_text("id,y\na,1\n")
    assert main(["evaluate", str(two_targets), "d", "--json", *QUIET]) == 0
    out, err = capsys.readouterr()
    assert list(json.loads(out)) == ["y"] and "no such column: z; if" in err


def test_a_constant_needs_labels_in_each_fold(toy):
    index = pd.RangeIndex(2)
    frame = pd.DataFrame({"y": 1.0, "y_predicted": 2.0, "error": None}, index)
    constant = pd.DataFrame({"y_predicted": 3.0}, index)
    parts = [Scored(frame, one, ["y"], ["y"], None) for one in (constant, constant[[]])]
    assert "constant" in parts[0].measure()["y"] and "constant" not in parts[1].measure()["y"]
    assert join(parts).measure()["y"].keys() == {"n", "MAE", "RMSE", "R2"}


@pytest.mark.parametrize("targets", [["y", "z"], ["z", "y"], ["z"], ["a", "b"], ["y", "b"]])
def test_targets_are_found_by_name_or_else_by_order(two_targets, cifs, files, capsys, targets):
    columns = {"y": [1, 3], "z": [2, 5], "a": [1, 3], "b": [2, 5]}
    frame = pd.DataFrame({"file": ["a.cif", "b.cif"], **{name: columns[name] for name in targets}})
    frame.to_csv("t.csv", index=False)
    more = [word for name in targets for word in ("--target", name)]
    assert main(["evaluate", str(two_targets), "t.csv", "--json", *more, *QUIET]) == 0
    out, err = capsys.readouterr()
    errors = json.loads(out)
    renamed = [(name, "yz"["ab".index(name)]) for name in targets if name in "ab"]
    assert err.splitlines() == [
        f"skuae evaluate: {label} is compared with the predictions of {target}"
        for label, target in renamed
    ]
    model = load_pretrained(two_targets)
    predicted = model.predict(read_file("t.csv").structures)
    for name in targets:
        column = 0 if name in "ya" else 1
        mae = mean_absolute_error([[1, 3], [2, 5]][column], predicted[:, column])
        assert errors[name]["MAE"] == pytest.approx(mae, rel=1e-4)


def test_a_label_is_not_compared_with_another_target_of_the_file(two_targets, files, capsys):
    (files / "t.csv").write_text("file,y,z,b\na.cif,1,2,1\n")
    more = ["--target", "y", "--target", "b", "--json", *QUIET]
    assert main(["evaluate", str(two_targets), "t.csv", *more]) == 2
    assert capsys.readouterr() == (
        "",
        "skuae evaluate: --target b would be compared with the predictions of z, and DATA has a "
        "column z; leave --target out, or take that column out of DATA\n",
    )


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (["a"], "1 --target for a model with 2, and none of these is called 'a'; call the columns "
         "as the model does, or give one --target for each of y, z, in this order"),
        (["a", "y"], "--target y is in the place of z: give the columns in the order of"),
        (["y", "z", "a"], "3 --target for a model with 2, and none of these is called 'a'"),
    ],
)  # fmt: skip
def test_targets_that_cannot_be_assigned(two_targets, files, capsys, targets, message):
    (files / "t.csv").write_text("file,y,z,a\na.cif,1,2,1\n")
    more = [word for name in targets for word in ("--target", name)]
    assert main(["evaluate", str(two_targets), "t.csv", *more, *QUIET]) == 2
    assert message in capsys.readouterr().err


def test_rows_without_prediction_are_counted(regressor, files, capsys):
    from pymatgen.core import Lattice, Structure

    Structure(Lattice.cubic(4), ["Lr"], [[0, 0, 0]]).to(filename="lr.cif")
    (files / "t.csv").write_text("file,en\na.cif,1\nlr.cif,2\nb.cif,3\n")
    assert main(["evaluate", str(regressor), "t.csv", *QUIET]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[1].split()[2] == "2"
    assert "1 of 3 rows have no prediction and are not in these numbers; the first is 1: " in err


@pytest.mark.parametrize(
    ("model", "table", "more", "message"),
    [
        (
            "regressor",
            "file,y\na.cif,1\n",
            [],
            "t.csv has no column 'en'; it has y. If labels "
            "have other names than the targets of the model, give one --target for each",
        ),
        ("regressor", "file\na.cif\n", [], "t.csv has no column 'en'; it has no labels. If labels"),
        ("regressor", "file,en\na.cif,\n", [], "no row has a label in en"),
        ("regressor", "file,en\na.cif,x\nb.cif,y\n", [], "en holds texts, and the"),
        ("regressor", "file,en\na.cif,1\nbroken.cif,2\n", [], "t.csv, row 1: it has no atoms"),
        (
            "regressor",
            "file,en\na.cif,1\n",
            ["--target", "en", "--target", "x"],
            "2 --target for a",
        ),
        ("regressor", "file,en\na.cif,1\n", ["-o", "MODEL"], "-o is the folder of the model"),
        ("regressor", "file,en\na.cif,1\n", ["-o", "a.cif"], "there is a file of that name"),
        ("classifier", "file,kind\na.cif,a\nb.cif,d\n", [], "kind is 'd', a class that the model"),
    ],
)
def test_wrong_commands_end_without_a_traceback(
    request, files, capsys, model, table, more, message
):
    (files / "t.csv").write_text(table)
    folder = str(request.getfixturevalue(model))
    capsys.readouterr()
    more = [folder if name == "MODEL" else name for name in more]
    assert main(["evaluate", folder, "t.csv", *more, *QUIET]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("skuae evaluate: ") and message in err
