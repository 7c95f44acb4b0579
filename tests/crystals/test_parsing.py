"""Structures in dicts, texts and files of all kinds, and what is refused of them."""

import copy
import gzip
import json
import os

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Composition, Lattice, Molecule, Structure
from pymatgen.entries.computed_entries import ComputedStructureEntry

from skuae import UAETransformer
from skuae.crystals import LIMITS, Limits, as_crystals, load_json, parse_structure, warn_remarks

EYE = np.eye(3).tolist()
NACL = Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3])


def changed(species=None, **site):
    content = copy.deepcopy(NACL.as_dict())
    content["sites"][0] |= site | ({} if species is None else {"species": species})
    return content


def entry(element, occu=1, **more):
    return {"element": element, "occu": occu, **more}


@pytest.mark.parametrize(
    ("species", "amounts"),
    [
        ([entry("Fe", 0.5), entry("Fe", 0.4)], {"Fe": 0.9}),  # pymatgen keeps the last one
        ([entry("Fe", 0.5, oxidation_state=2), entry("Fe", 0.5, oxidation_state=3)], {"Fe": 1}),
        ([entry("D")], {"H": 1}),
        ([entry("13C")], {"C": 1}),
        ([entry("Fe3+")], {"Fe": 1}),
    ],
)
def test_species_of_dicts(species, amounts):
    found = as_crystals([changed(species)])[0].composition.as_dict()
    assert found == pytest.approx(amounts | {"Cl": 1})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (changed([entry("X")]), "site 0: 'X' is no element"),
        (changed([entry("X", oxidation_state=0)]), "site 0: 'X' is no element"),
        (changed([entry("NH4")]), "site 0: 'NH4' is no element"),
        (changed([entry(None)]), "site 0: 'None' is no element"),
        (changed([entry("Na", float("nan"))]), "site 0: Na has the occupancy nan"),
        (changed([entry("Na", 0)]), "site 0: Na has the occupancy 0"),
        (changed([entry("Na", "0.5")]), "site 0: Na has the occupancy '0.5'"),
        (changed([entry("Na", 0.9), entry("K", 0.9)]), "sum to more than 1"),
        (changed([]), r"site 0: its species are '\[\]'"),
        (changed("Na"), "site 0: its species are 'Na', expected a list"),
        (changed([{"occu": 1}]), "site 0: no 'element'"),
        (changed(abc=[0, 0]), "site 0: it has 2 coordinates"),
        (changed(abc=[10**400, 0, 0]), "site 0: a number is too large for float64"),
        (changed(abc=["0.2_5", 0, 0]), "site 0: row 0: '0.2_5' is no number: it has an underscore"),
        (NACL.as_dict() | {"lattice": {"matrix": [["4_0", 0, 0], *EYE[1:]]}}, "row 0: '4_0' is no"),
        (NACL.as_dict() | {"lattice": {"matrix": EYE[1:]}}, "its lattice cannot be read"),
        (NACL.as_dict() | {"sites": ["Na"]}, "site 0 is 'Na', expected a dict"),
        (NACL.as_dict() | {"sites": None}, "its 'sites' are 'None', expected a list"),
        (Molecule(["O"], [[0, 0, 0]]).as_dict(), "no 'lattice'"),
        (
            {"@class": "Trajectory", "coords": []},
            "no 'sites', but '@class', 'coords'. It is a Traj",
        ),
        (json.dumps([NACL.as_dict()] * 2), "a list of 2 entries, not one structure"),
        ("[" * 200_000, "nested too deeply"),
        ('{"a":' * 200_000, "nested too deeply"),
        ("NaCl", "'NaCl' is a formula, not a file: a formula has no positions"),
        ("Ca(OH)2", "'Ca\\(OH\\)2' is a formula, not a file"),
        ("x" * 5000, "there is no such file"),
        ("/dev/zero", "there is no such file, or it is no regular file"),
        (NACL.to(fmt="poscar"), "so that it is no CIF, but a POSCAR: write it to a file"),
    ],
    ids=lambda x: None if isinstance(x, str) and len(x) < 80 else "content",
)
def test_what_is_refused_is_named(content, message):
    with pytest.raises(ValueError, match=f"^row 1: .*{message}") as caught:
        as_crystals([NACL, content])
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("name", ["a.xyz", "a.res", "a.cssr", "pw.in", "vasprun.xml", "a.txt", "a"])
def test_other_formats_are_left_to_their_readers(tmp_path, name):
    (tmp_path / name).write_text("TITL a\n")
    with pytest.raises(
        ValueError, match=r"skuae reads CIF .*ase\.io\.read.* save the structure as"
    ):
        as_crystals([tmp_path / name])


