"""Lattice parameters of one canonical cell of each crystal."""

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from skuae import UAETransformer, as_crystals
from skuae.analysis import lattice_parameters

COLUMNS = ["a", "b", "c", "alpha", "beta", "gamma"]
CORNERS = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])


def rocksalt():
    return Structure(
        Lattice.cubic(5.64), ["Na"] * 4 + ["Cl"] * 4, np.vstack([CORNERS, CORNERS + 0.5])
    )


def rutile():
    x = 0.305
    oxygens = [[x, x, 0], [-x, -x, 0], [0.5 + x, 0.5 - x, 0.5], [0.5 - x, 0.5 + x, 0.5]]
    sites = [[0, 0, 0], [0.5, 0.5, 0.5], *oxygens]
    return Structure(Lattice.tetragonal(4.594, 2.959), ["Ti"] * 2 + ["O"] * 4, sites)


def split_site():
    lattice = Lattice.from_parameters(4, 5, 6, 80, 95, 100)
    sites = [[0, 0, 0], [0.005, 0, 0], [0.5, 0.5, 0.5]]
    return Structure(lattice, [{"Li": 0.5}, {"Li": 0.5}, "O"], sites)


def test_conventional_cells_whatever_cell_is_given():
    salt = rocksalt()
    frame = lattice_parameters([salt.get_primitive_structure(), salt, salt * (1, 1, 2)])
    assert list(frame.columns) == COLUMNS
    assert frame.index.equals(pd.RangeIndex(3))
    np.testing.assert_allclose(frame, [[5.64] * 3 + [90.0] * 3] * 3, atol=1e-6)
    turned = rutile()
    turned = Structure(
        turned.lattice.matrix[[2, 0, 1]], turned.species, turned.frac_coords[:, [2, 0, 1]]
    )
    frame = lattice_parameters([rutile(), turned])
    np.testing.assert_allclose(frame, [[4.594, 4.594, 2.959, 90, 90, 90]] * 2, atol=1e-6)


def test_primitive_cells():
    salt = rocksalt()
    frame = lattice_parameters([salt.get_primitive_structure(), salt, rutile()], cell="primitive")
    edge = 5.64 / np.sqrt(2)
    expected = [[edge] * 3 + [60] * 3] * 2 + [[4.594, 4.594, 2.959, 90, 90, 90]]
    np.testing.assert_allclose(frame, expected, atol=1e-5)


def test_given_cells_need_no_symmetry(monkeypatch):
    monkeypatch.setattr("spglib.get_symmetry_dataset", None)
    salt = rocksalt()
    structures = [salt * (1, 1, 2), split_site()]
    frame = lattice_parameters(structures, "given")
    np.testing.assert_allclose(
        frame, [[5.64, 5.64, 11.28, 90, 90, 90], [4, 5, 6, 80, 95, 100]], rtol=1e-12
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning:spglib")
def test_bundled_crystals(mp_mini):
    """Systems show in their cells."""
    crystals = mp_mini.structures[::60]
    systems = crystals.symmetry().crystal_systems
    frame = lattice_parameters(crystals)
    assert frame.index.tolist() == crystals.ids.tolist()
    assert np.isfinite(frame).all(axis=None)
    angles = frame[["alpha", "beta", "gamma"]].to_numpy()
    right = np.abs(angles - 90) < 1e-6
    assert right[np.isin(systems, ["orthorhombic", "tetragonal", "cubic"])].all()
    assert right[systems == "monoclinic"][:, [0, 2]].all()
    of_hexagons = angles[np.isin(systems, ["trigonal", "hexagonal"])]
    np.testing.assert_allclose(of_hexagons, np.tile([90, 90, 120], (len(of_hexagons), 1)))
    two_equal = ~np.isin(systems, ["triclinic", "monoclinic", "orthorhombic"])
    np.testing.assert_allclose(frame.a[two_equal], frame.b[two_equal])
    np.testing.assert_allclose(frame.a[systems == "cubic"], frame.c[systems == "cubic"])
    assert len(set(systems)) == 7
    for (_, row), lattice in zip(
        frame.iterrows(), crystals.symmetry().conventional_lattices, strict=True
    ):
        np.testing.assert_allclose(row, Lattice(lattice).parameters)


def test_index_and_inputs():
    structures = [rocksalt(), rutile()]
    expected = lattice_parameters(structures)
    crystals = as_crystals(structures, ids=["mp-1", "mp-2"])
    series = pd.Series(structures, index=[7, 3])
    for X, index in [
        (crystals, ["mp-1", "mp-2"]),
        (series, [7, 3]),
        (series.to_frame("structure"), [7, 3]),
        (pd.Series(structures), [0, 1]),
        ([s.as_dict() for s in structures], [0, 1]),
        (np.array([*structures, None], dtype=object)[:2], [0, 1]),
        (UAETransformer().fit_transform(crystals), ["mp-1", "mp-2"]),
    ]:
        frame = lattice_parameters(X)
        assert frame.index.tolist() == index
        np.testing.assert_array_equal(frame, expected)


def test_found_symmetry_is_kept_with_the_crystals(monkeypatch):
    crystals = as_crystals([rocksalt()])
    expected = crystals.symmetry(0.05)
    monkeypatch.setattr("spglib.get_symmetry_dataset", None)
    frame = lattice_parameters(crystals, symprec=0.05)
    np.testing.assert_allclose(frame.a, expected.conventional_lattices[:, 0, 0])
    with pytest.raises(TypeError):
        lattice_parameters(crystals)  # at 0.1 it would have to be found


def test_where_there_is_no_symmetry_cells_are_as_given():
    for cell in ("conventional", "primitive"):
        with pytest.warns(UserWarning, match="spglib finds no space group .* for row 1, as"):
            frame = lattice_parameters([rutile(), split_site()], cell)
        np.testing.assert_allclose(frame.loc[1], [4, 5, 6, 80, 95, 100], rtol=1e-9)


@pytest.mark.parametrize("cell", ["standard", None, "Conventional", 1, ["given"]])
def test_unknown_cells_are_refused(cell):
    with pytest.raises(ValueError, match=r'cell=.* must be "conventional", "primitive" or "given"'):
        lattice_parameters([rutile()], cell)


def test_symprec_is_checked():
    with pytest.raises(ValueError, match="symprec=-1 must be a finite number above 0"):
        lattice_parameters([rutile()], symprec=-1)
