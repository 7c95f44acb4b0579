import gzip
import json

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from skuae.crystals import LIMITS
from skuae.datasets import load_mp_mini, make_toy_crystals, read_file


@pytest.fixture(scope="module")
def records():
    data = load_mp_mini(target=["formation_energy_per_atom", "band_gap"])
    rows = zip(data.ids[:20], data.structures[:20].to_structures(), data.target, strict=False)
    return [
        {"material_id": name, "structure": structure.as_dict(), "e_form": y[0], "gap": y[1]}
        for name, structure, y in rows
    ]


def write(folder, kind, records):
    path = folder / f"crystals{kind}"
    if kind == ".parquet":
        pytest.importorskip("pyarrow")
        frame = pd.DataFrame(records)
        frame["structure"] = frame["structure"].map(json.dumps)
        frame.to_parquet(path)
        return path
    if kind == ".csv":
        frame = pd.DataFrame(records)
        frame["structure"] = frame["structure"].map(json.dumps)
        frame.to_csv(path, index=False)
        return path
    text = "\n".join(map(json.dumps, records)) if "jsonl" in kind else json.dumps(records)
    data = text.encode()
    path.write_bytes(gzip.compress(data) if kind.endswith(".gz") else data)
    return path


@pytest.mark.parametrize("kind", [".parquet", ".json", ".json.gz", ".jsonl", ".jsonl.gz", ".csv"])
def test_all_kinds_of_files_hold_the_same(tmp_path, records, kind):
    data = read_file(write(tmp_path, kind, records), target="gap")
    expected = load_mp_mini().structures[:20]
    assert list(data.ids) == [record["material_id"] for record in records]
    np.testing.assert_array_equal(data.structures.numbers, expected.numbers)
    np.testing.assert_allclose(data.structures.lattices, expected.lattices, atol=1e-5)
    np.testing.assert_allclose(data.target, [record["gap"] for record in records])
    assert list(data.labels) == ["e_form", "gap"]


def test_parquet_with_nested_columns(tmp_path):
    pytest.importorskip("pyarrow")
    crystals = load_mp_mini().structures[:3]
    structures = crystals.to_structures()
    structures[0].add_oxidation_state_by_guess()  # a field that the other rows then have as None
    dicts = [structure.as_dict() for structure in structures]
    for part in [*dicts, *(site for d in dicts for site in d["sites"])]:
        part.pop("properties")  # empty: parquet has no such thing
    pd.DataFrame({"id": ["a", "b", "c"], "structure": dicts}).to_parquet(tmp_path / "s.parquet")
    columns = {
        "lattice": [structure.lattice.matrix.tolist() for structure in structures],
        "atomic_numbers": [list(structure.atomic_numbers) for structure in structures],
        "frac_coords": [structure.frac_coords.tolist() for structure in structures],
    }
    pd.DataFrame(columns).to_parquet(tmp_path / "columns.parquet")
    for name in ("s.parquet", "columns.parquet"):
        read = read_file(tmp_path / name).structures
        np.testing.assert_array_equal(read.numbers, crystals.numbers)
        np.testing.assert_allclose(read.lattices, crystals.lattices, atol=1e-5)


def test_ids_are_as_in_the_file_and_row_numbers_are_none(tmp_path, records):
    frame = pd.DataFrame(records[:2])
    frame["structure"] = frame["structure"].map(json.dumps)
    frame.assign(material_id=["007", "NA"]).to_csv(tmp_path / "ids.csv", index=False)
    assert list(read_file(tmp_path / "ids.csv").structures.ids) == ["007", "NA"]
    renamed = frame.assign(material_id=["007", "NA"]).rename(columns={"material_id": "ID"})
    renamed.to_csv(tmp_path / "ids.csv", index=False)
    assert list(read_file(tmp_path / "ids.csv").structures.ids) == ["007", "NA"]
    renamed.rename(columns={"ID": "id"}).assign(ID=1).to_csv(tmp_path / "ids.csv", index=False)
    assert list(read_file(tmp_path / "ids.csv").structures.ids) == ["007", "NA"]
    frame.drop(columns="material_id").to_csv(tmp_path / "rows.csv", index=False)
    data = read_file(tmp_path / "rows.csv", target="gap")
    assert data.structures.ids is None
    assert list(data.labels.index) == [0, 1]


