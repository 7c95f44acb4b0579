"""skuae train: a model, its errors on held-out rows, and what it says when that cannot be."""

import json
import re
import shutil

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, log_loss, mean_absolute_error

from skuae import CrystalGNNClassifier, CrystalGNNRegressor, estimators
from skuae.cli import main
from skuae.commands import _training
from skuae.commands._splits import make_splits
from skuae.datasets import formula_groups
from skuae.estimators import load_pretrained
from skuae.training._net import CrystalNet


def notes_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_a_regressor_with_a_hold_out(cifs, regressor):
    held = pd.read_csv(regressor / "predictions.csv")
    notes = notes_of(regressor)
    errors = notes["errors"]["en"]
    assert (len(held), errors["n"], notes["training_rows"]) == (6, 6, 30)
    assert errors["MAE"] == pytest.approx(mean_absolute_error(held["en"], held["en_predicted"]))
    labels = pd.read_csv(cifs / "id_prop.csv", index_col="id")["en"]
    np.testing.assert_array_equal(held["en"], labels[held["id"]])
    mean = labels.drop(held["id"]).mean()  # of the rows trained on
    assert errors["constant"]["MAE"] == pytest.approx((held["en"] - mean).abs().mean())
    assert (held["en_std"] > 0).all() and held["error"].isna().all()
    assert matplotlib.image.imread(regressor / "parity.png").shape[0] > 100
    assert not (regressor / "confusion.png").exists()
    model = CrystalGNNRegressor.from_pretrained(regressor)
    assert model.target_names_ == ["en"] and model.loss == "gaussian_nll"
    assert model.task_.scaler.mean_[0] == pytest.approx(labels.mean())  # fitted on all rows


def test_a_classifier_with_folds(classifier):
    held, notes = pd.read_csv(classifier / "predictions.csv"), notes_of(classifier)
    errors = notes["errors"]["kind"]
    assert sorted(held["id"]) == sorted(f"c{i}" for i in range(30))
    assert errors["accuracy"] == accuracy_score(held["kind"], held["kind_predicted"])
    shares = held[[f"kind_p_{name}" for name in "abc"]]
    assert errors["log_loss"] == pytest.approx(log_loss(held["kind"], shares))
    assert errors["constant"]["balanced_accuracy"] == pytest.approx(1 / 3, abs=0.04)
    assert [fold["n"] for fold in errors["folds"]] == held["fold"].value_counts(sort=False).tolist()
    assert (classifier / "confusion.png").exists() and not (classifier / "parity.png").exists()
    assert list(CrystalGNNClassifier.from_pretrained(classifier).classes_) == ["a", "b", "c"]


def test_a_table_with_several_targets_and_gaps(train, toy, tmp_path, capsys):
    frame = pd.DataFrame({"id": [f"t{i}" for i in range(12)], "y": [*range(10), None, None]})
    frame["z"] = [*[1.5, 2.5] * 5, 1.0, None]
    frame["structure"] = [s.as_dict() for s in toy.structures[:12].to_structures()]
    frame.to_json(tmp_path / "t.json", orient="records")
    missing = (
        "^2 of 12 rows have no label in y; 1 of 12 rows has no label in z; missing labels are left "
        "out$"
    )
    targets = ["--target", "y", "--target", "z", "--unit", "eV", "--unit", "K"]
    with pytest.warns(UserWarning, match=missing):
        assert train(tmp_path / "t.json", tmp_path / "m", *targets, "--folds", "2") == 0
    out = capsys.readouterr().out
    assert "y (eV)" in out and "z (K)" in out and out.endswith(f"{tmp_path / 'm'}\n")
    notes = notes_of(tmp_path / "m")
    assert (notes["rows_read"], notes["training_rows"]) == (12, 11)  # one has no label at all
    assert (notes["errors"]["y"]["n"], notes["errors"]["z"]["n"]) == (10, 11)
    assert load_pretrained(tmp_path / "m").target_names_ == ["y", "z"]


def test_numbers_as_classes_and_no_hold_out(train, cifs, tmp_path, capsys):
    flag = ["--target", "flag", "--test-fraction", "0", "--task", "classification"]
    with pytest.warns(UserWarning, match="^1 of 30 rows has no label in flag; it is left out$"):
        assert train(cifs, tmp_path / "m", *flag) == 0
    assert (
        capsys.readouterr().out == f"no rows were held out, and no errors measured\n{tmp_path}/m\n"
    )
    assert load_pretrained(tmp_path / "m").classes_.tolist() == [0, 1]
    assert sorted(file.name for file in (tmp_path / "m").iterdir()) == [
        "README.md", "metrics.json", "model.safetensors"
    ]  # fmt: skip


