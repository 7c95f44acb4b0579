import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Element, Lattice, Structure
from sklearn.base import clone

from skuae._files import read_safetensors, write_safetensors
from skuae.embedding import ElementTable, UAETransformer, get_table, resolve_table

VALUES = np.array([[1.0, 10.0], [2.0, 20.0], [6.0, 60.0]])


@pytest.fixture
def table():
    card = {"source": "a test", "citation": "@article{x}"}
    return ElementTable(VALUES, ["Fe", "H", "O"], name="tiny", metadata=card, columns=["a", "b"])


def test_rows_lie_by_atomic_number(table):
    assert table.values.shape == (118, 2)
    assert table.values.dtype == np.float32
    assert table.symbols == ["H", "O", "Fe"]
    assert table.seen.sum() == 3
    np.testing.assert_array_equal(table["Fe"], [1, 10])
    np.testing.assert_array_equal(table[26], [1, 10])
    np.testing.assert_array_equal(table.values[0], [2, 20])
    assert np.isnan(table.values[~table.seen]).all()
    assert repr(table) == "ElementTable('tiny', 3 elements x 2 columns)"


def test_values_cannot_be_changed_in_place(table):
    for one in (table, copy.deepcopy(table), pickle.loads(pickle.dumps(table))):
        with pytest.raises(ValueError, match="read-only"):
            one.values[0] = 0
        for name in ("name", "columns", "values", "seen", "metadata"):
            with pytest.raises(AttributeError):
                setattr(one, name, None)
        one.columns.append("target")
        assert one.columns == ["a", "b"]


def test_data_frame_and_atomic_numbers(table):
    frame = pd.DataFrame(VALUES, index=["Fe", "H", "O"], columns=["a", "b"])
    assert ElementTable(frame, name="tiny") == table
    assert ElementTable(VALUES, [26, 1, 8], name="tiny", columns=["a", "b"]) == table
    assert ElementTable(VALUES, [26, 1, 8], name="tiny").columns == ["0", "1"]


@pytest.mark.parametrize(
    ("values", "symbols", "message"),
    [
        (VALUES, None, "symbols="),
        (VALUES, ["Fe", "H", "Xx"], "'Xx' is not an element"),
        (VALUES, [26, 1, 119], "119 is not an element"),
        (VALUES, [26, 1, 1.5], "1.5 is not an element"),
        (VALUES, ["Fe", "H", "H"], r"several rows for H \(Z=1\)"),
        (VALUES, ["Fe", "H"], "3 rows for 2 elements"),
        (VALUES[:0], [], "at least one row"),
        (VALUES[0], ["Fe", "H"], r"shape \(n_elements, n_dims\), got \(2,\)"),
        ([["x", "y"]], ["Fe"], "are numbers"),
        (1j * VALUES, ["Fe", "H", "O"], "are numbers: got complex numbers"),
    ],
)
def test_refuses(values, symbols, message):
    with pytest.raises(ValueError, match=message):
        ElementTable(values, symbols, name="bad")