def test_three_columns_of_numbers(tmp_path, records):
    crystals = load_mp_mini().structures[:3]
    rows = [
        {
            "id": f"x-{i}",
            "lattice": s.lattice.matrix.tolist(),
            "atomic_numbers": list(s.atomic_numbers),
            "frac_coords": s.frac_coords.tolist(),
            "y": i,
        }
        for i, s in enumerate(crystals)
    ]
    data = read_file(write(tmp_path, ".jsonl", rows), target=["y"])
    np.testing.assert_array_equal(data.structures.numbers, crystals.numbers)
    np.testing.assert_array_equal(data.target, [0, 1, 2])


def test_matminers_table_and_jarvis_atoms(tmp_path, records):
    structure = load_mp_mini().structures[:1].to_structures()[0]
    atoms = {
        "lattice_mat": structure.lattice.matrix.tolist(),
        "coords": structure.cart_coords.tolist(),
        "elements": [site.specie.symbol for site in structure],
        "cartesian": True,
    }
    table = {"index": ["JVASP-1"], "columns": ["atoms", "y"], "data": [[atoms, 1.5]]}
    path = tmp_path / "jarvis.json"
    path.write_text(json.dumps(table))
    data = read_file(path, target="y")
    assert list(data.ids) == ["JVASP-1"]
    read = data.structures.to_structures()[0]
    np.testing.assert_allclose(read.distance_matrix, structure.distance_matrix, atol=1e-4)


def test_cif_texts_and_files(tmp_path):
    structures = load_mp_mini().structures[:2].to_structures()
    structures[1].to(str(tmp_path / "b.cif"))
    frame = pd.DataFrame({"id": ["a", "b"], "cif": [structures[0].to(fmt="cif"), "b.cif"]})
    frame.to_csv(tmp_path / "table.csv", index=False)
    assert read_file(tmp_path / "table.csv").structures.sizes.tolist() == [
        len(structure) for structure in structures
    ]


def test_unknown_labels_are_nan_and_words_are_refused(tmp_path, records):
    rows = [dict(record) for record in records[:3]]
    rows[1]["gap"] = None
    with pytest.warns(UserWarning, match="unknown labels: 1 in 'gap', of 3 rows"):
        assert np.isnan(read_file(write(tmp_path, ".json", rows), target="gap").target[1])
    rows[2]["gap"] = "large"
    with pytest.raises(ValueError, match=r"row mp-\d+: gap is 'large', no finite number"):
        read_file(write(tmp_path, ".json", rows), target="gap")


def test_a_label_under_another_name_is_told(tmp_path, records):
    rows = [dict(record) for record in records[:2]]
    rows[1]["Gap"] = rows[1].pop("gap")
    with pytest.warns(UserWarning, match="unknown labels: 1 in 'gap', of 2 rows"):
        read_file(write(tmp_path, ".json", rows), target="gap")


def test_a_file_twice_is_refused(tmp_path):
    load_mp_mini().structures[0].to(str(tmp_path / "b.cif"))
    (tmp_path / "t.csv").write_text("file,y\nb.cif,1\n./b.cif,2\n")
    with pytest.raises(ValueError, match=r"t\.csv: row 0 and row 1 are the same file, .*/b\.cif;"):
        read_file(tmp_path / "t.csv", target="y")


