"""CrystalTransformer against torch's encoder, its numbers of parameters, padding and read-outs."""

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure
from torch import nn
from torch.nn import functional as F

from skuae.models import CrystalTransformer, LearnedElements
from skuae.models._crystal_transformer import READOUTS, EncoderLayer, make_head

SMALL = {"d_model": 32, "n_layers": 2, "n_heads": 4, "dim_feedforward": 48}


def transformer(n_outputs, features=None, **options):
    """Return a network whose element vectors are learned, as CrystalTransformerRegressor has it."""
    spec = CrystalTransformer(**options)
    elements = LearnedElements(spec.d_model // 2, spec.input_norm, features)
    return spec.build(elements, n_outputs)


def n_parameters(module):
    return sum(p.numel() for p in module.parameters())


def build(n_outputs=2, dtype=torch.float64, seed=0, **options):
    """A network in eval mode whose vectors are not zeros and ones as in a fresh one."""
    torch.manual_seed(seed)
    module = transformer(n_outputs, **{**SMALL, **options}).to(dtype).eval()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
            if name == "elements.linear.weight":
                parameter.normal_()
    return module


@pytest.fixture
def crystals(sample, alloy):
    """Crystals of at least four different sizes."""
    picked = [*sample[:8], alloy]
    assert len({len(s) for s in picked}) >= 4
    return picked


# -- numbers of the paper --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_outputs", "expected"), [(1, 4_263_297), (2, 4_362_370), (3, 4_428_419), (4, 4_494_468)]
)
@pytest.mark.parametrize("input_norm", [True, False])
def test_number_of_parameters_of_the_paper(n_outputs, expected, input_norm):
    options = {"n_layers": 8, "input_norm": input_norm}
    assert n_parameters(transformer(n_outputs, **options)) == expected
    with_token = transformer(n_outputs, readout="cls", **options)
    assert n_parameters(with_token) == expected + 256


def test_number_of_parameters_of_the_parts():
    module = transformer(1, n_layers=1)
    assert n_parameters(module.elements) == 12_928
    assert n_parameters(module.coords) == 512
    assert n_parameters(module.layers[0]) == 527_104
    assert n_parameters(make_head(256, 1)) == 33_025
    assert n_parameters(make_head(256, 3)) == 66_049


def test_head_of_one_target_is_linear():
    head = make_head(8, 1)
    a, b = torch.randn(2, 5, 8)
    zero = head(torch.zeros(1, 8))
    torch.testing.assert_close(head(a + b) - zero, head(a) + head(b) - 2 * zero)
    several = make_head(8, 2)
    zero = several(torch.zeros(1, 8))
    assert not torch.allclose(several(a + b) - zero, several(a) + several(b) - 2 * zero, atol=1e-3)


# -- parity with torch -----------------------------------------------------------------------------


def torch_encoder(layers, n_heads, dropout=0.1):
    """torch's encoder on the weights of ours."""
    weight = layers[0].in_proj.weight
    layer = nn.TransformerEncoderLayer(
        weight.shape[1], n_heads, layers[0].linear1.out_features, dropout, batch_first=True
    )
    encoder = nn.TransformerEncoder(layer, len(layers), enable_nested_tensor=False)
    encoder = encoder.to(weight.dtype).eval()
    names = {
        "in_proj.weight": "self_attn.in_proj_weight",
        "in_proj.bias": "self_attn.in_proj_bias",
        "out_proj.weight": "self_attn.out_proj.weight",
        "out_proj.bias": "self_attn.out_proj.bias",
    }
    for ours, theirs in zip(layers, encoder.layers, strict=True):
        theirs.load_state_dict({names.get(k, k): v for k, v in ours.state_dict().items()})
    return encoder


