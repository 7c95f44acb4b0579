"""coGN against the paper's equations on whole graphs, its numbers, and crystals without edges."""

import copy

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer
from torch import nn
from torch.func import functional_call

from skuae.crystals import Links, as_crystals
from skuae.embedding import get_table
from skuae.models import CoGN, ElementEmbedding
from skuae.models._cogn import sum_of_messages

SMALL = {"hidden_dim": 12, "n_blocks": 2, "n_edge_layers": 3, "n_bins": 16}


def n_parameters(module):
    return sum(p.numel() for p in module.parameters())


def elements(n_dims=6, frozen=False):
    return ElementEmbedding(torch.randn(118, n_dims), frozen)


def build(n_outputs=2, **options):
    """A network in float64 whose biases are not those of a fresh one."""
    spec = CoGN(**{**SMALL, **options})
    module = spec.build(elements(), n_outputs).double()
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.Linear):
                layer.bias.normal_(std=0.3)
    return spec, module


def tensors(structures, spec, dtype=torch.float64, **options):
    """Put crystals into one batch; options as of `CoGN.inputs`."""
    crystals = as_crystals(structures)
    packed = spec.inputs(crystals, **options).pack(crystals, dtype=dtype)
    return packed.batch(np.arange(len(structures)))


def n_edges(batch):
    """Edges of all sites, of each kind counted."""
    return (batch.edge_counts * batch.site_counts[batch.centers]).sum()


# -- numbers that the paper and its code fix -------------------------------------------------------


def test_number_of_parameters_of_the_paper():
    """kgcnn has 697,601: its inputs are 18 features and a trained table of 119 x 128."""
    inputs = (146 * 128 + 128) + (32 * 128 + 128)
    block = (384 * 128 + 128) + 4 * (128 * 128 + 128) + (128 * 128 + 128)
    assert inputs + 5 * block + 129 == 682_369 == 697_601 - 119 * 128
    assert n_parameters(CoGN().build(elements(146, frozen=True), 1)) == 682_369


def test_number_of_parameters_with_the_native_table():
    values = torch.tensor(np.nan_to_num(get_table(CoGN.native_table).values))
    module = CoGN().build(ElementEmbedding(values, CoGN.native_frozen), 1)
    assert n_parameters(module) == 663_681 + 128 * values.shape[1] == 675_457


def test_number_of_parameters_of_other_settings():
    spec = CoGN(hidden_dim=10, n_blocks=3, n_edge_layers=2, n_bins=7, cutoff=5.0)
    expected = 70 + 80 + 3 * (310 + 110 + 110) + 44
    assert n_parameters(spec.build(elements(6, frozen=True), 4)) == expected
    assert n_parameters(spec.build(elements(6), 4)) == expected + 118 * 6


def test_gaussians():
    """32 of standard deviation 0.5 Å, at 0.25, 0.5, ... 8 Å."""
    basis = CoGN().build(elements(), 1).basis
    assert len(basis) == 32
    assert basis.centers.tolist() == pytest.approx(np.arange(1, 33) / 4)
    values = basis(torch.tensor([2.0, 8.5, 12.0]))
    assert values[0, 7].item() == 1.0
    assert values[0, 9].item() == values[1, 31].item() == pytest.approx(np.exp(-0.5))
    assert values[2].max() < 1e-13  # only the sites at its ends tell what an edge of 12 Å is


def test_graph(sample):
    crystals = as_crystals(sample[:4])
    assert CoGN().inputs(crystals).graphs is crystals.reduced_graph(12.0, 24, True)
    graph = CoGN(cutoff=5.0, max_neighbors=3, whole_shell=False).inputs(crystals).graphs
    assert graph is crystals.reduced_graph(5.0, 3, False)


def test_all_real_crystals_have_24_neighbours(mp_mini):
    spec = CoGN()
    graphs = mp_mini.structures.graph(spec.cutoff, spec.max_neighbors, whole_shell=True)
    assert np.diff(graphs.edge_offsets).min() >= 24


