"""Element tables from CSV files and data frames: what is no number, no column or no knowledge."""

import warnings

import numpy as np
import pandas as pd
import pytest

from skuae.embedding import ElementTable, get_table


def load(path, text):
    path.write_text(text, encoding="utf-8")
    return ElementTable.load(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('element,a\nFe,"1,5"\n', "column 'a' of Fe: '1,5' is no number: it has a comma"),
        ("element,a\nFe,4_1\n", "column 'a' of Fe: '4_1' is no number: it has an underscore"),
        ("element,a\nFe,1.5 eV\n", "column 'a' of Fe: '1.5 eV' is no number"),
        ("element,a\nFe,\uff11\n", r"'\uff11' \(U\+FF11\)"),
        ("element,a\nFe,TRUE\nH,1\n", "column 'a' of Fe: 'TRUE' is no number"),
        ("element,name,a\nFe,iron,1\n", "column 'name' of Fe: 'iron' is no number"),
        ("element,a\nFe,9007199254740993\n", "more digits than a float64 keeps"),
        ("element,a,a\nFe,1,2\n", "two columns 'a'; rename one"),
        ("element,a, a\nFe,1,2\n", "two columns 'a'; rename one"),
        ("element;a;b\nFe;1,5;2\n", "separates columns by semicolons"),
        ("Fe;1,5;2\nH;1,5;2\n", "separates columns by semicolons"),
        ("element\ta\nFe\t1\n", "separates columns by tabs"),
        ("element a\nFe 1\n", "separates columns by spaces"),
        ("Fe 1\nH 2\n", "separates columns by spaces"),
        ("element,a\nFe,1,\n", "line 2 has 3 columns, the first line has 2"),
        ("element,a,b\nFe,1\n", "line 2 has 2 columns, the first line has 3"),
        ("# mine\nelement,a\nFe,1\n", "line 1 is a comment"),
        ("element,a\nfe,1\n", "'fe' is not an element"),
        (
            "a,b\n1,2\n3,4\n",
            "the first column, 'a', holds numbers. If these are atomic numbers, call",
        ),
        ("mass,b\n1.0,2\nFe,4\n", "the first column, 'mass', holds numbers"),
        (",element,a\n0,Na,1\n1,Cl,2\n", "the first column counts the rows, .* delete it"),
        ("element,a\n,1\n", "'' is not an element"),
    ],
)
def test_what_would_be_misread(tmp_path, text, message):
    with pytest.raises(ValueError, match=rf"t\.csv.*{message}"):
        load(tmp_path / "t.csv", text)


@pytest.mark.parametrize(
    "text",
    [
        "element,a,b\nFe,1,0\nNa,2,1\n",
        "\ufeffelement,a,b,\r\n Fe , +1 ,False,\r\nNa,2.0,TRUE,\r\n,,,\r\n",
        "Z,a,b\n26,1,0\n11.0,2,1\n",
        ",a,b\n26,1,0\n11,2,1\n",
        "Atomic number,a,b\n26,1,0\n11,2,1\n",
        "Atomic Number (Z),a,b\n26,1,0\n11,2,1\n",
        "nuclear_charge,a,b\n26,1,0\n11,2,1\n",
        "Name,a,b\nFe,1,0\nNa,2,1\n",
        'element,a,b\n"Fe" ,"1","0" \n"Na"\t,"2"  ,"1"',
    ],
)
def test_what_spreadsheets_write(tmp_path, text):
    table = load(tmp_path / "t.csv", text)
    assert table.symbols == ["Na", "Fe"] and table.columns == ["a", "b"]
    np.testing.assert_array_equal(table.values[table.seen], [[2, 1], [1, 0]])


def test_data_frames_are_read_as_files_are():
    frame = pd.DataFrame({"a": ["1.5", "2"]}, index=["Fe", "H"])
    np.testing.assert_array_equal(ElementTable(frame, name="t")["Fe"], [1.5])
    with pytest.raises(
        ValueError, match="column 'a' of H: '4_1' is no number: it has an underscore"
    ):
        ElementTable(frame.replace("2", "4_1"), name="t")
    with pytest.raises(ValueError, match="row 1: '4_1' is no number"):
        ElementTable([["1"], ["4_1"]], ["Fe", "H"], name="t")
    twice = pd.DataFrame([[1, 2]], index=["Fe"], columns=["a", "a"])
    with pytest.raises(ValueError, match="two columns of one name"):
        ElementTable(twice, name="t")