@pytest.mark.parametrize("bad", [1.1e18, -1e30, 1e39])
def test_values_whose_squares_overflow_are_refused(bad):
    values = VALUES.copy()
    values[1, 1] = bad
    with pytest.raises(ValueError, match=r"column 'b' of H is .*at most 1e\+18.*divide the column"):
        ElementTable(values, ["Fe", "H", "O"], name="bad", columns=["a", "b"])
    values[:, 1] = [-1e18, 1e18, 0]
    table = ElementTable(values, ["Fe", "H", "O"], name="large")
    crystal = Structure(Lattice.cubic(4), ["Fe", "H"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert np.isfinite(UAETransformer(table).fit_transform([crystal])).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_missing_value_names_element_column_and_way_out(bad):
    values = VALUES.copy()
    values[1, 1] = bad
    with pytest.raises(ValueError, match=r"column 'b' of H is .*Impute.*leave the element out"):
        ElementTable(values, ["Fe", "H", "O"], name="bad", columns=["a", "b"])


def test_text_columns_are_named():
    frame = pd.DataFrame({"a": [1.0], "family": ["metal"]}, index=["Fe"])
    with pytest.raises(ValueError, match="column 'family' of Fe: 'metal' is no number"):
        ElementTable(frame, name="bad")


def test_lookup(table):
    np.testing.assert_array_equal(table.lookup([26, 1, 26]), VALUES[[0, 1, 0]])
    with pytest.raises(
        ValueError, match=r"no vector for He \(Z=2\), Po.*on_missing_element=\"mean"
    ):
        table.lookup([1, 84, 2])
    np.testing.assert_allclose(table.lookup([84, 1], "mean"), [VALUES.mean(axis=0), VALUES[1]])
    assert np.isnan(table.lookup([84, 1], "nan")).tolist() == [[True, True], [False, False]]
    with pytest.raises(ValueError, match="choose from raise, mean, nan"):
        table.lookup([1], "zero")
    for numbers in ([0], [119], [-1]):
        with pytest.raises(ValueError, match="1 to 118"):
            table.lookup(numbers)


def test_equality_is_by_value(table):
    assert table == copy.copy(table) == copy.deepcopy(table) == pickle.loads(pickle.dumps(table))
    assert hash(table) == hash(copy.deepcopy(table))
    assert table != ElementTable(VALUES, ["Fe", "H", "O"], name="other", columns=["a", "b"])
    assert table != ElementTable(VALUES, ["Fe", "H", "O"], name="tiny", columns=["a", "c"])
    assert table != ElementTable(VALUES + 1, ["Fe", "H", "O"], name="tiny", columns=["a", "b"])
    assert table != "tiny"


def test_copies_share_values_but_not_the_card(table):
    twin = copy.deepcopy(table)
    assert np.shares_memory(twin.values, table.values)
    twin.metadata["source"] = "changed"
    assert table.metadata["source"] == "a test"


def test_clone_of_an_estimator_keeps_it(table):
    assert clone(UAETransformer(table)).embedding == table


def test_is_one_object_for_numpy(table):
    assert np.array([table, table], dtype=object).shape == (2,)


def test_standardize():
    values = np.random.default_rng(0).normal(3, 5, size=(97, 50))
    values[:, 2:] = np.linspace(0.1, 0.9, 48)  # constant columns
    result = ElementTable(values, range(1, 98), name="t").standardize()
    rows = result.values[result.seen]
    np.testing.assert_allclose(rows[:, :2].mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(rows[:, :2].std(axis=0), 1, rtol=1e-6)
    assert (rows[:, 2:] == 0).all()
    assert result.metadata["standardized"] is True
    assert np.isnan(result.values[~result.seen]).all()


def test_permute_keeps_vectors_and_coverage_but_not_whose_they_are():
    table = ElementTable(np.arange(60).reshape(20, 3), range(5, 25), name="t")
    one, same, other = table.permute(0), table.permute(0), table.permute(1)
    assert one == same
    assert one != other
    assert one.name == "t-permuted"
    assert (one.seen == table.seen).all()
    assert set(map(tuple, one.values[one.seen])) == set(map(tuple, table.values[table.seen]))
    assert (one.values[one.seen] != table.values[table.seen]).any(axis=1).sum() > 10


@pytest.mark.parametrize("suffix", [".safetensors", ".csv", ".CSV"])
def test_files_bring_back_every_bit(suffix, tmp_path):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(118, 7)) * 10.0 ** rng.integers(-20, 17, size=(118, 7))
    table = ElementTable(
        values, range(1, 119), name="wide", columns=list("abcdefg"), metadata={"seed": 0, "é": [1]}
    )
    path = tmp_path / f"wide{suffix}"
    (table.save if suffix == ".safetensors" else table.to_csv)(path)
    loaded = resolve_table(str(path))[0]
    assert loaded == table  # Na and the like survive CSV, too
    if suffix == ".safetensors":
        assert loaded.metadata == table.metadata
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_saving_twice_gives_the_same_file(table, tmp_path):
    table.save(tmp_path / "a.safetensors")
    table.save(tmp_path / "b.safetensors")
    a, b = (tmp_path / f"{x}.safetensors" for x in "ab")
    assert a.read_bytes() == b.read_bytes()


def test_failing_save_leaves_the_old_file(table, tmp_path):
    path = tmp_path / "t.safetensors"
    table.save(path)
    bad = ElementTable(table.to_frame(), name="bad", metadata={"bad": object()})
    with pytest.raises(TypeError, match="JSON"):
        bad.save(path)
    assert ElementTable.load(path).symbols == table.symbols
    with pytest.raises(ValueError, match=r"name the file \*\.safetensors"):
        table.save(tmp_path / "t.bin")
    assert [p.name for p in tmp_path.iterdir()] == ["t.safetensors"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda card, tensors: tensors.pop("values"), "the array 'values' is missing"),
        (lambda card, tensors: tensors.pop("numbers"), "the array 'numbers' is missing"),
        (lambda card, tensors: tensors.update(more=np.zeros(2)), "'more' belongs to nothing"),
        (lambda card, tensors: tensors.update(values=tensors["values"][0]), "of shape"),
        (lambda card, tensors: tensors.update(values=tensors["values"] * np.nan), "not finite"),
        (lambda card, tensors: tensors.update(numbers=tensors["numbers"] * 0 + 1), "several rows"),
        (lambda card, tensors: tensors.update(numbers=tensors["numbers"] + 200), "is not an elem"),
        (lambda card, tensors: tensors.update(numbers=tensors["numbers"].astype(float)), "uint8"),
        (lambda card, tensors: card.pop("name"), "'name' is missing"),
        (lambda card, tensors: card.pop("columns"), "'columns' is missing"),
        (lambda card, tensors: card.update(name={"a": 1}), "'name' is {'a': 1}, expected str"),
        (lambda card, tensors: card.update(columns="ab"), "'columns' is 'ab', expected list"),
        (lambda card, tensors: card.update(columns=[1, 2]), "expected a list of texts"),
        (lambda card, tensors: card["columns"].pop(), "give one name a column"),
        (lambda card, tensors: card.update(metadata=[]), "'metadata' is"),
    ],
)
def test_forged_files(table, tmp_path, change, message):
    """A right checksum does not make a table."""
    path = tmp_path / "t.safetensors"
    table.save(path)
    tensors, card = read_safetensors(path, format="skuae-element-table-1")
    change(card, tensors)
    write_safetensors(path, tensors, card, format="skuae-element-table-1")
    with pytest.raises(ValueError, match=f"{path} does not hold an element table.*{message}"):
        ElementTable.load(path)