def test_initial_weights():
    """Glorot's bounds and no biases; the elements stay what they are."""
    table = elements()
    before = table.weight.clone()
    module = CoGN(hidden_dim=64).build(table, 2)
    assert torch.equal(module.elements.weight, before)
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            bound = (6 / sum(layer.weight.shape)) ** 0.5
            assert 0.9 * bound < layer.weight.abs().max() <= bound
            assert not layer.bias.any()


# -- parity with the equations, on graphs with every site and edge ---------------------------------


def swish(x):
    return x / (1 + torch.exp(-x))


def plain(module, graph, distances=None):
    """The whole network, edge by edge and site by site."""
    distances = graph.distances if distances is None else distances
    v = module.atoms(graph.occupancies @ module.elements.weight)
    n = module.bonds.in_features
    centers = 8.0 * torch.arange(1, n + 1, dtype=torch.float64) / n
    e = module.bonds(torch.exp(-((distances[:, None] - centers) ** 2) / (2 * 8.0 / n)))
    for block in module.blocks:
        messages = torch.cat([e, v[graph.centers], v[graph.neighbors]], dim=1)
        for layer in [block.first, *block.others]:
            messages = swish(layer(messages))
        around = torch.stack([messages[graph.centers == i].sum(0) for i in range(len(v))])
        v = v + swish(block.node(around))
    pooled = [v[graph.crystal == i].mean(0) for i in range(graph.n_crystals)]
    return module.head(torch.stack(pooled))


def compare_with_plain(module, batch, graph, distances, rtol):
    theirs = copy.deepcopy(module)
    got, expected = module(batch), plain(theirs, graph, distances)
    assert expected.std(0).min() > 1e-2
    scale = expected.abs().max().item()
    torch.testing.assert_close(got, expected, rtol=0, atol=rtol * scale)
    weights = torch.randn_like(got)
    (got * weights).sum().backward()
    (expected * weights).sum().backward()
    for (name, a), b in zip(module.named_parameters(), theirs.parameters(), strict=True):
        scale = b.grad.abs().max().item()
        assert scale > 0
        torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=rtol * scale, msg=name)


def test_parity_with_the_equations(sample, lone, alloy, full_graph):
    """Merged sites and edges give what all give; so do the gradients."""
    structures = [*sample[:12], alloy, lone]
    spec, module = build()
    batch, graph = tensors(structures, spec), full_graph(structures, 12.0, 24)
    assert batch.site_counts.sum() == len(graph.crystal)
    assert n_edges(batch) == len(graph.centers)
    assert len(batch.centers) < len(graph.centers) / 2
    # Distances of real crystals are equal to about 1e-6 Å, and a merged edge has their mean.
    compare_with_plain(module, batch, graph, graph.distances, 1e-6)


def shaken(structure, seed):
    """Break all symmetries, so that no two neighbours are equally far, but at +image and -image."""
    shifts = np.random.default_rng(seed).normal(0, 0.02, (len(structure), 3))
    return Structure(structure.lattice, structure.species, structure.frac_coords + shifts)


def ideal():
    """Crystals whose symmetry is exact."""
    perovskite = Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(3.9), ["Sr", "Ti", "O"], [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0]]
    )
    salt = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0, 0]]
    )
    rutile = Structure.from_spacegroup(
        "P4_2/mnm", Lattice.tetragonal(4.6, 2.96), ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]]
    )
    return [perovskite, salt, rutile]


@pytest.mark.parametrize(
    "options",
    [{}, {"n_edge_layers": 1}, {"n_blocks": 1, "n_bins": 8}, {"max_neighbors": 6}],
    ids=str,
)
def test_exact_parity(sample, lone, alloy, full_graph, options):
    """To 1e-10, where distances that symmetry makes equal are equal to the last digit."""
    real = [shaken(s, i) for i, s in enumerate(sample) if len(s) > 6][:3]
    structures = [*ideal(), *real, alloy, lone]
    spec, module = build(**options)
    batch, graph = (
        tensors(structures, spec),
        full_graph(structures, spec.cutoff, spec.max_neighbors),
    )
    assert n_edges(batch) == len(graph.centers)
    rounded = graph.distances.float().double()  # as graphs are stored
    compare_with_plain(module, batch, graph, rounded, 1e-10)