def test_entries_have_structures():
    entry = ComputedStructureEntry(NACL, -1.0)
    with pytest.raises(TypeError, match=r"row 0: got ComputedStructureEntry; pass its structure"):
        as_crystals([entry])


def test_charges_and_properties_change_nothing():
    content = NACL.as_dict() | {"charge": "abc", "properties": {"@module": "os", "@class": "x"}}
    assert as_crystals([content])[0].composition == NACL.composition


def test_texts_of_cif_and_json_are_read():
    for text in (NACL.to(fmt="cif"), NACL.to(fmt="json")):
        for X in ([text], pd.DataFrame({"structure": [text]})):
            assert as_crystals(X)[0].composition == NACL.composition


def test_large_integers_are_refused():
    with pytest.raises(ValueError, match=r"an integer of 400 digits, 111111111111\.\.\."):
        load_json("[" + "1" * 400 + "]")


def test_sites_are_limited(monkeypatch):
    with pytest.raises(ValueError, match=r"sites: 2, more than 1; .*LIMITS.sites = 2"):
        parse_structure(NACL.as_dict(), limits=Limits(sites=1))
    monkeypatch.setattr(LIMITS, "sites", 1)
    with pytest.raises(ValueError, match=r"^row 0: .*sites: 2, more than 1"):
        as_crystals([NACL.as_dict()])
    assert len(as_crystals([NACL])) == 1  # it is in memory already


@pytest.mark.parametrize("name", ["a.cif", "a.cif.gz", "a.json", "POSCAR"])
@pytest.mark.parametrize("content", ["", "\ufeff\r\n \n"])
def test_empty_files_are_called_empty(tmp_path, name, content):
    data = content.encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    with pytest.raises(ValueError, match=r"^the file is empty$"):
        parse_structure(tmp_path / name)


def test_a_pipe_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "a.cif")
    with pytest.raises(ValueError, match=r"row 0: .*no regular file"):
        as_crystals([tmp_path / "a.cif"])


def test_rounded_coordinates_are_one_warning(tmp_path):
    rounded = Structure(Lattice.hexagonal(4, 5), ["Mg"], [[1 / 3, 2 / 3, 0]])
    text = rounded.to(fmt="cif", significant_figures=4)
    (tmp_path / "a.cif").write_text(text)
    with pytest.warns(UserWarning) as caught:
        as_crystals([tmp_path / "a.cif", NACL, text])
    assert len(caught) == 1
    assert str(caught[0].message) == (
        "fractional coordinates such as 0.3333 were taken for 1/3 in 2 structures, for example "
        "row 0 a.cif"
    )
    with pytest.warns(UserWarning, match=r"were taken for 1/3 in 1 structure, for .*a\.cif$"):
        UAETransformer(n_jobs=2).fit_transform([str(tmp_path / "a.cif")] * 2)


def test_other_remarks_name_all_rows():
    with pytest.warns(UserWarning) as caught:
        warn_remarks({f"row {i}": [f"{i + 1} atoms moved"] for i in range(52)})
    assert len(caught) == 1
    message = str(caught[0].message)
    assert message.startswith("there is a remark on 52 structures (row 0, row 1, row 2, ")
    assert message.endswith(", row 49 and 2 more): 1 atoms moved")


