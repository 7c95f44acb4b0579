import os
import warnings

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from skuae.crystals import Crystals
from skuae.datasets import _rows, make_toy_crystals, read_folder


@pytest.fixture(scope="module")
def toy():
    return make_toy_crystals(70, random_state=0)


@pytest.fixture
def folder(tmp_path, toy):
    """Write a folder: five CIF files and a table without header."""
    for i in range(5):
        toy.structures[i].to(filename=str(tmp_path / f"c{i}.cif"))
    write(tmp_path, [f"c{i},{0.5 * i}" for i in range(5)])
    return tmp_path


def cif(*rows):
    axes = "_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n_atom_site_occupancy\n"
    cell = "".join(f"_cell_length_{a} 4\n" for a in "abc")
    cell += "".join(f"_cell_angle_{a} 90\n" for a in ("alpha", "beta", "gamma"))
    operations = "loop_\n_symmetry_equiv_pos_as_xyz\n'x, y, z'\n"
    loop = "loop_\n_atom_site_type_symbol\n_atom_site_label\n"
    return "data_x\n" + cell + operations + loop + axes + "\n".join(rows) + "\n"


def write(folder, lines):
    (folder / "id_prop.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def assert_same(structures, expected):
    assert len(structures) == len(expected)
    for one, other in zip(structures, expected, strict=True):
        assert one.composition == other.composition
        assert one.volume == pytest.approx(other.volume, rel=1e-4)
        np.testing.assert_allclose(
            sorted(one.distance_matrix.ravel()), sorted(other.distance_matrix.ravel()), atol=1e-3
        )


def test_reads_in_order_of_the_table(folder, toy):
    write(folder, [f"c{i},{0.5 * i}" for i in (3, 0, 4)])
    data = read_folder(folder)
    assert isinstance(data.structures, Crystals)
    assert_same(data.structures, [toy.structures[i] for i in (3, 0, 4)])
    np.testing.assert_array_equal(data.target, [1.5, 0.0, 2.0])
    assert list(data.ids) == list(data.structures.ids) == ["c3", "c0", "c4"]
    assert data.target_names == ["target"]
    assert data.files == ["c3.cif", "c0.cif", "c4.cif"]
    assert data.frame.shape == (3, 2)
    assert data.frame.structure.loc["c0"].composition == toy.structures[0].composition
    assert len(data.errors) == 0


def test_two_processes_read_the_same(tmp_path, toy):
    for i in range(70):  # three tasks
        toy.structures[i].to(filename=str(tmp_path / f"{i}.cif"))
    write(tmp_path, [f"{i},{i}" for i in range(70)])
    one, two = read_folder(tmp_path), read_folder(tmp_path, n_jobs=2)
    np.testing.assert_array_equal(one.structures.numbers, two.structures.numbers)
    np.testing.assert_array_equal(one.structures.frac_coords, two.structures.frac_coords)
    np.testing.assert_array_equal(one.structures.lattices, two.structures.lattices)
    np.testing.assert_array_equal(one.structures.offsets, two.structures.offsets)
    np.testing.assert_array_equal(two.target, np.arange(70.0))


def test_result_can_be_kept_in_one_file(folder):
    data = read_folder(folder)
    data.structures.save(folder / "crystals.npz")
    again = Crystals.load(folder / "crystals.npz")
    np.testing.assert_array_equal(again.frac_coords, data.structures.frac_coords)
    assert list(again.ids) == list(data.ids)


@pytest.mark.parametrize(
    ("file", "fmt", "name"),
    [
        ("c.cif", "cif", "c"),
        ("c.cif", "cif", "c.cif"),
        ("c.vasp", "poscar", "c"),
        ("c.vasp", "poscar", "c.vasp"),
        ("POSCAR-c", "poscar", "POSCAR-c"),
        ("c.json", "json", "c"),
    ],
)
def test_kinds_of_files(tmp_path, toy, file, fmt, name):
    (tmp_path / file).write_text(toy.structures[0].to(fmt=fmt))
    write(tmp_path, [f"{name},1.0"])
    assert_same(read_folder(tmp_path).structures, [toy.structures[0]])


def test_disordered_crystals_keep_their_occupancies(tmp_path, toy):
    mixed = Structure(
        Lattice.cubic(4.0), [{"Ga": 0.25, "Al": 0.75}, "As"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    for i in range(40):  # two tasks, both with ordered and disordered crystals
        structure = mixed if i % 3 == 1 else toy.structures[i]
        structure.to(filename=str(tmp_path / f"c{i}.cif"))
    write(tmp_path, [f"c{i},0" for i in range(40)])
    crystals = read_folder(tmp_path).structures
    np.testing.assert_array_equal(crystals.is_disordered, np.arange(40) % 3 == 1)
    for row in (1, 37):
        assert crystals[row].composition.as_dict() == pytest.approx(
            {"Ga": 0.25, "Al": 0.75, "As": 1.0}
        )


class TestTable:
    @pytest.mark.parametrize(
        "header",
        ["id,gap,energy", "cif,gap,energy", "material_id,gap,energy", "File Name,gap,energy"],
    )
    def test_header_and_several_targets(self, folder, header):
        write(folder, [header, "c1,1.5,-2", "c2,2.5,-3"])
        data = read_folder(folder)
        assert data.target_names == ["gap", "energy"]
        np.testing.assert_array_equal(data.target, [[1.5, -2.0], [2.5, -3.0]])

    @pytest.mark.parametrize("head", ["mp_id", "Cif-ID", "file_name", "structure"])
    def test_header_above_classes(self, folder, head):
        write(folder, [f"{head},kind", "c1,metal", "c2,insulator"])
        assert read_folder(folder).target.tolist() == ["metal", "insulator"]

    def test_header_is_not_confused_with_a_missing_file_of_a_class_label(self, folder):
        write(folder, ["lost,metal", "c1,metal", "c2,insulator"])
        with pytest.raises(ValueError, match="lost: no such file"):
            read_folder(folder)

    def test_target_names_name_columns_or_select_them(self, folder):
        write(folder, ["c1,1.5,-2", "c2,2.5,-3"])
        assert read_folder(folder).target_names == ["target_0", "target_1"]
        assert read_folder(folder, target_names=["gap", "e"]).target_names == ["gap", "e"]
        with pytest.raises(ValueError, match="1 target_names for 2 label columns"):
            read_folder(folder, target_names=["gap"])
        write(folder, ["id,gap,e", "c1,1.5,-2", "c2,2.5,-3"])
        np.testing.assert_array_equal(read_folder(folder, target_names=["e"]).target, [-2.0, -3.0])
        with pytest.raises(ValueError, match="no column 'energy'; its columns are 'gap', 'e'"):
            read_folder(folder, target_names=["energy"])

    def test_byte_order_mark_spaces_quotes_and_empty_lines(self, folder):
        text = '\ufeffc0, 1.0\r\n\r\n"c1" ,2.0\r\n'
        (folder / "id_prop.csv").write_bytes(text.encode("utf-8"))
        np.testing.assert_array_equal(read_folder(folder).target, [1.0, 2.0])

    def test_unknown_labels_are_nan_and_reported(self, folder):
        write(folder, ["c0,1.0,", "c1,nan,2", "c2,NA,3"])
        with pytest.warns(UserWarning, match="2 in 'target_0', 1 in 'target_1', of 3 rows"):
            data = read_folder(folder)
        np.testing.assert_array_equal(data.target, [[1, np.nan], [np.nan, 2], [np.nan, 3]])

    def test_class_labels(self, folder):
        write(folder, ["c0,metal", "c1,insulator"])
        assert list(read_folder(folder).target) == ["metal", "insulator"]

    def test_ids_only(self, folder):
        write(folder, ["c0", "c1"])
        data = read_folder(folder)
        assert data.target is None and data.target_names == []
        assert data.frame.shape == (2, 1)

    @pytest.mark.parametrize(
        ("lines", "message"),
        [
            (["c0,1.0", "c1,2.0,3.0"], "line 2 has 3 columns, the first line has 2"),
            (["c0,1.0", "c1,oops"], "line 2, column 'target' is 'oops', no finite number"),
            (["c0,1.0", "c1,inf"], "line 2, column 'target' is 'inf', no finite number"),
            (["c0,1.0", "c1,2.0", "c0,3.0"], "names 'c0' more than once"),
            ([""], "is empty"),
        ],
    )
    def test_what_is_wrong_is_named_with_its_line(self, folder, lines, message):
        write(folder, lines)
        with pytest.raises(ValueError, match=message):
            read_folder(folder)

    def test_folder_without_table(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"(?s)no id_prop.csv in .*read_structures"):
            read_folder(tmp_path)


class TestUnreadable:
    @pytest.fixture
    def broken(self, folder):
        (folder / "c1.cif").write_text("this is no CIF file")
        twin = Structure(Lattice.cubic(4), ["Na", "Na"], [[0, 0, 0], [0, 0, 0.01]])
        twin.to(filename=str(folder / "c3.cif"))
        write(folder, [*(f"c{i},{i}" for i in range(5)), "lost,5"])
        return folder

    @pytest.mark.parametrize("n_jobs", [None, 2])
    def test_all_are_named_at_once_with_reason_and_way_out(self, broken, n_jobs):
        with pytest.raises(ValueError) as caught:
            read_folder(broken, n_jobs=n_jobs)
        message = str(caught.value)
        assert message.startswith("3 of 6 structures")
        assert "\n  c1.cif: " in message
        assert "\n  c3.cif: sites 0 and 1 are 0.040 Å apart" in message
        assert "\n  lost: no such file" in message
        assert 'on_error="skip"' in message

    def test_skip_leaves_them_out_and_says_so(self, broken, toy):
        with pytest.warns(UserWarning, match="3 of 6 structures") as caught:
            data = read_folder(broken, on_error="skip")
        assert all(w.filename == __file__ for w in caught)
        assert_same(data.structures, [toy.structures[i] for i in (0, 2, 4)])
        np.testing.assert_array_equal(data.target, [0.0, 2.0, 4.0])
        assert list(data.ids) == ["c0", "c2", "c4"]
        assert list(data.errors.id) == ["c1", "c3", "lost"]
        assert list(data.errors.file) == ["c1.cif", "c3.cif", ""]

    def test_nothing_left_is_an_error_even_then(self, broken):
        write(broken, ["lost,5", "c1,1"])
        with pytest.raises(ValueError, match="2 of 2 structures"):
            read_folder(broken, on_error="skip")

    def test_a_long_list_is_cut(self, folder):
        write(folder, [f"lost{i},{i}" for i in range(60)])
        with pytest.raises(ValueError, match="and 10 more"):
            read_folder(folder)

    def test_unknown_on_error(self, folder):
        with pytest.raises(ValueError, match="on_error='ignore' must be 'raise' or 'skip'"):
            read_folder(folder, on_error="ignore")


def test_remarks_of_pymatgen_are_passed_on_once_per_kind(folder):
    # Thirds with four digits: pymatgen rounds them to 1/3 and says how many it rounded.
    third, two_thirds = [1 / 3, 2 / 3, 0.0], [2 / 3, 1 / 3, 0.5]
    for name, coords in (("c0", [third]), ("c1", [third, two_thirds])):
        structure = Structure(Lattice.hexagonal(4, 5), ["Mg"] * len(coords), coords)
        structure.to(filename=str(folder / f"{name}.cif"), significant_figures=4)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read_folder(folder)
    said = [str(w.message) for w in caught if "taken for 1/3" in str(w.message)]
    assert len(said) == 1
    assert said[0].endswith(" in 2 structures, for example c0")


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_every_reason_and_every_remark_is_handed_on(folder, n_jobs):
    texts = {
        "c0": cif("Fe A 0 0 0 2.0"),
        "c1": cif("Fe A 0 0 0 1", "Co B 0 0 0 1"),
        "c2": cif("NH4 A 0 0 0 1"),
    }
    texts |= {name: cif("Mg A .3333 .6667 0 1") for name in ("c3", "c4")}
    for name, text in texts.items():
        (folder / f"{name}.cif").write_text(text)
    with pytest.warns(UserWarning) as caught:
        data = read_folder(folder, on_error="skip", n_jobs=n_jobs)
    assert data.errors.id.tolist() == ["c0", "c1", "c2"]
    reasons = data.errors.reason.tolist()
    assert "occupancy 2.0" in reasons[0] and "share one place" in reasons[1]
    assert "'NH4' is no element" in reasons[2]
    assert data.remarks.id.tolist() == ["c3", "c4"]
    assert data.remarks.file.tolist() == ["c3.cif", "c4.cif"]
    assert all("rounded to ideal values" in text for text in data.remarks.remark)
    assert any("in 2 structures, for example c3" in str(w.message) for w in caught)


def test_files_elsewhere_are_read_on_request_only(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "x.cif"
    elsewhere.write_text(cif("Mg A 0 0 0 1"))
    for name in (str(elsewhere), f"../{elsewhere.parent.name}/x", "sub/../../x.cif"):
        write(folder, [f"{name},1"])
        with pytest.raises(
            ValueError, match=r"(?s)id_prop\.csv: .*outside of .*allow_outside=True"
        ):
            read_folder(folder)
    write(folder, [f"{elsewhere},1", "c0,2"])
    assert len(read_folder(folder, allow_outside=True).structures) == 2
    write(folder, ["sub/../c0.cif,1"])
    (folder / "sub").mkdir()
    assert len(read_folder(folder).structures) == 1


def test_commas_of_decimals_are_none_between_columns(folder):
    for end in ("07", "92(3)", "5e-01"):
        write(folder, ["c0,1,92", f"c1,-2,{end}"])
        with pytest.raises(ValueError, match=r"line 2: '-2' and '.*' look like -2,.*with a point"):
            read_folder(folder)
    write(folder, ["c0,-0,92", "c1,1,92"])
    with pytest.raises(ValueError, match="line 1: '-0' and '92' look like -0,92;"):
        read_folder(folder)
    for lines in (["c0,-0,0.5", "c1,1,92"], ["c0,12,1e-05", "c1,4,0.5"], ["id,a,b", "c0,1,07"]):
        write(folder, lines)
        assert read_folder(folder).target.shape[1] == 2


def test_a_name_too_long_for_a_file_is_no_file(folder):
    write(folder, ["c0,1", f"{'x' * 5000},2"])
    with pytest.raises(ValueError, match=r"1 of 2 structures .* not read:\n  xxx.*: no such file"):
        read_folder(folder)
    write(folder, ["c0,1", f"/{'x' * 5000},2"])
    with pytest.raises(ValueError, match=r"id_prop\.csv: '/xxx.*outside of") as caught:
        read_folder(folder)
    assert len(str(caught.value)) < 500


def test_only_regular_files_are_opened(folder):
    (folder / "c1.cif").unlink()
    os.mkfifo(folder / "c1.cif")  # opening it would wait for ever
    with pytest.raises(ValueError, match="c1: no such file"):
        read_folder(folder)


def test_progress_is_shown_on_request_only(folder, capsys, monkeypatch):
    monkeypatch.setattr(_rows, "_DELAY", 0)
    read_folder(folder)
    assert capsys.readouterr().err == ""
    read_folder(folder, verbose=1)
    assert "5/5" in capsys.readouterr().err


def test_one_file_under_two_names_is_refused(tmp_path):
    structure = make_toy_crystals(n_samples=1).structures[0]
    structure.to(filename=str(tmp_path / "m0.cif"))
    (tmp_path / "id_prop.csv").write_text("m0,1\nm0.cif,2\n")
    with pytest.raises(ValueError, match=r"'m0' and 'm0.cif' are the same file"):
        read_folder(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "id_prop.csv").write_text("m0,1\nsub/../m0,2\n")
    with pytest.raises(ValueError, match=r"id_prop\.csv: 'm0' and 'sub/../m0' are the same file"):
        read_folder(tmp_path)


def test_a_guessed_header_is_told(tmp_path):
    for i, structure in enumerate(make_toy_crystals(n_samples=2).structures):
        structure.to(filename=str(tmp_path / f"m{i}.cif"))
    (tmp_path / "id_prop.csv").write_text("m99,O.5\nm0,1\nm1,2\n")
    with pytest.warns(UserWarning, match="taken for a header"):
        assert len(read_folder(tmp_path).target) == 2


def test_target_names_that_make_no_sense(tmp_path):
    (tmp_path / "id_prop.csv").write_text("m0,1,10\nm1,2,20\n")
    with pytest.raises(ValueError, match=r"\['a', 'a'\] names a column twice"):
        read_folder(tmp_path, target_names=["a", "a"])
    with pytest.raises(ValueError, match="1 target_names for 2 label columns"):
        read_folder(tmp_path, target_names="eg")


def test_a_header_alone_is_named(tmp_path):
    (tmp_path / "id_prop.csv").write_text("id,y\n")
    with pytest.raises(ValueError, match=r"id_prop\.csv has a header only"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [("/dev/zero", "outside of"), ("../a", "outside of"), ("lost.cif", r"lost\.cif: no such file")],
)
def test_a_name_of_a_file_is_no_header(folder, name, message):
    lines = (folder / "id_prop.csv").read_text().splitlines()
    (folder / "id_prop.csv").write_text("\n".join([f"{name},1", *lines]))
    with pytest.raises(ValueError, match=message):
        read_folder(folder)
    (folder / "id_prop.csv").write_text("\n".join([f"{name},metal", *lines]))
    with pytest.raises(ValueError, match=rf"{message}|'metal', no finite number"):
        read_folder(folder)
