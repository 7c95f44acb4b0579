"""The section on labels and element tables of "What skuae checks": see `checked_inputs`."""

from pathlib import Path

import numpy as np
import pandas as pd
from checked_inputs import cif, fit, labels, text, toy

from skuae import CrystalGNNClassifier, ElementTable
from skuae.datasets import read_file


def csv(text, **options):
    """Read a CSV file of crystals."""
    Path("a.cif").write_text(cif("Fe Fe 0 0 0 1"), encoding="utf-8")
    Path("t.csv").write_text(text, encoding="utf-8")
    return read_file("t.csv", **options)


def elements(text):
    """Read a CSV file of element vectors."""
    Path("e.csv").write_text(text, encoding="utf-8")
    return ElementTable.load("e.csv")


def shared():
    """Return vectors of elements of which the last six are one and the same."""
    values = np.random.default_rng(0).normal(size=(12, 8))
    values[6:] = values[6]
    return pd.DataFrame(values, index=["H", "Li", *"BCNOFPSKVY"])


LABELS = {
    "decimal commas, units, `%`, dates, `4_1`": lambda _: labels('a,"1,5"\nb,"2,5"\n'),
    "class names with digits (Fm-3m, 2H)": lambda _: (
        list(labels("a,Fm-3m\nb,2H\n")) == ["Fm-3m", "2H"]
    ),
    "one would-be number among class names": lambda _: labels('a,metal\nb,"1,5"\nc,oxide\n'),
    "`Na` among class names": lambda _: list(labels("a,Li\nb,Na\n")) == ["Li", "Na"],
    "an empty label": lambda _: np.isnan(labels("a,1\nb,\n")[1]),
    "an empty label of a file with a crystal a row": lambda _: np.isnan(
        csv("file,y\na.cif,\n", target="y").target[0]
    ),
    "a table as pandas writes JSON by default": lambda _: read_file(
        text("t.json", '{"y": {"0": 1}}')
    ),
    "a structure file in two rows": lambda _: csv("file,y\na.cif,1\na.cif,2\n", target="y"),
    "an integer that float64 cannot hold": lambda _: labels("a,9007199254740993\n"),
    "columns separated by `;`, a tab or a space": lambda _: labels("a;1.5\nb;2.5\n"),
    "a column twice": lambda _: csv("id,file,y,y\n1,a.cif,1,2\n", target="y"),
    "a line that is cut short": lambda _: csv("id,file,y\n1,a.cif\n", target="y"),
    "an open quote": lambda _: labels('a,"1\nb,2\n'),
    "ids with leading zeros": lambda _: list(csv("id,file,y\n007,a.cif,1\n").ids) == ["007"],
    "an id twice": lambda _: labels("a,1\na,2\n"),
    "texts that are numbers as `y`": lambda _: fit(toy()[1].astype(str)),
    "texts that are no numbers as `y`": lambda _: fit(["1,5"] * len(toy()[1])),
    "`y` or weights with the ids of X in another order": lambda _: fit(
        pd.Series(toy()[1], toy()[0].ids[::-1])
    ),
    "`nan`, `None` or an empty text as a class": lambda _: fit(
        np.array([np.nan, "b"] * 6), kind=CrystalGNNClassifier
    ),
    "numbers and texts as classes": lambda _: fit([1, "b"] * 6, kind=CrystalGNNClassifier),
    "dates as `y` or weights": lambda _: fit(pd.date_range("2020", periods=len(toy()[1]))),
    "`y` with two columns of one name": lambda _: fit(
        pd.DataFrame(np.c_[toy()[1], toy()[1]], columns=["a", "a"])
    ),
    "an element table with two columns of one name": lambda _: elements("element,a,a\nFe,1,2\n"),
    "element vectors with decimal commas": lambda _: elements('element,a\nFe,"1,5"\n'),
    "an element table whose first column is a property": lambda _: elements("a,b\n1,2\n3,4\n"),
    "an element table whose first column counts the rows": lambda _: elements(
        ",element,a\n0,Na,1\n1,Cl,2\n"
    ),
    "properties that a float32 cannot tell apart": lambda _: elements(
        "element,a\nNa,100000001\nCl,100000002\n"
    ),
    "elements that share one row of many numbers": lambda _: ElementTable(shared(), name="t"),
}