def test_unknown_in_the_words_of_jarvis_and_classes(tmp_path, records):
    rows = [{**record, "gap": gap, "kind": kind, "metal": bool(gap)}
            for record, gap, kind in zip(records, [1.5, "na", 0], ["ion", "na", "metal"],
                                         strict=False)]  # fmt: skip
    for kind in (".json", ".csv"):
        path = write(tmp_path, kind, rows)
        np.testing.assert_array_equal(read_file(path, target="gap").target, [1.5, np.nan, 0])
        assert read_file(path, target="kind").target.tolist() == ["ion", None, "metal"]
        assert read_file(path, target="metal").target.dtype == bool
        both = read_file(path, target=["metal", "gap"]).target
        np.testing.assert_array_equal(both, [[1, 1.5], [1, np.nan], [0, 0]])
        assert both.dtype == float


def test_dates_are_no_target_and_formulas_no_numbers(tmp_path, records):
    pytest.importorskip("pyarrow")
    rows = [{**record, "made": pd.Timestamp("2026-01-01"), "formula": formula}
            for record, formula in zip(records, ["InF", "NaCl"], strict=False)]  # fmt: skip
    path = write(tmp_path, ".parquet", rows)
    with pytest.raises(ValueError, match=r"made is Timestamp.*, no finite number"):
        read_file(path, target="made")
    assert read_file(path, target="formula").target.tolist() == ["InF", "NaCl"]


def test_booleans_with_gaps_are_numbers(tmp_path):
    pytest.importorskip("pyarrow")
    data = load_mp_mini()
    texts = [json.dumps(s.as_dict()) for s in data.structures[:3].to_structures()]
    metal = pd.array([True, None, False], dtype="boolean")
    pd.DataFrame({"structure": texts, "metal": metal}).to_parquet(tmp_path / "crystals.parquet")
    target = read_file(tmp_path / "crystals.parquet", target="metal").target
    np.testing.assert_array_equal(target, [1, np.nan, 0])
    assert target.dtype == float


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda rows: [{**row, "material_id": "mp-1"} for row in rows],
            r"rows 0, 1, 2, 3 and others have the id 'mp-1'",
        ),
        (lambda rows: [{"material_id": "mp-1", "y": 1}], "has no column of structures"),
        (
            lambda rows: [{**rows[0], "structure": None}],
            r"row 0 \(mp-\d+\): the cell of column structure is empty",
        ),
        (lambda rows: [{**rows[0], "structure": "none.cif"}], r"row 0 \(mp-\d+\): .*none.cif"),
        (
            lambda rows: [{**rows[0], "structure": "Ga As\n1.0\n"}],
            "is no CIF text, and there",
        ),
        (
            lambda rows: [{**rows[0], "structure": {"numbers": [1]}}],
            "no 'sites', but 'numbers'",
        ),
        (lambda rows: [{**rows[0], "structure": "Ga As\n" + "1.0\n" * 200}], "is no CIF text, and"),
        (lambda rows: [], "holds no rows"),
        (lambda rows: [*rows, None], r"is damaged.*: row \d+ is 'None', no record"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, records, change, message):
    with pytest.raises(ValueError, match=message):
        read_file(write(tmp_path, ".json", change(records)))


@pytest.mark.parametrize("kind", [".jsonl", ".csv", ".parquet"])
def test_rows_without_an_id_are_named(tmp_path, records, kind):
    rows = [dict(record) for record in records[:3]]
    rows[1]["material_id"] = None
    with pytest.raises(ValueError, match="row 1: it has no material_id"):
        read_file(write(tmp_path, kind, rows))


def test_numbers_as_ids_are_whole(tmp_path, records):
    rows = [{**record, "id": float(i)} for i, record in enumerate(records[:3])]
    for row in rows:
        del row["material_id"]
    assert list(read_file(write(tmp_path, ".parquet", rows)).ids) == ["0", "1", "2"]


def test_rows_are_counted_from_the_start_of_the_file(tmp_path, records):
    rows = [{**records[0], "material_id": f"mp-{i}"} for i in range(70)]
    far = json.loads(json.dumps(records[0]["structure"]))
    for site in far["sites"]:
        site["abc"] = [0, 0, 0]
    rows[66]["structure"] = far
    with pytest.raises(ValueError, match=r"json, row 66 \(mp-66\)"):
        read_file(write(tmp_path, ".json", rows))
    path = write(tmp_path, ".jsonl", rows[:3])
    path.write_text(path.read_text().replace('{"material_id": "mp-1"', '{"material_id" "mp-1"'))
    with pytest.raises(ValueError, match=r"is damaged, .*line 2: Expecting"):
        read_file(path)


