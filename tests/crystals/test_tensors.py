"""Coordinates, images and further columns of packed tensors; test_batch.py has the rest."""

import copy
import pickle

import numpy as np
import pytest
import torch

from skuae.crystals import CrystalBatch, PackedTensors, as_crystals

GRAPHS = {
    "nearest": lambda c: c.graph(5.0, 12),
    "all": lambda c: c.graph(4.5),
    "not merged": lambda c: c.reduced_graph(5.0, 12, angles=True, merge=False),
}
ROWS = np.array([3, 0, 4, 4, 1])


@pytest.fixture
def crystals(structures, random_structure):
    """Crystals of which each but the first has sites far outside its cell."""
    rng = np.random.default_rng(0)
    cells = [*structures, random_structure(rng, 4), random_structure(rng, 3, skew=1.0)]
    for cell in cells[1:]:
        for site in range(len(cell)):
            shift = rng.integers(-3, 4, 3)
            cell.translate_sites([site], shift, frac_coords=True, to_unit_cell=False)
    packed = as_crystals(cells)
    assert (np.abs(packed.frac_coords) > 2).any()
    return packed


def lengths(batch):
    """Lengths of edges, from coordinates and images."""
    frac = batch.frac_coords
    vectors = frac[batch.neighbors] + batch.images - frac[batch.centers]
    lattices = batch.lattices[batch.crystal[batch.centers]]
    return torch.einsum("ei,eij->ej", vectors, lattices).norm(dim=1)


# -- coordinates and images ------------------------------------------------------------------------


