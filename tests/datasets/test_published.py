import io
import json

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from skuae import as_crystals
from skuae.datasets import _published, make_toy_crystals
from skuae.datasets._published import Packer, json_items


@pytest.mark.parametrize("chunk", [1, 7, 1 << 22])
@pytest.mark.parametrize("indent", [None, 1])
def test_json_is_read_item_by_item(chunk, indent, monkeypatch):
    monkeypatch.setattr(_published, "_CHUNK", chunk)
    array = [1234, -5.5e-3, 'a]},{[\\"ü', None, True, {"x": [1, {"y": []}]}, [], float("inf")]
    assert list(json_items(io.StringIO(json.dumps(array, indent=indent)))) == [
        (None, item) for item in array
    ]
    both = {"columns": ["a", "b"], "empty": [], "data": array}
    assert list(json_items(io.StringIO(json.dumps(both, indent=indent)))) == [
        *(("columns", item) for item in both["columns"]),
        *(("data", item) for item in array),
    ]


@pytest.mark.parametrize("text", ["", "[1, 2", '{"a": [1, 2]', '{"a": [1, {"b"', "<html>", "[1 2]"])
def test_json_that_ends_early_is_refused(text):
    with pytest.raises(ValueError, match=r"no JSON|cut short"):
        list(json_items(io.StringIO(text)))


def test_pymatgen_dicts_are_packed_as_by_the_door():
    mixed = Structure(
        Lattice.hexagonal(3.2, 5.1),
        [{"Fe": 0.25, "Ni": 0.75}, "O", {"Li": 0.5}],
        [[0, 0, 0], [1 / 3, 2 / 3, 0.5], [0.1, 0.2, 0.7]],
    )
    ions = Structure(Lattice.cubic(4.2), ["Mg2+", "O2-"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    structures = [*make_toy_crystals(n_samples=5, random_state=0).structures, mixed, ions, mixed]
    packer = Packer()
    for structure in structures:
        packer.add_pymatgen(json.loads(json.dumps(structure.as_dict())))
    packed, expected = packer.pack(list("abcdefgh"), "test"), as_crystals(structures)
    assert list(packed.ids) == list("abcdefgh")
    for name in ("numbers", "frac_coords", "lattices", "offsets", "occ_sites", "occ_numbers"):
        np.testing.assert_array_equal(getattr(packed, name), getattr(expected, name))
    np.testing.assert_array_equal(packed.occ_values, expected.occ_values)


def test_jarvis_dicts():
    lattice = Lattice.from_parameters(3, 4, 5, 80, 95, 110)
    coords = np.array([[0.1, 0.2, 0.3], [0.6, 0.7, 0.9]])
    packer = Packer()
    for cartesian in (False, True):
        packer.add_jarvis(
            {
                "lattice_mat": lattice.matrix.tolist(),
                "coords": (coords @ lattice.matrix if cartesian else coords).tolist(),
                "elements": ["Na", "Cl"],
                "cartesian": cartesian,
                "props": ["", ""],
            }
        )
    packed = packer.pack(["a", "b"], "test")
    np.testing.assert_allclose(packed.frac_coords, np.tile(coords, (2, 1)), atol=1e-12)
    np.testing.assert_array_equal(packed.numbers, [11, 17, 11, 17])


def test_what_makes_no_sense_is_kept_and_said():
    packer = Packer()
    overlapping = Structure(Lattice.cubic(4), ["H", "H"], [[0, 0, 0], [0.05, 0, 0]])
    packer.add_pymatgen(overlapping.as_dict())
    with pytest.warns(
        UserWarning, match=r"toy, kept as it was published: row 0 \(a\): sites 0 and"
    ):
        assert len(packer.pack(["a"], "toy")) == 1


def test_what_is_no_crystal_is_refused():
    packer = Packer()
    slab = Structure(Lattice(np.eye(3) * 4, pbc=(True, True, False)), ["H"], [[0, 0, 0]])
    with pytest.raises(ValueError, match="not periodic in all three directions"):
        packer.add_pymatgen(slab.as_dict())
    dummy = {"lattice_mat": np.eye(3), "coords": [[0, 0, 0]], "elements": ["Xx"]}
    with pytest.raises(ValueError, match="Xx"):
        packer.add_jarvis({**dummy, "cartesian": False})