def test_names_and_marks_of_windows(tmp_path, records):
    path = write(tmp_path, ".jsonl", records[:3])
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert len(read_file(path.rename(tmp_path / "CRYSTALS.JSONL")).structures) == 3


def test_a_folder_is_read_as_a_file_is(tmp_path, records):
    for record in records[:3]:
        (tmp_path / f"{record['material_id']}.json").write_text(json.dumps(record["structure"]))
    lines = [f"{r['material_id']},{r['e_form']},{r['gap']}" for r in records[:3]]
    (tmp_path / "id_prop.csv").write_text("\n".join(["id,e_form,gap", *lines]))
    whole, gap = read_file(tmp_path), read_file(tmp_path, target="gap")
    assert whole.target is None and list(gap.labels) == ["e_form", "gap"]
    assert gap.target.tolist() == [r["gap"] for r in records[:3]]
    with pytest.raises(ValueError, match="has no column 'gp'"):
        read_file(tmp_path, target="gp")
    (tmp_path / "id_prop.csv").write_text("é,1", encoding="cp1252")
    with pytest.raises(ValueError, match=r"id_prop\.csv is not UTF-8 text"):
        read_file(tmp_path)


def test_missing_damaged_and_unknown_files(tmp_path, records):
    with pytest.raises(FileNotFoundError, match="no file"):
        read_file(tmp_path / "none.json")
    whole = write(tmp_path, ".json.gz", records)
    whole.write_bytes(whole.read_bytes()[:-20])
    with pytest.raises(ValueError, match="is damaged"):
        read_file(whole)
    damaged = bytearray(write(tmp_path, ".json.gz", records).read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    whole.write_bytes(damaged)
    with pytest.raises(ValueError, match="is damaged"):
        read_file(whole)
    (tmp_path / "crystals.xyz").write_text("1")
    with pytest.raises(ValueError, match=r"\*\.parquet"):
        read_file(tmp_path / "crystals.xyz")
    with pytest.raises(ValueError, match="has no column 'gp'; it has e_form, gap"):
        read_file(write(tmp_path, ".json", records), target="gp")


@pytest.mark.parametrize("orient", ["columns", "index", "table"])
def test_other_layouts_of_pandas_are_named(tmp_path, records, orient):
    pd.DataFrame(records).to_json(tmp_path / "t.json", orient=orient)
    with pytest.raises(ValueError, match=r"one object with .*, expected a list .*orient=\"rec"):
        read_file(tmp_path / "t.json")


def test_records_without_a_list_and_lines_are_named(tmp_path, records):
    path = write(tmp_path, ".jsonl", records)
    path.rename(tmp_path / "t.json")
    with pytest.raises(ValueError, match=r"Extra data: line 2 .*, call the file \*\.jsonl"):
        read_file(tmp_path / "t.json")
    (tmp_path / "t.json").write_text(json.dumps(records[0]))
    with pytest.raises(ValueError, match=r"one object with the entries 'material_id', 'structure'"):
        read_file(tmp_path / "t.json")


@pytest.mark.parametrize("target", [1, [1], {"a": 1}.items()])
def test_targets_are_names(tmp_path, records, target):
    with pytest.raises(TypeError, match="must be the name of a column, or a list of names"):
        read_file(write(tmp_path, ".json", records), target=target)


def test_targets_in_an_array_and_infinite_ones(tmp_path, records):
    data = read_file(write(tmp_path, ".json", records), target=np.array(["e_form", "gap"]))
    assert data.target_names == ["e_form", "gap"]
    frame = pd.DataFrame(records).assign(
        e_form=np.inf, structure=lambda f: f.structure.map(json.dumps)
    )
    frame.to_csv(tmp_path / "crystals.csv", index=False)
    with pytest.raises(ValueError, match=r"row .*: e_form is inf, no finite number"):
        read_file(tmp_path / "crystals.csv", target="e_form")


CELL = [[4, 0, 0], [0, 4, 0], [0, 0, 4]]


def test_occupancies_of_arrays_are_kept(tmp_path):
    row = {"lattice": CELL, "atomic_numbers": [26], "frac_coords": [[0, 0, 0]]}
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(row | {"site_occupancies": [[[26, 0.4], [27, 0.5]]]}))
    data = read_file(path)
    assert data.structures[0].composition.as_dict() == pytest.approx({"Fe": 0.4, "Co": 0.5})
    assert data.labels.shape[1] == 0
    path.write_text(json.dumps(row | {"site_occupancies": [[[26, 0]]]}))
    with pytest.raises(ValueError, match="row 0: site_occupancies holds one that is not above 0"):
        read_file(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"elements": ["CO"]}, "'CO' is not an element"),
        ({"coords": [["0.1_1", 0, 0]]}, "row 0: '0.1_1' is no number: it has an underscore"),
        ({"lattice_mat": [["4_0", 0, 0], *CELL[1:]]}, "row 0: '4_0' is no number"),
        ({"cartesian": "false"}, "'cartesian' is 'false', expected true or false"),
    ],
)
def test_atoms_of_jarvis_that_make_no_sense(tmp_path, change, message):
    atoms = {"lattice_mat": CELL, "elements": ["Fe"], "coords": [[0, 0, 0]], "cartesian": False}
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"atoms": atoms | change}))
    with pytest.raises(ValueError, match=f"row 0: {message}"):
        read_file(path)


