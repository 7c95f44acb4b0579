"""The contract of back-ends: all that are registered keep it, and what breaks it is found."""

import itertools

import numpy as np
import pytest
import torch
from small_backbones import small
from torch import nn

from skuae.crystals import as_crystals
from skuae.models import (
    ALIGNN,
    BACKBONES,
    CGCNN,
    Backbone,
    CrystalBERT,
    CrystalModule,
    ElementEmbedding,
    Inputs,
    MEGNet,
    check_backbone,
    decode_params,
    encode_params,
    same_backbone,
)
from skuae.models._layers import mean_over_sites


@pytest.mark.parametrize("kind", BACKBONES.values(), ids=BACKBONES)
def test_registered_back_ends_keep_the_contract(kind):
    check_backbone(small(kind))
    check_backbone(kind())


class Plain(Backbone):
    """A back-end without edges, that tests below break in one way each."""

    native_table = "cgcnn"
    native_frozen = True
    default_lr = 1e-3

    def __init__(self, width=4):
        self.width = width

    def inputs(self, crystals, *, merge=True):
        return Inputs(crystals.reduced_graph(4.0, merge=merge))

    def build(self, elements, n_outputs):
        return PlainModule(self, elements, n_outputs)


class PlainModule(CrystalModule):
    def __init__(self, spec, elements, n_outputs):
        super().__init__()
        self.elements, self.width = elements, spec.width
        self.first = nn.Linear(elements.n_dims, spec.width)
        self.head = nn.Linear(spec.width, n_outputs)

    @property
    def first_layer(self):
        return self.first

    def site_vectors(self, batch):
        return self.first(self.elements(batch))


NUMBER = itertools.count()


def broken(**parts):
    """Return a back-end like `Plain`, with other parts of its module."""
    module = type("Module", (PlainModule,), parts)
    name = f"Broken{next(NUMBER)}"  # a class is found again by its name
    return type(name, (Plain,), {"build": lambda self, elements, n: module(self, elements, n)})()


def mates(self, batch):
    v = PlainModule.site_vectors(self, batch)
    return v - v.mean(0)


def mates_pooled(self, batch):
    return mean_over_sites(mates(self, batch), batch)


def uncounted(self, batch):
    v = PlainModule.site_vectors(self, batch)
    return torch.zeros(len(batch), v.shape[1], dtype=v.dtype).index_add(0, batch.crystal, v)


def first_site(self, batch):
    v = PlainModule.site_vectors(self, batch)
    first = torch.searchsorted(batch.crystal, torch.arange(len(batch)))
    return v[first] + mean_over_sites(v, batch)


def twice(self, spec, elements, n_outputs):
    PlainModule.__init__(self, spec, elements, n_outputs)
    self.also = elements


def without_width(self, spec, elements, n_outputs):
    PlainModule.__init__(self, spec, elements, n_outputs)
    del self.width


def headless(self, batch):
    return PlainModule.forward(self, batch) + 1


def detached(self, batch):
    return self.first(self.elements(batch).detach())


def infinite(self, batch):
    return PlainModule.site_vectors(self, batch) / 0


def noisy(self, batch):
    return nn.functional.dropout(PlainModule.site_vectors(self, batch), 0.5, training=True)


def drawn_anew(self, spec, elements, n_outputs):
    PlainModule.__init__(self, spec, elements, n_outputs)
    nn.init.constant_(self.first.bias, float(next(NUMBER)))