@pytest.mark.parametrize(("digits", "n_remarks"), [(4, 1), (5, 1), (6, 0), (8, 0)])
def test_thirds_with_many_digits_need_no_remark(digits, n_remarks):
    rounded = Structure(Lattice.hexagonal(4, 5), ["Mg"], [[1 / 3, 2 / 3, 0]])
    text = rounded.to(fmt="cif", significant_figures=digits)
    structure, remarks = parse_structure(text)
    assert structure.frac_coords[0].tolist() == [1 / 3, 2 / 3, 0]
    assert len(remarks) == n_remarks


# -- what holds the rows --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.array(["a.cif", "b.cif"]), r"array of <U5 of shape \(2,\).*X.tolist\(\)"),
        ({"a.cif"}, "X is a set, which has no order"),
        (Composition("NaCl"), "X is one Composition, not a collection"),
    ],
)
def test_what_holds_no_structures(X, message):
    with pytest.raises(TypeError, match=message):
        UAETransformer().fit_transform(X)


def test_compositions_are_no_structures():
    message = "row 0: got a Composition: a formula has no positions.*UAETransformer reads formulas"
    with pytest.raises(TypeError, match=message):
        as_crystals([Composition("NaCl")])


class Column(list):
    to_list = list.copy


class DataFrame:
    """Answers as a data frame of polars does."""

    __module__ = "polars.dataframe.frame"

    def __init__(self, **columns):
        self.data = columns
        self.columns = list(columns)
        self.shape = (len(next(iter(columns.values()))), len(columns))

    def to_series(self):
        return Column(self.data[self.columns[0]])


def test_dicts_as_pyarrow_and_polars_fill_them_in():
    """Structs have the fields of all rows, and lists may be arrays of arrays."""
    content = NACL.as_dict()
    content["lattice"] |= {"pbc": None}
    content["lattice_mat"] = None
    rows = np.empty(3, dtype=object)
    for row in range(3):
        rows[row] = np.array(content["lattice"]["matrix"][row])
    content["lattice"]["matrix"] = rows
    content["sites"] = np.array(content["sites"], dtype=object)
    read, given = as_crystals([content]), as_crystals([NACL])
    assert np.array_equal(read.numbers, given.numbers)
    assert np.array_equal(read.lattices, given.lattices)


def test_dicts_of_jarvis_and_their_texts():
    atoms = {
        "lattice_mat": NACL.lattice.matrix.tolist(),
        "elements": [site.specie.symbol for site in NACL],
        "coords": NACL.cart_coords.tolist(),
        "cartesian": True,
    }
    for crystals in (as_crystals([atoms]), as_crystals([json.dumps(atoms)])):
        np.testing.assert_allclose(crystals.frac_coords, NACL.frac_coords, atol=1e-12)
        assert crystals[0].composition == NACL.composition


def test_frames_of_polars():
    assert len(as_crystals(DataFrame(structure=[NACL.as_dict()] * 3))) == 3
    with pytest.raises(TypeError, match=r"2 columns \(a, b\)"):
        as_crystals(DataFrame(a=[1], b=[2]))


def test_generators_are_featurised():
    transformer = UAETransformer().fit([NACL])
    features = transformer.featurize_many((NACL for _ in range(3)), pbar=False)
    assert len(features) == 3 and features[0] == features[2]


@pytest.mark.parametrize(
    "occupancy", [{"0": {"Na": 0.5}}, {"0": {"Na": np.nan}}, {"0": {"Na": 0.5, "K": 0.5}}, [1, 0.5]]
)
def test_occupancies_of_ase(occupancy):
    ase = pytest.importorskip("ase")
    atoms = ase.Atoms("NaCl", positions=[[0, 0, 0], [2, 2, 2]], cell=[4] * 3, pbc=True)
    atoms.info["occupancy"] = {"0": {"Na": 1.0}, "1": {"Cl": 1.0}}
    assert len(as_crystals([atoms])) == 1
    atoms.info["occupancy"] = occupancy
    with pytest.raises(ValueError, match="not fully occupied"):
        as_crystals([atoms])
    del atoms.info["occupancy"]
    atoms.set_array("occupancy", np.array([1, 0.5]))
    with pytest.raises(ValueError, match="not fully occupied"):
        as_crystals([atoms])