@pytest.mark.parametrize("graphs", GRAPHS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_images_go_with_coordinates_as_given(crystals, graphs, dtype):
    graphs = GRAPHS[graphs](crystals)
    for packed in (
        PackedTensors(crystals, graphs, dtype=dtype, coords="given"),
        PackedTensors(crystals[:6], graphs.take(range(6)), dtype=dtype, coords="given"),
    ):
        batch = packed.batch(ROWS)
        assert batch.images.dtype == dtype
        assert batch.images.shape == (len(batch.distances), 3)
        assert len(batch.distances) > 50
        torch.testing.assert_close(lengths(batch), batch.distances, rtol=0, atol=2e-4)
    expected = np.concatenate([crystals[[row]].frac_coords for row in ROWS])
    np.testing.assert_allclose(batch.frac_coords, expected, rtol=1e-6)


@pytest.mark.parametrize("graphs", GRAPHS)
def test_no_images_with_wrapped_coordinates(crystals, graphs):
    graphs = GRAPHS[graphs](crystals)
    wrapped = PackedTensors(crystals, graphs, coords="wrapped").batch(ROWS)
    assert wrapped.images is None
    assert ((wrapped.frac_coords >= 0) & (wrapped.frac_coords <= 1)).all()
    plain = PackedTensors(crystals, graphs).batch(ROWS)
    assert plain.images is plain.frac_coords is plain.lattices is None
    # Both together would be wrong: the fixture tells the difference.
    given = PackedTensors(crystals, graphs, coords="given").batch(ROWS)
    mixed = given.replace(frac_coords=wrapped.frac_coords)
    assert (lengths(mixed) - mixed.distances).abs().max() > 1


def test_coordinates_without_graphs(crystals):
    for coords in (None, "wrapped"):
        batch = PackedTensors(crystals, dtype=torch.float64, coords=coords).batch(ROWS)
        expected = np.concatenate([crystals[[row]].frac_coords % 1.0 for row in ROWS])
        np.testing.assert_array_equal(batch.frac_coords, expected)
    batch = PackedTensors(crystals, dtype=torch.float64, coords="given").batch(ROWS)
    expected = np.concatenate([crystals[[row]].frac_coords for row in ROWS])
    np.testing.assert_array_equal(batch.frac_coords, expected)
    assert batch.images is None


@pytest.mark.parametrize("coords", [True, False, "unwrapped"])
def test_coords_that_are_none(crystals, coords):
    with pytest.raises(ValueError, match="coords must be 'wrapped', 'given' or None"):
        PackedTensors(crystals, coords=coords)


@pytest.mark.parametrize("coords", ["wrapped", "given"])
def test_merged_sites_have_no_coordinates(crystals, coords):
    graphs = crystals.reduced_graph(5.0, 12)
    assert graphs.images is None
    with pytest.raises(ValueError, match="merge=False"):
        PackedTensors(crystals, graphs, coords=coords)


# -- batches of equal parts ------------------------------------------------------------------------


@pytest.mark.parametrize("angles", [True, False])
def test_crystals_of_one_size_are_cut_as_others_are(perovskite, random_structure, angles):
    cells = [perovskite(length=a) for a in (3.8, 3.9, 4.0)]
    cells.append(cells[0].copy().apply_strain([0.01, 0.02, 0.05]))
    odd = random_structure(np.random.default_rng(1), 3)
    alike, mixed = as_crystals(cells), as_crystals([*cells, odd])
    for build in (
        lambda c: c.graph(6.0, 12),
        lambda c: c.reduced_graph(6.0, 12, angles=angles),
        lambda c: c.reduced_graph(6.0, None, angles=angles, merge=False),
    ):
        fixed = PackedTensors(alike, build(alike)).batch([2, 0, 3, 2])
        ragged = PackedTensors(mixed, build(mixed)).batch([2, 0, 3, 2])
        assert fixed.columns.keys() == ragged.columns.keys()
        for name, column in fixed.columns.items():
            torch.testing.assert_close(column, ragged.columns[name], rtol=0, atol=0, msg=name)


# -- further columns -------------------------------------------------------------------------------


def test_columns_of_crystals(crystals):
    n = len(crystals)
    rng = np.random.default_rng(0)
    given = {
        "words": rng.integers(0, 230, (n, 7)).astype(np.uint8),
        "electrons": list(rng.normal(size=n)),
        "polar": np.arange(n) % 2 == 0,
        "strain": rng.normal(size=(n, 3, 3)).astype(np.float16),
    }
    for graphs in (None, crystals.graph(5.0, 12), crystals.reduced_graph(5.0, 12)):
        for dtype in (torch.float32, torch.float64):
            batch = PackedTensors(crystals, graphs, dtype=dtype, columns=given).batch(ROWS)
            kinds = {"words": torch.int64, "electrons": dtype, "polar": torch.bool, "strain": dtype}
            for name, kind in kinds.items():
                column = getattr(batch, name)
                assert column.dtype == kind
                expected = torch.tensor(np.asarray(given[name])[ROWS]).to(kind)
                assert torch.equal(column, expected), name
                assert getattr(batch.to("meta"), name).device.type == "meta"


@pytest.mark.parametrize(
    "name",
    ["numbers", "sizes", "crystal", "centers", "images", "cosines", "occ_values", "bonds", "to",
     "columns", "degree", "replace", "two words"],
)  # fmt: skip
def test_names_of_columns_that_are_taken(crystals, name):
    with pytest.raises(ValueError, match=f"{name!r} is taken"):
        PackedTensors(crystals, columns={name: np.zeros(len(crystals))})


def test_columns_that_do_not_fit(crystals):
    n = len(crystals)
    for values in (np.zeros(n + 1), np.zeros((3, n)), 1.0):
        with pytest.raises(ValueError, match=f"'new' has shape .* one entry for each of {n} cry"):
            PackedTensors(crystals, columns={"new": values})
    for values in (["a"] * n, [None] * n, [1j] * n):
        with pytest.raises(ValueError, match=r"'new' holds .* expected numbers"):
            PackedTensors(crystals, columns={"new": values})


# -- batches stay as they are ----------------------------------------------------------------------


def test_replace(crystals):
    batch = PackedTensors(crystals, crystals.graph(5.0, 12)).batch(ROWS)
    new = batch.replace(distances=batch.distances * 2, numbers=batch.numbers + 1)
    assert torch.equal(new.distances, batch.distances * 2)
    assert torch.equal(new.numbers, batch.numbers + 1)
    assert new.neighbors is batch.neighbors
    assert new.degree == batch.degree == 12
    assert type(new) is type(batch)
    with pytest.raises(ValueError, match="no column 'lattices'"):
        batch.replace(lattices=torch.zeros(5, 3, 3))
    with pytest.raises(AttributeError, match=r"use batch\.replace"):
        batch.numbers = new.numbers
    with pytest.raises(AttributeError, match=r"no column 'spins'; it has .*numbers"):
        _ = batch.spins
    assert not hasattr(batch, "spins")


def test_the_largest_crystal_is_known_to_the_host(crystals):
    batch = PackedTensors(crystals, crystals.reduced_graph(5.0, 12)).batch(ROWS)
    largest = crystals.sizes[ROWS].max()
    for kept in (batch, batch.to("meta"), batch.to("meta").replace(numbers=batch.numbers)):
        assert kept.max_size == largest
    assert batch.replace(sizes=batch.sizes + 1).max_size == largest + 1
    assert CrystalBatch(batch.columns).max_size == largest


def test_copies_and_pickles(crystals):
    batch = PackedTensors(crystals, crystals.graph(5.0, 12)).batch(ROWS)
    for again in (copy.copy(batch), copy.deepcopy(batch), pickle.loads(pickle.dumps(batch))):
        assert len(again) == len(ROWS)
        assert again.degree == 12
        assert torch.equal(again.neighbors, batch.neighbors)
        assert again.lattices is None


def test_graphs_of_other_crystals_are_refused(mp_mini):
    crystals = mp_mini.structures[:6]
    for graphs in (crystals.graph(4.0), crystals.reduced_graph(4.0)):
        with pytest.raises(ValueError, match="6 graphs for 3 crystals"):
            PackedTensors(crystals[:3], graphs)


def test_columns_complete_at_the_prompt(mp_mini):
    batch = PackedTensors(mp_mini.structures[:2], columns={"density": [1.0, 2.0]}).batch([0])
    assert {"density", "numbers", "cosines", "replace"} <= set(dir(batch))
