"""Texts in cells of tables, and numbers as users give them."""

import math
import re

import numpy as np
import pytest

from skuae._cells import number_in, says_unknown, why_no_number
from skuae._numbers import as_floats

# What users, spreadsheets and programs write for a number, and what is wrong with it.
MEANT = {
    "1,5": "comma",
    "-1,5": "comma",
    "1,5e3": "comma",
    "1.5 eV": "text after",
    "1.5eV": "text after",
    "1.5e+": "text after",
    "1.5;": "text after",
    "1.5*": "text after",
    "3.7V": "text after",
    "1 # two": "text after",
    "1.5 meV/atom": "text after",
    "300K": "unit",
    "300 K": "unit",
    "100 meV": "unit",
    "2 eV/atom": "unit",
    "5 W/m/K": "unit",
    "1.5 g/cm3": "unit",
    "1,5 eV": "unit",
    "50%": "percent",
    "50 %": "percent",
    "1.5D+00": "Fortran",
    "1.5d0": "Fortran",
    "15D-01": "Fortran",
    "4_1": "underscore",
    "1_000.5": "underscore",
    "\u22121.5": r"U\+2212",
    "\u20131.5": r"U\+2013",
    "\uff11\uff0e\uff15": r"U\+FF11",
    "\u0661": r"U\+0661",
    "0x10": "hexadecimal",
    "1 234,5": "thousands",
    "1\u00a0234": "thousands",
    "1'000": "thousands",
    "1,234.5": "thousands",
    "1.234,5": "thousands",
    "1.234.567": "thousands",
    "1.5x10^-3": "power of ten",
    "1.5\u00d710\u207b\u00b3": "power of ten",
    "1.5\u00b10.1": "error bar",
    "1.5 +/- 0.1": "error bar",
    "1.5(2)": "error bar",
    "~1.5": "approximate",
    "'1.5'": "quotes",
    "'1.5": "quotes",
    '="1.5"': "quotes",
    "=1.5": "equals",
    "[1.5]": "brackets",
    "2026-01-05": "date",
    "2026-01-05 00:00:00": "date",
    "05.01.2026": "date",
    "5-Jan": "date",
    "Jan-05": "date",
    "#N/A": "spreadsheet",
    "#DIV/0!": "spreadsheet",
    "1.#IND": "program",
    "10^3": "power",
    "10**-3": "power",
    "1 e3": "space before its exponent",
    "1.5 E-3": "space before its exponent",
    "+-1.5": "two signs",
    "1.5-": "two signs",
    "$1.5": "money",
    "\u20ac 15": "money",
    "=A1+B1": "formula",
    "=SUM(A1:A3)": "formula",
    "eV 1.5": "unit",
    "nan eV": "unit",
    "\u200e1.5": r"invisible character, U\+200E",
    "1.5\u200b": r"invisible character, U\+200B",
    "12345678901234567890": "digits",
    "9007199254740993": "digits",
}
NAMES = [*"""
    Fm-3m P2_1/c I4_1/amd C2/c 2/m 4mm mm2 -3m 6/mmm P1 4a 225a L1_2 A15 D03 2H 1T 1T' 3R 6H 3C 2D
    2H-MoS2 FM AFM (111) [110] 2x1 7x7 <1 >=1 0-1 1-2 0.5-1.0 1/2 1:1 3d10 4f7 d10 1.2.3 v1.2 1st 1a
    + - metal TRUE == => e3 Pm-3 $ e1g V1.5 B1 NaCl InF Na Mar 0.7BiFeO3-0.3BaTiO3 a,b phase_1
""".split(), "phase 1", "2 layers", "1 atom", "class 1,5", "+1 charge", "May 5th",
         "Pm 3", "a 1.5", "K1.5", "nan tube", "1 e"]  # fmt: skip


@pytest.mark.parametrize(("text", "fault"), MEANT.items())
def test_what_was_meant_as_a_number_is_none(text, fault):
    assert number_in(text) is None
    assert re.search(fault, why_no_number(text))


@pytest.mark.parametrize("text", NAMES)
def test_names_with_digits_are_names(text):
    assert number_in(text) is None
    assert why_no_number(text) is None


@pytest.mark.parametrize(
    ("text", "number"),
    [("1", 1), ("+1.5", 1.5), (" -1. ", -1), (".5", 0.5), ("1E-5", 1e-5), ("007", 7), ("-0", 0),
     ("1e400", math.inf), ("-inf", -math.inf), ("Infinity", math.inf), ("1" + "0" * 21, 1e21),
     ("9007199254740992", 2.0**53), ("0.1234567890123456789", 0.1234567890123456789)],
)  # fmt: skip
def test_numbers(text, number):
    assert number_in(text) == number


def test_gaps():
    assert all(
        map(says_unknown, ["", " ", "nan", "NaN", "NA", "na", "n/a", "<NA>", "None", "NULL"])
    )
    assert not any(map(says_unknown, ["Na", "-", "0", "unknown", "#N/A"]))  # Na is sodium
    assert math.isnan(number_in("nan")) and math.isnan(number_in("-NaN"))
    assert number_in("-+inf") is None


def test_as_floats_reads_texts_as_files_do():
    np.testing.assert_array_equal(as_floats(["1.5", " 2 ", "nan"]), [1.5, 2, np.nan])
    np.testing.assert_array_equal(as_floats([["1", 2], [None, "4"]]), [[1, 2], [np.nan, 4]])
    np.testing.assert_array_equal(as_floats([b"1.5"]), [1.5])
    for values, message in [
        (["1", "4_1"], "row 1: '4_1' is no number: it has an underscore"),
        ([[1, 2], [3, "1,5"]], "row 1: '1,5' is no number: it has a comma"),
        (["\u0661"], r"row 0: .* \(U\+0661\)"),
        (["metal"], "row 0: 'metal' is no number$"),
        ([10**400], "too large"),
        ([1j], "complex"),
    ]:
        with pytest.raises(ValueError, match=message):
            as_floats(values)
    with pytest.raises(TypeError, match="dates and times"):
        as_floats(np.array(["2026-01-05"], dtype="datetime64[D]"))