@pytest.mark.parametrize("folds", [None, 3])
@pytest.mark.parametrize("classes", [None, pd.Series([*"ab"] * 15)])
def test_equal_formulas_stay_together(toy, folds, classes):
    crystals = toy.structures[np.arange(30) % 10]
    groups = formula_groups(crystals)
    options = {"test_fraction": 0.3, "random_state": 1, "folds": folds}
    splits = make_splits(crystals, classes, by_formula=True, **options)
    assert len(splits) == (folds or 1)
    for train, test in splits:
        assert len(test) and not set(groups[train]) & set(groups[test])
        np.testing.assert_array_equal(np.sort([*train, *test]), np.arange(30))
    (_, plain), *_ = make_splits(crystals, classes, by_formula=False, **options)
    assert set(groups[plain]) & set(np.delete(groups, plain))


def test_folds_share_out_the_classes(toy):
    classes = pd.Series([*"aaaaabbbbb"])
    options = {"test_fraction": 0.2, "random_state": 0, "by_formula": False}
    for _, test in make_splits(toy.structures[:10], classes, folds=5, **options):
        assert sorted(classes[test]) == ["a", "b"]
    with pytest.warns(UserWarning, match="^--folds 5: the class 'c' has 2 rows only; some folds"):
        splits = make_splits(toy.structures[:12], pd.Series([*"aaaaabbbbbcc"]), folds=5, **options)
    assert len(splits) == 5


@pytest.mark.parametrize(
    ("labels", "folds", "fraction", "message"),
    [
        (None, 31, 0, "--folds 31: there are 30 rows only; give at most 30"),
        ([*"ab"] * 15, 16, 0, "--folds 16: the largest class, 'a', has 15 rows only; give at most "
         "15"),
        ([True, False] * 15, 16, 0, "--folds 16: the largest class, True, has 15 rows only"),
        ([*"aab"] * 9 + [*"acd"], 3, 0, "'y' has 4 classes, of which 2 have one row, such as 'd'; "
         "a classifier needs at least two rows in each"),
        ([*"aab"] * 9 + [*"aac"], None, 0.2, "'y' has 3 classes, of which 1 has one row, such as"),
        ([*"abc"] * 10, None, 0.05, "--test-fraction 0.05: of 30 rows, the part held out has 2, "
         "fewer than the 3 classes; hold out more, or give more crystals"),
        ([*"abc"] * 10, None, 0.95, "the part to train on has 1, fewer than the 3 classes; hold "
         "out less"),
        (None, None, 0.99, "--test-fraction 0.99: of 30 rows, the part to train on has none; hold "
         "out less"),
    ],
)  # fmt: skip
def test_too_few_rows_to_hold_out(toy, labels, folds, fraction, message):
    classes = None if labels is None else pd.Series(labels, name="y")
    options = {"folds": folds, "test_fraction": fraction, "random_state": 0}
    with pytest.raises(ValueError, match=re.escape(message)):
        make_splits(toy.structures, classes, by_formula=False, **options)