@pytest.mark.parametrize("text", ["[" * 200_000, '[{"y": ' + "1" * 400 + "}]"])
def test_json_that_python_cannot_hold(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=r"a\.json is damaged.*(nested too|integer of 400 digits)"):
        read_file(tmp_path / "a.json")
    (tmp_path / "a.jsonl").write_text("\n" + text)
    with pytest.raises(ValueError, match=r"a\.jsonl is damaged.*line 2: .*(nested|400 digits)"):
        read_file(tmp_path / "a.jsonl")


def test_compressed_tables_are_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(LIMITS, "table_bytes", 1000)
    with gzip.open(tmp_path / "a.jsonl.gz", "wb") as file:
        file.write(b"\n" * 1001)
    with pytest.raises(ValueError, match=r"more than 1,000 bytes.*LIMITS\.table_bytes"):
        read_file(tmp_path / "a.jsonl.gz")


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_remarks_on_all_rows_are_handed_on(tmp_path, n_jobs):
    rounded = Structure(Lattice.hexagonal(4, 5), ["Mg"], [[1 / 3, 2 / 3, 0]])
    text = rounded.to(fmt="cif", significant_figures=4)
    (tmp_path / "a.json").write_text(json.dumps([{"cif": text}] * 70))
    with pytest.warns(UserWarning) as caught:
        read_file(tmp_path / "a.json", n_jobs=n_jobs)
    assert len(caught) == 1
    assert str(caught[0].message).endswith("for 1/3 in 70 structures, for example row 0")


def test_files_elsewhere_are_read_on_request_only(tmp_path):
    (tmp_path / "x.cif").write_text(make_toy_crystals(n_samples=1).structures[0].to(fmt="cif"))
    (tmp_path / "sub").mkdir()
    for name in ("../x.cif", str(tmp_path / "x.cif")):
        (tmp_path / "sub" / "a.csv").write_text(f"file,y\n{name},1\n")
        with pytest.raises(ValueError, match=r"(?s)read from outside of .*allow_outside=True"):
            read_file(tmp_path / "sub" / "a.csv")
        assert len(read_file(tmp_path / "sub" / "a.csv", allow_outside=True).structures) == 1