def test_cut_shells_are_fewer_edges(sample):
    spec, module = build(whole_shell=False, max_neighbors=12)
    whole = build(max_neighbors=12)[0]
    cut = tensors(sample[:20], spec)
    assert n_edges(cut) < n_edges(tensors(sample[:20], whole))
    assert module(cut).isfinite().all()


# -- merged and unmerged ---------------------------------------------------------------------------


def disagreement(module, structures, spec, dtype, step=None):
    """Difference of outputs with merged and unmerged sites and edges, over the largest output."""
    module = module.to(dtype)
    batches = [tensors(structures, spec, dtype, merge=merge) for merge in (True, False)]
    assert len(batches[0].centers) < 0.7 * len(batches[1].centers)
    assert n_edges(batches[0]) == n_edges(batches[1])
    if step is not None:
        batches = [b.replace(distances=round_to(b.distances, step)) for b in batches]
    with torch.no_grad():
        merged, unmerged = (module(batch) for batch in batches)
    return ((merged - unmerged).abs().max() / unmerged.abs().max()).item()


def round_to(x, step):
    return (x / step).round() * step


def as_given(structures):
    return structures


def disordered(structures):
    """Replace one element of each crystal by a mixture, with a vacancy in every second crystal."""
    structures = [s.copy() for s in structures]
    for i, s in enumerate(structures):
        s.replace_species({s.species[0]: {s.species[0]: 0.6, "Zr": 0.4 if i % 2 else 0.25}})
    return structures


@pytest.mark.parametrize("change", [as_given, disordered])
def test_merging_changes_nothing(sample, alloy, change):
    spec, module = build(hidden_dim=32, n_edge_layers=5, n_blocks=5)
    structures = [*change(sample), alloy]
    assert disagreement(module, structures, spec, torch.float32) < 1e-6
    # A merged edge has the mean of distances that differ by 1e-6 Å.
    assert disagreement(module, structures, spec, torch.float64) < 1e-7


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("change", [as_given, disordered])
def test_merging_changes_nothing_where_symmetry_is_exact(sample, alloy, change):
    spec, module = build(hidden_dim=32, n_edge_layers=5, n_blocks=5)
    refined = [SpacegroupAnalyzer(s).get_refined_structure() for s in sample[:30]]
    structures = [*change(refined), *ideal(), alloy]
    assert disagreement(module, structures, spec, torch.float64, step=2**-10) < 1e-12


# -- gradients -------------------------------------------------------------------------------------


def test_gradients_of_the_network(lone, alloy):
    """Against finite differences, with respect to all weights and to the distances."""
    spec, module = build(hidden_dim=3, n_edge_layers=2, n_bins=4, max_neighbors=6)
    batch = tensors([ideal()[0], alloy, lone], spec)
    module.elements.requires_grad_(False)  # 118 rows, of which these crystals have 8
    named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    names, values = zip(*named, strict=True)
    assert batch.edge_counts.max() > 1
    assert batch.site_counts.max() > 1

    def call(distances, *values):
        moved = batch.replace(distances=distances)
        return functional_call(module, dict(zip(names, values, strict=True)), (moved,))

    distances = batch.distances.clone().requires_grad_()
    assert torch.autograd.gradcheck(call, (distances, *values))


def make_links(kind):
    degrees = torch.tensor([3, 3, 3, 3] if kind == "fixed degree" else [2, 0, 5, 1])
    if kind == "no edges":
        degrees = torch.zeros(4, dtype=torch.int64)
    centers = torch.repeat_interleave(degrees)
    counts = torch.arange(1.0, len(centers) + 1).double() if kind == "counted" else None
    return Links(centers, centers.flip(0), 4, 3 if kind == "fixed degree" else None, counts)


