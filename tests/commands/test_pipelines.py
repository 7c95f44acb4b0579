"""Whole pipelines: trained by the command line, and saved in Python, read by the same commands."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.metrics import accuracy_score, mean_absolute_error
from sklearn.pipeline import make_pipeline

import skuae
from skuae import CrystalGNNRegressor, CrystalVotingRegressor, UAETransformer, as_crystals
from skuae.cli import main
from skuae.commands import _recipes
from skuae.datasets import read_file
from skuae.estimators import predict_frame

pytest.importorskip("skops.io")
QUIET = ["--quiet", "--device", "cpu"]
PARTS = ["gp", "outputs", "tuned", "trees", "network"]
SMALL = ["cv=2", "tuned__max_epochs=1", "network__max_epochs=1", "trees__catboost__iterations=5"]
SMALL += [f"network__backbone__{name}=8" for name in ("atom_dim", "hidden_dim")]


def skuae_process(*arguments):
    command = [sys.executable, "-m", "skuae", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def stack(cifs, tmp_path_factory):
    """The folder of a pipeline that a process has trained, and what the process printed."""
    pytest.importorskip("catboost")
    folder = tmp_path_factory.mktemp("models") / "stack"
    more = ["--target", "en", "--unit", "eV", "--recipe", "pipeline", "--set", *SMALL]
    done = skuae_process("train", cifs, *more, "-o", folder, *QUIET)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_a_pipeline_is_trained_and_measured(cifs, stack):
    folder, out = stack
    assert out.splitlines()[1].startswith("en (eV)") and out.endswith(f"{folder}\n")
    model = skuae.load(folder)
    assert list(model.named_estimators_) == PARTS and model.cv == 2
    assert model.named_estimators_["gp"][0].model == "mp"
    assert model.named_estimators_["trees"][-1].tree_count_ == 5
    assert model.named_estimators_["network"].network_.backbone.atom_dim == 8
    held = pd.read_csv(folder / "predictions.csv")
    notes = json.loads((folder / "metrics.json").read_text())
    labels = pd.read_csv(cifs / "id_prop.csv", index_col="id")["en"]
    np.testing.assert_array_equal(held["en"], labels[held["id"]])
    errors = notes["errors"]["en"]
    assert errors["MAE"] == pytest.approx(mean_absolute_error(held["en"], held["en_predicted"]))
    assert (notes["recipe"], notes["training_rows"]) == ("pipeline", 30)
    card = (folder / "README.md").read_text()
    assert "- Targets: en (eV)" in card and "30 crystals of" in card
    assert f"| MAE of en on held-out rows | {errors['MAE']:g} |" in card


def test_it_predicts_in_a_process(stack, files, capsys):
    Structure(Lattice.cubic(4), ["Xe"], [[0, 0, 0]]).to(filename="xe.cif")
    names = ["a.cif", "xe.cif", "broken.cif"]
    done = skuae_process("predict", stack[0], *names, "-o", "out.csv", *QUIET)
    assert done.returncode == 1 and "1 of 3 rows failed" in done.stderr
    table = pd.read_csv("out.csv")
    assert list(table) == ["id", "en_predicted", "unseen_elements", "error"]
    assert table["unseen_elements"].fillna("").tolist() == ["", "Xe", ""]
    expected = skuae.load(stack[0]).predict(as_crystals(names[:2]))
    np.testing.assert_allclose(table["en_predicted"][:2], expected, rtol=1e-5)
    assert main(["predict", str(stack[0]), "a.cif", *QUIET]) == 0
    out, err = capsys.readouterr()
    assert out.split()[:3] == ["id", "en", "(eV)"] and err == ""


def test_it_is_evaluated_and_described(stack, cifs, capsys):
    assert main(["evaluate", str(stack[0]), str(cifs), "--json", *QUIET]) == 0
    errors = json.loads(capsys.readouterr().out)["en"]
    data = read_file(cifs, target="en")
    predicted = skuae.load(stack[0]).predict(data.structures)
    assert errors["MAE"] == pytest.approx(mean_absolute_error(data.target, predicted))
    assert main(["info", str(stack[0]), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["model"] == "CrystalStackingRegressor" and facts["targets"] == {"en": "eV"}
    assert facts["parts"]["gp"] == ["BackboneTransformer", "ActivationGPRegressor"]
    assert facts["parts"]["trees"] == ["FeatureUnion", "CatBoostRegressor"]
    assert facts["parts"]["tuned"] == facts["parts"]["network"] == ["CrystalGNNRegressor"]
    assert list(facts["parts"]) == PARTS
    _, numbers, _ = data.structures.composition()
    assert len(facts["training elements"]) == len(np.unique(numbers))
    assert facts["training rows"] == 30 and "MAE" in facts["held-out errors"]["en"]
    assert main(["info", str(stack[0])]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["parts", "gp:", "BackboneTransformer", ">", "ActivationGPRegressor"] in lines
    assert ["tuned:", "CrystalGNNRegressor"] in lines


def test_classes_with_a_saved_network(regressor, cifs, files, capsys):
    pytest.importorskip("catboost")
    more = ["--recipe", "pipeline", "--folds", "2", "--embedding", "magpie", "--backbone", "cgcnn"]
    settings = [*SMALL, f"model={regressor}"]
    more += ["--target", "kind", "-o", "m", "--set", *settings]
    assert main(["train", str(cifs), *more, *QUIET]) == 0
    model = skuae.load("m")
    assert list(model.named_estimators_) == PARTS
    assert model.named_estimators_["network"].element_table_.name == "magpie-tuned"
    held = pd.read_csv("m/predictions.csv")
    assert len(held) == 30 and (files / "m" / "confusion.png").exists()
    notes = json.loads((files / "m" / "metrics.json").read_text())
    accuracy = accuracy_score(held["kind"], held["kind_predicted"])
    assert notes["errors"]["kind"]["accuracy"] == pytest.approx(accuracy)
    capsys.readouterr()
    assert main(["predict", "m", "a.cif", "--json", *QUIET]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    shares = model.predict_proba(as_crystals(["a.cif"]))[0]
    np.testing.assert_allclose([row[f"kind_p_{name}"] for name in "abc"], shares, rtol=1e-5)


def columns_of(model, capsys, **options):
    skuae.save(model, "m", **options)
    assert main(["predict", "m", "a.cif", "--json", *QUIET]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    return row


def test_pipelines_of_python(toy, files, capsys):
    X, y = toy.structures, toy.target
    ridge = make_pipeline(UAETransformer("magpie"), Ridge()).fit(X, y)
    row = columns_of(ridge, capsys)
    assert list(row) == ["id", "target_predicted", "error"]  # nobody said what it was trained on
    a = as_crystals(["a.cif"])
    assert row["target_predicted"] == pytest.approx(ridge.predict(a)[0])
    row = columns_of(ridge, capsys, units={"gap": "eV"}, trained_on=["CsCl"])
    assert list(row) == ["id", "gap_predicted", "unseen_elements", "error"]
    assert set(row["unseen_elements"].split()) == {*a.to_structures()[0].symbol_set} - {"Cs", "Cl"}
    assert main(["info", "m"]) == 0
    assert "gap (eV)" in capsys.readouterr().out
    two = make_pipeline(UAETransformer("magpie"), Ridge()).fit(X, np.c_[y, -y])
    row = columns_of(two, capsys)
    assert row["target_1_predicted"] == pytest.approx(-row["target_0_predicted"])


def test_standard_deviations_of_an_ensemble(toy, files, capsys):
    def network(seed):
        return CrystalGNNRegressor(max_epochs=1, random_state=seed, device="cpu")

    members = [(str(seed), network(seed)) for seed in range(2)]
    ensemble = CrystalVotingRegressor(members).fit(toy.structures, toy.target)
    row = columns_of(ensemble, capsys)
    assert list(row) == ["id", "target_predicted", "target_std", "unseen_elements", "error"]
    expected = ensemble.predict(as_crystals(["a.cif"]), return_std=True)
    found = [row["target_predicted"], row["target_std"]]
    np.testing.assert_allclose(found, np.ravel(expected), rtol=1e-5)
    alone = CrystalVotingRegressor(members[:1]).fit(toy.structures, toy.target)
    assert "target_std" not in predict_frame(alone, toy.structures[:1])


@pytest.mark.parametrize("end", [RidgeClassifier(), LogisticRegression(max_iter=9999)])
def test_classifiers_with_and_without_probabilities(toy, cifs, files, capsys, end):
    kinds = np.array([*"abc"] * 10)
    model = make_pipeline(UAETransformer("magpie"), end).fit(toy.structures, kinds)
    row = columns_of(model, capsys)
    assert row["target_predicted"] == model.predict(as_crystals(["a.cif"]))[0]
    assert ("target_p_a" in row) == hasattr(end, "predict_proba")
    assert main(["evaluate", "m", str(cifs), "--target", "kind", "--json", *QUIET]) == 0
    errors = json.loads(capsys.readouterr().out)["kind"]
    assert errors["accuracy"] == accuracy_score(kinds, model.predict(read_file(cifs).structures))
    assert ("log_loss" in errors) == hasattr(end, "predict_proba")


def test_targets_of_python_are_named_or_asked_for(toy, cifs, files, capsys):
    model = make_pipeline(UAETransformer("magpie"), Ridge()).fit(toy.structures, toy.target)
    skuae.save(model, "m")
    assert main(["evaluate", "m", str(cifs), *QUIET]) == 2
    assert "the model has no names of targets" in capsys.readouterr().err
    assert main(["evaluate", "m", str(cifs), "--target", "en", "--target", "flag", *QUIET]) == 2
    assert "2 --target for a model with 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--target", "flag"], "--recipe pipeline learns one target"),
        (
            ["--set", "epochs=3"],
            "--set epochs: a pipeline has no such parameter; its parts are gp, "
            "outputs, tuned, trees, network\n",
        ),
        (
            ["--set", "max_epochs=3"],
            "--set max_epochs: a pipeline has no such parameter; did you mean "
            "tuned__max_epochs or network__max_epochs? Its parts are gp, outputs, tuned, trees, "
            "network\n",
        ),
        (
            ["--set", "network__epochs=3"],
            "--set network__epochs: CrystalGNNRegressor has no parameter "
            "epochs; did you mean network__max_epochs?\n",
        ),
        (
            ["--set", "trees__catbost__depth=3"],
            "did you mean trees__catboost__depth? Its parts are",
        ),
        (["--set", "network__max_epochs=0"], "max_epochs must be"),
        (["--set", "network__backbone=sen"], "use --backbone"),
        (["--set", "network__embedding=magpie"], "use --embedding"),
        (["--set", "gp__process__random_state=1"], "use --random-state"),
        (["--set", "network__checkpoint_dir=x"], "the folds would share it"),
        (["--set", "final_estimator=ridge"], "that is for Python"),
        (["--set", "model=none"], "none holds no model"),
        (["--backbone", "gnn"], "there is no backbone"),
        (["--recipe", "network", "--set", "model=m"], "init_from=MODEL starts a network"),
    ],
)
def test_options_that_do_not_fit_are_refused_before_files_are_read(files, capsys, more, message):
    arguments = ["train", "data.csv", "--target", "en", "--recipe", "pipeline", *more, "-o", "m"]
    assert main([*arguments, "--quiet"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("skuae train: ") and message in err


def test_what_is_not_installed_is_named(files, capsys, monkeypatch):
    monkeypatch.setattr(_recipes, "find_spec", lambda name: None)
    arguments = ["train", "data.csv", "--target", "en", "--recipe", "pipeline", "-o", "m"]
    assert main(arguments) == 2
    assert 'pip install "skuae[save]"' in capsys.readouterr().err