def test_bad_files(table, tmp_path):
    path = tmp_path / "t.safetensors"
    with pytest.raises(FileNotFoundError, match="there is no file"):
        ElementTable.load(path)
    table.save(path)
    content = path.read_bytes()
    path.write_bytes(content[:-3])
    with pytest.raises(ValueError, match="damaged"):
        ElementTable.load(path)
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ValueError, match="checksum"):
        ElementTable.load(path)
    path.write_bytes(b"no safetensors")
    with pytest.raises(ValueError, match=r"t\.safetensors is damaged, or was not written by skuae"):
        ElementTable.load(path)
    path.write_bytes(content.replace(b"skuae-element-table-1", b"skuae-element-table-9"))
    with pytest.raises(ValueError, match="another version of skuae"):
        ElementTable.load(path)
    csv = tmp_path / "t.csv"
    csv.write_text("element\nFe\n")
    with pytest.raises(ValueError, match="one column only"):
        ElementTable.load(csv)
    for content, message in (
        (b"", "is empty"),
        (b"element,a\nFe,1,2,3\nH,1,2,3,4\n", "line 2 has 4 columns, the first line has 2"),
        ("element,ä\nFe,1\n".encode("cp1252"), "is not UTF-8 text"),
    ):
        csv.write_bytes(content)
        with pytest.raises(ValueError, match=rf"t\.csv {message}"):
            ElementTable.load(csv)
    for first, second in (
        ("H", 0.2), ("1", 0.2), ("H", 0.1), ("H", ""), ("h", 1), ("Hydrogen", 1), ("D", -1),
        ("H", '"1,5"'),
    ):  # fmt: skip
        csv.write_text(f"{first},0.1,{second}\nHe,0.3,0.4\n")
        with pytest.raises(ValueError, match=f"has no header: its first line, of {first},"):
            ElementTable.load(csv)
    for head in ("Symbol,0.1,0.2", "z,-1,1", "metal,0,1"):
        csv.write_text(f"{head}\nFe,1,2\n")
        assert ElementTable.load(csv).columns == head.split(",")[1:]
    csv.write_text("element,a\nFe,1\nH,\n")
    with pytest.raises(ValueError, match="column 'a' of H is nan"):
        ElementTable.load(csv)


