"""CrystalBERT against the numbers of the paper, torch's encoder, and its own switches."""

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure
from small_backbones import small
from torch import nn

from skuae.crystals import as_crystals, count_electrons
from skuae.embedding import get_table
from skuae.models import (
    ALIGNN,
    CGCNN,
    CrystalBERT,
    CrystalTransformer,
    ElementEmbedding,
    Inputs,
    MEGNet,
    resolve_backbone,
    same_backbone,
)
from skuae.models._crystalbert import TOKENS, vocabulary
from skuae.models._encoder import EncoderLayer

WORDS = list(TOKENS["space_group"])
FACES = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
SALT = Structure(Lattice.cubic(5.64), ["Na"] * 4 + ["Cl"] * 4, [*FACES, *(FACES + 0.5) % 1])
CESIUM = Structure(Lattice.cubic(3.5), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def n_parameters(module):
    return sum(p.numel() for p in module.parameters())


def build(spec, n_outputs=1, n_dims=92, seed=0):
    torch.manual_seed(seed)
    elements = ElementEmbedding(torch.randn(118, n_dims), frozen=True)
    return spec.build(elements, n_outputs).double().eval()


def batch_of(structures, spec):
    crystals = as_crystals(structures)
    return spec.inputs(crystals).pack(crystals, dtype=torch.float64).batch(range(len(crystals)))


# -- numbers that the paper fixes ------------------------------------------------------------------


def test_number_of_parameters_of_the_paper():
    module = build(CrystalBERT())
    assert n_parameters(module) == 4_141_249
    assert n_parameters(module.layers) == 5 * 789_760
    assert n_parameters(module.words) == 280 * 256
    assert module.positions.shape == (8, 256)
    assert n_parameters(module.gnn) == 72_384


def test_words():
    assert len(vocabulary()) == len(set(vocabulary())) == 280
    batch = batch_of([SALT, CESIUM], small(CrystalBERT))
    words = [[vocabulary()[i] for i in row] for row in batch.words.tolist()]
    assert words == [
        ["F4/m-32/m", "m-3m", "cubic", "m-3m", "Centrosymmetric"],
        ["P4/m-32/m", "m-3m", "cubic", "m-3m", "Centrosymmetric"],
    ]


@pytest.mark.parametrize("cell", ["primitive", "conventional", "doubled"])
def test_electrons_of_rocksalt(cell):
    structure = {
        "primitive": SALT.get_primitive_structure(),
        "conventional": SALT,
        "doubled": SALT * (2, 1, 1),
    }[cell]
    digits = batch_of([structure], CrystalBERT()).electrons
    assert digits.tolist() == [[int(digit) for digit in "00000000011100"]]


def test_electrons_of_a_molecular_crystal_and_of_shared_sites():
    perovskite = Structure(
        Lattice.cubic(6.3),
        ["C", "N", *["H"] * 6, "Pb", "I", "I", "I"],
        np.random.default_rng(0).uniform(0, 1, (12, 3)),
    )
    alloy = Structure(Lattice.cubic(3.6), [{"Cu": 0.7, "Au": 0.2}], [[0, 0, 0]])
    crystals = as_crystals([perovskite, alloy * (2, 2, 2)])
    counts = count_electrons(crystals, crystals.symmetry())
    assert counts.tolist() == [6 + 7 + 6 + 82 + 3 * 53, pytest.approx(0.7 * 29 + 0.2 * 79)]
    digits = batch_of([alloy * (2, 2, 2)], CrystalBERT(electron_digits=6)).electrons
    assert digits.tolist() == [[1, 0, 0, 1, 0, 0]]  # 36.1


@pytest.mark.parametrize("n", [1, 2, 3])
def test_halves_are_rounded_alike_in_all_cells(n):
    """28.5 electrons, of which the sum over three cells differs by rounding; and three orders."""
    cell = Structure(Lattice.cubic(3.0), [{"Cu": 0.1, "Ge": 0.8}], [[0, 0, 0]])
    mixed = [{"Cu": x} for x in (0.2, 0.6, 0.7)]
    order = Structure(Lattice.cubic(6.0), mixed[n - 1 :] + mixed[: n - 1], [[0] * 3] * 3)
    order = Structure(order.lattice, order.species_and_occu, [[0] * 3, [0.3] * 3, [0.6] * 3])
    spec = CrystalBERT(electron_digits=6)
    for structure in (cell * (n, 1, 1), order):
        crystals = as_crystals([structure])
        count = count_electrons(crystals, crystals.symmetry())[0]
        expected = 28.5 if structure is not order else 43.5
        assert count == expected
        digits = batch_of([structure], spec).electrons[0].tolist()
        assert digits == [int(d) for d in f"{round(expected):06b}"]


def test_too_many_electrons_name_the_row_and_the_parameter():
    crystals = as_crystals([CESIUM, SALT], ids=["a", "b"])
    with pytest.raises(ValueError, match=r"row 0 \(a\) has 28 electrons .* electron_digits to at"):
        CrystalBERT(electron_digits=4).inputs(crystals)
    assert CrystalBERT(electron_digits=5).inputs(crystals).columns["electrons"].shape == (2, 5)


def test_element_token_reads_the_mean_of_the_element_vectors():
    spec = CrystalBERT(d_model=8, n_layers=0, tokens=("elements",))
    module = build(spec)
    table = module.elements.table()
    mean = (table[11 - 1] + table[17 - 1]) / 2
    token = module.read(batch_of([SALT], spec)) - module.positions
    torch.testing.assert_close(token[0, 0], module.from_elements(mean))


def test_element_token_counts_atoms_and_no_vacancies():
    spec = CrystalBERT(d_model=8, n_layers=0, tokens=("elements",))
    module = build(spec)
    table = module.elements.table()
    half = Structure(Lattice.cubic(4.0), [{"Li": 0.5}, "O"], [[0] * 3, [0.5] * 3])
    mean = (0.5 * table[3 - 1] + table[8 - 1]) / 1.5
    token = module.read(batch_of([half], spec)) - module.positions
    torch.testing.assert_close(token[0, 0], module.from_elements(mean))


def test_the_name_of_its_graph_network_is_one_with_its_object():
    assert same_backbone(CrystalBERT(), CrystalBERT(CGCNN(n_hidden=0)))
    assert not same_backbone(CrystalBERT(), CrystalBERT(CGCNN()))


# -- the network -----------------------------------------------------------------------------------


def test_encoder_is_that_of_torch():
    torch.manual_seed(0)
    own = EncoderLayer(16, 4, 24, 0.0, torch.nn.functional.gelu).double()
    layer = nn.TransformerEncoderLayer(
        16, 4, 24, 0.0, activation="gelu", batch_first=True, dtype=torch.float64
    )
    names = {"in_proj.": "self_attn.in_proj_", "out_proj": "self_attn.out_proj"}
    state = {}
    for name, value in own.state_dict().items():
        for mine, theirs in names.items():
            name = name.replace(mine, theirs)
        state[name] = value
    layer.load_state_dict(state)
    x = torch.randn(3, 8, 16, dtype=torch.float64)
    torch.testing.assert_close(own(x), layer(x), rtol=1e-12, atol=1e-12)
    weights = layer.self_attn(x, x, x, average_attn_weights=False)[1]
    torch.testing.assert_close(own.attention(x), weights, rtol=1e-12, atol=1e-12)


def test_output_is_the_bias_if_the_head_has_no_weights():
    spec = small(CrystalBERT)
    module = build(spec, n_outputs=2)
    nn.init.zeros_(module.head.weight)
    torch.testing.assert_close(module(batch_of([SALT], spec))[0], module.head.bias)


def test_equal_compositions_in_other_groups_differ_by_the_words_alone():
    spec = CrystalBERT(d_model=8, n_layers=1, n_heads=2, d_ff=8, tokens=("space_group", "elements"))
    module = build(spec)
    salt, cesium = module(batch_of([SALT, CESIUM], spec))
    assert (salt - cesium).abs() > 1e-3
    nn.init.zeros_(module.words.weight)
    salt, cesium = module(batch_of([SALT, CESIUM], spec))
    torch.testing.assert_close(salt, cesium)


def changed(structure, kind):
    """Return a crystal that differs in what tokens of one kind read, or None."""
    if kind == "space_group":  # a strain: one electron count, one composition
        return Structure(Lattice.tetragonal(5.64, 5.9), structure.species, structure.frac_coords)
    if kind == "elements":  # as many electrons
        return structure.copy().replace_species({"Na": "Mg", "Cl": "S"})
    return None


@pytest.mark.parametrize("kind", TOKENS)
def test_a_token_that_is_left_out_is_not_read(kind):
    rest = tuple(k for k in TOKENS if k != kind)
    spec = CrystalBERT(small(CGCNN), 8, 1, 2, 8, tokens=rest)
    module = build(spec)
    names = [name for k in rest for name in TOKENS[k]]
    assert module.token_names == names
    assert module.width == 8 * len(names)
    columns = spec.inputs(as_crystals([SALT])).columns
    assert ("words" in columns) == (kind != "space_group")
    assert ("electrons" in columns) == (kind != "electrons")
    assert (module.gnn is None) == (kind == "gnn")
    assert hasattr(module, "from_elements") == (kind != "elements")


@pytest.mark.parametrize(
    ("tokens", "kind"), [(("electrons", "elements"), "space_group"), (("space_group", "gnn"), None)]
)
def test_switches_make_the_output_independent_of_its_input(tokens, kind):
    spec = CrystalBERT(small(CGCNN), 8, 1, 2, 8, tokens=tokens)
    module = build(spec)
    if kind:
        one, other = module(batch_of([SALT, changed(SALT, kind)], spec))
        torch.testing.assert_close(one, other)
        return
    # Without electrons and elements: the graph network is the only one to see the elements.
    batch = batch_of([SALT, changed(SALT, "elements")], spec)
    one, other = module(batch)
    assert not torch.allclose(one, other)
    nn.init.zeros_(module.from_gnn.weight)
    one, other = module(batch)
    torch.testing.assert_close(one, other)


def test_without_layers_tokens_are_joined_as_they_are():
    spec = CrystalBERT(small(CGCNN), 8, 0)
    module = build(spec)
    batch = batch_of([SALT, CESIUM], spec)
    torch.testing.assert_close(module.embed(batch), module.read(batch).flatten(1))
    assert n_parameters(module.layers) == 0


def test_softmax_makes_each_token_add_up_to_one():
    spec = CrystalBERT(small(CGCNN), 8, 1, 2, 8, softmax_tokens=True)
    vectors = build(spec).embed(batch_of([SALT, CESIUM], spec)).unflatten(1, (8, 8))
    torch.testing.assert_close(vectors.sum(-1), torch.ones(2, 8, dtype=torch.float64))


def test_graph_network_of_the_name_is_that_of_the_paper():
    assert build(CrystalBERT()).from_gnn.in_features == 64
    named, given = CrystalBERT(d_model=8, d_ff=8), CrystalBERT(CGCNN(n_hidden=0), 8, d_ff=8)
    batch = batch_of([SALT], named)
    torch.testing.assert_close(build(named)(batch), build(given)(batch))


@pytest.mark.parametrize("gnn", ["megnet", "alignn", "crystal_transformer"])
def test_takes_over_what_its_graph_network_needs(gnn):
    inner = resolve_backbone(gnn)
    spec = CrystalBERT(gnn)
    for name in ("clip_norm", "pads", "has_bf16", "invariant"):
        assert getattr(spec, name) == getattr(inner, name)
    assert (spec.augmentation() is None) == (inner.augmentation() is None)
    alone = CrystalBERT(gnn, tokens=("elements",))
    assert (alone.pads, alone.has_bf16, alone.invariant) == (False, False, True)
    assert alone.clip_norm is None
    assert alone.augmentation() is None


def test_element_vectors_are_registered_once():
    for gnn in (CGCNN(n_hidden=0), MEGNet(), ALIGNN(), CrystalTransformer()):
        torch.manual_seed(0)
        elements = ElementEmbedding(torch.from_numpy(get_table("cgcnn").values).float(), False)
        module = CrystalBERT(gnn).build(elements, 1)
        tables = [name for name, p in module.named_parameters() if p.shape == (118, 92)]
        assert tables == ["gnn.elements.weight"]


def test_columns_that_two_back_ends_read_are_named():
    class Own(CGCNN):
        def inputs(self, crystals, *, merge=True):
            graphs = super().inputs(crystals, merge=merge).graphs
            return Inputs(graphs, columns={"electrons": np.ones(len(crystals))})

    spec = CrystalBERT(Own(n_hidden=0))
    with pytest.raises(ValueError, match="reads a column 'electrons', as CrystalBERT itself"):
        spec.inputs(as_crystals([SALT]))


@pytest.mark.parametrize("gnn", [None, 3, CGCNN])
def test_a_graph_network_that_is_none(gnn):
    with pytest.raises(TypeError, match="gnn must be the name of a back-end, or an object"):
        CrystalBERT(gnn).check()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"tokens": ()}, "tokens must have"),
        ({"tokens": ("space_group", "electrons")}, "the network does not see the elements"),
        ({"tokens": "gnn"}, "tokens must be a sequence of some of space_group, electrons"),
        ({"tokens": ("gnn", "words")}, "got 'words' among them"),
        ({"tokens": ("gnn", "gnn")}, "must be named once"),
        ({"n_heads": 3}, "d_model must be a multiple of n_heads=3; got 256"),
        ({"n_layers": -1}, "n_layers must be an integer, at least 0"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1"),
        ({"electron_digits": 0}, "electron_digits must be an integer, at least 1"),
        ({"electron_digits": 41}, "electron_digits must be at most 40"),
        ({"softmax_tokens": "yes"}, "softmax_tokens must be True or False"),
        ({"gnn": "cgnn"}, "there is no backbone 'cgnn'"),
        ({"gnn": CrystalBERT()}, "gnn must be another back-end than CrystalBERT"),
        ({"gnn": "crystalbert"}, "gnn must be another back-end than CrystalBERT"),
        ({"tokens": (["gnn"], "gnn")}, r"got \['gnn'\] among them"),
        ({"gnn": CGCNN(n_conv=0)}, "n_conv must be an integer, at least 1"),
        ({"symprec": 0.0}, "symprec"),
    ],
)
def test_parameters_that_make_no_sense(params, message):
    with pytest.raises(ValueError, match=message):
        CrystalBERT(**params).check()