@pytest.mark.parametrize("n_layers", [0, 1, 3])
@pytest.mark.parametrize("kind", ["fixed degree", "ragged", "counted", "no edges"])
def test_sum_of_messages(kind, n_layers):
    links = make_links(kind)
    layers = [nn.Linear(3, 3).double() for _ in range(n_layers)]
    x = torch.randn(len(links.centers), 3, dtype=torch.float64, requires_grad=True)
    y = swish(x)
    for layer in layers:
        y = swish(layer(y))
    if links.counts is not None:
        y = y * links.counts[:, None]
    expected = torch.zeros(4, 3, dtype=torch.float64).index_add(0, links.centers, y)
    got = sum_of_messages(x, layers, links)
    torch.testing.assert_close(got, expected)
    inputs = [x, *(p for layer in layers for p in layer.parameters())]
    weights = torch.randn_like(got)
    pairs = zip(
        torch.autograd.grad((got * weights).sum(), inputs),
        torch.autograd.grad((expected * weights).sum(), inputs),
        strict=True,
    )
    for a, b in pairs:
        torch.testing.assert_close(a, b)
    if n_layers and len(x):
        assert torch.autograd.gradcheck(
            lambda x, *_: sum_of_messages(x, layers, links), tuple(inputs)
        )


# -- read-out, batches, lone atoms -----------------------------------------------------------------


def test_prediction_is_the_mean_of_contributions_of_sites(sample, alloy):
    """Attribution to sites is exact: one linear layer reads their mean."""
    spec, module = build()
    batch = tensors([*sample[:10], alloy], spec)
    vectors = module.site_vectors(batch)
    assert vectors.shape == (len(batch.numbers), module.width)
    of_sites = module.head(vectors) * batch.site_counts[:, None]
    total = torch.zeros(len(batch), 2, dtype=torch.float64).index_add(0, batch.crystal, of_sites)
    torch.testing.assert_close(total / batch.sizes[:, None], module(batch), rtol=0, atol=1e-12)
    assert module.first_layer(module.elements(batch)).shape == vectors.shape


@pytest.fixture
def one_atom():
    return Structure(Lattice([[0, 2, 2], [2, 0, 2], [2, 2, 0]]), ["Cu"], [[0.3, 0.1, 0.2]])


def test_batches_equal_singles(sample, lone, one_atom):
    structures = [sample[0], lone, sample[1], one_atom]
    spec, module = build()
    together = module(tensors(structures, spec))
    for structure, row in zip(structures, together, strict=True):
        alone = module(tensors([structure], spec))[0]
        torch.testing.assert_close(alone, row, rtol=1e-12, atol=1e-12)
    pair = module(tensors(structures[:2], spec))
    torch.testing.assert_close(pair, together[:2], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("which", ["one lone", "lone", "one atom", "mixed"])
def test_few_or_no_neighbours(sample, lone, one_atom, which):
    structures = {
        "one lone": [lone],
        "lone": [lone, Structure(lone.lattice, ["Xe"], lone.frac_coords)],
        "one atom": [one_atom],
        "mixed": [lone, sample[0], one_atom, lone],
    }[which]
    spec, module = build()
    batch = tensors(structures, spec)
    assert (len(batch.centers) == 0) == ("lone" in which)
    out = module(batch)
    assert out.shape == (len(structures), 2)
    assert out.isfinite().all()
    out.sum().backward()
    assert all(p.grad.isfinite().all() for p in module.parameters())
    assert module.atoms.weight.grad.abs().sum() > 0
    if which == "lone":
        assert (out[0] - out[1]).abs().max() > 1e-3  # the element decides


def test_training_changes_nothing_but_gradients(sample):
    """There is neither dropout nor a norm over the batch."""
    spec, module = build()
    batch = tensors(sample[:5], spec)
    assert torch.equal(module.train()(batch), module.eval()(batch))


@pytest.mark.parametrize(
    "name", ["hidden_dim", "n_blocks", "n_edge_layers", "n_bins", "max_neighbors"]
)
def test_refuses_what_makes_no_sense(name):
    for value in (0, 1.5, True, None):
        with pytest.raises(ValueError, match=f"{name} must be an integer, at least 1"):
            CoGN(**{name: value}).check()
    CoGN(**{name: np.int64(1)}).check()


def test_refuses_an_impossible_cutoff():
    with pytest.raises(ValueError, match=r"cutoff must be a number of Å, at least 0\.5; got inf"):
        CoGN(cutoff=float("inf")).check()
