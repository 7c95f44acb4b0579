"""The printed table of predictions: values with standard deviations, in 80 columns and more."""

import numpy as np
import pandas as pd
import pytest

from skuae.commands._printed import printed

SIX = ["formation_energy_per_atom", "band_gap", "efermi", "magnetization_per_atom", "K", "G"]


def table(predictions, reasons=None):
    ids = [f"new_crystals/mp-{i}.cif" for i in range(len(next(iter(predictions.values()))))]
    frame = pd.DataFrame({"id": ids, **predictions})
    return frame.assign(unseen_elements="", error=reasons)


@pytest.mark.parametrize(
    ("value", "std", "cell"),
    [
        (-2.0589, 0.067199, "-2.059 ± 0.067"),
        (4.7506, 1.0276, "4.8 ± 1.0"),
        (144.75, 8.7872, "144.8 ± 8.8"),
        (95.207, 19.6, "95 ± 20"),
        (1234.5, 351.2, "1230 ± 350"),
        (0.5, 0.0996, "0.50 ± 0.10"),  # not 0.500 ± 0.100
        (-0.001, 0.12, "0.00 ± 0.12"),  # not -0.00
        (1.234567, 0.0, "1.2346 ± 0"),
        (1e-9, 2.5e-10, "1e-09 ± 2.5e-10"),
        (2.0, np.inf, "2 ± inf"),
    ],
)
def test_two_digits_of_the_standard_deviation(value, std, cell):
    text = printed(table({"y_predicted": [value], "y_std": [std]}), {}, 80)
    assert text.splitlines()[1].split(maxsplit=1) == ["new_crystals/mp-0.cif", cell]


@pytest.mark.parametrize("width", [80, 100])
def test_wide_tables_are_split_into_blocks(width):
    columns = {
        f"{target}_{what}": [number, 2 * number, np.nan]
        for target in SIX
        for what, number in [("predicted", 1.25), ("std", 0.125)]
    }
    units = {"band_gap": "eV", "magnetization_per_atom": "Bohr magnetons/atom"}
    text = printed(table(columns, [None, None, "it has no atoms"]), units, width)
    assert max(map(len, text.splitlines())) <= width
    blocks = text.split("\n\n")
    assert len(blocks) == 2 and text.count("± 0.12") == text.count("± 0.25") == 6
    assert text.count("it has no atoms") == 1 and "it has no atoms" in blocks[0]
    assert "mp-2.cif" not in blocks[1] and "unseen_elements" not in text
    assert "band_gap (eV)" in text and "magnetons/atom)" in text


def test_probabilities_have_three_digits_and_the_name_of_their_class():
    columns = {"kind_predicted": ["b", "a"], "kind_p_a": [0.25, 1.0], "kind_p_b": [0.75, 0.0]}
    head, *rows = [line.split() for line in printed(table(columns), {}, 80).splitlines()]
    assert head == ["id", "kind", "p(a)", "p(b)"]
    assert [row[1:] for row in rows] == [["b", "0.250", "0.750"], ["a", "1.000", "0.000"]]


def test_unseen_elements_are_a_column_if_there_are_some():
    frame = table({"y_predicted": [1.0, 2.0]}).assign(unseen_elements=["", "Xe"])
    assert printed(frame, {}, 80).splitlines() == [
        "id                     y  unseen_elements",
        "new_crystals/mp-0.cif  1",
        "new_crystals/mp-1.cif  2               Xe",
    ]


def test_failures_alone_are_ids_with_reasons():
    frame = table({"y_predicted": [None]}, ["it has no atoms " * 20])
    head, row = printed(frame, {}, 80).splitlines()
    assert head.split() == ["id", "error"] and len(row) <= 80 and row.endswith("[...]")