def test_too_few_formulas_to_hold_out(toy):
    options = {"by_formula": True, "random_state": 0}
    crystals = toy.structures[[0, 0, 0, 1, 1]]
    with pytest.raises(ValueError, match=r"^--folds 3: there are 2 formulas only; give at most 2$"):
        make_splits(crystals, None, folds=3, test_fraction=0, **options)
    message = "^--test-fraction 0.2: of 1 formula, the part to train on has none; hold out less"
    with pytest.raises(ValueError, match=message):
        make_splits(crystals[:3], None, folds=None, test_fraction=0.2, **options)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--target", "none"], "has no column 'none'; it has en, kind, flag"),
        (["--target", "en", "--backbone", "gnn"], "there is no backbone 'gnn'; known are alignn"),
        (["--target", "en", "--embedding", "magpi"], "did you mean 'magpie'"),
        (["--target", "en", "--set", "epochs=3"], "has no parameter epochs; did you mean max_ep"),
        (["--target", "en", "--set", "device=cpu"], "--set device: use --device"),
        (["--target", "en", "--set", "checkpoint_dir=x"], "the folds would share it"),
        (
            ["--target", "en", "--unit", "eV", "--unit", "K"],
            "once for each --target (--unit: 2, --target: 1)",
        ),
        (["--target", "en", "--folds", "1"], "--folds 1: at least 2"),
        (["--target", "en", "--folds", "31"], "31"),
        (["--target", "en", "--folds", "31", "--group", "formula"], "formulas only"),
        (["--target", "en", "--test-fraction", "1"], "--test-fraction 1.0: from 0 up to 1"),
        (["--target", "kind", "--task", "regression"], "kind holds texts or booleans"),
        (["--target", "kind", "--target", "en"], "a classifier learns one target"),
        (["--target", "en", "--device", "tpu"], "device"),
        (["--target", "en", "--task", "classification"], "en holds numbers with a fraction"),
        (["none.csv", "--target", "en"], "there is no file none.csv"),
        (["--target", "en", "--target", "en"], "names a column twice"),
    ],
)
def test_wrong_commands_end_without_a_traceback(cifs, files, capsys, more, message):
    assert main(["train", str(cifs), *more, "-o", "m", "--quiet"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("skuae train: ") and message in err
    assert not (files / "m").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--backbone", "gnn"], "there is no backbone"),
        (["--embedding", "magpi"], "did you mean"),
        (["--device", "tpu"], "device must be"),
        (["--unit", "eV", "--unit", "K"], "give --unit once for each --target"),
        (["--folds", "1"], "--folds 1"),
        (["--test-fraction", "-0.1"], "--test-fraction -0.1"),
        (["--set", "max_epoch=3"], "--set max_epoch: CrystalGNNRegressor has no parameter "
         "max_epoch; did you mean max_epochs?\n"),
        (["--set", "backbone__cutof=6"], "--set backbone__cutof: CGCNN has no parameter cutof; did "
         "you mean backbone__cutoff?\n"),
        (["--set", "cutoff=6"], "no parameter cutoff; did you mean backbone__cutoff?\n"),
        (["--set", "backbon__cutoff=6"], "no parameter backbon; did you mean backbone__cutoff?\n"),
        (["--set", "loss=huber", "--task", "classification"], "--set loss: CrystalGNNClassifier "
         "has no parameter loss; it has backbone, batch_size, "),
        (["--set", "max_epochs=0.5"], "max_epochs must be an integer"),
        (["--set", "backbone__n_conv=-1"], "n_conv must be"),
        (["--set", "loss=huge"], "loss must be one of"),
        (["--set", "class_weight=balanced", "--task", "regression"], "no parameter class_weight"),
    ],
)  # fmt: skip
def test_options_are_checked_before_files_are_read(files, capsys, monkeypatch, more, message):
    monkeypatch.setattr(_training, "read_labelled", None)
    assert main(["train", "data.parquet", "--target", "en", *more, "-o", "m"]) == 2
    assert message in capsys.readouterr().err


def test_output_that_is_there_is_kept(cifs, regressor, files, capsys):
    shutil.copytree(regressor, "m")
    before = (files / "m" / "model.safetensors").read_bytes()
    assert main(["train", str(cifs), "--target", "en", "-o", "m"]) == 2
    assert "model.safetensors is there already; give another name, or" in capsys.readouterr().err
    assert main(["train", str(cifs), "--target", "en", "-o", "a.cif"]) == 2
    assert "there is a file of that name; give the path of a folder" in capsys.readouterr().err
    assert (files / "m" / "model.safetensors").read_bytes() == before


def test_overwriting_leaves_nothing_of_the_older_model(train, cifs, classifier, files, monkeypatch):
    shutil.copytree(classifier, "m")
    more = ["--target", "en", "--overwrite", "--test-fraction", "0"]
    assert train(cifs, "m", *more) == 0
    assert not {"confusion.png", "predictions.csv"} & {
        file.name for file in (files / "m").iterdir()
    }
    assert notes_of(files / "m")["targets"] == ["en"]