def reference(module, structures, n_heads):
    """The whole network, written out on padded arrays."""
    dtype = module.coords.weight.dtype
    weight, bias = module.elements.linear.weight, module.elements.linear.bias
    rows = []
    for structure in structures:
        one_hot = torch.zeros(len(structure), 100, dtype=dtype)
        for i, site in enumerate(structure):
            for element, amount in site.species.items():
                one_hot[i, element.Z - 1] += amount
        x = torch.tensor((structure.frac_coords % 1.0) @ structure.lattice.matrix, dtype=dtype)
        a = one_hot @ weight.T + bias
        if module.input_norm:
            x = (x - x.mean(0)) / 8.0
            a = F.layer_norm(a, a.shape[-1:])
        rows.append(torch.cat([a, x @ module.coords.weight.T + module.coords.bias], dim=1))
    if module.readout == "cls":
        rows = [torch.cat([module.cls[None], row]) for row in rows]
    tokens = nn.utils.rnn.pad_sequence(rows, batch_first=True)
    sizes = torch.tensor([len(row) for row in rows])
    padding = torch.arange(tokens.shape[1]) >= sizes[:, None]
    encoded = torch_encoder(module.layers, n_heads)(tokens, src_key_padding_mask=padding)
    if module.readout == "mean":
        pooled = encoded.masked_fill(padding[..., None], 0).sum(1) / sizes[:, None]
    else:
        pooled = encoded[:, 0]
    return torch.cat([head(pooled) for head in module.head.parts], dim=1)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)], ids=str
)
@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("input_norm", [True, False])
def test_parity_with_torch(pack, crystals, readout, input_norm, dtype, tolerance):
    module = build(readout=readout, input_norm=input_norm, dtype=dtype)
    with torch.no_grad():
        got = module(pack(crystals, dtype=dtype))
        expected = reference(module, crystals, n_heads=4)
    assert got.shape == (len(crystals), 2)
    assert expected.std(0).min() > 1e-3
    torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance)


def test_gradients_are_those_of_torch(pack, crystals):
    module = build(readout="mean")
    weights = torch.randn(len(crystals), 2, dtype=torch.float64)
    parameters = [
        module.coords.weight,
        module.elements.linear.weight,
        *module.head.parts.parameters(),
    ]
    a = torch.autograd.grad((module(pack(crystals)) * weights).sum(), parameters)
    b = torch.autograd.grad((reference(module, crystals, 4) * weights).sum(), parameters)
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)


def test_one_layer_against_torch_in_training():
    """Without dropout, training mode changes nothing."""
    layer = EncoderLayer(16, 4, 24, dropout=0.0).double().train()
    theirs = torch_encoder([layer], 4, dropout=0.0).train()
    x = torch.randn(3, 5, 16, dtype=torch.float64)
    torch.testing.assert_close(layer(x, None), theirs(x), rtol=1e-10, atol=1e-10)


# -- padding, order and read-outs ------------------------------------------------------------------


def run(module, pack, structures, rows=None):
    with torch.no_grad():
        return module(pack(structures, rows=rows, dtype=module.coords.weight.dtype))


