"""What users hold structures in, and the traps on the way to `Crystals`."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import DummySpecies, Element, IStructure, Lattice, Molecule, Structure

from skuae.crystals import Crystals, as_crystals


def object_array(items):
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


CONTAINERS = {
    "list": list,
    "tuple": tuple,
    "generator": lambda s: (x for x in s),
    "iterator": iter,
    "dict values": lambda s: dict(enumerate(s)).values(),
    "Series": pd.Series,
    "Series, odd index": lambda s: pd.Series(s, index=[17, 3, 3, -1, 5][: len(s)]),
    "Series, text index": lambda s: pd.Series(s, index=list("zyxwv")[: len(s)]),
    "Series, two levels": lambda s: pd.Series(
        s, index=pd.MultiIndex.from_product([["a"], range(len(s))])
    ),
    "object array": object_array,
    "column of an object array": lambda s: object_array(s)[:, None],
    "frame": lambda s: pd.DataFrame({"structure": s}),
    "frame, odd index": lambda s: pd.DataFrame({"crystals": s}, index=range(len(s), 0, -1)),
    "Crystals": as_crystals,
    "list of IStructure": lambda s: [IStructure.from_sites(x) for x in s],
    "list of dicts": lambda s: [x.as_dict() for x in s],
    "Series of dicts": lambda s: pd.Series([x.as_dict() for x in s]),
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_containers(structures, assert_same, container):
    crystals = as_crystals(CONTAINERS[container](structures))
    assert isinstance(crystals, Crystals)
    assert_same(crystals, structures)


def test_arrays_are_packed_end_to_end(structures):
    crystals = as_crystals(structures)
    assert crystals.sizes.tolist() == [2, 5, 1, 8, 2]
    assert crystals.offsets.tolist() == [0, 2, 7, 8, 16, 18]
    assert crystals.numbers.tolist() == [11, 17, 38, 22, 8, 8, 8, 26] + [14] * 8 + [30, 30]
    assert crystals.frac_coords[7].tolist() == [0.1, 0.2, 0.3]
    np.testing.assert_array_equal(crystals.lattices[3], 5.43 * np.eye(3))
    np.testing.assert_allclose(crystals.volumes, [s.volume for s in structures], rtol=1e-12)


def test_frame_with_an_odd_column_name(structures, assert_same):
    assert_same(as_crystals(pd.DataFrame({0: structures})), structures)


def test_crystals_pass_through(structures):
    crystals = as_crystals(structures)
    assert as_crystals(crystals) is crystals
    assert as_crystals(Carrier(crystals)) is crystals


class Carrier:
    def __init__(self, crystals):
        self.crystals = crystals


def test_ase_atoms(structures, assert_same):
    ase_adaptor = pytest.importorskip("pymatgen.io.ase").AseAtomsAdaptor
    pytest.importorskip("ase")
    atoms = [ase_adaptor.get_atoms(s) for s in structures]
    atoms[0].info["occupancy"] = None  # as some readers of ASE leave it
    assert_same(as_crystals(atoms), structures)
    assert_same(as_crystals(pd.Series(atoms)), structures)
    assert_same(as_crystals(object_array(atoms)), structures)


def test_ase_atoms_with_a_left_handed_cell():
    atoms = pytest.importorskip("ase").Atoms(
        "NaCl", positions=[[0, 0, 0], [1.0, 2.0, 3.0]], cell=[[0, 5, 0], [5, 0, 0], [0, 0, 5]],
        pbc=True,
    )  # fmt: skip
    crystals = as_crystals([atoms])
    np.testing.assert_allclose(crystals.frac_coords[1], [0.4, 0.2, 0.6], atol=1e-12)


@pytest.mark.filterwarnings("ignore:Issues encountered while parsing CIF")
@pytest.mark.parametrize(
    ("name", "kind"), [("a.cif", str), ("POSCAR", str), ("b.cif", None), ("b.POSCAR", None)]
)
def test_paths(tmp_path, structures, assert_same, name, kind):
    paths = []
    for i, structure in enumerate(structures):
        folder = tmp_path / str(i)
        folder.mkdir()
        structure.to(filename=str(folder / name))
        paths.append(kind(folder / name) if kind else folder / name)
    read = as_crystals(paths)
    assert read.sizes.tolist() == [2, 5, 1, 8, 2]
    for got, expected in zip(read, structures, strict=True):
        assert got.composition == expected.composition
        np.testing.assert_allclose(sorted(got.lattice.abc), sorted(expected.lattice.abc), atol=1e-4)
        np.testing.assert_allclose(
            np.sort(got.distance_matrix, axis=None), np.sort(expected.distance_matrix, axis=None),
            atol=1e-4,
        )  # fmt: skip


def test_rows_of_all_kinds_in_one_list(tmp_path, structures, assert_same):
    ase_adaptor = pytest.importorskip("pymatgen.io.ase").AseAtomsAdaptor
    pytest.importorskip("ase")
    structures[4].to(filename=str(tmp_path / "POSCAR"), fmt="poscar")
    mixed = [
        structures[0],
        structures[1].as_dict(),
        IStructure.from_sites(structures[2]),
        ase_adaptor.get_atoms(structures[3]),
        tmp_path / "POSCAR",
    ]
    assert_same(as_crystals(mixed), structures)


# -- cells of equal size, which numpy takes apart -------------------------------------------------


@pytest.mark.parametrize("container", ["list", "tuple", "Series", "object array", "frame"])
@pytest.mark.parametrize("n_sites", [1, 5])
def test_a_hundred_equal_cells(perovskite, assert_same, container, n_sites):
    elements = ["Na", "K", "Rb", "Cs", "Ca", "Sr", "Ba", "La", "Li", "Pb"]
    metals = ["Ti", "Zr", "Hf", "Sn", "Nb", "Ta", "V", "Cr", "Mn", "Fe"]
    cells = [perovskite(a, b) for a in elements for b in metals]
    if n_sites == 1:
        cells = [Structure.from_sites(c.sites[:1]) for c in cells]
    crystals = as_crystals(CONTAINERS[container](cells))
    assert len(crystals) == 100
    assert crystals.n_sites == 100 * n_sites
    assert_same(crystals, cells)


@pytest.mark.parametrize("n_sites", [1, 5])
def test_structures_that_numpy_took_apart(perovskite, n_sites):
    cell = Structure.from_sites(perovskite().sites[:n_sites])
    apart = np.array([cell] * 100, dtype=object)
    assert apart.shape == (100, n_sites)  # else the trap is gone, and so may be this test
    with pytest.raises(TypeError, match="Pass the list itself"):
        as_crystals(apart)


def test_sites_instead_of_structures(perovskite):
    with pytest.raises(TypeError, match=r"row 0: this is a site.*taken apart"):
        as_crystals(perovskite().sites)


# -- X that is no collection ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrap",
    [lambda s: s, IStructure.from_sites, lambda s: s.as_dict(), lambda s: "mp-149.cif"],
    ids=["Structure", "IStructure", "dict", "path"],
)
def test_one_structure(perovskite, wrap):
    with pytest.raises(TypeError, match=r"X is one \w+, not a collection.*\[structure\]"):
        as_crystals(wrap(perovskite()))


def test_one_path_or_atoms(tmp_path):
    with pytest.raises(TypeError, match=r"X is one \w*Path, not a collection"):
        as_crystals(tmp_path / "a.cif")
    with pytest.raises(TypeError, match="X is one Molecule, not a collection"):
        as_crystals(Molecule(["O"], [[0, 0, 0]]))
    ase = pytest.importorskip("ase")
    with pytest.raises(TypeError, match="X is one Atoms, not a collection"):
        as_crystals(ase.Atoms("Na", cell=[3, 3, 3], pbc=True))


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (None, "X is a NoneType; pass a list"),
        (3.5, "X is a float; pass a list"),
        (np.zeros((4, 3)), r"array of float64 of shape \(4, 3\), which holds no structures"),
        (np.array(["a.cif", "b.cif"]), r"array of <U5 of shape \(2,\)"),
    ],
)
def test_wrong_type_of_X(X, message):
    with pytest.raises(TypeError, match=message):
        as_crystals(X)


def test_frame_with_two_columns(structures):
    frame = pd.DataFrame({"structure": structures, "band_gap": 0.0})
    with pytest.raises(TypeError, match=r'2 columns \(structure, band_gap\).*\[\["structure"\]\]'):
        as_crystals(frame)


@pytest.mark.parametrize("X", [[], (), iter([]), pd.Series([], dtype=object), np.empty(0, object)])
def test_no_rows(X):
    with pytest.raises(ValueError, match="X holds no structures; at least one is needed"):
        as_crystals(X)


def test_no_rows_left_of_crystals(structures):
    nothing = as_crystals(structures)[:0]
    with pytest.raises(ValueError, match="X holds no structures"):
        as_crystals(nothing)


# -- rows that are no structures ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "error", "message"),
    [
        (None, TypeError, "the structure is missing; drop such rows"),
        (float("nan"), TypeError, "the structure is missing; drop such rows"),
        (pd.NA, TypeError, "the structure is missing; drop such rows"),
        (5, TypeError, "got int, expected pymatgen Structure, ASE Atoms"),
        (Lattice.cubic(3), TypeError, "got Lattice, expected pymatgen Structure"),
        (Molecule(["O"], [[0, 0, 0]]), TypeError, "got a Molecule: .*not periodic.*vacuum"),
        ({"sites": []}, ValueError, r"the dict is not .*no 'lattice'"),
        ({"a": 1}, ValueError, r"the dict is not one of Structure.as_dict\(\)"),
        ("nowhere.cif", ValueError, "cannot read 'nowhere.cif' as a structure file .*"),
    ],
    ids=lambda x: type(x).__name__ if not isinstance(x, str) else None,
)
def test_wrong_row(perovskite, item, error, message):
    with pytest.raises(error, match=f"^row 2: {message}"):
        as_crystals([perovskite(), perovskite(), item, perovskite()])


def test_wrong_row_is_named_by_index_or_ids(perovskite):
    rows = [perovskite(), None]
    with pytest.raises(TypeError, match=r"^row 1 \(mp-149\): "):
        as_crystals(pd.Series(rows, index=["mp-2", "mp-149"]))
    with pytest.raises(TypeError, match=r"^row 1 \(mp-149\): "):
        as_crystals(pd.DataFrame({"structure": rows}, index=["mp-2", "mp-149"]))
    with pytest.raises(TypeError, match=r"^row 1 \(12\): "):
        as_crystals(pd.Series(rows, index=[7, 12]))
    with pytest.raises(TypeError, match=r"^row 1 \(mine\): "):
        as_crystals(rows, ids=["yours", "mine"])
    with pytest.raises(TypeError, match=r"^row 1: "):
        as_crystals(pd.Series(rows))


def test_ids(structures):
    assert as_crystals(structures).ids is None
    assert as_crystals(structures).where(3) == "row 3"
    crystals = as_crystals(structures, ids=list("abcde"))
    assert crystals.ids.tolist() == list("abcde")
    assert crystals.where(3) == "row 3 (d)"
    shuffled = pd.Series(structures, index=[4, 2, 0, 1, 3])
    assert as_crystals(shuffled).ids.tolist() == ["4", "2", "0", "1", "3"]
    assert as_crystals(shuffled, ids=list("abcde")).ids.tolist() == list("abcde")
    with pytest.raises(ValueError, match="2 ids for 5 structures; give one id a row"):
        as_crystals(structures, ids=["a", "b"])


@pytest.mark.filterwarnings("ignore::UserWarning")  # of pymatgen's reader
def test_unreadable_file(tmp_path):
    (tmp_path / "broken.cif").write_text("data_x\n_cell_length_a 3\n")
    with pytest.raises(ValueError, match=r"row 0: cannot read '.*broken\.cif' as a structure file"):
        as_crystals([tmp_path / "broken.cif"])


# -- species --------------------------------------------------------------------------------------


def test_oxidation_states_are_dropped(structures, assert_same):
    charged = [s.copy() for s in structures]
    for s in charged:
        s.add_oxidation_state_by_guess()
    assert any(hasattr(site.specie, "oxi_state") for site in charged[0])
    assert_same(as_crystals(charged), structures)
    np.testing.assert_array_equal(as_crystals(charged).numbers, as_crystals(structures).numbers)


def test_elements_are_not_hashed(structures, assert_same, monkeypatch):
    """Hashing an Element is Python code; done for every site, it took a sixth of the reading."""
    monkeypatch.setattr(Element, "__hash__", lambda element: pytest.fail("hashed"))
    crystals = as_crystals(structures)
    monkeypatch.undo()
    assert_same(crystals, structures)


def test_sites_changed_in_place(structures):
    structure = structures[1]
    structure.sites[2].frac_coords = [1.5, -0.25, 0.5]
    structure.sites[0].species = "Ba2+"
    crystals = as_crystals([structure])
    np.testing.assert_array_equal(crystals.frac_coords, structure.frac_coords)
    assert crystals.numbers.tolist() == [56, 22, 8, 8, 8]


def test_deuterium_is_hydrogen():
    heavy = Structure(Lattice.cubic(4), ["D", "T", "Li"], [[0, 0, 0], [0.5, 0, 0], [0, 0.5, 0]])
    assert as_crystals([heavy]).numbers.tolist() == [1, 1, 3]


@pytest.mark.parametrize("species", [DummySpecies("X"), DummySpecies("Xa"), DummySpecies("Q", 2)])
def test_dummy_species(perovskite, species):
    bad = perovskite()
    bad.append(species, [0.25, 0.25, 0.25])
    with pytest.raises(ValueError, match=r"row 1: .* is not a chemical element; replace or remove"):
        as_crystals([perovskite(), bad])
    shared = Structure(Lattice.cubic(4), [{"Fe": 0.5, species: 0.5}], [[0, 0, 0]])
    with pytest.raises(ValueError, match=r"row 0: .* is not a chemical element"):
        as_crystals([shared])


def test_species_of_ase():
    ase = pytest.importorskip("ase")
    for z in (0, 119):
        atoms = ase.Atoms(numbers=[11, z], positions=[[0, 0, 0], [2, 2, 2]], cell=[4] * 3, pbc=True)
        with pytest.raises(ValueError, match=f"row 0: atomic number {z} is not a chemical element"):
            as_crystals([atoms])


def test_heaviest_element():
    og = Structure(Lattice.cubic(4), ["Og"], [[0, 0, 0]])
    assert as_crystals([og]).numbers.tolist() == [118]


def test_not_periodic():
    slab = Structure(Lattice(4 * np.eye(3), pbc=(True, True, False)), ["Fe"], [[0, 0, 0]])
    with pytest.raises(ValueError, match=r"row 0: the structure is not periodic in all three"):
        as_crystals([slab])
    ase = pytest.importorskip("ase")
    for pbc in (False, (True, True, False)):
        atoms = ase.Atoms("Na", positions=[[0, 0, 0]], cell=[4, 4, 4], pbc=pbc)
        with pytest.raises(ValueError, match=r"not periodic in all three.*atoms\.pbc = True"):
            as_crystals([atoms])


def test_ase_without_a_cell():
    atoms = pytest.importorskip("ase").Atoms("Na", positions=[[0, 0, 0]], pbc=True)
    with pytest.raises(ValueError, match=r"row 0: the cell has no volume; set atoms\.cell"):
        as_crystals([atoms])


def test_no_code_named_in_a_dict_is_run(tmp_path, structures, assert_same, monkeypatch):
    """pymatgen decodes the properties of sites, and imports what they name for it."""
    (tmp_path / "named_in_a_file.py").write_text("raise SystemExit('was imported')")
    monkeypatch.syspath_prepend(tmp_path)
    content = structures[0].as_dict()
    content["sites"][0]["properties"] = {"a": {"@module": "named_in_a_file", "@class": "A"}}
    path = tmp_path / "crystal.json"
    path.write_text(json.dumps(content))
    with gzip.open(tmp_path / "crystal.json.gz", "wt") as file:
        json.dump(content, file)
    for item in (content, path, tmp_path / "crystal.json.gz"):
        assert_same(as_crystals([item]), as_crystals(structures[:1]))


def test_yaml_is_not_read(tmp_path, structures):
    path = tmp_path / "crystal.yaml"
    path.write_text("sites: []")
    with pytest.raises(ValueError, match=r"row 0: .* save the structure as CIF or JSON"):
        as_crystals([path])