def test_ways_out_are_those_of_the_shell(files, capsys):
    (files / "data").mkdir()
    arguments = ["train", "data", "--target", "en", "-o", "m", "--quiet"]
    ways = ["write one with a line `name,label` per structure file\n"]
    assert main(arguments) == 2
    for row, way in [
        ("none", "Repair these files or take their lines out of id_prop.csv\n"),
        ("../b", "move the files there\n"),
    ]:
        (files / "data" / "id_prop.csv").write_text(f"id,en\n{row},1\n")
        assert main(arguments) == 2
        ways.append(way)
    err = capsys.readouterr().err
    assert all(way in err for way in ways)
    assert not any(word in err for word in ("on_error", "allow_outside", "as_crystals"))


@pytest.mark.parametrize("more", [[], ["--overwrite"]])
def test_a_readme_of_the_user_is_never_replaced(cifs, files, capsys, monkeypatch, more):
    monkeypatch.setattr(_training, "prepare", None)  # refused before anything is read
    shutil.copytree(cifs, "data")
    (files / "data/README.md").write_text("# Mine")
    assert main(["train", "data", "--target", "en", "-o", "data", *more]) == 2
    err = capsys.readouterr().err
    assert "the file is not of a saved model, and is not replaced; save to another folder" in err
    assert "data/README.md" in err
    assert (files / "data/README.md").read_text() == "# Mine"
    assert not (files / "data/model.safetensors").exists()


def test_ctrl_c_ends_with_130_and_no_model(train, cifs, files, monkeypatch, capsys, recwarn):
    def stop(net, *args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(CrystalNet, "fit_loop", stop)
    assert train(cifs, "m", "--target", "en") == 130
    assert not recwarn  # that a model is kept
    assert capsys.readouterr().err == "\nskuae train: stopped, and no model was written\n"
    assert not (files / "m").exists()


def test_two_values_are_learned_as_numbers_with_a_warning(cifs, files):
    flag = ["train", str(cifs), "--target", "flag", "-o", "m", "--quiet", "--folds", "31"]
    with pytest.warns(
        UserWarning, match=r"flag has the values 0, 1 only, .* --task classification"
    ):
        assert main(flag) == 2


@pytest.mark.parametrize("name", ["error", "fold", "unseen_elements"])
def test_labels_that_are_called_as_our_columns_are_refused(train, cifs, files, capsys, name):
    rows = [f"c{i}.cif,{i}" for i in range(5)]
    (cifs / "t.csv").write_text("\n".join([f"file,{name}", *rows]))
    assert train(cifs / "t.csv", "m", "--target", name) == 2
    assert f"the label '{name}' has the name of a column of predictions" in capsys.readouterr().err
    (cifs / "t.csv").unlink()


def test_classes_have_no_unit(cifs, files, capsys):
    for target, more in (("kind", []), ("flag", ["--task", "classification"])):
        arguments = ["train", str(cifs), "--target", target, "--unit", "eV", *more]
        assert main([*arguments, "-o", "m", "--quiet"]) == 2
        said = f"skuae train: --unit eV: {target} holds classes, which have no unit\n"
        assert capsys.readouterr().err.endswith(said)


def test_loaded_without_naming_the_class(regressor, classifier, tmp_path):
    assert type(load_pretrained(regressor)).__name__ == "CrystalGNNRegressor"
    assert type(load_pretrained(str(classifier), device="cpu")).__name__ == "CrystalGNNClassifier"
    with pytest.raises(FileNotFoundError, match="holds no model"):
        load_pretrained(tmp_path)


def test_a_class_that_is_not_known(regressor, monkeypatch):
    config, tensors = estimators.read_model_folder(regressor)
    changed = lambda _: ({**config, "class": "CrystalSVM"}, tensors)  # noqa: E731
    monkeypatch.setattr(estimators._loading, "read_model_folder", changed)
    with pytest.raises(ValueError, match="holds a 'CrystalSVM', which this version of skuae does"):
        load_pretrained(regressor)


def test_what_is_given_twice_is_named(files, capsys):
    (files / "t.csv").write_text("id,file,en\nx,a.cif,1\ny,b.cif,2\n")
    (files / "u.csv").write_text("id,file,en\nz,a.cif,1\ny,b.cif,2\n")
    more = ["--target", "en", "-o", "m", "--quiet"]
    assert main(["train", "t.csv", "u.csv", *more]) == 2
    said = "the id 'y' is in t.csv and in u.csv; keep it in one of them\n"
    assert capsys.readouterr().err == f"skuae train: {said}"
    assert main(["train", "u.csv", "t.csv", "./u.csv", *more]) == 2
    assert capsys.readouterr().err == "skuae train: ./u.csv is given twice\n"
