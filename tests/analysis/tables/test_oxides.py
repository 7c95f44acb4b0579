import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from skuae import as_crystals
from skuae.analysis import OxideDisplay, oxide_distributions

CLASSES = {"Li": "C", "Fe": "B", "Ba": "A", "Na": "C", "O": "C"}


def crystal(*species):
    coords = np.linspace(0, 1, len(species), endpoint=False)[:, None] * np.ones(3)
    return Structure(Lattice.cubic(4.0 + len(species)), list(species), coords)


OXIDES = [
    crystal("Li", "Li", "O"),
    crystal("Li", "Fe", "O", "O"),
    crystal("Li", "Na", "O"),
    crystal("Fe", "O"),
    crystal("O", "O"),
    crystal("Na", "Fe"),
    crystal("Cs", "O"),
    crystal("Ba", "O"),
]
LABELS = pd.DataFrame(
    {"band_gap": [5.0, 1.0, 4.0, 0.0, 2.0, 0.0, 3.0, 1.5], "other": np.arange(8.0)}
)


def test_one_class_of_all_other_elements_decides():
    oxides = oxide_distributions(OXIDES, CLASSES, labels=LABELS)
    assert oxides.frame["class"].to_dict() == {0: "C", 2: "C", 3: "B", 7: "A"}
    assert list(oxides.frame["band_gap"]) == [5.0, 4.0, 0.0, 1.5]


def test_all_that_drop_out_are_counted():
    labels = LABELS.copy()
    labels.loc[7, "band_gap"] = np.nan
    counts = oxide_distributions(OXIDES, CLASSES, labels=labels).counts
    assert counts.to_dict() == {
        "crystals": 8, "no oxygen": 1, "oxygen alone": 1, "element without class": 1,
        "mixed classes": 1, "value missing": 1, "stay": 3,
    }  # fmt: skip
    assert counts.drop("crystals").sum() == counts["crystals"]


def test_labels_in_another_order_are_refused():
    ids = [f"mp-{i}" for i in range(8)]
    labels = LABELS.set_axis(ids)
    structures = as_crystals(OXIDES, ids=ids)
    with pytest.raises(ValueError, match="row 0 of labels is 'mp-7', that of the structures"):
        oxide_distributions(structures, CLASSES, labels=labels[::-1])
    frame = oxide_distributions(structures, CLASSES, labels=labels).frame
    assert list(frame.index) == ["mp-0", "mp-2", "mp-3", "mp-7"]


def test_elemental_oxygen_on_request():
    frame = oxide_distributions(OXIDES, CLASSES, labels=LABELS, include_oxygen=True).frame
    assert frame.loc[4, "class"] == "C"


def test_minority_species_of_disordered_sites_count():
    mixed = crystal({"Li": 0.9, "Fe": 0.1}, "O")
    labels = LABELS.iloc[:2]
    counts = oxide_distributions([mixed, OXIDES[0]], CLASSES, labels=labels).counts
    assert counts["mixed classes"] == 1


def test_summary():
    oxides = oxide_distributions(OXIDES, CLASSES, labels=LABELS, columns=["band_gap", "other"])
    row = oxides.summary.loc[("band_gap", "C")]
    assert row["n"] == 2
    assert row["mean"] == row["q50"] == 4.5
    assert (row["min"], row["max"], row["share_zero"]) == (4.0, 5.0, 0.0)
    assert oxides.summary.loc[("band_gap", "B"), "share_zero"] == 1.0
    assert oxides.summary.loc[("other", "A"), "mean"] == 7.0


@pytest.mark.parametrize("kind", ["frame", "series", "numbers"])
def test_ways_to_pass_data(kind):
    classes, data, labels = CLASSES, OXIDES, LABELS
    if kind == "frame":
        column = pd.Series(OXIDES, dtype=object)
        data, labels = LABELS.assign(structure=column), None
    elif kind == "series":
        classes = pd.Series(CLASSES)
    else:
        classes = {3: "C", 26: "B", 56: "A", 11: "C"}
    frame = oxide_distributions(data, classes, labels=labels).frame
    assert list(frame["class"]) == ["C", "C", "B", "A"]


def test_classes_as_cluster_elements_gives_them():
    classes = pd.Series(CLASSES).map({"A": 0, "B": 1, "C": 2})
    oxides = oxide_distributions(OXIDES, classes, labels=LABELS)
    assert list(oxides.frame["class"]) == [2, 2, 1, 0]
    assert list(oxides.summary.loc["band_gap"].index) == [0, 1, 2]


def test_published_classes_on_real_crystals(mp_mini):
    oxides = oxide_distributions(mp_mini)
    assert list(oxides.frame.columns) == ["class", "formation_energy_per_atom", "band_gap"]
    assert oxides.counts["crystals"] == 2573
    gaps = oxides.summary.loc["band_gap"]
    assert gaps.loc["A", "q50"] > gaps.loc["B", "q50"]
    formulas = {i: mp_mini.structures[i].composition for i in range(len(mp_mini.ids))}
    place = {name: i for i, name in enumerate(mp_mini.labels.index)}
    for name, row in oxides.frame.head(50).iterrows():
        others = [e for e in formulas[place[name]].elements if e.symbol != "O"]
        groups = [e.group for e in others]
        expected = {"A": range(2, 5), "B": range(5, 11), "C": [1, *range(11, 19)]}[row["class"]]
        assert groups
        assert set(groups) <= set(expected)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"labels": None}, TypeError, "pass a data frame"),
        ({"labels": LABELS.head(3)}, ValueError, "3 rows of labels for 8"),
        ({"columns": ["gap"]}, ValueError, "no column 'gap'"),
        ({"columns": "gap"}, ValueError, "no column 'gap'"),
        ({"labels": LABELS[["other"]]}, ValueError, "Name some of them in columns="),
        ({"classes": {}}, ValueError, "names no element"),
        ({"classes": "mine"}, ValueError, '"published" or a mapping'),
        ({"classes": {"Xx": "A"}}, ValueError, "'Xx' is not an element"),
        ({"classes": {"Au": "A"}}, ValueError, "no oxide stays"),
    ],
)
def test_errors(options, error, words):
    options = {"labels": LABELS, "classes": CLASSES} | options
    with pytest.raises(error, match=words):
        oxide_distributions(OXIDES, options.pop("classes"), **options)


def test_display():
    oxides = oxide_distributions(OXIDES, CLASSES, labels=LABELS, columns=["band_gap", "other"])
    display = OxideDisplay.from_distributions(oxides).plot()
    assert [ax.get_ylabel() for ax in display.ax_] == ["band gap (eV)", "other"]
    ticks = [tick.get_text() for tick in display.ax_[0].get_xticklabels()]
    assert ticks == ["A\n(n = 1)", "B\n(n = 1)", "C\n(n = 2)"]
    with pytest.raises(ValueError, match="ax holds 1 axes; this needs 2"):
        display.plot(ax=display.ax_[0])