@pytest.mark.parametrize("readout", READOUTS)
def test_predictions_do_not_depend_on_batch_mates(pack, crystals, readout):
    """Nor on padding: the largest crystal decides about that."""
    module = build(readout=readout)
    together = run(module, pack, crystals)
    alone = torch.cat([run(module, pack, [s]) for s in crystals])
    torch.testing.assert_close(alone, together, rtol=1e-11, atol=1e-12)
    reverse = run(module, pack, crystals, rows=range(len(crystals) - 1, -1, -1))
    torch.testing.assert_close(reverse.flip(0), together, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("readout", READOUTS)
def test_equal_sizes_need_no_mask(pack, sample, readout):
    """The path without a mask gives what the path with one gives."""
    module = build(readout=readout)
    by_size = {}
    for structure in sample:
        by_size.setdefault(len(structure), []).append(structure)
    group = max((g for g in by_size.values()), key=len)
    larger = next(s for s in sample if len(s) > len(group[0]))
    assert len(group) >= 3
    batch = pack(group)
    tokens, _, real = module._pad(torch.randn(len(batch.numbers), 32).double(), batch)
    assert real is None
    assert tokens.shape == (len(group), len(group[0]) + (readout == "cls"), 32)
    got = run(module, pack, group)
    masked = run(module, pack, [*group, larger])[:-1]
    torch.testing.assert_close(got, masked, rtol=1e-11, atol=1e-12)


def test_padding_lays_out_sites_in_rows(pack, crystals):
    for readout in READOUTS:
        module, batch = build(readout=readout), pack(crystals)
        z = torch.randn(len(batch.numbers), 32, dtype=torch.float64)
        tokens, place, real = module._pad(z, batch)
        lead = int(readout == "cls")
        assert real.sum(1).tolist() == [len(s) + lead for s in crystals]
        torch.testing.assert_close(tokens.flatten(0, 1)[place], z, rtol=0, atol=0)
        for i, part in enumerate(z.split(batch.sizes.tolist())):
            assert torch.equal(tokens[i, lead : lead + len(part)], part)
            assert not tokens[i, lead + len(part) :].any()
            assert real[i, : lead + len(part)].all()
        if lead:
            assert torch.equal(tokens[:, 0], module.cls.expand(len(crystals), -1))


def with_order(structure, order):
    return Structure.from_sites([structure[i] for i in order])


@pytest.mark.parametrize("readout", READOUTS)
def test_order_of_sites(pack, crystals, readout):
    module = build(readout=readout)
    rng = np.random.default_rng(0)
    large = [s for s in crystals if len(s) >= 3]
    expected = run(module, pack, large)
    shuffled = [with_order(s, [0, *(1 + rng.permutation(len(s) - 1))]) for s in large]
    torch.testing.assert_close(run(module, pack, shuffled), expected, rtol=1e-9, atol=1e-10)

    moved = [with_order(s, [*range(1, len(s)), 0]) for s in large]
    change = (run(module, pack, moved) - expected).abs().max(dim=1).values
    if readout == "first":  # as published: another site comes first, and is read out
        assert (change > 1e-3).sum() > len(large) / 2
    else:
        assert change.max() < 1e-9


def test_origin_matters_only_for_the_published_input(pack, crystals):
    ordered = crystals[:8]
    inside = [Structure(s.lattice, s.species, 0.1 + 0.7 * (s.frac_coords % 1)) for s in ordered]
    shifted = [Structure(s.lattice, s.species, s.frac_coords + 0.1) for s in inside]
    centred = build(input_norm=True)
    torch.testing.assert_close(
        run(centred, pack, shifted), run(centred, pack, inside), rtol=1e-9, atol=1e-10
    )
    raw = build(input_norm=False)
    assert (run(raw, pack, shifted) - run(raw, pack, inside)).abs().max() > 1e-3


def test_coordinates_are_wrapped_into_the_cell(pack, crystals):
    module = build()
    rng = np.random.default_rng(0)
    inside = [
        Structure(s.lattice, s.species, 0.1 + 0.7 * (s.frac_coords % 1)) for s in crystals[:8]
    ]
    moved = [
        Structure(s.lattice, s.species, s.frac_coords + rng.integers(-2, 3, (len(s), 3)))
        for s in inside
    ]
    torch.testing.assert_close(
        run(module, pack, moved), run(module, pack, inside), rtol=1e-9, atol=1e-9
    )


# -- elements --------------------------------------------------------------------------------------


@pytest.mark.parametrize("input_norm", [True, False])
def test_table_is_what_the_network_sees(pack, input_norm):
    module = build(input_norm=input_norm)
    atoms = [Structure(Lattice.cubic(5), [z], [[0, 0, 0]]) for z in range(1, 101)]
    with torch.no_grad():
        torch.testing.assert_close(module.elements(pack(atoms)), module.elements.table())
    assert module.elements.table().shape == (100, 16)
    if not input_norm:
        linear = module.elements.linear
        torch.testing.assert_close(module.elements.table(), linear.weight.T + linear.bias)


def test_start_of_the_element_vectors():
    """Small and without bias, so that what is learned outweighs the random start; or torch's."""
    small = transformer(1).elements.linear
    assert small.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert not small.bias.any()
    published = transformer(1, input_norm=False).elements.linear
    assert published.weight.std().item() == pytest.approx(1 / 300**0.5, rel=0.05)


def test_occupancies(pack, alloy):
    """Vectors of shared sites are mixed, and they count; the order of species does not."""
    module = build()
    expected = run(module, pack, [alloy])
    turned = Structure(
        alloy.lattice,
        [dict(reversed(list(site.species.items()))) for site in alloy],
        alloy.frac_coords,
    )
    torch.testing.assert_close(run(module, pack, [turned]), expected, rtol=1e-11, atol=1e-12)
    half = alloy.copy()
    half.replace(1, {"Cu": 0.6})
    assert (run(module, pack, [half]) - expected).abs().max() > 1e-4


# -- dropout ---------------------------------------------------------------------------------------


def test_dropout_in_training_only(pack, crystals):
    module, batch = build(dropout=0.1), pack(crystals)
    assert torch.equal(module(batch), module(batch))
    module.train()
    first, second = module(batch), module(batch)
    assert not torch.equal(first, second)
    assert ((first - second).abs().max(dim=1).values > 1e-3).all()
    still = build(dropout=0.0).train()
    assert torch.equal(still(batch), still(batch))
    torch.testing.assert_close(still(batch), module.eval()(batch))
