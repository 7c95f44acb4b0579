"""Formulas as rows."""

import re

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Composition, Lattice, Structure

from skuae import Crystals
from skuae.crystals import Compositions, as_contents

NACL = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)


def amounts(formula):
    """Return the amounts of a formula by atomic number."""
    _, numbers, amounts = as_contents([formula]).composition()
    return dict(zip(numbers.tolist(), amounts.tolist(), strict=True))


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("NaCl", {11: 1, 17: 1}),
        ("Li0.5CoO2", {3: 0.5, 8: 2, 27: 1}),
        ("CO", {6: 1, 8: 1}),
        ("Co", {27: 1}),
        ("Na1 Cl1", {11: 1, 17: 1}),
        ("K4[Fe(CN)6]", {6: 6, 7: 6, 19: 4, 26: 1}),
        ("(NaCl)0.5(KCl)0.5", {11: 0.5, 17: 1, 19: 0.5}),
        ("Na₂O", {8: 1, 11: 2}),
        ("D2O", {1: 2, 8: 1}),
        ("NaCl0", {11: 1}),
        (Composition("NaCl"), {11: 1, 17: 1}),
        (Composition({"Fe2+": 1, "Fe3+": 2, "O2-": 4}), {8: 4, 26: 3}),
    ],
)
def test_formulas(formula, expected):
    assert amounts(formula) == expected


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("nacl", "cannot read 'nacl' as a formula: it has other signs"),
        ("NaCl2.5.1", "cannot read 'NaCl2.5.1'"),
        ("2NaCl", "cannot read '2NaCl'"),
        ("(Na", "brackets in pairs"),
        ("Na)", "brackets in pairs"),
        ("[Na(Cl])2", "brackets in pairs"),
        ("CuSO4·5H2O", r"a hydrate; write it with brackets: CuSO4\(H2O\)5"),
        ("CuSO4.5H2O", "a hydrate"),  # pymatgen reads 5.5 atoms of oxygen
        ("Fe2+", "of neutral elements"),
        ("La2-xSrxCuO4", "other signs"),
        ("Hg1e5", "other signs"),  # pymatgen reads 100,000 atoms
        ("X", "other signs"),  # pymatgen reads a dummy species
        ("", "other signs"),
        ("Na0", "has no atoms"),
        (Composition({"X": 1}), "X0.* is not a chemical element"),
        (Composition({"Na": -1}, allow_negative=True), "has -1 atoms of Na"),
        (None, "the formula is missing; drop such rows"),
        (np.nan, "the formula is missing"),
        (pd.NA, "the formula is missing"),
        (NACL, "got Structure among formulas"),
        ({"Na": 1}, "got dict among formulas"),
    ],
)
def test_what_is_refused_is_named(item, message):
    kind = ValueError if isinstance(item, (str, Composition)) else TypeError
    with pytest.raises(kind, match=rf"^row 1 \(b\): .*{message}"):
        as_contents(pd.Series(["NaCl", item], index=["a", "b"], dtype=object))


@pytest.mark.parametrize(
    "X",
    [
        ["NaCl", "KCl"],
        (formula for formula in ("NaCl", "KCl")),
        np.array(["NaCl", "KCl"]),
        np.array([["NaCl"], ["KCl"]], dtype=object),
        pd.Series(["NaCl", "KCl"], dtype="string"),
        pd.DataFrame({"composition": [Composition("NaCl"), "KCl"]}),
    ],
    ids=lambda X: type(X).__name__,
)
def test_what_holds_formulas(X):
    contents = as_contents(X)
    assert isinstance(contents, Compositions) and len(contents) == 2
    rows, numbers, _ = contents.composition()
    assert rows.tolist() == [0, 0, 1, 1] and numbers.tolist() == [11, 17, 17, 19]


@pytest.mark.parametrize(
    ("formula", "wrong"),
    [("NaCll", "Cll"), ("nacl", "nacl"), ("Fe₂Ox3", "Ox"), ("Ca(OH)2xy", "xy"), ("NaCl+", "+")],
)
def test_a_lone_misspelt_formula_is_told_from_a_file(formula, wrong, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = f"row 0: there is no file {formula!r}, and as a formula it has {wrong!r}, which is no"
    with pytest.raises(ValueError, match=re.escape(said)):
        as_contents([formula])
    (tmp_path / formula).write_text("no structure")
    with pytest.raises(ValueError, match="as a structure file"):
        as_contents([formula])


@pytest.mark.parametrize("name", ["POSCAR", "Fe2Ox3.cif", "data/NaCll", "my_file"])
def test_names_of_missing_files_are_no_formulas(name):
    with pytest.raises(ValueError, match=f"cannot read '{name}' as a structure file"):
        as_contents([name])


def test_structures_are_crystals():
    for X in ([NACL], as_contents([NACL]), [NACL.as_dict()], (NACL for _ in range(1))):
        assert isinstance(as_contents(X), Crystals)
    with pytest.raises(TypeError, match="X is a int"):
        as_contents(5)