class InfiniteSlope(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad / 0


def steep(self, batch):
    return InfiniteSlope.apply(PlainModule.site_vectors(self, batch))


def flat(self, batch):
    return PlainModule.forward(self, batch).squeeze(-1)


def writes(self, batch):
    batch.distances.mul_(2)
    return PlainModule.site_vectors(self, batch)


def layers_of(of):
    """Return a method `layer_vectors` with one more layer."""
    return lambda self, batch: {"first": of(self, batch), "embed": self.embed(batch)}


def nameless(self, batch):
    return {"first": self.embed(batch)}


def other_embed(self, batch):
    return {"embed": self.embed(batch) + 1}


def named_by_size(self, batch):
    return {f"of_{len(batch)}": self.embed(batch), "embed": self.embed(batch)}


def at_coordinates(of):
    """Return a module part that reads a number off coordinates and lattices, and its inputs."""

    def site_vectors(self, batch):
        return PlainModule.site_vectors(self, batch) + of(batch)[:, None]

    kind = type(broken(site_vectors=site_vectors))
    kind.inputs = lambda self, crystals, merge=True: Inputs(coords="given")
    return kind()


def at_directions(of):
    """Return a module part that reads numbers off the directions of bonds, and its inputs."""

    def site_vectors(self, batch):
        weights = torch.exp(-batch.distances)[:, None]
        sums = batch.bonds.sum(batch.moments * weights, batch.edge_counts)
        return PlainModule.site_vectors(self, batch) + of(sums)[:, None]

    kind = type(broken(site_vectors=site_vectors))
    kind.inputs = lambda self, crystals, merge=True: Inputs(
        crystals.reduced_graph(4.0, merge=merge, moments=True)
    )
    return kind()


def squares(sums):
    return (sums.square() * sums.new_tensor([1, 2, 2, 1, 2, 1])).sum(dim=1)


def changed(**parts):
    """Return a back-end like `Plain`, with other parts of its specification."""
    return type(f"Changed{next(NUMBER)}", (Plain,), parts)()


def grows(self, elements, n_outputs):
    self.width += 1
    return PlainModule(self, elements, n_outputs)


def test_a_plain_one_keeps_it():
    check_backbone(Plain())
    check_backbone(broken())
    check_backbone(at_directions(lambda sums: sums[:, [0, 3, 5]].sum(dim=1)))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (broken(site_vectors=mates), "depends on others in the batch"),
        (broken(embed=uncounted), "depends on whether equal sites are merged"),
        (at_directions(squares), "depends on whether equal sites are merged"),
        (broken(embed=first_site), "depends on the order of the sites"),
        (broken(__init__=twice), "one tensor under two names"),
        (broken(__init__=without_width), "lacks the attribute 'width'"),
        (broken(forward=headless), r"head\(embed\(batch\)\) differs"),
        (broken(site_vectors=detached), "no gradient reaches"),
        (broken(site_vectors=infinite), "not finite"),
        (broken(site_vectors=noisy), "two runs differ in eval mode"),
        (broken(__init__=drawn_anew), "differs between two modules that are built from one seed"),
        (broken(site_vectors=steep), r"the gradient of .* is not finite"),
        (broken(forward=flat), "the output of a network with one output has the shape"),
        (broken(site_vectors=writes), "writes into its batch"),
        (broken(layer_vectors=nameless), "a dict whose last key is .embed."),
        (broken(layer_vectors=other_embed), "'embed'. differs from embed"),
        (broken(layer_vectors=named_by_size), "other names for another batch"),
        (broken(layer_vectors=layers_of(PlainModule.site_vectors)), r"'first'. has the shape"),
        (broken(layer_vectors=layers_of(uncounted)), "'first' depends on whether equal sites"),
        (broken(layer_vectors=layers_of(mates_pooled)), "'first' of a crystal depends on others"),
        (at_coordinates(lambda b: b.lattices[b.crystal, 0, 0]), "depends on how the crystal is t"),
        (at_coordinates(lambda b: (b.frac_coords % 1)[:, 0]), "depends on where the cell begins"),
        (
            at_coordinates(lambda b: torch.floor(b.frac_coords[:, 0] + 0.5 * (b.numbers % 2))),
            "depends on (where the cell begins|which cell a site is written in)",
        ),
        (changed(build=grows), "changed its own parameters"),
        (changed(default_lr=-1.0), "default_lr must be above 0"),
        (changed(clip_norm="big"), "clip_norm must be above 0; got 'big'"),
        (
            changed(inputs=lambda self, crystals, merge=True: Inputs(crystals.reduced_graph(4.0))),
            "must keep all sites",
        ),
    ],
)
def test_what_breaks_it_is_found(spec, message):
    with pytest.raises(ValueError, match=message):
        check_backbone(spec)


def test_an_augmentation_must_give_a_batch():
    spec = changed(augmentation=lambda self: lambda batch, generator: None)
    with pytest.raises(TypeError, match="a function from a batch to a batch"):
        check_backbone(spec)


def test_single_precision_inside_is_told():
    class Single(PlainModule):
        def site_vectors(self, batch):
            v = super().site_vectors(batch)
            return torch.zeros(v.shape).index_add(0, torch.arange(len(v)), v)

    spec = changed(build=lambda self, elements, n: Single(self, elements, n))
    with pytest.raises(ValueError, match="does not run in double precision"):
        check_backbone(spec)