def test_fill_missing_gives_the_mean_to_all_others(table):
    filled = table.fill_missing()
    assert filled.seen.all() and filled.columns == table.columns
    np.testing.assert_array_equal(filled.values[table.seen], table.values[table.seen])
    mean = table.values[table.seen].mean(axis=0)
    for row in filled.values[~table.seen]:
        np.testing.assert_allclose(row, mean, rtol=1e-5)
    assert table["Fe"].tolist() == filled["Fe"].tolist()


def test_the_card_cannot_be_changed(table):
    table.metadata["x"] = 1
    assert "x" not in table.metadata


def test_elements_in_a_table():
    table = ElementTable(np.ones((2, 3)), ["H", "Fe"], name="two")
    assert "Fe" in table
    assert 1 in table
    assert "O" not in table
    with pytest.raises(ValueError, match="Xx"):
        assert "Xx" in table


def test_most_similar():
    angles = np.deg2rad([0, 10, 25, 90, 180])
    rows = np.column_stack([np.cos(angles), np.sin(angles)]) * np.array([[1], [9], [2], [1], [1]])
    table = ElementTable(rows, ["Na", "K", "Rb", "Fe", "Cl"], name="angles")
    near = table.most_similar("Na", n=2)
    assert list(near.index) == ["K", "Rb"]
    np.testing.assert_allclose(near, np.cos(np.deg2rad([10, 25])), rtol=1e-6)
    far = table.most_similar(11, n=99, metric="euclidean")
    assert list(far.index) == ["Rb", "Fe", "Cl", "K"]
    assert far["Cl"] == pytest.approx(2)
    direction = table["K"] - table["Na"]
    assert list(table.most_similar(direction, n=1).index) == ["K"]  # itself is not left out
    moved = ElementTable(rows + 50, ["Na", "K", "Rb", "Fe", "Cl"], name="moved")
    assert moved.most_similar("Na")["Cl"] > 0.99  # what the docstring warns of
    pd.testing.assert_series_equal(
        moved.standardize().most_similar("Na"), table.standardize().most_similar("Na"), rtol=1e-4
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"element": "Po"}, r"no vector for Po \(Z=84\)"),
        ({"element": "Xx"}, "'Xx' is not an element"),
        ({"element": [1.0, 2.0, 3.0]}, r"shape \(3,\); give .* 2 finite numbers"),
        ({"element": [0.0, 0.0]}, "is zero: no cosine; use metric='euclidean'"),
        ({"element": "Fe", "metric": "manhattan"}, "choose from cosine, euclidean"),
        ({"element": "Fe", "n": 0}, "n=0; at least 1"),
    ],
)
def test_most_similar_refuses(table, arguments, message):
    with pytest.raises(ValueError, match=message):
        table.most_similar(**arguments)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_most_similar_needs_another_element(metric):
    table = ElementTable([[1.0, 2.0]], ["Li"], name="one")
    with pytest.raises(ValueError, match=r"'one' has no element but Li \(Z=3\)"):
        table.most_similar("Li", metric=metric)
    assert list(table.most_similar([1.0, 0.0], metric=metric).index) == ["Li"]


def test_most_similar_names_the_zero_vector():
    table = ElementTable([[1, 0], [0, 0], [2, 1]], ["H", "He", "Li"], name="zero")
    with pytest.raises(ValueError, match=r"vector of He \(Z=2\) is zero"):
        table.most_similar("H")
    assert list(table.most_similar("H", metric="euclidean").index) == ["He", "Li"]


def test_elements_of_pymatgen():
    table = get_table("magpie")
    np.testing.assert_array_equal(table[Element("Na")], table["Na"])
    assert table.most_similar(Element("Na"), 3).equals(table.most_similar("Na", 3))