def test_numbers_in_an_index_are_no_elements_unless_it_says_so():
    rows = [[1.0], [2.0]]
    with pytest.raises(ValueError, match="the index of the data frame counts the rows, 0, 1, 2"):
        ElementTable(pd.DataFrame(rows), name="t")
    with pytest.raises(ValueError, match="the index of the data frame, 'mass', holds numbers"):
        ElementTable(pd.DataFrame(rows, index=pd.Index([1, 3], name="mass")), name="t")
    for name in ("Z", "atomic_number", None):
        frame = pd.DataFrame(rows, index=pd.Index([1, 3], name=name))
        assert ElementTable(frame, name="t").symbols == ["H", "Li"]


def test_json_is_no_element_table(tmp_path):
    (tmp_path / "atom_init.json").write_text('{"1": [0, 1]}')
    with pytest.raises(ValueError, match=r"a \.safetensors or \.csv file; .*get_table\(.cgcnn"):
        ElementTable.load(tmp_path / "atom_init.json")


def test_masked_values_are_refused():
    masked = np.ma.masked_equal([[1.0, 2.0], [3.0, 4.0]], 3)
    with pytest.raises(ValueError, match="row 1: the value is masked"):
        ElementTable(masked, ["Na", "Cl"], name="t")


@pytest.mark.parametrize("values", [[100000001, 100000002, 100000003], [1e-50, 2e-50, 1e-49]])
def test_a_column_that_float32_cannot_tell_apart_is_told(values):
    rows = np.c_[[1.0, 2.0, 3.0], values]
    with pytest.warns(
        UserWarning, match=r"column '1' differ by less than a float32 keeps \(1 such"
    ):
        ElementTable(rows, ["Na", "Cl", "K"], name="t")


@pytest.mark.parametrize(
    "values", [[0.3, 0.1 + 0.2, 0.3], [1e8, 2e8, 2e8 + 1], [0.1, 0.2, 0.3], [5e9] * 3]
)
def test_rounding_to_float32_is_no_news_elsewhere(values):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ElementTable(np.c_[[1.0, 2.0, 3.0], values], ["Na", "Cl", "K"], name="t")


@pytest.fixture
def rows():
    """Rows of seven elements in nine columns."""
    return pd.DataFrame(np.random.default_rng(0).random((7, 9)), index=list("HBCNOFP"))


def test_rows_without_knowledge_are_told(rows, tmp_path):
    unknown = rows.copy()
    unknown.loc[["H", "B"]] = np.nan
    imputed = unknown.fillna(unknown.mean())
    same = rows.copy()
    same.loc[list("BCNOF")] = 1.0
    for frame, said in [
        (imputed, "the mean of all rows"),
        (1000 + imputed.astype(np.float32), "the mean of all rows"),
        (imputed[[0, 1]], "the mean of all rows"),
        (unknown.fillna(0), "zeros only"),
    ]:
        with pytest.warns(UserWarning, match=rf"has {said} for H \(Z=1\), B \(Z=5\)\. If nothing"):
            ElementTable(frame, name="t")
    with pytest.warns(
        UserWarning, match="one and the same row for B .*C .*N .*O .*F .*leave them out"
    ):
        ElementTable(same, name="t")
    imputed.to_csv(tmp_path / "t.csv")
    with pytest.warns(UserWarning, match="the mean of all rows"):
        ElementTable.load(tmp_path / "t.csv")


def test_rows_of_few_properties_may_be_zero_or_the_same(rows):
    electrons = pd.DataFrame({"d": [0.0] * 6 + [1], "f": [0.0] * 6 + [2]}, index=rows.index)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ElementTable(electrons, name="t")
        ElementTable(rows, name="t")
        ElementTable(get_table("cgcnn").to_frame(), name="t")  # Bk, Cf, Es and Fm share a row
