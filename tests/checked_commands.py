"""What the page "What skuae checks" says about the command line; see `checked_inputs`."""

import contextlib
import io
import shutil
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from pymatgen.core import Lattice, Structure
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from small_backbones import SMALL

import skuae
from skuae import CrystalGNNClassifier, CrystalGNNRegressor, UAETransformer
from skuae.cli import main
from skuae.datasets import make_toy_crystals

TOY = make_toy_crystals(12, random_state=0)


@cache
def model(kind=CrystalGNNRegressor):
    """Return the folder of a small model of numbers called y, or of the classes a and b."""
    folder = tempfile.mkdtemp()
    labels = np.arange(12.0) if kind is CrystalGNNRegressor else [*"ab"] * 6
    estimator = kind(SMALL["cgcnn"], max_epochs=1, device="cpu", random_state=0)
    y = pd.Series(labels, index=TOY.ids, name="y")
    estimator.fit(TOY.structures, y).save_pretrained(folder)
    return folder


def run(*arguments):
    """Run a command; return its status, or raise what it says."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        status = main([*arguments, "--quiet"])
    if status == 2:
        raise ValueError(said.getvalue())
    return status


def write(name, element="Na"):
    """Write a structure file."""
    Path(name).parent.mkdir(exist_ok=True)
    Structure(Lattice.cubic(4), [element], [[0, 0, 0]]).to(filename=name)


def predicted(other=None, element="Na"):
    """Return the status and the table of predictions for a good file and another one."""
    write("a.cif")
    if other is None:
        write("b.cif", element)
    else:
        Path("b.cif").write_text(other)
    status = run("predict", model(), "b.cif", "a.cif", "-o", "out.csv")
    return status, pd.read_csv("out.csv")


def of_pipeline():
    """Return whether the command predicts what a saved pipeline predicts."""
    pipeline = make_pipeline(UAETransformer("magpie"), Ridge())
    pipeline.fit(TOY.structures, np.arange(12.0))
    skuae.save(pipeline, "m")
    write("a.cif")
    run("predict", "m", "a.cif", "-o", "out.csv")
    expected = pipeline.predict(skuae.as_crystals(["a.cif"]))
    return np.allclose(pd.read_csv("out.csv")["target_predicted"], expected)


def reason_in_row(**options):
    status, table = predicted(**options)
    return status == 1 and table["error"].notna().tolist() == [True, False]


def unseen():
    _, table = predicted(element="Xe")
    return table["unseen_elements"].tolist()[0] == "Xe" and table["y_predicted"].notna().all()


def two_folders(*more):
    write("in/a.cif")
    Path("in/notes.txt").write_text("1")
    Path("empty").mkdir()
    return run("predict", model(), *more)


def output_there():
    predicted()
    predicted()


def table(labels, name="y"):
    """Write a table with these labels and return its name."""
    for i in range(len(labels)):
        TOY.structures[i].to(filename=f"{i}.cif")
    rows = [f"{i}.cif,{label}" for i, label in enumerate(labels)]
    Path("t.csv").write_text("\n".join([f"file,{name}", *rows]))
    return "t.csv"


def train(labels, *more, name="y", settings=("max_epochs=1",)):
    run("train", table(labels, name), "--target", name, "-o", "m", *more, "--set", *settings)


def other_notes():
    shutil.copytree(model(), "m")
    Path("m/metrics.json").write_text('{"units": {"y": "eV"}, "model_sha256": "0"}')
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        main(["info", "m"])
    return "eV" not in said.getvalue() and "unknown" in said.getvalue()


COMMANDS = {
    "a file to predict that cannot be read, among others": lambda _: reason_in_row(other="data_x"),
    "a crystal to predict whose element has no vector in the model": lambda _: reason_in_row(
        element="Lr"
    ),
    "a crystal to predict with an element that no training crystal had": lambda _: unseen(),
    "a pipeline that `skuae.save` wrote, to predict with": lambda _: of_pipeline(),
    "a file to predict twice, also through its folder": lambda _: two_folders("in", "in/a.cif"),
    "a folder to predict without structure files": lambda _: two_folders("empty"),
    "other files in a folder to predict": lambda _: two_folders("in"),
    "output that is there already": lambda _: output_there(),
    "classes in DATA that the model does not know": lambda _: run(
        "evaluate", model(CrystalGNNClassifier), table("abc")
    ),
    "texts as labels of a model that predicts numbers": lambda _: run(
        "evaluate", model(), table("abc")
    ),
    "a class with one row, held out": lambda _: train(
        "aaabbbbc", "--folds", "2", "--random-state", "1"
    ),
    "a label called `error` or `fold`, as the output has them": lambda _: train(
        range(5), name="fold"
    ),
    "labels 0 and 1 without `--task`": lambda _: train([0, 1] * 3, "--test-fraction", "0"),
    "`--set` with a parameter that there is not": lambda _: train(range(5), settings=["epochs=3"]),
    "several targets for `--recipe pipeline`": lambda _: train(
        range(5), "--recipe", "pipeline", "--target", "z"
    ),
    "metrics.json of another model in the folder of a model": lambda _: other_notes(),
}