LAYERS = {
    "cgcnn": {"layer0": 8, "layer1": 8, "embed": 8},
    "megnet": {"layer0": 8, "layer1": 8, "layer2": 8, "embed": 16},
    "alignn": {"layer0": 8, "layer1": 8, "embed": 8},
    "cogn": {"layer0": 8, "layer1": 8, "embed": 8},
    "sen": {"layer0": 8, "layer1": 8, "layer2": 8, "embed": 8},
    "crystal_transformer": {"layer0": 8, "embed": 8},
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_of_the_networks(name, pack, alloy, lone):
    spec = small(BACKBONES[name])
    module = spec.build(ElementEmbedding(torch.randn(118, 3), frozen=True), 1).double().eval()
    batch = pack([alloy, lone], spec)
    layers = module.layer_vectors(batch)
    assert {name: vectors.shape[1] for name, vectors in layers.items()} == LAYERS[name]
    assert torch.equal(layers["embed"], module.embed(batch))
    vectors = list(layers.values())
    assert not any(torch.equal(a, b) for a, b in itertools.pairwise(vectors) if a.shape == b.shape)


def test_a_network_without_layers_has_embed(pack, lone):
    module = Plain().build(ElementEmbedding(torch.randn(118, 3), frozen=True), 1).double()
    batch = pack([lone], Plain())
    assert list(module.layer_vectors(batch)) == ["embed"]
    assert torch.equal(module.layer_vectors(batch)["embed"], module.embed(batch))


def test_specifications_that_break_it_are_found():
    class Forgets(Plain):
        def __init__(self, width=4):
            self.width = width + 1

    class Nameless(Plain):
        native_table = None

    class Bare(Plain):
        def inputs(self, crystals, *, merge=True):
            return crystals.graph(4.0)

    class Holds(Plain):
        def __init__(self, width=4, scale=None):
            self.width, self.scale = width, scale

    for spec, error, message in (
        (Forgets(), (ValueError, RuntimeError), "clone"),
        (Nameless(), TypeError, "native_table must be set"),
        (Bare(), TypeError, "must return skuae.models.Inputs"),
        (Holds(scale=nn.ReLU()), ValueError, "saved and read has other parameters"),
        (CGCNN, TypeError, "is no skuae.models.Backbone"),
    ):
        with pytest.raises(error, match=message):
            check_backbone(spec)


def test_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    check_backbone(Plain())
    assert torch.equal(torch.get_rng_state(), before)


def test_lists_of_back_ends_are_checked():
    class Several(Plain):
        def __init__(self, width=4, inner=()):
            self.width, self.inner = width, inner

    with pytest.raises(ValueError, match="atom_dim must be an integer, at least 1; got -1"):
        Several(inner=[MEGNet(), CGCNN(atom_dim=-1)]).check()


def test_coordinates_that_there_are_not():
    with pytest.raises(ValueError, match="""coords must be "wrapped", "given" or None"""):
        Inputs(coords="wraped")


def test_coordinates_of_the_back_end_go_before_those_of_the_elements(lone):
    lone.translate_sites([0], [2, 0, 0], to_unit_cell=False)
    crystals = as_crystals([lone])
    for own, asked in (("given", "wrapped"), ("wrapped", "given")):
        batch = Inputs(coords=own).pack(crystals, coords=asked).batch([0])
        assert (batch.frac_coords[0, 0] > 2) == (own == "given")


def test_specifications_as_json():
    class Outer(Plain):
        def __init__(self, width=4, inner=None, several=(1, "a")):
            self.width, self.inner, self.several = width, inner, several

    spec = Outer(np.int64(3), Outer(inner=ALIGNN(7)), several=(1, None, CGCNN(5)))
    again = decode_params(encode_params({"spec": spec}))["spec"]
    assert same_backbone(again, spec)
    assert again.inner.inner.hidden_dim == 7
    assert isinstance(again.several, tuple)
    assert again.several[2].atom_dim == 5
    assert not same_backbone(Outer(inner=ALIGNN(7)), Outer(inner=ALIGNN(8)))
    assert not same_backbone(MEGNet(), CGCNN())
    # written otherwise
    assert same_backbone(CrystalBERT("cgcnn"), CrystalBERT(CGCNN(n_hidden=0)))
    assert same_backbone(CrystalBERT(tokens=["gnn"]), CrystalBERT(tokens=("gnn",)))
    assert same_backbone(CGCNN(cutoff=8), CGCNN(cutoff=np.float64(8.0)))
    assert not same_backbone(CrystalBERT("cgcnn"), CrystalBERT("megnet"))


def test_weights_of_a_class_come_back_with_their_labels():
    params = {"class_weight": {0: 1.0, "a": 2.0, True: 3.0}, "none": None, "list": [1, [2.5]]}
    assert decode_params(encode_params(params)) == params


def test_a_back_end_that_is_not_there():
    saved = {"spec": {"backbone": "Gone", "module": "somewhere", "params": {}}}
    with pytest.raises(ValueError, match="back-end Gone of somewhere, which is not defined here"):
        decode_params(saved)


def test_elements_are_looked_up_in_one_module():
    elements = ElementEmbedding(torch.randn(118, 3), frozen=True)
    for kind in BACKBONES.values():
        module = small(kind).build(elements, 1)
        assert module.elements is elements
        assert not [p for p in module.parameters() if p.shape == (118, 3)]
